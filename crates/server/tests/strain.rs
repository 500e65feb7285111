//! A node in a process of its own, and clients that ask too much of it: its memory stays bounded, it
//! says what it does about them, and others go on.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod processes;

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use processes::BOUND;
use processes::cluster::own_host;
use processes::program::Program;
use processes::resp::{Connection, Reply};

const MIB: usize = 1 << 20;
/// The largest value that a node takes unless told otherwise.
const VALUE_BYTES: usize = 512 << 10;
/// Limits under which what must not happen would be plain to see.
const TIGHT: &str = "reply_bytes_max = 4194304\nclients_bytes_max = 33554432\n";
/// What `clients_bytes_max` is in [`TIGHT`].
const TIGHT_BYTES: usize = 32 * MIB;
/// What memory may grow by beside what is counted: pages that the allocator keeps.
const UNCOUNTED_BYTES: usize = 48 * MIB;

/// One node alone.
struct Node {
    folder: tempfile::TempDir,
    address: SocketAddr,
    program: Program,
}

impl Node {
    /// Starts a node with these lines under `[limits]`, and waits until it serves.
    fn start(limits: &str) -> Self {
        Self::start_within(limits, None)
    }

    /// The same in a process that may have so many file descriptors, as `ulimit -n` takes it.
    fn start_within(limits: &str, descriptors: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, address) = write_config(folder.path(), limits);
        let (args, log) = (["serve", "--config", &config], folder.path().join("log"));
        let program = match descriptors {
            Some(descriptors) => Program::start_within(descriptors, &args, &log),
            None => Program::start(&args, &log),
        };
        program.wait_for("serves clients");
        let node = Self { folder, address, program };
        node.connect().work(0);
        node
    }

    fn connect(&self) -> Client {
        Client(Connection::open(self.address, BOUND).unwrap())
    }

    /// A connection that only sends.
    fn stream(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Waits until so many lines of its log contain a text.
    fn wait_for_lines(&self, text: &str, count: usize) {
        let began = Instant::now();
        loop {
            let log = std::fs::read_to_string(self.log()).unwrap();
            if log.lines().filter(|line| line.contains(text)).count() >= count {
                return;
            }
            assert!(began.elapsed() < BOUND, "not {count} times {text:?} in {log}");
            std::thread::yield_now();
        }
    }

    /// How much memory the process has.
    fn memory_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.id()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
    }
}

/// Writes the configuration of a node alone; tells its file and where it takes in clients.
fn write_config(folder: &Path, limits: &str) -> (String, SocketAddr) {
    let host = own_host();
    let [address, peers] = [7_001, 17_001].map(|port| SocketAddr::new(host.into(), port));
    let text = format!(
        "cluster_id = \"strain\"\nnode_id = 1\ndata_dir = {:?}\n\
         redis_addr = \"{address}\"\npeer_addr = \"{peers}\"\n[limits]\n{limits}",
        folder.join("data")
    );
    let file = folder.join("node.toml");
    std::fs::write(&file, text).unwrap();
    (file.to_str().unwrap().to_owned(), address)
}

/// A client that behaves.
struct Client(Connection);

impl Client {
    fn ask(&mut self, words: &[&str]) -> Reply {
        self.0.ask(words, Instant::now() + BOUND).unwrap()
    }

    /// Writes and reads a few keys, each reply the right one.
    fn work(&mut self, round: usize) {
        for key in 0..20 {
            let (key, value) = (format!("work-{key}"), format!("{round}-{key}"));
            assert_eq!(self.ask(&["SET", &key, &value]), Reply::Status("OK".to_owned()));
            assert_eq!(self.ask(&["GET", &key]), Reply::Text(Some(value)));
        }
    }

    /// Waits until the node has no other client.
    fn wait_until_alone(&mut self) {
        let began = Instant::now();
        while self.info("connected_clients") > 1 {
            assert!(began.elapsed() < BOUND, "others are there still");
        }
    }

    /// One number that INFO says.
    fn info(&mut self, field: &str) -> usize {
        let Reply::Text(Some(text)) = self.ask(&["INFO"]) else { panic!("INFO is no text") };
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field} in {text}")).parse().unwrap()
    }
}

/// A request as clients send it.
fn request(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| write!(text, "${}\r\n{word}\r\n", word.len()).unwrap());
    text
}

/// Lets this process have as many files as it may, and tells how many.
fn descriptors() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(current).unwrap()
}

