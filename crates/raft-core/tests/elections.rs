//! Elections beyond the paper's sentences (`paper.rs`) and the stories (`scripts/`): promises over
//! restarts, strangers.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails loudly, and asks only about the messages it means"
)]

mod harness;

use harness::{Cluster, id, message};
use raft_core::{MessageBody, Role, StepError};
use types::{LogId, LogIndex, Term};

#[test]
fn the_first_timeout_brings_a_leader_and_the_others_follow() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.tick_until_leader();
    cluster.tick(2);
    for n in 1..=3 {
        assert_eq!(cluster.node(n).leader(), Some(id(leader)));
    }
}

#[test]
fn a_restarted_replica_votes_only_when_its_old_promises_have_run_out() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.crash(3);
    cluster.restart(3, 10);
    let restarted_at = cluster.now;
    let deadline = cluster.node(3).deadline().unwrap();
    assert!(deadline.since(restarted_at) >= 10);
    let ask = |next: u64| MessageBody::PreVote {
        next_term: Term(next),
        last: LogId::new(Term(1), LogIndex(2)),
    };
    let vote = MessageBody::Vote { last: LogId::new(Term(1), LogIndex(2)), is_ordered: false };
    cluster.node(3).step(message(2, 3, 1, ask(2))).unwrap();
    cluster.node(3).step(message(2, 3, 2, vote.clone())).unwrap();
    cluster.collect(3);
    assert_eq!(cluster.node(3).term(), Term(1), "the vote was not even weighed");
    assert!(cluster.take_messages().iter().all(|m| !matches!(
        m.body,
        MessageBody::PreVoteResponse { granted: true, .. } | MessageBody::VoteResponse { .. }
    )));
    let later = restarted_at.after(10);
    cluster.node(3).tick(later);
    cluster.node(3).step(message(2, 3, 2, vote)).unwrap();
    cluster.collect(3);
    cluster.persist_all(3);
    cluster.collect(3);
    let granted = MessageBody::VoteResponse { granted: true };
    assert!(cluster.take_messages().iter().any(|m| m.body == granted));
}

#[test]
fn a_single_voter_does_not_wait_for_promises_nobody_got() {
    let mut cluster = Cluster::led_by_one(1);
    cluster.crash(1);
    cluster.restart(1, 1_000);
    cluster.tick(21);
    assert_eq!(cluster.node(1).role(), Role::Leader);
}

#[test]
fn messages_for_others_and_from_strangers_are_refused_by_name() {
    let mut cluster = Cluster::led_by_one(3);
    let beat = MessageBody::Heartbeat { commit: LogIndex(0), round: None };
    let refused = cluster.node(2).step(message(1, 3, 1, beat.clone()));
    assert_eq!(refused, Err(StepError::NotForMe { to: id(3) }));
    let ack = MessageBody::Accepted { matched: LogIndex(2) };
    let refused = cluster.node(1).step(message(9, 1, 1, ack));
    assert_eq!(refused, Err(StepError::UnknownSender { from: id(9) }));
    let second = cluster.node(1).step(message(2, 1, 1, beat));
    assert_eq!(second, Err(StepError::Impossible { what: "a second leader of this term" }));
}
