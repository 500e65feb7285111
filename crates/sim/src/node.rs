//! One node: the turn that the engine drives too, its disk, its clock, and its state machines.

use std::collections::{BTreeMap, VecDeque};

use codec::WriteBatch;
use multiraft::{
    ApplyBatch, BatchTicket, GroupSpec, Input, LoopLimits, MultiRaft, NodeLoop, NodeSettings, Turn,
};
use raft_core::{EntryRun, Limits, RunBody};
use routing::RoutingTable;
use types::{GroupId, LogIndex, NodeId, StoreId, Tick};

use crate::client::OperationId;
use crate::disk::Disk;
use crate::plan::Plan;

/// Which start of a node an event belongs to; events of an earlier one are void.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Boot(pub(crate) u64);

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) boot: Boot,
    pub(crate) running: Option<NodeLoop<OperationId>>,
    pub(crate) disk: Disk,
    /// Writes handed over and not yet reported durable, oldest first.
    pub(crate) writes: VecDeque<(BatchTicket, WriteBatch)>,
    /// When the last of them will be durable.
    pub(crate) disk_busy_until: u64,
    /// Batches handed to the state machines, oldest first.
    pub(crate) applying: VecDeque<ApplyBatch<OperationId>>,
    /// What each group's state machine has applied since this start.
    pub(crate) applied: BTreeMap<GroupId, LogIndex>,
    /// What each group's state machine holds: the number of the last write.
    pub(crate) values: BTreeMap<GroupId, u64>,
    /// Real microseconds per tick of this node's clock.
    pub(crate) tick_us: u64,
    pub(crate) ticks: u64,
    pub(crate) paused_until: u64,
}

pub(crate) fn store_of(node: NodeId) -> StoreId {
    StoreId(1_000 + u128::from(node.0))
}

impl Node {
    pub(crate) fn new(id: NodeId, tick_us: u64) -> Self {
        Self {
            id,
            boot: Boot(0),
            running: None,
            disk: Disk::default(),
            writes: VecDeque::new(),
            disk_busy_until: 0,
            applying: VecDeque::new(),
            applied: BTreeMap::new(),
            values: BTreeMap::new(),
            tick_us,
            ticks: 0,
            paused_until: 0,
        }
    }

    /// Starts the node from its disk; groups that it does not hold yet are founded.
    pub(crate) fn start(&mut self, plan: &Plan, routing: &RoutingTable) -> Turn<OperationId> {
        self.boot.0 += 1;
        self.ticks = 0;
        self.disk_busy_until = 0;
        let restored = self.disk.restore();
        let mut settings = settings(plan, self.boot);
        if !restored.is_empty() {
            settings.no_vote_before = Tick(settings.timing.promise_ticks());
        }
        let multi = MultiRaft::new(self.id, store_of(self.id), routing.clone(), settings);
        let mut node = NodeLoop::new(multi, LoopLimits::default());
        let mut inputs = Vec::new();
        for peer in routing.nodes().iter().filter(|peer| **peer != self.id) {
            inputs.push(Input::PeerStore { node: *peer, store: store_of(*peer) });
        }
        let hosted = |group: &GroupId| routing.replicas_of(*group).contains(&self.id);
        for group in routing.groups().filter(hosted) {
            if self.disk.group(group).is_none() {
                let founders = routing.replicas_of(group).to_vec();
                inputs.push(Input::AddGroup(GroupSpec::founded_by(group, founders)));
            }
        }
        let applied = LogIndex::ZERO;
        inputs.extend(restored.into_iter().map(|restored| Input::Restore { restored, applied }));
        let turn = node.turn(inputs);
        self.running = Some(node);
        turn
    }

    /// The group's state machine applies a run.
    pub(crate) fn apply(&mut self, group: GroupId, run: &EntryRun) -> Result<(), String> {
        let next = self.applied.entry(group).or_default();
        if run.first != next.next() {
            let (id, first) = (self.id, run.first);
            return Err(format!("node {id} applies {first} of group {group} after {next}"));
        }
        *next = run.last();
        if let RunBody::Commands(commands) = &run.body
            && let Some(last) = commands.iter().last()
            && let Some(number) = last.payload.first_chunk()
        {
            self.values.insert(group, u64::from_le_bytes(*number));
        }
        Ok(())
    }

    /// Power is lost: of what was not reported durable, the first `kept` writes happen to be there.
    pub(crate) fn lose_power(&mut self, kept: usize) {
        for (_, batch) in self.writes.drain(..).take(kept) {
            self.disk.write(&batch);
        }
        self.writes.clear();
        self.applying.clear();
        self.applied.clear();
        self.values.clear();
        self.running = None;
        self.paused_until = 0;
    }
}

fn settings(plan: &Plan, boot: Boot) -> NodeSettings {
    let mut settings = NodeSettings { plain: plan.plain, ..NodeSettings::default() };
    settings.seed = plan.seed.wrapping_add(boot.0);
    if plan.tiny_limits {
        settings.limits = Limits {
            entry_bytes_max: 256,
            append_bytes_max: 256,
            inflight_appends_max: 3,
            inflight_bytes_max: 600,
            log_cache_bytes_max: 300,
            apply_bytes_max: 300,
            uncommitted_bytes_max: 2_000,
        };
        settings.frame.frame_bytes_max = 2_000;
    }
    settings
}
