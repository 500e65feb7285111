//! How an engine ends.

use std::time::Duration;

use bytes::Bytes;
use engine::{EngineState, ProposeError, ReadError, ShutdownError};
use storage_redb::{Identity, Store, StoreOptions};
use tokio::runtime::Handle;
use types::{GroupId, NodeId};

use crate::support::{Cluster, Journal, builder, cluster_id, open, soon, table, until};

const GROUP: GroupId = GroupId(1);

#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_are_finished_and_new_ones_refused() {
    let mut cluster = Cluster::start(1, 4);
    cluster.await_leaders().await;
    let (journal, engine) = (cluster.nodes[0].journal.clone(), cluster.nodes[0].engine().clone());
    journal.hold();
    let mut calls = tokio::task::JoinSet::new();
    for group in cluster.groups() {
        let (engine, vshard) = (engine.clone(), cluster.vshard_of(group));
        calls.spawn(async move { engine.propose(vshard, Bytes::from_static(b"x")).await });
    }
    until("the calls", || engine.status().proposal_bytes == 4 * 65).await;
    let ending = tokio::spawn({
        let engine = engine.clone();
        async move { engine.shutdown().await }
    });
    until("the end to begin", || engine.status().state == EngineState::Stopping).await;
    let vshard = cluster.vshard_of(GROUP);
    let refused = soon("an answer", engine.propose(vshard, Bytes::new())).await;
    assert_eq!(refused, Err(ProposeError::Stopped));
    let refused = soon("answers", engine.propose_many(vec![(vshard, Bytes::new())])).await;
    assert_eq!(refused, [Err(ProposeError::Stopped)]);
    assert_eq!(soon("an answer", engine.read(vshard)).await, Err(ReadError::Stopped));
    journal.release();
    for answer in soon("answers", calls.join_all()).await {
        assert!(answer.is_ok(), "{answer:?}");
    }
    soon("the end", ending).await.unwrap().unwrap();
    // Once more is no harm, and all of it is over.
    soon("the end", engine.shutdown()).await.unwrap();
    assert_eq!(engine.status().state, EngineState::Stopped);
    assert_eq!(engine.leader(GROUP).leader, None);
    assert!(soon("statuses", engine.group_statuses()).await.is_empty());
    cluster.discard(NodeId(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_quorum_is_told_that_its_outcome_is_unknown() {
    let mut cluster = Cluster::start(3, 1);
    let leader = cluster.await_leader(GROUP).await;
    let (id, engine) = (leader.id, leader.engine().clone());
    for other in cluster.nodes.iter().filter(|node| node.id != id) {
        cluster.hub.cut(id, other.id);
    }
    let vshard = cluster.vshard_of(GROUP);
    let pending = tokio::spawn({
        let engine = engine.clone();
        async move { engine.propose(vshard, Bytes::from_static(b"nobody else has it")).await }
    });
    until("the call", || engine.status().proposal_bytes > 0).await;
    soon("the end", engine.shutdown()).await.unwrap();
    assert_eq!(soon("an answer", pending).await.unwrap(), Err(ProposeError::Uncertain));
    cluster.discard(id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_machine_that_hangs_is_named_and_does_not_hold_up_the_end() {
    let journal = Journal::default();
    let (store, restored) = open(&storage_redb::sim_disk::SimDisk::new(), NodeId(1));
    // Long enough for the threads that do not hang, on any machine.
    let within = Duration::from_millis(500);
    let engine = builder(NodeId(1), &table(1, 1))
        .store(store, restored)
        .state_machine(journal.clone())
        .workers(1)
        .shutdown_within(within, within)
        .start(&Handle::current())
        .unwrap();
    until("a leader", || engine.leader(GROUP).is_self).await;
    journal.hold();
    let held = tokio::spawn({
        let engine = engine.clone();
        async move { engine.propose_to_group(GROUP, Bytes::from_static(b"x")).await }
    });
    until("the commit", || journal.stands_still()).await;
    let ended = soon("the end", engine.shutdown()).await;
    assert_eq!(ended, Err(ShutdownError::Stuck { thread: "mr-apply-0".into(), within }));
    journal.release();
    // It had been committed, and is applied after all.
    let answer = soon("an answer", held).await.unwrap();
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_every_clone_ends_the_threads() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity { cluster: cluster_id(), node: NodeId(1) };
    let open = || Store::open(folder.path(), &identity, StoreOptions::default());
    let (store, restored) = open().unwrap();
    let engine = builder(NodeId(1), &table(1, 3))
        .store(store, restored)
        .state_machine(Journal::default())
        .start(&Handle::current())
        .unwrap();
    let clone = engine.clone();
    until("a leader", || engine.leader(GROUP).is_self).await;
    let write = engine.propose_to_group(GROUP, Bytes::from_static(b"kept"));
    soon("a write", write).await.unwrap();
    drop(engine);
    assert!(open().is_err(), "a clone is left");
    drop(clone);
    // The store is let go by the last thread that has it.
    let mut reopened = None;
    until("the store", || {
        reopened = open().ok();
        reopened.is_some()
    })
    .await;
    assert_eq!(reopened.unwrap().1.len(), 3);
}
