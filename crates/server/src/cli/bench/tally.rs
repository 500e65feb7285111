//! What became of the operations.
//!
//! Invariant: every operation of the window is counted exactly once: as done, or as an error of one
//! kind.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::Histogram;

/// What the clients of a thread, or all, were told while it counted.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tally {
    /// How long reads took.
    pub(crate) reads: Histogram,
    /// How many of the reads found no value.
    pub(crate) missing: u64,
    /// How long writes took.
    pub(crate) writes: Histogram,
    /// How often a node said that another one serves the key.
    pub(crate) redirects: u64,
    /// By kind, how many operations failed.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// What became of operations that were answered together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Done {
    /// Reads, those that found nothing included.
    pub(crate) reads: u64,
    /// Reads that found nothing.
    pub(crate) missing: u64,
    /// Writes.
    pub(crate) writes: u64,
}

impl Tally {
    /// Operations were answered after `took`.
    pub(crate) fn done(&mut self, done: Done, took: Duration) {
        self.reads.record(took, done.reads);
        self.writes.record(took, done.writes);
        self.missing += done.missing;
    }

    /// Operations failed.
    pub(crate) fn failed(&mut self, kind: &str, count: u64) {
        if count == 0 {
            return;
        }
        if let Some(known) = self.errors.get_mut(kind) {
            *known += count;
        } else {
            // Kinds come from others, and there must not be ever more of them.
            let kind = if self.errors.len() < KINDS_MAX { kind } else { OTHERS };
            *self.errors.entry(kind.to_owned()).or_default() += count;
        }
    }

    /// Adds what others were told.
    pub(crate) fn add(&mut self, other: &Self) {
        self.reads.add(&other.reads);
        self.writes.add(&other.writes);
        self.missing += other.missing;
        self.redirects += other.redirects;
        other.errors.iter().for_each(|(kind, count)| self.failed(kind, *count));
    }

    /// How many operations were done.
    pub(crate) const fn count(&self) -> u64 {
        self.reads.count() + self.writes.count()
    }
}

/// How many kinds of errors are told apart.
const KINDS_MAX: usize = 32;
const OTHERS: &str = "others";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_that_are_added_lose_nothing() {
        let took = Duration::from_millis(1);
        let (mut one, mut two) = (Tally::default(), Tally::default());
        one.done(Done { reads: 2, missing: 1, writes: 3 }, took);
        one.failed("MOVED", 4);
        two.done(Done { writes: 5, ..Done::default() }, took);
        two.failed("MOVED", 1);
        two.failed("UNCERTAIN", 0);
        two.redirects = 6;
        one.add(&two);
        assert_eq!((one.count(), one.reads.count(), one.missing, one.redirects), (10, 2, 1, 6));
        assert_eq!(one.errors, [("MOVED".to_owned(), 5)].into());
    }

    #[test]
    fn kinds_of_errors_do_not_grow_without_end() {
        let mut tally = Tally::default();
        (0..100).for_each(|number| tally.failed(&format!("E{number}"), 1));
        assert_eq!(tally.errors.len(), KINDS_MAX + 1);
        assert_eq!(tally.errors[OTHERS], 68);
    }
}
