//! The shapes of partitions: which ways are cut when nodes lose sight of each other.
//!
//! Full ones leave camps that do not hear each other. Partial ones leave pairs that do not, while
//! others hear both: a hub, a constrained election and a chain are those of "Omni-Paxos: Breaking the
//! Barriers of Partial Connectivity" (EuroSys 2023); a ring is a chain that is closed.

/// Ways between nodes, each in one direction.
pub(crate) type Ways = Vec<(u64, u64)>;

/// The first `camp` nodes and the others do not hear each other.
pub(crate) fn camps(order: &[u64], camp: usize) -> Ways {
    between(order, |from, to| (from < camp) != (to < camp))
}

/// The second node does not hear the first; if `wide`, nobody does.
pub(crate) fn one_way(order: &[u64], wide: bool) -> Ways {
    between(order, |from, to| from == 0 && (wide || to == 1))
}

/// Each node reaches but its two neighbours, the last being the neighbour of the first.
pub(crate) fn ring(order: &[u64]) -> Ways {
    between(order, |from, to| from.abs_diff(to) > 1 && from.abs_diff(to) + 1 < order.len())
}

/// Each node reaches but its neighbours; nobody else hears both of two that are not.
pub(crate) fn chain(order: &[u64]) -> Ways {
    between(order, |from, to| from.abs_diff(to) > 1)
}

/// Only the first node reaches all others: a leader among those has lost its quorum, and the first
/// one alone has one.
pub(crate) fn hub(order: &[u64]) -> Ways {
    between(order, |from, to| from != 0 && to != 0)
}

/// A hub as above, and the second node is apart from everybody. If that was the leader, only the
/// first one has a quorum, and wins if its log is not behind that of too many others.
pub(crate) fn constrained(order: &[u64]) -> Ways {
    between(order, |from, to| from != 0 && to != 0 || from == 1 || to == 1)
}

/// The ways between two different nodes whose places are cut off from each other.
fn between(order: &[u64], is_cut: impl Fn(usize, usize) -> bool) -> Ways {
    let mut ways = Ways::new();
    for (from, sender) in order.iter().enumerate() {
        for (to, receiver) in order.iter().enumerate() {
            if from != to && is_cut(from, to) {
                ways.push((*sender, *receiver));
            }
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many others each of five nodes hears, in their order.
    fn heard(ways: &Ways) -> [usize; 5] {
        [1, 2, 3, 4, 5].map(|node| 4 - ways.iter().filter(|(_, to)| *to == node).count())
    }

    const FIVE: [u64; 5] = [1, 2, 3, 4, 5];

    #[test]
    fn partial_partitions_leave_somebody_who_hears_those_who_do_not_hear_each_other() {
        assert_eq!(heard(&hub(&FIVE)), [4, 1, 1, 1, 1]);
        assert_eq!(heard(&constrained(&FIVE)), [3, 0, 1, 1, 1]);
        assert_eq!(heard(&chain(&FIVE)), [1, 2, 2, 2, 1]);
        assert_eq!(heard(&ring(&FIVE)), [2, 2, 2, 2, 2]);
    }

    #[test]
    fn full_partitions_leave_camps() {
        assert_eq!(heard(&camps(&FIVE, 2)), [1, 1, 2, 2, 2]);
        assert_eq!(heard(&one_way(&FIVE, false)), [4, 3, 4, 4, 4]);
        assert_eq!(heard(&one_way(&FIVE, true)), [4, 3, 3, 3, 3]);
    }

    #[test]
    fn cuts_but_for_one_way_ones_are_mutual() {
        for ways in [hub(&FIVE), constrained(&FIVE), chain(&FIVE), ring(&FIVE), camps(&FIVE, 1)] {
            assert!(ways.iter().all(|(from, to)| ways.contains(&(*to, *from))));
        }
    }
}
