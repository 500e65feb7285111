//! Helpers: a state machine that can be looked into and held up, a node on a simulated disk, and a
//! cluster of nodes.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::{
    Applied, ApplyEntries, Engine, EngineBuilder, EngineLimits, Group, GroupSpec, Health,
    OpenError, ProposeError, RoleChange, RoutingTable, StartError, StateMachine,
};
use parking_lot::{Condvar, Mutex};
use raft_core::{RawTiming, Timing};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{Identity, Store, StoreOptions};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};
use transport::InProcess;
use types::{ClusterId, GroupId, LogIndex, NodeId, VShardId};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A tick of the nodes, unless a test wants another.
const TICK: Duration = Duration::from_millis(20);

/// Vshards of every test's table: one per group is enough, a few more show the mapping.
pub(crate) const VSHARDS: u32 = 64;

/// Waits for `future`, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Waits until `holds`; looks again whenever the runtime has nothing better to do.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        let mut looks = tokio::time::interval(Duration::from_millis(2));
        while !holds() {
            looks.tick().await;
        }
    })
    .await;
}

/// What the state machines of one node hold: per group its commands in the order of application.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    inner: Arc<JournalInner>,
}

#[derive(Default)]
struct JournalInner {
    commands: Mutex<BTreeMap<GroupId, Vec<Vec<u8>>>>,
    roles: Mutex<BTreeMap<GroupId, RoleChange>>,
    /// Up to where each group is applied, if that survives a restart.
    durable: Mutex<Option<BTreeMap<GroupId, LogIndex>>>,
    /// Whether applying is held up.
    is_held: Mutex<bool>,
    released: Condvar,
    /// Whether a state machine stands still.
    stands_still: AtomicBool,
}

/// A command on which the state machine panics.
pub(crate) const PANIC: &[u8] = b"panic";
/// A command for which the state machine forgets the result.
pub(crate) const NO_RESULT: &[u8] = b"no result";

impl Journal {
    /// A journal that survives a restart of its node, with how far each group is applied.
    pub(crate) fn durable() -> Self {
        let journal = Self::default();
        *journal.inner.durable.lock() = Some(BTreeMap::new());
        journal
    }

    /// Up to where the group is durably applied.
    fn applied(&self, group: GroupId) -> LogIndex {
        let durable = self.inner.durable.lock();
        durable.as_ref().and_then(|all| all.get(&group).copied()).unwrap_or(LogIndex::ZERO)
    }

    /// The commands of one group.
    pub(crate) fn of(&self, group: GroupId) -> Vec<Vec<u8>> {
        self.inner.commands.lock().get(&group).cloned().unwrap_or_default()
    }

    /// What the group's state machine was told last of its role.
    pub(crate) fn role(&self, group: GroupId) -> Option<RoleChange> {
        self.inner.roles.lock().get(&group).copied()
    }

    /// Claims that the group is durably applied up to there, true or not.
    pub(crate) fn claim_durable(&self, group: GroupId, index: LogIndex) {
        *self.inner.durable.lock() = Some(BTreeMap::from([(group, index)]));
    }

    /// How many commands there are, all groups together.
    pub(crate) fn len(&self) -> usize {
        self.inner.commands.lock().values().map(Vec::len).sum()
    }

    pub(crate) fn contains(&self, group: GroupId, command: &[u8]) -> bool {
        self.of(group).iter().any(|held| held == command)
    }

    /// Lets state machines stand still before their next command, until [`Self::release`].
    pub(crate) fn hold(&self) {
        *self.inner.is_held.lock() = true;
    }

    /// Whether a state machine has come to a command, and is held up.
    pub(crate) fn stands_still(&self) -> bool {
        self.inner.stands_still.load(Ordering::Relaxed)
    }

    pub(crate) fn release(&self) {
        *self.inner.is_held.lock() = false;
        self.inner.released.notify_all();
    }
}

/// One group's part of a [`Journal`].
pub(crate) struct JournalGroup {
    group: GroupId,
    journal: Journal,
}

impl StateMachine for Journal {
    type Group = JournalGroup;

    fn open(&self, spec: &GroupSpec) -> Result<(JournalGroup, LogIndex), OpenError> {
        let applied = self.applied(spec.group);
        Ok((JournalGroup { group: spec.group, journal: self.clone() }, applied))
    }
}

