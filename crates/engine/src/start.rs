//! How an engine starts: everything is checked and opened before the first thread runs.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use codec::Restored;
use multiraft::{AddGroupError, GroupSpec, LoopLimits, MultiRaft, NodeLoop, NodeSettings};
use raft_core::Timing;
use routing::RoutingTable;
use storage_redb::{Store, StoreError};
use thiserror::Error;
use tokio::runtime::Handle;
use types::{ClusterId, GroupId, LogIndex, NodeId, Tick};

use crate::assignment::thread_of;
use crate::builder::EngineBuilder;
use crate::call::Reply;
use crate::clock::ticks_to_cover;
use crate::engine::Engine;
use crate::leaders::NODES_MAX;
use crate::limits::EngineLimits;
use crate::state_machine::{OpenError, StateMachine};
use crate::wiring::{Plan, ThreadCounts};

/// Why an engine does not start. Whoever configures the node reads it.
#[derive(Debug, Error)]
pub enum StartError {
    /// The builder was not told something that has no default.
    #[error("the engine needs {what}")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// The tick is no legal one.
    #[error("the tick is {found:?}, expected 1 to 60,000 whole milliseconds")]
    Tick {
        /// What it is.
        found: Duration,
    },
    /// The routing table has more nodes than an engine can tell apart.
    #[error("the routing table has {found} nodes, expected at most {most}")]
    TooManyNodes {
        /// How many it has.
        found: usize,
        /// How many it may have.
        most: usize,
    },
    /// The routing table does not have this node.
    #[error("node {node} is not in the routing table: correct the node id or the list of nodes")]
    NotInTable {
        /// This node.
        node: NodeId,
    },
    /// A node of the routing table has no address.
    #[error("the address of node {node} is not among the peers")]
    NoAddress {
        /// The node.
        node: NodeId,
    },
    /// The store is not this node's.
    #[error(
        "the store belongs to node {found_node} of cluster {found_cluster}, the engine was told \
         that it is node {node} of cluster {cluster}: open the store with the engine's own identity"
    )]
    OtherStore {
        /// Whose the store is.
        found_node: NodeId,
        /// And of which cluster.
        found_cluster: ClusterId,
        /// Who this node is.
        node: NodeId,
        /// And of which cluster.
        cluster: ClusterId,
    },
    /// The store and the routing table disagree about a group.
    #[error(
        "the store holds group {group} with replicas on nodes {found:?}, but the routing table \
         places it on {expected:?}: correct the list of nodes or the number of groups, which \
         cannot change while the groups exist"
    )]
    OtherReplicas {
        /// The group.
        group: GroupId,
        /// The nodes by its log.
        found: Vec<NodeId>,
        /// The nodes by the table; empty if it does not have the group.
        expected: Vec<NodeId>,
    },
    /// A state machine cannot be opened.
    #[error("the state of group {group} cannot be opened: {source}")]
    StateMachine {
        /// The group.
        group: GroupId,
        /// What it says.
        source: OpenError,
    },
    /// The state machine holds a group that the store does not know.
    #[error(
        "the state of group {group} has applied {applied}, but the store does not know the group: \
         they do not belong together"
    )]
    StateWithoutLog {
        /// The group.
        group: GroupId,
        /// What the state machine has applied.
        applied: LogIndex,
    },
    /// What the store holds of a group cannot be mounted.
    #[error("group {group} cannot be mounted: {source}")]
    Mount {
        /// The group.
        group: GroupId,
        /// What is wrong.
        source: AddGroupError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The limits of the link contradict each other.
    #[error(transparent)]
    LinkLimits(#[from] transport::LimitsError),
    /// The link cannot be made.
    #[error(transparent)]
    Link(transport::StartError),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(#[source] io::Error),
}

/// The groups that this node hosts, and their states.
struct Hosted<G> {
    restored: Vec<(Restored, LogIndex)>,
    to_found: Vec<GroupSpec>,
    states: Vec<(GroupId, G)>,
}

/// See [`EngineBuilder::start`].
pub(crate) fn start<S: StateMachine>(
    builder: EngineBuilder<S>,
    handle: &Handle,
) -> Result<Engine, StartError> {
    let cluster = builder.cluster.ok_or(StartError::Missing { what: "a cluster id" })?;
    let node = builder.node.ok_or(StartError::Missing { what: "a node id" })?;
    let (mut store, restored) = builder.store.ok_or(StartError::Missing { what: "a store" })?;
    let routing = builder.routing.ok_or(StartError::Missing { what: "a routing table" })?;
    let threads = ThreadCounts::new(builder.workers, builder.apply_workers);
    check_table(node, &routing)?;
    check_store(&store, &cluster, node)?;
    let tick_ms = check_tick(builder.tick)?;
    let no_vote_before = raise_promise(&mut store, builder.timing, tick_ms)?;
    let hosted = open_groups(node, &routing, restored, &builder.state_machine)?;
    let settings = NodeSettings {
        timing: builder.timing,
        limits: builder.limits.group_of(hosted.states.len()),
        uncommitted_bytes_max: builder.limits.raw().uncommitted_bytes_max,
        frame: builder.limits.frame(),
        no_vote_before,
        seed: seed(&store),
        ..NodeSettings::default()
    };
    let multi = || MultiRaft::new(node, store.store_id(), routing.clone(), settings);
    let nodes = mount(multi, &store, hosted.restored, threads.workers, &builder.limits)?;
    let plan = Plan {
        cluster,
        node,
        routing,
        limits: builder.limits,
        threads,
        tick: builder.tick,
        shutdown: builder.shutdown,
        planted: builder.planted,
        handle: handle.clone(),
    };
    plan.run(store, builder.link, nodes, hosted.to_found, hosted.states)
}

fn check_table(node: NodeId, routing: &RoutingTable) -> Result<(), StartError> {
    let nodes = routing.nodes();
    if !nodes.contains(&node) {
        return Err(StartError::NotInTable { node });
    }
    if nodes.len() > NODES_MAX {
        return Err(StartError::TooManyNodes { found: nodes.len(), most: NODES_MAX });
    }
    Ok(())
}

/// Peers would notice, but not whoever has made the mistake.
fn check_store(store: &Store, cluster: &ClusterId, node: NodeId) -> Result<(), StartError> {
    if store.cluster_id() != cluster || store.node_id() != node {
        return Err(StartError::OtherStore {
            found_node: store.node_id(),
            found_cluster: store.cluster_id().clone(),
            node,
            cluster: cluster.clone(),
        });
    }
    Ok(())
}

/// The tick in milliseconds. No part of one, because what the store remembers of promises has none.
fn check_tick(tick: Duration) -> Result<u64, StartError> {
    match u64::try_from(tick.as_millis()) {
        Ok(tick_ms @ 1..=60_000) if tick == Duration::from_millis(tick_ms) => Ok(tick_ms),
        Ok(_) | Err(_) => Err(StartError::Tick { found: tick }),
    }
}

/// Makes durable how long promises will be, before the first one is given; says until when this
/// node may not vote, because it may have given promises before it was stopped.
fn raise_promise(store: &mut Store, timing: Timing, tick_ms: u64) -> Result<Tick, StoreError> {
    let given = if store.is_new() { 0 } else { store.promise_max_ms() };
    // A promise of so many ticks is never longer than they take in full.
    let needed = timing.promise_ticks().saturating_mul(tick_ms);
    if store.promise_max_ms() < needed {
        store.set_promise_max_ms(needed)?;
    }
    Ok(Tick(ticks_to_cover(given, tick_ms)))
}

/// Differs from node to node and from start to start, so that no two draw the same timeouts.
fn seed(store: &Store) -> u64 {
    let id = store.store_id().0;
    let halves = (id >> 64) ^ (id & u128::from(u64::MAX));
    let halves = u64::try_from(halves).expect("the upper half was cut off");
    halves ^ store.boot_id().0.rotate_left(32)
}

/// Opens the state of each group that the routing table places here, and sorts the groups by
/// whether the store knows them.
fn open_groups<S: StateMachine>(
    node: NodeId,
    routing: &RoutingTable,
    restored: Vec<Restored>,
    state_machine: &S,
) -> Result<Hosted<S::Group>, StartError> {
    let known: BTreeSet<GroupId> = restored.iter().map(|replica| replica.group).collect();
    let open = |spec: &GroupSpec| {
        let group = spec.group;
        state_machine.open(spec).map_err(|source| StartError::StateMachine { group, source })
    };
    let (mut mounts, mut states) = (Vec::new(), Vec::new());
    for replica in restored {
        let spec = spec_of(&replica, routing)?;
        let (state, applied) = open(&spec)?;
        states.push((spec.group, state));
        mounts.push((replica, applied));
    }
    let mut to_found = Vec::new();
    for group in routing.groups() {
        let replicas = routing.replicas_of(group);
        if known.contains(&group) || !replicas.contains(&node) {
            continue;
        }
        let spec = GroupSpec::founded_by(group, replicas);
        let (state, applied) = open(&spec)?;
        if applied != LogIndex::ZERO {
            return Err(StartError::StateWithoutLog { group, applied });
        }
        states.push((group, state));
        to_found.push(spec);
    }
    Ok(Hosted { restored: mounts, to_found, states })
}

/// The group as its log has it, which must be as the table has it: replicas are fixed when a group is
/// founded, and the table when the node is configured.
fn spec_of(restored: &Restored, routing: &RoutingTable) -> Result<GroupSpec, StartError> {
    let Restored { group, generation, replica } = restored;
    let newest = replica.configurations.last().map(|(_, configuration)| configuration);
    let configuration = newest.unwrap_or(&replica.base_configuration);
    let mut found: Vec<NodeId> = configuration.replicas().map(|replica| replica.node).collect();
    let mut expected = routing.replicas_of(*group).to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    if found != expected {
        return Err(StartError::OtherReplicas { group: *group, found, expected });
    }
    Ok(GroupSpec { group: *group, generation: *generation, founders: found, learners: Vec::new() })
}

/// One node per worker, each with its share of what the store holds.
fn mount(
    multi: impl Fn() -> MultiRaft,
    store: &Store,
    restored: Vec<(Restored, LogIndex)>,
    workers: usize,
    limits: &EngineLimits,
) -> Result<Vec<NodeLoop<Reply>>, StartError> {
    let mut nodes: Vec<MultiRaft> = (0..workers).map(|_| multi()).collect();
    for node in &mut nodes {
        let own = node.node_id();
        for (peer, (peer_store, _)) in store.peers().iter().filter(|(peer, _)| **peer != own) {
            node.set_peer_store(*peer, *peer_store).expect("a new node knows of no other store");
        }
    }
    for (restored, applied) in restored {
        let group = restored.group;
        let node = &mut nodes[thread_of(group, workers)];
        let mounted = node.restore_group(restored, applied);
        mounted.map_err(|source| StartError::Mount { group, source })?;
    }
    let raw = limits.raw();
    let limits = LoopLimits {
        turn_inputs_max: TURN_INPUTS_MAX,
        turn_bytes_max: raw.turn_bytes_max,
        // The doors keep these for all workers together.
        in_flight_bytes_max: usize::MAX,
        reads_max: usize::MAX,
        transfers_max: 65_536,
    };
    Ok(nodes.into_iter().map(|node| NodeLoop::new(node, limits)).collect())
}

/// How many inputs a turn takes: as many as reports of applied groups and single calls that a node
/// gets within a commit; the bytes of a turn are what bounds it otherwise.
const TURN_INPUTS_MAX: usize = 16 << 10;
