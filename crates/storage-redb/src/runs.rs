//! Where one group's entries lie: the in-memory index, 12 bytes for each run of entries that follow
//! each other in one record.
//!
//! Invariants: the runs rise by first index and cover the log without a gap, so a run ends where
//! the next one begins, and the last one where the log does (which the caller says: it is kept in
//! the group's [`crate::shape::Shape`]). A hole, which only exists while a store is being opened,
//! is a run without a record. Every run is accounted for in [`Records`].
//!
//! A run may point at several items of a record that follow each other and belong together, at the
//! first one; it may be less than they hold, because entries at either end are no longer in the
//! log. So whoever reads one takes from the items what lies within the run.

use std::collections::VecDeque;

use types::LogIndex;

use crate::records::{Charge, Records, Slot};

/// Where a run lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Its record.
    pub(crate) slot: Slot,
    /// The byte of the record at which its first item starts; below [`OFFSET_MAX`].
    pub(crate) offset: u32,
    /// What its items take of the record.
    pub(crate) charge: Charge,
}

/// Items start below this byte: offsets are packed into the bits that charges leave.
pub(crate) const OFFSET_MAX: u32 = 1 << (u32::BITS - Charge::BITS);

/// A run with its place; `place` is none for a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) first: LogIndex,
    pub(crate) last: LogIndex,
    pub(crate) place: Option<Place>,
}

/// The index of one group's log.
#[derive(Default, Debug)]
pub(crate) struct RunList {
    /// What `first` of every run counts from.
    origin: u64,
    runs: VecDeque<Run>,
    /// The sum of all charges.
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    first: u32,
    slot: u32,
    offset_and_charge: u32,
}

const NO_SLOT: u32 = u32::MAX;

impl Run {
    const fn new(first: u32, place: Place) -> Self {
        assert!(place.offset < OFFSET_MAX, "record_bytes_max keeps offsets low");
        let offset_and_charge = place.offset << Charge::BITS | place.charge.to_bits();
        Self { first, slot: place.slot.0, offset_and_charge }
    }

    fn place(self) -> Option<Place> {
        (self.slot != NO_SLOT).then(|| Place {
            slot: Slot(self.slot),
            offset: self.offset_and_charge >> Charge::BITS,
            charge: Charge::from_bits(self.offset_and_charge),
        })
    }
}

impl RunList {
    /// How many runs there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// What all entries take of their records.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the last run says of its first entry; for nothing but looking at it.
    pub(crate) fn newest_first(&self) -> u32 {
        self.runs.back().map_or(0, |run| run.first)
    }

    /// The first entry without a place, if any.
    pub(crate) fn hole(&self) -> Option<LogIndex> {
        let hole = self.runs.iter().find(|run| run.slot == NO_SLOT)?;
        Some(LogIndex(self.origin + u64::from(hole.first)))
    }

    /// Makes one hole of a log that has entries from `first` on; there are no runs yet.
    pub(crate) fn start_with_hole(&mut self, first: LogIndex) {
        assert!(self.runs.is_empty(), "a log starts once");
        self.origin = first.0;
        self.push(Run { first: 0, slot: NO_SLOT, offset_and_charge: 0 });
    }

    /// Gives entries that follow the last one a place.
    ///
    /// `continues` says that their item follows that of the last run in the same record, so that
    /// both become one run.
    pub(crate) fn append(
        &mut self,
        first: LogIndex,
        place: Place,
        continues: bool,
        records: &mut Records,
    ) {
        if continues && self.extend(self.runs.len(), place, records) {
            return;
        }
        if self.runs.is_empty() {
            self.origin = first.0;
        }
        let run = Run::new(self.relative(first), place);
        self.push(run);
        self.charge(place, records);
    }

