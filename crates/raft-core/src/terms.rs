//! Which term each entry is of, by the places where terms begin.
//!
//! Invariants: `starts` rises strictly in both index and term; its first start lies at
//! `base.index + 1` unless it is empty; every index in it is at most the log's last.

use alloc::vec::Vec;

use types::{LogId, LogIndex, Term};

/// The terms of the entries after `base`, few words however long the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    base: LogId,
    starts: Vec<LogId>,
    last: LogIndex,
}

impl Terms {
    pub(crate) const fn new(base: LogId, starts: Vec<LogId>, last: LogIndex) -> Self {
        Self { base, starts, last }
    }

    pub(crate) const fn base(&self) -> LogId {
        self.base
    }

    pub(crate) const fn last(&self) -> LogIndex {
        self.last
    }

    /// The last entry, or the base of an empty log.
    pub(crate) fn last_id(&self) -> LogId {
        let term = self.starts.last().map_or(self.base.term, |start| start.term);
        LogId::new(term, self.last)
    }

    /// The term of the entry at `index`; none before the base and after the last entry.
    pub(crate) fn at(&self, index: LogIndex) -> Option<Term> {
        if index > self.last || index < self.base.index {
            return None;
        }
        // Nearly every question is about the newest term.
        match self.starts.last() {
            Some(start) if start.index <= index => Some(start.term),
            _ => {
                let after = self.starts.partition_point(|start| start.index <= index);
                let before = after.checked_sub(1).and_then(|n| self.starts.get(n));
                Some(before.map_or(self.base.term, |start| start.term))
            }
        }
    }

    /// Extends the log to `last`; `last` must lie ahead, and `term` be at least the newest.
    pub(crate) fn extend(&mut self, term: Term, last: LogIndex) {
        if self.starts.last().map_or(Term(0), |start| start.term) < term || self.starts.is_empty() {
            self.starts.push(LogId::new(term, self.last.next()));
        }
        self.last = last;
    }

    /// Forgets everything from `from` on.
    pub(crate) fn truncate(&mut self, from: LogIndex) {
        while self.starts.last().is_some_and(|start| start.index >= from) {
            self.starts.pop();
        }
        self.last = self.last.min(from.prev());
    }

    /// The first index within `first..=last` whose entry here is missing or of another term than
    /// `term`; none if all are here. `first` must be at most one past the last entry.
    pub(crate) fn first_mismatch(
        &self,
        first: LogIndex,
        last: LogIndex,
        term: Term,
    ) -> Option<LogIndex> {
        if self.at(first) != Some(term) {
            return Some(first);
        }
        let next_start = self.starts.partition_point(|start| start.index <= first);
        let stretch_last =
            self.starts.get(next_start).map_or(self.last, |start| start.index.prev());
        (stretch_last < last).then(|| stretch_last.next())
    }

    /// The last entry at or before `index` whose term is at most `term`, down to the base. What a
    /// refused append and its answer agree on is never above it.
    pub(crate) fn last_at_most(&self, index: LogIndex, term: Term) -> LogId {
        let mut index = index.min(self.last);
        for start in self.starts.iter().rev() {
            if start.index > index {
                continue;
            }
            if start.term <= term {
                return LogId::new(start.term, index);
            }
            index = start.index.prev();
        }
        if index < self.base.index { LogId::ZERO } else { self.base }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term(term), LogIndex(index))
    }

    /// Base 10 of term 1; 11-12 of term 1, 13-15 of term 3, 16-20 of term 4.
    fn terms() -> Terms {
        Terms::new(id(1, 10), vec![id(1, 11), id(3, 13), id(4, 16)], LogIndex(20))
    }

    #[test]
    fn every_index_has_its_term() {
        let terms = terms();
        let at = |n| terms.at(LogIndex(n)).map(|t| t.0);
        assert_eq!([at(9), at(10), at(11), at(12)], [None, Some(1), Some(1), Some(1)]);
        assert_eq!([at(13), at(15), at(16), at(20)], [Some(3), Some(3), Some(4), Some(4)]);
        assert_eq!(at(21), None);
        assert_eq!(terms.last_id(), id(4, 20));
    }

    #[test]
    fn truncation_forgets_starts_beyond_it() {
        let mut terms = terms();
        terms.truncate(LogIndex(16));
        assert_eq!(terms.last_id(), id(3, 15));
        terms.truncate(LogIndex(11));
        assert_eq!(terms.last_id(), id(1, 10));
        terms.extend(Term(5), LogIndex(12));
        assert_eq!(terms.starts, [id(5, 11)]);
        assert_eq!(terms.at(LogIndex(10)), Some(Term(1)));
    }

    #[test]
    fn the_first_mismatch_is_where_terms_part_or_the_log_ends() {
        let terms = terms();
        let mismatch = |first, last, term| {
            terms.first_mismatch(LogIndex(first), LogIndex(last), Term(term)).map(|i| i.0)
        };
        assert_eq!(mismatch(13, 15, 3), None);
        assert_eq!(mismatch(13, 16, 3), Some(16));
        assert_eq!(mismatch(13, 15, 2), Some(13));
        assert_eq!(mismatch(18, 25, 4), Some(21));
        assert_eq!(mismatch(21, 25, 4), Some(21));
    }

    #[test]
    fn hints_skip_whole_terms() {
        let terms = terms();
        assert_eq!(terms.last_at_most(LogIndex(18), Term(3)), id(3, 15));
        assert_eq!(terms.last_at_most(LogIndex(18), Term(2)), id(1, 12));
        assert_eq!(terms.last_at_most(LogIndex(14), Term(9)), id(3, 14));
        assert_eq!(terms.last_at_most(LogIndex(99), Term(0)), id(1, 10));
    }
}
