//! All groups of a store in memory: what each one is, and where its entries lie.
//!
//! Invariants: the ledger says what is durable, no more and no less: a change gets here only after
//! the commit that carries it. A group that changed since its last checkpoint is dirty since the
//! first record with such a change, and waits in `dirty` in that order; so no record from the
//! oldest wait on may be deleted, and every one before it that is dead may: each group with a
//! change in it has a checkpoint that contains the change. Copies made by moving are no changes.

use std::collections::VecDeque;
use std::sync::Arc;

use codec::{Checkpoint, CheckpointState, GroupItem, Item, Restored, Sequence};
use hashbrown::HashMap;
use raft_core::{Configuration, EntryRun, RestoredReplica, RunBody};
use types::{GroupId, LogId, LogIndex};

use crate::error::MisuseFault;
use crate::outline::Outline;
use crate::records::Records;
use crate::runs::{Found, Place, RunList};
use crate::shape::Shape;

/// A group's place in the ledger, found once per group and batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Seat(u32);

impl Seat {
    pub(crate) const fn number(self) -> usize {
        self.0 as usize
    }
}

/// Where (a part of) a run was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    pub(crate) first: LogIndex,
    pub(crate) last: LogIndex,
    pub(crate) place: Place,
    /// Its item follows that of the entries before it, in the same record.
    pub(crate) continues: bool,
}

/// What may go of a group's log with its next checkpoint.
#[derive(Debug)]
struct Release {
    up_to: LogId,
    configuration: Arc<Configuration>,
    /// About what the entries take of their records.
    bytes: u64,
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) outline: Outline,
    pub(crate) base_configuration: Arc<Configuration>,
    /// The configurations in the log, by rising index.
    pub(crate) configurations: Vec<(LogIndex, Arc<Configuration>)>,
    pub(crate) runs: RunList,
    release: Option<Release>,
    /// The number of its wait for a checkpoint; 0 if its checkpoint contains every change.
    wait: u64,
    /// The page that holds its checkpoint; 0 if there is none.
    page: u64,
}

impl Group {
    /// The last entry, and what the ends of runs are counted from.
    pub(crate) const fn end(&self) -> LogIndex {
        self.outline.shape.last()
    }

    /// The page that holds its checkpoint; 0 if there is none.
    pub(crate) const fn page(&self) -> u64 {
        self.page
    }

    /// The last entry that may go.
    pub(crate) fn released(&self) -> Option<LogId> {
        self.release.as_ref().map(|release| release.up_to)
    }

    /// What was released is as good as gone: a change may not touch it, since whether it is there
    /// when the change is made depends on when the next checkpoint is written.
    pub(crate) fn check_release(&self, change: &GroupItem) -> Result<(), MisuseFault> {
        let Some(up_to) = self.released().filter(|_| self.is_of_life(change)) else {
            return Ok(());
        };
        let untouched = |found: LogIndex| {
            let compacted = MisuseFault::Compacted { found, base: up_to.index };
            if found > up_to.index { Ok(()) } else { Err(compacted) }
        };
        match &change.item {
            Item::Append(run) => untouched(run.first),
            Item::Truncate { from } => untouched(*from),
            Item::Compact { base, .. } => {
                let shape = &self.outline.shape;
                let agrees = base.index > up_to.index
                    || base.index <= shape.base().index
                    || shape.term_at(base.index) == Some(base.term);
                if agrees { Ok(()) } else { Err(MisuseFault::NotHeld { found: *base }) }
            }
            Item::Create { .. } | Item::HardState(_) | Item::Remove | Item::Moved(_) => Ok(()),
        }
    }

    fn is_of_life(&self, change: &GroupItem) -> bool {
        self.outline.generation == Some(change.generation)
    }

    /// Forgets everything up to `base`; everything at all if the log does not hold that entry.
    fn compact(&mut self, base: LogId, configuration: &Arc<Configuration>, records: &mut Records) {
        let end = self.end();
        if !self.outline.shape.compact(base) {
            return;
        }
        if self.end() == base.index {
            self.forget_entries(records);
        } else {
            self.runs.release(base.index, end, records);
            self.configurations.retain(|(index, _)| *index > base.index);
        }
        self.base_configuration = Arc::clone(configuration);
    }

