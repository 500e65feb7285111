//! The state of the nodes in this process: the last value of each key.

use std::sync::Arc;

use ::engine::{AppliedEntry, ApplyEntries, Group, GroupSpec, OpenError, StateMachine};
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use types::{GroupId, LogIndex};

/// The states of all groups of a node; clones share them.
#[derive(Clone)]
pub(crate) struct Machines {
    /// Group n is at n - 1.
    groups: Arc<[Mutex<HashMap<u32, Bytes>>]>,
}

/// One group's state.
pub(crate) struct State {
    machines: Machines,
    group: GroupId,
}

impl Machines {
    /// Nothing is written yet.
    pub(crate) fn new(groups: u32) -> Self {
        Self { groups: (0..groups).map(|_| Mutex::default()).collect() }
    }

    /// Whether a key has a value.
    pub(crate) fn has(&self, group: GroupId, key: u32) -> bool {
        self.of(group).is_some_and(|state| state.lock().contains_key(&key))
    }

    fn of(&self, group: GroupId) -> Option<&Mutex<HashMap<u32, Bytes>>> {
        self.groups.get(usize::try_from(group.0.checked_sub(1)?).ok()?)
    }
}

/// A command that writes a key.
pub(crate) fn command(key: u32, value: &[u8]) -> Bytes {
    let mut command = Vec::with_capacity(size_of::<u32>() + value.len());
    command.extend_from_slice(&key.to_le_bytes());
    command.extend_from_slice(value);
    command.into()
}

impl StateMachine for Machines {
    type Group = State;

    fn open(&self, spec: &GroupSpec) -> Result<(State, LogIndex), OpenError> {
        Ok((State { machines: self.clone(), group: spec.group }, LogIndex::ZERO))
    }
}

impl Group for State {
    fn apply(&mut self, entries: &ApplyEntries) -> Vec<Bytes> {
        let Some(state) = self.machines.of(self.group) else {
            return entries.iter().map(|_| Bytes::new()).collect();
        };
        let mut state = state.lock();
        let apply = |entry: AppliedEntry<'_>| {
            if let Some((key, value)) = entry.payload.split_first_chunk() {
                state.insert(u32::from_le_bytes(*key), Bytes::copy_from_slice(value));
            }
            Bytes::new()
        };
        entries.iter().map(apply).collect()
    }

    fn durable_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }
}
