//! Who is not taken for whom: what nodes say to each other when one of them is not who it was, or
//! never was one of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, EngineState, Failure, ProposeError, RoutingTable, ShutdownError};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{Identity, Store, StoreOptions};
use tokio::runtime::Handle;
use tokio::time::timeout;
use transport::InProcess;
use types::{ClusterId, GroupId, NodeId};

use crate::support::{Cluster, Journal, builder, cluster_id, soon, table, until};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);

/// Starts an engine of a cluster by that name.
fn start(
    hub: &InProcess,
    disk: &SimDisk,
    id: NodeId,
    cluster: &str,
    table: &RoutingTable,
) -> Engine {
    let cluster = ClusterId::new(cluster).unwrap();
    let identity = Identity { cluster: cluster.clone(), node: id };
    let opened = Store::open_backend(disk.clone(), &identity, StoreOptions::default());
    let (store, restored) = opened.unwrap();
    let hub = hub.clone();
    builder(id, table)
        .cluster(cluster)
        .store(store, restored)
        .link(move |request| {
            let link = hub.join(request.hello, request.peers, request.limits, request.events);
            Ok(Arc::new(link?))
        })
        .state_machine(Journal::default())
        .start(&Handle::current())
        .unwrap()
}

/// Waits until both say why they do not talk to each other: in one of these ways, whoever of them
/// was the first to judge.
async fn assert_refused(one: &Engine, two: &Engine, reasons: &[&str]) {
    for (engine, peer) in [(one, TWO), (two, ONE)] {
        until("a refusal on both sides", || {
            let refusals: BTreeMap<NodeId, String> = engine.status().refusals;
            let says_why = |found: &String| reasons.iter().any(|reason| found.contains(reason));
            refusals.get(&peer).is_some_and(says_why)
        })
        .await;
    }
    assert!(one.group_statuses().await.is_empty() && two.group_statuses().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_is_refused_on_both_sides() {
    let hub = InProcess::new(&Handle::current());
    let table = table(2, 1);
    let one = start(&hub, &SimDisk::new(), ONE, "test", &table);
    let two = start(&hub, &SimDisk::new(), TWO, "prod", &table);
    let reasons = [
        "node 2 belongs to cluster 'prod', node 1 expects 'test'",
        "node 1 belongs to cluster 'test', node 2 expects 'prod'",
    ];
    assert_refused(&one, &two, &reasons).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_configured_otherwise_is_refused_on_both_sides() {
    let hub = InProcess::new(&Handle::current());
    let one = start(&hub, &SimDisk::new(), ONE, "test", &table(2, 1));
    let two = start(&hub, &SimDisk::new(), TWO, "test", &table(2, 3));
    let why = "vshards, groups and voters must be configured alike on all nodes";
    assert_refused(&one, &two, &[why]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_new_store_is_refused_on_both_sides() {
    let mut cluster = Cluster::start(3, 2);
    cluster.await_leaders().await;
    cluster.stop(TWO).await;
    cluster.node_mut(TWO).disk = SimDisk::new();
    cluster.run(TWO).unwrap();
    assert_told(&cluster, "node 2 has a new store: remove its replicas and add new ones").await;
    // Its founders are not met, so that it founds nothing; the others go on without it.
    assert!(cluster.node(TWO).engine().group_statuses().await.is_empty());
    cluster.write(GroupId(1), b"without node 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_disk_between_two_founders_does_not_split_a_group() {
    let mut cluster = Cluster::idle(3, 2);
    cluster.run(ONE).unwrap();
    cluster.run(THREE).unwrap();
    until("nodes 1 and 3 to meet", || is_up(&cluster, ONE, THREE) && is_up(&cluster, THREE, ONE))
        .await;
    cluster.stop(THREE).await;
    cluster.node_mut(THREE).disk = SimDisk::new();
    // Node 2 meets node 1, and node 3 as it is now, so that each would have met all founders.
    cluster.run(TWO).unwrap();
    cluster.run(THREE).unwrap();
    until("node 2 to meet the others", || {
        [ONE, THREE].iter().all(|peer| is_up(&cluster, TWO, *peer) && is_up(&cluster, *peer, TWO))
    })
    .await;
    until("node 1 to refuse node 3", || {
        cluster.node(ONE).engine().status().refusals.contains_key(&THREE)
    })
    .await;
    for node in [ONE, TWO, THREE] {
        let groups = cluster.node(node).engine().group_statuses().await;
        assert!(groups.is_empty(), "node {node} has founded {groups:?}");
    }
}

/// Waits until node 2 and its peers say that.
async fn assert_told(cluster: &Cluster, reason: &str) {
    for (node, peer) in [(ONE, TWO), (THREE, TWO), (TWO, ONE), (TWO, THREE)] {
        until(reason, || {
            let refusals = cluster.node(node).engine().status().refusals;
            refusals.get(&peer).is_some_and(|found| found.contains(reason))
        })
        .await;
    }
}

/// What the file was at some time, as a backup has it.
fn copy(cluster: &Cluster, node: NodeId) -> SimDisk {
    SimDisk::from_image(cluster.node(node).disk.image())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_store_is_refused_and_neither_votes_nor_acknowledges() {
    let mut cluster = Cluster::start(3, 3);
    cluster.await_leaders().await;
    cluster.stop(TWO).await;
    let older = copy(&cluster, TWO);
    // Its peers meet two openings that the copy knows nothing of.
    for _ in 0..2 {
        cluster.run(TWO).unwrap();
        until("node 2 to be met", || is_up(&cluster, ONE, TWO) && is_up(&cluster, THREE, TWO))
            .await;
        for group in cluster.groups() {
            cluster.write(group, b"not in the copy").await;
        }
        cluster.stop(TWO).await;
    }
    // Node 1 has it in memory whom it met, node 3 from its store alone.
    cluster.stop(THREE).await;
    cluster.run(THREE).unwrap();
    cluster.node_mut(TWO).disk = older;
    cluster.run(TWO).unwrap();
    let store = cluster.node(TWO).engine().status().store;
    let reason =
        format!("node 2 runs on an older copy of its store {store}: restore the newest one");
    assert_told(&cluster, &reason).await;
    let refusals = cluster.node(ONE).engine().status().refusals;
    assert!(refusals[&TWO].ends_with("(found boot 2, node 1 has met boot 3)"), "{refusals:?}");
    // With node 3 away only its vote and its acknowledgement are missing; nobody gets them.
    cluster.stop(THREE).await;
    let is_led = |group| cluster.leader(group).is_some();
    until("the leaders to step down", || !cluster.groups().any(is_led)).await;
    let several_elections = Duration::from_secs(2);
    let led = async {
        let mut looks = tokio::time::interval(Duration::from_millis(2));
        while !cluster.groups().any(is_led) {
            looks.tick().await;
        }
    };
    assert!(timeout(several_elections, led).await.is_err(), "an older copy has voted");
    for group in cluster.groups() {
        let vshard = cluster.vshard_of(group);
        let refused = cluster.node(TWO).engine().propose(vshard, bytes::Bytes::new()).await;
        assert_eq!(refused, Err(ProposeError::NoLeader));
    }
    // Whoever has everything makes it whole again.
    cluster.run(THREE).unwrap();
    for group in cluster.groups() {
        cluster.write(group, b"without node 2").await;
    }
}

fn is_up(cluster: &Cluster, node: NodeId, peer: NodeId) -> bool {
    let links = cluster.node(node).engine().status().links;
    links.peers.get(&peer).is_some_and(|link| link.is_up)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_lacks_what_a_leader_was_told_ends_its_node() {
    let mut cluster = Cluster::start(3, 3);
    cluster.await_leaders().await;
    // A copy made while the node runs has the boot that its peers know: nothing about it is older.
    let led_elsewhere = |group: &GroupId| cluster.leader(*group).is_some_and(|node| node.id != TWO);
    let group = cluster.groups().find(led_elsewhere).unwrap();
    cluster.stop(TWO).await;
    let older = copy(&cluster, TWO);
    cluster.run(TWO).unwrap();
    let last = cluster.write(group, b"not in the copy").await.index;
    until("node 2 to have it", || cluster.node(TWO).journal.contains(group, b"not in the copy"))
        .await;
    cluster.stop(TWO).await;
    cluster.node_mut(TWO).disk = older;
    cluster.run(TWO).unwrap();
    assert_eq!(cluster.node(TWO).engine().status().boot.0, 2, "the opening that was met");
    let engine = cluster.node(TWO).engine().clone();
    let failure = soon("the failure", engine.failed()).await;
    assert!(matches!(&failure, Failure::RolledBack { .. }), "{failure}");
    let text = failure.to_string();
    assert!(text.contains(&format!("this replica had acknowledged {last}")), "{text}");
    assert_eq!(engine.status().state, EngineState::Failed);
    let ended = soon("shutdown", engine.shutdown()).await;
    assert_eq!(ended, Err(ShutdownError::Failed(failure)));
    cluster.discard(TWO);
    cluster.write(group, b"without node 2").await;
}

#[tokio::test]
async fn a_store_of_somebody_else_is_refused_before_anything_starts() {
    let disk = SimDisk::new();
    let identity = Identity { cluster: cluster_id(), node: TWO };
    let open = || Store::open_backend(disk.clone(), &identity, StoreOptions::default()).unwrap();
    let (store, restored) = open();
    let table = table(2, 1);
    let refused = builder(ONE, &table).store(store, restored).state_machine(Journal::default());
    let refused = refused.start(&Handle::current()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the store belongs to node 2 of cluster test, the engine was told that it is node 1 of \
         cluster test: open the store with the engine's own identity"
    );
    let (store, restored) = open();
    let other = builder(TWO, &table).cluster(ClusterId::new("prod").unwrap());
    let refused = other.store(store, restored).state_machine(Journal::default());
    let refused = refused.start(&Handle::current()).unwrap_err().to_string();
    assert!(refused.contains("node 2 of cluster test, the engine was told"), "{refused}");
}
