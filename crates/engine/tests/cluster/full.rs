//! What a node does while its disk is full: it takes no writes in and says how much room is missing,
//! lets others lead if they have room, loses nothing, and goes on by itself once there is room.

use bytes::Bytes;
use engine::{Engine, EngineLimits, EngineState, Health, ProposeError, RawEngineLimits};
use types::{GroupId, NodeId};

use crate::support::{Cluster, Journal, Node, soon, until};

const GROUP: GroupId = GroupId(1);

/// With that many milliseconds between two looks at the disk.
fn limits(disk_look_ms: u64) -> EngineLimits {
    EngineLimits::new(RawEngineLimits { disk_look_ms, ..RawEngineLimits::default() }).unwrap()
}

/// Nodes that soon notice by themselves how their disks are.
fn watchful() -> EngineLimits {
    limits(20)
}

/// Nodes that notice only when they write.
fn careless() -> EngineLimits {
    limits(60_000)
}

fn is_full(engine: &Engine) -> bool {
    matches!(engine.status().health, Health::DiskFull { .. })
}

fn is_waiting(engine: &Engine) -> bool {
    matches!(engine.status().health, Health::DiskFull { is_waiting: true, .. })
}

/// Fills the node's disk, and waits until the node knows.
async fn fill(node: &Node) {
    node.disk.leave_free(0);
    until("the node to notice", || is_full(node.engine())).await;
}

/// Makes room on the node's disk, and waits until the node knows.
async fn make_room(node: &Node) {
    node.disk.unlimit();
    until("the node to notice", || node.engine().status().health == Health::Healthy).await;
}

