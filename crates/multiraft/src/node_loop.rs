//! The turn of a node: takes what came in, steps the groups, collects what they want done, and knows
//! when whoever waits is answered. No thread and no clock, so that the engine's threads and the
//! simulator drive the very same code.
//!
//! Invariants:
//! - every reply handle that came in is in exactly one place: a group's waiting list, `reads`, or
//!   the turn that hands it out;
//! - a proposer is told `Uncertain` as soon as this node no longer leads in the term in which it
//!   appended his entry, and gets a result only for that very (index, term);
//! - a read is answered only when its index is applied here, and given up when this node becomes
//!   unfit to lead before that: what is not applied may wait for the disk that makes it unfit;
//! - `in_flight_bytes` is what the proposals not yet applied nor given up add up to.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;

use bytes::Bytes;
use codec::Envelope;
use raft_core::{EntryHeader, EntryRun, MessageBody, ReadAnswer, ReadId, Role};
use types::{GroupId, LogId, LogIndex, NodeId, Tick, VShardId};

use crate::foundings::Foundings;
use crate::groups::Slot;
use crate::stuck::Stuck;
use crate::transfer::Transfers;
use crate::waiting::Waiting;
use crate::{
    Answer, ApplyBatch, Fitness, Input, MultiRaft, MultiRaftReady, Proposal, ProposeError,
    RoleChange, Turn,
};

/// For how many of the longest election timeouts whoever waits in a group whose entries find no room
/// is kept waiting: leadership is handed over in less, if there is anybody to take it.
const STUCK_ELECTIONS_MAX: u64 = 3;

/// What a proposal counts for beside its data: handle, queue entry, entry header.
const PROPOSAL_CHARGE: usize = 64;

/// How much one turn takes, and how much may wait. Cheap to copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoopLimits {
    /// How many inputs a turn takes. Default 4,096. Too small: commits and frames carry little. Too
    /// large: the first of a turn waits for the last.
    pub turn_inputs_max: usize,
    /// After how many bytes of commands and entries a turn takes no further input. Default 8 MiB.
    pub turn_bytes_max: usize,
    /// How much may be proposed and not yet applied, 64 bytes per proposal included. Default 256
    /// MiB. Past it, proposals are refused with `Overloaded`.
    pub in_flight_bytes_max: usize,
    /// How many reads may wait for an answer. Default 65,536. Past it, they are refused with
    /// `Overloaded`.
    pub reads_max: usize,
    /// How many may wait for leadership to be handed over. Default 65,536. Past it, they are refused
    /// with `Overloaded`, and nothing is handed over.
    pub transfers_max: usize,
}

impl Default for LoopLimits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            turn_inputs_max: 4_096,
            turn_bytes_max: 8 * MIB,
            in_flight_bytes_max: 256 * MIB,
            reads_max: 65_536,
            transfers_max: 65_536,
        }
    }
}

/// Drives a [`MultiRaft`] turn by turn. `R` is the handle of whoever waits for an answer.
#[derive(Debug)]
pub struct NodeLoop<R> {
    pub(crate) multi: MultiRaft,
    limits: LoopLimits,
    /// By slot; shorter than the groups are many.
    pub(crate) waiting: Vec<Waiting<R>>,
    /// Reads whose leadership is being confirmed.
    pub(crate) reads: BTreeMap<ReadId, (GroupId, R)>,
    last_read: u64,
    /// How many reads wait for the state machine.
    reads_applying: usize,
    in_flight_bytes: usize,
    pub(crate) transfers: Transfers<R>,
    /// Groups whose entries find no room.
    stuck: Stuck,
    pub(crate) foundings: Foundings,
    pub(crate) turn: Turn<R>,
}

impl<R> NodeLoop<R> {
    /// Takes over a node, which may have groups already.
    #[must_use]
    pub fn new(multi: MultiRaft, limits: LoopLimits) -> Self {
        Self {
            multi,
            limits,
            waiting: Vec::new(),
            reads: BTreeMap::new(),
            last_read: 0,
            reads_applying: 0,
            in_flight_bytes: 0,
            transfers: Transfers::default(),
            stuck: Stuck::default(),
            foundings: Foundings::default(),
            turn: Turn::default(),
        }
    }

