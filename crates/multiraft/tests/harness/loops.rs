//! Nodes driven turn by turn through `NodeLoop`, as the engine and the simulator do it.

use std::collections::{BTreeMap, VecDeque};

use codec::{FrameLimits, decode_frame};
use multiraft::{
    Answer, ApplyBatch, Input, LoopLimits, MultiRaft, NodeLoop, NodeSettings, Proposal, Turn,
};
use types::{GroupId, LogIndex, NodeId, Tick, VShardId};

use super::cluster::table;
use super::disk::{Disk, Stored, entries_of};
use super::network::Network;
use super::node::{nodes, store_of};

/// What whoever waits is told in the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// His command was applied, there and so.
    Applied(GroupId, LogIndex, Vec<u8>),
    Answered(Answer),
}

pub(crate) struct Looper {
    pub(crate) id: NodeId,
    pub(crate) node: NodeLoop<u64>,
    pub(crate) disk: Disk,
    pub(crate) inbox: VecDeque<Input<u64>>,
    pub(crate) holds_applies: bool,
    /// Writes stay on the way to the disk until this is taken back.
    pub(crate) holds_writes: bool,
    pub(crate) applying: VecDeque<(GroupId, LogIndex)>,
    pub(crate) outcomes: BTreeMap<u64, Outcome>,
    pub(crate) last_turn: Turn<u64>,
}

impl Looper {
    pub(crate) fn new(id: NodeId, count: u64, settings: NodeSettings, limits: LoopLimits) -> Self {
        let multi = MultiRaft::new(id, store_of(id), table(count, 4), settings);
        Self {
            id,
            node: NodeLoop::new(multi, limits),
            disk: Disk::default(),
            inbox: VecDeque::new(),
            holds_applies: false,
            holds_writes: false,
            applying: VecDeque::new(),
            outcomes: BTreeMap::new(),
            last_turn: Turn::default(),
        }
    }

    /// One turn over what is in the inbox; returns what is to be sent, and whether anything moved. The
    /// stores that it tells are left in `last_turn`.
    pub(crate) fn turn(&mut self) -> (Vec<multiraft::OutFrame>, bool) {
        let had_input = !self.inbox.is_empty();
        let inbox = &mut self.inbox;
        let mut turn = self.node.turn(std::iter::from_fn(|| inbox.pop_front()));
        let moved = had_input || turn.write.is_some() || !turn.apply.is_empty();
        if let Some((ticket, batch)) = turn.write.take() {
            self.disk.submit(ticket, batch);
        }
        let mut moved = moved;
        if !self.holds_writes {
            while let Some(ticket) = self.disk.release() {
                self.inbox.push_back(Input::Persisted(ticket));
                moved = true;
            }
        }
        for batch in std::mem::take(&mut turn.apply) {
            self.apply(batch);
        }
        for (reply, answer) in std::mem::take(&mut turn.answers) {
            self.tell(reply, Outcome::Answered(answer));
        }
        for (group, fetch) in std::mem::take(&mut turn.fetches) {
            let result = Ok(self.disk.fetch(group, &fetch));
            self.inbox.push_back(Input::Fetched { group, purpose: fetch.purpose, result });
        }
        let frames = std::mem::take(&mut turn.frames);
        self.last_turn = turn;
        (frames, moved)
    }

    fn apply(&mut self, batch: ApplyBatch<u64>) {
        let mut entries: BTreeMap<LogIndex, Stored> = BTreeMap::new();
        for run in &batch.runs {
            let indexes = (run.first.0..).map(LogIndex);
            entries
                .extend(indexes.zip(entries_of(run)).map(|(index, (_, _, entry))| (index, entry)));
        }
        for (index, reply) in batch.waiting {
            let Some(Stored::Command(payload)) = entries.get(&index) else {
                panic!("{reply} waits for {index}, which is no command");
            };
            self.tell(reply, Outcome::Applied(batch.group, index, payload.clone()));
        }
        let last = *entries.keys().next_back().unwrap();
        self.applying.push_back((batch.group, last));
        if !self.holds_applies {
            self.release_applies();
        }
    }

    pub(crate) fn release_applies(&mut self) {
        for (group, index) in self.applying.drain(..) {
            self.inbox.push_back(Input::Applied { group, index });
        }
    }

    fn tell(&mut self, reply: u64, outcome: Outcome) {
        let before = self.outcomes.insert(reply, outcome);
        assert!(before.is_none(), "{reply} is told twice");
    }

