//! Messages from other nodes: promises 40 to 46 and 50.

use codec::Envelope;
use multiraft::{NodeSettings, StepError};
use raft_core::{Configuration, HardState, MessageBody, ReadId, Replica, Role};
use types::{Generation, GroupId, LogId, LogIndex, NodeId, ReplicaId, StoreId, Term};

use crate::harness::{
    Cluster, Node, Stored, StoredGroup, accepted, alive, append, heartbeat, id, run, store_of,
    vote, voted,
};

/// Node `from` sends it: refused as expected, and nobody is touched.
#[track_caller]
fn refused(node: &mut Node, from: u64, envelope: Envelope, expected: StepError) {
    let (before, count) = (node.multi.group_statuses(), node.multi.counters().refused());
    assert_eq!(node.multi.step(NodeId(from), envelope), Err(expected));
    assert_eq!(node.multi.group_statuses(), before);
    assert!(node.turn().is_empty());
    assert_eq!(node.multi.counters().refused(), count + 1);
}

#[test]
fn c40_messages_reach_only_the_replica_that_is_meant_and_count_only_from_members() {
    let mut node = Node::of_three(1);
    let good = node.envelope(2, 1, 3, append(id(0, 1), 2, &[run(2, 3, &[b"x"])]));
    let mut wrong = good.clone();
    wrong.group = GroupId(77);
    refused(&mut node, 2, wrong, StepError::UnknownGroup { group: GroupId(77) });
    let mut wrong = good.clone();
    wrong.generation = Generation(2);
    let (expected, found) = (Generation(1), Generation(2));
    refused(&mut node, 2, wrong, StepError::OtherGeneration { expected, found });
    let mut wrong = good.clone();
    wrong.message.to = ReplicaId(3);
    let (expected, found) = (ReplicaId(1), ReplicaId(3));
    refused(&mut node, 2, wrong, StepError::OtherReplica { expected, found });
    let replica = ReplicaId(2);
    let (expected, found) = (NodeId(2), NodeId(3));
    refused(&mut node, 3, good.clone(), StepError::OtherNode { replica, expected, found });
    let mut wrong = good.clone();
    wrong.message.from = ReplicaId(9);
    refused(&mut node, 2, wrong, StepError::UnknownSender { replica: ReplicaId(9) });
    // Every door takes its own kind and no other.
    let answer = node.envelope(2, 1, 3, accepted(1));
    let ballot = node.envelope(2, 1, 3, voted(true));
    let plea = node.envelope(2, 1, 3, vote(id(0, 1)));
    let order = node.envelope(2, 1, 3, MessageBody::TimeoutNow);
    let is_other_kind = |result| matches!(result, Err(StepError::OtherKind { .. }));
    let two = NodeId(2);
    let multi = &mut node.multi;
    for wrong in [&answer, &ballot, &plea] {
        assert!(is_other_kind(multi.handle_append_entries(two, wrong.clone())));
    }
    for wrong in [&good, &ballot, &plea] {
        assert!(is_other_kind(multi.handle_append_entries_response(two, wrong.clone())));
    }
    for wrong in [&good, &answer, &ballot] {
        assert!(is_other_kind(multi.handle_request_vote(two, wrong.clone())));
    }
    for wrong in [&good, &answer, &plea] {
        assert!(is_other_kind(multi.handle_request_vote_response(two, wrong.clone())));
    }
    for wrong in [&good, &answer, &ballot, &plea] {
        assert!(is_other_kind(multi.handle_timeout_now(two, wrong.clone())));
    }
    assert!(is_other_kind(multi.handle_append_entries(two, order.clone())));
    // Of a leader that this replica has not heard of: taken, and without effect.
    multi.handle_timeout_now(two, order).unwrap();
    assert!(node.turn().is_empty());
    node.multi.handle_append_entries(two, good).unwrap();
    node.settle();
    assert_eq!((node.last(1), node.last(4)), (LogIndex(2), LogIndex(1)));

    // Votes of strangers do not elect, their acknowledgements do not commit.
    let mut node = Node::of_three(1);
    node.tick();
    let body = MessageBody::PreVoteResponse { next_term: Term(1), granted: true };
    node.hear(2, 1, 0, body);
    for stranger in [8, 9] {
        let unknown = StepError::UnknownSender { replica: ReplicaId(stranger) };
        assert_eq!(node.try_hear(stranger, 1, 1, voted(true)), Err(unknown));
    }
    assert_eq!(node.multi.group_status(GroupId(1)).unwrap().role, Role::Candidate);
    node.hear(2, 1, 1, voted(true));
    assert!(node.multi.group_role_is_leader(GroupId(1)));
    for stranger in [8, 9] {
        node.try_hear(stranger, 1, 1, accepted(2)).unwrap_err();
    }
    assert_eq!(node.commit(1), LogIndex(1));
    node.hear(2, 1, 1, accepted(2));
    assert_eq!(node.commit(1), LogIndex(2));

    // Nor do their answers confirm a read.
    node.take_sent(1);
    node.multi.read_index(GroupId(1), ReadId(5)).unwrap();
    node.settle();
    let round = node.take_sent_to(2, 1).into_iter().find_map(|body| match body {
        MessageBody::Heartbeat { round, .. } => round,
        _ => None,
    });
    assert!(round.is_some(), "a read asks at once");
    node.try_hear(9, 1, 1, MessageBody::HeartbeatResponse { round }).unwrap_err();
    node.hear(3, 1, 1, alive());
    assert!(node.reads.is_empty());
    node.hear(3, 1, 1, MessageBody::HeartbeatResponse { round });
    assert_eq!((node.reads[0].1.id, node.reads[0].1.index), (ReadId(5), Some(LogIndex(2))));

    // A replica that lived in a store which its node lost is not heard.
    let mut node = Node::new(1, crate::harness::table(3, 4), NodeSettings::default());
    plant(&mut node, 1, HardState::default(), &[], StoreId(77));
    let (replica, expected, found) = (ReplicaId(2), StoreId(77), store_of(NodeId(2)));
    let plea = node.envelope(2, 1, 1, vote(id(0, 1)));
    refused(&mut node, 2, plea, StepError::OtherStore { replica, expected, found });
}

