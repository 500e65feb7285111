//! What INFO tells of commands and errors, in the words of Redis 7.0.15.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, advance};
use types::GroupId;

use super::batch::Batch;
use super::clients::Seat;
use super::fake::{self, Fake, ME, OTHER};
use super::service::{ClientLimits, Service, Session};
use super::stats::{Call, Tally};
use crate::command::COMMANDS;
use crate::resp::{Reply, Request};

struct Bench {
    service: Arc<Service>,
    fake: Arc<Fake>,
    session: Session,
    _seat: Seat,
}

impl Bench {
    fn new() -> Self {
        let (service, fake) = fake::service(ClientLimits::default());
        let (session, seat) = fake::session(&service);
        Self { service, fake, session, _seat: seat }
    }

    /// Runs a pipeline to its end; gives out the replies as they are written.
    async fn run(&mut self, lines: &[&str]) -> String {
        let requests = lines.iter().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            Request::of(&words)
        });
        let mut batch = Batch::plan(&self.service, &mut self.session, requests);
        let mut out = BytesMut::new();
        batch.drain(&mut out, usize::MAX);
        while !batch.is_done() {
            batch.round().await;
            batch.drain(&mut out, usize::MAX);
        }
        String::from_utf8(out.to_vec()).unwrap()
    }

    /// The fields of a section of INFO.
    async fn fields(&mut self, section: &str) -> Vec<String> {
        let text = self.run(&[&format!("INFO {section}")]).await;
        text.lines().skip(2).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

/// A line of a command whose callers never waited.
fn line(name: &str, calls: u64, rejected: u64, failed: u64) -> String {
    format!(
        "cmdstat_{name}:calls={calls},usec=0,usec_per_call=0.00,rejected_calls={rejected},\
         failed_calls={failed}"
    )
}

#[tokio::test(start_paused = true)]
async fn commands_are_counted_as_redis_counts_them() {
    let mut bench = Bench::new();
    for pipeline in [
        // What redis-server 7.0.15 was sent, and what it told then, beside.
        &["SET k v", "GET k", "GET", "HSET k f v", "INCR k", "FOO", "CONFIG", "CONFIG FOO"][..],
        &["MULTI", "SET a 1", "INCR a", "GET", "EXEC"],
        &["MULTI", "SET {k}a 1", "INCR k", "EXEC", "EXEC"],
        &["MSET a"],
    ] {
        bench.run(pipeline).await;
    }
    let expected = [
        line("config", 0, 1, 0),
        line("exec", 3, 0, 2),
        line("get", 1, 2, 0),
        line("hset", 1, 0, 1),
        line("incr", 2, 0, 2),
        line("mset", 0, 1, 0),
        line("multi", 2, 0, 0),
        line("set", 2, 0, 0),
    ];
    assert_eq!(bench.fields("commandstats").await, expected);
    let expected = ["errorstat_ERR:count=9", "errorstat_EXECABORT:count=1"];
    let expected = [&expected[..], &["errorstat_WRONGTYPE:count=1"]].concat();
    assert_eq!(bench.fields("errorstats").await, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_elsewhere_was_rejected() {
    let mut bench = Bench::new();
    bench.fake.set_all(Some(OTHER), true);
    bench.run(&["SET k v", "GET k", "MULTI", "GET k", "DISCARD", "MGET a b"]).await;
    let lines = bench.fields("commandstats").await;
    let expected = [line("discard", 1, 0, 0), line("get", 0, 2, 0), line("mget", 0, 1, 0)];
    assert_eq!(lines[..3], expected);
    assert_eq!(lines[4], line("set", 0, 1, 0));
    let expected = ["errorstat_CROSSSLOT:count=1", "errorstat_MOVED:count=3"];
    assert_eq!(bench.fields("errorstats").await, expected);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_command_is_how_long_its_caller_waited() {
    let mut bench = Bench::new();
    let hold = bench.fake.hold();
    let began = Instant::now();
    let (replies, ()) =
        tokio::join!(bench.run(&["SET k v", "PING", "SET l v", "SET k w"]), async {
            advance(Duration::from_micros(1_500)).await;
            hold.send(false).unwrap();
        });
    assert_eq!(
        (replies.as_str(), began.elapsed().as_micros()),
        ("+OK\r\n+PONG\r\n+OK\r\n+OK\r\n", 1_500)
    );
    let expected = "cmdstat_set:calls=3,usec=4500,usec_per_call=1500.00,rejected_calls=0,\
                    failed_calls=0";
    assert_eq!(bench.fields("commandstats").await, [line("ping", 1, 0, 0), expected.to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn the_wait_of_who_is_parked_is_not_that_of_who_was_answered() {
    let mut bench = Bench::new();
    // Whoever asks for the first group waits for a leader, in vain.
    let (first, second) = ("k", "l");
    let group = |key: &str| bench.service.topology.group_of(routing::hash_slot(key.as_bytes()));
    assert_ne!(group(first), group(second));
    let leaderless: GroupId = group(first);
    bench.fake.set_leader(leaderless, None, false);
    bench.run(&["GET k", "EXISTS l"]).await;
    let expected = [line("exists", 1, 0, 0), line("get", 0, 1, 0)];
    assert_eq!(bench.fields("commandstats").await, expected);
    assert_eq!(bench.fields("errorstats").await, ["errorstat_CLUSTERDOWN:count=1"]);
    bench.fake.set_leader(leaderless, Some(ME), true);
}

#[tokio::test(start_paused = true)]
async fn counts_begin_anew_when_they_are_told_to() {
    let mut bench = Bench::new();
    bench.run(&["SET k v", "INCR k", "FOO", "GET k"]).await;
    assert_eq!(bench.run(&["CONFIG RESETSTAT"]).await, "+OK\r\n");
    assert_eq!(bench.fields("commandstats").await, [line("config|resetstat", 1, 0, 0)]);
    assert_eq!(bench.fields("errorstats").await, [""; 0]);
    let stats = bench.fields("stats").await;
    // The reset itself, and two looks.
    assert!(stats.contains(&"total_commands_processed:3".to_owned()), "{stats:?}");
    assert!(stats.contains(&"total_error_replies:0".to_owned()), "{stats:?}");
    assert_eq!(
        bench.run(&["CONFIG RESETSTAT x"]).await,
        "-ERR wrong number of arguments for 'config|resetstat' command\r\n"
    );
}

#[tokio::test(start_paused = true)]
async fn kinds_beyond_those_that_a_pipeline_counts_at_once_are_counted_too() {
    let (service, _fake) = fake::service(ClientLimits::default());
    let mut tally = Tally::begin(7);
    for row in COMMANDS {
        for _ in 0..2 {
            tally.replied(&service, Some(row), Call::Tried, &Reply::OK);
        }
    }
    tally.hand_over(&service);
    tally.hand_over(&service);
    let counted = service.stats.commands();
    assert!(counted.iter().all(|(_, sums)| sums.calls == 2), "{counted:?}");
    assert_eq!(counted.len(), COMMANDS.len());
}
