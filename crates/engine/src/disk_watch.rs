//! Whether the disk keeps up and has room. The log writer says when it begins to wait for the disk; the workers,
//! which never wait for it, look at each tick how long that was ago.
//!
//! Invariants: `waits_since` is set exactly while the log writer is in a call to the store; that the
//! disk stands still is logged once, and that it does no more, once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use multiraft::Fitness;
use storage_redb::DiskSpace;

use crate::clock::Clock;
use crate::room_watch::{RoomWatch, Shortage};

/// How fit a node is for leading groups, and why not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// Nothing keeps it from leading.
    Healthy,
    /// The disk has not answered for so long, which is more than `disk_stall_ms`: the node leads
    /// nothing until it does.
    Stalled {
        /// How long it has not answered.
        waited: Duration,
    },
    /// The disk is nearly full, or full: the node takes no commands in, and lets others lead if
    /// they have room. Reads go on, and so does what is under way as far as there is room for it.
    /// It goes on by itself once there is.
    DiskFull {
        /// Bytes that are free on the disk, without those that the log's file may still take within
        /// its length.
        free_bytes: u64,
        /// Bytes that have to be free before commands are taken in again.
        needed_bytes: u64,
        /// Whether writes wait for room: nothing that they carry is acknowledged.
        is_waiting: bool,
    },
    /// The engine has failed and does nothing any more.
    Failed,
}

/// What the log writer and the workers know of the disk together.
#[derive(Debug)]
pub(crate) struct DiskWatch {
    clock: Clock,
    stall_ms: u64,
    /// Since when the log writer has been waiting for the disk, in the clock's milliseconds; the
    /// highest number if it is not.
    waits_since: AtomicU64,
    /// Whether it was logged that the disk stands still.
    is_told: AtomicBool,
    pub(crate) room: RoomWatch,
}

/// The log writer does not wait for the disk.
const NOT_WAITING: u64 = u64::MAX;

impl DiskWatch {
    /// A disk that nobody waits for, with that room; it stands still when that took `stall_ms`
    /// milliseconds.
    pub(crate) fn new(clock: Clock, stall_ms: u64, space: DiskSpace) -> Self {
        let (waits_since, is_told) = (AtomicU64::new(NOT_WAITING), AtomicBool::new(false));
        Self { clock, stall_ms, waits_since, is_told, room: RoomWatch::new(space) }
    }

    /// The log writer begins to wait for the disk.
    pub(crate) fn begin(&self) {
        self.waits_since.store(self.clock.now_ms(), Ordering::Relaxed);
    }

    /// The disk has answered.
    pub(crate) fn end(&self) {
        let since = self.waits_since.swap(NOT_WAITING, Ordering::Relaxed);
        if self.is_told.swap(false, Ordering::Relaxed) {
            let waited_ms = self.clock.now_ms().saturating_sub(since);
            tracing::warn!(waited_ms, "the disk answers again: this node may lead again");
        }
    }

    /// Whether this node should lead, as far as its disk is concerned.
    pub(crate) fn fitness(&self) -> Fitness {
        let Some(waited_ms) = self.stalled_ms() else { return Fitness::Fit };
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                waited_ms,
                stall_ms = self.stall_ms,
                "the disk does not answer: this node leads no group until it does"
            );
        }
        Fitness::Unfit
    }

    /// How the disk is.
    pub(crate) fn health(&self) -> Health {
        if let Some(waited_ms) = self.stalled_ms() {
            return Health::Stalled { waited: Duration::from_millis(waited_ms) };
        }
        match self.room.shortage() {
            Some(Shortage { free_bytes, needed_bytes, is_waiting }) => {
                Health::DiskFull { free_bytes, needed_bytes, is_waiting }
            }
            None => Health::Healthy,
        }
    }

    /// How long the disk has stood still, if it does.
    fn stalled_ms(&self) -> Option<u64> {
        let since = self.waits_since.load(Ordering::Relaxed);
        // Asked only while somebody waits: an idle node's turns do not read the clock for it.
        let waited_ms =
            (since != NOT_WAITING).then(|| self.clock.now_ms().saturating_sub(since))?;
        (waited_ms >= self.stall_ms).then_some(waited_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(stall_ms: u64) -> DiskWatch {
        let space = DiskSpace {
            free_bytes: u64::MAX,
            reserve_bytes: 0,
            is_low: false,
            needed_bytes: 0,
            is_full: false,
        };
        DiskWatch::new(Clock::start(Duration::from_millis(50)), stall_ms, space)
    }

    #[test]
    fn a_disk_stands_still_from_its_limit_on_until_it_answers() {
        // With a limit of nothing, whoever waits at all waits too long.
        let (patient, watch) = (watch(u64::MAX), watch(0));
        assert_eq!(watch.fitness(), Fitness::Fit, "nobody waits");
        patient.begin();
        watch.begin();
        assert_eq!((patient.fitness(), patient.health()), (Fitness::Fit, Health::Healthy));
        assert!(matches!(watch.health(), Health::Stalled { .. }));
        assert_eq!(watch.fitness(), Fitness::Unfit);
        watch.end();
        assert_eq!((watch.fitness(), watch.health()), (Fitness::Fit, Health::Healthy));
    }

    #[test]
    fn a_standstill_is_logged_once_and_so_is_its_end() {
        let watch = watch(0);
        let is_told = || watch.is_told.load(Ordering::Relaxed);
        watch.begin();
        assert!(watch.fitness() == Fitness::Unfit && is_told());
        // Told already: `fitness` logs on the change alone.
        assert!(watch.fitness() == Fitness::Unfit && is_told());
        watch.end();
        assert!(!is_told());
    }
}
