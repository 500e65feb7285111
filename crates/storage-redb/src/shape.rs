//! The outline of one group's log: where it begins, where it ends, and which term each entry has.
//!
//! Invariants: `base.index <= last`; `terms` holds the first entry of each stretch of equal terms
//! after `base`, strictly rising in both term and index, the first one right after `base`, none if
//! there are no entries; no term is below the base's. So a term names at most one stretch, which is
//! what lets a replay tell by (index, term) alone whether an entry found in a record is still in
//! the log.

use types::{LogId, LogIndex, Term};

/// Where a log begins and ends, and its terms.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Shape {
    base: LogId,
    last: LogIndex,
    terms: Starts,
}

/// The first entries of stretches. Most logs hold one term, and theirs is kept in place: a commit
/// looks at those of thousands of groups. Invariant: there are many if there are two at least.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
enum Starts {
    #[default]
    None,
    One(LogId),
    Many(Vec<LogId>),
}

/// Why a change does not fit the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Misfit {
    /// It starts beyond the entry after the last one.
    Gap { last: LogIndex },
    /// It starts at or below the base.
    Compacted { base: LogIndex },
    /// Its term is below that of the entry before it.
    TermFalls { before: LogId },
    /// The log would have more entries than can be indexed.
    TooLong,
}

impl Shape {
    /// The most entries of one log: the index counts them in 32 bits, with room to spare for what
    /// was released meanwhile.
    pub(crate) const ENTRIES_MAX: u64 = 1 << 31;

    /// Puts a stored outline together; none if it breaks an invariant.
    pub(crate) fn restore(base: LogId, last: LogIndex, terms: Vec<LogId>) -> Option<Self> {
        let rises = terms.windows(2).all(|t| t[0].term < t[1].term && t[0].index < t[1].index);
        let fits = match (terms.first(), terms.last()) {
            (Some(first), Some(newest)) => {
                first.index == base.index.next() && base.term <= first.term && newest.index <= last
            }
            _ => base.index == last,
        };
        let is_short = base.index <= last && last.0 - base.index.0 <= Self::ENTRIES_MAX;
        let terms = terms.into_iter().collect();
        (rises && fits && is_short).then_some(Self { base, last, terms })
    }

    /// The last entry that is gone.
    pub(crate) const fn base(&self) -> LogId {
        self.base
    }

    /// The last entry; the base's index if there is none.
    pub(crate) const fn last(&self) -> LogIndex {
        self.last
    }

    /// The first entry of each term, rising.
    pub(crate) fn terms(&self) -> &[LogId] {
        self.terms.as_slice()
    }

