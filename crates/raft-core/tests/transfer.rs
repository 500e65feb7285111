//! Handing leadership over (dissertation 3.10).
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails loudly, and asks only about the messages it means"
)]

mod harness;

use std::sync::Arc;

use harness::{Cluster, hard_state, id, message, replica};
use raft_core::{
    Configuration, EntryRun, Fitness, Message, MessageBody, ProposeError, ReadAnswer, ReadId, Role,
    RunBody, TransferError,
};
use types::{LogId, LogIndex, Term};

fn transfer(cluster: &mut Cluster, from: u32, to: u32) -> Result<(), TransferError> {
    cluster.node(from).transfer_leader(id(to))
}

/// What replica `n` said of that kind, taken out of the network.
fn taken(cluster: &mut Cluster, n: u32, is_meant: impl Fn(&MessageBody) -> bool) -> Vec<Message> {
    let is_meant = |message: &Message| message.from == id(n) && is_meant(&message.body);
    let (meant, others) = cluster.take_messages().into_iter().partition(is_meant);
    cluster.network = others;
    Vec::from_iter::<std::collections::VecDeque<Message>>(meant)
}

/// Lets replica 1 order replica 2 to campaign, and catches the order.
fn caught_order(cluster: &mut Cluster) -> Message {
    transfer(cluster, 1, 2).unwrap();
    cluster.collect(1);
    let orders = taken(cluster, 1, |body| *body == MessageBody::TimeoutNow);
    assert_eq!(orders.len(), 1);
    orders.into_iter().next().unwrap()
}

#[test]
fn leadership_moves_without_time_passing_and_nothing_is_left_undecided() {
    let mut cluster = Cluster::led_by_one(3);
    let term = cluster.node(1).term();
    // Followers promised a moment ago not to vote for anybody: the order frees them.
    let at = cluster.propose(1, b"before").unwrap();
    transfer(&mut cluster, 1, 2).unwrap();
    assert_eq!(cluster.node(1).transferee(), Some(id(2)));
    cluster.settle();
    assert_eq!(cluster.leader(), Some(2));
    assert_eq!(cluster.node(2).term(), Term(term.0 + 1));
    assert_eq!(cluster.node(1).transferee(), None);
    assert!(cluster.node(1).applied_index() >= at.index, "who proposed here is answered here");
    cluster.tick(2);
    cluster.assert_all_equal();
    let at = cluster.propose(2, b"after").unwrap();
    cluster.settle();
    assert!(cluster.node(2).commit_index() >= at.index);
}

#[test]
fn proposals_are_refused_meanwhile_and_reads_are_not() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.read(1, 1);
    let order = caught_order(&mut cluster);
    cluster.read(1, 2);
    let refused = cluster.propose(1, b"x");
    assert_eq!(refused, Err(ProposeError::TransferInProgress { to: id(2) }));
    cluster.settle();
    let last = cluster.node(1).last_index();
    let served = |read| ReadAnswer { id: ReadId(read), index: Some(last) };
    assert_eq!(cluster.host(1).reads, [served(1), served(2)]);
    cluster.read(1, 3);
    cluster.deliver(order).unwrap();
    cluster.settle();
    assert_eq!(cluster.leader(), Some(2));
    let answers = &cluster.host(1).reads;
    assert_eq!(answers.len(), 3, "every read has ended: {answers:?}");
}

#[test]
fn the_order_waits_until_the_target_and_a_majority_have_everything() {
    for slow in [1, 2] {
        let mut cluster = Cluster::led_by_one(3);
        cluster.host(slow).holds_writes = true;
        let at = cluster.propose(1, b"x").unwrap();
        transfer(&mut cluster, 1, 2).unwrap();
        cluster.settle();
        assert_eq!(cluster.leader(), Some(1), "replica {slow} has not written it");
        assert!(cluster.node(1).commit_index() >= at.index, "the others have");
        assert_eq!(cluster.node(2).role(), Role::Follower, "it was ordered too early");
        cluster.host(slow).holds_writes = false;
        cluster.settle();
        assert_eq!(cluster.leader(), Some(2));
    }
    // The leader and the target have all, but they are no majority: it is not decided yet.
    let mut cluster = Cluster::led_by_one(5);
    (3..=5).for_each(|n| cluster.host(n).holds_writes = true);
    cluster.propose(1, b"x").unwrap();
    transfer(&mut cluster, 1, 2).unwrap();
    cluster.settle();
    assert_eq!((cluster.leader(), cluster.node(2).role()), (Some(1), Role::Follower));
    cluster.host(3).holds_writes = false;
    cluster.settle();
    assert_eq!(cluster.leader(), Some(2));
}

#[test]
fn an_own_disk_that_stands_still_keeps_leadership_here_for_half_the_time() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.host(1).holds_writes = true;
    let at = cluster.propose(1, b"x").unwrap();
    transfer(&mut cluster, 1, 2).unwrap();
    let begun_at = cluster.now;
    cluster.tick(4);
    assert_eq!((cluster.leader(), cluster.node(2).term()), (Some(1), Term(1)), "it waits");
    while cluster.node(2).role() != Role::Leader {
        cluster.tick(1);
        assert!(cluster.now.since(begun_at) < 10, "its disk kept leadership");
    }
    // 2 was elected by 3: the vote of 1 is not durable, no more than what it proposed.
    assert!(cluster.node(2).commit_index() > at.index);
    assert!(cluster.node(1).persisted_index() < at.index);
}

