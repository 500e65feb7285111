//! Queues, link and threads of an engine, made and connected.
//!
//! ```text
//! callers --requests--> +--------+ --LogJob---> log writer  --facts--+
//!                       |        | --ApplyJob-> apply worker --facts-+--> back to the worker
//! link ----inbound----> | worker | --ReadJob--> log reader  --facts--+
//!                       +--------+ --frames---> link
//! ```

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use hashbrown::HashMap;
use multiraft::{GroupSpec, NodeLoop};
use parking_lot::Mutex;
use routing::RoutingTable;
use storage_redb::Store;
use tokio::runtime::Handle;
use tokio::sync::watch;
use transport::Hello;
use types::{ClusterId, GroupId, NodeId};

use crate::apply::ApplyWorker;
use crate::assignment::thread_of;
use crate::budget::Budget;
use crate::builder::{LinkChoice, LinkRequest};
use crate::call::Reply;
use crate::clock::Clock;
use crate::disk_watch::DiskWatch;
use crate::door::{DoorCounts, LinkDoor};
use crate::engine::{Engine, Inner};
use crate::failure::Alarm;
use crate::inbox::{Queues, queues};
use crate::leaders::Leaders;
use crate::limits::EngineLimits;
use crate::log_gauge::LogGauge;
use crate::log_reader::LogReader;
use crate::log_writer::LogWriter;
use crate::messages::{ApplyJob, Fact, LogJob, ReadJob};
use crate::peer_rooms::{PeerRooms, RoomTeller};
use crate::peers::Peers;
use crate::planted::Planted;
use crate::queue::{Receiver, Sender, queue};
use crate::shutdown::{ShutdownLimits, Threads};
use crate::start::StartError;
use crate::state_machine::Group;
use crate::threads::Running;
use crate::worker::Worker;

/// How many threads of a kind there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadCounts {
    pub(crate) workers: usize,
    pub(crate) appliers: usize,
}

impl ThreadCounts {
    /// Half of the cores for workers, and as many again for state machines, unless told otherwise.
    pub(crate) fn new(workers: Option<usize>, appliers: Option<usize>) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers = workers.unwrap_or(cores / 2).max(1);
        Self { workers, appliers: appliers.unwrap_or(workers).max(1) }
    }
}

/// What an engine is to be; checked.
pub(crate) struct Plan {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) routing: RoutingTable,
    pub(crate) limits: EngineLimits,
    pub(crate) threads: ThreadCounts,
    pub(crate) tick: Duration,
    pub(crate) shutdown: ShutdownLimits,
    pub(crate) planted: Planted,
    pub(crate) handle: Handle,
}

/// The ends of the queues that workers fill.
struct Ends {
    log: Receiver<LogJob>,
    appliers: Vec<Receiver<ApplyJob>>,
    reader: Receiver<ReadJob>,
}

impl Plan {
    /// Makes the queues, the link and the threads, in this order.
    ///
    /// # Errors
    /// The link or a thread cannot be made; what was started ends by itself.
    pub(crate) fn run<G: Group>(
        self,
        store: Store,
        link: LinkChoice,
        nodes: Vec<NodeLoop<Reply>>,
        to_found: Vec<GroupSpec>,
        states: Vec<(GroupId, G)>,
    ) -> Result<Engine, StartError> {
        let clock = Clock::start(self.tick);
        let (inner, queues, ends) = self.connect(&store, clock, link)?;
        let engine = Engine { inner: Arc::new(inner) };
        let inner = &*engine.inner;
        let facts: Vec<Sender<Fact>> =
            inner.workers.iter().map(|worker| worker.facts.clone()).collect();
        let leaders = inner.leaders.clone();
        let woken = facts.clone();
        inner.alarm.on_failure(move || {
            leaders.end();
            // A worker that has ended does not want to know.
            woken.iter().for_each(|worker| drop(worker.send(Fact::Wake)));
        });
        // Dropping the engine ends those threads that were started before one could not be.
        let others = spawn_others(inner, &facts, store, states, ends)?;
        let workers = spawn_workers(inner, clock, nodes, to_found, queues)?;
        *inner.threads.lock() = Threads { workers, others };
        tracing::info!(node = %inner.node, store = %inner.store, "the engine runs");
        Ok(engine)
    }

