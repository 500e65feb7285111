//! `multiraft bench` on real processes: what it says it did was done, and what it cannot do it says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod processes;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use processes::BOUND;
use processes::program::PROGRAM;
use processes::site::{Node, Site};
use serde_json::Value;

const KEYS: u64 = 500;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("bench").args(args).stdin(Stdio::null());
    command
}

fn bench(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// The result of a run that went well.
#[track_caller]
fn result(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{error}{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(args: &[&str]) -> (Option<i32>, String) {
    let output = bench(args);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Three nodes that serve, and the address of the first.
fn cluster(site: &Site) -> (Vec<Node>, String) {
    let nodes: Vec<Node> = (1..=3).map(|node| site.start(node)).collect();
    let leaders = ["MULTIRAFT", "STATUS", "LIMIT", "0"];
    let began = Instant::now();
    while !nodes.iter().all(|node| node.reply(&leaders).contains(r#""with_leader":4,"#)) {
        assert!(began.elapsed() < BOUND, "{}", nodes[0].reply(&leaders));
    }
    (nodes, format!("127.0.0.1:{}", site.ports[0].0))
}

/// The sum of a number over all nodes.
fn sum(nodes: &[Node], number: impl Fn(&Node) -> u64) -> u64 {
    nodes.iter().map(number).sum()
}

fn commands(node: &Node) -> u64 {
    let info = node.reply(&["INFO", "stats"]);
    let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn what_is_counted_was_done_by_the_nodes() {
    let site = Site::of(3);
    let (nodes, at) = cluster(&site);
    let keys = KEYS.to_string();
    let output = bench(&[
        "--at",
        &at,
        "--seconds",
        "1",
        "--warm-up",
        "0",
        "--clients",
        "8",
        "--pipeline",
        "4",
        "--payload",
        "10",
        "--keys",
        &keys,
        "--read-share",
        "0.5",
        "--output",
        "json",
    ]);
    let result = result(&output);
    let number = |name: &str| result[name].as_f64().unwrap_or_else(|| panic!("{name} in {result}"));
    assert_eq!((number("schema"), number("nodes"), number("groups")), (1.0, 3.0, 4.0));
    assert_eq!((number("clients"), number("pipeline"), number("payload_bytes")), (8.0, 4.0, 10.0));
    assert_eq!(result["target"], "redis");
    assert_eq!(result["errors"], Value::Object(serde_json::Map::new()), "{result}");
    for name in [
        "seconds",
        "operations_per_second",
        "fsyncs_per_second",
        "entries_per_fsync",
        "fsync_p99_us",
        "cpu_us_per_operation",
    ] {
        assert!(number(name) > 0.0, "{name} in {result}");
    }
    for name in ["latency_us", "read_latency_us", "write_latency_us"] {
        let quantile = |quantile: &str| result[name][quantile].as_f64().unwrap();
        assert!(quantile("p50") > 0.0 && quantile("p50") <= quantile("p99"), "{result}");
        assert!(quantile("p99") <= quantile("p999") && quantile("p999") <= quantile("max"));
    }
    let (operations, reads) = (number("operations"), number("reads"));
    assert_eq!((reads + number("writes"), number("reads_missing")), (operations, 0.0), "{result}");
    assert!((0.3..0.7).contains(&(reads / operations)), "{result}");

    // All keys are there with values of the right length, and the nodes counted at least as many
    // commands: those that wrote the keys before, and those that count. More, since the load runs
    // before it counts.
    let there = sum(&nodes, |node| node.reply(&["DBSIZE"]).parse().unwrap());
    assert_eq!(there, KEYS);
    assert_eq!(nodes[0].reply(&["STRLEN", "multiraft-bench:00000499"]), "10");
    let counted = result["operations"].as_u64().unwrap() + KEYS;
    let served = sum(&nodes, commands);
    assert!(served >= counted, "{counted} counted, {served} served");
}

#[test]
fn clients_follow_leaders_that_change_under_load() {
    let site = Site::of(3);
    let (nodes, at) = cluster(&site);
    let args =
        ["--at", &at, "--seconds", "3", "--warm-up", "0", "--clients", "4", "--output", "json"];
    let load = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let load = thread::spawn(move || load.wait_with_output().unwrap());
    // From node to node, until it is over.
    let mut handed = 0;
    for to in ["1", "2", "3"].into_iter().cycle() {
        if load.is_finished() {
            break;
        }
        let hand_over = |node: &Node| node.reply(&["MULTIRAFT", "TRANSFER", "1", to]) == "OK";
        handed += u32::from(nodes.iter().any(hand_over));
    }
    let result = result(&load.join().unwrap());
    assert!(handed > 1, "nothing was handed over");
    assert!(result["redirects"].as_u64().unwrap() > 0, "{result}");
}

/// A Redis alone that takes no writes; gives its port.
fn refusing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(|| refuse(stream.unwrap()));
        }
    });
    port
}

fn refuse(mut stream: TcpStream) {
    let mut piece = [0; 1024];
    while let Ok(len) = stream.read(&mut piece)
        && len > 0
    {
        let asks = |word: &str| piece[..len].windows(word.len()).any(|it| it == word.as_bytes());
        let answer: &[u8] = if asks("CLUSTER") {
            b"-ERR This instance has cluster support disabled\r\n"
        } else if asks("INFO") {
            b"$19\r\nredis_version:7.0\r\n\r\n"
        } else {
            b"-MISCONF no\r\n"
        };
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

#[test]
fn a_run_with_errors_tells_them_by_kind_and_ends_with_1() {
    let at = format!("127.0.0.1:{}", refusing());
    let args = ["--at", &at, "--clients", "1", "--seconds", "1", "--warm-up", "0"];
    let output = bench(&[&args[..], &["--output", "json"]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*error), (Some(1), ""));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["server"], &result["operations"]), (&"redis 7.0".into(), &0.into()));
    let errors = result["errors"].as_object().unwrap();
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["MISCONF"], "{result}");
    assert!(errors["MISCONF"].as_u64().unwrap() > 0, "{result}");
}

#[test]
fn nodes_of_its_own_are_loaded_and_leave_nothing_behind() {
    let folder = folder_on_disk();
    let dir = folder.path().to_str().unwrap();
    let output = bench(&[
        "--target",
        "engine",
        "--dir",
        dir,
        "--groups",
        "8",
        "--seconds",
        "1",
        "--warm-up",
        "0",
        "--clients",
        "8",
        "--pipeline",
        "8",
        "--keys",
        "1000",
        "--read-share",
        "0.5",
        "--output",
        "json",
    ]);
    let result = result(&output);
    assert_eq!((&result["target"], &result["groups"]), (&"engine".into(), &8.into()));
    assert!(result["reads"].as_u64().unwrap() > 0 && result["writes"].as_u64().unwrap() > 0);
    assert_eq!(result["reads_missing"], 0, "{result}");
    assert!(result["entries_per_fsync"].as_f64().unwrap() > 0.0, "{result}");
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0);
}