    /// The term of an entry, or of the base; none outside of the log.
    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if index < self.base.index || index > self.last {
            return None;
        }
        let terms = self.terms();
        let after = terms.partition_point(|start| start.index <= index);
        after.checked_sub(1).map(|position| terms[position].term)
    }

    /// The part of `first..=last` whose entries have that term; none if there is none.
    pub(crate) fn live_part(
        &self,
        term: Term,
        first: LogIndex,
        last: LogIndex,
    ) -> Option<(LogIndex, LogIndex)> {
        let terms = self.terms();
        let position = terms.binary_search_by_key(&term, |start| start.term).ok()?;
        let stretch_last = terms.get(position + 1).map_or(self.last, |next| next.index.prev());
        let from = first.max(terms[position].index);
        let to = last.min(stretch_last);
        (from <= to).then_some((from, to))
    }

    /// Whether all that happens if `first..=last` is appended at `term` is that the log gets longer.
    pub(crate) fn continues(&self, first: LogIndex, last: LogIndex, term: Term) -> bool {
        first == self.last.next()
            && self.terms().last().is_some_and(|newest| newest.term == term)
            && last.0 - self.base.index.0 <= Self::ENTRIES_MAX
    }

    /// The log goes up to `last` with the term that it ends with; see [`Shape::continues`].
    pub(crate) const fn continue_to(&mut self, last: LogIndex) {
        self.last = last;
    }

    /// Appends `first..=last` at `term`, and discards what was there from `first` on.
    pub(crate) fn append(
        &mut self,
        first: LogIndex,
        last: LogIndex,
        term: Term,
    ) -> Result<(), Misfit> {
        if self.continues(first, last, term) {
            self.continue_to(last);
            return Ok(());
        }
        self.check_from(first)?;
        let before = first.prev();
        let term_before = self.term_at(before).expect("checked: the entry before is in the log");
        if term < term_before {
            return Err(Misfit::TermFalls { before: LogId::new(term_before, before) });
        }
        if last.0 - self.base.index.0 > Self::ENTRIES_MAX {
            return Err(Misfit::TooLong);
        }
        self.cut(first);
        if self.terms().last().is_none_or(|newest| newest.term < term) {
            self.terms.push(LogId::new(term, first));
        }
        self.last = last;
        Ok(())
    }

    /// Discards everything from `from` on, which may be just beyond the end.
    pub(crate) fn truncate(&mut self, from: LogIndex) -> Result<(), Misfit> {
        self.check_from(from)?;
        self.cut(from);
        Ok(())
    }

    /// Forgets everything up to `base`; everything at all if the log does not hold that very entry.
    /// A base at or below the present one changes nothing. Returns whether anything changed.
    pub(crate) fn compact(&mut self, base: LogId) -> bool {
        if base.index <= self.base.index {
            return false;
        }
        if self.term_at(base.index) == Some(base.term) {
            let after = self.terms().partition_point(|start| start.index <= base.index);
            let kept = &self.terms()[after..];
            let first = LogId::new(base.term, base.index.next());
            let is_mid_stretch = kept.first().is_none_or(|start| start.index > first.index);
            let cut = (self.last > base.index && is_mid_stretch).then_some(first);
            self.terms = cut.into_iter().chain(kept.iter().copied()).collect();
        } else {
            self.terms = Starts::None;
            self.last = base.index;
        }
        self.base = base;
        true
    }

    /// Takes over what `other` holds, keeping this one's memory.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.base = other.base;
        self.last = other.last;
        self.terms.copy_from(&other.terms);
    }

    fn check_from(&self, from: LogIndex) -> Result<(), Misfit> {
        if from <= self.base.index {
            return Err(Misfit::Compacted { base: self.base.index });
        }
        if from > self.last.next() {
            return Err(Misfit::Gap { last: self.last });
        }
        Ok(())
    }

    fn cut(&mut self, from: LogIndex) {
        if from > self.last {
            return;
        }
        let kept = self.terms().partition_point(|start| start.index < from);
        self.terms.truncate(kept);
        self.last = from.prev();
    }
}

impl Starts {
    fn as_slice(&self) -> &[LogId] {
        match self {
            Self::None => &[],
            Self::One(start) => std::slice::from_ref(start),
            Self::Many(starts) => starts,
        }
    }

    fn push(&mut self, start: LogId) {
        match self {
            Self::None => *self = Self::One(start),
            Self::One(first) => *self = Self::Many(vec![*first, start]),
            Self::Many(starts) => starts.push(start),
        }
    }

    fn truncate(&mut self, len: usize) {
        match (len, &mut *self) {
            (2.., Self::Many(starts)) => starts.truncate(len),
            (1, Self::Many(starts)) => *self = Self::One(starts[0]),
            (0, Self::One(_) | Self::Many(_)) => *self = Self::None,
            (_, Self::None | Self::One(_)) => {}
        }
    }

    /// Takes over what `other` holds, keeping this one's memory.
    fn copy_from(&mut self, other: &Self) {
        if let (Self::Many(starts), Self::Many(others)) = (&mut *self, other) {
            starts.clone_from(others);
        } else {
            *self = other.clone();
        }
    }
}

