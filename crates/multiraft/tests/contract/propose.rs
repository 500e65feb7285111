//! propose, propose_many and propose_to_group: promises 14 to 20.

use codec::encode_configuration;
use multiraft::{GroupSpec, NodeSettings, ProposeError};
use proptest::prelude::*;
use raft_core::{Configuration, Limits, MessageBody};
use types::{GroupId, LogIndex, NodeId, Term, VShardId};

use crate::harness::{Node, Stored, accepted, alive, heartbeat, nodes, store_of, table, voted};

#[test]
fn c14_propose_names_the_group_and_the_next_index() {
    let mut node = Node::of_three(1);
    node.win(1);
    node.win(4);
    for vshard in [0, 63, 1, 15, 48] {
        let group = node.multi.routing().group_of(VShardId(vshard)).unwrap();
        let next = node.last(group.0).next();
        assert_eq!(node.multi.propose(VShardId(vshard), b"x"), Ok((group, next)));
        assert_eq!(node.last(group.0), next);
        // Whether or not the turn ends in between.
        if vshard == 1 {
            node.settle();
        }
    }
    let data: [(VShardId, &[u8]); 3] =
        [(VShardId(0), b"a"), (VShardId(9_999), b"b"), (VShardId(0), b"c")];
    let last = node.last(1);
    let unknown = ProposeError::UnknownVShard { vshard: VShardId(9_999), vshards: 64 };
    let expected =
        [Ok((GroupId(1), last.next())), Err(unknown), Ok((GroupId(1), last.next().next()))];
    assert_eq!(node.multi.propose_many(data), expected);
}

#[test]
fn c15_a_refused_proposal_is_refused_by_name_and_leaves_no_entry() {
    let mut node = Node::of_three(1);
    let refused = |node: &mut Node, expected: ProposeError| {
        let before: Vec<LogIndex> = (1..=4).map(|group| node.last(group)).collect();
        assert_eq!(node.multi.propose_to_group(GroupId(1), b"x"), Err(expected));
        assert_eq!(node.multi.propose(VShardId(0), b"x"), Err(expected));
        node.settle();
        let after: Vec<LogIndex> = (1..=4).map(|group| node.last(group)).collect();
        assert_eq!(before, after, "{expected} left an entry");
    };
    let vshard = VShardId(64);
    let unknown = Err(ProposeError::UnknownVShard { vshard, vshards: 64 });
    assert_eq!(node.multi.propose(vshard, b"x"), unknown);
    let group = GroupId(9);
    let not_hosted = Err(ProposeError::UnknownGroup { group });
    assert_eq!(node.multi.propose_to_group(group, b"x"), not_hosted);
    refused(&mut node, ProposeError::NotLeader { leader: None });
    node.hear(2, 1, 1, heartbeat(0));
    refused(&mut node, ProposeError::NotLeader { leader: Some(NodeId(2)) });
    node.win(1);
    let (last, term) = (node.last(1).0, node.term(1).0);
    node.hear(3, 1, term, accepted(last));
    node.multi.transfer_leader(GroupId(1), NodeId(3)).unwrap();
    refused(&mut node, ProposeError::TransferInProgress { to: Some(NodeId(3)) });
    assert_eq!(node.multi.transferee(GroupId(1)), Ok(Some(NodeId(3))));
    let order = node.take_sent_to(3, 1).pop();
    assert_eq!(order, Some(MessageBody::TimeoutNow));
    // Nobody takes over: it goes on.
    for _ in 0..11 {
        node.tick();
        node.hear(2, 1, term, alive());
    }
    assert_eq!(node.multi.transferee(GroupId(1)), Ok(None));
    node.multi.propose(VShardId(0), b"x").unwrap();
}

#[test]
fn c16_durable_is_committed_only_where_one_voter_decides() {
    let mut alone = Node::alone(NodeSettings::default());
    alone.holds_writes = true;
    let (group, index) = alone.multi.propose(VShardId(0), b"x").unwrap();
    assert_eq!(alone.commit(group.0), LogIndex(index.0 - 1));
    alone.settle();
    assert_eq!(alone.commit(group.0), LogIndex(index.0 - 1), "not before it is durable");
    alone.release_writes();
    assert_eq!(alone.commit(group.0), index);
    alone.settle();
    assert!(alone.sent.is_empty(), "without a word to anybody");

    let mut node = Node::of_three(1);
    node.win(1);
    node.hear(2, 1, 1, accepted(2));
    let before = node.commit(1);
    let (_, index) = node.multi.propose(VShardId(0), b"x").unwrap();
    assert_eq!(node.commit(1), before);
    node.settle();
    assert_eq!(node.commit(1), before, "durable on one of three");
    node.hear(2, 1, 1, accepted(index.0));
    assert_eq!(node.commit(1), index);
}

#[test]
fn c17_a_vshard_stays_with_its_group_and_never_meets_group_0() {
    let mut node = Node::alone(NodeSettings::default());
    node.multi.add_group(GroupId(0), &[]).unwrap();
    node.tick();
    let groups: Vec<GroupId> =
        (0..64).map(|vshard| node.multi.propose(VShardId(vshard), b"x").unwrap().0).collect();
    assert!(groups.iter().all(|group| *group != GroupId(0)));
    // A table of the same epoch is no news, whatever it says.
    assert!(!node.multi.routing_mut().update(table(1, 2)));
    node.settle();
    for (vshard, group) in (0..).zip(&groups) {
        assert_eq!(node.multi.propose(VShardId(vshard), b"y").unwrap().0, *group);
    }
    node.settle();
    assert!(node.commands(0).is_empty());
}