/// Mounts a group of replicas 1 to 3 whose disk holds a log of commands of these terms behind entry
/// 1. Replica 2 lives in `store_of_two`.
fn plant(node: &mut Node, group: u64, hard_state: HardState, terms: &[u64], store_of_two: StoreId) {
    let voters = (1..=3u32).map(|n| {
        let node = NodeId(u64::from(n));
        let store = if n == 2 { store_of_two } else { store_of(node) };
        Replica { id: ReplicaId(n), node, store }
    });
    let configuration = Configuration::new(voters.collect(), vec![], vec![]).unwrap();
    let header = raft_core::EntryHeader::default();
    let mut entries = vec![(Term(0), header, Stored::Configuration(configuration))];
    entries.extend(terms.iter().map(|term| (Term(*term), header, Stored::Command(vec![7]))));
    let replica = ReplicaId(u32::try_from(node.id.0).unwrap());
    let generation = Generation(1);
    let stored = StoredGroup { generation, replica, hard_state, entries };
    node.disk.plant(GroupId(group), stored);
    node.restart(NodeSettings::default());
    node.settle();
    node.sent.clear();
}

fn of_three_with_log(number: u64, term: u64, terms: &[u64]) -> Node {
    let mut node = Node::new(number, crate::harness::table(3, 4), NodeSettings::default());
    let hard_state = HardState { term: Term(term), vote: None };
    plant(&mut node, 1, hard_state, terms, store_of(NodeId(2)));
    node
}

#[test]
fn c41_terms_and_votes_are_durable_before_their_replies_leave() {
    let mut node = Node::of_three(2);
    node.holds_writes = true;
    node.hear(3, 1, 5, vote(id(0, 1)));
    node.hear(3, 2, 5, append(id(0, 1), 1, &[]));
    node.hear(3, 3, 5, heartbeat(1));
    for now in 1..4 {
        node.tick_to(now);
    }
    assert!(node.sent.is_empty(), "found {:?}", node.sent);
    assert_eq!(node.disk.group(GroupId(1)).unwrap().hard_state, HardState::default());
    node.release_writes();
    node.tick_to(4);
    let stored = node.disk.group(GroupId(1)).unwrap().hard_state;
    assert_eq!((stored.term, stored.vote), (Term(5), Some(ReplicaId(3))));
    assert_eq!(node.take_sent_to(3, 1), [voted(true)]);
    assert_eq!(node.take_sent_to(3, 2), [accepted(1)]);
    assert!(node.take_sent_to(3, 3).contains(&alive()));
}

