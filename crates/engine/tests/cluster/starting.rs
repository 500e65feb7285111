//! What keeps an engine from starting, and what it makes of it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{
    GroupSpec, OpenError, ProposeError, StartError, StateMachine, TransferError, TransferRefusal,
};
use storage_redb::sim_disk::SimDisk;
use tokio::runtime::Handle;
use types::{GroupId, LogIndex, NodeId};

use crate::support::{Cluster, Journal, JournalGroup, builder, open, soon, table, until};

const ONE: NodeId = NodeId(1);

#[tokio::test]
async fn what_is_missing_is_named() {
    let start = |builder: engine::EngineBuilder| {
        builder.state_machine(Journal::default()).start(&Handle::current()).unwrap_err().to_string()
    };
    assert_eq!(start(engine::Engine::builder()), "the engine needs a cluster id");
    assert_eq!(start(builder(ONE, &table(1, 1))), "the engine needs a store");
    let (store, restored) = open(&SimDisk::new(), ONE);
    let lonely = start(builder(ONE, &table(3, 1)).store(store, restored));
    assert_eq!(lonely, "the engine needs a listener");
    let (store, restored) = open(&SimDisk::new(), NodeId(9));
    let stranger = start(builder(NodeId(9), &table(3, 1)).store(store, restored));
    assert!(stranger.starts_with("node 9 is not in the routing table"), "{stranger}");
    let (store, restored) = open(&SimDisk::new(), ONE);
    let tick = Duration::from_micros(1500);
    let odd = start(builder(ONE, &table(1, 1)).store(store, restored).tick(tick));
    assert_eq!(odd, "the tick is 1.5ms, expected 1 to 60,000 whole milliseconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_contradicts_the_store_is_refused() {
    let mut cluster = Cluster::start(1, 4);
    cluster.await_leaders().await;
    cluster.stop(ONE).await;
    cluster.table = table(1, 2);
    match cluster.run(ONE) {
        Err(StartError::OtherReplicas { group, found, expected }) => {
            assert_eq!((group, found, expected), (GroupId(3), vec![ONE], vec![]));
        }
        other => panic!("{other:?}"),
    }
    // With the right table it is all there.
    cluster.table = table(1, 4);
    cluster.run(ONE).unwrap();
    cluster.await_leaders().await;
}

/// A state machine that remembers what this log never held.
struct Elsewhere;

impl StateMachine for Elsewhere {
    type Group = JournalGroup;

    fn open(&self, spec: &GroupSpec) -> Result<(JournalGroup, LogIndex), OpenError> {
        let (group, _) = Journal::default().open(spec)?;
        Ok((group, LogIndex(17)))
    }
}

#[tokio::test]
async fn a_state_without_its_log_is_refused() {
    let (store, restored) = open(&SimDisk::new(), ONE);
    let builder = builder(ONE, &table(1, 1)).store(store, restored).state_machine(Elsewhere);
    let refused = builder.start(&Handle::current()).unwrap_err();
    assert!(
        matches!(refused, StartError::StateWithoutLog { group: GroupId(1), applied: LogIndex(17) }),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_votes_before_the_promises_of_the_last_run_have_run_out() {
    let mut cluster = Cluster::start(3, 4);
    cluster.await_leaders().await;
    let ids = [1, 2, 3].map(NodeId);
    for id in ids {
        cluster.stop(id).await;
    }
    // Ten ticks of 20 ms each: the shortest election timeout.
    let promise = Duration::from_millis(200);
    let (store, _) = open(&cluster.nodes[0].disk, ONE);
    assert_eq!(u128::from(store.promise_max_ms()), promise.as_millis());
    let remembered: Vec<NodeId> = store.peers().keys().copied().collect();
    assert_eq!(remembered, [NodeId(2), NodeId(3)], "founding counted on them");
    drop(store);
    let begin = Instant::now();
    for id in ids {
        cluster.run(id).unwrap();
    }
    let has_leader = || cluster.groups().any(|group| cluster.leader(group).is_some());
    until("a leader", has_leader).await;
    let waited = begin.elapsed();
    assert!(waited >= promise, "somebody was elected after {waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn founding_waits_for_all_founders() {
    let mut cluster = Cluster::idle(3, 2);
    cluster.run(ONE).unwrap();
    cluster.run(NodeId(2)).unwrap();
    until("the two to meet", || {
        let links = cluster.node(ONE).engine().status().links;
        links.peers.get(&NodeId(2)).is_some_and(|peer| peer.is_up)
    })
    .await;
    assert!(cluster.node(ONE).engine().group_statuses().await.is_empty());
    cluster.run(NodeId(3)).unwrap();
    cluster.await_leaders().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_yet_to_be_founded_is_known_and_has_no_leader() {
    let mut cluster = Cluster::idle(3, 2);
    cluster.run(ONE).unwrap();
    let engine = cluster.node(ONE).engine();
    let refused = |reason| Err(TransferError::Refused(reason));
    let (group, unknown) = (GroupId(2), GroupId(9));
    let moved = soon("an answer", engine.transfer_leader(group, NodeId(2))).await;
    assert_eq!(moved, refused(TransferRefusal::NotLeader { leader: None }));
    let moved = soon("an answer", engine.transfer_leader(unknown, NodeId(2))).await;
    assert_eq!(moved, refused(TransferRefusal::UnknownGroup { group: unknown }));
    let written = soon("an answer", engine.propose_to_group(group, Bytes::new())).await;
    assert_eq!(written, Err(ProposeError::NoLeader));
    let written = soon("an answer", engine.propose_to_group(unknown, Bytes::new())).await;
    assert_eq!(written, Err(ProposeError::UnknownGroup { group: unknown }));
}
