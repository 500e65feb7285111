//! How far one other replica's log is known to match, and what is on its way there.
//!
//! - *Probe*: the leader looks for where the logs agree; one append at a time.
//! - *Replicate*: they agree; appends follow each other without waiting, within a window.
//! - *Behind*: what the replica needs was compacted away; only heartbeats go there.
//!
//! Invariants: `matched < next`; `matched` only rises; in Replicate everything in
//! `matched + 1 .. next` is in the window.

use alloc::collections::VecDeque;

use types::{LogIndex, ReplicaId, Tick};

use crate::Limits;

/// How the leader treats a replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgressState {
    /// Looks for the last entry both agree on.
    Probe,
    /// Sends entries as they come.
    Replicate,
    /// Needs entries that the log no longer has.
    Behind,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    last: LogIndex,
    bytes: usize,
    sent_at: Tick,
}

#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) replica: ReplicaId,
    pub(crate) matched: LogIndex,
    pub(crate) next: LogIndex,
    pub(crate) state: ProgressState,
    /// The last time it answered, in this leader's term.
    pub(crate) heard_at: Tick,
    /// The highest commit index that was sent to it.
    pub(crate) commit_sent: LogIndex,
    /// Whether entries for it are being read from disk.
    pub(crate) is_fetching: bool,
    window: VecDeque<InFlight>,
    window_bytes: usize,
    /// The one append of a probe, while it is unanswered.
    probe: Option<InFlight>,
}

impl Progress {
    pub(crate) const fn new(replica: ReplicaId, next: LogIndex, now: Tick) -> Self {
        Self {
            replica,
            matched: LogIndex::ZERO,
            next,
            state: ProgressState::Probe,
            heard_at: now,
            commit_sent: LogIndex::ZERO,
            is_fetching: false,
            window: VecDeque::new(),
            window_bytes: 0,
            probe: None,
        }
    }

    /// Whether another append may go there now.
    pub(crate) fn may_send(&self, limits: &Limits) -> bool {
        match self.state {
            ProgressState::Probe => self.probe.is_none() && !self.is_fetching,
            ProgressState::Replicate => {
                !self.is_fetching
                    && self.window.len() < limits.inflight_appends_max
                    && self.window_bytes < limits.inflight_bytes_max
            }
            ProgressState::Behind => false,
        }
    }

    /// Notes that an append of `bytes` with entries up to `last` (`next - 1` if it has none) went out.
    pub(crate) fn sent(&mut self, last: LogIndex, bytes: usize, now: Tick) {
        let append = InFlight { last, bytes, sent_at: now };
        match self.state {
            ProgressState::Probe => self.probe = Some(append),
            ProgressState::Replicate => self.enter_window(append),
            ProgressState::Behind => {}
        }
    }

    fn enter_window(&mut self, append: InFlight) {
        if append.last >= self.next {
            self.next = append.last.next();
            self.window.push_back(append);
            self.window_bytes += append.bytes;
        }
    }

    /// Its log is durable and verified up to `matched`.
    pub(crate) fn accepted(&mut self, matched: LogIndex) {
        let probed_from = self.next;
        if matched > self.matched {
            self.matched = matched;
            self.next = self.next.max(matched.next());
        }
        while let Some(append) = self.window.front().filter(|append| append.last <= self.matched) {
            self.window_bytes -= append.bytes;
            self.window.pop_front();
        }
        if self.state == ProgressState::Probe {
            self.state = ProgressState::Replicate;
            self.next = self.matched.next();
            // It may have vouched for what it had before the probe came, and be writing what came
            // with it: that needs no repeating.
            if let Some(append) = self.probe.take().filter(|_| probed_from <= self.next) {
                self.enter_window(append);
            }
        }
    }

    /// It lacks the entry at `prev`; entries above `candidate` cannot match either. Late answers
    /// to appends that no longer matter change nothing.
    pub(crate) fn rejected(&mut self, prev: LogIndex, candidate: LogIndex) {
        let is_late = match self.state {
            ProgressState::Probe => prev.next() != self.next,
            ProgressState::Replicate => prev <= self.matched,
            ProgressState::Behind => true,
        };
        if is_late {
            return;
        }
        self.probe();
        self.next = candidate.min(prev.prev()).max(self.matched).next();
    }

    /// Starts over from what is known to match; what is in flight counts as lost.
    pub(crate) fn probe(&mut self) {
        self.state = ProgressState::Probe;
        self.window.clear();
        self.window_bytes = 0;
        self.probe = None;
        self.next = self.matched.next();
    }

    /// Probes again if an answer is overdue: whatever was sent at or before `sent_before`.
    pub(crate) fn retransmit(&mut self, sent_before: Tick) {
        match self.state {
            ProgressState::Probe => {
                // The probe stays where it is: only its one append is repeated.
                if self.probe.is_some_and(|append| append.sent_at <= sent_before) {
                    self.probe = None;
                }
            }
            ProgressState::Replicate => {
                if self.window.front().is_some_and(|append| append.sent_at <= sent_before) {
                    self.probe();
                }
            }
            ProgressState::Behind => {}
        }
    }

