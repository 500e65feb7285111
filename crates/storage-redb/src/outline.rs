//! The rules that every change of a group must obey, on the part of its state that they need.
//!
//! A batch is checked against copies before it is written, and applied to the real thing once it is
//! durable; a replay takes the same steps. So a change that a caller gets wrong is refused before
//! anything happened, and one that a file gets wrong is damage.

use codec::{GroupItem, Item};
use raft_core::HardState;
use types::{Generation, GroupId, LogIndex, ReplicaId};

use crate::error::{Misuse, MisuseFault};
use crate::shape::{Misfit, Shape};

/// What there is of a group, without its entries.
///
/// Invariants: without a generation the group was never here; with one and without a replica it
/// was removed, and only a higher generation may come; without a replica the rest is empty.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Outline {
    pub(crate) generation: Option<Generation>,
    pub(crate) replica: Option<ReplicaId>,
    pub(crate) hard_state: HardState,
    pub(crate) shape: Shape,
}

impl Outline {
    /// Takes one change.
    ///
    /// # Errors
    /// The change breaks a rule, and nothing was changed.
    pub(crate) fn advance(&mut self, change: &GroupItem) -> Result<(), MisuseFault> {
        if let Item::Create { replica } = change.item {
            return self.create(change.generation, replica);
        }
        self.check_generation(change.generation)?;
        match &change.item {
            Item::Create { .. } => {}
            Item::Append(run) => {
                let appended = self.shape.append(run.first, run.last(), run.term);
                appended.map_err(|misfit| fault(misfit, run.first, run.term))?;
            }
            Item::Truncate { from } => {
                let truncated = self.shape.truncate(*from);
                truncated.map_err(|misfit| fault(misfit, *from, Default::default()))?;
            }
            Item::HardState(new) => {
                let held = self.hard_state;
                let keeps_vote = held.vote.is_none() || held.vote == new.vote;
                if new.term < held.term || (new.term == held.term && !keeps_vote) {
                    let (found, held) = (new.term, held.term);
                    return Err(MisuseFault::HardStateFalls { found, held });
                }
                self.hard_state = *new;
            }
            Item::Compact { base, .. } => {
                self.shape.compact(*base);
            }
            Item::Remove => {
                let generation = self.generation;
                *self = Self { generation, ..Self::default() };
            }
            // A copy of what is there changes nothing.
            Item::Moved(_) => {}
        }
        Ok(())
    }

    /// Where the log ends after the change, if a longer log is all that it brings and it breaks no
    /// rule: what nearly every change is.
    pub(crate) fn continued_by(&self, change: &GroupItem) -> Option<LogIndex> {
        let Item::Append(run) = &change.item else { return None };
        let is_here = self.generation == Some(change.generation) && self.replica.is_some();
        let last = run.last();
        (is_here && self.shape.continues(run.first, last, run.term)).then_some(last)
    }

    /// Takes over what `other` holds, keeping this one's memory.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        let Self { generation, replica, hard_state, shape } = other;
        self.generation = *generation;
        self.replica = *replica;
        self.hard_state = *hard_state;
        self.shape.copy_from(shape);
    }

    fn create(&mut self, found: Generation, replica: ReplicaId) -> Result<(), MisuseFault> {
        match (self.generation, self.replica) {
            (Some(held), Some(_)) => return Err(MisuseFault::Exists { found, held }),
            (Some(used), None) if found <= used => {
                return Err(MisuseFault::GenerationUsed { found, used });
            }
            (Some(_) | None, None) | (None, Some(_)) => {}
        }
        *self = Self { generation: Some(found), replica: Some(replica), ..Self::default() };
        Ok(())
    }

    /// The change must be for this life of the group.
    pub(crate) fn check_generation(&self, found: Generation) -> Result<(), MisuseFault> {
        match (self.generation, self.replica) {
            (Some(held), Some(_)) if held == found => Ok(()),
            (Some(held), Some(_)) => Err(MisuseFault::OtherGeneration { found, held }),
            (_, None) | (None, Some(_)) => Err(MisuseFault::UnknownGroup),
        }
    }
}

impl MisuseFault {
    pub(crate) const fn of(self, group: GroupId) -> Misuse {
        Misuse { group, fault: self }
    }
}

fn fault(misfit: Misfit, found: LogIndex, term: types::Term) -> MisuseFault {
    match misfit {
        Misfit::Gap { last } => MisuseFault::Gap { found, last },
        Misfit::Compacted { base } => MisuseFault::Compacted { found, base },
        Misfit::TermFalls { before } => MisuseFault::TermFalls { found: term, before },
        Misfit::TooLong => MisuseFault::TooLong { entries_max: Shape::ENTRIES_MAX },
    }
}
