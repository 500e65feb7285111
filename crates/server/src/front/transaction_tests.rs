//! Transactions as clients see them, word for word as Redis 7.0.15 has them.

use std::sync::Arc;

use bytes::BytesMut;

use super::batch::Batch;
use super::fake::{self, Fake, ME, OTHER};
use super::service::{ClientLimits, Service, Session};
use super::{WriteError, clients};
use crate::resp::Request;

/// Connections to one node.
struct Bench {
    service: Arc<Service>,
    fake: Arc<Fake>,
    sessions: Vec<(Session, clients::Seat)>,
}

impl Bench {
    fn new() -> Self {
        Self::with(ClientLimits::default())
    }

    fn with(limits: ClientLimits) -> Self {
        let (service, fake) = fake::service(limits);
        let sessions = (0..2).map(|_| fake::session(&service)).collect();
        Self { service, fake, sessions }
    }

    /// Runs a pipeline of one connection to its end and tells all replies, without line ends.
    async fn run_as(&mut self, session: usize, lines: &[&str]) -> Vec<String> {
        let requests = lines.iter().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            Request::of(&words)
        });
        let mut batch = Batch::plan(&self.service, &mut self.sessions[session].0, requests);
        let mut replies = Vec::new();
        while !batch.is_done() {
            batch.round().await;
            let mut out = BytesMut::new();
            while batch.drain(&mut out, 1) || !out.is_empty() {
                let text = String::from_utf8(out.split().to_vec()).unwrap();
                replies.push(text.trim_end().replace("\r\n", " "));
            }
        }
        replies
    }

    /// Runs lines of the form `command => reply`, each in a pipeline of its own; a line that begins
    /// with `other:` is another connection's.
    async fn story(&mut self, story: &str) {
        for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (session, rest) = line.strip_prefix("other: ").map_or((0, line), |rest| (1, rest));
            let (command, expected) = rest.split_once(" => ").unwrap();
            assert_eq!(self.run_as(session, &[command]).await, [expected], "{line}");
        }
    }
}

#[tokio::test]
async fn queued_commands_are_done_as_one_entry() {
    let mut bench = Bench::new();
    bench
        .story(
            "MULTI => +OK
            SET {a}1 5 => +QUEUED
            INCR {a}1 => +QUEUED
            GET {a}1 => +QUEUED
            HGET {a}1 f => +QUEUED
            SET {a}2 x EX 0 => +QUEUED
            GET none{a} => +QUEUED
            SET {a}2 done => +QUEUED
            other: GET {a}1 => $-1
            EXEC => *7 +OK :6 $1 6 -WRONGTYPE Operation against a key holding the wrong kind of value \
             -ERR invalid expire time in 'set' command $-1 +OK
            GET {a}2 => $4 done
            EXEC => -ERR EXEC without MULTI",
        )
        .await;
    assert_eq!(bench.fake.proposed(), [1], "one entry, reads included");
}

#[tokio::test]
async fn a_transaction_may_be_sent_in_one_pipeline() {
    let mut bench = Bench::new();
    let lines = ["SET k 1", "MULTI", "INCR k", "EXEC", "GET k", "MULTI", "GET k", "EXEC"];
    let expected = ["+OK", "+OK", "+QUEUED", "*1 :2", "$1 2", "+OK", "+QUEUED", "*1 $1 2"];
    assert_eq!(bench.run_as(0, &lines).await, expected);
}

#[tokio::test]
async fn what_is_wrong_is_said_as_redis_says_it() {
    Bench::new()
        .story(
            "EXEC => -ERR EXEC without MULTI
            DISCARD => -ERR DISCARD without MULTI
            EXEC x => -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
            MULTI x => -ERR wrong number of arguments for 'multi' command
            WATCH => -ERR wrong number of arguments for 'watch' command
            WATCH a b => -CROSSSLOT Keys in request don't hash to the same slot
            MULTI => +OK
            MULTI => -ERR MULTI calls can not be nested
            WATCH a => -ERR WATCH inside MULTI is not allowed
            SET a 1 => +QUEUED
            EXEC => *1 +OK
            MULTI => +OK
            EXEC x => -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
            EXEC => -ERR EXEC without MULTI
            MULTI => +OK
            DISCARD x => -ERR wrong number of arguments for 'discard' command
            EXEC => -EXECABORT Transaction discarded because of previous errors.
            MULTI => +OK
            FOO => -ERR unknown command 'FOO', with args beginning with:
            SET a 2 => +QUEUED
            EXEC => -EXECABORT Transaction discarded because of previous errors.
            MULTI => +OK
            MSET a 1 b 1 => -CROSSSLOT Keys in request don't hash to the same slot
            EXEC => -EXECABORT Transaction discarded because of previous errors.
            MULTI => +OK
            SET a 2 => +QUEUED
            SET b 2 => +QUEUED
            EXEC => -CROSSSLOT Keys in request don't hash to the same slot
            EXEC => -ERR EXEC without MULTI
            MULTI => +OK
            SET a 2 => +QUEUED
            DISCARD => +OK
            EXEC => -ERR EXEC without MULTI
            GET a => $1 1
            MULTI => +OK
            EXEC => *0",
        )
        .await;
}

