//! How far the run is: everybody who asks, and whoever watches, looks here.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Where a run is. Phases follow each other in this order.
#[derive(Debug, Default)]
pub(crate) struct Window {
    phase: AtomicU8,
    /// The next key to be written before anything else.
    next: AtomicU32,
    /// How many clients have nothing left to write before.
    ready: AtomicU32,
    /// Operations that were answered well so far, in all phases.
    done: AtomicU64,
    /// Operations that failed so far, in all phases.
    failed: AtomicU64,
}

/// Keys are written so that reads find them.
const FILLING: u8 = 0;
/// The load runs, and does not count yet.
const WARMING_UP: u8 = 1;
const OPEN: u8 = 2;
const CLOSED: u8 = 3;

/// How long after the end a client may wait for replies that are under way.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

impl Window {
    /// Whether what is answered now counts.
    pub(crate) fn is_open(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == OPEN
    }

    /// Whether nobody is to ask for anything any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == CLOSED
    }

    /// Whether keys are being written before anything else.
    pub(crate) fn is_filling(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == FILLING
    }

    /// All keys are there, or need not be.
    pub(crate) fn warm_up(&self) {
        self.phase.store(WARMING_UP, Ordering::Relaxed);
    }

    /// From now on it counts.
    pub(crate) fn open(&self) {
        self.phase.store(OPEN, Ordering::Relaxed);
    }

    /// It is over.
    pub(crate) fn close(&self) {
        self.phase.store(CLOSED, Ordering::Relaxed);
    }

    /// Some of `count` keys that nobody else writes before, as many as one is to write `at_once`; none
    /// if there are none left.
    pub(crate) fn take_keys(&self, count: u32, at_once: u32) -> Option<std::ops::Range<u32>> {
        let take = |next: u32| (next < count).then(|| next.saturating_add(at_once).min(count));
        let first = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(first..first.saturating_add(at_once).min(count))
    }

    /// A client has nothing left to write before.
    pub(crate) fn got_ready(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
    }

    /// How many clients have nothing left to write before.
    pub(crate) fn ready(&self) -> u32 {
        self.ready.load(Ordering::Relaxed)
    }

    /// Operations have come back.
    pub(crate) fn came_back(&self, done: u64, failed: u64) {
        self.done.fetch_add(done, Ordering::Relaxed);
        if failed > 0 {
            self.failed.fetch_add(failed, Ordering::Relaxed);
        }
    }

    /// How many were done and how many failed so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_written_before_by_exactly_one() {
        let window = Window::default();
        let mut next = 0;
        while let Some(keys) = window.take_keys(1000, 64) {
            assert_eq!(keys.start, next);
            assert!(keys.len() <= 64);
            next = keys.end;
        }
        assert_eq!(next, 1000);
        assert_eq!(window.take_keys(1000, 64), None);
    }

    #[test]
    fn it_counts_only_between_its_edges() {
        let window = Window::default();
        assert!(window.is_filling() && !window.is_open() && !window.is_closed());
        window.warm_up();
        assert!(!window.is_filling() && !window.is_open() && !window.is_closed());
        window.open();
        assert!(window.is_open() && !window.is_closed());
        window.close();
        assert!(!window.is_open() && window.is_closed());
    }
}