#[test]
fn c18_group_0_is_reached_by_name_and_what_is_returned_is_only_appended() {
    let mut node = Node::of_three(1);
    node.multi.add_group(GroupId(0), &[NodeId(2), NodeId(3)]).unwrap();
    node.win(0);
    let commit = node.commit(0);
    let next = node.last(0).next();
    assert_eq!(node.multi.propose_to_group(GroupId(0), b"x"), Ok((GroupId(0), next)));
    node.settle();
    assert_eq!((node.last(0), node.commit(0)), (next, commit));
    assert!(node.commands(0).is_empty());
    node.hear(3, 0, 1, accepted(next.0));
    assert_eq!(node.commands(0), [b"x".to_vec()]);
    // The docs of `propose` say so, and those of `propose_to_group` point there.
    let docs = include_str!("../../src/propose.rs");
    assert!(docs.contains("the index at which the entry was *appended*"));
}

#[test]
fn c19_learners_do_not_count_and_payloads_are_only_payloads() {
    let mut node = Node::new(1, table(3, 4), NodeSettings::default());
    let founders = nodes(2);
    let learners = vec![NodeId(3)];
    let spec = GroupSpec { learners, ..GroupSpec::founded_by(GroupId(1), founders) };
    node.multi.add_group_with(&spec).unwrap();
    node.win(1);
    let (_, index) = node.multi.propose_to_group(GroupId(1), b"").unwrap();
    node.settle();
    node.hear(3, 1, 1, accepted(index.0));
    assert_eq!(node.commit(1), LogIndex(1), "the learner has it, the other voter has not");
    node.hear(2, 1, 1, accepted(index.0));
    assert_eq!(node.commit(1), index);
    // A leader's first entry and an empty command are both there, and are not the same.
    let entries: Vec<Stored> =
        node.delivered[&GroupId(1)].iter().map(|d| d.entry.clone()).collect();
    assert_eq!(entries[1..], [Stored::TermStart, Stored::Command(Vec::new())]);

    let other = Configuration::new(
        vec![raft_core::Replica {
            id: types::ReplicaId(9),
            node: NodeId(9),
            store: store_of(NodeId(9)),
        }],
        vec![],
        vec![],
    );
    let disguised = encode_configuration(&other.unwrap()).to_vec();
    let is_harmless = |payload: &[u8]| {
        let mut node = Node::alone(NodeSettings::default());
        node.multi.propose_to_group(GroupId(2), payload).unwrap();
        node.settle();
        for _ in 0..2 {
            assert_eq!(node.multi.group_status(GroupId(2)).unwrap().voters, nodes(1));
            node.restart(NodeSettings::default());
        }
        node.durable_applied.clear();
        node.restart(NodeSettings::default());
        node.tick_to(60);
        assert_eq!(node.commands(2), [payload.to_vec()]);
        assert_eq!(node.multi.group_status(GroupId(2)).unwrap().voters, nodes(1));
    };
    is_harmless(&disguised);
    is_harmless(&[]);
    proptest!(ProptestConfig::with_cases(64), |(
        payload in prop::collection::vec(any::<u8>(), 0..200)
    )| is_harmless(&payload));
}

#[test]
fn c20_what_is_not_committed_is_bounded_per_group_and_per_node() {
    let limits = Limits { uncommitted_bytes_max: 4_000, ..Limits::default() };
    let settings = NodeSettings { limits, uncommitted_bytes_max: 6_000, ..NodeSettings::default() };
    let mut node = Node::of_three_with(1, settings);
    node.win(1);
    node.win(4);
    let fill = |node: &mut Node, group: u64| {
        let error = (0..100).find_map(|_| {
            node.settle();
            node.multi.propose_to_group(GroupId(group), &[7; 500]).err()
        });
        let last = node.last(group);
        (error.expect("there is a bound"), last)
    };
    let overloaded = |error| match error {
        ProposeError::Overloaded { budget } => budget,
        other => panic!("expected a budget, found {other}"),
    };
    let (error, last) = fill(&mut node, 1);
    assert_eq!(overloaded(error), "the group's uncommitted_bytes_max");
    assert!(node.multi.uncommitted_bytes() <= 4_000 && last < LogIndex(12));
    let (error, _) = fill(&mut node, 4);
    assert_eq!(overloaded(error), "the node's uncommitted_bytes_max");
    assert!(node.multi.uncommitted_bytes() <= 6_000);
    // Refused proposals left no entry; once there is room, retrying helps.
    assert_eq!(node.last(1), last);
    node.hear(2, 1, node.term(1).0, accepted(last.0));
    assert!(node.multi.propose_to_group(GroupId(4), &[7; 500]).is_ok());
    assert!(node.multi.propose_to_group(GroupId(1), &[7; 500]).is_ok());
    // Whoever does not lead says that, and not that the node is full.
    let refused = node.multi.propose_to_group(GroupId(2), &[7; 500]);
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: None }));
    // Losing office frees what it took up.
    let last = node.last(1);
    node.hear(2, 1, 9, voted(false));
    assert_eq!((node.term(1), node.last(1)), (Term(9), last));
    node.hear(2, 4, 9, voted(false));
    assert_eq!(node.multi.uncommitted_bytes(), 0);
}
