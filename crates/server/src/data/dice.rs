//! Random choices that a command is to make. What they come from is given: of a read, what the
//! node draws; of a read within a transaction, the place of its entry in the log, so that every
//! replica chooses the same.

/// A small generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Throws what comes from that seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`, all about equally likely; 0 if there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        let rest = self.next().checked_rem(limit as u64).unwrap_or(0);
        usize::try_from(rest).expect("it is below a usize")
    }

    /// A number from 0 to below 1, all about equally likely.
    pub fn fraction(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a fraction holds")]
        let bits = (self.next() >> 11) as f64;
        bits / (1_u64 << 53) as f64
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// So many different numbers below `limit`, or all of them if there are not that many, in no
    /// order that means anything.
    pub fn several_below(&mut self, limit: usize, count: usize) -> Vec<usize> {
        let count = count.min(limit);
        let mut chosen = hashbrown::HashSet::with_capacity(count);
        let mut order = Vec::with_capacity(count);
        // Floyd's way: of the first n numbers one is chosen, the n-th itself if that one is taken.
        for last in limit - count..limit {
            let one = self.below(last + 1);
            let one = if chosen.contains(&one) { last } else { one };
            chosen.insert(one);
            order.push(one);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn several_are_different_and_below_the_limit(seed: u64, limit in 0_usize..60, count in 0_usize..80) {
            let chosen = Dice::new(seed).several_below(limit, count);
            let different: BTreeSet<usize> = chosen.iter().copied().collect();
            prop_assert_eq!(different.len(), chosen.len());
            prop_assert_eq!(chosen.len(), count.min(limit));
            prop_assert!(chosen.iter().all(|one| *one < limit));
        }
    }

    #[test]
    fn every_choice_is_about_equally_likely() {
        let mut counts = [0_u32; 10];
        for seed in 0..10_000 {
            for one in Dice::new(seed).several_below(10, 3) {
                counts[one] += 1;
            }
        }
        assert!(counts.iter().all(|count| (2_700..3_300).contains(count)), "{counts:?}");
    }
}
