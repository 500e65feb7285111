//! Real processes that do not take one another for whom they say they are: each says why, on both
//! sides, once and not at every attempt; and a store that went back in time ends its process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Built by cargo for this very test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_multiraft");
/// No test waits longer for anything.
const BOUND: Duration = Duration::from_secs(60);
/// Long enough for an election that nothing stands in the way of: its longest timeout is 400 ms.
const SEVERAL_ELECTIONS: Duration = Duration::from_secs(3);
/// Whoever is refused tries again; so often a refusal is waited for.
const ATTEMPTS: usize = 3;

/// The nodes of a test: their ports, and folders for their files and data.
struct Site {
    folder: tempfile::TempDir,
    /// By node: for clients and for peers.
    ports: Vec<(u16, u16)>,
}

/// A running `multiraft serve`; killed at the end.
struct Node {
    child: Child,
    port: u16,
    log: Arc<Log>,
}

/// What a process has written to stderr so far.
#[derive(Default)]
struct Log {
    state: Mutex<(Vec<String>, bool)>,
    grown: Condvar,
}

impl Site {
    /// Ports that are free at the moment; somebody may take one before a node does.
    fn of(nodes: usize) -> Self {
        let listeners: Vec<TcpListener> =
            (0..2 * nodes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let ports = listeners.chunks(2).map(|pair| (port(&pair[0]), port(&pair[1]))).collect();
        Self { folder: tempfile::tempdir().unwrap(), ports }
    }

    fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("data-{node}"))
    }

    /// Starts a node of a cluster by that name with that many groups.
    fn start_in(&self, node: usize, cluster: &str, groups: usize) -> Node {
        let (redis, peer) = self.ports[node - 1];
        let nodes = self.ports.iter().zip(1..).map(|((redis, peer), id)| {
            format!(
                "[[nodes]]\nid = {id}\npeer_addr = \"127.0.0.1:{peer}\"\n\
                 redis_addr = \"127.0.0.1:{redis}\"\n"
            )
        });
        let text = format!(
            "cluster_id = \"{cluster}\"\nnode_id = {node}\ndata_dir = {:?}\ngroups = {groups}\n\
             redis_addr = \"127.0.0.1:{redis}\"\npeer_addr = \"127.0.0.1:{peer}\"\n{}\
             [timing]\ntick_ms = 20\n",
            self.data(node),
            nodes.collect::<String>()
        );
        let file = self.folder.path().join(format!("node-{node}.toml"));
        fs::write(&file, text).unwrap();
        Node::start(&file, redis)
    }

    fn start(&self, node: usize) -> Node {
        self.start_in(node, "refusals", 4)
    }

    /// Copies a node's data folder; the node does not run.
    fn back_up(&self, node: usize) -> PathBuf {
        let backup = self.folder.path().join(format!("backup-{node}"));
        copy_folder(&self.data(node), &backup);
        backup
    }

    /// Puts a copy in the place of the node's data folder.
    fn put_back(&self, node: usize, backup: &Path) {
        fs::remove_dir_all(self.data(node)).unwrap();
        copy_folder(backup, &self.data(node));
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

impl Node {
    fn start(file: &Path, port: u16) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["--log", "info,transport=debug", "serve", "--config"]).arg(file);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, log) = (BufReader::new(child.stderr.take().unwrap()), Arc::<Log>::default());
        let writer = log.clone();
        thread::spawn(move || {
            lines.lines().map_while(Result::ok).for_each(|line| writer.add(line));
            writer.close();
        });
        Self { child, port, log }
    }

    /// Sends one command, and again until somebody leads the group and its reply is `expected`.
    fn until_reply(&self, words: &[&str], expected: &str) {
        let began = Instant::now();
        loop {
            let reply = self.reply(words);
            if reply == expected {
                return;
            }
            assert!(began.elapsed() < BOUND, "{words:?}: {reply}, expected {expected}");
        }
    }

    /// What one command brings: its reply, or why there is none.
    fn reply(&self, words: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new(PROGRAM).args(["client", "-p", &port]).args(words).output();
        let output = output.unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).trim_end().to_owned()
    }

    /// Kills the process, as a machine that dies would.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until connections were refused several times for what the log says once.
    #[track_caller]
    fn assert_told_once(&self, reason: &str) {
        let told = |lines: &[String], how: &str| {
            lines.iter().filter(|line| line.contains(how) && line.contains(reason)).count()
        };
        let lines = self.log.until(reason, |lines| {
            told(lines, "WARN") > 0 && told(lines, "connection refused again") >= ATTEMPTS
        });
        assert_eq!(told(&lines, "WARN"), 1, "{reason}: {lines:#?}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn add(&self, line: String) {
        self.state.lock().unwrap().0.push(line);
        self.grown.notify_all();
    }

    fn close(&self) {
        self.state.lock().unwrap().1 = true;
        self.grown.notify_all();
    }

    /// Waits until the lines are enough; the process goes on.
    #[track_caller]
    fn until(&self, what: &str, is_enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let waits = |state: &mut (Vec<String>, bool)| !is_enough(&state.0) && !state.1;
        let (state, _) = self.grown.wait_timeout_while(state, BOUND, waits).unwrap();
        assert!(is_enough(&state.0), "{what}: waited in vain: {:#?}", state.0);
        state.0.clone()
    }

    /// Waits until the process has closed it, and gives all of it.
    fn whole(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let (state, _) = self.grown.wait_timeout_while(state, BOUND, |state| !state.1).unwrap();
        assert!(state.1, "the process does not end: {:#?}", state.0);
        state.0.clone()
    }
}

