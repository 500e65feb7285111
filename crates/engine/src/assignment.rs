//! Which thread a group belongs to.

use types::GroupId;

/// Which of `threads` threads serves `group`: always the same one. Groups numbered one after the
/// other, or at even distances (as the groups are that one node leads first), are spread evenly:
/// multiples of the golden ratio never come close together.
pub(crate) const fn thread_of(group: GroupId, threads: usize) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let place = (group.0.wrapping_mul(GOLDEN) >> 32) * threads as u64;
    // Below `threads`, because the first factor is below 2^32.
    #[allow(clippy::cast_possible_truncation, reason = "less than a usize")]
    let thread = (place >> 32) as usize;
    thread
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn groups_are_spread_evenly_at_any_distance() {
        for threads in 1..=8 {
            for distance in 1..=5 {
                let mut counts = vec![0usize; threads];
                for group in (1..).step_by(distance).take(400).map(GroupId) {
                    counts[thread_of(group, threads)] += 1;
                }
                let even = 400 / threads;
                let is_even =
                    counts.iter().all(|count| (even * 3 / 4..=even * 5 / 4 + 1).contains(count));
                assert!(is_even, "{threads} threads, distance {distance}: {counts:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_group_has_a_thread(group in any::<u64>(), threads in 1usize..200) {
            prop_assert!(thread_of(GroupId(group), threads) < threads);
        }
    }
}