    /// Makes everything that calls and frames go through.
    fn connect(
        &self,
        store: &Store,
        clock: Clock,
        link: LinkChoice,
    ) -> Result<(Inner, Vec<Queues>, Ends), StartError> {
        let raw = *self.limits.raw();
        let alarm = Arc::new(Alarm::new());
        let (doors, worker_ends): (Vec<_>, Vec<_>) =
            (0..self.threads.workers).map(|_| queues(raw.inbox_calls_max)).unzip();
        let (appliers, applier_ends): (Vec<_>, Vec<_>) =
            (0..self.threads.appliers).map(|_| queue()).unzip();
        let (log, log_end) = queue();
        let (reader, reader_end) = queue();
        let peers = Arc::new(Peers::new(self.node, store.peers()));
        let counts = Arc::new(DoorCounts::default());
        let gauge = Arc::new(LogGauge::new(store.log_bytes(), &self.limits));
        let disk = Arc::new(DiskWatch::new(clock, raw.disk_stall_ms, store.disk_space()));
        let others = others(self.node, &self.routing);
        let peer_rooms = Arc::new(PeerRooms::new(clock, &others));
        let nodes = self.routing.nodes().to_vec();
        let leaders = Leaders::new(self.node, nodes, self.routing.group_count());
        let events = Arc::new(LinkDoor {
            leaders: leaders.clone(),
            workers: doors.iter().map(|door| door.inbound.clone()).collect(),
            log: log.clone(),
            frame_limits: self.limits.frame(),
            budget: Budget::new("inbox_frame_bytes_max", raw.inbox_frame_bytes_max),
            peers: peers.clone(),
            gauge: gauge.clone(),
            disk: disk.clone(),
            peer_rooms: peer_rooms.clone(),
            alarm: alarm.clone(),
            counts: counts.clone(),
        });
        let link = link.make(LinkRequest {
            handle: self.handle.clone(),
            hello: Hello {
                cluster: self.cluster.clone(),
                node: self.node,
                store: store.store_id(),
                boot: store.boot_id(),
                digest: self.routing.digest(),
            },
            peers: others,
            limits: link_limits(&self.limits)?,
            events,
        })?;
        let (ended, _) = watch::channel(None);
        let inner = Inner {
            node: self.node,
            store: store.store_id(),
            boot: store.boot_id(),
            routing: self.routing.clone(),
            limits: self.limits,
            shutdown_limits: self.shutdown,
            planted: self.planted,
            workers: doors,
            log,
            appliers,
            reader,
            link,
            leaders,
            alarm,
            gauge,
            disk,
            peer_rooms,
            peers,
            counts,
            proposals: Budget::new("proposal_bytes_max", raw.proposal_bytes_max),
            reads: Budget::new("reads_max", raw.reads_max),
            threads: Mutex::default(),
            handle: self.handle.clone(),
            status_turn: tokio::sync::Mutex::new(()),
            is_ending: AtomicBool::new(false),
            ended,
        };
        let ends = Ends { log: log_end, appliers: applier_ends, reader: reader_end };
        Ok((inner, worker_ends, ends))
    }
}

/// The other nodes of the routing table, sorted.
fn others(own: NodeId, routing: &RoutingTable) -> Vec<NodeId> {
    routing.nodes().iter().copied().filter(|node| *node != own).collect()
}

