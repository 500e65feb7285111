//! Values drawn from a fuzzer's bytes.

use types::{LogId, LogIndex, Term};

/// Bytes that are used up from the front; behind the last one there are zeros.
pub(super) struct Draw<'a>(pub(super) &'a [u8]);

impl Draw<'_> {
    pub(super) fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of that many, counted from 0.
    pub(super) fn one_of(&mut self, count: u8) -> u8 {
        self.byte() % count
    }

    pub(super) fn yes(&mut self) -> bool {
        self.one_of(2) == 1
    }

    /// Mostly small, so that messages meet what is there; now and then as large as it gets.
    pub(super) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..240 => u64::from(small % 12),
            at @ 240..248 => u64::MAX / 2 - u64::from(at - 240),
            at => u64::MAX - u64::from(at - 248),
        }
    }

    pub(super) fn index(&mut self) -> LogIndex {
        LogIndex(self.number())
    }

    pub(super) fn term(&mut self) -> Term {
        Term(self.number())
    }

    pub(super) fn log_id(&mut self) -> LogId {
        LogId::new(self.term(), self.index())
    }
}
