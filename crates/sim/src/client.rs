//! The clients: what they asked of whom, and whom they believe to lead.
//!
//! Invariant: every attempt has a number of its own; what is answered was asked, and not answered
//! before.

use std::collections::{BTreeMap, BTreeSet};

use types::{GroupId, LogIndex};

use crate::breach::{Breach, breach};
use crate::history::OperationId;
use crate::queue::Boot;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Write,
    Read,
}

/// What a client wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wish {
    /// Tells it from other wishes where that matters; else 0.
    pub(crate) number: u64,
    pub(crate) group: GroupId,
    pub(crate) key: u16,
    pub(crate) kind: Kind,
}

/// One attempt at an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// The number of the wish behind it.
    pub(crate) wish: u64,
    pub(crate) group: GroupId,
    pub(crate) key: u16,
    pub(crate) kind: Kind,
    /// The node asked, and its start; none until it took the question.
    pub(crate) node: u64,
    pub(crate) boot: Option<Boot>,
    /// How many attempts went before.
    pub(crate) tries: u32,
    /// Whether the one before named the node asked now.
    pub(crate) is_redirect: bool,
    /// Whether nobody waits any more.
    pub(crate) is_cancelled: bool,
    /// The newest write of the key that anybody knew of when this was asked.
    pub(crate) floor: LogIndex,
    /// The newest entry of the group that anybody knew of when this was asked.
    pub(crate) group_floor: LogIndex,
    /// Where it stands in the history.
    pub(crate) record: OperationId,
}

/// Attempts under way, and the leaders that clients know of.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    last: u64,
    open: BTreeMap<u64, Attempt>,
    leaders: BTreeMap<GroupId, u64>,
    /// Attempts up to this one do not count as fresh.
    stale: u64,
    /// What fresh attempts were served.
    fresh: BTreeSet<(GroupId, Kind)>,
}

impl Clients {
    /// A number for the next attempt: what it writes, and what it waits under.
    pub(crate) const fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn begin(&mut self, number: u64, attempt: Attempt) {
        self.open.insert(number, attempt);
    }

    pub(crate) fn find(&mut self, attempt: u64) -> Option<&mut Attempt> {
        self.open.get_mut(&attempt)
    }

    /// Ends an attempt.
    pub(crate) fn end(&mut self, attempt: u64) -> Result<Attempt, Breach> {
        match self.open.remove(&attempt) {
            Some(found) => Ok(found),
            None => breach("every question is answered once", format!("attempt {attempt} twice")),
        }
    }

    /// A node died: whoever it had not answered never hears from it.
    pub(crate) fn abandon(&mut self, node: u64) -> Vec<Attempt> {
        let is_lost = |attempt: &Attempt| attempt.node == node && attempt.boot.is_some();
        self.open.extract_if(.., |_, attempt| is_lost(attempt)).map(|(_, lost)| lost).collect()
    }

    /// Attempts that nobody answered yet.
    pub(crate) fn open(&self) -> impl Iterator<Item = (u64, &Attempt)> {
        self.open.iter().map(|(number, attempt)| (*number, attempt))
    }

    /// Whatever begins from here on is fresh.
    pub(crate) fn begin_anew(&mut self) {
        self.stale = self.last;
        self.fresh.clear();
    }

    /// An attempt was served.
    pub(crate) fn served(&mut self, number: u64, attempt: &Attempt) {
        if number > self.stale {
            self.fresh.insert((attempt.group, attempt.kind));
        }
    }

    /// Whether a fresh attempt of that kind was served by a group.
    pub(crate) fn is_served(&self, group: GroupId, kind: Kind) -> bool {
        self.fresh.contains(&(group, kind))
    }

    pub(crate) fn leader(&self, group: GroupId) -> Option<u64> {
        self.leaders.get(&group).copied()
    }

    pub(crate) fn believe(&mut self, group: GroupId, leader: u64) {
        self.leaders.insert(group, leader);
    }

    pub(crate) fn doubt(&mut self, group: GroupId) {
        self.leaders.remove(&group);
    }
}
