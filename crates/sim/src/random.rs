//! The seed's streams: SplitMix64, which no library version changes.

/// A stream of chance. What happens for one purpose is drawn from a stream of its own, so that a
/// class of faults that is switched off leaves the others as they were.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of `seed` for one purpose.
    pub(crate) const fn stream(seed: u64, purpose: u64) -> Self {
        Self(mix(seed.wrapping_add(mix(purpose.wrapping_add(1)))))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`, which is at least 1.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number within `min..=max`.
    pub(crate) const fn within(&mut self, min: u64, max: u64) -> u64 {
        min + self.below(max - min + 1)
    }

    pub(crate) const fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `items`, which are not empty.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.place(items.len())]
    }

    /// A place in something of `len` elements, at least one.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("a place in a slice")
    }

    /// Puts `items` into any order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.place(last + 1));
        }
    }
}

/// SplitMix64's mixing function; also folds events into the trace hash.
pub(crate) const fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_one_that_seeds_were_recorded_with() {
        let mut random = Random::stream(42, 0);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, STREAM);
        assert_ne!(Random::stream(42, 1).next(), first[0]);
    }

    const STREAM: [u64; 3] =
        [17_241_310_371_750_030_884, 2_540_734_997_987_667_629, 10_503_556_529_190_809_962];
}
