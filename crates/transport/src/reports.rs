//! Dropped frames on their way to [`Events::dropped`], so that `send` itself never calls back.
//!
//! Invariant: what waits is at most what all queues together may hold; beyond it reports are
//! discarded and counted. Only an implementation of [`Events`] that blocks gets there.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use types::NodeId;

use crate::counters::Count;
use crate::events::Events;
use crate::limits::FRAME_CHARGE_BYTES;
use crate::tasks::Tasks;

/// See the module.
pub(crate) struct Reports {
    state: Mutex<State>,
    filled: Notify,
    bytes_max: usize,
    lost: Count,
}

struct State {
    is_open: bool,
    waiting: VecDeque<(NodeId, Bytes)>,
    bytes: usize,
}

impl Reports {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let state = State { is_open: true, waiting: VecDeque::new(), bytes: 0 };
        Self { state: Mutex::new(state), filled: Notify::new(), bytes_max, lost: Count::default() }
    }

    /// Queues a report; without effect once the link has ended.
    pub(crate) fn push(&self, to: NodeId, body: Bytes) {
        let mut state = self.state.lock();
        if !state.is_open {
            return;
        }
        let charge = body.len() + FRAME_CHARGE_BYTES;
        if state.bytes + charge > self.bytes_max {
            self.lost.add(1);
            return;
        }
        state.bytes += charge;
        state.waiting.push_back((to, body));
        let was_empty = state.waiting.len() == 1;
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Reports until the link stops and all its other tasks, which may still drop frames, ended.
    pub(crate) async fn run(&self, events: &dyn Events, tasks: &Tasks) {
        let mut last = false;
        while !last {
            tokio::select! {
                () = self.filled.notified() => {}
                () = tasks.only_one_left() => last = true,
            }
            self.report_all(events, last);
        }
    }

    fn report_all(&self, events: &dyn Events, last: bool) {
        let waiting = {
            let mut state = self.state.lock();
            state.is_open = !last;
            std::mem::take(&mut state.waiting)
        };
        for (to, body) in waiting {
            let charge = body.len() + FRAME_CHARGE_BYTES;
            events.dropped(to, body);
            self.state.lock().bytes -= charge;
        }
    }

    /// How many reports were discarded.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_beyond_the_bound_are_counted_not_kept() {
        let reports = Reports::new(130);
        for _ in 0..3 {
            reports.push(NodeId(2), Bytes::from_static(b"x"));
        }
        assert_eq!(reports.lost(), 1);
        assert_eq!(reports.state.lock().waiting.len(), 2);
    }
}