fn assert_refused(outcome: &Result<engine::Applied, ProposeError>) {
    let Err(ProposeError::DiskFull { free_bytes, needed_bytes }) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(free_bytes < needed_bytes, "{free_bytes} of {needed_bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_refuses_writes_on_a_full_disk_and_goes_on_by_itself() {
    let cluster = Cluster::start_with(1, 2, watchful());
    cluster.await_leaders().await;
    let node = &cluster.nodes[0];
    let (engine, vshard) = (node.engine(), cluster.vshard_of(GROUP));
    for round in 0..3 {
        cluster.write(GROUP, b"with room").await;
        fill(node).await;
        let commits = engine.status().log_commits;
        assert_refused(&soon("an answer", engine.propose(vshard, Bytes::new())).await);
        assert_refused(&soon("an answer", engine.propose_to_group(GROUP, Bytes::new())).await);
        for outcome in soon("answers", engine.propose_many(vec![(vshard, Bytes::new()); 2])).await {
            assert_refused(&outcome);
        }
        soon("a read", engine.read(vshard)).await.unwrap();
        let status = engine.status();
        assert_eq!((status.state, status.log_commits), (EngineState::Running, commits));
        assert_eq!((status.proposal_bytes, status.log_commits_refused), (0, 0), "in time");
        make_room(node).await;
        cluster.write(GROUP, b"with room").await;
        assert_eq!(node.journal.len(), 2 * (round + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_found_no_room_is_written_in_its_order_once_there_is_some() {
    let cluster = Cluster::start_with(1, 2, careless());
    cluster.await_leaders().await;
    let node = &cluster.nodes[0];
    let (engine, vshard) = (node.engine(), cluster.vshard_of(GROUP));
    cluster.write(GROUP, b"before").await;
    let commits = engine.status().log_commits;
    node.disk.leave_free(0);
    let writes = (0..20).map(|number: u8| (vshard, Bytes::from(vec![number]))).collect();
    let held = tokio::spawn({
        let engine = engine.clone();
        async move { engine.propose_many(writes).await }
    });
    until("the write to wait", || is_waiting(engine)).await;
    let refusals = engine.status().log_commits_refused;
    until("it to be tried again", || engine.status().log_commits_refused > refusals + 2).await;
    assert_eq!(engine.status().log_commits, commits);
    assert_eq!(node.journal.len(), 1, "nobody sees what is not durable");
    assert_refused(&soon("an answer", engine.propose(vshard, Bytes::new())).await);
    soon("a read", engine.read(vshard)).await.unwrap();
    node.disk.unlimit();
    // Whoever waited may have been told in between that the outcome is unknown.
    for outcome in soon("the writes", held).await.unwrap() {
        assert!(matches!(outcome, Ok(_) | Err(ProposeError::Uncertain)), "{outcome:?}");
    }
    until("all writes", || node.journal.len() == 21).await;
    let expected: Vec<Vec<u8>> = (0..20).map(|number| vec![number]).collect();
    assert_eq!(node.journal.of(GROUP)[1..], expected);
    until("the node to notice", || engine.status().health == Health::Healthy).await;
    cluster.write(GROUP, b"after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_disk_is_full_is_not_missed_and_catches_up() {
    let cluster = Cluster::start_with(3, 1, careless());
    let leader = cluster.await_leader(GROUP).await;
    let victim = cluster.nodes.iter().find(|node| node.id != leader.id).unwrap();
    cluster.write(GROUP, b"with it").await;
    until("the follower", || victim.journal.len() == 1).await;
    victim.disk.leave_free(0);
    for _ in 0..10 {
        cluster.write(GROUP, b"without it").await;
    }
    until("the write to wait", || is_waiting(victim.engine())).await;
    let before = victim.engine().status().appends_refused;
    for _ in 0..10 {
        cluster.write(GROUP, b"without it").await;
    }
    let status = victim.engine().status();
    until("entries to be turned away", || victim.engine().status().appends_refused > before).await;
    assert_eq!((victim.journal.len(), status.state), (1, EngineState::Running));
    assert!(leader.engine().leader(GROUP).is_self, "nothing changed for the others");
    assert_eq!(leader.engine().status().health, Health::Healthy);
    assert_eq!(victim.engine().leader(GROUP).leader, Some(leader.id));
    victim.disk.unlimit();
    cluster.await_equal().await;
    assert_eq!(victim.journal.len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_is_full_hands_over_to_those_who_have_room() {
    let cluster = Cluster::start_with(3, 6, watchful());
    cluster.await_leaders().await;
    let victim = cluster.await_leader(GROUP).await;
    let (id, engine) = (victim.id, victim.engine());
    let led: Vec<GroupId> =
        cluster.groups().filter(|group| engine.leader(*group).is_self).collect();
    for round in 0..2 {
        fill(victim).await;
        until("all groups to be handed over", || {
            cluster.groups().all(|group| cluster.leader(group).is_some_and(|it| it.id != id))
        })
        .await;
        for group in cluster.groups() {
            let term = cluster.await_leader(group).await.engine().leader(group).term;
            cluster.write(group, b"without it").await;
            let view = cluster.await_leader(group).await.engine().leader(group);
            assert_eq!(view.term, term, "nobody wants it back, {round}");
        }
        let next = cluster.await_leader(GROUP).await.id;
        until("the new leader to be known", || engine.leader(GROUP).leader == Some(next)).await;
        // Whoever does not lead says who does: that helps, and waiting for room does not.
        let refused = engine.propose(cluster.vshard_of(GROUP), Bytes::new());
        let expected = Err(ProposeError::NotLeader { hint: Some(next) });
        assert_eq!(soon("an answer", refused).await, expected);
        assert_eq!(engine.status().state, EngineState::Running);
        make_room(victim).await;
        for group in &led {
            cluster.write(*group, b"with it").await;
        }
        cluster.await_equal().await;
        let hand_back = cluster.await_leader(GROUP).await.engine().transfer_leader(GROUP, id);
        soon("the way back", hand_back).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_disk_has_room_leaders_stay_and_serve_reads() {
    let cluster = Cluster::start_with(3, 6, watchful());
    cluster.await_leaders().await;
    for group in cluster.groups() {
        cluster.write(group, b"before").await;
    }
    // What a node still had to write would find no room, and its votes would wait behind it.
    cluster.await_equal().await;
    cluster.fill_disks().await;
    until("all to know of all", || {
        cluster.nodes.iter().all(|node| node.engine().status().peers_low.len() == 2)
    })
    .await;
    // Whoever heard of one full disk before the others may be handing over.
    for node in &cluster.nodes {
        let is_handing_over = async || {
            let statuses = node.engine().group_statuses().await;
            statuses.iter().any(|status| status.transferee.is_some())
        };
        soon("the last handover", async { while is_handing_over().await {} }).await;
    }
    cluster.await_leaders().await;
    let leaders = || -> Vec<Option<NodeId>> {
        cluster.groups().map(|group| cluster.leader(group).map(|node| node.id)).collect()
    };
    let before = leaders();
    for _ in 0..20 {
        for group in cluster.groups() {
            let leader = cluster.await_leader(group).await.engine();
            let vshard = cluster.vshard_of(group);
            soon("a read", leader.read(vshard)).await.unwrap();
            assert_refused(&soon("an answer", leader.propose(vshard, Bytes::new())).await);
        }
    }
    assert_eq!(leaders(), before);
    cluster.nodes.iter().for_each(|node| node.disk.unlimit());
    for node in &cluster.nodes {
        until("the node to notice", || node.engine().status().health == Health::Healthy).await;
    }
    until("all to know of all", || {
        cluster.nodes.iter().all(|node| node.engine().status().peers_low.is_empty())
    })
    .await;
    for group in cluster.groups() {
        cluster.write(group, b"after").await;
    }
    cluster.await_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_with_room_refuses_what_a_majority_could_not_write() {
    let cluster = Cluster::start_with(3, 1, watchful());
    let leader = cluster.await_leader(GROUP).await;
    let (engine, vshard) = (leader.engine(), cluster.vshard_of(GROUP));
    cluster.write(GROUP, b"before").await;
    let others: Vec<&Node> = cluster.nodes.iter().filter(|node| node.id != leader.id).collect();
    fill(others[0]).await;
    cluster.write(GROUP, b"one has none").await;
    fill(others[1]).await;
    until("the leader to know", || engine.status().peers_low.len() == 2).await;
    let refused = soon("an answer", async {
        loop {
            match engine.propose(vshard, Bytes::from_static(b"?")).await {
                // Taken before its worker knew.
                Ok(_) | Err(ProposeError::Uncertain) => {}
                Err(error) => return error,
            }
        }
    })
    .await;
    assert_eq!(refused, ProposeError::MajorityFull);
    assert_eq!(engine.status().health, Health::Healthy);
    soon("a read", engine.read(vshard)).await.unwrap();
    make_room(others[0]).await;
    until("the leader to know", || engine.status().peers_low.len() == 1).await;
    cluster.write(GROUP, b"two have room").await;
    make_room(others[1]).await;
    cluster.await_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_room_at_a_majority_is_told_after_a_while() {
    let cluster = Cluster::start_with(3, 1, careless());
    let leader = cluster.await_leader(GROUP).await;
    let (engine, vshard) = (leader.engine(), cluster.vshard_of(GROUP));
    cluster.write(GROUP, b"before").await;
    let others: Vec<&Node> = cluster.nodes.iter().filter(|node| node.id != leader.id).collect();
    others.iter().for_each(|node| node.disk.leave_free(0));
    // They notice by this very write, which they cannot write, and tell the leader.
    let write = engine.propose(vshard, Bytes::from_static(b"held"));
    assert_eq!(soon("an answer", write).await, Err(ProposeError::Uncertain));
    assert!(others.iter().all(|node| is_waiting(node.engine())));
    assert!(engine.leader(GROUP).is_self);
    let refused = soon("an answer", engine.propose(vshard, Bytes::new())).await;
    assert_eq!(refused, Err(ProposeError::MajorityFull));
    soon("a read", engine.read(vshard)).await.unwrap();
    others.iter().for_each(|node| node.disk.unlimit());
    cluster.write_with_room(GROUP, b"after").await;
    cluster.await_equal().await;
    assert_eq!(leader.journal.of(GROUP)[..3], [&b"before"[..], b"held", b"after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_while_its_disk_is_full_tells_everybody_and_has_lost_nothing() {
    let mut cluster = Cluster::start_with(1, 1, careless());
    cluster.await_leaders().await;
    let id = NodeId(1);
    cluster.write(GROUP, b"acknowledged").await;
    let node = &cluster.nodes[0];
    let (engine, vshard) = (node.engine().clone(), cluster.vshard_of(GROUP));
    node.disk.leave_free(0);
    let held = tokio::spawn({
        let engine = engine.clone();
        async move { engine.propose(vshard, Bytes::from_static(b"held")).await }
    });
    until("the write to wait", || is_waiting(&engine)).await;
    drop(engine);
    // Within bounds, or the helper says so; and without a failure.
    cluster.stop(id).await;
    assert_eq!(soon("an answer", held).await.unwrap(), Err(ProposeError::Uncertain));
    cluster.node(id).disk.unlimit();
    cluster.run_with(id, Journal::default()).unwrap();
    cluster.write(GROUP, b"after").await;
    assert_eq!(cluster.node(id).journal.of(GROUP), [&b"acknowledged"[..], b"after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_on_a_full_disk_and_serves_reads() {
    let mut cluster = Cluster::start_with(1, 2, watchful());
    cluster.await_leaders().await;
    cluster.write(GROUP, b"before").await;
    cluster.node(NodeId(1)).disk.leave_free(0);
    cluster.stop(NodeId(1)).await;
    cluster.run(NodeId(1)).unwrap();
    cluster.await_leaders().await;
    let engine = cluster.node(NodeId(1)).engine();
    assert!(is_full(engine));
    let vshard = cluster.vshard_of(GROUP);
    soon("a read", engine.read(vshard)).await.unwrap();
    assert_eq!(cluster.node(NodeId(1)).journal.of(GROUP), [b"before"]);
    assert_refused(&soon("an answer", engine.propose(vshard, Bytes::new())).await);
    assert_eq!(engine.status().state, EngineState::Running);
}