    /// The node, to be asked.
    #[must_use]
    pub const fn multi(&self) -> &MultiRaft {
        &self.multi
    }

    /// The node's routing table, to be updated.
    pub const fn routing_mut(&mut self) -> &mut routing::RoutingTable {
        self.multi.routing_mut()
    }

    /// What is proposed and not yet applied, 64 bytes per proposal included.
    #[must_use]
    pub const fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    /// How many reads wait for an answer.
    #[must_use]
    pub fn waiting_reads(&self) -> usize {
        self.reads.len() + self.reads_applying
    }

    /// Whether somebody waits, as of the last turn, until more is applied: a reader, or entries that
    /// are held back until there is room for them. As long as nobody does, an [`Input::Applied`] may
    /// wait for whatever else brings the next turn. Costs two loads.
    #[must_use]
    pub const fn awaits_applied(&self) -> bool {
        self.reads_applying > 0 || self.multi.groups.any_holds_back()
    }

    /// Takes inputs until there are no more or the turn is full, and says what follows from them.
    /// What it does not take stays in the iterator: pass one that the inbox survives, such as
    /// `receiver.try_iter()`.
    ///
    /// # Panics
    /// If a write is reported durable that is not the oldest under way: the log writer is broken,
    /// and nothing that it says can be believed.
    #[must_use]
    pub fn turn(&mut self, inputs: impl IntoIterator<Item = Input<R>>) -> Turn<R> {
        let mut inputs = inputs.into_iter();
        let (mut taken, mut bytes) = (0, 0);
        while taken < self.limits.turn_inputs_max && bytes < self.limits.turn_bytes_max {
            let Some(input) = inputs.next() else { break };
            taken += 1;
            bytes += bytes_of(&input);
            self.take(input);
        }
        self.tell_stores();
        let ready = self.multi.ready();
        self.hand_over(ready);
        mem::take(&mut self.turn)
    }

    /// Ends the loop: proposers are told that their outcome is unknown, readers that nobody leads.
    #[must_use]
    pub fn stop(mut self) -> Vec<(R, Answer)> {
        let mut answers = mem::take(&mut self.turn.answers);
        for waiting in &mut self.waiting {
            let (proposers, _) = waiting.lose(None);
            answers.extend(proposers.into_iter().map(|reply| (reply, Answer::Uncertain)));
            let readers = waiting.lose_reads();
            answers.extend(readers.into_iter().map(|reply| (reply, Answer::NoLeader)));
        }
        let reads = mem::take(&mut self.reads).into_values();
        answers.extend(reads.map(|(_, reply)| (reply, Answer::NoLeader)));
        let transfers = self.transfers.take_all();
        let failed = Answer::TransferFailed { leader: None };
        answers.extend(transfers.map(|reply| (reply, failed)));
        answers
    }

