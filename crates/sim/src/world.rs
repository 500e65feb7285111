//! Virtual time and what happens in it.
//!
//! Invariants: time never falls; events of one moment happen in the order in which they were
//! planned; an event of an earlier start of a node is void; a write is reported durable only after
//! all earlier ones of that node.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;

use bytes::Bytes;
use codec::{FrameLimits, decode_frame};
use multiraft::{Answer, Input, Proposal, Turn};
use routing::RoutingTable;
use types::{Epoch, GroupId, LogIndex, NodeId, Tick};

use crate::check::elections::Elections;
use crate::check::logs::Logs;
use crate::check::{promises, reads};
use crate::client::{Clients, Kind, OperationId};
use crate::history;
use crate::network::Network;
use crate::node::{Boot, Node};
use crate::plan::Plan;
use crate::random::{Random, mix};

const TICK_US: u64 = 50_000;
/// How long a healed cluster gets to make progress: elections, retries and catching up.
const HEALED_US: u64 = 30_000_000;
/// How many events a violation shows.
const TAIL_EVENTS: usize = 40;
const VSHARDS: u32 = 1_024;
/// How many turns may follow from each other without time passing: a fetch is answered at once, and
/// an answer that the node has no use for must not make it ask for the same again for ever.
const DEPTH_MAX: u32 = 100;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    Tick { node: u64, boot: u64 },
    Deliver { to: u64, from: u64, frame: Bytes },
    Written { node: u64, boot: u64 },
    Applied { node: u64, boot: u64 },
    Start { node: u64 },
    Client,
    Fault,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Deliver { to, from, frame } = self else { return write!(f, "{self:?}") };
        write!(f, "Deliver {from} -> {to}")?;
        let messages = decode_frame(frame, &FrameLimits::default()).unwrap_or_default();
        messages.iter().try_for_each(|envelope| {
            let (group, message) = (envelope.group, &envelope.message);
            write!(f, " [group {group} term {}: {:?}]", message.term, message.body)
        })
    }
}

/// What a run did, for coverage and for telling runs apart.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Outcome {
    /// Folds every event; equal for equal commit, seed and options.
    pub trace: u64,
    /// Virtual time, in microseconds.
    pub simulated_us: u64,
    /// Leaders elected, one per group and term.
    pub terms: u64,
    /// Entries delivered to state machines, each index once.
    pub committed: u64,
    /// Writes acknowledged.
    pub writes: u64,
    /// Reads served.
    pub reads: u64,
    /// Writes whose outcome the client was told to be unknown.
    pub uncertain: u64,
    /// Operations refused.
    pub refused: u64,
    /// Frames lost.
    pub lost: u64,
    /// Frames delivered twice.
    pub repeated: u64,
    /// Starts of nodes after a power cut.
    pub restarts: u64,
    /// Power cuts that found writes under way and kept some of them but not all.
    pub torn: u64,
    /// Nodes that stood still.
    pub pauses: u64,
    /// Partitions.
    pub partitions: u64,
}

/// A property that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What was drawn for the run.
    pub plan: Plan,
    /// When it was noticed, in virtual microseconds.
    pub at_us: u64,
    /// What is wrong.
    pub what: String,
    /// The last events before.
    pub tail: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} at {} us: {}", self.plan.seed, self.at_us, self.what)?;
        writeln!(f, "{:?}", self.plan)?;
        self.tail.iter().try_for_each(|event| writeln!(f, "  {event}"))
    }
}

struct World {
    plan: Plan,
    random: Random,
    now: u64,
    planned: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    routing: RoutingTable,
    nodes: BTreeMap<u64, Node>,
    network: Network,
    clients: Clients,
    elections: Elections,
    logs: Logs,
    outcome: Outcome,
    /// How many turns are being carried out within each other.
    depth: u32,
    tail: VecDeque<(u64, Event)>,
}

