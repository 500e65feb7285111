//! When which group wants to be called: the timer of a node, whatever the number of its groups.
//!
//! Invariants: a slot may stand on several days, and its owner knows on which of them it counts; a
//! day that was taken never comes back. Cost of an appointment is the logarithm of the number of
//! different days, which the longest timeout bounds (some twenty), not of the number of groups.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use types::Tick;

use crate::groups::Slot;

/// How many emptied day lists are kept for reuse.
const SPARE_MAX: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Calendar {
    days: BTreeMap<Tick, Vec<Slot>>,
    spare: Vec<Vec<Slot>>,
}

impl Calendar {
    /// Notes that `slot` wants to be called at `day`; the same order of notes gives the same order
    /// of calls.
    pub(crate) fn note(&mut self, day: Tick, slot: Slot) {
        let spare = &mut self.spare;
        self.days.entry(day).or_insert_with(|| spare.pop().unwrap_or_default()).push(slot);
    }

    /// How many notes there are.
    pub(crate) fn len(&self) -> usize {
        self.days.values().map(Vec::len).sum()
    }

    /// Takes the earliest day at or before `now`, if there is one.
    pub(crate) fn take_due(&mut self, now: Tick) -> Option<(Tick, Vec<Slot>)> {
        let first = self.days.first_entry()?;
        if *first.key() > now {
            return None;
        }
        Some(first.remove_entry())
    }

    /// Takes back a list that [`Self::take_due`] gave, so that its memory serves again.
    pub(crate) fn recycle(&mut self, mut day: Vec<Slot>) {
        if self.spare.len() < SPARE_MAX {
            day.clear();
            self.spare.push(day);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn days_come_in_order_and_not_before_their_time() {
        let mut calendar = Calendar::default();
        calendar.note(Tick(5), Slot(1));
        calendar.note(Tick(3), Slot(2));
        calendar.note(Tick(5), Slot(0));
        assert_eq!(calendar.take_due(Tick(2)), None);
        assert_eq!(calendar.take_due(Tick(9)), Some((Tick(3), vec![Slot(2)])));
        assert_eq!(calendar.take_due(Tick(9)), Some((Tick(5), vec![Slot(1), Slot(0)])));
        assert_eq!(calendar.take_due(Tick(9)), None);
    }

    #[test]
    fn a_recycled_list_comes_back_empty() {
        let mut calendar = Calendar::default();
        calendar.note(Tick(1), Slot(7));
        let (_, day) = calendar.take_due(Tick(1)).unwrap();
        calendar.recycle(day);
        calendar.note(Tick(2), Slot(8));
        assert_eq!(calendar.take_due(Tick(2)), Some((Tick(2), vec![Slot(8)])));
    }
}
