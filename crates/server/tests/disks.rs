//! Real processes whose disks fail or rot: each ends with an error that an operator can act on, and its
//! peers go on without it.
//!
//! A disk that fails is played by a limit on the size of files, which needs no rights and works on every
//! file system: the very next write is refused by the system. It also brings a signal, SIGXFSZ, that would
//! end the process without a word if the program let it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod processes;

use std::fs;
use std::ops::Range;

use processes::site::{Node, Site};

/// Enough keys that every group has some, whoever leads it.
const KEYS: Range<u32> = 0..32;

fn write_all(node: &Node, value: &str) {
    KEYS.for_each(|key| node.until_reply(&["set", &key.to_string(), value], "OK"));
}

fn find_all(node: &Node, value: &str) {
    KEYS.for_each(|key| node.until_reply(&["get", &key.to_string()], value));
}

/// The line by which a process says why it ends.
#[track_caller]
fn last_word<'a>(lines: &'a [String], begins: &str) -> &'a str {
    let said = lines.iter().rev().find(|line| line.starts_with(begins));
    said.unwrap_or_else(|| panic!("it does not say why: {lines:#?}"))
}

#[test]
fn a_node_whose_disk_fails_says_why_and_ends_and_its_peers_go_on() {
    let site = Site::of(3);
    let (one, mut two, three) = (site.start(1), site.start(2), site.start(3));
    write_all(&two, "before");
    find_all(&one, "before");
    two.fail_disk();
    // Every group has a replica on node 2, and writes there.
    write_all(&one, "without node 2");
    let (code, lines) = two.end();
    assert_eq!(code, Some(1), "{lines:#?}");
    let said = last_word(&lines, "multiraft: node 2 failed: ");
    let log = site.data(2).join("log.redb");
    let expected =
        ["the store failed", "File too large", log.to_str().unwrap(), "start the node again"];
    assert!(expected.iter().all(|part| said.contains(part)), "{said}");
    let alarms = lines.iter().filter(|line| line.contains("the engine has failed")).count();
    assert_eq!(alarms, 1, "{lines:#?}");
    find_all(&three, "without node 2");
    let two = site.start(2);
    find_all(&two, "without node 2");
    three.kill();
    // One node alone is no majority.
    write_all(&one, "with node 2");
    find_all(&two, "with node 2");
}

#[test]
fn a_node_whose_log_was_damaged_at_rest_does_not_start_and_its_peers_go_on() {
    let site = Site::of(3);
    let (one, two, three) = (site.start(1), site.start(2), site.start(3));
    write_all(&one, "kept-by-all");
    // Later commits, so that the damage is not in the very last one, which might be a torn write.
    write_all(&one, "later");
    find_all(&two, "later");
    two.kill();
    let log = site.data(2).join("log.redb");
    let mut bytes = fs::read(&log).unwrap();
    let live = bytes.windows(11).position(|window| window == b"kept-by-all");
    bytes[live.expect("the log has every write")] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let mut two = site.start(2);
    let (code, lines) = two.end();
    assert_eq!(code, Some(1), "{lines:#?}");
    let said = last_word(&lines, "multiraft: node 2 does not start: ");
    let damaged = format!("{} is damaged: ", log.display());
    assert!(said.contains(&damaged) && said.contains("Keep a copy of it"), "{said}");
    assert!(fs::read(&log).unwrap() == bytes, "the file is left as it was");
    write_all(&one, "without node 2");
    find_all(&three, "without node 2");
}
