//! What can be asked: promises 34 to 39.

use std::collections::BTreeMap;

use multiraft::{GroupSpec, LookupError, NodeSettings, UnknownGroup};
use raft_core::Role;
use routing::RoutingTable;
use types::{GroupId, LogIndex, NodeId, Term, VShardId};

use crate::harness::{Cluster, Node, accepted, append, id, nodes, run, table, vote};

#[test]
fn c34_statuses_are_sorted_and_consistent_and_cheap() {
    let mut node = Node::new(1, table(3, 4), NodeSettings::default());
    let others = [NodeId(2), NodeId(3)];
    node.multi.add_group(GroupId(4), &others).unwrap();
    node.multi.add_group(GroupId(0), &[]).unwrap();
    node.multi.add_group(GroupId(3), &others).unwrap();
    node.multi.add_group(GroupId(1), &[]).unwrap();
    let learner = GroupSpec { learners: nodes(1), ..GroupSpec::founded_by(GroupId(2), others) };
    node.multi.add_group_with(&learner).unwrap();
    node.win(4);
    node.hear(3, 3, 1, append(id(0, 1), 2, &[run(2, 1, &[b"a", b"b"])]));
    let all = node.multi.group_statuses();
    let ids: Vec<u64> = all.iter().map(|status| status.group.0).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4]);
    let roles: Vec<Role> = all.iter().map(|status| status.role).collect();
    let expected = [Role::Leader, Role::Leader, Role::Learner, Role::Follower, Role::Leader];
    assert_eq!(roles, expected);
    for status in &all {
        assert!(status.commit <= status.last && status.applied <= status.commit);
        assert!(status.snapshot <= status.applied);
    }
    assert_eq!((all[3].last, all[3].commit, all[3].term), (LogIndex(3), LogIndex(2), Term(1)));
    assert_eq!((all[3].leader, &all[2].learners), (Some(NodeId(3)), &nodes(1)));
    let vshards: Vec<u32> = all.iter().map(|status| status.vshards).collect();
    assert_eq!((vshards[0], vshards.iter().sum()), (0, node.multi.routing().vshards()));
    // Whoever asks for pre-votes is a candidate too.
    node.tick_to(node.multi.now().0 + 40);
    assert_eq!(node.multi.group_status(GroupId(3)).unwrap().role, Role::Candidate);

    // A million vshards and 2,000 groups: looking at each vshard for each group would take hours.
    let large = RoutingTable::uniform(1 << 20, 2_000, &nodes(1), 1).unwrap();
    let mut node = Node::new(1, large, NodeSettings::default());
    for group in 1..=2_000 {
        node.multi.add_group(GroupId(group), &[]).unwrap();
    }
    for _ in 0..100 {
        let vshards = node.multi.group_statuses().iter().map(|status| status.vshards).sum::<u32>();
        assert_eq!(vshards, 1 << 20);
    }
}

#[test]
fn c35_the_leader_of_a_vshard_is_who_raft_says() {
    let mut cluster = Cluster::new(3, 2, NodeSettings::default()).found_all();
    let (vshard, group) = (VShardId(0), GroupId(1));
    assert_eq!(cluster.node(2).multi.routing().preferred(group), Some(NodeId(1)));
    assert_eq!(cluster.node(2).multi.leader_for_vshard(vshard), Ok(None));
    // The one that the table prefers is cut off, so somebody else is elected.
    cluster.network.isolate(&[NodeId(1)]);
    cluster.run_until(100, |cluster| cluster.leader(group).is_some());
    cluster.tick();
    let leader = cluster.leader(group);
    assert_ne!(leader, Some(NodeId(1)));
    for node in [2, 3] {
        assert_eq!(cluster.node(node).multi.leader_for_vshard(vshard), Ok(leader));
    }
    assert_eq!(cluster.node(1).multi.leader_for_vshard(vshard), Ok(None));
    let unknown = LookupError::UnknownVShard { vshard: VShardId(64), vshards: 64 };
    assert_eq!(cluster.node(2).multi.leader_for_vshard(VShardId(64)), Err(unknown));
    let mut elsewhere = Node::new(1, table(3, 2), NodeSettings::default());
    let unknown = LookupError::UnknownGroup { group };
    assert_eq!(elsewhere.multi.leader_for_vshard(vshard), Err(unknown));
    elsewhere.multi.add_group(GroupId(2), &[]).unwrap();
    assert_eq!(elsewhere.multi.leader_for_vshard(vshard), Err(unknown));
}

