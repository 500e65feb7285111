//! Three machines, their disks, and the engines that run on them while they have power.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::{
    Engine, EngineLimits, EngineState, Failure, PlantedBug, RawEngineLimits, RoutingTable,
    ShutdownError,
};
use parking_lot::Mutex;
use raft_core::{RawTiming, Timing};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{Identity, Store, StoreOptions};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use transport::InProcess;
use types::{ClusterId, GroupId, NodeId, VShardId};

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::life::{Life, PoweredDisk, PoweredLink};
use crate::witness::{Saved, Witness};

/// The machines of a cluster.
pub(crate) const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// Two of them are saved now and then, one is volatile; see [`crate::witness`].
const GROUPS: u32 = 3;
/// Short, so that elections are: the fewest ticks without a leader are 30 ms.
const TICK: Duration = Duration::from_millis(5);
const TIMING: RawTiming =
    RawTiming { election_ticks_min: 6, election_ticks_max: 14, heartbeat_ticks: 2 };
/// Less than the log, so that replicas which were away are served from the disk.
const LOG_CACHE_BYTES: usize = 8 << 10;

/// What is wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// In the engine.
    Engine(PlantedBug),
    /// In the disks: they say that they have synced and have not.
    LyingDisks,
}

/// A running engine, as its clients reach it.
pub(crate) struct Seat {
    pub(crate) engine: Engine,
    pub(crate) life: Arc<Life>,
    pub(crate) witness: Witness,
}

/// The running engines; clients look here.
pub(crate) type Seats = Mutex<BTreeMap<NodeId, Arc<Seat>>>;

/// A machine, on or off.
struct Machine {
    id: NodeId,
    lives: u64,
    platter: SimDisk,
    /// Whether there is a store on the disk: one whose creation was cut short is not used again.
    has_store: bool,
    saved: Saved,
}

/// See the module.
pub(crate) struct Cluster {
    pub(crate) table: RoutingTable,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) seats: Arc<Seats>,
    hub: InProcess,
    machines: Vec<Machine>,
    bug: Option<Bug>,
    dice: Dice,
    /// Engines whose machines lost power, on their way out.
    ending: JoinSet<(String, Result<(), ShutdownError>)>,
}

/// Everything that an engine is started with, to be carried to a thread that may block.
struct Start {
    life: Arc<Life>,
    disk: PoweredDisk,
    witness: Witness,
    hub: InProcess,
    table: RoutingTable,
    bug: Option<Bug>,
    handle: Handle,
}

impl Cluster {
    /// Three machines with empty disks, switched off. Whether some groups' states are saved.
    pub(crate) fn new(dice: Dice, bug: Option<Bug>, saves: bool) -> Self {
        let table = RoutingTable::uniform(GROUPS, GROUPS, &NODES, NODES.len()).unwrap();
        let machine = |id| Machine {
            id,
            lives: 0,
            platter: SimDisk::new(),
            has_store: false,
            saved: Saved::new(saves),
        };
        Self {
            ledger: Arc::new(Ledger::new(table.groups())),
            table,
            seats: Arc::default(),
            hub: InProcess::new(&Handle::current()),
            machines: NODES.map(machine).into(),
            bug,
            dice,
            ending: JoinSet::new(),
        }
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        self.table.groups()
    }

    /// A vshard of the group.
    pub(crate) fn vshard_of(&self, group: GroupId) -> VShardId {
        VShardId(self.table.vshards_of(group).start)
    }

    /// The engine that runs on a machine, whether the power has just gone or not.
    pub(crate) fn seat(&self, node: NodeId) -> Option<Arc<Seat>> {
        self.seats.lock().get(&node).cloned()
    }

    /// How many groups of a machine come back with a state that was saved.
    pub(crate) fn saved_of(&mut self, node: NodeId) -> u64 {
        self.machine(node).saved.len() as u64
    }

    /// Switches a machine on that is off, and starts its engine; whether that was done before the
    /// power went again, at the `trap`th operation of its disk if there is a trap.
    ///
    /// # Errors
    /// The engine does not start although it has power.
    pub(crate) async fn switch_on(
        &mut self,
        node: NodeId,
        trap: Option<u64>,
    ) -> Result<bool, String> {
        let (dice, seed) = (self.dice.fork(), self.dice.next());
        let machine = self.machine(node);
        machine.lives += 1;
        machine.platter = match machine.has_store {
            true => machine.platter.restart(seed),
            false => SimDisk::new(),
        };
        let life = Life::begin(node, machine.lives, machine.platter.clone());
        let saved = machine.saved.clone();
        let witness = Witness::new(&life, &self.ledger, &saved);
        let start = Start {
            disk: PoweredDisk::new(&life, dice, self.bug == Some(Bug::LyingDisks)),
            witness: witness.clone(),
            life: life.clone(),
            hub: self.hub.clone(),
            table: self.table.clone(),
            bug: self.bug,
            handle: Handle::current(),
        };
        self.ledger.note(&format!("{life} begins; the power goes at operation {trap:?}"));
        if let Some(operations) = trap {
            life.platter().cut_power_in(operations);
        }
        let (has_store, started) = spawn_blocking(move || start.run()).await.unwrap();
        self.machine(node).has_store |= has_store;
        match started {
            Ok(engine) => {
                self.seats.lock().insert(node, Arc::new(Seat { engine, life, witness }));
                Ok(true)
            }
            Err(error) if !life.is_on() => {
                self.ledger.note(&format!("{life} did not get far: {error}"));
                Ok(false)
            }
            Err(error) => Err(format!("{life} does not start: {error}")),
        }
    }

