//! The coordinator: mounts groups, moves time, gathers what all groups want done.
//!
//! Invariants: this node's store never changes, and a peer's store, once known, neither; the shared
//! beat is as short as the shortest heartbeat interval of any group mounted here, and answers wait for
//! it only while the leaders of all groups mounted here have the patience for that.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use codec::{Envelope, GroupItem, Item, Restored, WriteBatch};
use raft_core::{
    Configuration, EntryRun, FetchError, FetchFor, RaftNode, RawTiming, ReadId, Ready, Settings,
    Ticket, Timing, TimingError, Write,
};
use routing::RoutingTable;
use types::{Generation, GroupId, LogIndex, NodeId, ReplicaId, StoreId, Term, Tick};

use crate::batches::Batches;
use crate::groups::{Groups, Opening, Slot};
use crate::outbox::Outbox;
use crate::room::Room;
use crate::settings::mix;
use crate::{
    AddGroupError, BatchTicket, Counters, GroupSpec, LeaderView, MultiRaftReady, NodeSettings,
    ReadError, RoleChange, StoreConflict, TicketError, UnknownGroup,
};

/// Many Raft groups on one node.
///
/// Inputs are methods; what they cause, for all groups together, comes out of
/// [`MultiRaft::ready`]. Whoever owns it makes the write durable and says so by
/// [`MultiRaft::persisted`], sends the frames, applies what is committed and says so by
/// [`MultiRaft::advance_applied`], in any order and at any pace. It starts no thread, holds no lock
/// and reads no clock.
#[derive(Debug)]
pub struct MultiRaft {
    pub(crate) node: NodeId,
    pub(crate) store: StoreId,
    pub(crate) routing: RoutingTable,
    pub(crate) settings: NodeSettings,
    pub(crate) groups: Groups,
    pub(crate) peer_stores: BTreeMap<NodeId, StoreId>,
    pub(crate) counters: Counters,
    pub(crate) room: Room,
    pub(crate) outbox: Outbox,
    pub(crate) batches: Batches,
    /// The shortest heartbeat interval of the groups mounted here, in ticks.
    beat_ticks: u64,
    is_beat_due: bool,
}

impl MultiRaft {
    /// A node without groups. `store` is the identity of the store that the groups live in.
    #[must_use]
    pub fn new(
        node: NodeId,
        store: StoreId,
        routing: RoutingTable,
        settings: NodeSettings,
    ) -> Self {
        Self {
            node,
            store,
            routing,
            groups: Groups::default(),
            peer_stores: BTreeMap::new(),
            counters: Counters::default(),
            room: Room::default(),
            outbox: Outbox::new(settings.frame, settings.plain),
            batches: Batches::default(),
            beat_ticks: u64::MAX,
            is_beat_due: false,
            settings,
        }
    }

    /// Sets the election timeout of groups added from now on. Ticks; both ends inclusive.
    ///
    /// # Errors
    /// `min` is above `max`, or below twice the heartbeat interval that is set now.
    pub fn with_election_timeout(mut self, min: u64, max: u64) -> Result<Self, TimingError> {
        self.settings.timing = Timing::new(RawTiming {
            election_ticks_min: min,
            election_ticks_max: max,
            heartbeat_ticks: self.settings.timing.heartbeat_ticks(),
        })?;
        Ok(self)
    }

    /// Sets the heartbeat interval of groups added from now on. Ticks. A longer one than fits the
    /// election timeout needs that to be set first.
    ///
    /// # Errors
    /// `ticks` is 0, or more than half of the shortest election timeout that is set now.
    pub fn with_heartbeat_interval(mut self, ticks: u64) -> Result<Self, TimingError> {
        let timing = self.settings.timing;
        self.settings.timing = Timing::new(RawTiming {
            election_ticks_min: timing.election_ticks_min(),
            election_ticks_max: timing.election_ticks_max(),
            heartbeat_ticks: ticks,
        })?;
        Ok(self)
    }