impl FromIterator<LogId> for Starts {
    fn from_iter<I: IntoIterator<Item = LogId>>(starts: I) -> Self {
        let mut all = Self::None;
        starts.into_iter().for_each(|start| all.push(start));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term(term), LogIndex(index))
    }

    /// Entries 1-3 at term 1, 4-6 at term 3.
    fn shape() -> Shape {
        let mut shape = Shape::default();
        shape.append(LogIndex(1), LogIndex(3), Term(1)).unwrap();
        shape.append(LogIndex(4), LogIndex(6), Term(3)).unwrap();
        shape
    }

    #[test]
    fn every_index_has_its_term() {
        let shape = shape();
        let terms: Vec<_> = (0..8).map(|i| shape.term_at(LogIndex(i)).map(|t| t.0)).collect();
        let expected = [Some(0), Some(1), Some(1), Some(1), Some(3), Some(3), Some(3), None];
        assert_eq!(terms, expected);
        assert_eq!(shape.terms(), [id(1, 1), id(3, 4)]);
    }

    #[test]
    fn an_append_in_the_middle_discards_what_follows() {
        let mut shape = shape();
        shape.append(LogIndex(3), LogIndex(3), Term(4)).unwrap();
        assert_eq!(shape.last(), LogIndex(3));
        assert_eq!(shape.terms(), [id(1, 1), id(4, 3)]);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut shape = shape();
        shape.compact(id(1, 2));
        let before = shape.clone();
        let append =
            |s: &mut Shape, first, term| s.append(LogIndex(first), LogIndex(first + 1), Term(term));
        assert_eq!(append(&mut shape, 8, 3), Err(Misfit::Gap { last: LogIndex(6) }));
        assert_eq!(append(&mut shape, 2, 3), Err(Misfit::Compacted { base: LogIndex(2) }));
        assert_eq!(append(&mut shape, 7, 2), Err(Misfit::TermFalls { before: id(3, 6) }));
        let too_long = shape.append(LogIndex(7), LogIndex(3 << 31), Term(3));
        assert_eq!(too_long, Err(Misfit::TooLong));
        assert_eq!(shape, before);
    }

    #[test]
    fn compaction_keeps_what_follows_the_very_entry() {
        let mut shape = shape();
        assert!(shape.compact(id(3, 5)));
        assert_eq!((shape.base(), shape.terms()), (id(3, 5), &[id(3, 6)][..]));
        assert!(!shape.compact(id(3, 5)));
        assert!(!shape.compact(id(1, 2)));
        assert!(shape.compact(id(3, 6)));
        assert_eq!((shape.last(), shape.terms()), (LogIndex(6), &[][..]));
    }

    #[test]
    fn compaction_at_a_term_boundary_adds_no_stretch() {
        let mut shape = shape();
        assert!(shape.compact(id(1, 3)));
        assert_eq!(shape.terms(), [id(3, 4)]);
    }

    #[test]
    fn compaction_at_an_entry_that_is_not_there_forgets_everything() {
        let mut other_term = shape();
        assert!(other_term.compact(id(2, 4)));
        assert_eq!((other_term.last(), other_term.terms()), (LogIndex(4), &[][..]));
        let mut beyond = shape();
        assert!(beyond.compact(id(5, 90)));
        assert_eq!((beyond.base(), beyond.last()), (id(5, 90), LogIndex(90)));
        assert_eq!(beyond.append(LogIndex(91), LogIndex(91), Term(5)), Ok(()));
    }

    #[test]
    fn the_live_part_of_an_old_run_is_found_by_its_term() {
        let shape = shape();
        let part = |term, first, last| {
            shape
                .live_part(Term(term), LogIndex(first), LogIndex(last))
                .map(|(first, last)| (first.0, last.0))
        };
        assert_eq!(part(1, 1, 9), Some((1, 3)));
        assert_eq!(part(3, 1, 5), Some((4, 5)));
        assert_eq!(part(2, 1, 9), None);
        assert_eq!(part(1, 4, 9), None);
    }

    #[test]
    fn a_log_that_gains_and_loses_terms_is_the_same_as_one_that_never_had_them() {
        let mut shape = Shape::default();
        shape.append(LogIndex(1), LogIndex(3), Term(1)).unwrap();
        let one_term = shape.clone();
        shape.append(LogIndex(4), LogIndex(4), Term(2)).unwrap();
        shape.append(LogIndex(5), LogIndex(6), Term(4)).unwrap();
        assert_eq!(shape.terms(), [id(1, 1), id(2, 4), id(4, 5)]);
        let mut copy = one_term.clone();
        copy.copy_from(&shape);
        assert_eq!(copy, shape);
        shape.truncate(LogIndex(5)).unwrap();
        assert_eq!(shape.terms(), [id(1, 1), id(2, 4)]);
        shape.truncate(LogIndex(4)).unwrap();
        assert_eq!(shape, one_term);
        copy.copy_from(&shape);
        assert_eq!(copy, one_term);
        shape.truncate(LogIndex(1)).unwrap();
        assert_eq!(shape, Shape::default());
    }

    #[test]
    fn a_stored_outline_that_breaks_an_invariant_is_refused() {
        let whole = shape();
        let restored = Shape::restore(whole.base(), whole.last(), whole.terms().to_vec());
        assert_eq!(restored, Some(whole));
        assert!(Shape::restore(id(0, 0), LogIndex(3), vec![]).is_none());
        assert!(Shape::restore(id(0, 0), LogIndex(3), vec![id(1, 2)]).is_none());
        assert!(Shape::restore(id(2, 4), LogIndex(6), vec![id(1, 5)]).is_none());
        assert!(Shape::restore(id(0, 0), LogIndex(3), vec![id(2, 1), id(2, 2)]).is_none());
        assert!(Shape::restore(id(0, 5), LogIndex(3), vec![]).is_none());
    }
}
