//! Elections: pre-vote, votes, promises, check-quorum.
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
fn a_single_voter_elects_itself_once_its_vote_is_durable() {
    let mut cluster = Cluster::new(1);
    cluster.host(1).holds_writes = true;
    cluster.node(1).campaign();
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Candidate);
    cluster.host(1).holds_writes = false;
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Leader);
    assert_eq!(cluster.node(1).commit_index(), LogIndex(2), "configuration and own first entry");
}

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
fn no_vote_request_leaves_before_the_own_vote_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.host(1).holds_writes = true;
    cluster.node(1).campaign();
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Candidate, "pre-votes were granted");
    assert!((2..=3).all(|n| cluster.hosts[&n].raft.as_ref().unwrap().term() == Term(0)));
    cluster.persist_all(1);
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Leader);
}

#[test]
fn a_vote_survives_a_crash_and_is_not_given_twice() {
    let mut cluster = Cluster::new(3);
    cluster
        .node(3)
        .step(message(1, 3, 5, MessageBody::Vote { last: LogId::new(Term(0), LogIndex(1)) }))
        .unwrap();
    cluster.settle();
    cluster.crash(3);
    cluster.restart(3, 0);
    cluster.settle();
    let rival = MessageBody::Vote { last: LogId::new(Term(4), LogIndex(9)) };
    cluster.node(3).step(message(2, 3, 5, rival)).unwrap();
    cluster.collect(3);
    let answers = cluster.take_messages();
    assert!(
        matches!(answers[..], [ref m] if m.body == MessageBody::VoteResponse { granted: false })
    );
    assert_eq!(cluster.node(3).status().vote, Some(id(1)));
}

#[test]
fn a_shorter_log_gets_no_vote() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(3);
    cluster.propose(1, b"x").unwrap();
    cluster.settle();
    cluster.crash(1);
    cluster.heal();
    for _ in 0..60 {
        cluster.tick(1);
        assert_ne!(cluster.node(3).role(), Role::Leader, "3 lacks a committed entry");
    }
    assert_eq!(cluster.leader(), Some(2));
}

#[test]
fn an_isolated_replica_that_returns_deposes_nobody() {
    let mut cluster = Cluster::led_by_one(3);
    let term = cluster.node(1).term();
    cluster.isolate(3);
    cluster.tick(2_000);
    assert_eq!(cluster.node(3).term(), term, "pre-votes moved its term");
    cluster.heal();
    cluster.tick(50);
    assert_eq!((cluster.leader(), cluster.node(1).term()), (Some(1), term));
}

#[test]
fn a_leader_without_a_quorum_steps_down_within_an_election_timeout() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(1);
    cluster.tick(12);
    assert_eq!(cluster.node(1).role(), Role::Follower);
    assert_eq!(cluster.node(1).leader(), None);
}

#[test]
fn followers_of_a_living_leader_refuse_votes_and_keep_their_term() {
    let mut cluster = Cluster::led_by_one(3);
    let term = cluster.node(2).term();
    let last = LogId::new(Term(8), LogIndex(99));
    cluster.node(2).step(message(3, 2, 9, MessageBody::Vote { last })).unwrap();
    cluster.node(1).step(message(3, 1, 9, MessageBody::Vote { last })).unwrap();
    assert_eq!((cluster.node(2).term(), cluster.node(1).term()), (term, term));
    let ask = MessageBody::PreVote { next_term: Term(9), last };
    cluster.node(2).step(message(3, 2, 8, ask)).unwrap();
    cluster.collect(2);
    let answers = cluster.take_messages();
    let refused = MessageBody::PreVoteResponse { next_term: Term(9), granted: false };
    assert!(answers.iter().any(|m| m.body == refused));
}

#[test]
fn granting_a_pre_vote_puts_no_election_off() {
    let mut cluster = Cluster::new(4);
    let due = cluster.node(2).deadline();
    let ask = MessageBody::PreVote { next_term: Term(1), last: LogId::new(Term(0), LogIndex(1)) };
    cluster.node(2).step(message(1, 2, 0, ask)).unwrap();
    assert_eq!(cluster.node(2).deadline(), due);
}

#[test]
fn a_replica_at_a_higher_term_gets_back_in() {
    // 3 has a term of its own making, for example from a vote request that reached nobody else.
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(3);
    cluster.tick(30);
    cluster.crash(3);
    cluster.host(3).disk.hard_state = harness::hard_state(7, None);
    cluster.restart(3, 0);
    cluster.heal();
    cluster.tick(80);
    let leader = cluster.leader().unwrap();
    assert!(cluster.node(leader).term() > Term(7));
    assert_eq!(cluster.node(3).leader(), Some(id(leader)));
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
    let vote = MessageBody::Vote { last: LogId::new(Term(1), LogIndex(2)) };
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
fn learners_receive_the_log_and_never_count() {
    let mut cluster = Cluster::with_learners(2, 2);
    cluster.elect(1);
    assert_eq!(cluster.node(3).role(), Role::Learner);
    assert_eq!(cluster.node(3).deadline(), None, "a learner has nothing to wait for");
    cluster.isolate(2);
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    assert_eq!(cluster.node(3).last_index(), at.index, "learners have it");
    assert!(cluster.node(1).commit_index() < at.index, "one voter of two has it");
    cluster.node(3).campaign();
    cluster.settle();
    assert_eq!(cluster.node(3).role(), Role::Learner);
    cluster.heal();
    cluster.tick(10);
    assert_eq!(cluster.node(1).commit_index(), at.index);
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

#[test]
fn even_groups_with_synchronised_timeouts_elect() {
    let mut cluster = Cluster::new(4);
    for n in 1..=4 {
        cluster.node(n).campaign();
    }
    cluster.settle();
    if cluster.leader().is_none() {
        cluster.tick_until_leader();
    }
}
