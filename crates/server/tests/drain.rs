//! A node that is asked to end hands over what it leads, finishes what clients have begun, and ends
//! well; asked twice, it ends at once.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod processes;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use processes::BOUND;
use processes::cluster::{Cluster, GROUPS, NODES};
use processes::resp::{Connection, Reply};
use redis::Commands;
use redis::cluster::ClusterClient;
use server::report::{GroupReport, GroupRole, Report};

/// How many clients write, each to keys of its own.
const CLIENTS: u64 = 4;
/// How many keys each client writes to: all groups get some.
const KEYS: u64 = 64;
/// How many writes go on before a node ends, and after.
const WRITES: u64 = 500;

/// The groups that the node at that address leads, by number.
fn led(address: SocketAddr) -> BTreeMap<u64, GroupReport> {
    let mut connection = Connection::open(address, BOUND).unwrap();
    let reply = connection.ask(&["MULTIRAFT", "STATUS"], Instant::now() + BOUND).unwrap();
    let Reply::Text(Some(text)) = reply else { panic!("{reply:?}") };
    let report: Report = serde_json::from_str(&text).unwrap();
    let led = report.groups.into_iter().filter(|group| group.role == GroupRole::Leader);
    led.map(|group| (group.id, group)).collect()
}

/// Waits until `count` has risen by so many.
#[track_caller]
fn until_more(count: &AtomicU64, more: u64) {
    let (began, first) = (Instant::now(), count.load(Ordering::Relaxed));
    while count.load(Ordering::Relaxed) < first + more {
        assert!(began.elapsed() < BOUND, "not {more} writes more within {BOUND:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_node_that_is_asked_to_end_is_missed_by_no_client() {
    let mut cluster = Cluster::start();
    let [one, two, three] = cluster.addresses();
    let client = ClusterClient::new([one, two, three].map(|node| format!("redis://{node}")));
    let client = client.unwrap();
    let (written, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for writer in 0..CLIENTS {
            let (client, written, is_over) = (&client, &written, &is_over);
            scope.spawn(move || {
                let mut connection = client.get_connection().unwrap();
                let mut count = 0;
                while !is_over.load(Ordering::Relaxed) {
                    // A write that failed, that was lost, or that was done twice would show here.
                    let key = format!("{writer}-{}", count % KEYS);
                    let found: u64 = connection.incr(key, 1).unwrap();
                    assert_eq!(found, count / KEYS + 1);
                    count += 1;
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Clients end whatever happens here: a panic must not wait for them.
        let over = Over(&is_over);
        until_more(&written, WRITES);
        let before = led(one);
        assert!(before.len() >= 4, "node 1 leads {:?} only", before.keys());

        assert_eq!(cluster.terminate(0), Some(0));
        // Nobody waits here: had the others had to elect, there would be no leaders yet.
        let after: BTreeMap<u64, GroupReport> = [two, three].into_iter().flat_map(led).collect();
        assert_eq!(after.len(), GROUPS as usize, "{:?} have leaders", after.keys());
        for (group, report) in &before {
            assert!(after[group].term > report.term, "group {group} has been led in no new term");
        }
        let told = format!("handed over groups={}", before.len());
        assert!(cluster.log(0).contains(&told), "{}", cluster.log(0));
        until_more(&written, WRITES);
        drop(over);
    });
    cluster.restart(0);
    cluster.wait_until_serving(0);
    cluster.stop();
}

#[test]
fn nodes_that_are_asked_to_end_together_hand_nothing_back_and_forth() {
    let mut cluster = Cluster::start();
    for key in 0..KEYS {
        cluster.leader_of(&key.to_string());
    }
    let began = Instant::now();
    (0..NODES).for_each(|node| cluster.ask_to_end(node));
    for node in 0..NODES {
        assert_eq!(cluster.ended(node), Some(0), "{}", cluster.log(node));
    }
    let took = began.elapsed();
    println!("ended after {} ms", took.as_millis());
    // A node gives its handing over five seconds; had they waited for each other, all would be gone.
    assert!(took < Duration::from_secs(4), "{took:?}");
}

/// Says that it is over when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks for so much, and takes none of it, that the node cannot finish sending.
fn ask_and_take_nothing(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let value = "x".repeat(400_000);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len());
    stream.write_all(set.as_bytes()).unwrap();
    stream.write_all("GET k\r\n".repeat(100).as_bytes()).unwrap();
    stream
}

#[test]
fn a_second_signal_ends_a_node_at_once_that_cannot_finish() {
    let mut cluster = Cluster::start();
    let address = cluster.addresses()[cluster.leader_of("k")];
    let node = cluster.leader_of("k");
    let stream = ask_and_take_nothing(address);
    // The replies have begun to come, and stop when nobody takes them.
    let mut byte = [0];
    stream.set_read_timeout(Some(BOUND)).unwrap();
    assert_eq!(stream.peek(&mut byte).unwrap(), 1);

    cluster.ask_to_end(node);
    let began = Instant::now();
    while !cluster.log(node).contains("stopping") {
        assert!(began.elapsed() < BOUND, "{}", cluster.log(node));
        std::thread::yield_now();
    }
    let began = Instant::now();
    assert_eq!(cluster.terminate(node), Some(1));
    let took = began.elapsed();
    assert!(cluster.log(node).contains("stopped at once"), "{}", cluster.log(node));
    // The first signal alone would have given the client seconds to take its replies.
    assert!(took < Duration::from_secs(4), "{took:?}");
}
