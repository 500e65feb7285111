//! How the log is doing: its size, what waits to be written, and what commits carry; kept by the log
//! writer, read by the doors, the workers and whoever asks for the status.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use codec::{Item, WriteBatch};

use crate::commit_times::{CommitTimes, RecentCommits};
use crate::limits::EngineLimits;

/// How large the log is and how much waits to be written, for the doors.
#[derive(Debug)]
pub(crate) struct LogGauge {
    bytes: AtomicU64,
    bytes_max: u64,
    bytes_warn: u64,
    has_warned: AtomicBool,
    queued_bytes: AtomicUsize,
    queued_bytes_max: usize,
    commits: AtomicU64,
    entries: AtomicU64,
    last_entries: AtomicU64,
    times: RecentCommits,
}

impl LogGauge {
    pub(crate) fn new(bytes: u64, limits: &EngineLimits) -> Self {
        let gauge = Self {
            bytes: AtomicU64::new(0),
            bytes_max: limits.raw().log_bytes_max,
            bytes_warn: limits.log_bytes_warn(),
            has_warned: AtomicBool::new(false),
            queued_bytes: AtomicUsize::new(0),
            queued_bytes_max: limits.raw().log_queue_bytes_max,
            commits: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            last_entries: AtomicU64::new(0),
            times: RecentCommits::default(),
        };
        gauge.set(bytes);
        gauge
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many durable commits there were.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// How many entries they made durable.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Whether many write at a time, by what the last commit carried. Then a thread that has something
    /// to do lets others run once who may be about to bring more of it: if all cores are busy that
    /// saves commits, turns and wake-ups, and if one is idle it costs a system call (ADR 0015).
    pub(crate) fn is_crowded(&self) -> bool {
        self.last_entries.load(Ordering::Relaxed) >= CROWD_ENTRIES_MIN
    }

    /// How long they took lately.
    pub(crate) fn commit_times(&self) -> Option<CommitTimes> {
        self.times.times(Instant::now())
    }

    /// Whether the log has reached its limit.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes() >= self.bytes_max
    }

    /// Whether more waits to be written than may.
    pub(crate) fn is_behind(&self) -> bool {
        self.queued_bytes.load(Ordering::Relaxed) >= self.queued_bytes_max
    }

    /// A batch waits to be written.
    pub(crate) fn queue(&self, bytes: usize) {
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// These batches are durable; their commit began at `began`.
    pub(crate) fn committed(&self, batches: &[WriteBatch], began: Instant) {
        let entries = batches.iter().map(batch_entries).sum();
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.last_entries.store(entries, Ordering::Relaxed);
        let now = Instant::now();
        self.times.record(now, now - began);
    }

    pub(crate) fn written(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        let is_high = bytes >= self.bytes_warn;
        if is_high != self.has_warned.swap(is_high, Ordering::Relaxed) && is_high {
            let max = self.bytes_max;
            tracing::warn!(bytes, max, "the log is nearly full: writes are refused at its limit");
        }
    }
}

/// What a batch counts for while it waits to be written.
pub(crate) fn batch_bytes(batch: &WriteBatch) -> usize {
    let bytes = batch.items.iter().map(|item| match &item.item {
        Item::Append(run) | Item::Moved(run) => run.cost(),
        Item::Create { .. }
        | Item::Truncate { .. }
        | Item::HardState(_)
        | Item::Compact { .. }
        | Item::Remove => 0,
    });
    bytes.sum()
}

/// How many new entries a batch carries.
fn batch_entries(batch: &WriteBatch) -> u64 {
    let entries = batch.items.iter().map(|item| match &item.item {
        Item::Append(run) => u64::from(run.count()),
        Item::Create { .. }
        | Item::Truncate { .. }
        | Item::HardState(_)
        | Item::Compact { .. }
        | Item::Moved(_)
        | Item::Remove => 0,
    });
    entries.sum()
}

/// How many entries a commit carries at least where many write at a time. One writer alone never
/// waits for others.
const CROWD_ENTRIES_MIN: u64 = 4;

#[cfg(test)]
mod tests {
    use codec::GroupItem;
    use raft_core::{CommandsBuilder, EntryHeader, EntryRun, RunBody};
    use types::{Generation, GroupId, LogIndex, Term};

    use super::*;
    use crate::RawEngineLimits;

    #[test]
    fn the_gauge_is_full_at_its_limit_and_warns_once_before() {
        let mib = 1 << 20;
        let raw = RawEngineLimits { log_bytes_max: 10 * mib, ..RawEngineLimits::default() };
        let gauge = LogGauge::new(mib, &EngineLimits::new(raw).unwrap());
        assert!(!gauge.is_full() && !gauge.has_warned.load(Ordering::Relaxed));
        gauge.set(8 * mib);
        assert!(!gauge.is_full() && gauge.has_warned.load(Ordering::Relaxed));
        gauge.set(10 * mib);
        assert!(gauge.is_full());
        gauge.set(mib);
        assert!(!gauge.has_warned.load(Ordering::Relaxed));
    }

    #[test]
    fn a_commit_of_several_entries_shows_a_crowd_and_a_lone_writer_is_none() {
        let gauge = LogGauge::new(0, &EngineLimits::default());
        assert!(!gauge.is_crowded());
        let run = |entries: usize| {
            let mut commands = CommandsBuilder::default();
            (0..entries).for_each(|_| commands.push(EntryHeader::default(), &[]));
            let body = RunBody::Commands(commands.take().unwrap());
            EntryRun { first: LogIndex(1), term: Term(1), body }
        };
        let commit = |entries: &[usize]| {
            let item = |entries: &usize| GroupItem {
                group: GroupId(1),
                generation: Generation(1),
                item: Item::Append(run(*entries)),
            };
            let items = entries.iter().map(item).collect();
            gauge.committed(&[WriteBatch { items }], Instant::now());
        };
        commit(&[2, 2]);
        assert!(gauge.is_crowded());
        commit(&[3]);
        assert!(!gauge.is_crowded());
    }

    #[test]
    fn the_gauge_is_behind_until_enough_is_written() {
        let limits = EngineLimits::default();
        let gauge = LogGauge::new(0, &limits);
        gauge.queue(limits.raw().log_queue_bytes_max - 1);
        assert!(!gauge.is_behind());
        gauge.queue(1);
        assert!(gauge.is_behind());
        gauge.written(1);
        assert!(!gauge.is_behind());
    }
}