#[test]
fn c42_appends_are_taken_once_and_only_as_far_as_they_are_verified() {
    // Entry 1, then terms 1, 1, 1, 2.
    let fresh = || of_three_with_log(2, 3, &[1, 1, 1, 2]);
    let mut node = fresh();
    node.hear(3, 1, 2, append(id(2, 5), 5, &[run(6, 2, &[b"stale"])]));
    assert_eq!((node.last(1), node.commit(1)), (LogIndex(5), LogIndex(0)));
    let sent = node.take_sent(1);
    assert!(sent.iter().all(|(to, message)| to.0 == 3 && message.term == Term(3)));
    assert!(!sent.iter().any(|(_, m)| matches!(m.body, MessageBody::Accepted { .. })));
    // A leader of term 3 with an entry of term 3 at 5: all that the follower knows is that its
    // entry at 5 is of term 2, so nothing above it can match.
    node.hear(1, 1, 3, append(id(3, 7), 1, &[run(8, 3, &[b"x"])]));
    let hint = id(2, 5);
    let rejected = MessageBody::Rejected { prev: LogIndex(7), hint };
    assert_eq!(node.take_sent_to(1, 1), [rejected]);
    node.hear(1, 1, 3, append(id(1, 5), 1, &[run(6, 3, &[b"x"])]));
    let rejected = MessageBody::Rejected { prev: LogIndex(5), hint: id(1, 4) };
    assert_eq!(node.take_sent_to(1, 1), [rejected]);

    // Entries 3 and 4 match, entry 5 does not: only 5 goes and only 5 is written.
    let written = node.disk.entries_written;
    let batch = [run(3, 1, &[&[7], &[7]]), run(5, 3, &[b"new"])];
    node.hear(1, 1, 3, append(id(1, 2), 4, &batch));
    assert_eq!(node.disk.entries_written, written + 1);
    let stored = node.disk.group(GroupId(1)).unwrap().clone();
    assert_eq!((stored.last(), stored.term_at(LogIndex(5))), (LogIndex(5), Some(Term(3))));
    assert_eq!((node.take_sent_to(1, 1).pop(), node.commit(1)), (Some(accepted(5)), LogIndex(4)));
    // The same again costs no write, and is answered again.
    node.hear(1, 1, 3, append(id(1, 2), 4, &batch));
    assert_eq!(node.disk.entries_written, written + 1);
    assert_eq!(node.take_sent_to(1, 1), [accepted(5)]);
    // A late, shorter one removes nothing.
    node.hear(1, 1, 3, append(id(1, 2), 3, &[run(3, 1, &[&[7]])]));
    assert_eq!(*node.disk.group(GroupId(1)).unwrap(), stored);
    assert_eq!((node.last(1), node.commit(1)), (LogIndex(5), LogIndex(4)));

    // What the leader did not verify is neither acknowledged nor committed, however long the log.
    let mut node = fresh();
    node.hear(1, 1, 3, append(id(1, 2), 5, &[]));
    assert_eq!((node.take_sent_to(1, 1), node.commit(1)), (vec![accepted(2)], LogIndex(2)));
    node.hear(1, 1, 3, append(id(1, 2), 5, &[run(3, 1, &[&[7]])]));
    assert_eq!((node.take_sent_to(1, 1), node.commit(1)), (vec![accepted(3)], LogIndex(3)));
    assert_eq!(node.last(1), LogIndex(5));
}

