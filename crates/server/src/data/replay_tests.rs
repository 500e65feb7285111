//! Transactions in the log: applied again, they come to the same.

use proptest::collection::vec;
use proptest::prelude::*;
use types::NodeId;

use super::*;
use crate::data::UnixMillis;
use crate::data::watched::Watched;
use crate::resp::Request;

fn keyspaces() -> Keyspaces {
    Keyspaces::new(&RoutingTable::uniform(HASH_SLOTS, 1, &[NodeId(1)], 1).unwrap())
}

fn request(line: &str) -> Request {
    let words: Vec<&str> = line.split(' ').collect();
    Request::of(&words)
}

fn transaction(stamp: u64, watched: &[Watched<'_>], lines: &[String]) -> Bytes {
    let requests: Vec<Request> = lines.iter().map(|line| request(line)).collect();
    let commands = requests.iter().map(Request::args);
    entry::encode_transaction(UnixMillis(stamp), Protocol::Resp3, watched, commands)
}

/// Applies all payloads to an empty group, so many at a time: the results, and the digest of what
/// is there then.
fn replay(payloads: &[Bytes], at_a_time: usize) -> (Vec<Bytes>, u64) {
    let keyspaces = keyspaces();
    let mut applier = keyspaces.applier(GroupId(1)).unwrap();
    let entries: Vec<(LogIndex, &[u8])> =
        (1..).map(LogIndex).zip(payloads.iter().map(|payload| &payload[..])).collect();
    let chunks = entries.chunks(at_a_time);
    let results = chunks.flat_map(|chunk| applier.apply_payloads(chunk.iter().copied()));
    (results.collect(), keyspaces.look(GroupId(1)).unwrap().digest())
}

#[test]
fn a_transaction_whose_replies_are_too_large_is_applied_and_says_so() {
    let value = "v".repeat(512 << 10);
    let set = entry::encode(UnixMillis(1), request(&format!("SET k {value}")).args());
    let mut lines = vec!["GET k".to_owned(); 129];
    lines.push("SET done 1".to_owned());
    let get = entry::encode(UnixMillis(1), request("INCR done").args());
    let (results, _) = replay(&[set, transaction(1, &[], &lines), get], 1);
    let error = "-ERR the transaction was applied, but its replies are larger than 67108864 bytes";
    assert_eq!(results[1], format!("{error}\r\n"));
    assert_eq!(results[2], ":2\r\n");
}

#[test]
fn what_no_entry_can_do_is_a_reply_within_a_transaction() {
    let lines = ["SET k 1", "DBSIZE", "MULTI", "FOO", "GET", "INCR k"].map(str::to_owned);
    let (results, _) = replay(&[transaction(1, &[], &lines)], 1);
    let expected = "*6\r\n+OK\r\n\
        -ERR malformed log entry: 'dbsize' changes nothing\r\n\
        -ERR malformed log entry: 'multi' changes nothing\r\n\
        -ERR unknown command 'FOO', with args beginning with: \r\n\
        -ERR wrong number of arguments for 'get' command\r\n:2\r\n";
    assert_eq!(results, [expected]);
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "SET [a-c] [0-9]( PX [1-3])?",
        "DEL [a-c]",
        "GET [a-c]",
        "HSET h [x-z] [0-9]",
        "HRANDFIELD h -3",
        "INCRBYFLOAT [a-c] 0\\.[1-9]",
    ]
}

/// A payload: a command, a transaction that watches a key as of some entry before it, or a sweep.
fn payload() -> impl Strategy<Value = (u64, Option<(String, u64, bool)>, Vec<String>)> {
    (0..3_u64, prop::option::of(("[a-c]", 0..6_u64, any::<bool>())), vec(line(), 0..4))
}

proptest! {
    #[test]
    fn a_replay_comes_to_the_same(payloads in vec(payload(), 1..30), at_a_time in 1..9_usize) {
        let mut stamp = 1;
        let payloads: Vec<Bytes> = (1_u64..)
            .zip(&payloads)
            .map(|(index, (wait, watched, lines))| {
                stamp += wait;
                let watched = watched.as_ref().map(|(key, back, existed)| {
                    let since = LogIndex(index.saturating_sub(1 + back));
                    Watched { key: key.as_bytes(), since, existed: *existed }
                });
                match (watched, &lines[..]) {
                    (Some(watched), lines) => transaction(stamp, &[watched], lines),
                    (None, [line]) => entry::encode(UnixMillis(stamp), request(line).args()),
                    (None, []) => entry::encode_sweep(UnixMillis(stamp)),
                    (None, lines) => transaction(stamp, &[], lines),
                }
            })
            .collect();
        let first = replay(&payloads, 1);
        prop_assert_eq!(&first, &replay(&payloads, at_a_time));
        prop_assert_eq!(first, replay(&payloads, payloads.len()));
    }
}