    /// Learns which store a node has; groups with that node can be founded from then on, and
    /// replicas that lived in another store of it are not listened to. Whoever calls this has made
    /// it durable before, and calls it again after a restart: what founds groups builds on it.
    ///
    /// # Errors
    /// The node is known by another store: it lost its disk, and is not the one that it was.
    pub fn set_peer_store(&mut self, node: NodeId, store: StoreId) -> Result<(), StoreConflict> {
        match self.store_of(node) {
            Some(known) if known != store => Err(StoreConflict { node, known, found: store }),
            Some(_) => Ok(()),
            None => {
                self.peer_stores.insert(node, store);
                Ok(())
            }
        }
    }

    pub(crate) fn store_of(&self, node: NodeId) -> Option<StoreId> {
        if node == self.node {
            return Some(self.store);
        }
        self.peer_stores.get(&node).copied()
    }

    /// Founds the first life of a group whose other founding voters are `peers`; empty makes this
    /// node the only voter. Every founder does the same for itself.
    ///
    /// # Errors
    /// As [`Self::add_group_with`].
    pub fn add_group(&mut self, group: GroupId, peers: &[NodeId]) -> Result<(), AddGroupError> {
        let mut founders = peers.to_vec();
        founders.push(self.node);
        self.add_group_with(&GroupSpec::founded_by(group, founders))
    }

    /// Founds a group that the store does not know. The next ready carries its creation and its
    /// entry 1, the configuration, in one batch; it starts as a follower of term 0.
    ///
    /// Entry 1 names the stores of all members as this node knows them, and must be the same on all
    /// of them. Whoever calls this has made sure of that: by knowing all stores from the start, or by
    /// hearing from every member, before the call, that it knows the same ones and will never take
    /// others for them. [`crate::NodeLoop`] does the latter for what comes as
    /// [`crate::Input::AddGroup`]; without it, a node that loses its disk between meeting one founder
    /// and another splits the group in two.
    ///
    /// # Errors
    /// Nothing is changed. [`AddGroupError::StoreUnknown`] goes away by itself once that node has
    /// been met; the others are the caller's mistake.
    pub fn add_group_with(&mut self, spec: &GroupSpec) -> Result<(), AddGroupError> {
        let (configuration, me) = self.founding(spec)?;
        let first = configuration.incoming().first().map(|replica| replica.node);
        let (seed, now) = (self.seed(spec.group, spec.generation), self.groups.now());
        let node = RaftNode::found(me, Arc::new(configuration), self.replica_settings(), seed, now);
        let opening = self.opening(spec.group, first, Term(0), now.after(1));
        self.mount(spec.group, spec.generation, node, true, opening);
        Ok(())
    }

    /// The configuration of a group to be founded, and which replica is this node's.
    pub(crate) fn founding(
        &self,
        spec: &GroupSpec,
    ) -> Result<(Configuration, ReplicaId), AddGroupError> {
        self.check_unmounted(spec.group)?;
        if !spec.members().any(|member| member == self.node) {
            return Err(AddGroupError::NotAMember { node: self.node });
        }
        let configuration = spec.configuration(|node| self.store_of(node))?;
        let me = configuration.replica_on(self.node).map(|replica| replica.id);
        let me = me.ok_or(AddGroupError::NotAMember { node: self.node })?;
        Ok((configuration, me))
    }

    /// Mounts a group as the store knows it, with its term, vote, log and membership and nothing
    /// else. `applied` is what its state machine has applied durably: nothing up to there is
    /// delivered again.
    ///
    /// # Errors
    /// Nothing is changed; what is restored does not belong to this node or this state machine.
    pub fn restore_group(
        &mut self,
        restored: Restored,
        applied: LogIndex,
    ) -> Result<(), AddGroupError> {
        let Restored { group, generation, replica } = restored;
        self.check_unmounted(group)?;
        let newest = replica.configurations.last().map(|(_, configuration)| configuration);
        let configuration = newest.unwrap_or(&replica.base_configuration).clone();
        if let Some(me) = configuration.replica(replica.replica)
            && (me.node != self.node || me.store != self.store)
        {
            let (replica, node, store) = (me.id, me.node, me.store);
            return Err(AddGroupError::Foreign { replica, node, store });
        }
        let term = replica.hard_state.term;
        let (seed, now) = (self.seed(group, generation), self.groups.now());
        let no_vote_before = self.settings.no_vote_before;
        let settings = self.replica_settings();
        let node = RaftNode::restore(replica, applied, settings, seed, now, no_vote_before)?;
        let first = configuration.incoming().first().map(|replica| replica.node);
        let opening = self.opening(group, first, term, now.after(1).max(no_vote_before));
        self.mount(group, generation, node, false, opening);
        Ok(())
    }

