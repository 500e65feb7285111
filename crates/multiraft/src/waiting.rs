//! Who waits for what in one group.
//!
//! Invariants: `proposals` are of the term in which this node leads, rising by index; `reads` rise by
//! index and wait only for the state machine; `bytes` is what proposals and deliveries add up to.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use raft_core::EntryRun;
use types::{LogId, LogIndex, Term};

#[derive(Debug)]
struct Pending<R> {
    id: LogId,
    bytes: usize,
    reply: R,
}

/// The waiting proposers and readers of one group.
#[derive(Debug)]
pub(crate) struct Waiting<R> {
    proposals: VecDeque<Pending<R>>,
    /// What was handed to the state machine: last index and bytes of each delivery.
    applying: VecDeque<(LogIndex, usize)>,
    reads: VecDeque<(LogIndex, R)>,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Self { proposals: VecDeque::new(), applying: VecDeque::new(), reads: VecDeque::new() }
    }
}

/// What a delivery or a loss does to those who wait.
pub(crate) struct Settled<R> {
    /// Whose entries are delivered, by index.
    pub(crate) delivered: Vec<(LogIndex, R)>,
    /// Whose entries may or may not be applied in the end.
    pub(crate) uncertain: Vec<R>,
    /// The bytes of the uncertain ones, which nobody accounts for any more.
    pub(crate) freed_bytes: usize,
}

impl<R> Waiting<R> {
    /// How many proposers, deliveries and readers there are.
    pub(crate) fn lens(&self) -> (usize, usize, usize) {
        (self.proposals.len(), self.applying.len(), self.reads.len())
    }

    /// Somebody waits for the entry `id`, which follows those that were proposed before.
    pub(crate) fn propose(&mut self, id: LogId, bytes: usize, reply: R) {
        self.proposals.push_back(Pending { id, bytes, reply });
    }

    /// These entries go to the state machine: finds out who waits for them. An index that came to
    /// hold an entry of another term is not what was proposed.
    pub(crate) fn deliver(&mut self, runs: &[EntryRun]) -> Settled<R> {
        let mut settled = Settled { delivered: Vec::new(), uncertain: Vec::new(), freed_bytes: 0 };
        let mut applying_bytes = 0;
        for run in runs {
            while let Some(pending) = self.proposals.pop_front_if(|p| p.id.index <= run.last()) {
                if pending.id.term == run.term && pending.id.index >= run.first {
                    applying_bytes += pending.bytes;
                    settled.delivered.push((pending.id.index, pending.reply));
                } else {
                    settled.freed_bytes += pending.bytes;
                    settled.uncertain.push(pending.reply);
                }
            }
        }
        if let Some(last) = runs.last().filter(|_| applying_bytes > 0) {
            self.applying.push_back((last.last(), applying_bytes));
        }
        settled
    }

    /// This node leads in `term` only, or not at all: what was proposed before is out of its hands.
    /// Returns those who wait for it, and their bytes.
    pub(crate) fn lose(&mut self, leads_in: Option<Term>) -> (Vec<R>, usize) {
        let mut lost = Vec::new();
        let mut bytes = 0;
        while let Some(pending) = self.proposals.pop_front_if(|p| Some(p.id.term) != leads_in) {
            bytes += pending.bytes;
            lost.push(pending.reply);
        }
        (lost, bytes)
    }

    /// Somebody waits for `index` to be applied, to read.
    pub(crate) fn read_at(&mut self, index: LogIndex, reply: R) {
        let position = self.reads.partition_point(|(other, _)| *other <= index);
        self.reads.insert(position, (index, reply));
    }

    /// Everything up to `index` is applied: returns the bytes that this frees, and gives the reads
    /// that may be served now to `serve`.
    pub(crate) fn applied(&mut self, index: LogIndex, mut serve: impl FnMut(LogIndex, R)) -> usize {
        let mut freed_bytes = 0;
        while let Some((_, bytes)) = self.applying.pop_front_if(|(last, _)| *last <= index) {
            freed_bytes += bytes;
        }
        while let Some((at, reply)) = self.reads.pop_front_if(|(at, _)| *at <= index) {
            serve(at, reply);
        }
        freed_bytes
    }

    /// Gives up on the reads: what they wait for may never be applied.
    pub(crate) fn lose_reads(&mut self) -> Vec<R> {
        self.reads.drain(..).map(|(_, reply)| reply).collect()
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{CommandsBuilder, EntryHeader, RunBody};

    use super::*;

    fn run(first: u64, term: u64, count: u64) -> EntryRun {
        let mut builder = CommandsBuilder::default();
        for _ in 0..count {
            builder.push(EntryHeader::default(), b"x");
        }
        let body = RunBody::Commands(builder.take().unwrap());
        EntryRun { first: LogIndex(first), term: Term(term), body }
    }

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term(term), LogIndex(index))
    }

    #[test]
    fn proposers_get_their_own_entry_or_none() {
        let mut waiting = Waiting::default();
        for (index, reply) in [(5, 'a'), (6, 'b'), (7, 'c')] {
            waiting.propose(id(2, index), 10, reply);
        }
        let settled = waiting.deliver(&[run(4, 2, 2), run(6, 3, 1)]);
        assert_eq!(settled.delivered, [(LogIndex(5), 'a')]);
        assert_eq!((settled.uncertain, settled.freed_bytes), (alloc::vec!['b'], 10));
        assert_eq!(waiting.applied(LogIndex(5), |_, _| ()), 0, "the delivery ends at 6");
        assert_eq!(waiting.applied(LogIndex(6), |_, _| ()), 10);
        assert_eq!(waiting.lose(None), (alloc::vec!['c'], 10));
    }

    #[test]
    fn lost_terms_are_uncertain_at_once() {
        let mut waiting = Waiting::default();
        waiting.propose(id(2, 5), 10, 'a');
        waiting.propose(id(4, 6), 10, 'b');
        assert_eq!(waiting.lose(Some(Term(4))), (alloc::vec!['a'], 10));
        assert_eq!(waiting.lose(None), (alloc::vec!['b'], 10));
    }

    #[test]
    fn reads_wait_for_their_index() {
        let mut waiting = Waiting::default();
        waiting.read_at(LogIndex(9), 'b');
        waiting.read_at(LogIndex(7), 'a');
        let mut served = Vec::new();
        waiting.applied(LogIndex(8), |index, reply| served.push((index, reply)));
        assert_eq!(served, [(LogIndex(7), 'a')]);
        waiting.applied(LogIndex(9), |index, reply| served.push((index, reply)));
        assert_eq!(served.len(), 2);
        waiting.read_at(LogIndex(12), 'c');
        assert_eq!(waiting.lose_reads(), ['c']);
    }
}
