//! What a node does while its disk stands still: it leads nothing, leaves nobody waiting, and takes
//! part again when the disk is back.

use std::time::Duration;

use bytes::Bytes;
use engine::{Engine, EngineLimits, EngineState, Health, ProposeError, RawEngineLimits, ReadError};
use types::{GroupId, NodeId};

use crate::support::{Cluster, soon, until};

const GROUP: GroupId = GroupId(1);
const STALL: Duration = Duration::from_millis(150);

fn limits() -> EngineLimits {
    let disk_stall_ms = u64::try_from(STALL.as_millis()).unwrap();
    EngineLimits::new(RawEngineLimits { disk_stall_ms, ..RawEngineLimits::default() }).unwrap()
}

fn is_stalled(engine: &Engine) -> bool {
    matches!(engine.status().health, Health::Stalled { waited } if waited >= STALL)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_stands_still_makes_room_for_others() {
    let cluster = Cluster::start_with(3, 6, limits());
    cluster.await_leaders().await;
    let victim = cluster.await_leader(GROUP).await;
    let (id, engine) = (victim.id, victim.engine());
    let led: Vec<GroupId> =
        cluster.groups().filter(|group| engine.leader(*group).is_self).collect();
    victim.disk.hold_syncs();
    let vshard = cluster.vshard_of(GROUP);
    let write = engine.propose(vshard, Bytes::from_static(b"not on its own disk"));
    // The others have it, but nobody may see here what is not durable here.
    assert_eq!(soon("an answer", write).await, Err(ProposeError::Uncertain));
    until("the reason", || is_stalled(engine)).await;
    assert_eq!(engine.status().state, EngineState::Running, "it may come back");
    // Each worker sees it at its next tick.
    let leads_nothing = || cluster.groups().all(|group| !engine.leader(group).is_self);
    until("all groups to be led no more", leads_nothing).await;
    for group in &led {
        let applied = cluster.write(*group, b"without it").await;
        assert_eq!(applied.group, *group);
        assert_ne!(cluster.await_leader(*group).await.id, id);
    }
    // It follows whoever leads, and says so; what it cannot know it does not serve.
    let next = cluster.await_leader(GROUP).await.id;
    until("the new leader to be known", || engine.leader(GROUP).leader == Some(next)).await;
    let refused = soon("an answer", engine.read(vshard)).await;
    assert_eq!(refused, Err(ReadError::NotLeader { hint: Some(next) }));
    let refused = soon("an answer", engine.propose(vshard, Bytes::new())).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { hint: Some(next) }));
    assert!(!victim.journal.contains(GROUP, b"without it"));
    let status = engine.status();
    assert_eq!((status.proposal_bytes, status.reads), (0, 0), "nobody waits");
    victim.disk.release_syncs();
    until("the disk", || engine.status().health == Health::Healthy).await;
    for group in cluster.groups() {
        cluster.write(group, b"with it").await;
    }
    cluster.await_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_writes_under_way_end_when_the_disk_stands_still() {
    let cluster = Cluster::start_with(3, 1, limits());
    let victim = cluster.await_leader(GROUP).await;
    let engine = victim.engine();
    let vshard = cluster.vshard_of(GROUP);
    victim.disk.hold_syncs();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let engine = engine.clone();
        calls.spawn(async move {
            let write = engine.propose(vshard, Bytes::from_static(b"x"));
            let (write, read) = tokio::join!(write, engine.read(vshard));
            assert!(matches!(write, Err(ProposeError::Uncertain | ProposeError::NoLeader)));
            // One that was asked before anything was written since needs no disk.
            assert!(matches!(read, Ok(_) | Err(ReadError::NoLeader)), "{read:?}");
        });
    }
    soon("all answers", calls.join_all()).await;
    until("the budgets", || {
        let status = engine.status();
        status.proposal_bytes == 0 && status.reads == 0
    })
    .await;
    victim.disk.release_syncs();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_disk_stands_still_is_not_missed() {
    let cluster = Cluster::start_with(3, 1, limits());
    let leader = cluster.await_leader(GROUP).await;
    let term = leader.engine().leader(GROUP).term;
    let victim = cluster.nodes.iter().find(|node| node.id != leader.id).unwrap();
    victim.disk.hold_syncs();
    for _ in 0..10 {
        cluster.write(GROUP, b"without it").await;
    }
    until("the reason", || is_stalled(victim.engine())).await;
    for _ in 0..10 {
        cluster.write(GROUP, b"without it").await;
    }
    let view = leader.engine().leader(GROUP);
    assert!(view.is_self && view.term == term, "nothing changed for the others");
    assert_eq!(leader.engine().status().health, Health::Healthy);
    assert_eq!(victim.engine().leader(GROUP).leader, Some(leader.id));
    victim.disk.release_syncs();
    cluster.await_equal().await;
    assert_eq!(victim.engine().status().health, Health::Healthy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_back_leads_again() {
    let cluster = Cluster::start_with(1, 4, limits());
    cluster.await_leaders().await;
    let node = cluster.node(NodeId(1));
    for _ in 0..3 {
        node.disk.hold_syncs();
        let write = node.engine().propose(cluster.vshard_of(GROUP), Bytes::from_static(b"x"));
        assert_eq!(soon("an answer", write).await, Err(ProposeError::Uncertain));
        let leads_nothing = || cluster.groups().all(|group| cluster.leader(group).is_none());
        until("all groups to be led no more", leads_nothing).await;
        node.disk.release_syncs();
        cluster.await_leaders().await;
        cluster.write(GROUP, b"y").await;
    }
    assert_eq!(node.journal.len(), 6, "what was uncertain came to be");
}