#[tokio::test]
async fn commands_without_keys_keep_their_place() {
    let mut bench = Bench::new();
    bench
        .story(
            "MULTI => +OK
            PING => +QUEUED
            SET a 1 => +QUEUED
            ECHO hi => +QUEUED
            UNWATCH => +QUEUED
            GET a => +QUEUED
            EXEC => *5 +PONG +OK $2 hi +OK $1 1
            MULTI => +OK
            PING => +QUEUED
            EXEC => *1 +PONG
            MULTI => +OK
            HELLO 3 => -ERR Command not allowed inside a transaction
            DBSIZE => -ERR Command not allowed inside a transaction
            MULTIRAFT STATUS => -ERR Command not allowed inside a transaction
            MULTIRAFT EXPLAIN 1 => -ERR Command not allowed inside a transaction
            MULTIRAFT TRANSFER 1 2 => -ERR Command not allowed inside a transaction
            MULTIRAFT LOG debug => -ERR Command not allowed inside a transaction
            EXEC => -EXECABORT Transaction discarded because of previous errors.",
        )
        .await;
    assert_eq!(bench.fake.proposed(), [1]);
}

#[tokio::test]
async fn a_watched_key_that_changed_makes_exec_do_nothing() {
    Bench::new()
        .story(
            "WATCH k => +OK
            MULTI => +OK
            SET k mine => +QUEUED
            EXEC => *1 +OK
            WATCH k => +OK
            other: SET k theirs => +OK
            MULTI => +OK
            SET k mine => +QUEUED
            EXEC => *-1
            GET k => $6 theirs
            MULTI => +OK
            SET k mine => +QUEUED
            EXEC => *1 +OK
            WATCH {k}2 k => +OK
            other: SET {k}2 1 => +OK
            other: DEL {k}2 => :1
            MULTI => +OK
            PING => +QUEUED
            EXEC => *-1
            HELLO 3 => %7 $6 server $5 redis $7 version $6 7.0.15 $5 proto :3 $2 id :1 $4 mode \
             $7 cluster $4 role $6 master $7 modules *0
            WATCH k => +OK
            SET k mine2 => +OK
            MULTI => +OK
            GET k => +QUEUED
            EXEC => _",
        )
        .await;
}

#[tokio::test]
async fn watches_end_with_exec_discard_unwatch_and_reset() {
    for end in ["UNWATCH", "RESET"] {
        let mut bench = Bench::new();
        bench.run_as(0, &["WATCH k", end, "SET k 1", "MULTI", "INCR k"]).await;
        assert_eq!(bench.run_as(0, &["EXEC"]).await, ["*1 :2"], "{end}");
    }
    for end in [&["MULTI", "DISCARD"][..], &["MULTI", "EXEC"], &["MULTI", "FOO", "EXEC"]] {
        let mut bench = Bench::new();
        bench.run_as(0, &["WATCH k"]).await;
        bench.run_as(0, end).await;
        bench.run_as(0, &["SET k 1", "MULTI", "INCR k"]).await;
        assert_eq!(bench.run_as(0, &["EXEC"]).await, ["*1 :2"], "{end:?}");
    }
    let mut bench = Bench::new();
    let replies = bench.run_as(0, &["MULTI", "SET k 1", "RESET", "EXEC", "GET k"]).await;
    assert_eq!(replies, ["+OK", "+QUEUED", "+RESET", "-ERR EXEC without MULTI", "$-1"]);
}

#[tokio::test]
async fn keys_watched_in_another_slot_are_refused() {
    Bench::new()
        .story(
            "WATCH a => +OK
            WATCH b => +OK
            MULTI => +OK
            SET a 1 => +QUEUED
            EXEC => -CROSSSLOT Keys in request don't hash to the same slot
            MULTI => +OK
            SET a 1 => +QUEUED
            EXEC => *1 +OK",
        )
        .await;
}

