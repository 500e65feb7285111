//! Stories of nodes that host many groups: frames and beats, time, founding, what is refused.

#![allow(clippy::unwrap_used)] // A test that unwraps fails where it should, helpers included.
#![allow(clippy::wildcard_enum_match_arm)] // What a test does not name is what it does not want.

mod harness;

use bytes::Bytes;
use codec::{Envelope, encode_frame};
use harness::{Cluster, Node, accepted, append, heartbeat, id, nodes, run, store_of, table};
use multiraft::{
    AddGroupError, GroupSpec, LeaderView, MultiRaft, NodeSettings, ProposeError, StoreConflict,
};
use raft_core::{FetchError, FetchFor, HaltReason, Limits, MessageBody, Role};
use types::{GroupId, LogIndex, NodeId, ReplicaId, StoreId, Term, Tick, VShardId};

fn settings(seed: u64) -> NodeSettings {
    NodeSettings { seed, ..NodeSettings::default() }
}

#[test]
fn first_leaders_are_spread_evenly_and_elected_on_the_first_tick() {
    let mut cluster = Cluster::new(3, 30, settings(1)).found_all();
    cluster.settle();
    cluster.tick();
    for id in nodes(3) {
        let led = (1..=30).filter(|group| cluster.leader(GroupId(*group)) == Some(id)).count();
        assert_eq!(led, 10);
    }
    // A group that the table does not have is opened by the first founder.
    for node in cluster.nodes.values_mut() {
        let peers: Vec<NodeId> = nodes(3).into_iter().filter(|peer| *peer != node.id).collect();
        node.multi.add_group(GroupId(0), &peers).unwrap();
    }
    cluster.settle();
    cluster.tick();
    assert_eq!(cluster.leader(GroupId(0)), Some(NodeId(1)));
}

#[test]
fn after_a_restart_of_all_nodes_leaders_are_spread_evenly_again() {
    let mut cluster = Cluster::new(3, 30, settings(1)).found_all();
    cluster.elect_all();
    for id in nodes(3) {
        cluster.restart(id);
    }
    for _ in 0..15 {
        cluster.tick();
    }
    for id in nodes(3) {
        let led = (1..=30).filter(|group| cluster.leader(GroupId(*group)) == Some(id)).count();
        assert_eq!(led, 10);
    }
}

#[test]
fn a_first_leader_that_comes_too_early_tries_again() {
    let mut cluster = Cluster::new(3, 3, settings(1));
    cluster.node(1).found_missing();
    cluster.tick();
    cluster.tick();
    cluster.node(2).found_missing();
    cluster.node(3).found_missing();
    for _ in 0..3 {
        cluster.tick();
    }
    assert_eq!(cluster.leader(GroupId(1)), Some(NodeId(1)));
}

/// How many frames, and beats, idle nodes send in ten intervals of two ticks, once they are quiet.
fn sent_in_ten_intervals(cluster: &mut Cluster) -> (u64, u64) {
    for _ in 0..10 {
        cluster.tick();
    }
    let before = (cluster.network.frames, cluster.network.beats);
    for _ in 0..20 {
        cluster.tick();
    }
    (cluster.network.frames - before.0, cluster.network.beats - before.1)
}

#[test]
fn three_idle_nodes_send_six_frames_per_interval_however_many_groups() {
    for groups in [3, 30, 600] {
        let mut cluster = Cluster::new(3, groups, settings(1)).found_all();
        cluster.elect_all();
        assert_eq!(sent_in_ten_intervals(&mut cluster), (60, 60), "{groups} groups");
    }
}

#[test]
fn answers_have_frames_of_their_own_only_where_leaders_have_no_patience() {
    for (election_ticks, frames_per_interval) in [(8, 6), (7, 12), (4, 12)] {
        let waits = |multi: MultiRaft| {
            multi.with_election_timeout(election_ticks, 2 * election_ticks).unwrap()
        };
        let mut cluster = Cluster::new(3, 30, settings(1));
        cluster.nodes.values_mut().for_each(|node| node.configure(waits));
        let mut cluster = cluster.found_all();
        cluster.elect_all();
        let expected = 10 * frames_per_interval;
        let sent = sent_in_ten_intervals(&mut cluster);
        assert_eq!(sent, (expected, expected), "{election_ticks} ticks");
    }
}

#[test]
fn a_turn_sends_one_frame_per_node_for_all_groups() {
    let mut cluster = Cluster::new(3, 30, settings(1)).found_all();
    cluster.elect_all();
    let node = cluster.node(1);
    let led: Vec<GroupId> =
        (1..=30).map(GroupId).filter(|group| node.multi.group_role_is_leader(*group)).collect();
    for group in &led {
        node.multi.propose_to_group(*group, b"x").unwrap();
    }
    let ready = node.turn();
    let to: Vec<NodeId> = ready.frames.iter().map(|frame| frame.to).collect();
    assert_eq!((led.len(), to), (10, vec![NodeId(2), NodeId(3)]));
    assert_eq!(ready.write.unwrap().1.items.len(), 10);
}