    fn take(&mut self, input: Input<R>) {
        match input {
            Input::Tick(now) => {
                self.multi.tick(now);
                self.give_up_stuck(now);
            }
            Input::Fitness(fitness) => self.set_fitness(fitness),
            Input::DiskRoom(room) => self.multi.set_disk_room(room),
            Input::Messages { from, messages } => {
                for envelope in messages {
                    self.found_on_hearing(from, &envelope);
                    // Refusals are counted by the node, and concern nobody else.
                    let _ = self.multi.step(from, envelope);
                }
            }
            Input::Dropped { to, messages } => self.multi.report_unreachable(to, &messages),
            Input::Propose(proposal) => self.propose(proposal),
            Input::ProposeMany(proposals) => {
                proposals.into_iter().for_each(|proposal| self.propose(proposal));
            }
            Input::ProposeToGroup { group, data, reply } => {
                self.propose_to_group(group, &data, reply);
            }
            Input::Read { vshard, reply } => self.read(vshard, reply),
            Input::TransferLeader { group, to, reply } => self.transfer_leader(group, to, reply),
            Input::Persisted(ticket) => {
                self.multi.persisted(ticket).expect("the log writer reports batches in order");
            }
            Input::Applied { group, index } => self.applied(group, index),
            Input::Fetched { group, purpose, result } => {
                // Groups are never unmounted, so whoever was asked for a fetch is there.
                let _ = self.multi.entries_fetched(group, purpose, result);
            }
            Input::PeerStore { node, store } => match self.multi.set_peer_store(node, store) {
                Ok(()) => self.met(),
                Err(conflict) => self.turn.conflicts.push(conflict),
            },
            Input::PeerStores { from, notice } => self.hear_stores(from, notice),
            Input::AddGroup(spec) => self.found(spec),
            Input::Restore { restored, applied } => {
                let group = restored.group;
                let result = self.multi.restore_group(restored, applied);
                self.turn.added.push((group, result));
            }
        }
    }

    fn transfer_leader(&mut self, group: GroupId, to: NodeId, reply: R) {
        if self.transfers.len() >= self.limits.transfers_max {
            self.turn.answers.push((reply, Answer::Overloaded { budget: "transfers_max" }));
            return;
        }
        let begun = self.multi.transfer_leader(group, to);
        let begun = begun.and_then(|()| Ok(self.multi.slot(group)?));
        match begun {
            Ok(slot) => {
                // The election that is ordered, and one more if it fails.
                let patience = 2 * self.multi.settings.timing.election_ticks_max();
                self.transfers.wait(slot, to, self.multi.now().after(patience), reply);
            }
            Err(error) => self.turn.answers.push((reply, Answer::TransferRefused(error))),
        }
    }

    /// Steps down from all groups, or lets the node lead again. Whoever waits in a group that is led
    /// no more is told when the turn ends; those who wait for the state machine are told at once.
    fn set_fitness(&mut self, fitness: Fitness) {
        self.multi.set_fitness(fitness);
        if fitness == Fitness::Fit || self.reads_applying == 0 {
            return;
        }
        for (slot, waiting) in (0..).map(Slot).zip(&mut self.waiting) {
            let readers = waiting.lose_reads();
            if readers.is_empty() {
                continue;
            }
            self.reads_applying -= readers.len();
            let answer = not_leader(&self.multi, self.multi.groups.get(slot).group);
            self.turn.answers.extend(readers.into_iter().map(|reply| (reply, answer)));
        }
    }

    /// Tells those who have waited for too long in groups whose entries find no room. These may be
    /// committed in the end, and this node goes on leading.
    fn give_up_stuck(&mut self, now: Tick) {
        let patience = STUCK_ELECTIONS_MAX * self.multi.settings.timing.election_ticks_max();
        let stuck = self.multi.groups_without_room();
        for slot in self.stuck.look(now, patience, &stuck) {
            let (lost, bytes) = self.waiting_in(slot).lose(None);
            self.in_flight_bytes -= bytes;
            self.tell_uncertain(lost);
            self.give_up_reads(slot);
        }
    }

    /// Tells those who wait for the group's state machine, in order to read, to go elsewhere.
    fn give_up_reads(&mut self, slot: Slot) {
        let readers = self.waiting_in(slot).lose_reads();
        self.reads_applying -= readers.len();
        let answer = not_leader(&self.multi, self.multi.groups.get(slot).group);
        self.turn.answers.extend(readers.into_iter().map(|reply| (reply, answer)));
    }

    fn propose(&mut self, Proposal { vshard, data, reply }: Proposal<R>) {
        let appended = self.multi.slot_of_vshard(vshard).map_err(ProposeError::from);
        let appended = appended.and_then(|(_, slot)| {
            self.check_in_flight()?;
            Ok((slot, self.multi.append_routed(slot, vshard, &data)?))
        });
        self.appended(appended, data.len(), reply);
    }