    /// Gives `first..=last`, which lie within the log that ends at `end`, another place.
    pub(crate) fn replace(
        &mut self,
        found: Found,
        end: LogIndex,
        continues: bool,
        records: &mut Records,
    ) {
        let Found { first, last, place: Some(place) } = found else { return };
        let from = self.position(first);
        let to = self.position(last);
        let left = (self.first(from) < first)
            .then(|| self.part(from, end, self.first(from), first.prev()));
        let right = (last < self.last(to, end))
            .then(|| self.part(to, end, last.next(), self.last(to, end)));
        for position in from..=to {
            self.drop_at(position, records);
        }
        for place in [left, right].into_iter().flatten().filter_map(Run::place) {
            self.charge(place, records);
        }
        let merges = continues && left.is_none() && self.extend(from, place, records);
        let new = if merges { None } else { Some(Run::new(self.relative(first), place)) };
        if new.is_some() {
            self.charge(place, records);
        }
        let mut parts = [left, new, right].into_iter().flatten();
        let mut position = from;
        while position <= to {
            let Some(run) = parts.next() else { break };
            self.runs[position] = run;
            position += 1;
        }
        if position <= to {
            self.runs.drain(position..=to);
        }
        for run in parts {
            self.make_room();
            self.runs.insert(position, run);
            position += 1;
        }
    }

    /// Discards the entries from `from` on of a log that ends at `end`.
    pub(crate) fn truncate(&mut self, from: LogIndex, end: LogIndex, records: &mut Records) {
        let mut end = end;
        while let Some(position) = self.runs.len().checked_sub(1) {
            let first = self.first(position);
            if first >= from {
                self.drop_at(position, records);
                self.runs.pop_back();
                end = first.prev();
                continue;
            }
            if end >= from {
                let kept = self.part(position, end, first, from.prev());
                self.replace_run(position, kept, records);
            }
            break;
        }
    }

    /// Forgets the entries up to and including `up_to` of a log that ends at `end`.
    pub(crate) fn release(&mut self, up_to: LogIndex, end: LogIndex, records: &mut Records) {
        while !self.runs.is_empty() {
            let (first, last) = (self.first(0), self.last(0, end));
            if last <= up_to {
                self.drop_at(0, records);
                self.runs.pop_front();
                continue;
            }
            if first <= up_to {
                let kept = self.part(0, end, up_to.next(), last);
                self.replace_run(0, kept, records);
            }
            break;
        }
        self.rebase();
    }

    /// Forgets all entries.
    pub(crate) fn clear(&mut self, records: &mut Records) {
        for position in 0..self.runs.len() {
            self.drop_at(position, records);
        }
        self.runs = VecDeque::new();
    }