/// Runs a cluster under load through crashes, which are the same for the same seed however many
/// frames there are, and returns every node's log of every group.
fn logs(seed: u64, plain: bool) -> (Vec<Vec<harness::StoredGroup>>, u64) {
    let mut cluster = Cluster::new(3, 4, NodeSettings { plain, ..settings(seed) }).found_all();
    let mut random = harness::Random::new(seed);
    for tick in 0..300u64 {
        let victim = NodeId(1 + random.below(3));
        let group = GroupId(1 + random.below(4));
        if random.below(40) == 0 {
            cluster.restart(victim);
        } else if let Some(leader) = cluster.leader(group) {
            let payload = tick.to_le_bytes();
            cluster.node(leader.0).multi.propose_to_group(group, &payload).unwrap();
        }
        cluster.tick();
    }
    cluster.heal();
    cluster.elect_all();
    for _ in 0..100 {
        cluster.tick();
    }
    let of = |node: &Node| {
        let stored = (1..=4).map(|group| node.disk.group(GroupId(group)).unwrap().clone());
        stored.collect::<Vec<_>>()
    };
    (cluster.nodes.values().map(of).collect(), cluster.network.frames)
}

#[test]
fn merging_changes_the_frames_and_nothing_else() {
    for seed in 0..30 {
        let (merged, few) = logs(seed, false);
        let (plain, many) = logs(seed, true);
        assert!(merged == plain, "seed {seed}: logs differ");
        assert!(2 * many > 3 * few, "seed {seed}: {many} frames instead of {few}");
        let entries: usize = merged[0].iter().map(|group| group.entries.len()).sum();
        assert!(entries > 100, "seed {seed} writes only {entries} entries");
    }
    // Where frames are lost the two differ in what is lost; what must hold holds in both.
    for seed in 100..120 {
        for plain in [false, true] {
            let settings = NodeSettings { plain, ..settings(seed) };
            Cluster::new(3, 2, settings).found_all().survive(150, |_| ());
        }
    }
}

#[test]
fn time_looks_only_at_groups_whose_time_has_come() {
    let groups = 1_000;
    let mut node = Node::new(2, table(3, 1), settings(1));
    for group in 1..=groups {
        node.multi.add_group(GroupId(group), &[NodeId(1), NodeId(3)]).unwrap();
    }
    node.settle();
    // Node 1 leads them all. Its heartbeats put deadlines off, so that a look is due only once per
    // election timeout and group, and finds nothing to do.
    let rounds = 50;
    for round in 1..=rounds {
        node.multi.tick(Tick(round * 2));
        for group in 1..=groups {
            let envelope = node.envelope(1, group, 1, heartbeat(1));
            node.multi.step(NodeId(1), envelope).unwrap();
        }
        node.settle();
    }
    let calls = node.multi.counters().calls;
    let timeouts = rounds * 2 / settings(1).timing.election_ticks_min() + 1;
    assert!(calls <= groups * timeouts, "{calls} looks at {groups} groups");
    assert!(node.multi.group_statuses().iter().all(|status| status.role == Role::Follower));
    // A tick at which nobody is due looks at nobody.
    let now = node.multi.now();
    node.multi.tick(now.after(1));
    let ready = node.turn();
    assert!(ready.write.is_none() && ready.committed.is_empty() && ready.roles.is_empty());
    assert!(node.multi.counters().calls - calls < groups / 2);
}

#[test]
fn silence_of_a_leader_is_told_once_and_on_time() {
    let mut node = Node::of_three(2);
    let view =
        |is_fresh| LeaderView { leader: Some(NodeId(1)), term: Term(1), is_self: false, is_fresh };
    node.tick_to(4);
    let envelope = node.envelope(1, 1, 1, heartbeat(1));
    node.multi.step(NodeId(1), envelope).unwrap();
    let told: Vec<_> = node.turn().leaders;
    assert_eq!(told, [(GroupId(1), view(true))]);
    let silent_at = 4 + settings(0).timing.election_ticks_min() + 1;
    for now in 5..silent_at {
        node.multi.tick(Tick(now));
        let told = node.turn().leaders;
        assert!(told.iter().all(|(group, _)| *group != GroupId(1)), "tick {now}: {told:?}");
    }
    node.multi.tick(Tick(silent_at));
    let told: Vec<_> = node.turn().leaders;
    let of_one: Vec<_> = told.into_iter().filter(|(group, _)| *group == GroupId(1)).collect();
    // Whoever drew the shortest timeout campaigns at once and forgets the leader.
    let forgotten = LeaderView { leader: None, ..view(false) };
    assert!(of_one == [(GroupId(1), view(false))] || of_one == [(GroupId(1), forgotten)]);

    let mut node = Node::of_three(1);
    node.win(1);
    let status = node.multi.group_status(GroupId(1)).unwrap();
    let cursors = node.multi.cursors_of(GroupId(1)).unwrap();
    let agree = (cursors.term, cursors.applied, cursors.committed, cursors.last);
    assert_eq!(agree, (status.term, status.applied, status.commit, status.last));
    assert!(cursors.applied <= cursors.persisted && cursors.persisted <= cursors.last);
    assert_eq!(node.multi.cursors_of(GroupId(9)), None);
    assert!(status.leader_is_fresh && status.leader == Some(NodeId(1)));
}

