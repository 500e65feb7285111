//! Construction and lifecycle: promises 1 to 7.

use codec::{GroupItem, Item};
use multiraft::{AddGroupError, MultiRaft, NodeSettings};
use raft_core::{MessageBody, Role, RunBody, TimingError};
use types::{GroupId, LogIndex, NodeId, ReplicaId, Term};

use crate::harness::{Cluster, Node, alive, append, id, nodes, run, store_of, table, vote, voted};

fn bare() -> MultiRaft {
    MultiRaft::new(NodeId(7), store_of(NodeId(7)), table(3, 4), NodeSettings::default())
}

#[test]
fn c01_a_new_node_is_empty_and_as_it_was_told() {
    let multi = bare();
    assert_eq!((multi.node_id(), multi.group_count()), (NodeId(7), 0));
    assert_eq!(*multi.routing(), table(3, 4));
    assert!(multi.group_statuses().is_empty());
}

#[test]
fn c02_waits_chain_and_affect_groups_added_afterwards() {
    let multi = bare().with_election_timeout(12, 30).unwrap().with_heartbeat_interval(6).unwrap();
    let reversed = multi.with_election_timeout(20, 19).unwrap_err();
    assert_eq!(reversed, TimingError::ElectionReversed { min: 20, max: 19 });
    let short = TimingError::ElectionTooShort { election_ticks_min: 3, allowed_min: 4 };
    assert_eq!(bare().with_election_timeout(3, 9).unwrap_err(), short);
    let short = TimingError::ElectionTooShort { election_ticks_min: 10, allowed_min: 12 };
    assert_eq!(bare().with_heartbeat_interval(6).unwrap_err(), short);
    assert_eq!(bare().with_heartbeat_interval(0).unwrap_err(), TimingError::HeartbeatZero);

    // Groups 2 and 3 are for nodes 2 and 3 to open, so node 1 waits for its timeout.
    let mut node = Node::new(1, table(3, 4), NodeSettings::default());
    let peers = [NodeId(2), NodeId(3)];
    node.configure(|multi| multi.with_election_timeout(10, 10).unwrap());
    node.multi.add_group(GroupId(2), &peers).unwrap();
    node.configure(|multi| multi.with_election_timeout(30, 30).unwrap());
    node.multi.add_group(GroupId(3), &peers).unwrap();
    let asks = |node: &mut Node, group| {
        let sent = node.take_sent_to(2, group);
        sent.iter().any(|body| matches!(body, MessageBody::PreVote { .. }))
    };
    node.tick_to(9);
    assert!(!asks(&mut node, 2) && !asks(&mut node, 3));
    node.tick_to(10);
    assert!(asks(&mut node, 2) && !asks(&mut node, 3));
    node.tick_to(29);
    assert!(!asks(&mut node, 3));
    node.tick_to(30);
    assert!(asks(&mut node, 3));

    // Groups 1 and 4 are for node 1 to lead, one at the default interval of 2 ticks, one at 5.
    let mut node = Node::new(1, table(3, 4), NodeSettings::default());
    node.multi.add_group(GroupId(1), &peers).unwrap();
    node.configure(|multi| multi.with_heartbeat_interval(5).unwrap());
    node.multi.add_group(GroupId(4), &peers).unwrap();
    node.win(1);
    node.win(4);
    for now in node.multi.now().0 + 1..=40 {
        node.tick_to(now);
        for group in [1, 4] {
            node.hear(2, group, 1, alive());
        }
        if now <= 20 {
            node.sent.clear();
        }
    }
    let beats = |sent: Vec<MessageBody>| {
        sent.iter().filter(|body| matches!(body, MessageBody::Heartbeat { .. })).count()
    };
    assert_eq!(beats(node.take_sent_to(2, 1)), 10);
    assert_eq!(beats(node.take_sent_to(2, 4)), 4);
}

