//! The program as it is started: the demo, one node alone, and one command to them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod processes;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use processes::program::{PROGRAM, Program};

/// Starts the program, with a log in `folder`, and waits for a line of its output that contains
/// `ready`.
fn start(args: &[&str], folder: &Path, ready: &str) -> Program {
    let program = Program::start(args, &folder.join("log"));
    program.wait_for(ready);
    program
}

fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().unwrap()
}

/// Sends one command and tells its bare reply.
fn client(port: u16, words: &[&str]) -> String {
    let port = port.to_string();
    let output = run(&[&["client", "-p", &port], words].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A first port such that the demo's six ports are free at the moment. Somebody may take one
/// before the demo does: ports of the demo are numbers, not sockets. All are below those that the
/// system gives to who connects: what other tests' clients leave behind keeps hundreds of them.
fn demo_port() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Tests of this file run side by side: each asks for other ports.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 2_000).unwrap();
    let first = NEXT.fetch_add(1_000, Ordering::Relaxed);
    (0..140)
        .map(|attempt| 10_000 + (own + first + attempt * 83) % 12_000)
        .find(|port| (0..3).all(|offset| is_free(port + offset) && is_free(port + 10_000 + offset)))
        .expect("some ports are free")
}

#[test]
fn the_demo_answers_stops_cleanly_and_finds_its_data_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let port = demo_port();
    let port_text = port.to_string();
    let args = ["demo", "--port", &port_text, "--data", data.to_str().unwrap()];

    let demo = start(&args, folder.path(), "Ctrl-C");
    assert_eq!(client(port, &["set", "greeting", "hello"]), "OK");
    assert_eq!(client(port + 1, &["get", "greeting"]), "hello");
    let taken = run(&args);
    assert_eq!(taken.status.code(), Some(1));
    let error = String::from_utf8(taken.stderr).unwrap();
    assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("--port"), "{error}");
    let (code, rest) = demo.terminate();
    assert_eq!(code, Some(0));
    assert!(rest.contains("Stopped."), "{rest}");

    let demo = start(&args, folder.path(), "Ctrl-C");
    assert_eq!(client(port + 2, &["get", "greeting"]), "hello");
    assert_eq!(demo.terminate().0, Some(0));
    for node in 1..=3 {
        assert!(data.join(format!("node-{node}")).is_dir());
    }
}

