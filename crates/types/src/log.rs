//! Positions in a group's log.

number! {
    /// A leader's term of office; 0 is before the first election.
    Term(u64)
}

number! {
    /// An entry's place in its group's log; the first entry is 1, and 0 is "before the log".
    LogIndex(u64)
}

impl LogIndex {
    /// The place before the first entry.
    pub const ZERO: Self = Self(0);

    /// The next place. A log never reaches the end of u64: at 10 million entries a second it
    /// would take 58,000 years, and indexes from outside are checked before they get here.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place before this one; the place before the first entry is before itself.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The place `count` entries further on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

/// An entry's index together with the term it was proposed in: two logs that agree on one agree
/// on everything before it (paper 5.3, log matching).
///
/// The order is Raft's "at least as up to date": term first, then index (paper 5.4.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct LogId {
    /// The term in which the entry was proposed.
    pub term: Term,
    /// The entry's place.
    pub index: LogIndex,
}

impl LogId {
    /// The place before the log: what every empty log ends with.
    pub const ZERO: Self = Self { term: Term(0), index: LogIndex(0) };

    /// Puts both together.
    pub const fn new(term: Term, index: LogIndex) -> Self {
        Self { term, index }
    }
}

impl core::fmt::Display for LogId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_ids_order_by_term_before_index() {
        let old_but_long = LogId::new(Term(1), LogIndex(9));
        let new_but_short = LogId::new(Term(2), LogIndex(3));
        assert!(new_but_short > old_but_long);
        assert!(LogId::new(Term(2), LogIndex(4)) > new_but_short);
    }

    #[test]
    fn stepping_never_wraps() {
        assert_eq!(LogIndex::ZERO.prev(), LogIndex::ZERO);
        assert_eq!(LogIndex(u64::MAX).next(), LogIndex(u64::MAX));
        assert_eq!(LogIndex(u64::MAX).plus(3), LogIndex(u64::MAX));
    }
}
