//! Replication beyond the paper's sentences (`paper.rs`) and the stories (`scripts/`): budgets, disks,
//! what no correct replica sends.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails loudly, and asks only about the messages it means"
)]

mod harness;

use harness::{Cluster, append, message, run};
use raft_core::{
    FetchFor, HaltReason, Message, MessageBody, ProposeError, ReadId, Role, StepError,
};
use types::{LogId, LogIndex, Term};

#[test]
fn old_and_false_acknowledgements_commit_nothing() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(1);
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    let ack = |matched| MessageBody::Accepted { matched };
    cluster.node(1).step(message(2, 1, 0, ack(at.index))).unwrap();
    assert!(cluster.node(1).commit_index() < at.index, "an acknowledgement of an older term");
    assert!(cluster.node(1).step(message(2, 1, 1, ack(LogIndex(99)))).is_err());
    assert!(cluster.node(1).commit_index() < at.index);
}

#[test]
fn the_window_bounds_what_is_under_way() {
    let mut cluster = Cluster::led_by_one(3);
    for n in 0..20u8 {
        cluster.propose(1, &[n; 400]).unwrap_or_else(|error| panic!("{n}: {error}"));
        cluster.collect(1);
        if n == 10 {
            break;
        }
    }
    let to_two = cluster.network.iter().filter(|m| m.to == harness::id(2)).count();
    assert_eq!(to_two, 4, "inflight_appends_max");
    cluster.settle();
    assert_eq!(cluster.node(2).last_index(), cluster.node(1).last_index());
}

#[test]
fn too_much_uncommitted_is_refused_and_taken_again_later() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(1);
    let refused = loop {
        match cluster.propose(1, &[0; 1000]) {
            Ok(_) => {
                cluster.collect(1);
            }
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, ProposeError::Overloaded { budget: "uncommitted_bytes_max" });
    let last = cluster.node(1).last_index();
    assert!(matches!(cluster.propose(1, &[0; 2000]), Err(ProposeError::TooLarge { .. })));
    assert_eq!(cluster.node(1).last_index(), last, "a refused proposal leaves no entry");
    cluster.heal();
    cluster.tick(8);
    cluster.propose(1, &[0; 1000]).unwrap();
}

/// How many appends a new leader sends to a follower that has everything but its first entry, and
/// whose disk is slow: it does nothing while a message is under way.
fn appends_of_an_election(knows_the_commit: bool) -> u32 {
    let mut cluster = Cluster::led_by_one(3);
    cluster.propose(1, b"x").unwrap();
    cluster.settle();
    if knows_the_commit {
        cluster.tick(2);
    }
    cluster.crash(1);
    cluster.tick(10);
    cluster.node(2).campaign();
    let is_append =
        |m: &Message| m.to == harness::id(3) && matches!(m.body, MessageBody::Append { .. });
    let mut appends = 0;
    loop {
        cluster.collect_all();
        appends += u32::from(cluster.network.front().is_some_and(is_append));
        let is_busy = cluster.deliver_one();
        if !is_busy && !cluster.persist_one(2) && !cluster.persist_one(3) {
            break;
        }
    }
    assert_eq!((cluster.node(2).role(), cluster.node(3).last_index()), (Role::Leader, LogIndex(4)));
    appends
}

#[test]
fn a_new_leader_sends_its_first_entry_once() {
    // What a follower has from before is durable at once, and must not be taken for the answer.
    assert_eq!(appends_of_an_election(true), 1);
    assert_eq!(appends_of_an_election(false), 1);
}

#[test]
fn a_replica_far_behind_is_served_from_disk() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(3);
    for n in 0..60u8 {
        cluster.propose(1, &[n; 100]).unwrap();
        cluster.settle();
    }
    cluster.heal();
    cluster.tick(30);
    assert_eq!(cluster.node(3).commit_index(), cluster.node(1).commit_index());
    cluster.tick(2);
    cluster.assert_all_equal();
}

#[test]
fn a_restarted_group_delivers_its_log_again_from_disk() {
    let mut cluster = Cluster::led_by_one(1);
    for n in 0..30u8 {
        cluster.propose(1, &[n; 100]).unwrap();
        cluster.settle();
    }
    let end = cluster.node(1).commit_index();
    let before = cluster.oracle.deliveries;
    cluster.crash(1);
    cluster.restart(1, 0);
    cluster.tick(25);
    assert_eq!(cluster.node(1).applied_index(), end.next(), "and its new term's first entry");
    assert_eq!(cluster.oracle.deliveries - before, end.0 + 1);
}

#[test]
fn a_log_that_cannot_be_read_halts_its_replica_and_no_other() {
    let mut cluster = Cluster::led_by_one(3);
    let node = cluster.node(1);
    // What it was about to say is never said, and not kept either.
    let asked = MessageBody::PreVote { next_term: Term(2), last: LogId::default() };
    node.step(message(2, 1, 1, asked)).unwrap();
    node.read_index(ReadId(1)).unwrap();
    let held = node.holdings();
    assert_eq!((held.messages, held.reads), (1, 1));
    node.entries_fetched(FetchFor::Apply, Err(raft_core::FetchError::Damaged));
    assert_eq!(node.halted(), Some(HaltReason::LogDamaged));
    assert!(node.ready().is_none() && node.deadline().is_none());
    let held = node.holdings();
    assert_eq!((held.messages, held.reads, held.fetches), (0, 0, 0));
    assert!(matches!(cluster.propose(1, b"x"), Err(ProposeError::NotLeader { .. })));
    let new = cluster.tick_until_leader();
    assert_ne!(new, 1);
}

