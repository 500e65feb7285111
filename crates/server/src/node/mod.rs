//! One node, running: store, engine, keys and clients put together.
//!
//! - [`sockets`]: the ports, bound before anything else is touched; [`descriptors`]: how many clients
//!   fit in what the process may have.
//! - [`bridge`]: the keys as the engine's state machine, and the engine as our replication.
//! - `handover`: what is led here is led elsewhere before the node ends.

pub mod bridge;
pub mod descriptors;
mod handover;
pub mod sockets;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, EngineLimits, Failure, LimitsError, RawEngineLimits, ShutdownError};
use raft_core::{RawTiming, Timing, TimingError};
use storage_redb::{
    CommitPhases, Identity, OpenError, OptionsError, RawStoreOptions, Store, StoreOptions,
};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use types::{GroupId, NodeId};

pub use sockets::{BindError, Role, Sockets};

use crate::config::Config;
use crate::config::raw::{RawCommit, RawLimits, RawTiming as RawTimes};
use crate::data::Keyspaces;
use crate::front::{Listener, Service, sweep};
use bridge::{EngineReplication, Machine};

/// Why a node does not start. The operator reads it.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A limit of the store is wrong.
    #[error("limits: {0}")]
    StoreLimits(#[from] OptionsError),
    /// The limits do not fit together.
    #[error("limits: {0}")]
    Limits(#[from] LimitsError),
    /// The times do not fit together.
    #[error("timing: {0}")]
    Timing(#[from] TimingError),
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] engine::StartError),
    /// Clients cannot be taken in.
    #[error("cannot take in clients: {0}")]
    Listener(#[source] io::Error),
    /// The runtime stopped while the node was being started.
    #[error("stopped while starting")]
    Cancelled,
}

/// One node, running. Ends by [`Node::stop`].
pub struct Node {
    engine: Engine,
    service: Arc<Service>,
    listener: Listener,
    health: JoinHandle<()>,
    sweep: JoinHandle<()>,
    data_dir: PathBuf,
}

impl Node {
    /// Opens the store, starts the engine, and takes in clients. Must be called within a
    /// multi-threaded runtime, which the node keeps using.
    ///
    /// # Errors
    /// Says what is wrong, for the operator; nothing is left running.
    pub async fn start(config: &Config, sockets: Sockets) -> Result<Self, NodeError> {
        let topology = config.topology.clone();
        let keyspaces = Arc::new(Keyspaces::new(&topology.table));
        let Settings { store: options, limits, timing } = Settings::new(config)?;
        let identity = Identity { cluster: topology.cluster.clone(), node: topology.me };
        let (store, restored) = open_store(&config.data_dir, identity, options).await?;
        let peers = config.peers.iter().map(|(node, peer)| (*node, peer.to_string())).collect();
        let builder = Engine::builder()
            .cluster(topology.cluster.clone())
            .node(topology.me)
            .store(store, restored)
            .routing(topology.table.clone())
            .peers(peers)
            .tick(Duration::from_millis(config.timing.tick_ms))
            .timing(timing)
            .limits(limits)
            .state_machine(Machine::new(Arc::clone(&keyspaces)));
        let builder = match sockets.peers {
            Some(listener) => builder.listener(listener),
            None => builder,
        };
        let engine = builder.start(&Handle::current())?;
        let replication = Arc::new(EngineReplication::new(engine.clone()));
        let service =
            Arc::new(Service::new(topology, keyspaces, replication, config.client_limits()));
        match Listener::start(sockets.clients, Arc::clone(&service)) {
            Ok(listener) => {
                let health = tokio::spawn(watch_health(engine.clone(), Arc::clone(&service)));
                let data_dir = config.data_dir.clone();
                let sweep = tokio::spawn(sweep::run(Arc::clone(&service)));
                Ok(Self { engine, service, listener, health, data_dir, sweep })
            }
            Err(error) => {
                let _ = engine.shutdown().await;
                Err(NodeError::Listener(error))
            }
        }
    }

    /// What its clients share.
    pub const fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Which node it is.
    pub fn id(&self) -> NodeId {
        self.service.topology.me
    }

    /// Where it keeps its log.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Ends when every group has a leader, as far as this node knows.
    pub async fn led(&self) {
        let mut leaders = self.engine.watch_leaders();
        while leaders.iter().any(|(_, view)| view.leader.is_none() || !view.is_fresh) {
            leaders.changed().await;
        }
    }

    /// The leader of a group, as far as this node knows.
    pub fn leader(&self, group: GroupId) -> Option<NodeId> {
        self.engine.leader(group).leader
    }

    /// Ends if the engine fails, and says why; the process should exit.
    pub async fn failed(&self) -> Failure {
        self.engine.failed().await
    }

    /// Lets other nodes lead the groups that this one leads, as far as some can, within a few
    /// seconds. Clients are served meanwhile; to be followed by [`Node::stop`].
    pub async fn hand_over(&self) {
        handover::hand_over(&self.service).await;
    }

    /// Lets clients finish what they have begun, then ends the engine.
    ///
    /// # Errors
    /// The engine had failed, or does not end. What was acknowledged is durable all the same.
    pub async fn stop(self) -> Result<(), ShutdownError> {
        self.health.abort();
        self.sweep.abort();
        self.listener.stop().await;
        self.engine.shutdown().await
    }
}

/// What the operator set, in the terms of the parts.
#[derive(Debug)]
pub struct Settings {
    store: StoreOptions,
    limits: EngineLimits,
    timing: Timing,
}

impl Settings {
    /// Hands each part what concerns it; opens and starts nothing.
    ///
    /// # Errors
    /// A part says that its limits or times do not fit together; the operator corrects the file.
    pub fn new(config: &Config) -> Result<Self, NodeError> {
        let options = RawStoreOptions {
            page_cache_bytes: config.limits.log_cache_bytes,
            disk_reserve_bytes: config.limits.disk_reserve_bytes,
            commit_phases: match config.commit {
                RawCommit::OnePhase => CommitPhases::One,
                RawCommit::TwoPhase => CommitPhases::Two,
            },
            ..RawStoreOptions::default()
        };
        let timing = RawTiming {
            election_ticks_min: config.timing.election_ticks_min,
            election_ticks_max: config.timing.election_ticks_max,
            heartbeat_ticks: config.timing.heartbeat_ticks,
        };
        Ok(Self {
            store: StoreOptions::new(options)?,
            limits: engine_limits(&config.limits, &config.timing)?,
            timing: Timing::new(timing)?,
        })
    }
}

/// Lets the service see from when on a group has no leader, whether a client asks or not.
async fn watch_health(engine: Engine, service: Arc<Service>) {
    let mut leaders = engine.watch_leaders();
    loop {
        service.leaderless();
        leaders.changed().await;
    }
}

/// Opens the store on a thread that may block: replaying a large log takes seconds.
async fn open_store(
    folder: &Path,
    identity: Identity,
    options: StoreOptions,
) -> Result<(Store, Vec<codec::Restored>), NodeError> {
    let folder = folder.to_owned();
    let opened = tokio::task::spawn_blocking(move || Store::open(&folder, &identity, options));
    Ok(opened.await.map_err(|_| NodeError::Cancelled)??)
}

/// The operator's limits in the engine's terms. What the operator does not set grows with the
/// largest entry, so that a few of them fit everywhere.
fn engine_limits(limits: &RawLimits, timing: &RawTimes) -> Result<EngineLimits, LimitsError> {
    let default = RawEngineLimits::default();
    let several = limits.entry_bytes_max.saturating_mul(4);
    let group = raft_core::Limits {
        entry_bytes_max: limits.entry_bytes_max,
        append_bytes_max: limits.message_bytes_max,
        inflight_bytes_max: default.group.inflight_bytes_max.max(several),
        apply_bytes_max: default.group.apply_bytes_max.max(several),
        uncommitted_bytes_max: default.group.uncommitted_bytes_max.max(several),
        ..default.group
    };
    EngineLimits::new(RawEngineLimits {
        group,
        uncommitted_bytes_max: default.uncommitted_bytes_max.max(several),
        log_queue_bytes_max: default.log_queue_bytes_max.max(limits.frame_bytes_max),
        proposal_bytes_max: default.proposal_bytes_max.max(several),
        frame_bytes_max: limits.frame_bytes_max,
        peer_queue_bytes_max: limits.peer_queue_bytes_max,
        inbox_frame_bytes_max: default.inbox_frame_bytes_max.max(limits.peer_queue_bytes_max),
        log_bytes_max: limits.log_bytes_max,
        disk_stall_ms: timing.disk_stall_ms,
        ..default
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_limits_are_the_engine_s_own() {
        let limits = engine_limits(&RawLimits::default(), &RawTimes::default()).unwrap();
        assert_eq!(limits, EngineLimits::default());
    }

    #[test]
    fn limits_that_the_configuration_allows_suit_the_engine() {
        let kib = 1 << 10;
        let smallest = RawLimits {
            value_bytes_max: kib,
            entry_bytes_max: 2 * kib,
            message_bytes_max: 3 * kib,
            frame_bytes_max: 4 * kib,
            peer_queue_bytes_max: 5 * kib,
            log_bytes_max: 1 << 20,
            ..RawLimits::default()
        };
        let largest = RawLimits {
            value_bytes_max: 200 << 20,
            entry_bytes_max: 300 << 20,
            message_bytes_max: 400 << 20,
            frame_bytes_max: 1 << 30,
            peer_queue_bytes_max: 2 << 30,
            request_bytes_max: 300 << 20,
            reply_bytes_max: 300 << 20,
            clients_bytes_max: 3 << 30,
            ..RawLimits::default()
        };
        for limits in [smallest, largest] {
            limits.check().unwrap();
            engine_limits(&limits, &RawTimes::default()).unwrap();
        }
    }
}