#[test]
fn c03_founders_write_the_same_first_entry_and_restoring_brings_back_what_is_stored() {
    let mut first_entries = Vec::new();
    for number in 1..=3 {
        let mut node = Node::new(number, table(3, 4), NodeSettings::default());
        let peers: Vec<NodeId> = nodes(3).into_iter().filter(|n| *n != node.id).collect();
        node.multi.add_group(GroupId(2), &peers).unwrap();
        let status = node.multi.group_status(GroupId(2)).unwrap();
        assert_eq!((status.role, status.term, status.leader), (Role::Follower, Term(0), None));
        assert_eq!(status.voters, nodes(3));
        let (_, batch) = node.turn().write.unwrap();
        let [GroupItem { item: created, .. }, GroupItem { item: appended, .. }] = &batch.items[..]
        else {
            panic!("creation and entry 1, found {batch:?}");
        };
        let replica = ReplicaId(u32::try_from(number).unwrap());
        assert_eq!(*created, Item::Create { replica });
        first_entries.push(appended.clone());
    }
    assert!(first_entries.iter().all(|entry| *entry == first_entries[0]));
    let Item::Append(run) = &first_entries[0] else { panic!("an entry") };
    assert_eq!((run.first, run.term), (LogIndex(1), Term(0)));
    let RunBody::Configuration(founders) = &run.body else { panic!("a configuration") };
    let listed: Vec<_> = founders.incoming().iter().map(|r| (r.node, r.store)).collect();
    assert_eq!(listed, nodes(3).into_iter().map(|n| (n, store_of(n))).collect::<Vec<_>>());

    let mut single = Node::alone(NodeSettings::default());
    assert_eq!(single.multi.group_status(GroupId(1)).unwrap().voters, nodes(1));
    single.multi.propose_to_group(GroupId(1), b"kept").unwrap();
    single.settle();

    // Term 5, a vote for replica 3, two entries: that and nothing else comes back.
    let mut node = Node::of_three(2);
    node.hear(1, 1, 4, append(id(0, 1), 1, &[run_of(2, 4, b"a"), run_of(3, 4, b"b")]));
    node.tick_to(40);
    node.hear(3, 1, 5, vote(id(4, 3)));
    let stored = node.disk.group(GroupId(1)).unwrap().clone();
    assert_eq!((stored.hard_state.term, stored.hard_state.vote), (Term(5), Some(ReplicaId(3))));
    node.restart(NodeSettings::default());
    let status = node.multi.group_status(GroupId(1)).unwrap();
    assert_eq!((status.role, status.term, status.leader), (Role::Follower, Term(5), None));
    assert_eq!((status.last, status.applied), (LogIndex(3), LogIndex(1)));
    assert_eq!((status.voters, status.replica), (nodes(3), ReplicaId(2)));
    let ready = node.turn();
    assert!(ready.write.is_none() && ready.frames.is_empty() && ready.committed.is_empty());
    assert_eq!(*node.disk.group(GroupId(1)).unwrap(), stored);
    node.hear(1, 1, 5, vote(id(4, 9)));
    assert_eq!(node.take_sent_to(1, 1), [voted(false)]);
}

fn run_of(first: u64, term: u64, payload: &[u8]) -> raft_core::EntryRun {
    run(first, term, &[payload])
}

#[test]
fn c04_a_mounted_group_is_not_mounted_again() {
    let mut node = Node::alone(NodeSettings::default());
    node.multi.propose_to_group(GroupId(3), b"x").unwrap();
    node.settle();
    let before = node.multi.group_statuses();
    let refused = Err(AddGroupError::AlreadyMounted { group: GroupId(3) });
    assert_eq!(node.multi.add_group(GroupId(3), &[]), refused);
    assert_eq!(node.multi.add_group(GroupId(3), &[NodeId(9)]), refused);
    let restored = node.disk.group(GroupId(3)).unwrap().restored(GroupId(3));
    assert_eq!(node.multi.restore_group(restored, LogIndex(0)), refused);
    assert_eq!(node.multi.group_statuses(), before);
    assert!(node.turn().is_empty());
    node.restart(NodeSettings::default());
    assert_eq!(node.multi.add_group(GroupId(3), &[]), refused);

    for group in [0, u64::MAX, u64::MAX - 1] {
        node.multi.add_group(GroupId(group), &[]).unwrap();
        node.tick();
        node.multi.propose_to_group(GroupId(group), b"odd id").unwrap();
        node.settle();
        assert_eq!(node.commands(group), [b"odd id".to_vec()]);
    }
    node.restart(NodeSettings::default());
    assert_eq!(node.multi.group_count(), 7);
}

#[test]
fn c06_a_restart_forgets_nothing_and_repeats_nothing() {
    for seed in 0..20 {
        let settings = NodeSettings { seed, ..NodeSettings::default() };
        let mut cluster = Cluster::new(3, 2, settings).found_all();
        // The model disk refuses a second vote in a term; deliveries below the floor fail the node.
        cluster.survive(200, |cluster| {
            if !cluster.now.is_multiple_of(17) {
                return;
            }
            let victim = NodeId(1 + cluster.now % 3);
            let node = cluster.node(victim.0);
            node.release_writes();
            node.settle();
            let before: Vec<_> = node.disk.restored();
            let told: Vec<_> = node.multi.group_statuses().into_iter().map(durable).collect();
            cluster.restart(victim);
            let node = cluster.node(victim.0);
            let again: Vec<_> = node.multi.group_statuses().into_iter().map(durable).collect();
            assert_eq!(again, told);
            assert_eq!(node.disk.restored(), before);
        });
    }
}

/// What a status says of what is durable: term, last entry, membership.
fn durable(status: multiraft::GroupStatus) -> (GroupId, Term, LogIndex, ReplicaId, Vec<NodeId>) {
    (status.group, status.term, status.last, status.replica, status.voters)
}