/// A folder where cargo builds: temporary ones are in memory on some machines.
fn folder_on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_interrupts_it_finds_nothing_left_behind() {
    use rustix::process::{Pid, Signal, kill_process};
    for signal in [Signal::INT, Signal::TERM] {
        let folder = folder_on_disk();
        let dir = folder.path().to_str().unwrap();
        let args = ["--target", "engine", "--dir", dir, "--seconds", "600"];
        let mut load = command(&args).stderr(Stdio::piped()).spawn().unwrap();
        let own = folder.path().join(format!("multiraft-bench-{}", load.id()));
        let began = Instant::now();
        while !own.join("node-3/log.redb").exists() {
            assert!(began.elapsed() < BOUND, "{:?}", load.try_wait());
            thread::yield_now();
        }
        kill_process(Pid::from_child(&load), signal).unwrap();
        let output = load.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert_eq!(error, "multiraft: stopped, without a result\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn what_cannot_be_measured_is_refused_with_what_to_do() {
    let site = Site::of(3);
    let at = format!("127.0.0.1:{}", site.ports[0].0);
    let (code, error) = refused(&["--at", &at]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(&format!("cannot connect to {at}: ")), "{error}");
    assert!(error.contains("--at HOST:PORT names another"), "{error}");

    let one = site.start(1);
    let began = Instant::now();
    while !one.reply(&["PING"]).contains("PONG") {
        assert!(began.elapsed() < BOUND);
    }
    let peer = format!("127.0.0.1:{}", site.ports[0].1);
    let (code, error) = refused(&["--at", &peer]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(&peer) && error.contains("is a node running there?"), "{error}");
    let (code, error) = refused(&["--at", &at, "--keys", "3"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("--keys 3 is less than the 4 groups"), "{error}");
    // Two of three nodes are missing: nothing was ever founded.
    let (code, error) = refused(&["--at", &at]);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("4 of 4 groups have no leader within 5 s"), "{error}");

    let (code, error) = refused(&["--target", "engine", "--dir", "/nowhere/at/all"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("--dir /nowhere/at/all: "), "{error}");
    #[cfg(target_os = "linux")]
    {
        let (code, error) = refused(&["--target", "engine", "--dir", "/dev/shm"]);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("--dir /dev/shm is in memory (tmpfs)"), "{error}");
    }
    let (code, error) = refused(&["--pipeline", "0"]);
    assert_eq!(code, Some(2), "{error}");
}