#[tokio::test]
async fn a_key_of_another_leader_spoils_the_transaction() {
    let mut bench = Bench::new();
    let slot = routing::hash_slot(b"k");
    let group = bench.service.topology.group_of(slot);
    let moved = format!("-MOVED {slot} 10.0.0.1:7002");
    bench.fake.set_leader(group, Some(OTHER), true);
    let replies = bench.run_as(0, &["WATCH k", "MULTI", "SET k 1", "EXEC", "EXEC"]).await;
    let abort = "-EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(replies, [&moved, "+OK", &moved, abort, "-ERR EXEC without MULTI"]);
    // The leader goes after everything was queued.
    bench.fake.set_leader(group, Some(ME), true);
    bench.run_as(0, &["MULTI", "SET k 1"]).await;
    bench.fake.set_leader(group, Some(OTHER), true);
    assert_eq!(bench.run_as(0, &["EXEC", "EXEC"]).await, [&moved, "-ERR EXEC without MULTI"]);
    assert!(bench.fake.proposed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn failures_of_exec_tell_what_is_known() {
    let mut bench = Bench::new();
    let transaction = ["MULTI", "SET k v", "EXEC"];
    bench.fake.fail_next(&[WriteError::Uncertain]);
    let uncertain = "-UNCERTAIN the write may or may not have been applied";
    assert_eq!(bench.run_as(0, &transaction).await[2], uncertain);
    bench.fake.fail_next(&[WriteError::TooLarge { bytes: 9, bytes_max: 8 }]);
    let large = "-ERR the command takes 9 bytes in the log, the limit is 8";
    assert_eq!(bench.run_as(0, &transaction).await[2], large);
    assert_eq!(bench.run_as(0, &["EXISTS k"]).await, [":0"]);
    // What was certainly not written is tried again.
    bench.fake.fail_next(&[WriteError::NotLeader]);
    assert_eq!(bench.run_as(0, &transaction).await[2], "*1 +OK");
    bench.fake.set_all(None, false);
    let down = "-CLUSTERDOWN The slot's group has no leader";
    assert_eq!(bench.run_as(0, &transaction).await, ["+OK", "+QUEUED", down]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_failed_counts_as_changed_within_its_pipeline() {
    let mut bench = Bench::new();
    bench.fake.set_all(None, false);
    let requests = ["WATCH k", "MULTI", "SET k 1", "EXEC"].map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        Request::of(&words)
    });
    let mut batch = Batch::plan(&bench.service, &mut bench.sessions[0].0, requests);
    let limit = bench.service.limits.leader_wait;
    let began = tokio::time::Instant::now();
    let mut out = BytesMut::new();
    while out.is_empty() {
        batch.round().await;
        batch.drain(&mut out, 1);
    }
    assert_eq!(began.elapsed(), limit);
    assert!(out.starts_with(b"-CLUSTERDOWN"));
    bench.fake.set_all(Some(ME), true);
    while !batch.is_done() {
        batch.round().await;
        batch.drain(&mut out, usize::MAX);
    }
    assert!(out.ends_with(b"+OK\r\n+QUEUED\r\n*-1\r\n"), "{out:?}");
    assert!(bench.fake.proposed().is_empty());
    // Once its reply has told the client, later transactions go on without it.
    bench.fake.set_all(None, false);
    assert!(bench.run_as(0, &["WATCH k"]).await[0].starts_with("-CLUSTERDOWN"));
    bench.fake.set_all(Some(ME), true);
    let replies = bench.run_as(0, &["MULTI", "SET k 1", "EXEC"]).await;
    assert_eq!(replies, ["+OK", "+QUEUED", "*1 +OK"]);
}

#[tokio::test]
async fn transactions_and_watches_are_limited() {
    let limits = ClientLimits {
        transaction_commands_max: 2,
        transaction_bytes_max: 100,
        watched_keys_max: 2,
        ..ClientLimits::default()
    };
    let mut bench = Bench::with(limits);
    let long = "x".repeat(60);
    let too_large =
        "ERR the transaction with its watched keys is larger than entry_bytes_max = 100";
    bench
        .story(&format!(
            "WATCH {{a}}1 {{a}}2 => +OK
            WATCH {{a}}3 => -ERR more keys are watched than watched_keys_max = 2
            UNWATCH => +OK
            WATCH {long} => -{too_large}
            MULTI => +OK
            GET a => +QUEUED
            GET a => +QUEUED
            GET a => -ERR the transaction has more commands than transaction_commands_max = 2
            EXEC => -EXECABORT Transaction discarded because of previous errors.
            MULTI => +OK
            SET a {long} => -{too_large}
            EXEC => -EXECABORT Transaction discarded because of previous errors.
            WATCH {{a}}1234567890 {{a}}1234567890 => +OK
            MULTI => +OK
            SET a 1 => -{too_large}
            DISCARD => +OK
            MULTI => +OK
            FOO => -ERR unknown command 'FOO', with args beginning with:
            SET a {long} => +QUEUED
            SET b 1 => +QUEUED
            EXEC => -EXECABORT Transaction discarded because of previous errors."
        ))
        .await;
    assert!(bench.fake.proposed().is_empty());
}

#[tokio::test]
async fn pairs_come_as_either_version_writes_them() {
    let mut bench = Bench::new();
    let lines = ["HSET h f v", "MULTI", "HRANDFIELD h 1 WITHVALUES", "HGETALL h", "EXEC"];
    assert_eq!(bench.run_as(0, &lines).await[4], "*2 *2 $1 f $1 v *2 $1 f $1 v");
    bench.run_as(0, &["HELLO 3"]).await;
    assert_eq!(bench.run_as(0, &lines).await[4], "*2 *1 *2 $1 f $1 v %1 $1 f $1 v");
}