#[test]
fn ten_thousand_idle_clients_cost_little_and_one_more_is_told_so() {
    let clients = descriptors().saturating_sub(500).min(10_000);
    if clients < 10_000 {
        println!("only {clients} clients: the limit on file descriptors allows no more");
    }
    let node = Node::start(&format!("clients_max = {}\n", clients + 1));
    let mut active = node.connect();
    active.work(1);
    let before = node.memory_bytes();
    let mut idle = Vec::new();
    for number in 0..clients {
        let mut client = node.connect();
        assert_eq!(client.ask(&["PING"]), Reply::Status("PONG".to_owned()), "client {number}");
        idle.push(client);
    }
    let each = node.memory_bytes().saturating_sub(before) / clients;
    println!("{each} bytes of memory for each of {clients} idle clients");
    assert!(each < 16 << 10, "{each} bytes for each idle client");
    let mut text = String::new();
    node.stream().read_to_string(&mut text).unwrap();
    assert_eq!(text, "-ERR max number of clients reached\r\n");
    active.work(2);
    assert_eq!(active.info("connected_clients"), clients + 1);
    let held = active.info("mem_clients_normal");
    assert!(held < MIB, "{held} bytes of buffers of clients that wait");
    for client in idle.iter_mut().step_by(97) {
        assert_eq!(client.ask(&["ECHO", "still"]), Reply::Text(Some("still".to_owned())));
    }
}

#[test]
fn clients_that_take_no_replies_are_disconnected_and_the_others_go_on() {
    const SILENT: usize = 600;
    let limits = format!("{TIGHT}client_write_timeout_ms = 2000\n");
    let node = Node::start(&limits);
    let mut active = node.connect();
    let value = "x".repeat(VALUE_BYTES - 8);
    assert_eq!(active.ask(&["SET", "large", &value]), Reply::Status("OK".to_owned()));
    let before = node.memory_bytes();
    let asks = request(&["GET", "large"]).repeat(64);
    let mut silent: Vec<TcpStream> = (0..SILENT).map(|_| node.stream()).collect();
    silent.iter_mut().for_each(|stream| stream.write_all(asks.as_bytes()).unwrap());
    let mut most = 0;
    let began = Instant::now();
    // Each is disconnected, for one reason or the other.
    while active.info("connected_clients") > 1 {
        active.work(1);
        most = most.max(node.memory_bytes().saturating_sub(before));
        assert!(began.elapsed() < BOUND, "they are not disconnected");
    }
    println!("{} MiB for {SILENT} clients that take no replies", most / MIB);
    assert!(most < TIGHT_BYTES + UNCOUNTED_BYTES, "{most} bytes");
    assert!(active.info("evicted_clients") > 0);
    assert!(active.info("client_output_buffer_limit_disconnections") > 0);
    node.wait_for_lines("and it holds most", 1);
    node.wait_for_lines("it has taken none of its replies for client_write_timeout_ms", 1);
    assert_eq!(active.info("mem_clients_normal") / MIB, 0);
}

#[test]
fn unfinished_commands_take_no_more_memory_than_all_clients_may() {
    let node = Node::start(TIGHT);
    let mut active = node.connect();
    active.work(1);
    let before = node.memory_bytes();
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${VALUE_BYTES}\r\n");
    let part = [head.as_bytes(), &[b'x'; VALUE_BYTES - 1]].concat();
    let mut unfinished: Vec<TcpStream> = (0..400).map(|_| node.stream()).collect();
    let mut most = 0;
    for stream in &mut unfinished {
        // Whoever is disconnected meanwhile cannot send.
        let _ = stream.write_all(&part);
        most = most.max(node.memory_bytes().saturating_sub(before));
    }
    active.work(2);
    most = most.max(node.memory_bytes().saturating_sub(before));
    let held = active.info("mem_clients_normal");
    println!("{} MiB grown, {} MiB counted", most / MIB, held / MIB);
    assert!(most < TIGHT_BYTES + UNCOUNTED_BYTES, "{most} bytes");
    assert!((1..=TIGHT_BYTES).contains(&held), "{held} bytes counted");
    assert!(active.info("evicted_clients") > 300);
    node.wait_for_lines("and it holds most", 300);
    // Announcements alone take nothing, and those beyond a limit are refused.
    for (announced, refusal) in [
        ("*65537\r\n", "invalid multibulk length"),
        ("*2\r\n$524289\r\n", "invalid bulk length"),
        ("*9223372036854775807\r\n", "invalid multibulk length"),
    ] {
        let mut stream = node.stream();
        stream.write_all(announced.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("-ERR Protocol error: {refusal}\r\n"));
    }
    active.work(3);
}