    /// Throws the engine of a machine without power away. Its threads are waited for, which they do
    /// not know: [`Cluster::check`] tells if they do not end.
    pub(crate) fn throw_away(&mut self, node: NodeId) {
        let Some(seat) = self.seats.lock().remove(&node) else { return };
        assert!(!seat.life.is_on(), "{} has power", seat.life);
        self.ledger.note(&format!("{} is over", seat.life));
        let (engine, name) = (seat.engine.clone(), seat.life.to_string());
        self.ending.spawn(async move { (name, engine.shutdown().await) });
    }

    /// Whether everything is as it should be: no promise is broken, no engine failed while it had
    /// power, and those that were thrown away ended by themselves.
    ///
    /// # Errors
    /// What is not.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        if let Some(what) = self.ledger.violation() {
            return Err(what);
        }
        for seat in self.seats.lock().values() {
            let status = seat.engine.status();
            // A disk tells its machine of the end of the power before it tells the store.
            if status.state == EngineState::Failed && seat.life.is_on() {
                return Err(format!(
                    "{} failed with the power on: {:?}",
                    seat.life, status.failure
                ));
            }
        }
        while let Some(ended) = self.ending.try_join_next() {
            check_end(ended.unwrap())?;
        }
        Ok(())
    }

    /// Notes how every engine and its groups are, for whoever looks into a standstill.
    pub(crate) async fn note_all(&self) {
        for seat in NODES.iter().filter_map(|node| self.seat(*node)) {
            self.ledger.note(&format!("{}: {:?}", seat.life, seat.engine.status()));
            match timeout(Duration::from_secs(1), seat.engine.group_statuses()).await {
                Ok(groups) => {
                    groups.iter().for_each(|group| self.ledger.note(&format!("{group:?}")))
                }
                Err(_) => self.ledger.note(&"its workers do not answer"),
            }
        }
    }

    /// Cuts the power of all machines for good, and waits until their engines have ended.
    ///
    /// # Errors
    /// One did not end as it should.
    pub(crate) async fn end(&mut self) -> Result<(), String> {
        for node in NODES {
            if let Some(seat) = self.seat(node) {
                seat.life.cut();
            }
            self.throw_away(node);
        }
        while let Some(ended) = self.ending.join_next().await {
            check_end(ended.unwrap())?;
        }
        Ok(())
    }

    fn machine(&mut self, node: NodeId) -> &mut Machine {
        self.machines.iter_mut().find(|machine| machine.id == node).expect("a machine")
    }
}

impl Drop for Cluster {
    /// A storm that is given up leaves no engine running.
    fn drop(&mut self) {
        self.seats.lock().values().for_each(|seat| seat.life.cut());
    }
}

impl Start {
    /// Opens the store and starts the engine; also whether there is a store now.
    fn run(self) -> (bool, Result<Engine, String>) {
        let node = self.life.node;
        let cluster = ClusterId::new("storm").unwrap();
        let identity = Identity { cluster: cluster.clone(), node };
        let opened = Store::open_backend(self.disk, &identity, StoreOptions::default());
        let (store, restored) = match opened {
            Ok(opened) => opened,
            Err(error) => return (false, Err(error.to_string())),
        };
        let (life, hub) = (self.life, self.hub);
        let builder = Engine::builder()
            .cluster(cluster)
            .node(node)
            .store(store, restored)
            .routing(self.table)
            .tick(TICK)
            .timing(Timing::new(TIMING).unwrap())
            .limits(limits())
            .workers(1)
            .apply_workers(1)
            .shutdown_within(Duration::ZERO, Duration::from_secs(20))
            .link(move |request| {
                let link = hub.join(request.hello, request.peers, request.limits, request.events);
                Ok(Arc::new(PoweredLink::new(&life, Arc::new(link?))))
            })
            .state_machine(self.witness);
        let builder = match self.bug {
            Some(Bug::Engine(bug)) => builder.plant(bug),
            Some(Bug::LyingDisks) | None => builder,
        };
        (true, builder.start(&self.handle).map_err(|error| error.to_string()))
    }
}

fn limits() -> EngineLimits {
    let mut raw = RawEngineLimits::default();
    raw.group.log_cache_bytes_max = LOG_CACHE_BYTES;
    EngineLimits::new(raw).unwrap()
}

/// An engine without power ends, by itself or because its disk is gone, and in no other way.
fn check_end((name, ended): (String, Result<(), ShutdownError>)) -> Result<(), String> {
    match ended {
        Ok(()) | Err(ShutdownError::Failed(Failure::Store { .. })) => Ok(()),
        Err(error) => Err(format!("{name} ended badly: {error}")),
    }
}
