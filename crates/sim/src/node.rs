//! One node: the turn that the engine drives too, its disk, its clock, and its state machines.

use std::collections::VecDeque;

use codec::FrameLimits;
use multiraft::{ApplyBatch, GroupSpec, Input, LoopLimits, MultiRaft, NodeLoop, NodeSettings};
use raft_core::{Limits, RawTiming, Timing};
use routing::RoutingTable;
use types::{GroupId, LogIndex, NodeId, StoreId, Tick};

use crate::disk::{Disk, Image, Refused};
use crate::machine::Machine;
use crate::plan::Plan;
use crate::queue::{Boot, Event};
use crate::room::RoomWatch;

/// One tick of a clock that is right.
pub(crate) const TICK_US: u64 = 50_000;

/// A node's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Real microseconds per tick.
    pub(crate) tick_us: u64,
    /// What it shows.
    pub(crate) ticks: u64,
    /// What the node was told last.
    pub(crate) told: u64,
    /// Whether its ticks are withheld.
    pub(crate) is_starved: bool,
    /// When the node was started.
    pub(crate) started_at: u64,
}

/// A group's state on a node.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) machine: Machine,
    /// What a restart brings back; none if nothing does.
    pub(crate) saved: Option<Machine>,
    /// Batches handed to the machine, oldest first.
    pub(crate) applying: VecDeque<ApplyBatch<u64>>,
    pub(crate) busy_until: u64,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) number: u64,
    pub(crate) store: u128,
    pub(crate) boot: Boot,
    pub(crate) running: Option<NodeLoop<u64>>,
    pub(crate) disk: Disk,
    /// What the store before this one held in the end: what it acknowledged was true then.
    pub(crate) lost: Image,
    /// The stores of other nodes, by number, as far as they were met; survives restarts.
    pub(crate) met: Vec<Option<u128>>,
    /// By group; of those that it hosts.
    pub(crate) shards: Vec<Shard>,
    pub(crate) clock: Clock,
    pub(crate) stopped_until: u64,
    /// What came while it stood still.
    pub(crate) put_off: Vec<Event>,
    /// How long each turn takes.
    pub(crate) turn_us: u64,
    /// What it knows of room, its own disk's and the others'.
    pub(crate) rooms: RoomWatch,
    /// Whether its replicas are not counted on any more: its store is another one, or damaged.
    pub(crate) is_out: bool,
    /// Whether its disk was damaged at rest.
    pub(crate) is_damaged: bool,
    /// Whether it was told of damage when it read.
    pub(crate) has_met_damage: bool,
    /// Whether it refuses to run.
    pub(crate) is_halted: bool,
    /// Whether its clock has jumped since it was told the time last.
    pub(crate) jumped: bool,
    /// Until when promises bind that its replicas may have made before it was started.
    pub(crate) bound_until: u64,
    pub(crate) limits: NodeSettings,
}

impl Node {
    pub(crate) fn new(number: u64, tick_us: u64, plan: &Plan) -> Self {
        let nodes = usize::try_from(plan.nodes).expect("at most 7 nodes");
        let shard = |_| Shard {
            machine: Machine::new(plan.keys),
            saved: None,
            applying: VecDeque::new(),
            busy_until: 0,
        };
        Self {
            number,
            store: 1_000 + u128::from(number),
            boot: 0,
            running: None,
            disk: Disk::new(number, 0, plan),
            lost: Image::default(),
            met: vec![None; nodes + 1],
            shards: (0..=plan.groups).map(shard).collect(),
            clock: Clock { tick_us, ticks: 0, told: 0, is_starved: false, started_at: 0 },
            stopped_until: 0,
            put_off: Vec::new(),
            turn_us: 0,
            rooms: RoomWatch::new(plan.nodes),
            is_out: false,
            is_damaged: false,
            has_met_damage: false,
            is_halted: false,
            jumped: false,
            bound_until: 0,
            limits: settings(number, plan),
        }
    }

    pub(crate) fn shard(&mut self, group: GroupId) -> &mut Shard {
        &mut self.shards[usize::try_from(group.0).expect("at most 64 groups")]
    }

    pub(crate) fn machine(&self, group: GroupId) -> &Machine {
        &self.shards[usize::try_from(group.0).expect("at most 64 groups")].machine
    }

    /// What its store of that identity holds, or held when it was lost.
    pub(crate) const fn image_of(&self, store: u128) -> &Image {
        if store == self.store { &self.disk.image } else { &self.lost }
    }