#[test]
fn a_pipeline_without_end_waits_in_its_own_socket() {
    let node = Node::start(TIGHT);
    let mut active = node.connect();
    active.work(1);
    let before = node.memory_bytes();
    let mut stream = node.stream();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // Longer than any socket's buffers: what is sent is not read before replies are taken.
    let ask = request(&["ECHO", &"e".repeat(1_000)]);
    let pipeline = ask.repeat(1_000);
    let mut sent = 0;
    let is_full = loop {
        match stream.write(&pipeline.as_bytes()[sent % ask.len()..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
            Err(error) => panic!("after {sent} bytes: {error}"),
        }
        if sent > 256 * MIB {
            break false;
        }
    };
    assert!(is_full, "the node has taken {sent} bytes and its replies were not taken");
    let grown = node.memory_bytes().saturating_sub(before);
    println!("{} MiB sent, {} MiB grown", sent / MIB, grown / MIB);
    assert!(grown < TIGHT_BYTES, "{grown} bytes for one client");
    active.work(2);
    // All that was sent whole is answered once the replies are taken.
    let replies = sent / ask.len();
    let mut bytes = vec![0; replies * (ask.len() - request(&["ECHO"]).len())];
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.read_exact(&mut bytes).unwrap();
    assert!(bytes.ends_with(b"ee\r\n"));
}

#[test]
fn a_command_that_comes_slowly_is_done_and_delays_nobody() {
    let node = Node::start(TIGHT);
    let (mut active, mut slow) = (node.connect(), node.stream());
    slow.set_nodelay(true).unwrap();
    for (at, byte) in request(&["SET", "slow", "value"]).bytes().enumerate() {
        slow.write_all(&[byte]).unwrap();
        // Whatever has come of it by now, it is not done and nobody waits for it.
        if at % 8 == 0 {
            active.work(at);
        }
    }
    let mut reply = [0; 5];
    slow.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+OK\r\n");
    assert_eq!(active.ask(&["GET", "slow"]), Reply::Text(Some("value".to_owned())));
}

/// What a client that is gone without a word comes to cannot be shown without cutting a network; that
/// the system asks it can.
#[test]
fn the_system_asks_silent_clients_whether_they_are_there() {
    for (limits, keepalive_s) in [("", Some(300)), ("client_keepalive_s = 0\n", None)] {
        let node = Node::start(limits);
        let mut client = node.connect();
        client.work(1);
        let began = Instant::now();
        let timer = loop {
            match keepalive_timer_s(node.address, client.0.address()) {
                Timer::Busy => assert!(began.elapsed() < BOUND, "it is not silent"),
                Timer::None => break None,
                Timer::Keepalive(seconds) => break Some(seconds),
            }
        };
        let seconds = timer.unwrap_or_default()..=timer.map_or(0, |timer| timer + 60);
        assert_eq!(timer.is_some(), keepalive_s.is_some(), "{timer:?} s for {keepalive_s:?}");
        assert!(seconds.contains(&keepalive_s.unwrap_or_default()), "{timer:?} s");
    }
}

/// What the system waits for on a connection.
enum Timer {
    None,
    /// For an acknowledgement.
    Busy,
    /// For so many seconds of silence yet.
    Keepalive(u64),
}

/// The timer of the node's end of a connection, by the system's own word.
fn keepalive_timer_s(own: SocketAddr, peer: SocketAddr) -> Timer {
    /// Of what the system counts such times in.
    const PER_SECOND: u64 = 100;
    let shown = |address: SocketAddr| match address {
        SocketAddr::V4(it) => {
            format!("{:08X}:{:04X}", u32::from_ne_bytes(it.ip().octets()), it.port())
        }
        SocketAddr::V6(_) => panic!("nodes of tests listen on addresses of version 4"),
    };
    let (own, peer) = (shown(own), shown(peer));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut rows = table.lines().map(fields);
    let row = rows.find(|row| row[1] == own && row[2] == peer);
    let row = row.expect("the connection is there");
    let (kind, when) = row[5].split_once(':').unwrap();
    match kind {
        "00" => Timer::None,
        "02" => Timer::Keepalive(u64::from_str_radix(when, 16).unwrap() / PER_SECOND),
        _ => Timer::Busy,
    }
}

#[test]
fn clients_get_the_file_descriptors_that_the_node_does_not_need() {
    // 128 are the node's own.
    let node = Node::start_within("", Some("200"));
    node.wait_for_lines("fewer clients than clients_max fit", 1);
    let mut clients = vec![node.connect()];
    // Whoever looked whether the node serves has gone, and has to be seen gone.
    clients[0].wait_until_alone();
    clients.extend((1..72).map(|_| node.connect()));
    clients.iter_mut().for_each(|client| client.work(1));
    let mut text = String::new();
    node.stream().read_to_string(&mut text).unwrap();
    assert_eq!(text, "-ERR max number of clients reached\r\n");
    drop(node);

    let node = Node::start_within("clients_max = 300\n", Some("-S 200"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.program.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("428"), "raised as far as needed: {line}");

    let folder = tempfile::tempdir().unwrap();
    let (file, _) = write_config(folder.path(), "");
    let log = folder.path().join("log");
    let node = Program::start_within("128", &["serve", "--config", &file], &log);
    assert_eq!(node.ended(), Some(1));
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("may have 128 file descriptors, and needs 128 for each node"), "{said}");
}
