//! How long durable commits of the log took lately.
//!
//! Two histograms take turns, so that what is told is of the last half to whole minute, and a disk
//! that was slow an hour ago does not look slow now. Memory does not grow.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::histogram::Histogram;

/// How long the durable commits of the last half to whole minute took, syncs included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitTimes {
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 in a hundred took no longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// The log writer records, whoever asks for the status reads.
#[derive(Debug, Default)]
pub(crate) struct RecentCommits {
    turns: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    /// Since when the newer one records.
    since: Option<Instant>,
    newer: Histogram,
    older: Histogram,
}

/// How long one of the two records.
const TURN: Duration = Duration::from_secs(30);

impl RecentCommits {
    /// A commit has come back.
    pub(crate) fn record(&self, now: Instant, took: Duration) {
        let mut turns = self.turns.lock();
        turns.pass(now);
        turns.newer.record(took, 1);
    }

    /// How long they took; none if there were none lately.
    pub(crate) fn times(&self, now: Instant) -> Option<CommitTimes> {
        let mut turns = self.turns.lock();
        turns.pass(now);
        let mut all = turns.older.clone();
        all.add(&turns.newer);
        drop(turns);
        let (p50, p99) = (all.quantile(500)?, all.quantile(990)?);
        Some(CommitTimes { p50, p99, max: all.max()? })
    }
}

impl Turns {
    /// Lets go of what is too old.
    fn pass(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let turns = now.saturating_duration_since(since).as_secs() / TURN.as_secs();
        if turns == 0 {
            return;
        }
        std::mem::swap(&mut self.newer, &mut self.older);
        self.newer.clear();
        if turns > 1 {
            self.older.clear();
        }
        self.since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let recent = RecentCommits::default();
        assert_eq!(recent.times(at(0)), None);
        recent.record(at(1), Duration::from_nanos(60));
        recent.record(at(31), Duration::from_nanos(20));
        let (long, short) = (Duration::from_nanos(60), Duration::from_nanos(20));
        let both = CommitTimes { p50: short, p99: long, max: long };
        assert_eq!(recent.times(at(32)), Some(both));
        let one = CommitTimes { p50: short, p99: short, max: short };
        assert_eq!(recent.times(at(62)), Some(one));
        assert_eq!(recent.times(at(1000)), None);
    }

    #[test]
    fn a_long_silence_leaves_nothing_of_before() {
        let start = Instant::now();
        let recent = RecentCommits::default();
        recent.record(start, Duration::from_secs(1));
        let later = start + 2 * TURN;
        recent.record(later, Duration::from_nanos(5));
        assert_eq!(recent.times(later).unwrap().max, Duration::from_nanos(5));
    }
}
