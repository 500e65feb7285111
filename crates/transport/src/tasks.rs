//! The tasks of one link: told to stop together, and known to have ended.

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::link::Stopped;

/// See the module.
pub(crate) struct Tasks {
    handle: Handle,
    stop: watch::Sender<bool>,
    live: watch::Sender<usize>,
}

/// Counts one task as live until dropped, so that a task that panicked is not waited for.
pub(crate) struct Live(watch::Sender<usize>);

impl Tasks {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, stop: watch::Sender::new(false), live: watch::Sender::new(0) }
    }

    /// Starts a task. It must end soon after [`Self::stopping`] does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let live = self.live();
        self.handle.spawn(async move {
            let _live = live;
            task.await;
        });
    }

    /// Counts a task of another link as one of these while it works for both; `None` once these are
    /// to stop. It too must end soon after [`Self::stopping`] does.
    pub(crate) fn join(&self) -> Option<Live> {
        let live = self.live();
        // Counted before the look: a stop after it waits for us.
        (!*self.stop.borrow()).then_some(live)
    }

    fn live(&self) -> Live {
        self.live.send_modify(|live| *live += 1);
        Live(self.live.clone())
    }

    /// Tells all tasks to stop; the answer ends when they have ended.
    pub(crate) fn stop(&self) -> Stopped {
        self.stop.send_replace(true);
        let mut live = self.live.subscribe();
        Box::pin(async move {
            // The sender being gone means that no task is left either.
            let _ = live.wait_for(|live| *live == 0).await;
        })
    }

    /// Ends when the tasks are to stop.
    pub(crate) async fn stopping(&self) {
        // An error cannot be: the sender is in `self`.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Ends when the tasks are to stop and all but one ended.
    pub(crate) async fn only_one_left(&self) {
        self.stopping().await;
        let _ = self.live.subscribe().wait_for(|live| *live <= 1).await;
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.send_modify(|live| *live -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stopped_waits_for_every_task_even_for_one_of_another_link() {
        let tasks = Tasks::new(Handle::current());
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(async move { released.await.unwrap() });
        let visitor = tasks.join().unwrap();
        let mut stopped = tasks.stop();
        assert!(tasks.join().is_none(), "nobody joins what stops");
        release.send(()).unwrap();
        tasks.only_one_left().await;
        tokio::select! {
            biased;
            () = &mut stopped => panic!("the visitor is still there"),
            () = std::future::ready(()) => drop(visitor),
        }
        stopped.await;
    }

    #[tokio::test]
    async fn task_that_panics_is_not_waited_for() {
        let tasks = Tasks::new(Handle::current());
        tasks.spawn(async { panic!("as a faulty Events would") });
        tasks.stop().await;
    }
}