#[test]
fn founding_waits_for_the_stores_of_all_members() {
    let mut multi = MultiRaft::new(NodeId(1), StoreId(1), table(3, 4), settings(1));
    let unknown = |node| Err(AddGroupError::StoreUnknown { node: NodeId(node) });
    assert_eq!(multi.add_group(GroupId(1), &[NodeId(2), NodeId(3)]), unknown(2));
    multi.set_peer_store(NodeId(2), StoreId(2)).unwrap();
    assert_eq!(multi.add_group(GroupId(1), &[NodeId(2), NodeId(3)]), unknown(3));
    multi.set_peer_store(NodeId(3), StoreId(3)).unwrap();
    assert_eq!(multi.group_count(), 0);
    assert!(multi.ready().is_empty());
    multi.add_group(GroupId(1), &[NodeId(2), NodeId(3)]).unwrap();
    // Who lost its disk is not who it was, and this node's own store does not change.
    let conflict = |node, known, found| {
        let (known, found) = (StoreId(known), StoreId(found));
        Err(StoreConflict { node: NodeId(node), known, found })
    };
    assert_eq!(multi.set_peer_store(NodeId(2), StoreId(9)), conflict(2, 2, 9));
    assert_eq!(multi.set_peer_store(NodeId(2), StoreId(2)), Ok(()));
    assert_eq!(multi.set_peer_store(NodeId(1), StoreId(9)), conflict(1, 1, 9));
    let others = GroupSpec::founded_by(GroupId(2), [NodeId(2), NodeId(3)]);
    let refused = Err(AddGroupError::NotAMember { node: NodeId(1) });
    assert_eq!(multi.add_group_with(&others), refused);
    let twice = multi.add_group(GroupId(2), &[NodeId(2), NodeId(2)]);
    assert!(matches!(twice, Err(AddGroupError::Configuration(_))));
    assert_eq!(multi.group_count(), 1);
}

#[test]
fn a_replica_of_another_store_is_not_mounted() {
    let node = Node::of_three(1);
    let restored = node.disk.group(GroupId(1)).unwrap().restored(GroupId(1));
    let mut other = MultiRaft::new(NodeId(1), StoreId(5), table(3, 4), settings(1));
    let foreign = AddGroupError::Foreign {
        replica: ReplicaId(1),
        node: NodeId(1),
        store: store_of(NodeId(1)),
    };
    assert_eq!(other.restore_group(restored.clone(), LogIndex(1)), Err(foreign));
    let mut contradiction = restored;
    contradiction.replica.terms.clear();
    let mut again = Node::new(1, table(3, 4), settings(1));
    let refused = again.multi.restore_group(contradiction, LogIndex(1));
    assert!(matches!(refused, Err(AddGroupError::Restored(_))));
    assert_eq!((other.group_count(), again.multi.group_count()), (0, 0));
}