/// Runs one seed to its end: faults for `plan.events_max` events, then everything heals and must make
/// progress.
///
/// # Errors
/// A property did not hold; the violation says which, and what led to it.
pub fn run(plan: Plan) -> Result<Outcome, Violation> {
    let mut world = World::new(plan);
    match world.live() {
        Ok(()) => Ok(world.outcome()),
        Err(what) => {
            let tail = world.tail.iter().map(|(at, event)| format!("{at:>10} us {event}"));
            Err(Violation { plan, at_us: world.now, what, tail: tail.collect() })
        }
    }
}

impl World {
    fn new(plan: Plan) -> Self {
        // Another stream than the one the plan was drawn from.
        let mut random = Random::new(mix(plan.seed ^ 0x5eed));
        let ids: Vec<NodeId> = (1..=plan.nodes).map(NodeId).collect();
        let routing = RoutingTable::uniform(VSHARDS, plan.groups, &ids, plan.replication_factor)
            .expect("a plan is a legal table");
        assert_eq!(routing.epoch(), Epoch(1));
        let mut nodes = BTreeMap::new();
        for id in ids {
            let skew = if plan.skewed { random.within(80, 120) } else { 100 };
            nodes.insert(id.0, Node::new(id, TICK_US * skew / 100));
        }
        Self {
            plan,
            random,
            now: 0,
            planned: 0,
            events: BinaryHeap::new(),
            routing,
            nodes,
            network: Network::default(),
            clients: Clients::default(),
            elections: Elections::default(),
            logs: Logs::default(),
            outcome: Outcome::default(),
            depth: 0,
            tail: VecDeque::new(),
        }
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            simulated_us: self.now,
            terms: self.elections.terms(),
            committed: self.logs.total(),
            writes: self.clients.writes_done,
            reads: self.clients.reads_done,
            uncertain: self.clients.uncertain,
            refused: self.clients.refused,
            lost: self.network.lost,
            repeated: self.network.repeated,
            ..self.outcome
        }
    }

    fn live(&mut self) -> Result<(), String> {
        for node in 1..=self.plan.nodes {
            let after = self.random.below(200_000);
            self.plan_event(after, Event::Start { node });
        }
        self.plan_event(1_000, Event::Client);
        self.plan_event(1_000_000, Event::Fault);
        for _ in 0..self.plan.events_max {
            self.next_event()?;
        }
        self.heal();
        let end = self.now + HEALED_US;
        while self.now < end {
            self.next_event()?;
        }
        self.check_progress()
    }

    fn plan_event(&mut self, after: u64, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((self.now + after, self.planned, event)));
    }

    fn next_event(&mut self) -> Result<(), String> {
        let Reverse((at, order, event)) = self.events.pop().ok_or("nothing is planned any more")?;
        self.now = self.now.max(at);
        if self.tail.len() == TAIL_EVENTS {
            self.tail.pop_front();
        }
        self.tail.push_back((at, event.clone()));
        self.outcome.trace = mix(self.outcome.trace ^ at ^ order.rotate_left(32));
        match event {
            Event::Tick { node, boot } => self.tick(node, Boot(boot)),
            Event::Deliver { to, from, frame } => self.deliver(to, from, frame),
            Event::Written { node, boot } => self.written(node, Boot(boot)),
            Event::Applied { node, boot } => self.applied(node, Boot(boot)),
            Event::Start { node } => self.start(node),
            Event::Client => self.client(),
            Event::Fault => {
                self.fault();
                Ok(())
            }
        }
    }

    fn node(&mut self, node: u64) -> &mut Node {
        self.nodes.get_mut(&node).expect("a node of the plan")
    }

    /// Whether an event for that start of the node still counts; one for a node that stands still is
    /// put off until it goes on.
    fn is_due(&mut self, node: u64, boot: Boot, event: Event) -> bool {
        let now = self.now;
        let host = self.node(node);
        if host.boot != boot || host.running.is_none() {
            return false;
        }
        if host.paused_until > now {
            let after = host.paused_until - now;
            self.plan_event(after, event);
            return false;
        }
        true
    }

    fn start(&mut self, node: u64) -> Result<(), String> {
        let (plan, routing) = (self.plan, self.routing.clone());
        let host = self.node(node);
        if host.running.is_some() {
            return Ok(());
        }
        let turn = host.start(&plan, &routing);
        let (boot, tick_us) = (host.boot, host.tick_us);
        if boot.0 > 1 {
            self.outcome.restarts += 1;
        }
        let phase = self.random.below(tick_us);
        self.plan_event(phase, Event::Tick { node, boot: boot.0 });
        if let Some((group, Err(error))) = turn.added.iter().find(|(_, result)| result.is_err()) {
            return Err(format!("node {node} cannot mount group {group}: {error}"));
        }
        self.carry_out(node, turn)
    }

    fn turn(&mut self, node: u64, inputs: Vec<Input<OperationId>>) -> Result<(), String> {
        let host = self.node(node);
        let Some(running) = &mut host.running else { return Ok(()) };
        let turn = running.turn(inputs);
        if self.depth == DEPTH_MAX {
            return Err(format!(
                "node {node} goes on asking within one moment: {:?}",
                turn.fetches
            ));
        }
        self.depth += 1;
        let result = self.carry_out(node, turn);
        self.depth -= 1;
        result
    }

    fn tick(&mut self, node: u64, boot: Boot) -> Result<(), String> {
        let event = Event::Tick { node, boot: boot.0 };
        if !self.is_due(node, boot, event.clone()) {
            return Ok(());
        }
        let host = self.node(node);
        host.ticks += 1;
        let (now, tick_us) = (Tick(host.ticks), host.tick_us);
        self.plan_event(tick_us, event);
        self.turn(node, vec![Input::Tick(now)])
    }

    fn deliver(&mut self, to: u64, from: u64, frame: Bytes) -> Result<(), String> {
        let boot = self.node(to).boot;
        let event = Event::Deliver { to, from, frame: frame.clone() };
        if self.network.is_cut(NodeId(from), NodeId(to)) || !self.is_due(to, boot, event) {
            return Ok(());
        }
        let messages = decode_frame(&frame, &FrameLimits::default())
            .map_err(|error| format!("a frame of node {from} does not decode: {error}"))?;
        self.turn(to, vec![Input::Messages { from: NodeId(from), messages }])
    }

    fn written(&mut self, node: u64, boot: Boot) -> Result<(), String> {
        if !self.is_due(node, boot, Event::Written { node, boot: boot.0 }) {
            return Ok(());
        }
        let host = self.node(node);
        let Some((ticket, batch)) = host.writes.pop_front() else { return Ok(()) };
        host.disk.write(&batch);
        self.turn(node, vec![Input::Persisted(ticket)])
    }

    fn applied(&mut self, node: u64, boot: Boot) -> Result<(), String> {
        if !self.is_due(node, boot, Event::Applied { node, boot: boot.0 }) {
            return Ok(());
        }
        let Some(batch) = self.node(node).applying.pop_front() else { return Ok(()) };
        let group = batch.group;
        for run in &batch.runs {
            self.logs.deliver(group, run)?;
            self.node(node).apply(group, run)?;
        }
        for (index, id) in batch.waiting {
            let operation = self.clients.end(id)?;
            if operation.group != group {
                return Err(format!("{id:?} was for group {}, not {group}", operation.group));
            }
            self.clients.writes_done += 1;
            self.clients.acknowledge(group, index);
            self.clients.tell(&operation, history::Outcome::Done);
        }
        let index = self.node(node).applied[&group];
        self.turn(node, vec![Input::Applied { group, index }])
    }

    fn carry_out(&mut self, node: u64, turn: Turn<OperationId>) -> Result<(), String> {
        for (group, change) in &turn.roles {
            if change.role == raft_core::Role::Leader {
                self.elections.lead(*group, change.term, NodeId(node))?;
            }
        }
        for frame in turn.frames {
            self.send(node, frame.to, frame.bytes)?;
        }
        if let Some(write) = turn.write {
            self.write(node, write);
        }
        for batch in turn.apply {
            let host = self.node(node);
            host.applying.push_back(batch);
            let boot = host.boot.0;
            let after = self.random.within(20, 2_000);
            self.plan_event(after, Event::Applied { node, boot });
        }
        for (id, answer) in turn.answers {
            self.answered(node, id, answer)?;
        }
        self.fetch(node, &turn.fetches)
    }

    fn send(&mut self, from: u64, to: NodeId, frame: Bytes) -> Result<(), String> {
        let messages = decode_frame(&frame, &FrameLimits::default())
            .map_err(|error| format!("node {from} encodes what does not decode: {error}"))?;
        let disk = &self.nodes[&from].disk;
        messages.iter().try_for_each(|envelope| promises::check(envelope, disk))?;
        let copies = self.network.send(NodeId(from), to, &self.plan, &mut self.random);
        // Now and then the sender is told that its frame went nowhere.
        if copies.is_empty() && self.random.one_in(2) {
            return self.turn(from, vec![Input::Dropped { to, messages }]);
        }
        for after in copies {
            self.plan_event(after, Event::Deliver { to: to.0, from, frame: frame.clone() });
        }
        Ok(())
    }

    fn write(&mut self, node: u64, write: (multiraft::BatchTicket, codec::WriteBatch)) {
        let stalls = self.plan.slow_disks && !self.network.is_calm && self.random.one_in(50);
        let longest = if stalls { 500_000 } else { 3_000 };
        let latency = self.random.within(100, longest);
        let now = self.now;
        let host = self.node(node);
        host.writes.push_back(write);
        host.disk_busy_until = host.disk_busy_until.max(now) + latency;
        let (boot, after) = (host.boot.0, host.disk_busy_until - now);
        self.plan_event(after, Event::Written { node, boot });
    }

    fn fetch(&mut self, node: u64, fetches: &[(GroupId, raft_core::Fetch)]) -> Result<(), String> {
        for (group, fetch) in fetches {
            let host = self.node(node);
            let runs = host.disk.read(*group, fetch.first, fetch.last, fetch.bytes_max);
            if runs.is_empty() {
                return Err(format!("node {node} wants {fetch:?} of group {group}: not on disk"));
            }
            let (group, purpose) = (*group, fetch.purpose);
            self.turn(node, vec![Input::Fetched { group, purpose, result: Ok(runs) }])?;
        }
        Ok(())
    }

    fn answered(&mut self, node: u64, id: OperationId, answer: Answer) -> Result<(), String> {
        let operation = self.clients.end(id)?;
        match (answer, operation.kind) {
            (Answer::ReadAt { group, index }, Kind::Read { floor }) => {
                let applied = self.node(node).applied.get(&group).copied().unwrap_or_default();
                reads::check(group, floor, index, applied)?;
                let found = self.node(node).values.get(&group).copied();
                self.clients.tell(&operation, history::Outcome::Found(found));
                self.clients.reads_done += 1;
            }
            (Answer::Uncertain, Kind::Write) => self.clients.uncertain += 1,
            (
                Answer::NotLeader { .. }
                | Answer::NoLeader
                | Answer::Overloaded { .. }
                | Answer::UnknownGroup { .. },
                Kind::Write | Kind::Read { .. },
            ) => self.clients.refuse(&operation),
            (answer, kind) => return Err(format!("{kind:?} is answered by {answer:?}")),
        }
        Ok(())
    }

    fn client(&mut self) -> Result<(), String> {
        let every = self.random.within(2_000, 60_000);
        self.plan_event(every, Event::Client);
        let group = GroupId(self.random.within(1, u64::from(self.plan.groups)));
        self.ask(group)
    }

    /// One operation of `group`, mostly at its leader, sometimes anywhere.
    fn ask(&mut self, group: GroupId) -> Result<(), String> {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        let leads = |id: &u64| {
            let running = self.nodes[id].running.as_ref();
            running.is_some_and(|node| node.multi().group_role_is_leader(group))
        };
        let leader = ids.iter().copied().find(leads).filter(|_| !self.random.one_in(10));
        let node = leader.unwrap_or_else(|| self.random.pick(&ids));
        if self.node(node).running.is_none() {
            return Ok(());
        }
        let vshard = Clients::vshard(&self.routing.vshards_of(group), self.random.next());
        let input = if self.random.one_in(4) {
            Input::Read { vshard, reply: self.clients.begin_read(group) }
        } else {
            let id = self.clients.begin_write(group);
            let mut data = id.0.to_le_bytes().to_vec();
            data.resize(8 + usize::try_from(self.random.below(100)).expect("below 100"), 0);
            Input::Propose(Proposal { vshard, data: data.into(), reply: id })
        };
        self.turn(node, vec![input])
    }

    fn fault(&mut self) {
        if self.network.is_calm {
            return;
        }
        let every = self.random.within(100_000, 1_500_000);
        self.plan_event(every, Event::Fault);
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        let node = self.random.pick(&ids);
        match self.random.below(6) {
            0 if self.plan.partitions => {
                let nodes: Vec<NodeId> = ids.into_iter().map(NodeId).collect();
                self.network.disturb(&nodes, &mut self.random);
                self.outcome.partitions += 1;
            }
            1 | 2 => self.network.heal(),
            3 if self.plan.crashes => self.lose_power(node),
            4 if self.plan.crashes && self.random.one_in(4) => {
                ids.into_iter().for_each(|node| self.lose_power(node));
            }
            5 if self.plan.pauses => {
                let until = self.now + self.random.within(100_000, 3_000_000);
                self.node(node).paused_until = until;
                self.outcome.pauses += 1;
            }
            _ => {}
        }
    }

    fn lose_power(&mut self, node: u64) {
        let under_way = self.node(node).writes.len() as u64;
        if self.node(node).running.is_none() {
            return;
        }
        let kept = self.random.within(0, under_way);
        if kept > 0 && kept < under_way {
            self.outcome.torn += 1;
        }
        self.node(node).lose_power(usize::try_from(kept).expect("a short queue"));
        let after = self.random.within(10_000, 4_000_000);
        self.plan_event(after, Event::Start { node });
    }

    /// Everything works from here on; nodes that are down come back.
    fn heal(&mut self) {
        self.network.heal();
        self.network.is_calm = true;
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for node in ids {
            self.node(node).paused_until = 0;
            self.plan_event(1_000, Event::Start { node });
        }
    }

    /// After healing: one leader per group, every replica equal, everything acknowledged applied,
    /// and fresh operations served.
    fn check_progress(&mut self) -> Result<(), String> {
        let (writes, reads) = (self.clients.writes_done, self.clients.reads_done);
        for group in self.routing.groups().collect::<Vec<_>>() {
            for _ in 0..8 {
                self.ask(group)?;
            }
        }
        let end = self.now + 2_000_000;
        while self.now < end {
            self.next_event()?;
        }
        if self.clients.writes_done == writes || self.clients.reads_done == reads {
            return Err("no fresh write or no fresh read was served after healing".to_owned());
        }
        for group in self.routing.groups() {
            self.check_group(group)?;
        }
        self.clients.check()
    }

    fn check_group(&self, group: GroupId) -> Result<(), String> {
        let mut leaders = 0;
        let acknowledged = self.clients.acknowledged(group);
        for replica in self.routing.replicas_of(group) {
            let node = &self.nodes[&replica.0];
            let running = node.running.as_ref().ok_or("a healed node is down")?;
            leaders += u64::from(running.multi().group_role_is_leader(group));
            let applied = node.applied.get(&group).copied().unwrap_or(LogIndex::ZERO);
            // The newest entries may still be on their way to a follower.
            if applied < acknowledged && applied.plus(40) < self.logs.last(group) {
                return Err(format!(
                    "node {replica} applied {applied} of group {group}, {acknowledged} was \
                     acknowledged"
                ));
            }
        }
        if leaders != 1 {
            return Err(format!("group {group} has {leaders} leaders after healing"));
        }
        Ok(())
    }
}