#[test]
fn a_replica_that_lost_what_it_had_acknowledged_halts() {
    let mut cluster = Cluster::led_by_one(3);
    let kept = cluster.propose(1, b"kept").unwrap().index;
    cluster.settle();
    let older = cluster.host(2).disk.entries.clone();
    let lost = cluster.propose(1, b"lost").unwrap().index;
    cluster.settle();
    cluster.crash(2);
    cluster.host(2).disk.entries = older;
    cluster.restart(2, 0);
    // The leader's next sign of life names what replica 2 had acknowledged to it.
    cluster.tick(2);
    let expected = HaltReason::LogRolledBack { acknowledged: lost, last: kept };
    assert_eq!(cluster.node(2).halted(), Some(expected));
    assert!(cluster.node(2).ready().is_none() && cluster.node(2).deadline().is_none());
    // It helps nobody into office: replica 3 alone is no quorum.
    cluster.crash(1);
    cluster.tick(100);
    assert_ne!(cluster.node(3).role(), Role::Leader);
    // The two that have everything go on.
    cluster.restart(1, 0);
    let leader = cluster.tick_until_leader();
    assert_ne!(leader, 2);
    let next = cluster.propose(leader, b"next").unwrap().index;
    cluster.settle();
    assert!(cluster.node(leader).commit_index() >= next);
}

#[test]
fn the_commit_index_reaches_idle_followers_with_the_next_beat() {
    let mut cluster = Cluster::led_by_one(3);
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    assert!(cluster.node(2).commit_index() < at.index);
    cluster.tick(2);
    assert_eq!(cluster.node(2).applied_index(), at.index);
    assert!(cluster.node(1).is_quiet() && cluster.node(2).is_quiet());
}

#[test]
fn appends_that_no_leader_sends_are_refused_and_change_nothing() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.tick(2);
    let status = cluster.node(2).status();
    let gap = append((2, 1), 2, vec![run(4, 1, &[b"x"])]);
    let falling = append((2, 1), 2, vec![run(3, 1, &[b"x"]), run(4, 0, &[b"y"])]);
    let future = append((2, 1), 2, vec![run(3, 5, &[b"x"])]);
    let rewrites = append((1, 0), 2, vec![run(2, 0, &[b"x"])]);
    let huge = append((u64::MAX, 1), 2, vec![]);
    for body in [gap, falling, future, rewrites, huge] {
        let refused = cluster.node(2).step(message(1, 2, 1, body.clone()));
        assert!(refused.is_err(), "{body:?} was taken");
    }
    assert_eq!(cluster.node(2).status(), status);
    assert_eq!(cluster.node(2).role(), Role::Follower);
}

#[test]
fn an_answer_that_waits_for_a_slow_disk_waits_once() {
    // A new leader speaks for a term that the follower cannot make durable, beat after beat.
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(2);
    cluster.host(2).holds_writes = true;
    for round in 0..50u64 {
        let beat = MessageBody::Heartbeat { commit: LogIndex(0), round: None };
        cluster.node(2).step(message(3, 2, 9, beat)).unwrap();
        let round = Some(raft_core::ReadRound(round));
        let asks = MessageBody::Heartbeat { commit: LogIndex(0), round };
        cluster.node(2).step(message(3, 2, 9, asks)).unwrap();
        let lacks = LogId::new(Term(9), LogIndex(50));
        let append = MessageBody::Append { prev: lacks, commit: LogIndex(0), runs: Vec::new() };
        cluster.node(2).step(message(3, 2, 9, append)).unwrap();
        cluster.collect(2);
    }
    assert!(cluster.take_messages().is_empty());
    cluster.persist_all(2);
    cluster.collect(2);
    let answers: Vec<MessageBody> = cluster.take_messages().into_iter().map(|m| m.body).collect();
    let newest = MessageBody::HeartbeatResponse { round: Some(raft_core::ReadRound(49)) };
    assert_eq!(answers.len(), 3, "one of a kind: {answers:?}");
    assert!(answers.contains(&newest), "an answer to a round confirms every earlier one");
}

#[test]
fn a_leader_that_contradicts_itself_is_refused() {
    // It sent 2 and 3 in its term 2, and now says that 2 was of term 1: a leader never changes its
    // own log (paper 5.3), so that something is wrong with it, and what it commits is no better.
    let mut cluster = Cluster::new(3);
    let own = vec![run(2, 2, &[b"two", b"three"])];
    cluster.node(1).step(message(2, 1, 2, append((1, 0), 1, own))).unwrap();
    let changed = vec![run(2, 1, &[b"other"])];
    let refused = cluster.node(1).step(message(2, 1, 2, append((1, 0), 3, changed)));
    let what = "an append that changes entries which are committed, or its leader's own";
    assert_eq!(refused, Err(StepError::Impossible { what }));
    let refused = cluster.node(1).step(message(2, 1, 2, append((2, 1), 3, vec![])));
    assert_eq!(refused, Err(StepError::Impossible { what }));
    let status = cluster.node(1).status();
    assert_eq!((status.last.index, status.committed), (LogIndex(3), LogIndex(1)));
}
