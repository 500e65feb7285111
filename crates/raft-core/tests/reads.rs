//! Linearizable reads beyond what the dissertation says (`paper.rs`): rounds that are late or lost.
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