#[test]
fn c43_votes_are_given_once_and_to_whoever_has_the_log() {
    let mut node = of_three_with_log(2, 3, &[1, 2]);
    node.hear(3, 1, 4, vote(id(2, 3)));
    assert_eq!(node.take_sent_to(3, 1), [voted(true)]);
    node.hear(1, 1, 4, vote(id(4, 9)));
    assert_eq!(node.take_sent_to(1, 1), [voted(false)]);
    node.restart(NodeSettings::default());
    node.hear(1, 1, 4, vote(id(3, 9)));
    assert_eq!(node.take_sent_to(1, 1), [voted(false)], "nor after a restart");
    node.hear(3, 1, 4, vote(id(2, 3)));
    assert_eq!(node.take_sent_to(3, 1), [voted(true)], "but to the same one again");
    for (term, last) in [(5, id(2, 2)), (6, id(1, 99)), (7, LogId::ZERO)] {
        node.hear(1, 1, term, vote(last));
        assert_eq!(node.take_sent_to(1, 1), [voted(false)], "a log that ends at {last} lacks 3@2");
        assert_eq!(node.term(1), Term(term));
    }

    // Granted in term 1, arriving in term 2.
    let mut node = Node::of_three(1);
    let elect = |node: &mut Node, term: u64| {
        node.tick_to(node.multi.now().0 + 40);
        let body = MessageBody::PreVoteResponse { next_term: Term(term), granted: true };
        node.hear(2, 1, term - 1, body);
        let status = node.multi.group_status(GroupId(1)).unwrap();
        assert_eq!((status.role, status.term), (Role::Candidate, Term(term)));
    };
    elect(&mut node, 1);
    elect(&mut node, 2);
    node.hear(2, 1, 1, voted(true));
    node.hear(3, 1, 1, voted(true));
    assert!(!node.multi.group_role_is_leader(GroupId(1)));
    node.hear(3, 1, 2, voted(true));
    assert!(node.multi.group_role_is_leader(GroupId(1)));

    let mut cluster = Cluster::new(3, 1, NodeSettings::default()).found_all();
    cluster.elect_all();
    let (group, leader) = (GroupId(1), cluster.leader(GroupId(1)).unwrap());
    let term = cluster.node(leader.0).term(1);
    let follower = NodeId(1 + leader.0 % 3);
    cluster.network.isolate(&[follower]);
    for _ in 0..100 {
        cluster.tick();
    }
    cluster.network.isolate(&[]);
    for _ in 0..100 {
        cluster.tick();
        assert_eq!(cluster.leader(group), Some(leader));
    }
    assert_eq!(cluster.node(follower.0).multi.group_leader(group), Ok(Some(leader)));
    assert!(cluster.nodes.values().all(|node| node.term(1) == term));
}

#[test]
fn c44_answers_count_in_their_term_and_only_own_entries_commit_by_counting() {
    let is_leader = |node: &Node| node.multi.group_role_is_leader(GroupId(1));
    for body in [accepted(1), alive(), voted(false)] {
        let mut node = Node::of_three(1);
        node.win(1);
        node.hear(2, 1, 5, body);
        assert!(!is_leader(&node) && node.term(1) == Term(5), "a higher term steps down");
    }

    // An acknowledgement of term 1 for an index that holds another entry in term 3.
    let mut node = Node::of_three(1);
    node.win(1);
    node.multi.propose_to_group(GroupId(1), b"a").unwrap();
    node.settle();
    node.hear(2, 1, 2, append(id(0, 1), 1, &[run(2, 2, &[b"other"])]));
    node.tick_to(node.multi.now().0 + 40);
    node.win(1);
    let term = node.term(1);
    assert!(term >= Term(3) && node.last(1) == LogIndex(3));
    node.hear(2, 1, 1, accepted(3));
    node.hear(3, 1, 1, accepted(3));
    assert_eq!(node.commit(1), LogIndex(1));
    node.hear(3, 1, term.0, accepted(3));
    assert_eq!(node.commit(1), LogIndex(3));

    // Figure 8 of the paper: on a majority, but of an earlier term.
    let mut node = of_three_with_log(1, 2, &[1, 2]);
    node.tick_to(60);
    node.win(1);
    let term = node.term(1).0;
    assert_eq!(node.last(1), LogIndex(4), "its own first entry is the fourth");
    node.hear(2, 1, term, accepted(3));
    node.hear(3, 1, term, accepted(3));
    assert_eq!(node.commit(1), LogIndex(0));
    node.hear(2, 1, term, accepted(4));
    assert_eq!(node.commit(1), LogIndex(4));

    // Non-voters never advance commit.
    let mut node = Node::new(1, crate::harness::table(3, 4), NodeSettings::default());
    let spec = multiraft::GroupSpec {
        learners: vec![NodeId(3)],
        ..multiraft::GroupSpec::founded_by(GroupId(1), [NodeId(1), NodeId(2)])
    };
    node.multi.add_group_with(&spec).unwrap();
    node.win(1);
    node.hear(3, 1, 1, accepted(2));
    assert_eq!(node.commit(1), LogIndex(1));
}