    fn check_unmounted(&self, group: GroupId) -> Result<(), AddGroupError> {
        match self.groups.find(group) {
            Some(_) => Err(AddGroupError::AlreadyMounted { group }),
            None => Ok(()),
        }
    }

    const fn replica_settings(&self) -> Settings {
        Settings { timing: self.settings.timing, limits: self.settings.limits }
    }

    const fn seed(&self, group: GroupId, generation: Generation) -> u64 {
        let node = mix(self.settings.seed) ^ self.node.0;
        let group = mix(node) ^ group.0;
        mix(group) ^ generation.0 as u64
    }

    /// When to ask for votes if this node is to be the group's first leader: the one that the
    /// routing table prefers, or the first founder where the table does not have the group. After a
    /// restart of all nodes this spreads leaders as evenly as at the founding, and sooner than the
    /// timeouts would elect any; where a leader lives, its followers refuse the pre-vote.
    fn opening(
        &self,
        group: GroupId,
        first: Option<NodeId>,
        term: Term,
        from: Tick,
    ) -> Option<Opening> {
        let preferred = self.routing.preferred(group).or(first);
        let timing = self.settings.timing;
        (preferred == Some(self.node)).then(|| Opening {
            term,
            next: from,
            interval: timing.heartbeat_ticks(),
            last: from.after(timing.election_ticks_max()),
        })
    }

    fn mount(
        &mut self,
        group: GroupId,
        generation: Generation,
        node: RaftNode,
        is_new: bool,
        opening: Option<Opening>,
    ) {
        let timing = self.settings.timing;
        self.beat_ticks = self.beat_ticks.min(timing.heartbeat_ticks());
        if !timing.answers_may_wait() {
            self.outbox.answer_at_once();
        }
        self.groups.insert(group, generation, node, is_new, opening);
    }

    /// It is `now`. Calls only groups whose deadline is due. Time that does not rise is ignored.
    pub fn tick(&mut self, now: Tick) {
        let before = self.groups.now();
        if now <= before {
            return;
        }
        self.is_beat_due |= now.0 / self.beat_ticks > before.0 / self.beat_ticks;
        self.counters.calls += self.groups.advance(now);
        self.make_way();
    }

    /// Everything to be done since the last call; visits only groups that had an input or were due.
    /// Nothing in it is handed out again.
    #[must_use]
    pub fn ready(&mut self) -> MultiRaftReady {
        let mut out = MultiRaftReady::default();
        let mut batch = WriteBatch::default();
        let mut tickets = Vec::new();
        let dirty = self.groups.take_dirty();
        for slot in &dirty {
            let collected = self.groups.collect(*slot);
            let hosted = self.groups.get(*slot);
            if let Some(told) = collected.leader {
                let leader = told.leader.and_then(|leader| hosted.node_of(leader));
                let (term, is_fresh) = (told.term, told.is_fresh);
                let view = LeaderView { leader, term, is_self: hosted.leads(), is_fresh };
                out.leaders.push((hosted.group, view));
            }
            if let Some(reason) = collected.halted {
                out.halted.push((hosted.group, reason));
            }
            if let Some(mut ready) = collected.ready {
                if let Some(write) = ready.write.take() {
                    tickets.push((*slot, write.ticket));
                    self.add_items(*slot, write, &mut batch);
                }
                self.add(*slot, ready, &mut out);
            }
        }
        self.groups.recycle(dirty);
        if !tickets.is_empty() {
            out.write = Some((self.batches.issue(tickets), batch));
        }
        self.outbox.flush(core::mem::take(&mut self.is_beat_due), &mut out.frames);
        out
    }

