//! Majorities, as pure functions of a configuration. In a joint configuration a decision needs a
//! majority of both halves (dissertation 4.3).
//!
//! Learners never count; neither does anybody in an empty configuration, so nothing is decided
//! there.

use types::ReplicaId;

use crate::{Configuration, Replica};

/// How many of `voters` are a majority.
pub const fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Whether those for whom `agrees` holds are a quorum.
pub fn is_reached(configuration: &Configuration, agrees: impl Fn(ReplicaId) -> bool) -> bool {
    let half = |voters: &[Replica]| {
        voters.iter().filter(|voter| agrees(voter.id)).count() >= majority(voters.len())
    };
    half(configuration.incoming()) && (!configuration.is_joint() || half(configuration.outgoing()))
}

/// Whether a quorum has become impossible, those for whom `refuses` holds being out.
pub fn is_lost(configuration: &Configuration, refuses: impl Fn(ReplicaId) -> bool) -> bool {
    !is_reached(configuration, |replica| !refuses(replica))
}

/// The highest value that a quorum has reached: the commit index if `value` is the match index
/// (paper 5.3), the time of the last contact with a quorum if it is a time. Zero in an empty
/// configuration.
pub fn reached(configuration: &Configuration, value: impl Fn(ReplicaId) -> u64) -> u64 {
    let half = |voters: &[Replica]| {
        // The largest value that a majority is at or above. Groups have a handful of voters, so
        // counting pairs beats sorting a copy, and needs no memory.
        let at_least = |floor: u64| voters.iter().filter(|v| value(v.id) >= floor).count();
        let values = voters.iter().map(|voter| value(voter.id));
        values.filter(|v| at_least(*v) >= majority(voters.len())).max().unwrap_or(0)
    };
    let incoming = half(configuration.incoming());
    if configuration.is_joint() { incoming.min(half(configuration.outgoing())) } else { incoming }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use types::{NodeId, StoreId};

    use super::*;

    fn replicas(ids: core::ops::Range<u32>) -> Vec<Replica> {
        ids.map(|n| Replica {
            id: ReplicaId(n),
            node: NodeId(u64::from(n)),
            store: StoreId(u128::from(n)),
        })
        .collect()
    }

    fn voters(count: u32) -> Configuration {
        Configuration::new(replicas(0..count), Vec::new(), Vec::new()).unwrap()
    }

    #[test]
    fn majorities_of_even_and_odd_counts() {
        let expected = [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)];
        assert!(expected.iter().all(|(voters, needed)| majority(*voters) == *needed));
    }

    #[test]
    fn nothing_is_decided_in_an_empty_configuration() {
        assert!(!is_reached(&Configuration::empty(), |_| true));
        assert_eq!(reached(&Configuration::empty(), |_| 9), 0);
    }

    #[test]
    fn a_joint_decision_needs_both_halves() {
        let joint = Configuration::new(replicas(0..3), replicas(2..5), Vec::new()).unwrap();
        assert!(!is_reached(&joint, |r| r.0 < 3), "the outgoing half has one of three");
        assert!(is_reached(&joint, |r| [1, 2, 3].contains(&r.0)));
        assert_eq!(reached(&joint, |r| if r.0 < 3 { 9 } else { 4 }), 4);
    }

    #[test]
    fn learners_do_not_count() {
        let learners = replicas(3..9);
        let c = Configuration::new(replicas(0..3), Vec::new(), learners).unwrap();
        assert!(!is_reached(&c, |r| r.0 == 0 || r.0 >= 3));
        assert_eq!(reached(&c, |r| if r.0 == 0 || r.0 >= 3 { 7 } else { 1 }), 1);
    }

    proptest! {
        /// The straightforward way: sort, take the value at the majority's place.
        #[test]
        fn reached_is_the_value_at_the_majoritys_place(
            values in prop::collection::vec(0u64..9, 1..8)
        ) {
            let configuration = voters(u32::try_from(values.len()).unwrap());
            let mut sorted = values.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            let expected = sorted[majority(values.len()) - 1];
            prop_assert_eq!(reached(&configuration, |r| values[r.0 as usize]), expected);
        }

        #[test]
        fn reached_and_lost_exclude_each_other(agreeing in prop::collection::vec(any::<bool>(), 1..8)) {
            let configuration = voters(u32::try_from(agreeing.len()).unwrap());
            let yes = is_reached(&configuration, |r| agreeing[r.0 as usize]);
            let no = is_lost(&configuration, |r| !agreeing[r.0 as usize]);
            prop_assert_eq!(yes, !no);
        }
    }
}
