//! What pipelines come to, with leaders that come and go.

use std::future::Future;
use std::task::{Context, Waker};

use super::*;
use crate::front::fake::{self, Fake, ME, OTHER};
use crate::front::service::ClientLimits;

struct Bench {
    service: Arc<Service>,
    fake: Arc<Fake>,
    session: Session,
    _seat: crate::front::clients::Seat,
}

impl Bench {
    fn new() -> Self {
        Self::with(ClientLimits::default())
    }

    fn with(limits: ClientLimits) -> Self {
        let (service, fake) = fake::service(limits);
        let (session, seat) = fake::session(&service);
        Self { service, fake, session, _seat: seat }
    }

    fn plan(&mut self, lines: &[&str]) -> Batch {
        let requests = lines.iter().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            Request::of(&words)
        });
        Batch::plan(&self.service, &mut self.session, requests)
    }

    /// Runs a pipeline to its end and tells all replies, without line ends.
    async fn run(&mut self, lines: &[&str]) -> Vec<String> {
        let mut batch = self.plan(lines);
        let mut replies = Vec::new();
        loop {
            replies.extend(drain(&mut batch));
            if batch.is_done() {
                return replies;
            }
            batch.round().await;
        }
    }

    async fn one(&mut self, line: &str) -> String {
        self.run(&[line]).await.remove(0)
    }
}