#[test]
fn dropped_entries_are_sent_again_and_only_to_whom_they_were_for() {
    let mut node = Node::of_three(1);
    node.win(1);
    node.hear(2, 1, 1, accepted(2));
    node.hear(3, 1, 1, accepted(2));
    node.take_sent(1);
    node.multi.propose_to_group(GroupId(1), b"x").unwrap();
    node.settle();
    let is_append = |e: &Envelope| matches!(e.message.body, MessageBody::Append { .. });
    let lost: Vec<Envelope> = node
        .sent
        .iter()
        .filter(|(to, e)| to.0 == 2 && e.group == GroupId(1) && is_append(e))
        .map(|(_, envelope)| envelope.clone())
        .collect();
    assert_eq!(lost.len(), 1);
    node.sent.clear();
    let mut elsewhere = lost.clone();
    elsewhere[0].generation.0 = 9;
    node.multi.report_unreachable(NodeId(2), &elsewhere);
    node.multi.report_unreachable(NodeId(3), &lost);
    node.multi.report_unreachable(NodeId(2), &lost);
    // The way to node 2 is broken: nothing more goes there until an answer would be overdue.
    node.multi.propose_to_group(GroupId(1), b"y").unwrap();
    node.settle();
    let appends = |node: &mut Node, to: u64| {
        let sent = node.take_sent(1).into_iter().filter(|(node, _)| node.0 == to);
        sent.filter_map(|(_, message)| match message.body {
            MessageBody::Append { prev, runs, .. } => Some((prev, runs)),
            _ => None,
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(appends(&mut node, 2), []);
    let due = node.multi.now().0 + settings(0).timing.retransmit_ticks() + 2;
    node.tick_to(due);
    assert_eq!(appends(&mut node, 2)[0].0, id(1, 2), "from what is known to match");
}

#[test]
fn refused_proposals_say_why_and_leave_no_entry() {
    let mut cluster = Cluster::new(3, 2, settings(1)).found_all();
    cluster.settle();
    let refused = |cluster: &mut Cluster, vshard, data: &[u8]| {
        let node = cluster.node(2);
        let before = node.multi.group_statuses();
        let error = node.multi.propose(VShardId(vshard), data).unwrap_err();
        assert_eq!(node.multi.group_statuses(), before);
        assert!(node.turn().is_empty());
        error
    };
    let nobody = ProposeError::NotLeader { leader: None };
    assert_eq!(refused(&mut cluster, 0, b"x"), nobody);
    cluster.elect_all();
    let leader = Some(NodeId(1));
    assert_eq!(refused(&mut cluster, 0, b"x"), ProposeError::NotLeader { leader });
    let unknown = ProposeError::UnknownVShard { vshard: VShardId(64), vshards: 64 };
    assert_eq!(refused(&mut cluster, 64, b"x"), unknown);
    let bytes_max = Limits::default().entry_bytes_max;
    let large = vec![0; bytes_max];
    let too_large = refused(&mut cluster, 40, &large);
    assert!(matches!(too_large, ProposeError::TooLarge { bytes, .. } if bytes > bytes_max));
    // A group of the table that this node does not host.
    let mut bare = Node::new(2, table(3, 2), settings(1));
    let unknown = ProposeError::UnknownGroup { group: GroupId(2) };
    assert_eq!(bare.multi.propose(VShardId(40), b"x"), Err(unknown));
    assert_eq!(bare.multi.propose_to_group(GroupId(2), b"x"), Err(unknown));
}

#[test]
fn an_unreadable_log_halts_its_group_and_no_other() {
    let limits = Limits { log_cache_bytes_max: 0, apply_bytes_max: 1, ..Limits::default() };
    let mut node = Node::of_three_with(2, NodeSettings { limits, ..settings(1) });
    node.hear(1, 1, 1, append(id(0, 1), 3, &[run(2, 1, &[b"a"]), run(3, 1, &[b"b"])]));
    let damaged = Err(FetchError::Damaged);
    node.multi.entries_fetched(GroupId(1), FetchFor::Apply, damaged).unwrap();
    let ready = node.turn();
    assert_eq!(ready.halted, [(GroupId(1), HaltReason::LogDamaged)]);
    node.tick_to(100);
    assert!(node.turn().halted.is_empty(), "told once");
    let halted = |group| node.multi.group_status(GroupId(group)).unwrap().halted;
    assert_eq!((halted(1), halted(2)), (Some(HaltReason::LogDamaged), None));
    let refused = node.try_hear(1, 1, 1, heartbeat(1));
    assert_eq!(refused, Err(multiraft::StepError::Halted));
    assert_eq!(node.multi.counters().halted, 1);
}

#[test]
fn a_bad_message_does_not_stop_the_others_of_its_frame() {
    let mut node = Node::of_three(2);
    let good = node.envelope(1, 1, 1, append(id(0, 1), 1, &[run(2, 1, &[b"a"])]));
    let mut bad = node.envelope(1, 2, 1, append(id(0, 1), 1, &[run(2, 1, &[b"a"])]));
    bad.message.from = ReplicaId(9);
    let frame = encode_frame(&[bad, good]);
    node.multi.handle_frame(NodeId(1), &frame).unwrap();
    assert_eq!((node.last(1), node.last(2)), (LogIndex(2), LogIndex(1)));
    let counters = *node.multi.counters();
    assert_eq!((counters.taken, counters.unknown_sender, counters.refused()), (1, 1, 1));
    for garbage in [Bytes::new(), Bytes::from_static(b"no frame"), frame.slice(..frame.len() - 1)] {
        node.multi.handle_frame(NodeId(1), &garbage).unwrap_err();
    }
    assert_eq!(node.multi.counters().unreadable_frames, 3);
}
