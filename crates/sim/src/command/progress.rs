//! How far a range has come: which seeds are done, and the digests of whole thousands.
//!
//! Invariants: a process does its seeds in order; a digest is told once, when all seeds of the range
//! that it stands for are done, and after those before it.

use std::collections::BTreeMap;
use std::ops::Range;

/// How many seeds a digest stands for.
const DIGEST_SEEDS: u64 = 1_000;

/// The seeds of one digest, as far as they are done.
#[derive(Default)]
struct Block {
    digest: u64,
    done: u64,
}

/// How far a range has come.
pub(crate) struct Progress {
    seeds: Range<u64>,
    /// Of thousands that were not told yet, by number.
    open: BTreeMap<u64, Block>,
    /// The first thousand that was not told.
    next: u64,
}

impl Progress {
    pub(crate) const fn new(seeds: Range<u64>) -> Self {
        let next = seeds.start / DIGEST_SEEDS;
        Self { seeds, open: BTreeMap::new(), next }
    }

    /// A seed is done; says the digests that are whole by that, with the first seed of each.
    pub(crate) fn add(&mut self, seed: u64, trace: u64) -> Vec<(u64, u64)> {
        let block = self.open.entry(seed / DIGEST_SEEDS).or_default();
        // The order in which processes report does not matter to a sum.
        let turned = trace.rotate_left(u32::try_from(seed % 64).unwrap_or(0));
        block.digest = block.digest.wrapping_add(turned);
        block.done += 1;
        let mut whole = Vec::new();
        while let Some(block) = self.open.get(&self.next)
            && block.done == seeds_of(self.next, &self.seeds)
        {
            whole.push((self.next * DIGEST_SEEDS, block.digest));
            self.open.remove(&self.next);
            self.next += 1;
        }
        whole
    }

    /// What is left from the first thousand on that is not whole: from which seed on, and how many.
    pub(crate) fn left(&self) -> (u64, u64) {
        let from = (self.next * DIGEST_SEEDS).max(self.seeds.start);
        (from, self.seeds.end.saturating_sub(from))
    }
}

/// How many seeds of a range a thousand has.
fn seeds_of(block: u64, seeds: &Range<u64>) -> u64 {
    let first = (block * DIGEST_SEEDS).max(seeds.start);
    ((block + 1) * DIGEST_SEEDS).min(seeds.end).saturating_sub(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_told_when_its_seeds_are_done_and_those_before_it() {
        let mut progress = Progress::new(998..2_002);
        for seed in 1_000..2_000 {
            assert_eq!(progress.add(seed, 1), [], "the first thousand is not whole");
        }
        assert_eq!(progress.add(999, 1), []);
        assert_eq!(progress.left(), (998, 1_004));
        let told = progress.add(998, 1);
        assert_eq!(told.iter().map(|(first, _)| *first).collect::<Vec<_>>(), [0, 1_000]);
        assert_eq!(progress.left(), (2_000, 2));
        assert_eq!(progress.add(2_000, 1), []);
        assert_eq!(progress.add(2_001, 0).len(), 1);
        assert_eq!(progress.left().1, 0);
    }
}
