//! An engine for tests: leaders come and go at the test's word, writes are applied at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{
    CommitTimes, EngineState, EngineStatus, GroupStatus, Health, LinkCounters, PeerCounters,
    TransferError, TransferRefusal,
};
use parking_lot::Mutex;
use routing::{HASH_SLOTS, RoutingTable};
use tokio::sync::watch;
use types::{BootId, ClusterId, GroupId, LogIndex, NodeId, StoreId, VShardId};

use super::clients::Seat;
use super::replication::{DiskHealth, LeaderView, Promise, ReadError, Replication, WriteError};
use super::service::{ClientLimits, Service, Session};
use super::topology::{Member, Topology};
use crate::data::{Applier, Keyspaces};

/// How many groups the fake's table has.
pub(crate) const GROUPS: u32 = 4;
/// The node that the fake is.
pub(crate) const ME: NodeId = NodeId(1);
/// Another node.
pub(crate) const OTHER: NodeId = NodeId(2);

/// Leads everything until told otherwise.
pub(crate) struct Fake {
    table: RoutingTable,
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
}

struct State {
    leaders: HashMap<GroupId, LeaderView>,
    appliers: HashMap<GroupId, Applier>,
    /// The last entry; the groups share one row of places.
    last: LogIndex,
    /// What the next writes come to instead of being applied.
    failures: Vec<WriteError>,
    /// How many writes came together, each time.
    proposed: Vec<usize>,
    /// How many permits to read were asked for.
    permits: usize,
    disk: DiskHealth,
    /// What the node and its groups say of themselves.
    status: EngineStatus,
    groups: Vec<GroupStatus>,
    /// How many handovers are refused before one is done.
    refusals: usize,
    /// While set, writes do not come to an end.
    held: watch::Receiver<bool>,
}

impl Fake {
    /// The leader of a group from now on.
    pub(crate) fn set_leader(&self, group: GroupId, node: Option<NodeId>, is_fresh: bool) {
        let view = LeaderView { node, is_self: node == Some(ME), is_fresh };
        self.state.lock().leaders.insert(group, view);
        self.changes.send_modify(|count| *count += 1);
    }

    /// The same leader for all groups.
    pub(crate) fn set_all(&self, node: Option<NodeId>, is_fresh: bool) {
        for group in self.table.groups() {
            self.set_leader(group, node, is_fresh);
        }
    }

    /// What the next writes come to, first first.
    pub(crate) fn fail_next(&self, failures: &[WriteError]) {
        self.state.lock().failures = failures.iter().rev().copied().collect();
    }

    /// How the disk is from now on.
    pub(crate) fn set_disk(&self, disk: DiskHealth) {
        self.state.lock().disk = disk;
    }

    /// Whether a node is connected, from now on.
    pub(crate) fn set_peer(&self, node: NodeId, is_up: bool) {
        let peer = PeerCounters { is_up, ..PeerCounters::default() };
        self.state.lock().status.links.peers.insert(node, peer);
    }

    /// Whose disks are low, from now on.
    pub(crate) fn set_low(&self, nodes: &[NodeId]) {
        self.state.lock().status.peers_low = nodes.to_vec();
    }

    /// The next handovers are refused.
    pub(crate) fn refuse_transfers(&self, count: usize) {
        self.state.lock().refusals = count;
    }

    /// Holds writes back until the sender says false.
    pub(crate) fn hold(&self) -> watch::Sender<bool> {
        let (hold, held) = watch::channel(true);
        self.state.lock().held = held;
        hold
    }

    /// How many writes came together, each time.
    pub(crate) fn proposed(&self) -> Vec<usize> {
        self.state.lock().proposed.clone()
    }

    /// How many permits to read were asked for.
    pub(crate) fn permits(&self) -> usize {
        self.state.lock().permits
    }
}

impl Replication for Fake {
    fn leader(&self, group: GroupId) -> LeaderView {
        self.state.lock().leaders.get(&group).copied().unwrap_or_default()
    }

    fn disk(&self) -> DiskHealth {
        self.state.lock().disk
    }

    fn status(&self) -> EngineStatus {
        self.state.lock().status.clone()
    }

    fn group_statuses(&self) -> Promise<Vec<GroupStatus>> {
        let groups = self.state.lock().groups.clone();
        Box::pin(async move { groups })
    }

    fn transfer(&self, group: GroupId, to: NodeId) -> Promise<Result<(), TransferError>> {
        let view = self.leader(group);
        let refusals = self.state.lock().refusals;
        if refusals > 0 {
            self.state.lock().refusals = refusals - 1;
            return Box::pin(async move { Err(TransferRefusal::Silent { node: to }.into()) });
        }
        if view.is_self {
            self.set_leader(group, Some(to), true);
        }
        let refused = TransferRefusal::NotLeader { leader: view.node };
        Box::pin(async move { if view.is_self { Ok(()) } else { Err(refused.into()) } })
    }