    fn propose_to_group(&mut self, group: GroupId, data: &Bytes, reply: R) {
        let appended = self.multi.slot(group).map_err(ProposeError::from);
        let appended = appended.and_then(|slot| {
            self.check_in_flight()?;
            Ok((slot, self.multi.append(slot, EntryHeader::default(), data)?))
        });
        self.appended(appended, data.len(), reply);
    }

    const fn check_in_flight(&self) -> Result<(), ProposeError> {
        if self.in_flight_bytes >= self.limits.in_flight_bytes_max {
            return Err(ProposeError::Overloaded { budget: "in_flight_bytes_max" });
        }
        Ok(())
    }

    fn appended(&mut self, result: Result<(Slot, LogId), ProposeError>, len: usize, reply: R) {
        match result {
            Ok((slot, id)) => {
                let bytes = len + PROPOSAL_CHARGE;
                self.in_flight_bytes += bytes;
                self.waiting_in(slot).propose(id, bytes, reply);
            }
            Err(error) => self.turn.answers.push((reply, error.into())),
        }
    }

    fn waiting_in(&mut self, slot: Slot) -> &mut Waiting<R> {
        if self.waiting.len() <= slot.position() {
            self.waiting.resize_with(slot.position() + 1, Waiting::default);
        }
        &mut self.waiting[slot.position()]
    }

    fn read(&mut self, vshard: VShardId, reply: R) {
        if self.waiting_reads() >= self.limits.reads_max {
            self.turn.answers.push((reply, Answer::Overloaded { budget: "reads_max" }));
            return;
        }
        let id = ReadId(self.last_read + 1);
        let begun = self.multi.slot_of_vshard(vshard).map_err(ProposeError::from);
        let begun = begun.and_then(|(group, _)| {
            self.multi.read_index(group, id)?;
            Ok(group)
        });
        match begun {
            Ok(group) => {
                self.last_read = id.0;
                self.reads.insert(id, (group, reply));
            }
            Err(error) => self.turn.answers.push((reply, error.into())),
        }
    }

    fn applied(&mut self, group: GroupId, index: LogIndex) {
        let Ok(slot) = self.multi.slot(group) else { return };
        // The group is mounted, and a report that is no news changes nothing.
        let _ = self.multi.advance_applied(group, index);
        let applied = self.multi.applied_in(slot);
        let mut served = Vec::new();
        let freed = self.waiting_in(slot).applied(applied, |index, reply| {
            served.push((reply, Answer::ReadAt { group, index }));
        });
        self.in_flight_bytes -= freed;
        self.reads_applying -= served.len();
        self.turn.answers.append(&mut served);
    }

    /// Moves what the groups want done into the turn, and settles whoever waited for it.
    fn hand_over(&mut self, ready: MultiRaftReady) {
        // Deliveries before roles: who lost office may still see his entries committed.
        for (group, runs) in ready.committed {
            let Ok(slot) = self.multi.slot(group) else { continue };
            let settled = self.waiting_in(slot).deliver(&runs);
            self.in_flight_bytes -= settled.freed_bytes;
            self.tell_uncertain(settled.uncertain);
            self.turn.apply.push(ApplyBatch { group, runs, waiting: settled.delivered });
        }
        for (group, change) in &ready.roles {
            self.role_changed(*group, change);
        }
        for (group, answer) in ready.reads {
            self.read_ended(group, answer);
        }
        for (group, _) in &ready.halted {
            self.halted(*group);
        }
        let has_change = !(ready.leaders.is_empty() && ready.halted.is_empty());
        for (reply, outcome) in self.transfers.take_ended(&self.multi, has_change) {
            let failed = |leader| Answer::TransferFailed { leader };
            self.turn.answers.push((reply, outcome.map_or_else(failed, |()| Answer::Transferred)));
        }
        self.turn.write = ready.write;
        self.turn.frames = ready.frames;
        self.turn.fetches = ready.fetches;
        self.turn.roles = ready.roles;
        self.turn.leaders = ready.leaders;
        self.turn.halted = ready.halted;
    }

