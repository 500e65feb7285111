//! Three nodes on one thread. They take turns in steps: what a turn brings is in the inboxes of the
//! next step, written, applied, or encoded, sent and decoded.

use bytes::Bytes;
use codec::{FrameLimits, decode_frame};
use multiraft::{
    ApplyBatch, GroupSpec, Input, LoopLimits, MultiRaft, NodeLoop, NodeSettings, Proposal, Turn,
};
use raft_core::{RunBody, Timing};
use routing::RoutingTable;
use types::{GroupId, NodeId, StoreId, Tick, VShardId};

use super::Case;
use crate::figure::Wrong;
use crate::workload::{Applied, payload};

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// After so many steps a round never ends.
const STEPS_MAX: usize = 1_000;

/// The handle of whoever waits: nobody, but it has to come back.
#[derive(Clone, Copy, Debug)]
struct Handle;

struct Node {
    id: NodeId,
    /// The groups that it leads.
    led: Vec<GroupId>,
    turns: NodeLoop<Handle>,
    inbox: Vec<Input<Handle>>,
    /// Group n is at n - 1.
    machines: Vec<Applied>,
    /// Handles that came back with a result.
    answered: u64,
}

/// All nodes, and what is on its way between them.
pub(super) struct Cluster {
    nodes: Vec<Node>,
    now: Tick,
    batch: u64,
    /// How many entries were proposed to each group.
    proposed: u64,
}

impl Node {
    fn new(id: NodeId, table: &RoutingTable) -> Self {
        let multi = MultiRaft::new(id, store_of(id), table.clone(), NodeSettings::default());
        let meet = |node| Input::PeerStore { node, store: store_of(node) };
        let found = |group| {
            let founders = table.replicas_of(group).to_vec();
            Input::AddGroup(GroupSpec::founded_by(group, founders))
        };
        let inbox = NODES.map(meet).into_iter().chain(table.groups().map(found)).collect();
        Self {
            id,
            led: table.groups().filter(|group| table.preferred(*group) == Some(id)).collect(),
            turns: NodeLoop::new(multi, LoopLimits::default()),
            inbox,
            machines: vec![Applied::default(); table.group_count()],
            answered: 0,
        }
    }

    /// Applies a batch, and reports it for the next turn.
    fn apply(&mut self, batch: ApplyBatch<Handle>) {
        let machine = &mut self.machines[position(batch.group)];
        for run in &batch.runs {
            match &run.body {
                RunBody::Commands(commands) => {
                    commands.iter().for_each(|command| machine.take(command.payload));
                }
                RunBody::TermStart | RunBody::Configuration(_) => {}
            }
        }
        self.answered += batch.waiting.len() as u64;
        if let Some(run) = batch.runs.last() {
            self.inbox.push(Input::Applied { group: batch.group, index: run.last() });
        }
    }
}

impl Cluster {
    /// Founds all groups, and waits until each has its leader.
    pub(super) fn start(case: Case) -> Result<Self, Wrong> {
        let table = RoutingTable::uniform(case.groups, case.groups, &NODES, NODES.len());
        let table = table.map_err(|error| Wrong(error.to_string()))?;
        let nodes = NODES.map(|id| Node::new(id, &table)).into();
        let mut cluster = Self { nodes, now: Tick(0), batch: case.batch.into(), proposed: 0 };
        cluster.settle()?;
        cluster.beat()?;
        for node in &cluster.nodes {
            let multi = node.turns.multi();
            let leads = |group: &&GroupId| multi.group_role_is_leader(**group);
            let led = node.led.iter().filter(leads).count();
            if led != node.led.len() {
                let wanted = node.led.len();
                return Err(Wrong(format!("node {} leads {led} groups, not {wanted}", node.id)));
            }
        }
        Ok(cluster)
    }

    /// What is measured: `rounds` times a batch for every group, delivered everywhere.
    pub(super) fn run(&mut self, rounds: u32) -> Result<(), Wrong> {
        for _ in 0..rounds {
            self.propose();
            self.settle()?;
        }
        self.beat()
    }