#[test]
fn who_is_cut_off_after_the_order_answers_no_read() {
    let mut cluster = Cluster::led_by_one(3);
    let order = caught_order(&mut cluster);
    cluster.deliver(order).unwrap();
    cluster.isolate(1);
    cluster.settle();
    assert_eq!(cluster.node(2).role(), Role::Leader);
    cluster.propose(2, b"x").unwrap();
    cluster.settle();
    cluster.read(1, 7);
    cluster.tick(30);
    assert_eq!(cluster.host(1).reads, [ReadAnswer { id: ReadId(7), index: None }]);
}

#[test]
fn only_who_votes_in_both_halves_is_chosen() {
    let mut cluster = Cluster::new(5);
    let all: Vec<_> = (1..=5).map(replica).collect();
    // 2 is on its way in, 4 and 5 on their way out.
    let (incoming, outgoing) = (all[..3].to_vec(), [&all[..1], &all[2..]].concat());
    let joint = Arc::new(Configuration::new(incoming, outgoing, Vec::new()).unwrap());
    for n in 1..=5 {
        cluster.crash(n);
        let body = RunBody::Configuration(joint.clone());
        let entry = EntryRun { first: LogIndex(2), term: Term(1), body };
        cluster.host(n).disk.entries.push(entry);
        cluster.host(n).disk.hard_state = hard_state(1, None);
        cluster.restart(n, 0);
    }
    cluster.elect(1);
    for n in [2, 4, 5] {
        assert_eq!(transfer(&mut cluster, 1, n), Err(TransferError::NotVoter { to: id(n) }));
    }
    assert_eq!(transfer(&mut cluster, 1, 3), Ok(()));
    cluster.settle();
    assert_eq!(cluster.leader(), Some(3));
}

#[test]
fn a_handover_that_fails_ends_after_one_election_timeout() {
    let mut cluster = Cluster::led_by_one(3);
    transfer(&mut cluster, 1, 2).unwrap();
    cluster.cut = vec![(1, 2), (2, 1)];
    let begun_at = cluster.now;
    while cluster.node(1).transferee().is_some() {
        let refused = cluster.propose(1, b"x");
        assert_eq!(refused, Err(ProposeError::TransferInProgress { to: id(2) }));
        cluster.tick(1);
        assert!(cluster.now.since(begun_at) <= 10, "it never gives up");
    }
    assert!(cluster.now.since(begun_at) >= 10, "one election timeout is 10 ticks");
    assert_eq!(cluster.leader(), Some(1));
    let at = cluster.propose(1, b"after").unwrap();
    cluster.settle();
    assert!(cluster.node(1).commit_index() >= at.index);
}

#[test]
fn a_handover_that_cannot_succeed_is_refused_by_name() {
    let mut cluster = Cluster::with_learners(3, 1);
    cluster.elect(1);
    assert_eq!(transfer(&mut cluster, 1, 1), Ok(()), "it leads already");
    assert_eq!(cluster.node(1).transferee(), None);
    let leader = Some(id(1));
    assert_eq!(transfer(&mut cluster, 2, 3), Err(TransferError::NotLeader { leader }));
    assert_eq!(transfer(&mut cluster, 1, 9), Err(TransferError::UnknownReplica { to: id(9) }));
    assert_eq!(transfer(&mut cluster, 1, 4), Err(TransferError::NotVoter { to: id(4) }));
    cluster.isolate(3);
    cluster.tick(9);
    assert_ne!(transfer(&mut cluster, 1, 3), Err(TransferError::Silent { to: id(3) }));
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(3);
    cluster.tick(10);
    assert_eq!(transfer(&mut cluster, 1, 3), Err(TransferError::Silent { to: id(3) }));
    assert_eq!(transfer(&mut cluster, 1, 2), Ok(()));
    assert_eq!(transfer(&mut cluster, 1, 2), Ok(()), "that is what is being done");
    assert_eq!(transfer(&mut cluster, 1, 3), Err(TransferError::InProgress { to: id(2) }));
}

#[test]
fn a_target_whose_window_is_full_or_unknown_is_too_far_behind() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.host(2).holds_writes = true;
    let matched = cluster.node(1).last_index();
    // Four appends may be unanswered.
    for _ in 0..5 {
        cluster.propose(1, b"x").unwrap();
        cluster.settle();
    }
    let last = cluster.node(1).last_index();
    let refused = transfer(&mut cluster, 1, 2);
    assert_eq!(refused, Err(TransferError::TooFarBehind { matched, last }));
    // What was under way counts as lost: nobody knows where the logs agree.
    cluster.node(1).report_unreachable(id(2));
    let refused = transfer(&mut cluster, 1, 2);
    assert_eq!(refused, Err(TransferError::TooFarBehind { matched, last }));
    cluster.host(2).holds_writes = false;
    cluster.settle();
    cluster.node(1).report_unreachable(id(2));
    assert_eq!(transfer(&mut cluster, 1, 2), Ok(()), "it has everything");
}