#[test]
fn nodes_of_two_clusters_say_so_on_both_sides() {
    let site = Site::of(2);
    let (one, two) = (site.start_in(1, "prod", 4), site.start_in(2, "test", 4));
    one.assert_told_once("node 2 belongs to cluster 'test', node 1 expects 'prod'");
    two.assert_told_once("node 1 belongs to cluster 'prod', node 2 expects 'test'");
}

#[test]
fn nodes_with_other_groups_say_so_on_both_sides() {
    let site = Site::of(2);
    let (one, two) = (site.start_in(1, "refusals", 4), site.start_in(2, "refusals", 5));
    one.assert_told_once("vshards, groups and voters must be configured alike on all nodes");
    two.assert_told_once("vshards, groups and voters must be configured alike on all nodes");
}

/// A node of the next release, played by hand.
#[test]
fn another_version_of_the_protocol_is_named_on_both_sides() {
    let site = Site::of(2);
    let one = site.start(1);
    let reason = "the peer speaks protocol version 3, node 1 expects 2: run the same release on \
                  both";
    for _ in 0..=ATTEMPTS {
        let answer = String::from_utf8_lossy(&call_as_version_3(site.ports[0].1)).into_owned();
        assert!(answer.contains(reason), "{answer}");
    }
    one.assert_told_once(reason);
}

/// Says hello as a later version would, and reads everything until the node hangs up.
fn call_as_version_3(port: u16) -> Vec<u8> {
    let began = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(began.elapsed() < BOUND, "{error}"),
        }
    };
    // Magic, version 3, hello, no body, and the checksum of all that.
    let hello = b"MULTIRFT\x03\x00\x01\x00\x00\x00\x00\x00\x77\xbe\xa7\xca";
    stream.write_all(hello).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn a_node_with_a_new_store_is_told_to_be_replaced() {
    let site = Site::of(3);
    let (one, two, _three) = (site.start(1), site.start(2), site.start(3));
    one.until_reply(&["set", "key", "value"], "OK");
    two.until_reply(&["get", "key"], "value");
    two.kill();
    fs::remove_dir_all(site.data(2)).unwrap();
    let two = site.start(2);
    one.assert_told_once("node 2 has a new store: remove its replicas and add new ones");
    two.assert_told_once("refused by node 1: node 2 has a new store: remove its replicas");
    one.until_reply(&["get", "key"], "value");
}

#[test]
fn an_older_copy_of_a_folder_is_refused() {
    let site = Site::of(3);
    let (one, two, three) = (site.start(1), site.start(2), site.start(3));
    one.until_reply(&["set", "key", "0"], "OK");
    two.until_reply(&["get", "key"], "0");
    two.kill();
    let backup = site.back_up(2);
    for (times, value) in [(1, "1"), (2, "2")] {
        let two = site.start(2);
        // Once it takes part, its peers have met it, and they remember.
        two.until_reply(&["set", "key", value], "OK");
        one.log.until("node 2 is met again", |lines| ups(lines) > times);
        two.kill();
    }
    site.put_back(2, &backup);
    let two = site.start(2);
    let reason = "(found boot 2, node 1 has met boot 3)";
    one.assert_told_once(reason);
    two.assert_told_once("refused by node 1: node 2 runs on an older copy of its store");
    // Node 1 alone is no majority, and the copy does not make it one.
    three.kill();
    let began = Instant::now();
    while began.elapsed() < SEVERAL_ELECTIONS {
        assert_ne!(one.reply(&["set", "key", "3"]), "OK", "the copy has acknowledged");
    }
    let three = site.start(3);
    three.until_reply(&["set", "key", "4"], "OK");
    one.until_reply(&["get", "key"], "4");
}

/// How often node 2 came up.
fn ups(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.contains("peer is up") && line.contains("peer=2")).count()
}

#[test]
fn a_copy_that_lacks_acknowledged_writes_ends_its_process() {
    let site = Site::of(3);
    let (one, two, _three) = (site.start(1), site.start(2), site.start(3));
    one.until_reply(&["set", "key", "0"], "OK");
    two.until_reply(&["get", "key"], "0");
    two.kill();
    let backup = site.back_up(2);
    let two = site.start(2);
    // Enough keys that every group has some, whoever leads it.
    for key in 0..32 {
        let key = key.to_string();
        two.until_reply(&["set", &key, "not in the copy"], "OK");
        two.until_reply(&["get", &key], "not in the copy");
    }
    two.kill();
    site.put_back(2, &backup);
    let mut two = site.start(2);
    let lines = two.log.whole();
    assert_eq!(two.child.wait().unwrap().code(), Some(1));
    let said = lines.iter().rev().find(|line| line.starts_with("multiraft: node 2 failed"));
    let said = said.unwrap_or_else(|| panic!("it does not say why: {lines:#?}"));
    assert!(said.contains("the store was rolled back") && said.contains("acknowledged"), "{said}");
    one.until_reply(&["get", "0"], "not in the copy");
}
