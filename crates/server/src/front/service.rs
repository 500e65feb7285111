//! What all connections of a node share.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use types::{GroupId, NodeId};

use super::clients::{Client, Clients};
use super::cluster::SlotsCache;
use super::replication::{LeaderView, Replication};
use super::stats::Stats;
use super::topology::Topology;
use super::transaction::Multi;
use crate::data::dice::Dice;
use crate::data::{Keyspaces, UnixMillis};
use crate::resp::{Protocol, Reply, RequestLimits};

/// What clients may use at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLimits {
    /// Of one request.
    pub request: RequestLimits,
    /// Connections at a time; one more is told so and closed.
    pub clients_max: usize,
    /// Commands of one connection that are worked on at a time; more wait in its socket.
    pub pipeline_commands_max: usize,
    /// Bytes of received commands of one connection that are worked on at a time; at least one
    /// command is, and more wait in its socket.
    pub pipeline_bytes_max: usize,
    /// Commands of one transaction.
    pub transaction_commands_max: usize,
    /// Bytes of one transaction in the log, watched keys included.
    pub transaction_bytes_max: usize,
    /// Keys that one connection watches.
    pub watched_keys_max: usize,
    /// Bytes of one reply; a larger one becomes an error.
    pub reply_bytes_max: usize,
    /// Bytes of memory that all clients together may hold; those who hold most are disconnected then.
    pub clients_bytes_max: usize,
    /// How long a client may take no byte of its replies before it is disconnected.
    pub write_timeout: Duration,
    /// How long a client may be silent before the system asks whether it is still there; none if it
    /// is never asked.
    pub keepalive: Option<Duration>,
    /// How long a command waits for a leader before it is refused.
    pub leader_wait: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            request: RequestLimits::default(),
            clients_max: 10_000,
            pipeline_commands_max: 1_024,
            pipeline_bytes_max: 1024 * 1024,
            transaction_commands_max: 1_024,
            transaction_bytes_max: 1024 * 1024,
            watched_keys_max: 1_024,
            reply_bytes_max: 64 * 1024 * 1024,
            clients_bytes_max: 512 * 1024 * 1024,
            write_timeout: Duration::from_secs(30),
            keepalive: Some(Duration::from_secs(300)),
            leader_wait: Duration::from_secs(2),
        }
    }
}

/// Counts since the start or the last CONFIG RESETSTAT, for INFO.
#[derive(Debug, Default)]
pub struct Counters {
    /// Commands answered.
    pub commands: AtomicU64,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections refused because there were too many.
    pub rejected: AtomicU64,
    /// Replies that were errors.
    pub errors: AtomicU64,
    /// Clients disconnected because all together held too much.
    pub evicted: AtomicU64,
    /// Clients disconnected because they took no replies.
    pub stuck: AtomicU64,
}

/// What all connections of a node share.
pub struct Service {
    /// Who is who.
    pub topology: Topology,
    /// The keys.
    pub keyspaces: Arc<Keyspaces>,
    /// The engine.
    pub replication: Arc<dyn Replication>,
    /// Who is connected.
    pub clients: Arc<Clients>,
    /// What clients may use.
    pub limits: ClientLimits,
    /// What happened.
    pub counters: Counters,
    /// What happened to each command.
    pub(crate) stats: Stats,
    /// When the node started.
    pub started: Instant,
    /// The answer to CLUSTER SLOTS.
    pub(crate) slots_cache: SlotsCache,
    /// The seed of the next chance.
    chance: AtomicU64,
    /// Since when some group has had no leader.
    leaderless_since: Mutex<Option<Instant>>,
}

/// Where a command for a group belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// To this node.
    Here,
    /// To another one that is known to be alive.
    Elsewhere(NodeId),
    /// Nowhere yet: there is no leader, or none that was heard from lately.
    Nowhere,
}

impl Service {
    /// A node that begins to serve.
    pub fn new(
        topology: Topology,
        keyspaces: Arc<Keyspaces>,
        replication: Arc<dyn Replication>,
        limits: ClientLimits,
    ) -> Self {
        Self {
            topology,
            keyspaces,
            replication,
            clients: Arc::new(Clients::new(limits.clients_max, limits.clients_bytes_max)),
            limits,
            counters: Counters::default(),
            stats: Stats::new(),
            started: Instant::now(),
            slots_cache: SlotsCache::default(),
            chance: AtomicU64::new(RandomState::new().hash_one(())),
            leaderless_since: Mutex::new(None),
        }
    }

    /// The node's clock.
    pub fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Chance that nobody can foretell, for what a read chooses by it.
    pub fn dice(&self) -> Dice {
        Dice::new(self.chance.fetch_add(1, Ordering::Relaxed))
    }

    /// Where a command for that group belongs.
    pub fn place(&self, group: GroupId) -> Place {
        match self.replication.leader(group) {
            LeaderView { is_self: true, .. } => Place::Here,
            LeaderView { node: Some(node), is_fresh: true, .. } => Place::Elsewhere(node),
            LeaderView { .. } => Place::Nowhere,
        }
    }

    /// What tells a client to go to another node for a slot; nothing if we do not know that node.
    pub(crate) fn moved(&self, slot: u16, node: NodeId) -> Option<Reply> {
        let member = self.topology.members.get(&node)?;
        Some(Reply::error(format!("MOVED {slot} {}:{}", member.host, member.port)))
    }

    /// The groups that this node leads.
    pub fn led(&self) -> impl Iterator<Item = GroupId> {
        self.topology.table.groups().filter(|group| self.replication.leader(*group).is_self)
    }

    /// How many groups have no leader that was heard from lately.
    pub fn leaderless(&self) -> usize {
        let groups = self.topology.table.groups();
        let count = groups.filter(|group| self.place(*group) == Place::Nowhere).count();
        let mut since = self.leaderless_since.lock();
        if count == 0 {
            *since = None;
        } else if since.is_none() {
            *since = Some(Instant::now());
        }
        count
    }

    /// Whether every group has a leader, or has been without one for no longer than a command
    /// would wait for one. Some clients leave a node for good that says no.
    pub fn is_healthy(&self) -> bool {
        self.leaderless() == 0
            || self
                .leaderless_since
                .lock()
                .is_none_or(|since| since.elapsed() < self.limits.leader_wait)
    }

    /// Counts a request that broke the protocol, and was answered with `ERR`.
    pub(crate) fn protocol_broken(&self) {
        self.counters.commands.fetch_add(1, Ordering::Relaxed);
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        self.stats.told(b"ERR");
    }

    /// Lets all counts begin anew.
    pub(crate) fn reset_counts(&self) {
        let Counters { commands, connections, rejected, errors, evicted, stuck } = &self.counters;
        for count in [commands, connections, rejected, errors, evicted, stuck] {
            count.store(0, Ordering::Relaxed);
        }
        self.stats.reset();
    }
}

/// What one connection has agreed on.
#[derive(Debug)]
pub struct Session {
    /// How others see it.
    pub client: Arc<Client>,
    /// The version of the protocol.
    pub protocol: Protocol,
    /// Whether it is to be closed once everything is answered.
    pub is_closing: bool,
    /// What it has queued and watches.
    pub(crate) multi: Multi,
}

impl Session {
    /// A connection that has said nothing yet.
    pub fn new(client: Arc<Client>) -> Self {
        let multi = Multi::default();
        Self { client, protocol: Protocol::Resp2, is_closing: false, multi }
    }
}

/// What a command that is answered at once may look at and change.
pub struct Ask<'a> {
    /// The node.
    pub service: &'a Service,
    /// The connection.
    pub session: &'a mut Session,
}