#[test]
fn an_order_counts_only_from_the_leader_of_the_own_term() {
    let order = |from, term| message(from, 2, term, MessageBody::TimeoutNow);
    for (from, term) in [(3, 1), (1, 0), (1, 2), (1, 9), (9, 1)] {
        let mut cluster = Cluster::led_by_one(3);
        assert_eq!(cluster.node(2).term(), Term(1));
        let before = cluster.node(2).status();
        cluster.deliver(order(from, term)).ok();
        assert_eq!(cluster.node(2).status(), before, "an order of {from} in term {term}");
    }
    let mut cluster = Cluster::led_by_one(3);
    cluster.deliver(order(1, 1)).unwrap();
    assert_eq!(cluster.node(2).role(), Role::Candidate);
    // Repeated, or late, it meets somebody who follows nobody, or leads.
    cluster.deliver(order(1, 1)).unwrap();
    assert_eq!(cluster.node(2).term(), Term(2));
    cluster.settle();
    cluster.deliver(order(1, 1)).unwrap();
    cluster.deliver(order(1, 2)).ok();
    assert_eq!((cluster.node(2).role(), cluster.node(2).term()), (Role::Leader, Term(2)));
}

#[test]
fn bug_037_no_ordered_vote_request_leaves_before_the_own_vote_is_durable() {
    let mut cluster = Cluster::led_by_one(3);
    let order = caught_order(&mut cluster);
    cluster.host(2).holds_writes = true;
    cluster.deliver(order).unwrap();
    cluster.collect(2);
    assert!(taken(&mut cluster, 2, |body| matches!(body, MessageBody::Vote { .. })).is_empty());
    cluster.persist_all(2);
    cluster.collect(2);
    let asked = taken(&mut cluster, 2, |body| matches!(body, MessageBody::Vote { .. }));
    assert_eq!(asked.len(), 2);
    assert!(
        asked.iter().all(|m| matches!(m.body, MessageBody::Vote { is_ordered: true, .. })),
        "{asked:?}"
    );
}

#[test]
fn bug_003_an_order_gives_no_second_vote_in_a_term() {
    let mut cluster = Cluster::led_by_one(3);
    let last = cluster.hosts[&1].raft.as_ref().unwrap().status().last;
    for rival in [2, 3] {
        let ask = MessageBody::Vote { last, is_ordered: true };
        cluster.deliver(message(rival, 1, 2, ask)).unwrap();
    }
    assert_eq!(cluster.node(1).status().vote, Some(id(2)));
    cluster.collect(1);
    cluster.persist_all(1);
    cluster.collect(1);
    let granted = MessageBody::VoteResponse { granted: true };
    let granted = taken(&mut cluster, 1, |body| *body == granted);
    assert!(granted.iter().all(|m| m.to == id(2)) && granted.len() == 1, "{granted:?}");
}

#[test]
fn a_restarted_replica_votes_in_an_ordered_election() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.crash(3);
    cluster.restart(3, 1_000);
    cluster.isolate(1);
    let last = LogId::new(Term(1), LogIndex(2));
    for (is_ordered, granted) in [(false, false), (true, true)] {
        let ask = MessageBody::Vote { last, is_ordered };
        cluster.node(3).step(message(2, 3, 2, ask)).unwrap();
        assert_eq!(cluster.node(3).status().vote == Some(id(2)), granted);
    }
}

#[test]
fn whoever_is_not_fit_or_has_no_vote_ignores_the_order() {
    let mut cluster = Cluster::with_learners(3, 1);
    cluster.elect(1);
    cluster.tick(2);
    cluster.node(2).set_fitness(Fitness::Unfit);
    for n in [2, 4] {
        let order = message(1, n, 1, MessageBody::TimeoutNow);
        cluster.deliver(order).unwrap();
        assert_eq!(cluster.node(n).term(), Term(1));
    }
    assert_eq!(transfer(&mut cluster, 1, 2), Ok(()), "the leader does not know");
    cluster.tick(12);
    assert_eq!((cluster.leader(), cluster.node(1).transferee()), (Some(1), None));
}

#[test]
fn an_ordered_candidate_that_fails_asks_for_pre_votes_next() {
    let mut cluster = Cluster::led_by_one(3);
    let order = caught_order(&mut cluster);
    cluster.deliver(order).unwrap();
    cluster.isolate(2);
    cluster.tick(40);
    assert_eq!((cluster.node(2).role(), cluster.node(2).term()), (Role::PreCandidate, Term(2)));
    cluster.heal();
    cluster.tick(60);
    assert!(cluster.leader().is_some());
}

#[test]
fn a_frozen_leader_is_not_handing_over() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.tick(2);
    assert!(cluster.node(1).is_quiet());
    transfer(&mut cluster, 1, 2).unwrap();
    assert!(cluster.node(1).freeze().is_none(), "the order would be forgotten");
}