    fn discard_from(&mut self, from: LogIndex, end: LogIndex, records: &mut Records) {
        if from > end {
            return;
        }
        self.runs.truncate(from, end, records);
        let kept = self.configurations.partition_point(|(index, _)| *index < from);
        self.configurations.truncate(kept);
    }

    fn forget_entries(&mut self, records: &mut Records) {
        self.runs.clear(records);
        self.configurations = Vec::new();
    }

    /// Lets those entries of a run that are in the log lie in that piece from now on; returns the
    /// last of them. The log holds them already, but while a store is opened it may be that the
    /// record that said what they are is gone, and only this one is left.
    fn point_at(
        &mut self,
        run: &EntryRun,
        piece: Piece,
        records: &mut Records,
    ) -> Option<LogIndex> {
        let Piece { first, last, place, continues } = piece;
        let live = self.outline.shape.live_part(run.term, first, last)?;
        let charge = place.charge.share(live.1.0 - live.0.0 + 1, last.0 - first.0 + 1);
        let place = Some(Place { charge, ..place });
        let found = Found { first: live.0, last: live.1, place };
        self.runs.replace(found, self.outline.shape.last(), continues && live.0 == first, records);
        // The newest copy of an entry says what it is.
        self.configurations.retain(|(index, _)| *index < live.0 || *index > live.1);
        if let RunBody::Configuration(configuration) = &run.body {
            let position = self.configurations.partition_point(|(index, _)| *index < run.first);
            self.configurations.insert(position, (run.first, Arc::clone(configuration)));
        }
        Some(live.1)
    }

    /// What is restored of it; none if it was removed.
    fn restored(&self) -> Option<Restored> {
        let Outline { generation, replica, hard_state, shape } = &self.outline;
        let replica = RestoredReplica {
            replica: (*replica)?,
            hard_state: *hard_state,
            base: shape.base(),
            base_configuration: Arc::clone(&self.base_configuration),
            terms: shape.terms().to_vec(),
            last: shape.last(),
            configurations: self.configurations.clone(),
        };
        Some(Restored { group: self.id, generation: (*generation)?, replica })
    }
}

/// A group that waits for a checkpoint.
#[derive(Debug)]
struct Wait {
    seat: Seat,
    /// Tells this wait from earlier ones of the same group.
    number: u64,
    /// The first record with a change that the group's checkpoint does not contain.
    since: u64,
}

/// All groups, and the records that hold their entries.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    seats: HashMap<GroupId, Seat>,
    groups: Vec<Group>,
    pub(crate) records: Records,
    dirty: VecDeque<Wait>,
    waits: u64,
    released_bytes: u64,
    nobody: Arc<Configuration>,
}

impl Ledger {
    /// The place of a group that is or was here.
    pub(crate) fn seat(&self, group: GroupId) -> Option<Seat> {
        self.seats.get(&group).copied()
    }

    /// The place of a group, made if it has none: a group that was never created.
    pub(crate) fn seat_or_make(&mut self, group: GroupId) -> Seat {
        *self.seats.entry(group).or_insert_with(|| {
            let seat = u32::try_from(self.groups.len()).expect("4 G groups do not fit memory");
            self.groups.push(Group {
                id: group,
                outline: Outline::default(),
                base_configuration: Arc::clone(&self.nobody),
                configurations: Vec::new(),
                runs: RunList::default(),
                release: None,
                wait: 0,
                page: 0,
            });
            Seat(seat)
        })
    }

    /// A group by its place.
    pub(crate) fn group(&self, seat: Seat) -> &Group {
        &self.groups[seat.number()]
    }

    /// Looks at what the next changes of these groups need, and at nothing else: the processor then
    /// fetches several at once from memory, which it does not when it changes one after the other.
    pub(crate) fn fetch(&self, seats: impl Iterator<Item = Seat>) {
        let ends = seats.map(|seat| self.group(seat).runs.newest_first());
        std::hint::black_box(ends.fold(0, |seen, first| seen ^ first));
    }

