//! How long groups have been stuck for want of room: whoever waits there is told after a while that
//! the outcome is unknown, instead of waiting until somebody clears up a disk.
//!
//! Invariant: a group is due once for each time that it has been stuck for so long.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use types::Tick;

use crate::groups::Slot;

/// Since when groups have been stuck.
#[derive(Default, Debug)]
pub(crate) struct Stuck {
    since: BTreeMap<Slot, Tick>,
}

impl Stuck {
    /// These groups are stuck now, and no other; returns those that have been for `patience`.
    pub(crate) fn look(&mut self, now: Tick, patience: u64, stuck: &[Slot]) -> Vec<Slot> {
        let before = core::mem::take(&mut self.since);
        let mut due = Vec::new();
        for slot in stuck {
            let since = before.get(slot).copied().unwrap_or(now);
            let is_due = now.since(since) >= patience;
            self.since.insert(*slot, if is_due { now } else { since });
            if is_due {
                due.push(*slot);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_due_after_the_patience_and_again_after_as_much() {
        let mut stuck = Stuck::default();
        let slots = [Slot(1), Slot(2)];
        let mut look = |now, slots: &[Slot]| stuck.look(Tick(now), 10, slots);
        assert_eq!(look(5, &slots[..1]), []);
        assert_eq!(look(9, &slots), []);
        assert_eq!(look(14, &slots), []);
        assert_eq!(look(15, &slots), [Slot(1)]);
        assert_eq!(look(24, &slots), [Slot(2)]);
        assert_eq!(look(25, &slots), [Slot(1)]);
        // Whoever was not stuck in between begins anew.
        assert_eq!(look(30, &slots[..1]), []);
        assert_eq!(look(34, &slots), []);
    }
}
