//! Three nodes in this process: each with a folder, a log and syncs of its own, TCP between them.

use std::fmt::Display;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ::engine::{Engine, EngineStatus, RoutingTable};
use raft_core::{RawTiming, Timing};
use routing::HASH_SLOTS;
use storage_redb::{Identity, Store, StoreOptions};
use tokio::runtime::Runtime;
use types::{ClusterId, NodeId};

use super::machine::Machines;
use crate::cli::bench::error::BenchError;
use crate::cli::signals::Signals;
use crate::log;

/// How many nodes there are.
pub(crate) const NODES: usize = 3;
/// Threads that carry the frames of all nodes, and on which nothing else runs.
const NETWORK_THREADS: usize = 2;
/// How long anything beside the load may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nodes may still put files into a folder that is being removed.
const PUTTING_IN: Duration = Duration::from_secs(5);
/// Ten times the default: a machine that is busy elsewhere for a moment costs no election, which
/// would not be the load's. Nothing in the way of an operation depends on it.
const ELECTION_TICKS_MIN: u64 = 100;

/// One node.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) machines: Machines,
}

/// The nodes, running; stopped, and their folders removed, by [`Nodes::end`].
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
    // Before the folder: what runs on it uses the folder.
    runtime: Runtime,
    folder: Folder,
}

impl Nodes {
    /// Starts new ones below `dir`, and waits until each group has the leader that it is to have.
    ///
    /// # Errors
    /// The folder cannot be used, or a node does not start.
    pub(crate) fn start(dir: &Path, groups: u32) -> Result<Self, BenchError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(NETWORK_THREADS)
            .enable_all()
            .build()
            .map_err(|error| BenchError::System { doing: "start threads", error })?;
        let signals = {
            let _runtime = runtime.enter();
            Signals::new()
        };
        let signals =
            signals.map_err(|error| BenchError::System { doing: "listen for signals", error })?;
        let folder = Folder::make(dir)?;
        runtime.spawn(remove_at_signal(folder.path.clone(), signals));
        let ids: Vec<NodeId> = (1..).map(NodeId).take(NODES).collect();
        let table = RoutingTable::uniform(HASH_SLOTS, groups, &ids, NODES).map_err(wrong)?;
        let listen = |_: &NodeId| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listeners = ids.iter().map(listen).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let addresses = listeners.iter().map(TcpListener::local_addr);
        let addresses = addresses.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let mut nodes = Vec::new();
        for (node, listener) in ids.iter().copied().zip(listeners) {
            let others = ids.iter().copied().zip(&addresses).filter(|(id, _)| *id != node);
            let peers = others.map(|(id, address)| (id, address.to_string())).collect();
            let cluster = ClusterId::new("bench").map_err(wrong)?;
            let identity = Identity { cluster: cluster.clone(), node };
            let path = folder.path.join(format!("node-{node}"));
            let opened = Store::open(&path, &identity, StoreOptions::default());
            let (store, restored) = opened.map_err(wrong)?;
            let machines = Machines::new(groups);
            let engine = Engine::builder()
                .cluster(cluster)
                .node(node)
                .store(store, restored)
                .routing(table.clone())
                .listener(listener)
                .peers(peers)
                .timing(timing()?)
                .workers(1)
                .apply_workers(1)
                .state_machine(machines.clone())
                .start(runtime.handle())
                .map_err(wrong)?;
            nodes.push(Node { engine, machines });
        }
        let nodes = Self { nodes, runtime, folder };
        nodes.wait_for_leaders(&table)?;
        Ok(nodes)
    }

    fn wait_for_leaders(&self, table: &RoutingTable) -> Result<(), BenchError> {
        let led = async {
            for node in &self.nodes {
                let mut watch = node.engine.watch_leaders();
                let is_led = |(group, view): (_, ::engine::LeaderView)| {
                    view.leader == table.preferred(group) && view.is_fresh
                };
                while !watch.iter().all(is_led) {
                    watch.changed().await;
                }
            }
        };
        let led = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, led).await });
        led.map_err(|_| wrong(format!("not every group has its leader within {PATIENCE:?}")))
    }

    /// How they are.
    pub(crate) fn statuses(&self) -> Vec<EngineStatus> {
        self.nodes.iter().map(|node| node.engine.status()).collect()
    }

    /// Stops them and removes their folders.
    ///
    /// # Errors
    /// One has failed meanwhile, or does not end.
    pub(crate) fn end(self) -> Result<(), BenchError> {
        let failure = self.nodes.iter().find_map(|node| node.engine.status().failure);
        for node in &self.nodes {
            let ended = self.runtime.block_on(node.engine.shutdown());
            if failure.is_none() {
                ended.map_err(wrong)?;
            }
        }
        drop(self.folder);
        failure.map_or(Ok(()), |failure| Err(wrong(failure)))
    }
}

/// A folder of our own, removed in the end.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make(dir: &Path) -> Result<Self, BenchError> {
        let path = dir.join(format!("multiraft-bench-{}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self { path }),
            Err(error) => Err(BenchError::Folder { dir: dir.to_owned(), error }),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(folder: &Path) {
    let until = Instant::now() + PUTTING_IN;
    while let Err(error) = fs::remove_dir_all(folder) {
        let kind = error.kind();
        // Whoever stops at a signal and whoever fails of that may both be here.
        if kind == io::ErrorKind::NotFound {
            return;
        }
        // A node that is being started puts files in meanwhile.
        if kind == io::ErrorKind::DirectoryNotEmpty && Instant::now() < until {
            thread::yield_now();
            continue;
        }
        return eprintln!("multiraft: cannot remove {}: {error}", folder.display());
    }
}

/// Ends the process at the first signal, and leaves nothing behind: nobody needs what the nodes would
/// still write.
async fn remove_at_signal(folder: PathBuf, mut signals: Signals) {
    signals.next().await;
    // What the nodes say of a folder that goes away under them is of no use to anybody.
    if let Ok(nothing) = "off".parse() {
        let _ = log::change(nothing);
    }
    remove(&folder);
    eprintln!("multiraft: stopped, without a result");
    std::process::exit(1);
}

fn timing() -> Result<Timing, BenchError> {
    let (election_ticks_min, election_ticks_max) = (ELECTION_TICKS_MIN, 2 * ELECTION_TICKS_MIN);
    let raw = RawTiming { election_ticks_min, election_ticks_max, ..RawTiming::default() };
    Timing::new(raw).map_err(wrong)
}

fn wrong(reason: impl Display) -> BenchError {
    BenchError::Engine { reason: reason.to_string() }
}