fn write_config(folder: &Path, port: u16) -> String {
    let file = folder.join("node.toml");
    let data = folder.join("data");
    let text = format!(
        "cluster_id = \"alone\"\nnode_id = 1\ndata_dir = {data:?}\n\
         redis_addr = \"127.0.0.1:{port}\"\npeer_addr = \"127.0.0.1:{}\"\n",
        port + 10_000
    );
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn one_node_alone_serves_all_slots() {
    let folder = tempfile::tempdir().unwrap();
    let port = demo_port() + 3;
    let config = write_config(folder.path(), port);
    let args = ["serve", "--config", &config];
    let node = start(&args, folder.path(), "serves clients");
    for key in ["a", "b", "c", "d"] {
        assert_eq!(client(port, &["set", key, key]), "OK");
    }
    assert_eq!(client(port, &["dbsize"]), "4");
    let taken = run(&args);
    let error = String::from_utf8(taken.stderr).unwrap();
    assert!(error.contains("redis_addr") && error.contains("node.toml"), "{error}");
    assert_eq!(taken.status.code(), Some(1));
    assert_eq!(node.terminate().0, Some(0));
    let node = start(&args, folder.path(), "serves clients");
    assert_eq!(client(port, &["get", "c"]), "c");
    assert_eq!(node.terminate().0, Some(0));
}

#[test]
fn the_log_is_turned_up_and_down_while_the_node_runs() {
    let folder = tempfile::tempdir().unwrap();
    let port = demo_port() + 3;
    let config = write_config(folder.path(), port);
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    let args = ["serve", "--config", &config, "--log", "off"];
    let node = start(&args, folder.path(), "serves clients");
    assert_eq!(client(port, &["multiraft", "log"]), "was\noff\nnow\noff");
    assert_eq!(
        client(port, &["multiraft", "log", "INFO,engine=off"]),
        "was\noff\nnow\ninfo,engine=off"
    );
    let output = run(&["client", "-p", &port.to_string(), "multiraft", "log", "loud"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stdout).unwrap();
    assert!(error.starts_with("ERR 'loud' is no level: allowed is off, error, warn"), "{error}");
    assert_eq!(client(port, &["multiraft", "log"]), "was\ninfo,engine=off\nnow\ninfo,engine=off");
    assert_eq!(node.terminate().0, Some(0));
    let heard = log();
    assert!(heard.contains("changed was=off now=info,engine=off client="), "{heard}");
    assert!(heard.contains("server::cli::run: stopping"), "{heard}");
    std::fs::remove_file(folder.path().join("log")).unwrap();

    let node = start(&["serve", "--config", &config], folder.path(), "serves clients");
    assert_eq!(client(port, &["multiraft", "log", "warn"]), "was\ninfo\nnow\nwarn");
    assert_eq!(node.terminate().0, Some(0));
    assert!(!log().contains("stopping"), "{}", log());
}

#[test]
fn a_cluster_that_is_watched_is_shown_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let port = demo_port() + 3;
    let config = write_config(folder.path(), port);
    let node = start(&["serve", "--config", &config], folder.path(), "serves clients");
    let address = format!("127.0.0.1:{port}");
    let args = ["status", "--watch", "--addr", &address];
    let watch = Program::start(&args, &folder.path().join("watch"));
    // What is printed is no terminal's, so that screens follow each other.
    watch.wait_for("cluster alone: ok");
    watch.wait_for("cluster alone: ok");
    assert_eq!(node.terminate().0, Some(0));
    watch.wait_for("cannot connect to");
    watch.wait_for("cannot connect to");
    let node = start(&["serve", "--config", &config], folder.path(), "serves clients");
    watch.wait_for("cluster alone: ok");
    drop(watch);
    assert_eq!(node.terminate().0, Some(0));
}

/// What `config check` says of a file: its exit code, and all that it prints.
fn checked(more: &[&str], file: &str) -> (Option<i32>, String) {
    let output = run(&[&["config", "check", file], more].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn the_example_that_is_printed_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    let example = run(&["config", "example"]);
    assert_eq!(example.status.code(), Some(0));
    std::fs::write(&file, example.stdout).unwrap();
    let (code, said) = checked(&["--file-only"], file.to_str().unwrap());
    assert!(code == Some(0) && said.contains("nodes[2].id = 3"), "{said}");
}

#[test]
fn a_file_is_checked_with_its_machine() {
    let folder = tempfile::tempdir().unwrap();
    let port = demo_port() + 3;
    let config = write_config(folder.path(), port);
    let (code, said) = checked(&[], &config);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with(&format!("{config}: ok\n\n")), "{said}");
    assert!(!folder.path().join("data").exists(), "nothing is left behind");

    let other = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (code, said) = checked(&[], &config);
    assert_eq!(code, Some(1));
    let start =
        format!("multiraft: {config}: redis_addr is \"127.0.0.1:{port}\", allowed is an address");
    assert!(said.starts_with(&start) && said.contains("another process has the port"), "{said}");
    assert_eq!(checked(&["--file-only"], &config).0, Some(0));
    drop(other);

    // Whoever wrote the log lived an hour later.
    let log = folder.path().join("data/log.redb");
    std::fs::create_dir(log.parent().unwrap()).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(3_600);
    std::fs::write(&log, "no log").unwrap();
    std::fs::File::options().append(true).open(&log).unwrap().set_modified(later).unwrap();
    let (code, said) = checked(&[], &config);
    assert!(code == Some(1) && said.contains(": the system clock is \""), "{said}");
    assert!(said.contains("log.redb was written then; set it, best by NTP"), "{said}");
    let serve = run(&["serve", "--config", &config]);
    let warned = String::from_utf8(serve.stderr).unwrap();
    assert_eq!(serve.status.code(), Some(1), "{warned}");
    assert!(warned.contains("keys will expire at the wrong time"), "{warned}");
    std::fs::remove_dir_all(log.parent().unwrap()).unwrap();

    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("/data\"", "/node.toml/data\"")).unwrap();
    let start = format!("multiraft: {config}: data_dir is \"{config}/data\", allowed is a folder");
    let (code, said) = checked(&[], &config);
    assert!(code == Some(1) && said.starts_with(&start), "{said}");
    let serve = run(&["serve", "--config", &config]);
    let said = String::from_utf8(serve.stderr).unwrap();
    assert!(serve.status.code() == Some(1) && said.starts_with(&start), "{said}");

    let clients = format!("[limits]\nclients_max = {}\n", i64::MAX);
    std::fs::write(&config, text.clone() + &clients).unwrap();
    let (code, said) = checked(&[], &config);
    let start = format!("multiraft: {config}: limits.clients_max is \"{}\", allowed is ", i64::MAX);
    assert!(code == Some(1) && said.starts_with(&start), "{said}");
    assert!(said.contains("file descriptors"), "{said}");
}

