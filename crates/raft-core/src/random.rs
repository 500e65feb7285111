//! The one source of chance: a seeded stream that no library version changes.

/// SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, enough for spreading timeouts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number within `min..=max`; the bias of the remainder is far below what timeouts notice.
    pub(crate) fn within(&mut self, min: u64, max: u64) -> u64 {
        debug_assert!(min <= max);
        min + self.next() % (max - min).saturating_add(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_fixed() {
        let mut random = Random::new(0);
        assert_eq!(random.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn both_ends_are_drawn() {
        let mut random = Random::new(7);
        let drawn: alloc::vec::Vec<u64> = (0..100).map(|_| random.within(10, 12)).collect();
        assert!(drawn.contains(&10) && drawn.contains(&12));
        assert!(drawn.iter().all(|n| (10..=12).contains(n)));
    }
}
