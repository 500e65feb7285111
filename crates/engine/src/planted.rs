//! Bugs that a test plants in an engine, to prove that it would find them.
//!
//! Invariant: without the feature `planted-bugs`, which only this crate's own tests ask for, there is
//! nothing to plant: a [`Planted`] has no content, its questions are constant, and what hangs on
//! them is not in the program.

/// What an engine does wrong on purpose.
#[cfg(feature = "planted-bugs")]
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlantedBug {
    /// The log writer reports a write as persisted, and commits it afterwards.
    PersistedBeforeCommit,
    /// A leader allows reads without asking the others whether it still leads.
    ReadWithoutRound,
}

/// What was planted in this engine; nothing by default.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Planted {
    #[cfg(feature = "planted-bugs")]
    bug: Option<PlantedBug>,
}

#[cfg(feature = "planted-bugs")]
impl Planted {
    pub(crate) const fn bug(bug: PlantedBug) -> Self {
        Self { bug: Some(bug) }
    }

    pub(crate) const fn persisted_before_commit(self) -> bool {
        matches!(self.bug, Some(PlantedBug::PersistedBeforeCommit))
    }

    pub(crate) const fn read_without_round(self) -> bool {
        matches!(self.bug, Some(PlantedBug::ReadWithoutRound))
    }
}

#[cfg(not(feature = "planted-bugs"))]
impl Planted {
    pub(crate) const fn persisted_before_commit(self) -> bool {
        false
    }

    pub(crate) const fn read_without_round(self) -> bool {
        false
    }
}