    fn tell_uncertain(&mut self, replies: Vec<R>) {
        self.turn.answers.extend(replies.into_iter().map(|reply| (reply, Answer::Uncertain)));
    }

    fn role_changed(&mut self, group: GroupId, change: &RoleChange) {
        let Ok(slot) = self.multi.slot(group) else { return };
        let leads_in = (change.role == Role::Leader).then_some(change.term);
        let (lost, bytes) = self.waiting_in(slot).lose(leads_in);
        self.in_flight_bytes -= bytes;
        self.tell_uncertain(lost);
        if leads_in.is_none() && self.multi.disk_room().is_waiting {
            // What they wait for may wait for room here for a long time.
            self.give_up_reads(slot);
        }
    }

    fn read_ended(&mut self, group: GroupId, answer: ReadAnswer) {
        let Some((_, reply)) = self.reads.remove(&answer.id) else { return };
        let Ok(slot) = self.multi.slot(group) else { return };
        match answer.index {
            Some(index) if index <= self.multi.applied_in(slot) => {
                self.turn.answers.push((reply, Answer::ReadAt { group, index }));
            }
            Some(_) if self.multi.fitness() == Fitness::Unfit => {
                let answer = not_leader(&self.multi, group);
                self.turn.answers.push((reply, answer));
            }
            Some(index) => {
                self.reads_applying += 1;
                self.waiting_in(slot).read_at(index, reply);
            }
            None => {
                let answer = not_leader(&self.multi, group);
                self.turn.answers.push((reply, answer));
            }
        }
    }

    /// The group takes part in nothing any more: nobody who waits there will hear from it.
    fn halted(&mut self, group: GroupId) {
        let Ok(slot) = self.multi.slot(group) else { return };
        let (lost, bytes) = self.waiting_in(slot).lose(None);
        self.in_flight_bytes -= bytes;
        self.tell_uncertain(lost);
        let readers = self.waiting_in(slot).lose_reads();
        self.reads_applying -= readers.len();
        self.turn.answers.extend(readers.into_iter().map(|reply| (reply, Answer::NoLeader)));
        let confirming: Vec<ReadId> =
            self.reads.iter().filter(|(_, (of, _))| *of == group).map(|(id, _)| *id).collect();
        for id in confirming {
            self.read_ended(group, ReadAnswer { id, index: None });
        }
    }
}

/// Where to go instead of here.
fn not_leader(multi: &MultiRaft, group: GroupId) -> Answer {
    match multi.group_leader(group) {
        Ok(Some(leader)) if leader != multi.node_id() => Answer::NotLeader { leader },
        _ => Answer::NoLeader,
    }
}

/// What an input counts for against the bytes of a turn: what is copied or held because of it.
fn bytes_of<R>(input: &Input<R>) -> usize {
    match input {
        Input::Messages { messages, .. } => messages.iter().map(entries_bytes).sum(),
        Input::Propose(proposal) => proposal.data.len() + PROPOSAL_CHARGE,
        Input::ProposeMany(all) => all.iter().map(|one| one.data.len() + PROPOSAL_CHARGE).sum(),
        Input::ProposeToGroup { data, .. } => data.len() + PROPOSAL_CHARGE,
        Input::Fetched { result: Ok(runs), .. } => runs.iter().map(EntryRun::cost).sum(),
        Input::Tick(_)
        | Input::Fitness(_)
        | Input::DiskRoom(_)
        | Input::Dropped { .. }
        | Input::TransferLeader { .. }
        | Input::Read { .. }
        | Input::Persisted(_)
        | Input::Applied { .. }
        | Input::Fetched { result: Err(_), .. }
        | Input::PeerStore { .. }
        | Input::PeerStores { .. }
        | Input::AddGroup(_)
        | Input::Restore { .. } => 0,
    }
}

fn entries_bytes(envelope: &Envelope) -> usize {
    if let MessageBody::Append { runs, .. } = &envelope.message.body {
        runs.iter().map(EntryRun::cost).sum()
    } else {
        0
    }
}
