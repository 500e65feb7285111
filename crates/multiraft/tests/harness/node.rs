//! One node under test: the coordinator, a model disk, a state machine that remembers what it got.

use std::collections::{BTreeMap, VecDeque};

use codec::{Envelope, FrameLimits, decode_frame};
use multiraft::{MultiRaft, MultiRaftReady, NodeSettings, OutFrame, RoleChange, StepError};
use raft_core::{EntryRun, Message, MessageBody, ReadAnswer, Role};
use routing::RoutingTable;
use types::{Generation, GroupId, LogIndex, NodeId, ReplicaId, StoreId, Term, Tick};

use super::cluster::table;
use super::disk::{Disk, Stored, entries_of};

/// What a state machine was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Delivered {
    pub(crate) index: LogIndex,
    pub(crate) term: Term,
    pub(crate) entry: Stored,
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) multi: MultiRaft,
    pub(crate) disk: Disk,
    /// Writes wait on the disk until they are released by hand.
    pub(crate) holds_writes: bool,
    /// Deliveries are not reported applied until that is done by hand.
    pub(crate) holds_applies: bool,
    /// What every group's state machine was given in this run, in order.
    pub(crate) delivered: BTreeMap<GroupId, Vec<Delivered>>,
    /// What survives a crash of the state machine.
    pub(crate) durable_applied: BTreeMap<GroupId, LogIndex>,
    /// What had survived when this run began; nothing up to there is delivered again.
    pub(crate) floors: BTreeMap<GroupId, LogIndex>,
    /// How many processes this node has been.
    pub(crate) starts: u64,
    /// What was sent and not looked at, decoded.
    pub(crate) sent: VecDeque<(NodeId, Envelope)>,
    pub(crate) reads: Vec<(GroupId, ReadAnswer)>,
    pub(crate) roles: Vec<(GroupId, RoleChange)>,
}

pub(crate) fn store_of(node: NodeId) -> StoreId {
    StoreId(1_000 + u128::from(node.0))
}

pub(crate) fn nodes(count: u64) -> Vec<NodeId> {
    (1..=count).map(NodeId).collect()
}

impl Node {
    /// A node that knows the stores of all nodes of the table.
    pub(crate) fn new(id: u64, routing: RoutingTable, settings: NodeSettings) -> Self {
        let id = NodeId(id);
        let mut multi = MultiRaft::new(id, store_of(id), routing, settings);
        let others: Vec<NodeId> = multi.routing().nodes().to_vec();
        for node in others {
            multi.set_peer_store(node, store_of(node)).unwrap();
        }
        Self {
            id,
            multi,
            disk: Disk::default(),
            holds_writes: false,
            holds_applies: false,
            delivered: BTreeMap::new(),
            durable_applied: BTreeMap::new(),
            floors: BTreeMap::new(),
            starts: 0,
            sent: VecDeque::new(),
            reads: Vec::new(),
            roles: Vec::new(),
        }
    }

    /// A node of three that founds groups 1 to 4 of three voters each, and has written them.
    pub(crate) fn of_three(id: u64) -> Self {
        Self::of_three_with(id, NodeSettings::default())
    }

    pub(crate) fn of_three_with(id: u64, settings: NodeSettings) -> Self {
        let mut node = Self::new(id, table(3, 4), settings);
        let peers: Vec<NodeId> = nodes(3).into_iter().filter(|peer| *peer != node.id).collect();
        for group in 1..=4 {
            node.multi.add_group(GroupId(group), &peers).unwrap();
        }
        node.settle();
        node
    }

    /// A node that is the only voter of groups 1 to 4, and leads them.
    pub(crate) fn alone(settings: NodeSettings) -> Self {
        let mut node = Self::new(1, table(1, 4), settings);
        for group in 1..=4 {
            node.multi.add_group(GroupId(group), &[]).unwrap();
        }
        node.tick();
        assert!((1..=4).all(|group| node.multi.group_role_is_leader(GroupId(group))));
        node
    }