#[test]
fn c36_the_commit_index_never_falls() {
    let node = Node::of_three(1);
    assert_eq!(node.multi.commit_index_for(GroupId(77)), None);
    assert_eq!(node.multi.commit_index_for(GroupId(1)), Some(LogIndex(1)), "entry 1 is committed");
    for seed in 0..10 {
        let settings = NodeSettings { seed, ..NodeSettings::default() };
        let mut cluster = Cluster::new(3, 2, settings).found_all();
        // The process that a node was: a crash unmounts, and a new process starts from its floor.
        let mut seen: BTreeMap<(NodeId, u64, GroupId), LogIndex> = BTreeMap::new();
        cluster.survive(200, |cluster| {
            for node in cluster.nodes.values() {
                for group in [GroupId(1), GroupId(2)] {
                    let commit = node.multi.commit_index_for(group).unwrap();
                    let before = seen.entry((node.id, node.starts, group)).or_default();
                    assert!(commit >= *before);
                    *before = commit;
                }
            }
        });
        assert!(seen.values().any(|commit| *commit > LogIndex(5)), "seed {seed} commits nothing");
    }
}

#[test]
fn c38_at_most_one_leader_per_group_and_term() {
    let node = Node::of_three(2);
    assert_eq!(node.multi.group_leader(GroupId(1)), Ok(None));
    let unknown = UnknownGroup { group: GroupId(77) };
    assert_eq!(node.multi.group_leader(GroupId(77)), Err(unknown));
    assert!(!node.multi.group_role_is_leader(GroupId(77)));
    let mut elections = 0;
    for seed in 20..40 {
        let settings = NodeSettings { seed, ..NodeSettings::default() };
        let mut cluster = Cluster::new(3, 2, settings).found_all();
        let mut leaders: BTreeMap<(GroupId, Term), NodeId> = BTreeMap::new();
        cluster.survive(200, |cluster| {
            for node in cluster.nodes.values() {
                for group in [GroupId(1), GroupId(2)] {
                    let term = node.multi.group_status(group).unwrap().term;
                    if node.multi.group_role_is_leader(group) {
                        let leader = *leaders.entry((group, term)).or_insert(node.id);
                        assert_eq!(leader, node.id, "two leaders of {group} in {term}");
                        assert_eq!(node.multi.group_leader(group), Ok(Some(node.id)));
                    }
                }
            }
        });
        elections += leaders.len();
    }
    assert!(elections > 60, "only {elections} elections: the seeds do not try hard enough");
}

#[test]
fn c39_match_indexes_are_known_to_the_leader_alone_and_never_too_high() {
    let mut node = Node::of_three(1);
    let matched =
        |node: &Node, group, peer| node.multi.match_index_for(GroupId(group), NodeId(peer));
    assert_eq!(matched(&node, 77, 2), None, "not hosted");
    assert_eq!(matched(&node, 1, 2), None, "not leader");
    node.win(1);
    assert_eq!(matched(&node, 1, 9), None, "no such peer");
    assert_eq!(matched(&node, 1, 2), Some(LogIndex(0)));
    node.hear(2, 1, 1, accepted(2));
    assert_eq!(
        (matched(&node, 1, 2), matched(&node, 1, 3)),
        (Some(LogIndex(2)), Some(LogIndex(0)))
    );
    node.hear(2, 1, 1, accepted(1));
    assert_eq!(matched(&node, 1, 2), Some(LogIndex(2)), "late answers do not lower it");
    node.try_hear(2, 1, 1, accepted(3)).unwrap_err();
    assert_eq!(matched(&node, 1, 2), Some(LogIndex(2)), "nobody has what does not exist");
    node.tick_to(node.multi.now().0 + 40);
    node.hear(2, 1, 5, vote(id(4, 9)));
    assert_eq!(matched(&node, 1, 2), None, "not leader any more");
    // The cluster compares every leader's match indexes with the other disks at every moment.
    for seed in 40..60 {
        let settings = NodeSettings { seed, ..NodeSettings::default() };
        Cluster::new(3, 2, settings).found_all().survive(200, |_| ());
    }
}
