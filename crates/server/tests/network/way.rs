//! The way of the bytes from one node to another, whichever of the two has dialed.
//!
//! Invariants: bytes leave in the order in which they came, and none is lost while its connection
//! lives: what a network drops, TCP sends again, so that a way that lets nothing through keeps it. A
//! byte is altered only where [`Way::damage`] was asked for, one bit of one byte each time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connection::Connection;

/// How many bytes at least go in each direction before the first frame: a hello, with the name of the
/// tests' clusters in it, and what follows on the other's.
const HELLO_BYTES: u64 = 90;

/// What becomes of bytes on a way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    /// They pass at once.
    Free,
    /// Each piece passes so long after it came.
    Delayed(Duration),
    /// No more than so many pass in a second.
    Throttled {
        /// At least 1.
        bytes_per_second: u64,
    },
    /// None passes.
    Held,
}

/// What happened to bytes, on all ways together.
#[derive(Default, Debug)]
pub(crate) struct Effects {
    pub(crate) pieces_delayed: AtomicU64,
    pub(crate) pieces_throttled: AtomicU64,
    pub(crate) bytes_held: AtomicU64,
    pub(crate) bytes_damaged: AtomicU64,
}

/// See the module.
pub(crate) struct Way {
    state: Mutex<State>,
    changed: Condvar,
    effects: Arc<Effects>,
}

struct State {
    condition: Condition,
    /// Says which bit of the next piece is to be turned, once the hello is through.
    damage: Option<u64>,
    /// The connection whose bytes were damaged last.
    damaged: Option<Weak<Connection>>,
}

impl Way {
    /// A way that is free.
    pub(crate) fn new(effects: &Arc<Effects>) -> Self {
        let state = State { condition: Condition::Free, damage: None, damaged: None };
        Self { state: Mutex::new(state), changed: Condvar::new(), effects: effects.clone() }
    }

    /// From here on, also for what waits already.
    pub(crate) fn set(&self, condition: Condition) {
        self.lock().condition = condition;
        self.changed.notify_all();
    }

    /// Turns one bit of the next piece of frames that passes, by that choice, which may be any number.
    pub(crate) fn damage(&self, choice: u64) {
        self.lock().damage = Some(choice);
    }

    /// Whether a damage that was asked for was done, and the connection that it was done to is gone.
    pub(crate) fn has_ended_what_was_damaged(&self) -> bool {
        let state = self.lock();
        let damaged = state.damaged.as_ref();
        state.damage.is_none() && damaged.is_some_and(|damaged| damaged.upgrade().is_none())
    }

    /// Lets everybody look again who waits: a connection was cut.
    pub(crate) fn wake(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Returns when these bytes, which have just come, may go on; false if they may not any more
    /// because their connection was cut. `offset` says how many went before them.
    pub(crate) fn pass(&self, offset: u64, bytes: &mut [u8], connection: &Arc<Connection>) -> bool {
        let came = Instant::now();
        let (mut state, mut was_counted) = (self.lock(), None);
        while !connection.is_cut() {
            let condition = state.condition;
            let wait = match condition {
                Condition::Free => Duration::ZERO,
                Condition::Delayed(time) => time.saturating_sub(came.elapsed()),
                Condition::Throttled { bytes_per_second } => {
                    let time = Duration::from_secs(bytes.len() as u64) / rate(bytes_per_second);
                    time.saturating_sub(came.elapsed())
                }
                Condition::Held => Duration::MAX,
            };
            if wait.is_zero() {
                if offset >= HELLO_BYTES {
                    self.alter(&mut state, bytes, connection);
                }
                return true;
            }
            if was_counted.replace(condition) != Some(condition) {
                self.effects.count(condition, bytes.len());
            }
            let waited = self.changed.wait_timeout(state, wait);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        false
    }

    fn alter(&self, state: &mut State, bytes: &mut [u8], connection: &Arc<Connection>) {
        let Some(choice) = state.damage.take() else { return };
        let bit = choice % (8 * bytes.len() as u64);
        bytes[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
        state.damaged = Some(Arc::downgrade(connection));
        self.effects.bytes_damaged.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Effects {
    /// A piece of so many bytes has to wait.
    fn count(&self, condition: Condition, bytes: usize) {
        match condition {
            Condition::Free => {}
            Condition::Delayed(_) => add(&self.pieces_delayed, 1),
            Condition::Throttled { .. } => add(&self.pieces_throttled, 1),
            Condition::Held => add(&self.bytes_held, bytes as u64),
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn rate(bytes_per_second: u64) -> u32 {
    u32::try_from(bytes_per_second).unwrap_or(u32::MAX).max(1)
}