    /// Founds the groups of the table that the store does not know: none yet, or none since their
    /// creation was lost in a crash.
    pub(crate) fn found_missing(&mut self) {
        let groups: Vec<GroupId> = self.multi.routing().groups().collect();
        for group in groups {
            if self.disk.group(group).is_none() {
                let replicas = self.multi.routing().replicas_of(group).to_vec();
                let peers: Vec<NodeId> = replicas.into_iter().filter(|n| *n != self.id).collect();
                self.multi.add_group(group, &peers).unwrap();
            }
        }
    }

    /// Changes how groups that are added from now on behave.
    pub(crate) fn configure(&mut self, change: impl FnOnce(MultiRaft) -> MultiRaft) {
        let (node, store) = (self.multi.node_id(), self.multi.store_id());
        let blank =
            MultiRaft::new(node, store, self.multi.routing().clone(), NodeSettings::default());
        self.multi = change(std::mem::replace(&mut self.multi, blank));
    }

    /// The power goes: a new process finds what is on the disk.
    pub(crate) fn restart(&mut self, settings: NodeSettings) {
        self.disk.crash();
        let mut fresh = Self::new(self.id.0, self.multi.routing().clone(), settings);
        fresh.multi.tick(self.multi.now());
        fresh.disk = std::mem::take(&mut self.disk);
        fresh.durable_applied = std::mem::take(&mut self.durable_applied);
        (fresh.holds_writes, fresh.holds_applies) = (self.holds_writes, self.holds_applies);
        fresh.starts = self.starts + 1;
        fresh.floors = fresh.durable_applied.clone();
        for restored in fresh.disk.restored() {
            let applied = fresh.durable_applied.get(&restored.group).copied().unwrap_or_default();
            fresh.multi.restore_group(restored, applied).unwrap();
        }
        *self = fresh;
    }

    /// Takes one ready and does what it says, but for sending: returns what remains of it.
    pub(crate) fn turn(&mut self) -> MultiRaftReady {
        let mut ready = self.multi.ready();
        assert_eq!(ready.is_empty(), ready == MultiRaftReady::default());
        if let Some((ticket, batch)) = ready.write.clone() {
            self.disk.submit(ticket, batch);
        }
        for (group, runs) in &ready.committed {
            self.deliver(*group, runs);
        }
        for (group, fetch) in &ready.fetches {
            let runs = self.disk.fetch(*group, fetch);
            self.multi.entries_fetched(*group, fetch.purpose, Ok(runs)).unwrap();
        }
        self.reads.append(&mut ready.reads.clone());
        self.roles.append(&mut ready.roles.clone());
        if !self.holds_writes {
            self.release_writes();
        }
        ready.frames.sort_by_key(|frame| frame.to);
        ready
    }

    fn deliver(&mut self, group: GroupId, runs: &[EntryRun]) {
        let all = self.delivered.entry(group).or_default();
        for run in runs {
            for ((term, _, entry), index) in entries_of(run).into_iter().zip(run.first.0..) {
                let index = LogIndex(index);
                let floor = self.floors.get(&group).copied().unwrap_or_default();
                let before = all.last().map_or(floor, |before| before.index);
                assert_eq!(index, before.next(), "group {group} is delivered out of order");
                all.push(Delivered { index, term, entry });
            }
        }
        let last = runs.last().unwrap().last();
        if !self.holds_applies {
            self.multi.advance_applied(group, last).unwrap();
            self.durable_applied.insert(group, last);
        }
    }

    pub(crate) fn release_writes(&mut self) {
        while let Some(ticket) = self.disk.release() {
            self.multi.persisted(ticket).unwrap();
        }
    }

