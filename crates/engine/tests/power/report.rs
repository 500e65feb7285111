//! What a storm has done and found.

use std::fmt;
use std::time::Duration;

/// What happened in a storm, to see that it was one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Report {
    /// Moments at which the power was cut, by how many nodes lost it: one, two and three.
    pub(crate) cuts: [u64; 3],
    /// Of the cuts of one node: while a store was opened or an engine started.
    pub(crate) cuts_in_opening: u64,
    /// Of the cuts of one node: soon after a start, by an operation of the disk counted from it.
    pub(crate) cuts_after_opening: u64,
    /// Of the cuts of one node: while another was without power.
    pub(crate) cuts_while_others_are_down: u64,
    /// Of all cuts: at a chosen write or sync of the disk, and at a chosen sync.
    pub(crate) cuts_at_operations: u64,
    pub(crate) cuts_at_syncs: u64,
    /// States of groups that came back as they had been saved.
    pub(crate) states_restored: u64,
    /// Clusters that lived through their rounds, and were compared in the end.
    pub(crate) clusters: u64,
    /// Reads that were allowed.
    pub(crate) reads: u64,
    /// What clients were told of their writes.
    pub(crate) writes: Settled,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

/// What became of writes, compared with what their clients were told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Settled {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// Those whose clients know nothing, and that are there.
    pub(crate) kept_in_flight: u64,
    /// Those whose clients know nothing, and that are not.
    pub(crate) lost_in_flight: u64,
}

impl Report {
    /// All moments at which the power was cut.
    pub(crate) const fn cuts_total(&self) -> u64 {
        self.cuts[0] + self.cuts[1] + self.cuts[2]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, count) in self.cuts.iter_mut().zip(other.cuts) {
            *sum += count;
        }
        self.cuts_in_opening += other.cuts_in_opening;
        self.cuts_after_opening += other.cuts_after_opening;
        self.cuts_while_others_are_down += other.cuts_while_others_are_down;
        self.cuts_at_operations += other.cuts_at_operations;
        self.cuts_at_syncs += other.cuts_at_syncs;
        self.states_restored += other.states_restored;
        self.clusters += other.clusters;
        self.reads += other.reads;
        self.writes.add(&other.writes);
    }
}

impl Settled {
    pub(crate) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.kept_in_flight += other.kept_in_flight;
        self.lost_in_flight += other.lost_in_flight;
    }
}

/// A promise that was broken: which, under which seed, after how much, and what happened last.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) seed: u64,
    pub(crate) what: String,
    /// What had happened in this storm, the cluster's own part included.
    pub(crate) report: Report,
    pub(crate) events: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, what, report, events } = self;
        write!(f, "seed {seed}: {what}\nafter {report:?}\nthe last events:\n{events}")
    }
}