    pub(crate) fn stop(self) -> BTreeMap<u64, Outcome> {
        let mut outcomes = self.outcomes;
        for input in self.inbox {
            if let Input::Propose(Proposal { reply, .. }) = input {
                outcomes.insert(reply, Outcome::Answered(Answer::NoLeader));
            }
        }
        for (reply, answer) in self.node.stop() {
            let before = outcomes.insert(reply, Outcome::Answered(answer));
            assert!(before.is_none(), "{reply} is told twice");
        }
        outcomes
    }
}

pub(crate) struct Loops {
    pub(crate) nodes: BTreeMap<NodeId, Looper>,
    pub(crate) network: Network,
    pub(crate) now: u64,
    last_reply: u64,
}

impl Loops {
    /// Nodes that found groups 1 to 4 as soon as they know each other.
    pub(crate) fn new(count: u64, settings: NodeSettings, limits: LoopLimits) -> Self {
        let ids = nodes(count);
        let make = |id: NodeId| (id, Looper::new(id, count, settings, limits));
        let mut loops = Self {
            nodes: ids.iter().copied().map(make).collect(),
            network: Network::new(settings.seed + 1),
            now: 0,
            last_reply: 0,
        };
        for looper in loops.nodes.values_mut() {
            for group in 1..=4 {
                let spec = multiraft::GroupSpec::founded_by(GroupId(group), ids.clone());
                looper.inbox.push_back(Input::AddGroup(spec));
            }
        }
        loops
    }

    pub(crate) fn introduce(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for looper in self.nodes.values_mut() {
            for node in &ids {
                looper.inbox.push_back(Input::PeerStore { node: *node, store: store_of(*node) });
            }
        }
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Looper {
        self.nodes.get_mut(&NodeId(id)).unwrap()
    }

    pub(crate) fn tick(&mut self) {
        self.now += 1;
        for looper in self.nodes.values_mut() {
            looper.inbox.push_back(Input::Tick(Tick(self.now)));
        }
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000 {
            let mut moved = false;
            let mut said = Vec::new();
            for looper in self.nodes.values_mut() {
                let (frames, did) = looper.turn();
                moved |= did || !frames.is_empty();
                let told = std::mem::take(&mut looper.last_turn.stores);
                said.extend(told.into_iter().map(|(to, notice)| (looper.id, to, notice)));
                for frame in frames {
                    self.network.send(self.now, looper.id, frame.to, frame.bytes, frame.is_beat);
                }
            }
            for (from, to, notice) in said {
                moved = true;
                self.node(to.0).inbox.push_back(Input::PeerStores { from, notice });
            }
            for (from, to, bytes) in self.network.arrived(self.now) {
                moved = true;
                let messages = decode_frame(&bytes, &FrameLimits::default()).unwrap();
                self.node(to.0).inbox.push_back(Input::Messages { from, messages });
            }
            if !moved {
                return;
            }
        }
        panic!("the loops never settle at tick {}", self.now);
    }

    /// All groups founded, and led by node 1 to 4's first leaders.
    pub(crate) fn started(count: u64, settings: NodeSettings, limits: LoopLimits) -> Self {
        let mut loops = Self::new(count, settings, limits);
        loops.introduce();
        loops.settle();
        for _ in 0..3 {
            loops.tick();
        }
        for group in 1..=4 {
            assert!(loops.leader(group).is_some(), "group {group} has no leader");
        }
        loops
    }

    pub(crate) fn leader(&self, group: u64) -> Option<NodeId> {
        let leads = |looper: &&Looper| looper.node.multi().group_role_is_leader(GroupId(group));
        self.nodes.values().filter(leads).map(|looper| looper.id).next()
    }

    /// Somebody asks node `id`; the answer comes under the number returned.
    pub(crate) fn ask(&mut self, id: u64, input: impl FnOnce(u64) -> Input<u64>) -> u64 {
        self.last_reply += 1;
        let reply = self.last_reply;
        self.node(id).inbox.push_back(input(reply));
        reply
    }

    pub(crate) fn propose(&mut self, id: u64, vshard: u32, data: &'static [u8]) -> u64 {
        self.ask(id, |reply| Input::Propose(proposal(vshard, data, reply)))
    }

    pub(crate) fn read(&mut self, id: u64, vshard: u32) -> u64 {
        self.ask(id, |reply| Input::Read { vshard: VShardId(vshard), reply })
    }

    pub(crate) fn outcome(&self, id: u64, reply: u64) -> Option<Outcome> {
        self.nodes[&NodeId(id)].outcomes.get(&reply).cloned()
    }
}

pub(crate) fn proposal(vshard: u32, data: &'static [u8], reply: u64) -> Proposal<u64> {
    Proposal { vshard: VShardId(vshard), data: data.into(), reply }
}