    /// How many places there are.
    pub(crate) fn seats_len(&self) -> usize {
        self.groups.len()
    }

    /// Takes one durable change, whose entries, if any, lie in `pieces`; `sequence` is a record at
    /// or before the one that holds it.
    ///
    /// # Errors
    /// The change breaks a rule, and nothing was changed.
    pub(crate) fn apply(
        &mut self,
        seat: Seat,
        change: &GroupItem,
        pieces: &[Piece],
        sequence: u64,
    ) -> Result<(), MisuseFault> {
        let records = &mut self.records;
        let group = &mut self.groups[seat.number()];
        let end = group.end();
        match &change.item {
            // A group's own copy of the rule: what is forgotten depends on what was there.
            Item::Compact { base, configuration } => {
                group.outline.check_generation(change.generation)?;
                group.compact(*base, configuration, records);
            }
            Item::Create { .. } | Item::HardState(_) => group.outline.advance(change)?,
            Item::Append(run) => {
                group.outline.advance(change)?;
                group.discard_from(run.first, end, records);
                for piece in pieces {
                    group.runs.append(piece.first, piece.place, piece.continues, records);
                }
                if let RunBody::Configuration(configuration) = &run.body {
                    group.configurations.push((run.first, Arc::clone(configuration)));
                }
            }
            Item::Truncate { from } => {
                group.outline.advance(change)?;
                group.discard_from(*from, end, records);
            }
            Item::Remove => {
                group.outline.advance(change)?;
                group.forget_entries(records);
                group.base_configuration = Arc::clone(&self.nobody);
            }
            Item::Moved(run) => {
                group.outline.advance(change)?;
                for piece in pieces {
                    group.point_at(run, *piece, records);
                }
                return Ok(());
            }
        }
        let (base, is_here) = (group.outline.shape.base(), group.outline.replica.is_some());
        if group.released().is_some_and(|up_to| !is_here || up_to.index <= base.index) {
            self.take_release(seat);
        }
        self.soil(seat, sequence);
        Ok(())
    }

    /// Lets everything up to and including `up_to`, which the log holds, go with the group's next
    /// checkpoint. Until then it is there, for readers too: what goes must go durably first.
    pub(crate) fn release(
        &mut self,
        seat: Seat,
        up_to: LogId,
        configuration: Arc<Configuration>,
        next_sequence: u64,
    ) {
        let group = &mut self.groups[seat.number()];
        let base = group.outline.shape.base();
        if up_to.index <= group.released().unwrap_or(base).index {
            return;
        }
        // What they take on average will do: it decides when, not what.
        let (part, whole) = (up_to.index.0 - base.index.0, group.end().0 - base.index.0);
        let bytes = group.runs.bytes() / whole * part;
        self.released_bytes += bytes;
        if let Some(release) = &mut group.release {
            self.released_bytes -= release.bytes;
            release.up_to = up_to;
            release.bytes = bytes;
            release.configuration = configuration;
        } else {
            group.release = Some(Release { up_to, configuration, bytes });
        }
        self.soil(seat, next_sequence);
    }

    /// About how many bytes of records go with checkpoints.
    pub(crate) const fn released_bytes(&self) -> u64 {
        self.released_bytes
    }

    /// Takes back what was released, to make it take effect or to forget it.
    fn take_release(&mut self, seat: Seat) -> Option<Release> {
        let release = self.groups[seat.number()].release.take()?;
        self.released_bytes -= release.bytes;
        Some(release)
    }

    /// The group waits for a checkpoint, and keeps the records from that one on.
    fn soil(&mut self, seat: Seat, sequence: u64) {
        let group = &mut self.groups[seat.number()];
        if group.wait == 0 {
            self.waits += 1;
            group.wait = self.waits;
            self.dirty.push_back(Wait { seat, number: self.waits, since: sequence });
        }
    }

