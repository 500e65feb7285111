//! The state machines of one of our nodes.

use std::sync::Arc;

use bytes::Bytes;
use engine::{ApplyEntries, Group, GroupSpec, OpenError, StateMachine};
use parking_lot::Mutex;
use types::{GroupId, LogIndex};

use crate::durable_writes::tally::Machine;

/// The states of all groups of a node, to be looked at from outside. Clones share them.
#[derive(Clone)]
pub(crate) struct Machines {
    /// Group n is at n - 1.
    states: Arc<[Mutex<Machine>]>,
}

/// One group's state. A lock per batch, that nobody else asks for under load, is all that being
/// looked at costs.
pub(crate) struct State {
    machines: Machines,
    position: usize,
}

impl Machines {
    pub(crate) fn new(groups: u32) -> Self {
        Self { states: (0..groups).map(|_| Mutex::default()).collect() }
    }

    /// What each group holds by now.
    pub(crate) fn look(&self) -> Vec<Machine> {
        self.states.iter().map(|state| *state.lock()).collect()
    }
}

/// Where the group stands in lists of all groups.
pub(crate) fn position(group: GroupId) -> usize {
    usize::try_from(group.0 - 1).expect("groups are counted from 1, and few")
}

impl StateMachine for Machines {
    type Group = State;

    fn open(&self, spec: &GroupSpec) -> Result<(State, LogIndex), OpenError> {
        Ok((State { machines: self.clone(), position: position(spec.group) }, LogIndex::ZERO))
    }
}

impl Group for State {
    fn apply(&mut self, entries: &ApplyEntries) -> Vec<Bytes> {
        let mut state = self.machines.states[self.position].lock();
        let apply = |entry: engine::AppliedEntry<'_>| {
            state.apply(entry.index.0, entry.payload);
            Bytes::new()
        };
        entries.iter().map(apply).collect()
    }

    fn durable_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }
}
