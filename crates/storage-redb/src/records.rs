//! The records of the log as the index sees them: how much of each is still needed.
//!
//! Invariants: a record's `runs` counts the index runs that point into it and `live_bytes` sums
//! their charges. Once [`Records::settle`] was called after the last change, a record is in `dead`
//! exactly if `runs` is 0, in `sparse` exactly if it is less than a quarter live but not dead, and
//! the sums say what the sets hold; a commit changes thousands of runs of a few records, so this is
//! seen to once and not with each. A slot is reused only after its record was removed, which takes
//! a dead one: no run ever points into another record than the one it was made for.

use std::collections::BTreeMap;

use crate::packer::leaf_bytes_max;

/// A record's place in memory, half the size of its sequence number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Slot(pub(crate) u32);

/// A byte count in ten bits, at most 3% above the truth: five bits of exponent, five of mantissa.
/// The sums over them are exact sums of rounded numbers, so they return to zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Charge(u16);

impl Charge {
    pub(crate) const BITS: u32 = 10;

    /// The smallest charge that is not below `bytes`.
    pub(crate) fn of(bytes: u64) -> Self {
        let shift = (u64::BITS - bytes.leading_zeros()).saturating_sub(6);
        if shift == 0 && bytes < 32 {
            return Self(low_bits(bytes));
        }
        let rounded_up = (bytes + (1 << shift) - 1) >> shift;
        if rounded_up == 64 {
            return Self(low_bits((u64::from(shift) + 2) << 5));
        }
        Self(low_bits(((u64::from(shift) + 1) << 5) | (rounded_up - 32)))
    }

    /// How many bytes it stands for.
    pub(crate) fn bytes(self) -> u64 {
        let mantissa = u64::from(self.0 & 31);
        match self.0 >> 5 {
            0 => mantissa,
            exponent => (32 + mantissa) << (exponent - 1),
        }
    }

    /// The share of `part` entries out of `whole`; at least one byte.
    pub(crate) fn share(self, part: u64, whole: u64) -> Self {
        let share = u128::from(self.bytes()) * u128::from(part) / u128::from(whole.max(1));
        Self::of(u64::try_from(share).unwrap_or(u64::MAX >> 8).max(1))
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.0 as u32
    }

    /// The inverse of [`Charge::to_bits`]; higher bits are ignored.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(low_bits(u64::from(bits)))
    }
}

fn low_bits(bits: u64) -> u16 {
    u16::try_from(bits & 0x3ff).expect("ten bits fit sixteen")
}

/// One record.
#[derive(Clone, Copy, Debug)]
struct Record {
    sequence: u64,
    live_bytes: u64,
    file_bytes: u32,
    runs: u32,
    /// The set that it is in.
    class: Class,
    /// It waits in `unsettled`.
    is_unsettled: bool,
}

/// How much of a record is still needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// A quarter at least; also what a record is when it is entered.
    Live,
    /// Less than a quarter; so many bytes of the file are lost with it.
    Sparse { lost: u32 },
    /// Nothing.
    Dead,
}

impl Record {
    fn due_class(&self) -> Class {
        if self.runs == 0 {
            return Class::Dead;
        }
        match u32::try_from(self.live_bytes) {
            Ok(live) if live < self.file_bytes / 4 => {
                Class::Sparse { lost: self.file_bytes - live }
            }
            _ => Class::Live,
        }
    }
}

/// All records that are in the file.
#[derive(Default, Debug)]
pub(crate) struct Records {
    slab: Vec<Record>,
    vacant: Vec<Slot>,
    dead: BTreeMap<u64, Slot>,
    sparse: BTreeMap<u64, Slot>,
    unsettled: Vec<Slot>,
    file_bytes: u64,
    leaf_bytes_max: u64,
    live_bytes: u64,
    dead_bytes: u64,
    sparse_bytes: u64,
}

impl Records {
    /// Enters a record that takes `file_bytes` of the file.
    pub(crate) fn insert(&mut self, sequence: u64, file_bytes: u32) -> Slot {
        let record = Record {
            sequence,
            live_bytes: 0,
            file_bytes,
            runs: 0,
            class: Class::Live,
            is_unsettled: true,
        };
        let slot = if let Some(slot) = self.vacant.pop() {
            self.slab[slot.0 as usize] = record;
            slot
        } else {
            let slot = u32::try_from(self.slab.len()).expect("4 G records do not fit a disk");
            self.slab.push(record);
            Slot(slot)
        };
        self.file_bytes += u64::from(file_bytes);
        self.leaf_bytes_max += leaf_bytes_max(u64::from(file_bytes));
        self.unsettled.push(slot);
        slot
    }

    /// Forgets a dead record, which is no longer in the file.
    pub(crate) fn remove(&mut self, slot: Slot) {
        let record = self.slab[slot.0 as usize];
        let dead = self.dead.remove(&record.sequence);
        assert_eq!(dead, Some(slot), "record {} is removed but still needed", record.sequence);
        self.file_bytes -= u64::from(record.file_bytes);
        self.leaf_bytes_max -= leaf_bytes_max(u64::from(record.file_bytes));
        self.dead_bytes -= u64::from(record.file_bytes);
        self.vacant.push(slot);
    }

    /// A run points into the record from now on.
    pub(crate) fn add(&mut self, slot: Slot, charge: Charge) {
        let record = self.change(slot);
        record.runs += 1;
        record.live_bytes += charge.bytes();
        self.live_bytes += charge.bytes();
    }