    /// Puts a round's proposals into the inboxes.
    pub(super) fn propose(&mut self) {
        for node in &mut self.nodes {
            let batch = self.batch;
            let proposals = node.led.iter().flat_map(|group| {
                (self.proposed..self.proposed + batch).map(|number| Proposal {
                    vshard: VShardId(u32::try_from(group.0 - 1).expect("groups are few")),
                    data: Bytes::copy_from_slice(&payload(group.0, number)),
                    reply: Handle,
                })
            });
            node.inbox.push(Input::ProposeMany(proposals.collect()));
        }
        self.proposed += self.batch;
    }

    /// Lets one heartbeat interval pass.
    pub(super) fn beat(&mut self) -> Result<(), Wrong> {
        for _ in 0..Timing::default().heartbeat_ticks() {
            self.now = self.now.after(1);
            let now = self.now;
            self.nodes.iter_mut().for_each(|node| node.inbox.push(Input::Tick(now)));
            self.settle()?;
        }
        Ok(())
    }

    /// Steps until all inboxes are empty.
    pub(super) fn settle(&mut self) -> Result<(), Wrong> {
        for _ in 0..STEPS_MAX {
            if self.nodes.iter().all(|node| node.inbox.is_empty()) {
                return Ok(());
            }
            for place in 0..self.nodes.len() {
                let mut inputs = std::mem::take(&mut self.nodes[place].inbox).into_iter();
                while inputs.len() > 0 {
                    let turn = self.nodes[place].turns.turn(&mut inputs);
                    self.carry_out(place, turn)?;
                }
            }
        }
        Err(Wrong(format!("a round takes more than {STEPS_MAX} steps")))
    }

    fn carry_out(&mut self, place: usize, turn: Turn<Handle>) -> Result<(), Wrong> {
        let node = &mut self.nodes[place];
        if !turn.answers.is_empty() || !turn.fetches.is_empty() {
            let (answers, fetches) = (turn.answers.len(), turn.fetches.len());
            return Err(Wrong(format!("{answers} refusals and {fetches} fetches")));
        }
        turn.apply.into_iter().for_each(|batch| node.apply(batch));
        if let Some((ticket, _)) = turn.write {
            node.inbox.push(Input::Persisted(ticket));
        }
        let from = node.id;
        for (to, notice) in turn.stores {
            self.node(to)?.inbox.push(Input::PeerStores { from, notice });
        }
        for frame in turn.frames {
            let messages = decode_frame(&frame.bytes, &FrameLimits::default());
            let messages = messages.map_err(|error| Wrong(error.to_string()))?;
            self.node(frame.to)?.inbox.push(Input::Messages { from, messages });
        }
        Ok(())
    }

    fn node(&mut self, id: NodeId) -> Result<&mut Node, Wrong> {
        let found = self.nodes.iter_mut().find(|node| node.id == id);
        found.ok_or_else(|| Wrong(format!("something for node {id}")))
    }

    /// Whether every node has delivered exactly what was proposed, and every handle came back.
    pub(super) fn verify(&self) -> Result<(), Wrong> {
        let groups: u64 = self.nodes.iter().map(|node| node.led.len() as u64).sum();
        let answered: u64 = self.nodes.iter().map(|node| node.answered).sum();
        let proposed = self.proposed * groups;
        if answered != proposed {
            return Err(Wrong(format!("{answered} handles of {proposed} came back")));
        }
        for node in &self.nodes {
            for (group, found) in (1..).zip(&node.machines) {
                let expected = Applied::expected(group, self.proposed);
                if *found != expected {
                    let id = node.id;
                    return Err(Wrong(format!(
                        "group {group} on node {id} is {found:?}, expected {expected:?}"
                    )));
                }
            }
        }
        Ok(())
    }
}

fn position(group: GroupId) -> usize {
    usize::try_from(group.0 - 1).expect("groups are counted from 1, and few")
}

fn store_of(node: NodeId) -> StoreId {
    StoreId(node.0.into())
}