impl Group for JournalGroup {
    /// The result of a command is how many commands there were before it, and the command.
    fn apply(&mut self, entries: &ApplyEntries) -> Vec<Bytes> {
        let mut results = Vec::new();
        for entry in entries.iter() {
            {
                let mut is_held = self.journal.inner.is_held.lock();
                while *is_held {
                    self.journal.inner.stands_still.store(true, Ordering::Relaxed);
                    self.journal.inner.released.wait(&mut is_held);
                }
            }
            assert_ne!(entry.payload, PANIC, "as the command says");
            let mut commands = self.journal.inner.commands.lock();
            let commands = commands.entry(self.group).or_default();
            if entry.payload != NO_RESULT {
                let text = format!("{}:{}", commands.len(), String::from_utf8_lossy(entry.payload));
                results.push(Bytes::from(text));
            }
            commands.push(entry.payload.to_vec());
        }
        if let Some(durable) = &mut *self.journal.inner.durable.lock() {
            let applied = durable.entry(self.group).or_default();
            *applied = entries.last().max(*applied);
        }
        results
    }

    fn durable_applied(&self) -> LogIndex {
        self.journal.applied(self.group)
    }

    fn role_changed(&mut self, role: RoleChange) {
        self.journal.inner.roles.lock().insert(self.group, role);
    }
}

/// A node and its disk; the engine runs or not.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) disk: SimDisk,
    pub(crate) journal: Journal,
    engine: Option<Engine>,
}

impl Node {
    /// The running engine.
    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the node runs")
    }

    pub(crate) fn is_running(&self) -> bool {
        self.engine.is_some()
    }
}

/// Nodes 1 to n with the same table.
pub(crate) struct Cluster {
    pub(crate) hub: InProcess,
    pub(crate) table: RoutingTable,
    pub(crate) limits: EngineLimits,
    pub(crate) tick: Duration,
    pub(crate) nodes: Vec<Node>,
}

pub(crate) fn table(nodes: u64, groups: u32) -> RoutingTable {
    let ids: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
    RoutingTable::uniform(VSHARDS, groups, &ids, ids.len().min(3)).unwrap()
}

/// Opens the store on `disk` as node `id`'s.
pub(crate) fn open(disk: &SimDisk, id: NodeId) -> (Store, Vec<codec::Restored>) {
    let identity = Identity { cluster: cluster_id(), node: id };
    Store::open_backend(disk.clone(), &identity, StoreOptions::default()).unwrap()
}

pub(crate) fn cluster_id() -> ClusterId {
    ClusterId::new("test").unwrap()
}

/// What all nodes of the tests have in common.
pub(crate) fn builder(id: NodeId, table: &RoutingTable) -> EngineBuilder {
    let timing = RawTiming { election_ticks_min: 10, election_ticks_max: 20, heartbeat_ticks: 2 };
    Engine::builder()
        .cluster(cluster_id())
        .node(id)
        .routing(table.clone())
        .tick(TICK)
        .timing(Timing::new(timing).unwrap())
        .workers(2)
}

impl Cluster {
    /// Starts `nodes` new nodes.
    pub(crate) fn start(nodes: u64, groups: u32) -> Self {
        Self::start_with(nodes, groups, EngineLimits::default())
    }

    pub(crate) fn start_with(nodes: u64, groups: u32, limits: EngineLimits) -> Self {
        let mut cluster = Self { limits, ..Self::idle(nodes, groups) };
        (1..=nodes).map(NodeId).for_each(|id| cluster.run(id).unwrap());
        cluster
    }

    /// New nodes, none of which runs.
    pub(crate) fn idle(nodes: u64, groups: u32) -> Self {
        let node =
            |id| Node { id, disk: SimDisk::new(), journal: Journal::default(), engine: None };
        Self {
            hub: InProcess::new(&Handle::current()),
            table: table(nodes, groups),
            limits: EngineLimits::default(),
            tick: TICK,
            nodes: (1..=nodes).map(NodeId).map(node).collect(),
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("a node of the cluster")
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.id == id).expect("a node of the cluster")
    }

    /// Starts a node that does not run, on its disk, with an empty journal.
    pub(crate) fn run(&mut self, id: NodeId) -> Result<(), StartError> {
        self.run_with(id, Journal::default())
    }

