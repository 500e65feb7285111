//! Linearizable reads by read index.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails loudly, and asks only about the messages it means"
)]

mod harness;

use harness::{Cluster, message};
use raft_core::{MessageBody, ReadAnswer, ReadId};
use types::LogIndex;

fn answer(id: u64, index: Option<u64>) -> ReadAnswer {
    ReadAnswer { id: ReadId(id), index: index.map(LogIndex) }
}

#[test]
fn a_read_is_answered_with_the_commit_index_after_a_round() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.propose(1, b"x").unwrap();
    cluster.settle();
    cluster.read(1, 7);
    cluster.collect(1);
    assert!(cluster.host(1).reads.is_empty(), "nobody has confirmed yet");
    cluster.settle();
    assert_eq!(cluster.host(1).reads, [answer(7, Some(3))]);
}

#[test]
fn a_single_voter_confirms_itself() {
    let mut cluster = Cluster::led_by_one(1);
    cluster.read(1, 1);
    cluster.settle();
    assert_eq!(cluster.host(1).reads, [answer(1, Some(2))]);
}

#[test]
fn no_read_is_served_before_an_entry_of_the_own_term_is_committed() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.crash(1);
    cluster.tick(12);
    cluster.host(2).holds_writes = true;
    cluster.host(3).holds_writes = true;
    let mut ticks = 0;
    while cluster.leader().is_none() {
        ticks += 1;
        assert!(ticks < 200);
        cluster.tick(1);
        // Votes become durable, the new leader's own entry does not.
        for n in [2, 3] {
            let is_vote = |host: &harness::Host| {
                host.writes.front().is_some_and(|write| write.runs.is_empty())
            };
            while is_vote(cluster.host(n)) {
                cluster.persist_one(n);
                cluster.collect(n);
            }
        }
    }
    let leader = cluster.leader().unwrap();
    cluster.read(leader, 1);
    cluster.settle();
    assert!(cluster.host(leader).reads.is_empty());
    for n in [2, 3] {
        cluster.host(n).holds_writes = false;
    }
    cluster.settle();
    let committed = cluster.node(leader).commit_index();
    assert_eq!(cluster.host(leader).reads, [answer(1, Some(committed.0))]);
}

#[test]
fn a_leader_that_was_deposed_serves_no_read() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(1);
    cluster.read(1, 1);
    cluster.tick(15);
    assert_eq!(cluster.host(1).reads, [answer(1, None)]);
    assert!(cluster.node(1).read_index(ReadId(2)).is_err());
}

#[test]
fn a_late_answer_to_an_old_round_confirms_no_retried_read() {
    // Catalogue R79: B confirms round 1, the answer is held; the same read id is asked again.
    let mut cluster = Cluster::led_by_one(3);
    cluster.read(1, 9);
    cluster.collect(1);
    cluster.network.retain(|m| m.to == harness::id(2));
    cluster.deliver_one();
    cluster.collect(2);
    let held = cluster.take_messages();
    cluster.read(1, 9);
    cluster.collect(1);
    cluster.take_messages();
    for message in held {
        cluster.deliver(message).unwrap();
    }
    cluster.collect(1);
    assert_eq!(cluster.host(1).reads, [answer(9, Some(2))], "only the first asking is confirmed");
}

#[test]
fn a_lost_round_is_repeated_with_the_beat() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.read(1, 1);
    cluster.collect(1);
    cluster.network.clear();
    cluster.tick(2);
    assert_eq!(cluster.host(1).reads, [answer(1, Some(2))]);
}

#[test]
fn learners_and_strangers_confirm_nothing() {
    let mut cluster = Cluster::with_learners(3, 1);
    cluster.elect(1);
    cluster.cut = vec![(1, 2), (1, 3)];
    cluster.read(1, 1);
    cluster.settle();
    assert!(cluster.host(1).reads.is_empty(), "only the learner answered");
    let round = Some(raft_core::ReadRound(1));
    let stranger = message(9, 1, 1, MessageBody::HeartbeatResponse { round });
    assert!(cluster.node(1).step(stranger).is_err());
}
