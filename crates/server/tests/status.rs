//! How real processes say they are: STATUS, EXPLAIN and TRANSFER, and `multiraft status` over them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod processes;

use std::process::{Command, Output};
use std::time::Instant;

use processes::BOUND;
use processes::program::PROGRAM;
use processes::site::{Node, Site};

/// What `multiraft status` says, asked of a node.
fn status(port: u16, more: &[&str]) -> Output {
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(PROGRAM);
    command.args(["status", "--addr", &address]).args(more).output().unwrap()
}

/// Asks again until the exit code is right and the output contains `text`; gives the output.
#[track_caller]
fn until_status(port: u16, code: i32, text: &str) -> String {
    let began = Instant::now();
    loop {
        let output = status(port, &[]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        if output.status.code() == Some(code) && said.contains(text) {
            return said;
        }
        let found = output.status.code();
        assert!(began.elapsed() < BOUND, "expected {code} and {text:?}, found {found:?}:\n{said}");
    }
}

/// Asks again until what a node says of a group contains `text`.
#[track_caller]
fn until_explained(node: &Node, text: &str) {
    let began = Instant::now();
    loop {
        let said = node.reply(&["MULTIRAFT", "EXPLAIN", "1"]);
        if said.contains(text) {
            return;
        }
        assert!(began.elapsed() < BOUND, "expected {text:?}, found:\n{said}");
    }
}

#[test]
fn a_cluster_tells_what_it_waits_for_from_its_founding_to_its_end() {
    let site = Site::of(3);
    let port = site.ports[1].0;
    let address = |node: usize| format!("127.0.0.1:{}", site.ports[node - 1].0);
    let (one, two) = (site.start(1), site.start(2));
    until_status(port, 3, "not founded: node 3 not heard from");
    until_explained(&two, "node 3 has not been heard from. Start it with the same cluster_id");

    let three = site.start(3);
    let healthy = until_status(port, 0, "4 groups, 4 led");
    assert!(healthy.starts_with("cluster refusals: ok, 3 nodes, 4 groups, 4 led\n"), "{healthy}");
    let json = String::from_utf8(status(port, &["--output", "json"]).stdout).unwrap();
    assert!(json.starts_with(r#"{"schema":1,"cluster":"refusals","level":"#), "{json}");

    // Whoever leads, node 2 leads afterwards; a node that does not lead says whom to ask.
    let hand_over = |node: &Node| node.reply(&["MULTIRAFT", "TRANSFER", "1", "2"]);
    let began = Instant::now();
    while ![&one, &two, &three].into_iter().any(|node| hand_over(node) == "OK") {
        assert!(began.elapsed() < BOUND, "{}", hand_over(&one));
    }
    until_explained(&two, "Node 2, this one, leads group 1 in term ");
    until_explained(&one, "Node 2 leads, as far as node 1 knows, group 1 in term ");
    let expected = format!("ERR node 2 leads group 1: ask it at {}", address(2));
    assert_eq!(hand_over(&one), expected);

    three.kill();
    let degraded = until_status(port, 3, "does not answer: cannot connect to");
    assert!(degraded.contains(&address(3)), "{degraded}");
    one.kill();
    until_explained(&two, "2 of its 3 voters cannot be reached from here: nodes 1 and 3.");
    until_status(port, 3, "no leader: 2 of 3 voters unreachable (nodes 1 and 3)");
    two.kill();
    let gone = status(port, &[]);
    assert_eq!(gone.status.code(), Some(1));
    let error = String::from_utf8(gone.stderr).unwrap();
    assert!(error.contains("is a node running there?"), "{error}");
}

#[test]
fn status_and_config_check_end_with_what_they_say_they_end_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    let code = |args: &[&str]| Command::new(PROGRAM).args(args).output().unwrap().status.code();
    assert_eq!(code(&["status", "--addr", "nowhere"]), Some(2));
    assert_eq!(code(&["status", "--output", "xml"]), Some(2));
    assert_eq!(code(&["status", "--groups", "0"]), Some(2));
    assert_eq!(code(&["config", "check"]), Some(2));
    std::fs::write(&file, include_str!("../node.example.toml")).unwrap();
    assert_eq!(code(&["config", "check", "--file-only", file.to_str().unwrap()]), Some(0));
    std::fs::write(&file, "node_id = 0").unwrap();
    assert_eq!(code(&["config", "check", file.to_str().unwrap()]), Some(1));
}
