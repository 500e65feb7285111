//! What an engine is made of, put together step by step.

use std::fmt;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use codec::Restored;
use raft_core::Timing;
use routing::RoutingTable;
use storage_redb::Store;
use tokio::runtime::Handle;
use transport::{Events, Hello, Link, Transport, TransportConfig};
use types::{ClusterId, NodeId};

use crate::engine::Engine;
use crate::limits::EngineLimits;
use crate::planted::Planted;
use crate::shutdown::ShutdownLimits;
use crate::start::{self, StartError};
use crate::state_machine::StateMachine;

/// Everything that a link between this node and its peers is made with.
pub struct LinkRequest {
    /// Where the link's tasks are to run.
    pub handle: Handle,
    /// Who this node is.
    pub hello: Hello,
    /// The other nodes of the routing table, sorted.
    pub peers: Vec<NodeId>,
    /// What the link may take.
    pub limits: transport::Limits,
    /// Where the link tells what happens.
    pub events: Arc<dyn Events>,
}

/// How frames reach the other nodes.
pub(crate) enum LinkChoice {
    /// Over TCP; without a listener if this node has no peers.
    Tcp { listener: Option<TcpListener>, peers: Vec<(NodeId, String)> },
    /// However the caller likes.
    Custom(MakeLink),
}

type MakeLink = Box<dyn FnOnce(LinkRequest) -> Result<Arc<dyn Link>, transport::StartError> + Send>;

/// Puts an [`Engine`] together: [`Engine::builder`] begins, [`EngineBuilder::start`] ends.
///
/// Needed are a cluster, a node, a store, a routing table, a state machine and, if there are other
/// nodes, either a listener and peers or a link; everything else has a default.
pub struct EngineBuilder<S = ()> {
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) node: Option<NodeId>,
    pub(crate) store: Option<(Store, Vec<Restored>)>,
    pub(crate) routing: Option<RoutingTable>,
    pub(crate) link: LinkChoice,
    pub(crate) tick: Duration,
    pub(crate) timing: Timing,
    pub(crate) limits: EngineLimits,
    pub(crate) workers: Option<usize>,
    pub(crate) apply_workers: Option<usize>,
    pub(crate) shutdown: ShutdownLimits,
    pub(crate) planted: Planted,
    pub(crate) state_machine: S,
}

impl EngineBuilder {
    pub(crate) fn new() -> Self {
        let within = Duration::from_secs(5);
        Self {
            cluster: None,
            node: None,
            store: None,
            routing: None,
            link: LinkChoice::Tcp { listener: None, peers: Vec::new() },
            tick: Duration::from_millis(50),
            timing: Timing::default(),
            limits: EngineLimits::default(),
            workers: None,
            apply_workers: None,
            shutdown: ShutdownLimits { drain_max: within, join_max: within },
            planted: Planted::default(),
            state_machine: (),
        }
    }

    /// What the commands change.
    #[must_use]
    pub fn state_machine<S: StateMachine>(self, state_machine: S) -> EngineBuilder<S> {
        EngineBuilder {
            cluster: self.cluster,
            node: self.node,
            store: self.store,
            routing: self.routing,
            link: self.link,
            tick: self.tick,
            timing: self.timing,
            limits: self.limits,
            workers: self.workers,
            apply_workers: self.apply_workers,
            shutdown: self.shutdown,
            planted: self.planted,
            state_machine,
        }
    }
}

impl<S> EngineBuilder<S> {
    /// The cluster that the node belongs to; the one that the store was opened for.
    #[must_use]
    pub fn cluster(self, cluster: ClusterId) -> Self {
        Self { cluster: Some(cluster), ..self }
    }

    /// Who the node is; the one that the store was opened for, and in the routing table.
    #[must_use]
    pub fn node(self, node: NodeId) -> Self {
        Self { node: Some(node), ..self }
    }

    /// The node's log, and what it gave back when it was opened.
    #[must_use]
    pub fn store(self, store: Store, restored: Vec<Restored>) -> Self {
        Self { store: Some((store, restored)), ..self }
    }

    /// The groups and who hosts them; the same on all nodes.
    #[must_use]
    pub fn routing(self, routing: RoutingTable) -> Self {
        Self { routing: Some(routing), ..self }
    }

    /// Where peers reach this node, by TCP; bound by the caller, who can say best why it could not
    /// be. Undoes [`EngineBuilder::link`].
    #[must_use]
    pub fn listener(self, listener: TcpListener) -> Self {
        let peers = match self.link {
            LinkChoice::Tcp { peers, .. } => peers,
            LinkChoice::Custom(_) => Vec::new(),
        };
        Self { link: LinkChoice::Tcp { listener: Some(listener), peers }, ..self }
    }