    /// The runs that hold `first..=last`, cut to that range, in log order; both ends lie within the
    /// log, which ends at `end`.
    pub(crate) fn find(
        &self,
        first: LogIndex,
        last: LogIndex,
        end: LogIndex,
    ) -> impl Iterator<Item = Found> + '_ {
        let from = if self.runs.is_empty() { 0 } else { self.position(first) };
        let ends = (from..self.runs.len()).map(move |position| {
            let ends = (self.first(position).max(first), self.last(position, end).min(last));
            (position, ends.0, ends.1)
        });
        let within = ends.take_while(|(_, first, last)| first <= last);
        within.map(move |(position, first, last)| {
            let place = self.part(position, end, first, last).place();
            Found { first, last, place }
        })
    }

    /// The position of the run that holds `index`; the first one if none does.
    fn position(&self, index: LogIndex) -> usize {
        let relative = index.0.saturating_sub(self.origin);
        self.runs.partition_point(|run| u64::from(run.first) <= relative).saturating_sub(1)
    }

    fn first(&self, position: usize) -> LogIndex {
        LogIndex(self.origin + u64::from(self.runs[position].first))
    }

    fn last(&self, position: usize, end: LogIndex) -> LogIndex {
        if position + 1 < self.runs.len() { self.first(position + 1).prev() } else { end }
    }

    /// A run cut to `first..=last`, charged by its share of the entries.
    fn part(&self, position: usize, end: LogIndex, first: LogIndex, last: LogIndex) -> Run {
        let relative = self.relative(first);
        let Some(place) = self.runs[position].place() else {
            return Run { first: relative, ..self.runs[position] };
        };
        let whole = self.last(position, end).0 - self.first(position).0 + 1;
        let part = last.0 - first.0 + 1;
        let charge = if part == whole { place.charge } else { place.charge.share(part, whole) };
        Run::new(relative, Place { charge, ..place })
    }

    /// Adds `place` to the run before `position` if that lies in the same record.
    fn extend(&mut self, position: usize, place: Place, records: &mut Records) -> bool {
        let Some(before) = position.checked_sub(1).and_then(|before| self.runs.get_mut(before))
        else {
            return false;
        };
        let Some(old) = before.place().filter(|old| old.slot == place.slot) else { return false };
        let charge = Charge::of(old.charge.bytes() + place.charge.bytes());
        *before = Run::new(before.first, Place { charge, ..old });
        self.bytes = self.bytes + charge.bytes() - old.charge.bytes();
        records.recharge(old.slot, old.charge, charge);
        true
    }

    fn replace_run(&mut self, position: usize, new: Run, records: &mut Records) {
        self.drop_at(position, records);
        if let Some(place) = new.place() {
            self.charge(place, records);
        }
        self.runs[position] = new;
    }

    fn charge(&mut self, place: Place, records: &mut Records) {
        self.bytes += place.charge.bytes();
        records.add(place.slot, place.charge);
    }

    fn drop_at(&mut self, position: usize, records: &mut Records) {
        if let Some(place) = self.runs[position].place() {
            self.bytes -= place.charge.bytes();
            records.drop_run(place.slot, place.charge);
        }
    }

    fn relative(&self, index: LogIndex) -> u32 {
        let relative = index.0.checked_sub(self.origin).and_then(|r| u32::try_from(r).ok());
        relative.expect("a log has at most Shape::ENTRIES_MAX entries after its origin's half")
    }

    /// Inlined, so that a run goes from registers to its place: it is written in parts, and the
    /// processor waits for a part to be in memory before it reads it back as a part of the whole.
    #[inline]
    fn push(&mut self, run: Run) {
        self.make_room();
        self.runs.push_back(run);
    }

    /// Grows by a quarter instead of doubling: there are many lists, and most of memory is theirs.
    #[inline]
    fn make_room(&mut self) {
        if self.runs.len() == self.runs.capacity() {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        self.runs.reserve_exact((self.runs.len() / 4).max(2));
    }

    /// Moves the origin up once half of what 32 bits can count lies behind it, and gives memory
    /// back that three quarters of the runs have left.
    fn rebase(&mut self) {
        let Some(first) = self.runs.front().map(|run| run.first) else {
            self.runs = VecDeque::new();
            return;
        };
        if first > u32::MAX / 4 {
            self.origin += u64::from(first);
            for run in &mut self.runs {
                run.first -= first;
            }
        }
        if self.runs.capacity() > 16 && self.runs.len() < self.runs.capacity() / 4 {
            self.runs.shrink_to(self.runs.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Change {
        Append { count: u64, record: usize, continues: bool },
        Replace { first: u64, count: u64, record: usize },
        Truncate { back: u64 },
        Release { up_to: u64 },
        Clear,
    }

    fn change() -> impl Strategy<Value = Change> {
        let (count, record, index) = (1u64..6, 0usize..4, 0u64..40);
        prop_oneof![
            4 => (count.clone(), record.clone(), any::<bool>())
                .prop_map(|(count, record, continues)| Change::Append { count, record, continues }),
            3 => (index.clone(), count, record)
                .prop_map(|(first, count, record)| Change::Replace { first, count, record }),
            2 => (0u64..8).prop_map(|back| Change::Truncate { back }),
            2 => index.prop_map(|up_to| Change::Release { up_to }),
            1 => Just(Change::Clear),
        ]
    }

    /// A list beside the plain truth: for every entry the record and offset that hold it.
    #[derive(Default)]
    struct Pair {
        runs: RunList,
        records: Records,
        slots: Vec<Slot>,
        base: u64,
        end: u64,
        truth: BTreeMap<u64, (Slot, u32)>,
        offset: u32,
    }

    impl Pair {
        fn place(&mut self, record: usize, count: u64) -> Place {
            self.offset += 100;
            Place {
                slot: self.slots[record],
                offset: self.offset,
                charge: Charge::of(20 + count * 30),
            }
        }

        fn apply(&mut self, change: &Change) {
            let end = LogIndex(self.end);
            match *change {
                Change::Append { count, record, continues } => {
                    let place = self.place(record, count);
                    let before = self.truth.get(&self.end).copied();
                    let merged = before.filter(|(slot, _)| continues && *slot == place.slot);
                    let (slot, offset) = merged.unwrap_or((place.slot, place.offset));
                    self.runs.append(end.next(), place, continues, &mut self.records);
                    for index in self.end + 1..=self.end + count {
                        self.truth.insert(index, (slot, offset));
                    }
                    self.end += count;
                }
                Change::Replace { first, count, record } => {
                    let last = (first + count - 1).min(self.end);
                    let first = first.max(self.base + 1);
                    if first > last {
                        return;
                    }
                    let place = self.place(record, count);
                    let found =
                        Found { first: LogIndex(first), last: LogIndex(last), place: Some(place) };
                    self.runs.replace(found, end, false, &mut self.records);
                    for index in first..=last {
                        self.truth.insert(index, (place.slot, place.offset));
                    }
                }
                Change::Truncate { back } => {
                    let from = (self.end + 1).saturating_sub(back).max(self.base + 1);
                    self.runs.truncate(LogIndex(from), end, &mut self.records);
                    self.truth.split_off(&from);
                    self.end = from - 1;
                }
                Change::Release { up_to } => {
                    let up_to = up_to.clamp(self.base, self.end);
                    self.runs.release(LogIndex(up_to), end, &mut self.records);
                    self.truth = self.truth.split_off(&(up_to + 1));
                    self.base = up_to;
                }
                Change::Clear => {
                    self.runs.clear(&mut self.records);
                    self.truth.clear();
                    self.base = self.end;
                }
            }
        }

        fn check(&self) {
            let mut found = BTreeMap::new();
            let (first, last) = (LogIndex(self.base + 1), LogIndex(self.end));
            if first <= last {
                for run in self.runs.find(first, last, last) {
                    let place = run.place.expect("there are no holes here");
                    for index in run.first.0..=run.last.0 {
                        found.insert(index, (place.slot, place.offset));
                    }
                }
            }
            assert_eq!(found, self.truth);
            let places = self.runs.runs.iter().filter_map(|run| run.place());
            let live: u64 = places.map(|place| place.charge.bytes()).sum();
            assert_eq!((self.records.live_bytes(), self.runs.bytes()), (live, live));
            let dead = self.records.dead_below(u64::MAX).map(|(_, slot)| slot);
            let mut needed: Vec<Slot> = self.truth.values().map(|(slot, _)| *slot).collect();
            needed.extend(dead);
            needed.sort_unstable();
            needed.dedup();
            assert_eq!(needed.len(), self.slots.len(), "a record is either needed or dead");
        }
    }

    proptest! {
        #[test]
        fn every_entry_is_found_where_it_was_put(changes in prop::collection::vec(change(), 1..40)) {
            let mut pair = Pair::default();
            for sequence in 0..4 {
                let slot = pair.records.insert(sequence, 4096);
                pair.slots.push(slot);
            }
            for change in &changes {
                pair.apply(change);
                pair.records.settle();
                pair.check();
            }
        }
    }

    #[test]
    fn a_hole_is_filled_in_any_order_and_merges_what_follows() {
        let mut records = Records::default();
        let slots = [records.insert(1, 4096), records.insert(2, 4096)];
        let mut runs = RunList::default();
        runs.start_with_hole(LogIndex(11));
        let end = LogIndex(20);
        let mut put = |first, last, slot: usize, offset, continues| {
            let place = Place { slot: slots[slot], offset, charge: Charge::of(50) };
            let (first, last) = (LogIndex(first), LogIndex(last));
            let found = Found { first, last, place: Some(place) };
            runs.replace(found, end, continues, &mut records);
            (runs.hole().map(|index| index.0), runs.len())
        };
        assert_eq!(put(14, 16, 0, 8, false), (Some(11), 3));
        assert_eq!(put(17, 17, 0, 90, true), (Some(11), 3));
        assert_eq!(put(11, 13, 1, 8, false), (Some(18), 3));
        assert_eq!(put(18, 20, 1, 90, false), (None, 3));
    }

    #[test]
    fn a_run_takes_twelve_bytes() {
        assert_eq!(size_of::<Run>(), 12);
    }

    #[test]
    fn the_origin_follows_a_log_that_moves_on() {
        let mut records = Records::default();
        let slot = records.insert(1, 4096);
        let mut runs = RunList::default();
        let place = Place { slot, offset: 8, charge: Charge::of(50) };
        let step = u64::from(u32::MAX / 3);
        let mut end = LogIndex(0);
        for _ in 0..20 {
            runs.append(end.next(), place, false, &mut records);
            end = end.plus(step);
            runs.release(LogIndex(end.0 - 5), end, &mut records);
            let found: Vec<_> = runs.find(LogIndex(end.0 - 4), end, end).collect();
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].first, found[0].last), (LogIndex(end.0 - 4), end));
        }
    }
}
