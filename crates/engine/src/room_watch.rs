//! How much room the disk has: the log writer finds it, everybody else reads it without asking.
//!
//! Invariant: the log has one line for each change between ample, low and waiting for room, however
//! often the log writer looks.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use storage_redb::DiskSpace;

/// There is too little room on this node's disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shortage {
    /// Bytes that are free on the disk.
    pub(crate) free_bytes: u64,
    /// Bytes that have to be free before commands are taken again.
    pub(crate) needed_bytes: u64,
    /// Whether a write waits for room.
    pub(crate) is_waiting: bool,
}

/// A write that found no room, as the store says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    pub(crate) free_bytes: u64,
    pub(crate) needed_bytes: u64,
}

/// What the log writer found last.
#[derive(Debug)]
pub(crate) struct RoomWatch {
    state: AtomicU8,
    /// Whether entries of peers are not taken either.
    is_closed: AtomicBool,
    free_bytes: AtomicU64,
    needed_bytes: AtomicU64,
    refusals: AtomicU64,
}

const AMPLE: u8 = 0;
const LOW: u8 = 1;
const WAITING: u8 = 2;

impl RoomWatch {
    /// Nothing is logged of what the store found when it was opened: the first look does that.
    pub(crate) fn new(space: DiskSpace) -> Self {
        Self {
            state: AtomicU8::new(if space.is_low { LOW } else { AMPLE }),
            is_closed: AtomicBool::new(space.is_full),
            free_bytes: AtomicU64::new(space.free_bytes),
            needed_bytes: AtomicU64::new(space.needed_bytes),
            refusals: AtomicU64::new(0),
        }
    }

    /// The log writer has looked, or written; `waiting` is the write that waits for room.
    pub(crate) fn found(&self, space: DiskSpace, waiting: Option<Refused>) {
        let state = match (waiting, space.is_low) {
            (Some(_), _) => WAITING,
            (None, true) => LOW,
            (None, false) => AMPLE,
        };
        // A write may be too large for a disk that is not low.
        let by_write = waiting.filter(|_| space.free_bytes >= space.needed_bytes);
        let (free_bytes, needed_bytes) = by_write
            .map_or((space.free_bytes, space.needed_bytes), |it| (it.free_bytes, it.needed_bytes));
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        self.needed_bytes.store(needed_bytes, Ordering::Relaxed);
        self.is_closed.store(space.is_full || waiting.is_some(), Ordering::Relaxed);
        let before = self.state.swap(state, Ordering::Relaxed);
        if state != before {
            tell(state, free_bytes, needed_bytes);
        }
    }

    /// A write found no room.
    pub(crate) fn refused(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a write found no room.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Whether entries of peers are not taken either: what cannot be written would only hold up what
    /// can.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// How much is missing, if anything is.
    pub(crate) fn shortage(&self) -> Option<Shortage> {
        let state = self.state.load(Ordering::Relaxed);
        (state != AMPLE).then(|| Shortage {
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
            needed_bytes: self.needed_bytes.load(Ordering::Relaxed),
            is_waiting: state == WAITING,
        })
    }
}

fn tell(state: u8, free_bytes: u64, needed_bytes: u64) {
    match state {
        AMPLE => tracing::warn!(free_bytes, "the disk has room again: writes are taken in"),
        WAITING => tracing::error!(
            free_bytes,
            needed_bytes,
            "the disk is full: what is to be written waits for room; make some"
        ),
        _ => tracing::warn!(
            free_bytes,
            needed_bytes,
            "the disk is nearly full: no writes are taken in, others lead if they have room; make \
             some"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free_bytes: u64, is_low: bool) -> DiskSpace {
        let (reserve_bytes, needed_bytes) = (8, 10);
        DiskSpace { free_bytes, reserve_bytes, is_low, needed_bytes, is_full: free_bytes == 0 }
    }

    #[test]
    fn a_shortage_says_what_is_free_and_what_is_needed() {
        let watch = RoomWatch::new(space(20, false));
        assert_eq!((watch.shortage(), watch.is_closed()), (None, false));
        let short = |free_bytes, needed_bytes, is_waiting| {
            Some(Shortage { free_bytes, needed_bytes, is_waiting })
        };
        watch.found(space(3, true), None);
        assert_eq!((watch.shortage(), watch.is_closed()), (short(3, 10, false), false));
        watch.found(space(0, true), None);
        assert!(watch.is_closed());
        let refused = Refused { free_bytes: 15, needed_bytes: 17 };
        watch.found(space(2, true), Some(refused));
        assert_eq!((watch.shortage(), watch.is_closed()), (short(2, 10, true), true));
        // As long as it waits, the disk is not ample, whatever a look finds.
        watch.found(space(15, false), Some(refused));
        assert_eq!((watch.shortage(), watch.is_closed()), (short(15, 17, true), true));
        watch.found(space(20, false), None);
        assert_eq!((watch.shortage(), watch.is_closed()), (None, false));
    }
}