    /// The other nodes, and where this one reaches each: `host:port`. Undoes
    /// [`EngineBuilder::link`].
    #[must_use]
    pub fn peers(self, peers: Vec<(NodeId, String)>) -> Self {
        let listener = match self.link {
            LinkChoice::Tcp { listener, .. } => listener,
            LinkChoice::Custom(_) => None,
        };
        Self { link: LinkChoice::Tcp { listener, peers }, ..self }
    }

    /// Another way to the other nodes than TCP: `make` is called once, when the engine starts.
    /// Undoes [`EngineBuilder::listener`] and [`EngineBuilder::peers`].
    #[must_use]
    pub fn link<F>(self, make: F) -> Self
    where
        F: FnOnce(LinkRequest) -> Result<Arc<dyn Link>, transport::StartError> + Send + 'static,
    {
        Self { link: LinkChoice::Custom(Box::new(make)), ..self }
    }

    /// How long a tick is: what all times of [`EngineBuilder::timing`] count. Default 50 ms, at
    /// least 1 ms. All nodes should agree. Too small: a busy node loses its leaders. Too large: it
    /// takes long until a dead leader is replaced.
    #[must_use]
    pub fn tick(self, tick: Duration) -> Self {
        Self { tick, ..self }
    }

    /// How long groups wait, in ticks. All nodes should agree.
    #[must_use]
    pub fn timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// How much may be held, sent and waited for.
    #[must_use]
    pub fn limits(self, limits: EngineLimits) -> Self {
        Self { limits, ..self }
    }

    /// How many threads the groups live on. Default half of the cores, at least 1.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers: Some(workers), ..self }
    }

    /// How many threads state machines run on. Default as many as workers, at least 1.
    #[must_use]
    pub fn apply_workers(self, apply_workers: usize) -> Self {
        Self { apply_workers: Some(apply_workers), ..self }
    }

    /// How long [`Engine::shutdown`] waits for calls under way, and then for threads and links.
    /// Default 5 s each.
    #[must_use]
    pub fn shutdown_within(self, drain_max: Duration, join_max: Duration) -> Self {
        Self { shutdown: ShutdownLimits { drain_max, join_max }, ..self }
    }

    /// Lets the engine do something wrong.
    #[cfg(feature = "planted-bugs")]
    #[doc(hidden)]
    #[must_use]
    pub fn plant(self, bug: crate::PlantedBug) -> Self {
        Self { planted: Planted::bug(bug), ..self }
    }
}

impl<S: StateMachine> EngineBuilder<S> {
    /// Checks everything, opens the groups' states, and starts the threads. `handle` is the runtime
    /// of the link and of [`Engine::shutdown`]; it needs its timers and, for TCP, its I/O.
    ///
    /// The engine takes calls at once; groups answer as soon as they have a leader. Groups that the
    /// store does not know are founded once all their members have met and agreed on their stores.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was started.
    pub fn start(self, handle: &Handle) -> Result<Engine, StartError> {
        start::start(self, handle)
    }
}

impl LinkChoice {
    /// Makes the link.
    ///
    /// # Errors
    /// A listener is missing, or the link cannot be made.
    pub(crate) fn make(self, request: LinkRequest) -> Result<Arc<dyn Link>, StartError> {
        match self {
            Self::Custom(make) => make(request).map_err(StartError::Link),
            Self::Tcp { listener: None, .. } if request.peers.is_empty() => Ok(Arc::new(NoLink)),
            Self::Tcp { listener: None, .. } => Err(StartError::Missing { what: "a listener" }),
            Self::Tcp { listener: Some(listener), peers } => {
                let listed = |node: &&NodeId| !peers.iter().any(|(peer, _)| peer == *node);
                if let Some(node) = request.peers.iter().find(listed) {
                    return Err(StartError::NoAddress { node: *node });
                }
                let LinkRequest { handle, hello, limits, events, .. } = request;
                let config = TransportConfig { hello, listener, peers, limits };
                let transport = Transport::start(&handle, config, events);
                Ok(Arc::new(transport.map_err(StartError::Link)?))
            }
        }
    }
}

/// The link of a node without peers.
struct NoLink;

impl Link for NoLink {
    fn send(&self, _to: NodeId, _body: bytes::Bytes, _class: transport::Class) {}

    fn counters(&self) -> transport::LinkCounters {
        transport::LinkCounters::default()
    }

    fn shutdown(&self) -> transport::Stopped {
        Box::pin(std::future::ready(()))
    }
}

impl<S> fmt::Debug for EngineBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .field("routing", &self.routing)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LinkRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkRequest")
            .field("hello", &self.hello)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}