/// The replies that are complete from the front.
fn drain(batch: &mut Batch) -> Vec<String> {
    let mut replies = Vec::new();
    loop {
        let mut out = BytesMut::new();
        let more = batch.drain(&mut out, 1);
        if out.is_empty() {
            return replies;
        }
        let text = String::from_utf8(out.to_vec()).unwrap();
        replies.push(text.trim_end().replace("\r\n", " "));
        if !more {
            return replies;
        }
    }
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order() {
    let mut bench = Bench::new();
    let lines = ["SET a 1", "PING", "GET a", "INCR a", "GET a", "FOO", "GET", "MGET a b", "GET b"];
    let expected = [
        "+OK",
        "+PONG",
        "$1 1",
        ":2",
        "$1 2",
        "-ERR unknown command 'FOO', with args beginning with:",
        "-ERR wrong number of arguments for 'get' command",
        "-CROSSSLOT Keys in request don't hash to the same slot",
        "$-1",
    ];
    assert_eq!(bench.run(&lines).await, expected);
}

#[tokio::test]
async fn independent_writes_are_proposed_together() {
    let mut bench = Bench::new();
    bench.run(&["SET a 1", "GET x", "SET b 2", "SET a 3", "GET y", "SET c 4"]).await;
    assert_eq!(bench.fake.proposed(), [4]);
    assert_eq!(bench.one("GET a").await, "$1 3");
}

#[tokio::test]
async fn reads_of_one_group_share_a_permit() {
    let mut bench = Bench::new();
    bench.run(&["GET {a}1", "GET {a}2", "EXISTS {a}3"]).await;
    assert_eq!(bench.fake.permits(), 1);
}

#[tokio::test]
async fn what_would_be_refused_costs_no_log_entry() {
    let mut bench = Bench::new();
    let replies = bench.run(&["SET k v EX 0", "MSET a", "INCRBY k x", "EXPIRE k 1 FOO"]).await;
    assert!(replies.iter().all(|reply| reply.starts_with("-ERR ")), "{replies:?}");
    assert!(bench.fake.proposed().is_empty());
}

#[tokio::test]
async fn a_key_of_another_leader_is_redirected() {
    let mut bench = Bench::new();
    let group = bench.service.topology.group_of(routing::hash_slot(b"k"));
    bench.fake.set_leader(group, Some(OTHER), true);
    let slot = routing::hash_slot(b"k");
    let moved = format!("-MOVED {slot} 10.0.0.1:7002");
    assert_eq!(bench.run(&["GET k", "SET k v", "PING"]).await, [&moved, &moved, "+PONG"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_a_command_waits_then_is_refused() {
    let mut bench = Bench::new();
    bench.fake.set_all(None, false);
    let began = Instant::now();
    let down = "-CLUSTERDOWN The slot's group has no leader";
    assert_eq!(bench.run(&["GET k", "SET j v"]).await, [down, down]);
    assert_eq!(began.elapsed(), bench.service.limits.leader_wait);
}

#[tokio::test(start_paused = true)]
async fn a_leader_not_heard_from_lately_is_not_named() {
    let mut bench = Bench::new();
    bench.fake.set_all(Some(OTHER), false);
    assert_eq!(bench.one("GET k").await, "-CLUSTERDOWN The slot's group has no leader");
}

#[tokio::test(start_paused = true)]
async fn parked_commands_go_on_when_a_leader_comes() {
    let mut bench = Bench::new();
    bench.fake.set_all(None, false);
    let mut batch = bench.plan(&["SET a 1", "SET b 2", "GET a"]);
    batch.round().await;
    assert!(drain(&mut batch).is_empty());
    bench.fake.set_all(Some(ME), true);
    batch.round().await;
    batch.round().await;
    assert_eq!(drain(&mut batch), ["+OK", "+OK", "$1 1"]);
    assert!(batch.is_done());
}

#[tokio::test(start_paused = true)]
async fn parked_commands_are_woken_by_a_leader() {
    let mut bench = Bench::new();
    bench.fake.set_all(None, false);
    let mut batch = bench.plan(&["SET a 1"]);
    let began = Instant::now();
    // Between two looks, and while nothing else is done than to wait.
    batch.round().await;
    bench.fake.set_all(Some(OTHER), false);
    batch.round().await;
    let come = async {
        tokio::task::yield_now().await;
        bench.fake.set_all(Some(ME), true);
    };
    tokio::join!(batch.round(), come);
    batch.round().await;
    assert_eq!(drain(&mut batch), ["+OK"]);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_parked_command_does_not_hold_back_replies_before_it() {
    let mut bench = Bench::new();
    let group = bench.service.topology.group_of(routing::hash_slot(b"k"));
    let elsewhere = (0..)
        .map(|n| format!("x{n}"))
        .find(|key| bench.service.topology.group_of(routing::hash_slot(key.as_bytes())) != group);
    bench.fake.set_leader(group, None, false);
    let set = format!("SET {} 1", elsewhere.unwrap());
    let mut batch = bench.plan(&[&set, "GET k", "PING"]);
    batch.round().await;
    assert_eq!(drain(&mut batch), ["+OK"]);
    bench.fake.set_leader(group, Some(OTHER), true);
    batch.round().await;
    assert!(drain(&mut batch)[0].starts_with("-MOVED "));
}

#[tokio::test(start_paused = true)]
async fn failures_tell_what_is_known() {
    let mut bench = Bench::new();
    let cases = [
        (WriteError::Uncertain, "-UNCERTAIN the write may or may not have been applied"),
        (
            WriteError::Overloaded { budget: "log" },
            "-OVERLOADED the log budget is used up, nothing was done; ask later",
        ),
        (
            WriteError::TooLarge { bytes: 9, bytes_max: 8 },
            "-ERR the command takes 9 bytes in the log, the limit is 8",
        ),
        (
            WriteError::DiskFull { free_bytes: 5, needed_bytes: 7 },
            "-MISCONF the disk is full, nothing was done: 5 bytes are free, 7 are needed",
        ),
        (
            WriteError::MajorityFull,
            "-MISCONF the disks of a majority of the group are full, nothing was done",
        ),
        (WriteError::Stopped, "-CLUSTERDOWN The node is stopping"),
    ];
    for (error, expected) in cases {
        bench.fake.fail_next(&[error]);
        assert_eq!(bench.one("SET k v").await, expected);
        assert_eq!(bench.one("EXISTS k").await, ":0");
    }
    assert_eq!(bench.fake.proposed(), [1; 6], "none of them is tried again");
}

#[tokio::test(start_paused = true)]
async fn what_was_certainly_not_written_is_tried_again() {
    let mut bench = Bench::new();
    bench.fake.fail_next(&[WriteError::NotLeader, WriteError::NotLeader]);
    assert_eq!(bench.run(&["SET k 1", "SET k 2", "GET k"]).await, ["+OK", "+OK", "$1 2"]);
    assert_eq!(bench.fake.proposed(), [2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_write_is_not_tried_again_behind_a_later_one_of_its_slot() {
    let mut bench = Bench::new();
    bench.fake.fail_next(&[WriteError::NotLeader]);
    let down = "-CLUSTERDOWN The slot's group has no leader";
    assert_eq!(bench.run(&["SET k 1", "SET k 2", "GET k"]).await, [down, "+OK", "$1 2"]);
    bench.fake.fail_next(&[WriteError::NotLeader, WriteError::Uncertain]);
    let uncertain = "-UNCERTAIN the write may or may not have been applied";
    assert_eq!(bench.run(&["SET k 3", "SET k 4"]).await, [down, uncertain]);
}

#[tokio::test]
async fn a_reply_that_is_too_large_is_an_error() {
    let limits = ClientLimits { reply_bytes_max: 100, ..ClientLimits::default() };
    let mut bench = Bench::with(limits);
    let value = "x".repeat(60);
    assert_eq!(bench.one(&format!("SET {{k}}1 {value}")).await, "+OK");
    assert_eq!(bench.one("GET {k}1").await, format!("$60 {value}"));
    let too_large = "-ERR the reply is larger than reply_bytes_max = 100";
    assert_eq!(bench.one("MGET {k}1 {k}1").await, too_large);
}

#[tokio::test]
async fn reads_wait_until_replies_before_them_are_sent() {
    let limits = ClientLimits { reply_bytes_max: 200, ..ClientLimits::default() };
    let mut bench = Bench::with(limits);
    bench.one(&format!("SET k {}", "x".repeat(60))).await;
    let mut batch = bench.plan(&["GET k"; 9]);
    let mut replies = Vec::new();
    while !batch.is_done() {
        batch.round().await;
        let together = drain(&mut batch);
        // As many as fit and the one that exceeds it.
        assert!((1..=3).contains(&together.len()), "{together:?}");
        replies.extend(together);
    }
    assert_eq!(replies, vec![format!("$60 {}", "x".repeat(60)); 9]);
    // Answers that need no group are no exception: the rest needs a batch of its own.
    let asks = vec![Request::of(&["ECHO".to_owned(), "e".repeat(60)]); 9];
    let mut asks = asks.into_iter();
    for left in [6, 3, 0] {
        let mut batch = Batch::plan(&bench.service, &mut bench.session, &mut asks);
        assert_eq!((drain(&mut batch).len(), asks.len()), (3, left));
        assert!(batch.is_done());
    }
}

#[tokio::test(start_paused = true)]
async fn replies_behind_a_parked_command_hold_no_more_than_they_may() {
    let limits = ClientLimits { reply_bytes_max: 200, ..ClientLimits::default() };
    let mut bench = Bench::with(limits);
    bench.one(&format!("SET k {}", "x".repeat(60))).await;
    let group = |key: &str| bench.service.topology.group_of(routing::hash_slot(key.as_bytes()));
    let other = (0..).map(|n| format!("x{n}")).find(|key| group(key) != group("k")).unwrap();
    let (parked, value) = (group(&other), format!("$60 {}", "x".repeat(60)));
    bench.fake.set_leader(parked, None, false);
    let mut lines = vec!["GET k"; 9];
    let first = format!("GET {other}");
    lines.insert(0, &first);
    let mut batch = bench.plan(&lines);
    for _ in 0..20 {
        batch.round().await;
        assert!(drain(&mut batch).is_empty());
        assert!(batch.reply_bytes < 300, "{} bytes", batch.reply_bytes);
    }
    bench.fake.set_leader(parked, Some(ME), true);
    let mut replies = Vec::new();
    while !batch.is_done() {
        batch.round().await;
        replies.extend(drain(&mut batch));
    }
    assert_eq!((replies.len(), &replies[0][..], &replies[9]), (10, "$-1", &value));
}

#[tokio::test]
async fn hello_changes_the_version_from_its_own_reply_on() {
    let mut bench = Bench::new();
    let replies = bench.run(&["GET k", "HELLO 3", "GET k", "RESET", "GET k", "HELLO 4"]).await;
    assert_eq!(replies[0], "$-1");
    assert!(replies[1].starts_with("%7 $6 server $5 redis"), "{}", replies[1]);
    assert_eq!(&replies[2..5], ["_", "+RESET", "$-1"]);
    assert_eq!(replies[5], "-NOPROTO unsupported protocol version");
}

#[tokio::test]
async fn results_of_writes_are_written_in_either_version() {
    let mut bench = Bench::new();
    let lines =
        ["GETDEL k", "SET k 1", "SET k 2 NX", "INCR k", "HELLO 3", "GETDEL x", "SET k 2 NX"];
    let replies = bench.run(&lines).await;
    assert_eq!(&replies[..4], ["$-1", "+OK", "$-1", ":2"]);
    assert_eq!(&replies[5..], ["_", "_"]);
}

#[tokio::test]
async fn nothing_is_done_after_quit() {
    let mut bench = Bench::new();
    assert_eq!(bench.run(&["SET k 1", "QUIT", "SET k 2"]).await, ["+OK", "+OK"]);
    assert!(bench.session.is_closing);
}

#[tokio::test]
async fn surveys_see_the_groups_led_here() {
    let mut bench = Bench::new();
    let sets: Vec<String> = (0..50).map(|n| format!("SET k{n} v")).collect();
    let mut lines: Vec<&str> = sets.iter().map(String::as_str).collect();
    lines.extend(["DBSIZE", "DEL k0", "DBSIZE"]);
    let replies = bench.run(&lines).await;
    assert_eq!(&replies[50..], [":50", ":1", ":49"]);

    let slot = routing::hash_slot(b"k1");
    let group = bench.service.topology.group_of(slot);
    let count = format!("CLUSTER COUNTKEYSINSLOT {slot}");
    let keys = format!("CLUSTER GETKEYSINSLOT {slot} 10");
    assert_eq!(bench.run(&[&count, &keys]).await, [":1", "*1 $2 k1"]);
    bench.fake.set_leader(group, Some(OTHER), true);
    assert_eq!(bench.run(&[&count, &keys]).await, [":0", "*0"]);
    let left: usize = bench.one("DBSIZE").await.strip_prefix(':').unwrap().parse().unwrap();
    assert!(left < 49, "{left}");
    assert_eq!(scan(&mut bench).await.len(), left);
    bench.fake.set_all(Some(OTHER), true);
    assert_eq!(bench.run(&["DBSIZE", "SCAN 0"]).await, [":0", "*2 $1 0 *0"]);
}

/// All keys that SCAN gives.
async fn scan(bench: &mut Bench) -> Vec<String> {
    let mut keys = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let reply = bench.one(&format!("SCAN {cursor} COUNT 7")).await;
        let words: Vec<&str> = reply.split(' ').collect();
        words[2].clone_into(&mut cursor);
        keys.extend(
            words[4..].iter().filter(|word| word.starts_with('k')).map(ToString::to_string),
        );
        if cursor == "0" {
            return keys;
        }
    }
}

#[tokio::test]
async fn surveys_say_what_is_wrong() {
    let mut bench = Bench::new();
    for (line, expected) in [
        ("SCAN x", "-ERR invalid cursor"),
        ("CLUSTER COUNTKEYSINSLOT x", "-ERR value is not an integer or out of range"),
        ("CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot"),
        ("CLUSTER GETKEYSINSLOT 1 x", "-ERR value is not an integer or out of range"),
        ("CLUSTER GETKEYSINSLOT 1 -1", "-ERR Invalid slot or number of keys"),
        ("CLUSTER GETKEYSINSLOT 16384 1", "-ERR Invalid slot or number of keys"),
    ] {
        assert_eq!(bench.one(line).await, expected, "{line}");
    }
}

#[test]
fn a_read_behind_a_write_of_its_slot_waits_for_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut bench = Bench::new();
        let hold = bench.fake.hold();
        let mut batch = bench.plan(&["SET k 1", "GET k"]);
        {
            let mut round = Box::pin(batch.round());
            let mut context = Context::from_waker(Waker::noop());
            assert!(round.as_mut().poll(&mut context).is_pending());
            assert_eq!(bench.fake.permits(), 0, "the read has not begun");
            hold.send(false).unwrap();
            round.await;
        }
        batch.round().await;
        assert_eq!(drain(&mut batch), ["+OK", "$1 1"]);
    });
}