    /// A run no longer points into the record.
    pub(crate) fn drop_run(&mut self, slot: Slot, charge: Charge) {
        let record = self.change(slot);
        record.runs -= 1;
        record.live_bytes -= charge.bytes();
        self.live_bytes -= charge.bytes();
    }

    /// A run grew or shrank.
    pub(crate) fn recharge(&mut self, slot: Slot, old: Charge, new: Charge) {
        let record = self.change(slot);
        record.live_bytes = record.live_bytes + new.bytes() - old.bytes();
        self.live_bytes = self.live_bytes + new.bytes() - old.bytes();
    }

    /// Makes sets and sums true after changes.
    pub(crate) fn settle(&mut self) {
        while let Some(slot) = self.unsettled.pop() {
            let record = &mut self.slab[slot.0 as usize];
            record.is_unsettled = false;
            let (sequence, bytes) = (record.sequence, u64::from(record.file_bytes));
            let before = record.class;
            record.class = record.due_class();
            match before {
                Class::Live => {}
                Class::Sparse { lost } => {
                    self.sparse_bytes -= u64::from(lost);
                    self.sparse.remove(&sequence);
                }
                Class::Dead => {
                    self.dead_bytes -= bytes;
                    self.dead.remove(&sequence);
                }
            }
            match record.class {
                Class::Live => {}
                Class::Sparse { lost } => {
                    self.sparse_bytes += u64::from(lost);
                    self.sparse.insert(sequence, slot);
                }
                Class::Dead => {
                    self.dead_bytes += bytes;
                    self.dead.insert(sequence, slot);
                }
            }
        }
    }

    /// The sequence number of the record in a slot.
    pub(crate) fn sequence(&self, slot: Slot) -> u64 {
        self.slab[slot.0 as usize].sequence
    }

    /// What the record in a slot takes of the file.
    pub(crate) fn bytes(&self, slot: Slot) -> u64 {
        u64::from(self.slab[slot.0 as usize].file_bytes)
    }

    /// The dead records below a sequence number, oldest first.
    pub(crate) fn dead_below(&self, sequence: u64) -> impl Iterator<Item = (u64, Slot)> + '_ {
        self.dead.range(..sequence).map(|(sequence, slot)| (*sequence, *slot))
    }

    /// The records that are less than a quarter live, oldest first.
    pub(crate) fn sparse(&self) -> impl Iterator<Item = (u64, Slot)> + '_ {
        self.sparse.iter().map(|(sequence, slot)| (*sequence, *slot))
    }

    /// How many records there are.
    pub(crate) const fn len(&self) -> usize {
        self.slab.len() - self.vacant.len()
    }

    /// How many bytes of the file all records take.
    pub(crate) const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// How many bytes the leaves of redb take that hold the records, at most.
    pub(crate) const fn leaf_bytes_max(&self) -> u64 {
        self.leaf_bytes_max
    }

    /// How many bytes are needed.
    pub(crate) const fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// How many bytes of the file the dead records take.
    pub(crate) const fn dead_bytes(&self) -> u64 {
        self.dead_bytes
    }

    /// How many bytes are lost in sparse records.
    pub(crate) const fn sparse_bytes(&self) -> u64 {
        self.sparse_bytes
    }

    fn change(&mut self, slot: Slot) -> &mut Record {
        let record = &mut self.slab[slot.0 as usize];
        if !record.is_unsettled {
            record.is_unsettled = true;
            self.unsettled.push(slot);
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_charge_is_at_most_a_thirtysecond_above_the_truth(bytes in 0u64..1 << 34) {
            let charged = Charge::of(bytes).bytes();
            prop_assert!(charged >= bytes && charged - bytes <= bytes / 32);
        }

        #[test]
        fn a_charge_survives_packing(bytes in 0u64..1 << 34) {
            let charge = Charge::of(bytes);
            prop_assert_eq!(Charge::from_bits(charge.to_bits()), charge);
            prop_assert_eq!(Charge::of(charge.bytes()), charge);
        }
    }

    #[test]
    fn records_turn_sparse_then_dead_as_their_runs_go() {
        let mut records = Records::default();
        let slot = records.insert(9, 4096);
        let (big, small) = (Charge::of(3000), Charge::of(500));
        records.add(slot, big);
        records.add(slot, small);
        records.settle();
        assert_eq!((records.dead_bytes(), records.sparse_bytes()), (0, 0));
        records.drop_run(slot, big);
        records.settle();
        assert_eq!(records.sparse().collect::<Vec<_>>(), [(9, slot)]);
        assert_eq!(records.sparse_bytes(), 4096 - small.bytes());
        records.drop_run(slot, small);
        records.settle();
        assert_eq!((records.sparse_bytes(), records.live_bytes()), (0, 0));
        assert_eq!(records.dead_below(10).collect::<Vec<_>>(), [(9, slot)]);
        assert_eq!(records.dead_below(9).count(), 0);
        records.remove(slot);
        assert_eq!((records.file_bytes(), records.dead_bytes()), (0, 0));
        assert_eq!((records.leaf_bytes_max(), records.len()), (0, 0));
        assert_eq!(records.insert(10, 1), slot);
    }

    #[test]
    #[should_panic(expected = "still needed")]
    fn a_record_that_is_needed_is_never_removed() {
        let mut records = Records::default();
        let slot = records.insert(1, 4096);
        records.add(slot, Charge::of(1));
        records.settle();
        records.remove(slot);
    }
}