    /// Adds one group's write to the batch, after its creation if the store does not know it yet.
    fn add_items(&mut self, slot: Slot, write: Write, batch: &mut WriteBatch) {
        let is_new = self.groups.take_new(slot);
        let hosted = self.groups.get(slot);
        let (group, generation) = (hosted.group, hosted.generation);
        let create = is_new.then(|| Item::Create { replica: hosted.node.replica_id() });
        let hard_state = write.hard_state.map(Item::HardState);
        let appends = write.runs.into_iter().map(Item::Append);
        let items = create.into_iter().chain(hard_state).chain(appends);
        batch.items.extend(items.map(|item| GroupItem { group, generation, item }));
    }

    /// Adds one group's ready, but for its write, to the node's.
    fn add(&mut self, slot: Slot, ready: Ready, out: &mut MultiRaftReady) {
        let hosted = self.groups.get(slot);
        let (group, generation) = (hosted.group, hosted.generation);
        for message in ready.messages {
            // A replica that the configuration no longer lists has no address.
            if let Some(to) = hosted.node_of(message.to) {
                self.outbox.put(to, Envelope { group, generation, message });
            }
        }
        if !ready.committed.is_empty() {
            out.committed.push((group, ready.committed));
        }
        out.reads.extend(ready.reads.into_iter().map(|read| (group, read)));
        out.fetches.extend(ready.fetches.into_iter().map(|fetch| (group, fetch)));
        if let Some(change) = ready.role {
            let leader = change.leader.and_then(|leader| hosted.node_of(leader));
            let (role, term) = (change.role, change.term);
            out.roles.push((group, RoleChange { role, term, leader }));
        }
    }

    /// The write that [`MultiRaft::ready`] gave under `ticket` is durable. What waited for it
    /// appears in the next ready.
    ///
    /// # Errors
    /// Batches are reported in the order in which they were given, each once: this one is not the
    /// oldest under way. Nothing is changed.
    pub fn persisted(&mut self, ticket: BatchTicket) -> Result<(), TicketError> {
        for (slot, ticket) in self.batches.complete(ticket)? {
            self.persisted_in(slot, ticket);
        }
        Ok(())
    }

    fn persisted_in(&mut self, slot: Slot, ticket: Ticket) {
        self.groups.touch(slot).node.persisted(ticket);
    }

    /// The state machine of `group` has applied everything up to `index`. Never moves backwards nor
    /// past what was delivered: such a report changes nothing. This is the mark of delivery; what
    /// is applied *durably* is told to [`MultiRaft::restore_group`] after a restart.
    ///
    /// # Errors
    /// The group is not hosted here.
    pub fn advance_applied(&mut self, group: GroupId, index: LogIndex) -> Result<(), UnknownGroup> {
        let slot = self.slot(group)?;
        let hosted = self.groups.touch_quietly(slot);
        hosted.node.applied(index);
        // All that can follow is a delivery that waited for room.
        if hosted.holds_back() {
            self.groups.touch(slot);
        }
        Ok(())
    }

    /// The answer to a fetch that [`MultiRaft::ready`] asked for. Entries that are no longer wanted
    /// are ignored; a log that cannot be read halts the group.
    ///
    /// # Errors
    /// The group is not hosted here.
    pub fn entries_fetched(
        &mut self,
        group: GroupId,
        purpose: FetchFor,
        result: Result<Vec<EntryRun>, FetchError>,
    ) -> Result<(), UnknownGroup> {
        let slot = self.slot(group)?;
        self.groups.touch(slot).node.entries_fetched(purpose, result);
        Ok(())
    }

    /// Asks for a linearizable read of `group`; the answer comes in a ready, under `id`.
    ///
    /// # Errors
    /// The group is not hosted or not led here.
    pub fn read_index(&mut self, group: GroupId, id: ReadId) -> Result<(), ReadError> {
        let slot = self.slot(group).map_err(|_| ReadError::UnknownGroup { group })?;
        let hosted = self.groups.touch(slot);
        let leader = hosted.leader_node();
        hosted.node.read_index(id).map_err(|_| ReadError::NotLeader { leader })
    }

    pub(crate) fn slot(&self, group: GroupId) -> Result<Slot, UnknownGroup> {
        self.groups.find(group).ok_or(UnknownGroup { group })
    }
}