    /// Whether it knows the node `number` by this very store.
    pub(crate) fn knows(&self, number: u64, store: u128) -> bool {
        self.known(number) == Some(store)
    }

    pub(crate) fn known(&self, number: u64) -> Option<u128> {
        self.met.get(usize::try_from(number).unwrap_or(usize::MAX)).copied().flatten()
    }

    /// Remembers the store of a node that was met.
    pub(crate) fn meet(&mut self, number: u64, store: u128) {
        let place = usize::try_from(number).expect("at most 7 nodes");
        self.met[place] = Some(store);
    }

    /// Starts the node from its disk; what comes back is what its first turn has to take. Groups that
    /// it does not hold yet are founded as soon as their members have agreed.
    ///
    /// # Errors
    /// Its store does not open, does not hold what it must, or has no room.
    pub(crate) fn start(
        &mut self,
        now: u64,
        plan: &Plan,
        routing: &RoutingTable,
    ) -> Result<Vec<Input<u64>>, Refused> {
        let restored = self.disk.open()?;
        self.boot += 1;
        self.rooms = RoomWatch::new(plan.nodes);
        self.clock = Clock { ticks: 0, told: 0, is_starved: false, started_at: now, ..self.clock };
        let mut settings = self.limits;
        settings.seed = plan.seed.wrapping_add(self.boot);
        if !restored.is_empty() {
            settings.no_vote_before = Tick(settings.timing.promise_ticks());
        }
        self.bound_until = settings.no_vote_before.0;
        let (id, store) = (NodeId(self.number), StoreId(self.store));
        let multi = MultiRaft::new(id, store, routing.clone(), settings);
        let mut limits = LoopLimits::default();
        if plan.tiny_limits.contains(self.number) {
            limits.turn_inputs_max = 3;
        }
        let node = NodeLoop::new(multi, limits);
        let mut inputs = Vec::new();
        for peer in 1..=plan.nodes {
            if let Some(store) = self.known(peer) {
                inputs.push(Input::PeerStore { node: NodeId(peer), store: StoreId(store) });
            }
        }
        for group in routing.groups() {
            let is_new = self.disk.image.group(group).is_none();
            let founders = routing.replicas_of(group).to_vec();
            let learners = plan.learners_of(routing, group);
            if is_new && (founders.contains(&id) || learners.contains(&id)) {
                let spec = GroupSpec::founded_by(group, founders);
                inputs.push(Input::AddGroup(GroupSpec { learners, ..spec }));
            }
        }
        for restored in restored {
            let applied = self.restore_machine(restored.group, plan);
            inputs.push(Input::Restore { restored, applied });
        }
        self.running = Some(node);
        Ok(inputs)
    }

    fn restore_machine(&mut self, group: GroupId, plan: &Plan) -> LogIndex {
        let shard = self.shard(group);
        shard.machine = shard.saved.clone().unwrap_or_else(|| Machine::new(plan.keys));
        shard.machine.applied
    }

    /// The process ends: what is not on the disk is gone.
    pub(crate) fn die(&mut self) {
        self.running = None;
        self.has_met_damage = false;
        self.put_off.clear();
        self.stopped_until = 0;
        self.turn_us = 0;
        for shard in &mut self.shards {
            shard.applying.clear();
            shard.busy_until = 0;
        }
    }
}

/// What a node is told about how to behave, but for its seed and its last promise.
fn settings(number: u64, plan: &Plan) -> NodeSettings {
    let mut settings = NodeSettings { plain: plan.plain.contains(number), ..Default::default() };
    let raw = RawTiming {
        election_ticks_min: plan.election_ticks,
        election_ticks_max: 2 * plan.election_ticks,
        ..RawTiming::default()
    };
    settings.timing = Timing::new(raw).expect("a plan's waits fit together");
    if plan.tiny_limits.contains(number) {
        settings.limits = Limits {
            entry_bytes_max: 256,
            append_bytes_max: 256,
            inflight_appends_max: 3,
            inflight_bytes_max: 600,
            log_cache_bytes_max: 300,
            apply_bytes_max: 300,
            uncommitted_bytes_max: 2_000,
        };
        settings.uncommitted_bytes_max = 8_000;
        settings.frame = FrameLimits { frame_bytes_max: 2_000, ..FrameLimits::default() };
    }
    settings
}