#[test]
fn a_clock_far_from_another_node_s_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = demo_port() + 3;
    let config = write_config(folder.path(), port);
    // Another node, which says only what time it is.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = listener.local_addr().unwrap();
    let node = |id: u64, redis: &str, peer: &str| {
        format!("[[nodes]]\nid = {id}\nredis_addr = \"{redis}\"\npeer_addr = \"{peer}\"\n")
    };
    let own = node(1, &format!("127.0.0.1:{port}"), &format!("127.0.0.1:{}", port + 10_000));
    let text = std::fs::read_to_string(&config).unwrap();
    let nodes = own + &node(2, &other.to_string(), "127.0.0.1:9");
    std::fs::write(&config, text + &nodes).unwrap();
    let (code, said) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 64]).unwrap() > 0);
            stream.write_all(b"*2\r\n$10\r\n1000000000\r\n$1\r\n0\r\n").unwrap();
        });
        let checked = checked(&[], &config);
        // Had nobody asked what time it is, the other node would wait for ever.
        drop(TcpStream::connect(other).unwrap());
        checked
    });
    assert_eq!(code, Some(1), "{said}");
    let told = format!("node 2 at {other} says 1000000000; set both, best by NTP");
    assert!(said.contains("the system clock is") && said.contains(&told), "{said}");
    drop(listener);
    let (code, said) = checked(&[], &config);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("not looked at: the clock of node 2: cannot connect to"), "{said}");
}

#[test]
fn what_is_typed_wrongly_ends_with_2_and_what_fails_with_1() {
    let code = |args: &[&str]| run(args).status.code();
    assert_eq!(code(&["--help"]), Some(0));
    assert_eq!(code(&["client", "--help"]), Some(0));
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["demo", "--port", "60000"]), Some(2));
    assert_eq!(code(&["client"]), Some(2));
    assert_eq!(code(&["client", "--log", "a=b=c", "ping"]), Some(2));
    assert_eq!(code(&["client", "--log", "loud", "ping"]), Some(2));
    assert_eq!(code(&["serve", "--config", "/nowhere/node.toml"]), Some(1));
    // A port that nobody listens on: ours, closed.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut refused = Command::new(PROGRAM);
    let refused = refused.args(["client", "-p", &port, "ping"]).stderr(Stdio::piped());
    let mut child = refused.spawn().unwrap();
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(error.contains("cannot connect"), "{error}");
}
