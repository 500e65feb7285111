//! What a cluster does all day.

use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{EngineLimits, ProposeError, RawEngineLimits, ReadError};
use raft_core::Role;
use types::{GroupId, LogIndex, NodeId, VShardId};

use crate::support::{Cluster, Journal, Node, soon, until};

const GROUP: GroupId = GroupId(1);

#[tokio::test(flavor = "multi_thread")]
async fn leaders_are_spread_over_the_nodes() {
    let cluster = Cluster::start(3, 12);
    cluster.await_leaders().await;
    for node in &cluster.nodes {
        let led = cluster.groups().filter(|group| node.engine().leader(*group).is_self).count();
        assert!((2..=6).contains(&led), "node {} leads {led} of 12 groups", node.id);
    }
    // Whoever follows knows who leads.
    until("agreement", || {
        cluster.groups().all(|group| {
            let leader = cluster.leader(group).map(|node| node.id);
            let agrees = |node: &Node| {
                let view = node.engine().leader(group);
                view.leader == leader && view.is_fresh
            };
            leader.is_some() && cluster.nodes.iter().all(agrees)
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_applied_and_read_back() {
    let cluster = Cluster::start(3, 4);
    cluster.await_leaders().await;
    for group in cluster.groups() {
        let applied = cluster.write(group, b"hello").await;
        assert_eq!((applied.group, &applied.result[..]), (group, &b"0:hello"[..]));
        let leader = cluster.await_leader(group).await;
        assert!(leader.journal.contains(group, b"hello"));
        let read = soon("a read", leader.engine().read(cluster.vshard_of(group))).await.unwrap();
        assert!(read.group == group && read.index >= applied.index);
    }
    until("every replica", || {
        let holds_all =
            |node: &Node| cluster.groups().all(|group| node.journal.of(group) == [b"hello"]);
        cluster.nodes.iter().all(holds_all)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writes_of_a_call_share_a_commit_per_worker() {
    let cluster = Cluster::start(1, 8);
    cluster.await_leaders().await;
    let engine = cluster.nodes[0].engine();
    let write_all = async || {
        let writes = (0..1000).map(|i| (VShardId(i % 64), Bytes::from_static(b"w"))).collect();
        let outcomes = soon("the call", engine.propose_many(writes)).await;
        assert!(outcomes.iter().all(Result::is_ok));
    };
    // Before its first write is applied, a group may still have its leader's first entry to write.
    write_all().await;
    let before = engine.status();
    write_all().await;
    let after = engine.status();
    let commits = after.log_commits - before.log_commits;
    assert!((1..=2).contains(&commits), "{commits} commits of two workers");
    assert_eq!(after.log_entries - before.log_entries, 1000, "each write is one entry");
    let times = after.log_commit_times.expect("there were commits");
    assert!(times.p50 <= times.p99 && times.p99 <= times.max && !times.max.is_zero(), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writes_share_one_call_and_keep_their_own_outcomes() {
    let raw = RawEngineLimits::default();
    let cluster = Cluster::start_with(1, 8, EngineLimits::new(raw).unwrap());
    cluster.await_leaders().await;
    let engine = cluster.nodes[0].engine();
    let too_large = Bytes::from(vec![0; raw.group.entry_bytes_max]);
    let mut writes: Vec<(VShardId, Bytes)> =
        (0..1000).map(|i| (VShardId(i % 64), Bytes::from(format!("w{i}")))).collect();
    writes[7].0 = VShardId(64);
    writes[8].1 = too_large;
    let outcomes = soon("the call", engine.propose_many(writes.clone())).await;
    assert_eq!(outcomes.len(), writes.len());
    let mut last_of = [LogIndex::ZERO; 9];
    for (position, ((vshard, data), outcome)) in writes.iter().zip(outcomes).enumerate() {
        match position {
            7 => {
                let vshard = VShardId(64);
                assert_eq!(outcome, Err(ProposeError::UnknownVShard { vshard }));
            }
            8 => assert!(matches!(outcome, Err(ProposeError::TooLarge { .. })), "{outcome:?}"),
            _ => {
                let applied = outcome.unwrap();
                assert_eq!(Some(applied.group), cluster.table.group_of(*vshard));
                assert!(applied.result.ends_with(data), "{:?} for {data:?}", applied.result);
                let last = &mut last_of[usize::try_from(applied.group.0).unwrap()];
                assert!(applied.index > *last, "the order within a group is kept");
                *last = applied.index;
            }
        }
    }
    assert_eq!(cluster.nodes[0].journal.len(), 998);
    assert_eq!(engine.status().proposal_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_call_is_answered() {
    let cluster = Cluster::start(1, 1);
    assert_eq!(soon("the call", cluster.nodes[0].engine().propose_many(Vec::new())).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_lead_says_who_does() {
    let cluster = Cluster::start(3, 1);
    let leader = cluster.await_leader(GROUP).await.id;
    let knows = |node: &Node| node.engine().leader(GROUP).leader == Some(leader);
    until("agreement", || cluster.nodes.iter().all(knows)).await;
    let follower = cluster.nodes.iter().find(|node| node.id != leader).unwrap().engine();
    let hint = Some(leader);
    let vshard = cluster.vshard_of(GROUP);
    let refused = soon("an answer", follower.propose(vshard, Bytes::new())).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { hint }));
    let refused = soon("an answer", follower.propose_to_group(GROUP, Bytes::new())).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { hint }));
    let refused = soon("an answer", follower.read(vshard)).await;
    assert_eq!(refused, Err(ReadError::NotLeader { hint }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_reached_directly_too() {
    let cluster = Cluster::start(1, 2);
    cluster.await_leaders().await;
    let engine = cluster.nodes[0].engine();
    let applied = engine.propose_to_group(GroupId(2), Bytes::from_static(b"direct"));
    assert_eq!(soon("an answer", applied).await.unwrap().group, GroupId(2));
    let group = GroupId(3);
    let unknown = soon("an answer", engine.propose_to_group(group, Bytes::new())).await;
    assert_eq!(unknown, Err(ProposeError::UnknownGroup { group }));
    let vshard = VShardId(64);
    let unknown = soon("an answer", engine.read(vshard)).await;
    assert_eq!(unknown, Err(ReadError::UnknownVShard { vshard }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_cluster_finds_its_data() {
    let mut cluster = Cluster::start(3, 4);
    let groups: Vec<GroupId> = cluster.groups().collect();
    for round in 0..20 {
        for group in &groups {
            cluster.write(*group, format!("{round}").as_bytes()).await;
        }
    }
    let ids: Vec<NodeId> = cluster.nodes.iter().map(|node| node.id).collect();
    for id in &ids {
        cluster.stop(*id).await;
    }
    for id in &ids {
        cluster.run(*id).unwrap();
        assert_eq!(cluster.node(*id).engine().status().boot.0, 2);
    }
    for group in &groups {
        cluster.write(*group, b"after").await;
        let leader = cluster.await_leader(*group).await;
        let journal = leader.journal.of(*group);
        for round in 0..20 {
            let command = format!("{round}").into_bytes();
            assert!(journal.contains(&command), "group {group} has lost {round}: {journal:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_state_machine_holds_durably_is_not_applied_again() {
    let mut cluster = Cluster::idle(1, 2);
    let (one, journal) = (NodeId(1), Journal::durable());
    cluster.run_with(one, journal.clone()).unwrap();
    for command in ["a", "b"] {
        cluster.write(GROUP, command.as_bytes()).await;
    }
    cluster.stop(one).await;
    cluster.run_with(one, journal.clone()).unwrap();
    assert_eq!(cluster.write(GROUP, b"c").await.result, "2:c");
    assert_eq!(journal.of(GROUP), [b"a", b"b", b"c"]);
    // Another state machine gets all of it.
    cluster.stop(one).await;
    cluster.run(one).unwrap();
    assert_eq!(cluster.write(GROUP, b"d").await.result, "3:d");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_gets_what_is_no_longer_in_memory() {
    let mut raw = RawEngineLimits::default();
    raw.group.log_cache_bytes_max = 16 << 10;
    let mut cluster = Cluster::start_with(3, 1, EngineLimits::new(raw).unwrap());
    cluster.await_leaders().await;
    let away = cluster.nodes.iter().find(|node| !node.engine().leader(GROUP).is_self).unwrap().id;
    cluster.stop(away).await;
    // Far more than the leader keeps in memory.
    for number in 0..60u32 {
        let mut command = number.to_le_bytes().to_vec();
        command.resize(8 << 10, 0);
        cluster.write(GROUP, &command).await;
    }
    cluster.run(away).unwrap();
    until("the node that was away", || cluster.node(away).journal.of(GROUP).len() >= 60).await;
    let leader = cluster.await_leader(GROUP).await;
    let same = || cluster.node(away).journal.of(GROUP) == leader.journal.of(GROUP);
    until("the same journal", same).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_nodes_go_on() {
    let mut cluster = Cluster::start(3, 6);
    cluster.await_leaders().await;
    cluster.stop(NodeId(3)).await;
    for group in cluster.groups() {
        cluster.write(group, b"without node 3").await;
    }
    cluster.run(NodeId(3)).unwrap();
    until("the node that was away", || {
        let journal = &cluster.node(NodeId(3)).journal;
        cluster.groups().all(|group| journal.contains(group, b"without node 3"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_sees_every_write_that_was_acknowledged_before_it() {
    let cluster = Cluster::start(3, 1);
    for round in 0..50 {
        let command = format!("{round}").into_bytes();
        let applied = cluster.write(GROUP, &command).await;
        let leader = cluster.await_leader(GROUP).await;
        match soon("a read", leader.engine().read(cluster.vshard_of(GROUP))).await {
            Ok(read) => {
                assert!(read.index >= applied.index);
                assert!(leader.journal.contains(GROUP, &command));
            }
            // Leadership may move on a busy machine; what matters is that no stale read is allowed.
            Err(ReadError::NoLeader | ReadError::NotLeader { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_waits_for_the_state_machine_does_not_wait_for_a_tick() {
    const ROUNDS: u32 = 40;
    let tick = Duration::from_millis(200);
    let mut cluster = Cluster { tick, ..Cluster::idle(1, 1) };
    cluster.run(NodeId(1)).unwrap();
    let mut last = cluster.write(GROUP, b"first").await.index;
    let (node, vshard) = (cluster.node(NodeId(1)), cluster.vshard_of(GROUP));
    let began = Instant::now();
    for _ in 0..ROUNDS {
        node.journal.hold();
        let engine = node.engine().clone();
        let write = tokio::spawn(async move { engine.propose(vshard, Bytes::new()).await });
        let commit = async { while node.engine().group_statuses().await[0].commit == last {} };
        soon("a commit", commit).await;
        let engine = node.engine().clone();
        let read = tokio::spawn(async move { engine.read(vshard).await });
        until("the read", || node.engine().status().reads == 1).await;
        // The worker has seen the read by then, and waits for the state machine.
        assert!(node.engine().group_statuses().await[0].applied <= last);
        node.journal.release();
        last = soon("the read", read).await.unwrap().unwrap().index;
        assert_eq!(soon("the write", write).await.unwrap().unwrap().index, last);
    }
    let took = began.elapsed();
    assert!(took < ROUNDS * tick / 2, "{ROUNDS} reads took {took:?} with ticks of {tick:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_allows_no_read() {
    let cluster = Cluster::start(3, 1);
    let old = cluster.await_leader(GROUP).await;
    let others: Vec<NodeId> = (1..=3).map(NodeId).filter(|id| *id != old.id).collect();
    for id in &others {
        cluster.hub.cut(old.id, *id);
    }
    let is_new = |id: &&NodeId| cluster.node(**id).engine().leader(GROUP).is_self;
    until("a new leader", || others.iter().any(|id| is_new(&id))).await;
    let new = cluster.node(*others.iter().find(is_new).unwrap());
    let vshard = cluster.vshard_of(GROUP);
    let write = new.engine().propose(vshard, Bytes::from_static(b"new"));
    soon("a write", write).await.unwrap();
    let read = soon("an answer", old.engine().read(vshard)).await;
    assert!(matches!(read, Err(ReadError::NoLeader | ReadError::NotLeader { .. })), "{read:?}");
    for id in &others {
        cluster.hub.heal(old.id, *id);
    }
    until("the old leader", || old.journal.contains(GROUP, b"new")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_tell_of_every_group() {
    let cluster = Cluster::start(3, 5);
    cluster.await_leaders().await;
    let statuses = soon("statuses", cluster.nodes[0].engine().group_statuses()).await;
    let groups: Vec<GroupId> = statuses.iter().map(|status| status.group).collect();
    assert_eq!(groups, cluster.groups().collect::<Vec<_>>());
    assert_eq!(statuses.iter().map(|status| status.vshards).sum::<u32>(), 64);
    for status in statuses {
        assert_eq!(status.voters, [NodeId(1), NodeId(2), NodeId(3)]);
        assert!(status.applied <= status.commit && status.commit <= status.last);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_machines_hear_of_their_role() {
    let cluster = Cluster::start(3, 3);
    cluster.await_leaders().await;
    until("the roles", || {
        cluster.nodes.iter().all(|node| {
            cluster.groups().all(|group| {
                let (view, told) = (node.engine().leader(group), node.journal.role(group));
                let leads = |role: engine::RoleChange| role.role == Role::Leader;
                told.is_some_and(|role| role.leader == view.leader && leads(role) == view.is_self)
            })
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_leaders_wakes_whoever_waits_for_it() {
    let mut cluster = Cluster::start(3, 1);
    let leader = cluster.await_leader(GROUP).await.id;
    let other = cluster.nodes.iter().find(|node| node.id != leader).unwrap();
    let mut watch = other.engine().watch_leaders();
    cluster.stop(leader).await;
    soon("a change", async {
        while watch.leader(GROUP).leader.is_none_or(|now| now == leader) {
            watch.changed().await;
        }
    })
    .await;
    assert_ne!(watch.iter().next().unwrap().1.leader, Some(leader));
}