    /// What it needs was compacted away.
    pub(crate) fn falls_behind(&mut self) {
        self.probe();
        self.state = ProgressState::Behind;
    }

    /// How many appends are on their way there, and how many bytes; the one of a probe included.
    pub(crate) fn in_flight(&self) -> (usize, usize) {
        let probe = self.probe.iter();
        let (probes, probe_bytes) = probe.fold((0, 0), |_, append| (1, append.bytes));
        (self.window.len() + probes, self.window_bytes + probe_bytes)
    }

    /// Whether nothing is on its way there.
    pub(crate) fn is_idle(&self) -> bool {
        self.window.is_empty() && self.probe.is_none() && !self.is_fetching
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { inflight_appends_max: 2, inflight_bytes_max: 100, ..Limits::default() }
    }

    fn replicating() -> Progress {
        let mut progress = Progress::new(ReplicaId(2), LogIndex(5), Tick(0));
        progress.accepted(LogIndex(4));
        progress
    }

    #[test]
    fn a_probe_waits_for_its_answer() {
        let mut progress = Progress::new(ReplicaId(2), LogIndex(5), Tick(0));
        assert!(progress.may_send(&limits()));
        progress.sent(LogIndex(7), 10, Tick(1));
        assert!(!progress.may_send(&limits()));
        progress.retransmit(Tick(0));
        assert!(!progress.may_send(&limits()), "not overdue");
        progress.retransmit(Tick(1));
        assert!(progress.may_send(&limits()) && progress.next == LogIndex(5));
    }

    #[test]
    fn the_window_is_bounded_by_count_and_bytes() {
        let mut progress = replicating();
        progress.sent(LogIndex(5), 10, Tick(1));
        progress.sent(LogIndex(6), 10, Tick(1));
        assert!(!progress.may_send(&limits()), "two appends are out");
        progress.accepted(LogIndex(5));
        assert!(progress.may_send(&limits()));
        progress.sent(LogIndex(7), 90, Tick(1));
        progress.accepted(LogIndex(6));
        assert!(progress.may_send(&limits()), "90 of 100 bytes are out");
        progress.accepted(LogIndex(7));
        progress.sent(LogIndex(8), 100, Tick(1));
        assert!(!progress.may_send(&limits()), "the bytes are used up");
    }

    #[test]
    fn late_rejections_change_nothing() {
        let mut progress = replicating();
        progress.sent(LogIndex(9), 10, Tick(1));
        progress.rejected(LogIndex(3), LogIndex(1));
        assert_eq!((progress.state, progress.next), (ProgressState::Replicate, LogIndex(10)));
        progress.rejected(LogIndex(9), LogIndex(6));
        assert_eq!((progress.state, progress.next), (ProgressState::Probe, LogIndex(7)));
        progress.rejected(LogIndex(9), LogIndex(2));
        assert_eq!(progress.next, LogIndex(7), "the probe is at 6, not at 9");
    }

    #[test]
    fn a_rejection_always_moves_the_probe_down_but_never_below_matched() {
        let mut progress = replicating();
        progress.probe();
        progress.next = LogIndex(9);
        progress.rejected(LogIndex(8), LogIndex(50));
        assert_eq!(progress.next, LogIndex(8));
        progress.rejected(LogIndex(7), LogIndex(1));
        assert_eq!(progress.next, LogIndex(5));
    }

    #[test]
    fn what_came_with_a_probe_is_in_the_window_once_the_entry_before_matches() {
        let mut progress = Progress::new(ReplicaId(2), LogIndex(5), Tick(0));
        progress.sent(LogIndex(7), 10, Tick(1));
        progress.accepted(LogIndex(4));
        assert_eq!((progress.state, progress.next), (ProgressState::Replicate, LogIndex(8)));
        assert!(!progress.is_idle());
        progress.retransmit(Tick(1));
        assert_eq!((progress.state, progress.next), (ProgressState::Probe, LogIndex(5)), "lost");
        progress.sent(LogIndex(7), 10, Tick(2));
        progress.accepted(LogIndex(7));
        assert!(progress.is_idle() && progress.next == LogIndex(8));
    }

    #[test]
    fn an_answer_from_before_a_probe_says_nothing_of_its_entries() {
        let mut progress = Progress::new(ReplicaId(2), LogIndex(5), Tick(0));
        progress.sent(LogIndex(7), 10, Tick(1));
        progress.accepted(LogIndex(3));
        assert_eq!((progress.state, progress.next), (ProgressState::Replicate, LogIndex(4)));
        assert!(progress.is_idle());
    }

    #[test]
    fn an_unanswered_append_is_probed_again_from_what_matches() {
        let mut progress = replicating();
        progress.sent(LogIndex(9), 10, Tick(3));
        progress.retransmit(Tick(3));
        assert_eq!((progress.state, progress.next), (ProgressState::Probe, LogIndex(5)));
        assert!(progress.may_send(&limits()));
    }
}