/// What the engine's limits mean for its link.
fn link_limits(limits: &EngineLimits) -> Result<transport::Limits, transport::LimitsError> {
    let defaults = transport::RawLimits::default();
    let raw = limits.raw();
    // A beat may be as large as a frame.
    let room = defaults.beat_bytes_max.saturating_sub(defaults.frame_bytes_max);
    transport::Limits::new(transport::RawLimits {
        frame_bytes_max: raw.frame_bytes_max,
        queue_bytes_max: raw.peer_queue_bytes_max,
        beat_bytes_max: raw.frame_bytes_max.saturating_add(room),
        ..defaults
    })
}

/// Starts the threads that workers hand things to.
fn spawn_others<G: Group>(
    inner: &Inner,
    facts: &[Sender<Fact>],
    store: Store,
    states: Vec<(GroupId, G)>,
    ends: Ends,
) -> Result<Vec<Running>, StartError> {
    let mut threads = Vec::new();
    let mut spawn = |name: String, body: Box<dyn FnOnce() + Send>| {
        let thread = Running::spawn(name, inner.alarm.clone(), body);
        threads.push(thread.map_err(StartError::Thread)?);
        Ok::<(), StartError>(())
    };
    let mut shares: Vec<HashMap<GroupId, G>> =
        ends.appliers.iter().map(|_| HashMap::new()).collect();
    for (group, state) in states {
        shares[thread_of(group, ends.appliers.len())].insert(group, state);
    }
    for (number, (groups, jobs)) in shares.into_iter().zip(ends.appliers).enumerate() {
        let applied = inner.workers.iter().map(|worker| worker.applied.clone()).collect();
        let worker = ApplyWorker { groups, jobs, applied, alarm: inner.alarm.clone() };
        spawn(format!("mr-apply-{number}"), Box::new(move || worker.run()))?;
    }
    let reader = LogReader {
        reader: store.reader(),
        jobs: ends.reader,
        facts: facts.to_vec(),
        alarm: inner.alarm.clone(),
    };
    spawn("mr-log-reader".to_owned(), Box::new(move || reader.run()))?;
    let look_every = Duration::from_millis(inner.limits.raw().disk_look_ms);
    let peers = others(inner.node, &inner.routing);
    let writer = LogWriter {
        store,
        jobs: ends.log,
        facts: facts.to_vec(),
        gauge: inner.gauge.clone(),
        disk: inner.disk.clone(),
        alarm: inner.alarm.clone(),
        planted: inner.planted,
        look_every,
        teller: RoomTeller::new(inner.link.clone(), peers, look_every),
    };
    spawn("mr-log-writer".to_owned(), Box::new(move || writer.run()))?;
    Ok(threads)
}

/// Starts the workers, each with the groups that it is to found.
fn spawn_workers(
    inner: &Inner,
    clock: Clock,
    nodes: Vec<NodeLoop<Reply>>,
    to_found: Vec<GroupSpec>,
    queues: Vec<Queues>,
) -> Result<Vec<Running>, StartError> {
    let count = nodes.len();
    let mut foundings: Vec<Vec<GroupSpec>> = nodes.iter().map(|_| Vec::new()).collect();
    for spec in to_found {
        foundings[thread_of(spec.group, count)].push(spec);
    }
    let mut threads = Vec::with_capacity(count);
    for (number, ((node, queues), foundings)) in
        nodes.into_iter().zip(queues).zip(foundings).enumerate()
    {
        let worker = Worker {
            number,
            own: inner.node,
            node,
            routing: inner.routing.clone(),
            clock,
            link: inner.link.clone(),
            log: inner.log.clone(),
            appliers: inner.appliers.clone(),
            reader: inner.reader.clone(),
            gauge: inner.gauge.clone(),
            disk: inner.disk.clone(),
            peer_rooms: inner.peer_rooms.clone(),
            leaders: inner.leaders.clone(),
            alarm: inner.alarm.clone(),
        };
        let name = format!("mr-worker-{number}");
        let body = move || worker.run(queues, foundings);
        let thread = Running::spawn(name, inner.alarm.clone(), body);
        threads.push(thread.map_err(StartError::Thread)?);
    }
    Ok(threads)
}
