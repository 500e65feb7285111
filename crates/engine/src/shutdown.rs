//! The end of an engine: what is under way is finished, then every thread is joined, all within
//! bounds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::engine::{Engine, Inner};
use crate::failure::Failure;
use crate::messages::{ApplyJob, Fact, LogJob, ReadJob};
use crate::threads::Running;

/// How long the end may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ShutdownLimits {
    /// For calls that are under way.
    pub(crate) drain_max: Duration,
    /// For threads and links, after that.
    pub(crate) join_max: Duration,
}

/// Why an engine did not end well.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ShutdownError {
    /// It had failed, or failed while it was ended.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// A thread does not come back, most likely from the state machine. The process may exit all the
    /// same: what was acknowledged is durable.
    #[error("thread {thread} has not ended within {within:?}")]
    Stuck {
        /// The thread.
        thread: String,
        /// How long was waited.
        within: Duration,
    },
}

/// The engine's threads, in the order in which they end.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    pub(crate) workers: Vec<Running>,
    /// Those that the workers hand things to.
    pub(crate) others: Vec<Running>,
}

impl Engine {
    /// Ends the engine: new calls are answered `Stopped`, calls under way are finished or told that
    /// they are not, the link is closed, and every thread joined. Ends within the bounds that the
    /// builder was given, and may be called more than once; dropping the future does not undo it.
    ///
    /// Needs the runtime on which the engine was started, with its timers.
    ///
    /// # Errors
    /// See [`ShutdownError`]; the engine has ended or is beyond help, and the process may exit.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        if !self.inner.is_ending.swap(true, Ordering::AcqRel) {
            self.inner.alarm.begin_stop();
            self.inner.handle.spawn(end(self.inner.clone()));
        }
        let mut ended = self.inner.ended.subscribe();
        loop {
            if let Some(result) = &*ended.borrow_and_update() {
                return result.clone();
            }
            // The other end lives in `inner`, which this engine keeps alive.
            let _ = ended.changed().await;
        }
    }
}

async fn end(inner: Arc<Inner>) {
    let ShutdownLimits { drain_max, join_max } = inner.shutdown_limits;
    let idle = async {
        inner.proposals.idle().await;
        inner.reads.idle().await;
    };
    if timeout(drain_max, idle).await.is_err() {
        let bytes = inner.proposals.used();
        tracing::warn!(bytes, ?drain_max, "calls under way are given up");
    }
    let joining = Arc::new(Mutex::new(String::new()));
    let joined = join_aside(&inner, &joining);
    let stuck = timeout(join_max, joined).await.is_err();
    let is_closed = timeout(join_max, inner.link.shutdown()).await.is_ok();
    inner.leaders.end();
    inner.alarm.end_stop();
    let result = match inner.alarm.failure() {
        Some(failure) => Err(failure.into()),
        None if stuck => {
            Err(ShutdownError::Stuck { thread: joining.lock().clone(), within: join_max })
        }
        None if !is_closed => {
            Err(ShutdownError::Stuck { thread: "link".to_owned(), within: join_max })
        }
        None => Ok(()),
    };
    inner.ended.send_replace(Some(result));
}

/// Stops and joins all threads on one of their own, because joining blocks. `joining` names the one
/// being waited for.
fn join_aside(inner: &Arc<Inner>, joining: &Arc<Mutex<String>>) -> oneshot::Receiver<()> {
    let (done, joined) = oneshot::channel();
    let (aside, joining) = (inner.clone(), joining.clone());
    let join = move || {
        let Threads { workers, others } = std::mem::take(&mut *aside.threads.lock());
        let join = |thread: Running| {
            thread.name.clone_into(&mut joining.lock());
            thread.join();
        };
        aside.stop_workers();
        workers.into_iter().for_each(join);
        aside.stop_others();
        others.into_iter().for_each(join);
        // Whoever waited may have given up.
        let _ = done.send(());
    };
    if let Err(error) = std::thread::Builder::new().name("mr-end".to_owned()).spawn(join) {
        // The threads end all the same, unjoined.
        tracing::error!(%error, "cannot start a thread to join the others");
        inner.stop_workers();
        inner.stop_others();
    }
    joined
}

impl Inner {
    fn stop_workers(&self) {
        for worker in &self.workers {
            // A thread that has ended does not want to know; so below.
            let _ = worker.facts.send(Fact::Stop);
        }
    }

    /// To be called once no worker hands anything over any more, so that all of it is done first.
    fn stop_others(&self) {
        let _ = self.log.send(LogJob::Stop);
        let _ = self.reader.send(ReadJob::Stop);
        for applier in &self.appliers {
            let _ = applier.send(ApplyJob::Stop);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.alarm.end_stop();
        // Nobody waits for an answer any more, so that the order does not matter.
        self.stop_workers();
        self.stop_others();
        drop(self.link.shutdown());
    }
}
