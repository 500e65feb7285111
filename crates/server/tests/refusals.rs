//! Real processes that do not take one another for whom they say they are: each says why, on both
//! sides, once and not at every attempt; and a store that went back in time ends its process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod processes;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use processes::BOUND;
use processes::site::{ATTEMPTS, Site};

/// Long enough for an election that nothing stands in the way of: its longest timeout is 400 ms.
const SEVERAL_ELECTIONS: Duration = Duration::from_secs(3);

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
    let reason = "the peer speaks protocol version 4, node 1 expects 3: run the same release on \
                  both";
    for _ in 0..=ATTEMPTS {
        let answer = String::from_utf8_lossy(&call_as_version_4(site.ports[0].1)).into_owned();
        assert!(answer.contains(reason), "{answer}");
    }
    one.assert_told_once(reason);
}

/// Says hello as a later version would, and reads everything until the node hangs up.
fn call_as_version_4(port: u16) -> Vec<u8> {
    let began = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(began.elapsed() < BOUND, "{error}"),
        }
    };
    // Magic, version 4, hello, no body, and the checksum of all that.
    let hello = b"MULTIRFT\x04\x00\x01\x00\x00\x00\x00\x00\x73\xbb\xfe\x30";
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
    let (code, lines) = two.end();
    assert_eq!(code, Some(1));
    let said = lines.iter().rev().find(|line| line.starts_with("multiraft: node 2 failed"));
    let said = said.unwrap_or_else(|| panic!("it does not say why: {lines:#?}"));
    assert!(said.contains("the store was rolled back") && said.contains("acknowledged"), "{said}");
    one.until_reply(&["get", "0"], "not in the copy");
}