    /// Turns until there is nothing to do; what was sent lies in `sent`.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            let ready = self.turn();
            if ready.is_empty() {
                return;
            }
            for frame in ready.frames {
                self.keep(&frame);
            }
        }
        panic!("node {} never settles", self.id);
    }

    fn keep(&mut self, frame: &OutFrame) {
        let messages = decode_frame(&frame.bytes, &FrameLimits::default()).unwrap();
        self.sent.extend(messages.into_iter().map(|envelope| (frame.to, envelope)));
    }

    pub(crate) fn tick_to(&mut self, now: u64) {
        self.multi.tick(Tick(now));
        self.settle();
    }

    pub(crate) fn tick(&mut self) {
        self.tick_to(self.multi.now().0 + 1);
    }

    /// What replica `from` of the first life of a group says to this node's replica, where replica n
    /// lives on node n.
    pub(crate) fn envelope(&self, from: u32, group: u64, term: u64, body: MessageBody) -> Envelope {
        let to = ReplicaId(u32::try_from(self.id.0).unwrap());
        let message = Message { from: ReplicaId(from), to, term: Term(term), body };
        Envelope { group: GroupId(group), generation: Generation(1), message }
    }

    /// Hears that, as a correct peer says it.
    #[track_caller]
    pub(crate) fn hear(&mut self, from: u32, group: u64, term: u64, body: MessageBody) {
        self.try_hear(from, group, term, body).unwrap();
    }

    pub(crate) fn try_hear(
        &mut self,
        from: u32,
        group: u64,
        term: u64,
        body: MessageBody,
    ) -> Result<(), StepError> {
        let envelope = self.envelope(from, group, term, body);
        let result = self.multi.step(NodeId(u64::from(from)), envelope);
        self.settle();
        result
    }

    /// The bodies of what was sent of one group to one node since the last look.
    pub(crate) fn take_sent_to(&mut self, node: u64, group: u64) -> Vec<MessageBody> {
        let sent = self.take_sent(group).into_iter().filter(|(to, _)| to.0 == node);
        sent.map(|(_, message)| message.body).collect()
    }

    /// Takes what was sent of one group since the last look.
    pub(crate) fn take_sent(&mut self, group: u64) -> Vec<(NodeId, Message)> {
        let mut of_group = Vec::new();
        self.sent.retain(|(to, envelope)| {
            let is_meant = envelope.group == GroupId(group);
            if is_meant {
                of_group.push((*to, envelope.message.clone()));
            }
            !is_meant
        });
        of_group
    }

    /// Makes this node lead a group of three or more by the votes of replicas 2 and 3.
    pub(crate) fn win(&mut self, group: u64) {
        for _ in 0..60 {
            let status = self.multi.group_status(GroupId(group)).unwrap();
            let next_term = Term(status.term.0 + 1);
            self.tick();
            let me = self.id.0;
            for voter in [2, 3].into_iter().filter(|voter| u64::from(*voter) != me) {
                let body = MessageBody::PreVoteResponse { next_term, granted: true };
                self.hear(voter, group, status.term.0, body);
            }
            let status = self.multi.group_status(GroupId(group)).unwrap();
            if status.role == Role::Candidate && status.term == next_term {
                self.hear(2, group, next_term.0, MessageBody::VoteResponse { granted: true });
                self.hear(3, group, next_term.0, MessageBody::VoteResponse { granted: true });
            }
            if self.multi.group_role_is_leader(GroupId(group)) {
                return;
            }
        }
        panic!("node {} cannot win group {group}", self.id);
    }

    /// Commands delivered to a group's state machine, in order.
    pub(crate) fn commands(&self, group: u64) -> Vec<Vec<u8>> {
        let all = self.delivered.get(&GroupId(group)).map_or(&[][..], Vec::as_slice);
        let commands = all.iter().filter_map(|delivered| match &delivered.entry {
            Stored::Command(payload) => Some(payload.clone()),
            Stored::TermStart | Stored::Configuration(_) => None,
        });
        commands.collect()
    }

    pub(crate) fn last(&self, group: u64) -> LogIndex {
        self.multi.group_status(GroupId(group)).unwrap().last
    }

    pub(crate) fn commit(&self, group: u64) -> LogIndex {
        self.multi.commit_index_for(GroupId(group)).unwrap()
    }

    pub(crate) fn term(&self, group: u64) -> Term {
        self.multi.group_status(GroupId(group)).unwrap().term
    }
}