    fn leaders_changed(&self) -> Promise<()> {
        let mut changes = self.changes.subscribe();
        Box::pin(async move {
            let _ = changes.changed().await;
        })
    }

    fn propose_many(
        &self,
        writes: Vec<(VShardId, Bytes)>,
    ) -> Promise<Vec<Result<Bytes, WriteError>>> {
        let state = Arc::clone(&self.state);
        let groups: Vec<GroupId> =
            writes.iter().map(|(vshard, _)| self.table.group_of(*vshard).unwrap()).collect();
        Box::pin(async move {
            let mut held = state.lock().held.clone();
            let _ = held.wait_for(|held| !*held).await;
            let mut state = state.lock();
            state.proposed.push(writes.len());
            let write = |((_, payload), group): ((VShardId, Bytes), GroupId)| {
                if let Some(error) = state.failures.pop() {
                    return Err(error);
                }
                if !state.leaders.get(&group).is_some_and(|view| view.is_self) {
                    return Err(WriteError::NotLeader);
                }
                state.last = state.last.next();
                let entry = (state.last, &payload[..]);
                let applier = state.appliers.get_mut(&group).unwrap();
                Ok(applier.apply_payloads([entry].into_iter()).remove(0))
            };
            writes.into_iter().zip(groups).map(write).collect()
        })
    }

    fn read(&self, vshard: VShardId) -> Promise<Result<(), ReadError>> {
        let group = self.table.group_of(vshard).unwrap();
        let mut state = self.state.lock();
        state.permits += 1;
        let leads = state.leaders.get(&group).is_some_and(|view| view.is_self);
        Box::pin(async move { if leads { Ok(()) } else { Err(ReadError::NotLeader) } })
    }
}

/// A node that leads everything, with everybody connected.
pub(crate) fn healthy_engine() -> EngineStatus {
    let up = PeerCounters { is_up: true, ..PeerCounters::default() };
    EngineStatus {
        node: ME,
        store: StoreId(7),
        boot: BootId(1),
        state: EngineState::Running,
        health: Health::Healthy,
        failure: None,
        log_bytes: 4096,
        log_bytes_max: 8192,
        log_commits: 3,
        log_entries: 12,
        log_commit_times: Some(CommitTimes {
            p50: Duration::from_micros(400),
            p99: Duration::from_micros(2_500),
            max: Duration::from_millis(9),
        }),
        proposal_bytes: 0,
        reads: 0,
        frames_unreadable: 0,
        frames_overrun: 0,
        log_commits_refused: 0,
        appends_refused: 0,
        peers_low: Vec::new(),
        refusals: BTreeMap::new(),
        links: LinkCounters { peers: [(OTHER, up)].into(), ..LinkCounters::default() },
    }
}

/// A service on a fake engine that leads everything.
pub(crate) fn service(limits: ClientLimits) -> (Arc<Service>, Arc<Fake>) {
    let table = RoutingTable::uniform(HASH_SLOTS, GROUPS, &[ME, OTHER], 2).unwrap();
    let keyspaces = Arc::new(Keyspaces::new(&table));
    let appliers = table.groups().map(|group| (group, keyspaces.applier(group).unwrap())).collect();
    let state = State {
        leaders: HashMap::new(),
        appliers,
        last: LogIndex::ZERO,
        failures: Vec::new(),
        proposed: Vec::new(),
        permits: 0,
        disk: DiskHealth::Ok,
        status: healthy_engine(),
        groups: Vec::new(),
        refusals: 0,
        held: watch::channel(false).1,
    };
    let fake = Arc::new(Fake {
        table: table.clone(),
        state: Arc::new(Mutex::new(state)),
        changes: watch::Sender::new(0),
    });
    fake.set_all(Some(ME), true);
    let member = |port| Member { host: "10.0.0.1".to_owned(), port, peer_port: port + 10_000 };
    let topology = Topology {
        cluster: ClusterId::new("test").unwrap(),
        me: ME,
        members: [(ME, member(7001)), (OTHER, member(7002))].into(),
        table,
    };
    let replication = Arc::clone(&fake) as Arc<dyn Replication>;
    (Arc::new(Service::new(topology, keyspaces, replication, limits)), fake)
}

/// A connection that has said nothing yet; the seat is to be kept for as long.
pub(crate) fn session(service: &Service) -> (Session, Seat) {
    let seat = service.clients.enter("peer".to_owned(), "local".to_owned()).unwrap();
    (Session::new(Arc::clone(seat.client())), seat)
}