    /// Starts a node that does not run, on its disk, with that journal.
    pub(crate) fn run_with(&mut self, id: NodeId, journal: Journal) -> Result<(), StartError> {
        let hub = self.hub.clone();
        let (table, limits, tick) = (self.table.clone(), self.limits, self.tick);
        let node = self.node_mut(id);
        node.journal = journal;
        let (store, restored) = open(&node.disk, id);
        let engine = builder(id, &table)
            .store(store, restored)
            .limits(limits)
            .tick(tick)
            .link(move |request| {
                let link = hub.join(request.hello, request.peers, request.limits, request.events);
                Ok(Arc::new(link?))
            })
            .state_machine(node.journal.clone())
            .start(&Handle::current())?;
        node.engine = Some(engine);
        Ok(())
    }

    /// Shuts a node down, and leaves its disk as the machine finds it after a power cut.
    pub(crate) async fn stop(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        let engine = node.engine.take().expect("the node runs");
        soon("shutdown", engine.shutdown()).await.unwrap();
        drop(engine);
        node.disk = node.disk.restart(id.0);
    }

    /// Forgets a failed engine, and leaves its disk as the machine finds it after a power cut.
    pub(crate) async fn bury(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        let engine = node.engine.take().expect("the node ran");
        assert!(soon("shutdown", engine.shutdown()).await.is_err(), "it had failed");
        node.disk = node.disk.restart(id.0);
    }

    /// Forgets an engine that was ended elsewhere.
    pub(crate) fn discard(&mut self, id: NodeId) {
        self.node_mut(id).engine = None;
    }

    /// The groups of the table.
    pub(crate) fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        self.table.groups()
    }

    /// A vshard of the group.
    pub(crate) fn vshard_of(&self, group: GroupId) -> VShardId {
        VShardId(self.table.vshards_of(group).start)
    }

    /// The running node that says that it leads the group, if exactly one does.
    pub(crate) fn leader(&self, group: GroupId) -> Option<&Node> {
        let leads = |node: &&Node| node.is_running() && node.engine().leader(group).is_self;
        let mut leaders = self.nodes.iter().filter(leads);
        let leader = leaders.next()?;
        leaders.next().is_none().then_some(leader)
    }

    /// Waits until one node leads the group.
    pub(crate) async fn await_leader(&self, group: GroupId) -> &Node {
        let mut leader = None;
        until("a leader", || {
            leader = self.leader(group);
            leader.is_some()
        })
        .await;
        leader.expect("what was waited for")
    }

    /// Waits until every group has one leader.
    pub(crate) async fn await_leaders(&self) {
        until("leaders", || self.groups().all(|group| self.leader(group).is_some())).await;
    }

    /// Proposes wherever the leader is until it is accepted, as a client does.
    pub(crate) async fn write(&self, group: GroupId, command: &[u8]) -> Applied {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "{group} takes no write within {PATIENCE:?}");
            let leader = self.await_leader(group).await;
            let vshard = self.vshard_of(group);
            let answer = leader.engine().propose(vshard, Bytes::copy_from_slice(command));
            match timeout_at(deadline, answer).await.expect("an answer in time") {
                Ok(applied) => return applied,
                Err(
                    ProposeError::NotLeader { .. }
                    | ProposeError::NoLeader
                    | ProposeError::TransferInProgress { .. }
                    | ProposeError::Uncertain,
                ) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// As [`Cluster::write`], and also until there is room.
    pub(crate) async fn write_with_room(&self, group: GroupId, command: &[u8]) -> Applied {
        let wait = async {
            loop {
                let leader = self.await_leader(group).await;
                let data = Bytes::copy_from_slice(command);
                match leader.engine().propose(self.vshard_of(group), data).await {
                    Ok(applied) => return applied,
                    Err(ProposeError::DiskFull { .. } | ProposeError::MajorityFull) => {
                        tokio::task::yield_now().await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        soon("a write", wait).await
    }
    /// Waits until all nodes have applied the same commands.
    pub(crate) async fn await_equal(&self) {
        until("equal state machines", || {
            self.groups().all(|group| {
                let first = self.nodes[0].journal.of(group);
                self.nodes.iter().all(|node| node.journal.of(group) == first)
            })
        })
        .await;
    }
    /// Fills every disk, and waits until all nodes know at once. A log that gets shorter makes room
    /// by itself, which is taken from it again.
    pub(crate) async fn fill_disks(&self) {
        let is_full = |node: &Node| {
            let is_full = matches!(node.engine().status().health, Health::DiskFull { .. });
            if !is_full {
                node.disk.leave_free(0);
            }
            is_full
        };
        until("full disks", || self.nodes.iter().filter(|node| !is_full(node)).count() == 0).await;
    }
}
