//! The end of an engine: whether it takes work, and why not.
//!
//! Invariants: the state only moves on, from running over stopping to stopped or failed; the first
//! failure is the one that is told, and it is told to every thread.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use thiserror::Error;
use tokio::sync::watch;
use types::GroupId;

/// Why an engine failed. It cannot be revived: the process should exit with an error, and the
/// operator look at the reason before he starts it again.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Failure {
    /// The store could not write or read, and is not used any more.
    #[error("the store failed: {reason}")]
    Store {
        /// What the store says.
        reason: String,
    },
    /// The store lacks what it had reported durable: it is an older copy, or its disk lies.
    #[error(
        "the store was rolled back: of group {group} {reason}; do not start this node again with \
         it: restore the newest store, or remove the node's replicas and add new ones"
    )]
    RolledBack {
        /// The group by which it was noticed.
        group: GroupId,
        /// What is missing.
        reason: String,
    },
    /// The state machine panicked, or broke its contract.
    #[error("the state machine of group {group} failed: {reason}")]
    StateMachine {
        /// The group.
        group: GroupId,
        /// What it panicked with, or which promise it broke.
        reason: String,
    },
    /// A group could not be founded.
    #[error("group {group} cannot be founded: {reason}")]
    Founding {
        /// The group.
        group: GroupId,
        /// What is wrong with it.
        reason: String,
    },
    /// A thread of the engine panicked: an error in the engine itself.
    #[error("thread {thread} failed: {reason}")]
    Thread {
        /// The thread.
        thread: String,
        /// What it panicked with.
        reason: String,
    },
}

/// What an engine is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineState {
    /// It takes work.
    Running,
    /// It takes no new work, and ends what is under way.
    Stopping,
    /// It has ended.
    Stopped,
    /// It has failed, and does nothing any more.
    Failed,
}

/// The state that all threads and doors share.
pub(crate) struct Alarm {
    state: AtomicU8,
    failure: watch::Sender<Option<Failure>>,
    /// Makes every thread look at the state; set once the threads exist.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

const RUNNING: u8 = 0;
const STOPPING: u8 = 1;
const STOPPED: u8 = 2;
const FAILED: u8 = 3;

impl Alarm {
    pub(crate) fn new() -> Self {
        let (failure, _) = watch::channel(None);
        Self { state: AtomicU8::new(RUNNING), failure, wake: OnceLock::new() }
    }

    /// What to do when something fails; a failure before that is passed on at once.
    pub(crate) fn on_failure(&self, wake: impl Fn() + Send + Sync + 'static) {
        let is_first = self.wake.set(Box::new(wake)).is_ok();
        assert!(is_first, "the threads of an engine are started once");
        if self.state() == EngineState::Failed {
            self.wake_all();
        }
    }

    pub(crate) fn state(&self) -> EngineState {
        match self.state.load(Ordering::Acquire) {
            RUNNING => EngineState::Running,
            STOPPING => EngineState::Stopping,
            STOPPED => EngineState::Stopped,
            _ => EngineState::Failed,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state.load(Ordering::Acquire) == RUNNING
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.state.load(Ordering::Acquire) == FAILED
    }

    /// Fails the engine, unless it has failed or ended already.
    pub(crate) fn raise(&self, failure: Failure) {
        let to_failed = |state| (state == RUNNING || state == STOPPING).then_some(FAILED);
        if self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, to_failed).is_err() {
            return;
        }
        tracing::error!(%failure, "the engine has failed");
        // Told last: whoever hears of it finds nobody leading here any more.
        self.wake_all();
        self.failure.send_replace(Some(failure));
    }

    /// Takes no new work from here on; false if it did not before either.
    pub(crate) fn begin_stop(&self) -> bool {
        self.state.compare_exchange(RUNNING, STOPPING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Everything has ended; a failure remains one.
    pub(crate) fn end_stop(&self) {
        let to_stopped = |state| (state != FAILED).then_some(STOPPED);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, to_stopped);
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Option<Failure>> {
        self.failure.subscribe()
    }

    fn wake_all(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn store_failure(reason: &str) -> Failure {
        Failure::Store { reason: reason.into() }
    }

    #[test]
    fn only_the_first_failure_is_told() {
        let alarm = Alarm::new();
        let watch = alarm.watch();
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        alarm.on_failure(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        alarm.raise(store_failure("first"));
        alarm.raise(store_failure("second"));
        assert_eq!(*watch.borrow(), Some(store_failure("first")));
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert_eq!(alarm.state(), EngineState::Failed);
        alarm.end_stop();
        assert_eq!(alarm.state(), EngineState::Failed);
        assert!(!alarm.begin_stop());
    }

    #[test]
    fn a_failure_before_the_threads_exist_reaches_them() {
        let alarm = Alarm::new();
        alarm.raise(store_failure("early"));
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        alarm.on_failure(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(woken.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_engine_that_ended_does_not_fail() {
        let alarm = Alarm::new();
        assert!(alarm.is_running() && alarm.begin_stop() && !alarm.is_running());
        alarm.end_stop();
        alarm.raise(store_failure("late"));
        assert_eq!((alarm.state(), alarm.failure()), (EngineState::Stopped, None));
    }
}
