//! What proposers were told, beside what the state machines hold: the two must agree to the entry.

use std::fmt;

use crate::figure::Wrong;

/// Nodes, and replicas of every group.
pub(crate) const NODES: usize = 3;

/// One replica's state: all that it has applied, in its order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Machine {
    count: u64,
    /// Of the entries with their places, in the order of application.
    digest: u64,
    /// Of the entries with their places, in any order.
    sum: u64,
}

impl Machine {
    /// Applies one entry.
    #[inline]
    pub(crate) fn apply(&mut self, index: u64, payload: &[u8]) {
        let mark = mark(index, payload);
        self.count += 1;
        self.digest = self.digest.rotate_left(1) ^ mark;
        self.sum = self.sum.wrapping_add(mark);
    }

    /// How many entries it has applied.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }
}

/// What the proposers of one group were told: these entries are applied, at these places.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Told {
    count: u64,
    sum: u64,
}

impl Told {
    /// A proposer learned that his payload is the entry at `index`, and applied.
    #[inline]
    pub(crate) fn applied(&mut self, index: u64, payload: &[u8]) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(mark(index, payload));
    }

    /// Adds what other proposers of the same group were told.
    pub(crate) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// How many entries they were told of.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }
}

/// Differs between any two entries of a group, as far as 64 bits can; short, because both sides
/// pay for it with every entry and replica.
#[inline]
fn mark(index: u64, payload: &[u8]) -> u64 {
    let (low, high) = match payload.split_first_chunk::<8>() {
        Some((low, high)) => (u64::from_le_bytes(*low), high.try_into().map(u64::from_le_bytes)),
        None => (0, Ok(0)),
    };
    // A payload of another length is not what was proposed: whoever holds it agrees with nobody.
    let high = high.unwrap_or(0);
    let mixed = (low ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(high);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 29)
}

/// All that is left of a run once it is over: by node, then by group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    /// By group.
    pub(crate) told: Vec<Told>,
    /// By node, then by group.
    pub(crate) machines: [Vec<Machine>; NODES],
}

/// The state that all nodes agree on. Its `Display` is short and differs with any entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hash(u64);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Outcome {
    /// Compares each group's state machines with each other and with what its proposers were told.
    /// Returns the hash of all states of a node.
    ///
    /// # Errors
    /// Names the first group that differs: a write is missing somewhere, or one is there that was
    /// never acknowledged, or in another order or place.
    pub(crate) fn verify(&self) -> Result<Hash, Wrong> {
        let mut hash = 0;
        for (group, told) in self.told.iter().enumerate() {
            let states = self.machines.each_ref().map(|node| node.get(group).copied());
            let [Some(first), Some(second), Some(third)] = states else {
                return Err(Wrong(format!("group {group} is missing on a node: {states:?}")));
            };
            if second != first || third != first {
                return Err(Wrong(format!(
                    "group {group} differs between the nodes: {first:?}, {second:?}, {third:?}"
                )));
            }
            if (told.count, told.sum) != (first.count, first.sum) {
                return Err(Wrong(format!(
                    "group {group} holds {first:?}, but its proposers were told of {told:?}"
                )));
            }
            hash = mark(group as u64 ^ hash, &first.digest.to_le_bytes());
        }
        Ok(Hash(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::payload;

    /// One group of which all is well: entries 5 to 9.
    fn outcome() -> Outcome {
        let (mut machine, mut told) = (Machine::default(), Told::default());
        for index in 5..10 {
            machine.apply(index, &payload(1, index));
            told.applied(index, &payload(1, index));
        }
        Outcome { told: vec![told], machines: [(); NODES].map(|()| vec![machine]) }
    }

    fn wrong(outcome: &Outcome) -> String {
        outcome.verify().unwrap_err().to_string()
    }

    #[test]
    fn what_all_agree_on_has_a_hash() {
        let hash = outcome().verify().unwrap();
        let mut longer = outcome();
        longer.told[0].applied(10, b"more of the same");
        for node in &mut longer.machines {
            node[0].apply(10, b"more of the same");
        }
        assert_ne!(longer.verify().unwrap(), hash);
    }

    #[test]
    fn a_write_that_one_node_misses_voids_the_figure() {
        for node in 0..NODES {
            let mut outcome = outcome();
            outcome.machines[node][0] = Machine::default();
            for index in 5..9 {
                outcome.machines[node][0].apply(index, &payload(1, index));
            }
            assert!(wrong(&outcome).starts_with("group 0 differs between the nodes"));
        }
    }

    #[test]
    fn a_write_that_was_acknowledged_and_is_nowhere_voids_the_figure() {
        let mut outcome = outcome();
        outcome.told[0].applied(10, &payload(1, 10));
        assert!(wrong(&outcome).contains("its proposers were told of"));
    }

    #[test]
    fn a_write_at_another_place_or_in_another_order_voids_the_figure() {
        let mut displaced = outcome();
        let mut told = Told::default();
        (5..10).for_each(|index| told.applied(index + 1, &payload(1, index)));
        displaced.told[0] = told;
        assert!(wrong(&displaced).contains("its proposers were told of"));
        let mut swapped = outcome();
        let mut machine = Machine::default();
        for index in [5, 7, 6, 8, 9] {
            machine.apply(index, &payload(1, index));
        }
        swapped.machines[2][0] = machine;
        assert!(wrong(&swapped).starts_with("group 0 differs between the nodes"));
    }

    #[test]
    fn two_writes_cannot_share_a_place() {
        let mut outcome = outcome();
        // Somebody is told of an entry that is another's, and his own is nowhere.
        let mut told = Told::default();
        (5..9).for_each(|index| told.applied(index, &payload(1, index)));
        told.applied(8, &payload(1, 9));
        outcome.told[0] = told;
        assert!(wrong(&outcome).contains("its proposers were told of"));
    }

    #[test]
    fn a_group_that_a_node_does_not_have_voids_the_figure() {
        let mut outcome = outcome();
        outcome.machines[1].clear();
        assert!(wrong(&outcome).contains("missing on a node"));
    }
}