    /// Takes an item of a record that the group's checkpoint contains: it changes nothing, but may
    /// hold entries that are still in the log. Returns the last index found to be one.
    ///
    /// Records are recalled in the order of their sequence numbers, so of several copies of an
    /// entry the newest is what counts in the end.
    pub(crate) fn recall(
        &mut self,
        seat: Seat,
        change: &GroupItem,
        piece: Piece,
    ) -> Option<LogIndex> {
        let group = &mut self.groups[seat.number()];
        if !group.is_of_life(change) {
            return None;
        }
        let (Item::Append(run) | Item::Moved(run)) = &change.item else { return None };
        group.point_at(run, piece, &mut self.records)
    }

    /// Takes a group as its checkpoint in that page has it; its entries are yet to be recalled.
    /// False if the checkpoint makes no sense.
    pub(crate) fn restore(&mut self, checkpoint: Checkpoint, page: u64) -> bool {
        let seat = self.seat_or_make(checkpoint.group);
        let group = &mut self.groups[seat.number()];
        group.page = page;
        group.outline = Outline { generation: Some(checkpoint.generation), ..Outline::default() };
        group.base_configuration = Arc::clone(&self.nobody);
        group.runs = RunList::default();
        let Some(state) = checkpoint.state else { return true };
        let Some(shape) = Shape::restore(state.base, state.last, state.terms) else { return false };
        if shape.base().index < shape.last() {
            group.runs.start_with_hole(shape.base().index.next());
        }
        group.outline.replica = Some(state.replica);
        group.outline.hard_state = state.hard_state;
        group.outline.shape = shape;
        group.base_configuration = state.base_configuration;
        true
    }

    /// The state of a group that contains all records up to `upto`, without what was released;
    /// none if it was never here.
    pub(crate) fn checkpoint(&self, seat: Seat, upto: u64) -> Option<Checkpoint> {
        let group = self.group(seat);
        let Outline { generation, replica, hard_state, shape } = &group.outline;
        let mut shape = shape.clone();
        let mut configuration = &group.base_configuration;
        if let Some(release) = &group.release {
            shape.compact(release.up_to);
            configuration = &release.configuration;
        }
        let state = replica.map(|replica| CheckpointState {
            replica,
            hard_state: *hard_state,
            base: shape.base(),
            base_configuration: Arc::clone(configuration),
            last: shape.last(),
            terms: shape.terms().to_vec(),
        });
        Some(Checkpoint {
            group: group.id,
            generation: (*generation)?,
            upto: Sequence(upto),
            state,
        })
    }

    /// A checkpoint of the group, as it is, is durable in that page; what was released goes.
    pub(crate) fn checkpointed(&mut self, seat: Seat, page: u64) {
        let release = self.take_release(seat);
        let group = &mut self.groups[seat.number()];
        group.wait = 0;
        group.page = page;
        if let Some(Release { up_to, configuration, .. }) = release {
            group.compact(up_to, &configuration, &mut self.records);
        }
    }

    /// The groups that changed since their last checkpoint, the longest wait first.
    pub(crate) fn dirty(&self) -> impl Iterator<Item = Seat> + '_ {
        self.dirty.iter().filter(|wait| self.is_on(wait)).map(|wait| wait.seat)
    }

    /// The first record that a group waits for a checkpoint of; none if no group is dirty.
    pub(crate) fn dirty_since(&mut self) -> Option<u64> {
        while let Some(wait) = self.dirty.front() {
            if self.is_on(wait) {
                return Some(wait.since);
            }
            self.dirty.pop_front();
        }
        None
    }

    /// Whether a wait has not ended yet: one that has ended leaves the list when it gets to the
    /// front.
    fn is_on(&self, wait: &Wait) -> bool {
        self.group(wait.seat).wait == wait.number
    }

    /// All groups that are here, sorted.
    pub(crate) fn restored(&self) -> Vec<Restored> {
        let mut restored: Vec<_> = self.groups.iter().filter_map(Group::restored).collect();
        restored.sort_unstable_by_key(|restored| restored.group);
        restored
    }

    /// The first entry, of any group, that no record holds.
    pub(crate) fn missing_entry(&self) -> Option<(GroupId, LogIndex)> {
        self.groups.iter().find_map(|group| Some((group.id, group.runs.hole()?)))
    }
}
