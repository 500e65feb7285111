//! A replicated counter: three nodes in one process, joined by TCP, each with a folder of its own.
//!
//! `cargo run --example embed`

use std::sync::atomic::{AtomicU64, Ordering};
use std::{error::Error, net::TcpListener, sync::Arc};

use bytes::Bytes;
use engine::{ApplyEntries, Engine, Group, GroupSpec, OpenError, RoutingTable, StateMachine};
use storage_redb::{Identity, Store, StoreOptions};
use types::{ClusterId, GroupId, LogIndex, NodeId, VShardId};

/// One node's copy of the counter. There is one group; a database has one state for each.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl StateMachine for Counter {
    type Group = Self;
    fn open(&self, _: &GroupSpec) -> Result<(Self, LogIndex), OpenError> {
        Ok((self.clone(), LogIndex::ZERO)) // In memory: it comes back from the log.
    }
}

impl Group for Counter {
    fn apply(&mut self, entries: &ApplyEntries) -> Vec<Bytes> {
        let add = |_| Bytes::from((self.0.fetch_add(1, Ordering::Relaxed) + 1).to_string());
        entries.iter().map(add).collect() // One result per command, for whoever proposed it.
    }
    fn durable_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }
}

/// The node that leads the group, once one does.
async fn leader(nodes: &[(Engine, Counter)]) -> &(Engine, Counter) {
    let mut changes = nodes[0].0.watch_leaders();
    loop {
        let leader = nodes[0].0.leader(GroupId(1)).leader;
        match nodes.iter().find(|(engine, _)| Some(engine.node_id()) == leader) {
            Some(node) => return node,
            None => changes.changed().await,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (folder, cluster) = (tempfile::tempdir()?, ClusterId::new("counters")?);
    let ids = [NodeId(1), NodeId(2), NodeId(3)];
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = [(ids[0], bind()?), (ids[1], bind()?), (ids[2], bind()?)];
    let place = |(node, at): &(NodeId, TcpListener)| Ok((*node, at.local_addr()?.to_string()));
    let all = listeners.iter().map(place).collect::<std::io::Result<Vec<_>>>()?;
    let mut nodes = Vec::new();
    for (node, listener) in listeners {
        let identity = Identity { cluster: cluster.clone(), node };
        let home = folder.path().join(node.to_string());
        let (store, restored) = Store::open(&home, &identity, StoreOptions::default())?;
        let counter = Counter::default();
        let builder = Engine::builder().cluster(cluster.clone()).node(node).store(store, restored);
        let builder = builder.routing(RoutingTable::uniform(1, 1, &ids, 3)?).listener(listener);
        let peers = all.iter().filter(|(peer, _)| *peer != node).cloned().collect();
        let builder = builder.peers(peers).state_machine(counter.clone());
        nodes.push((builder.start(&tokio::runtime::Handle::current())?, counter));
    }
    for _ in 0..3 {
        let (engine, _) = leader(&nodes).await;
        let applied = engine.propose(VShardId(0), Bytes::new()).await?; // It is on two disks now.
        println!("node {} counted to {:?}", engine.node_id(), applied.result);
    }
    let gone = leader(&nodes).await.0.clone();
    nodes.retain(|(engine, _)| engine.node_id() != gone.node_id());
    gone.shutdown().await?;
    let (engine, counter) = leader(&nodes).await;
    engine.read(VShardId(0)).await?; // This node's copy holds what was acknowledged before.
    let count = counter.0.load(Ordering::Relaxed);
    println!("node {} left, node {} reads {count}", gone.node_id(), engine.node_id());
    Ok(())
}
