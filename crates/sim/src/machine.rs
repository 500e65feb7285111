//! A state machine: the values of a group's keys, and a hash of all that was applied.

use raft_core::{EntryRun, RunBody};
use types::LogIndex;

use crate::stamps::{Stamp, stamp_after};

/// A value, and the entry that wrote it; 0 and index 0 before the first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Value {
    /// The operation that wrote it.
    pub(crate) operation: u64,
    pub(crate) index: LogIndex,
}

/// What a client wants written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Command {
    pub(crate) operation: u64,
    pub(crate) key: u16,
}

impl Command {
    /// Its bytes, with `padding` more behind them.
    pub(crate) fn encode(self, padding: u64) -> Vec<u8> {
        let mut data = Vec::with_capacity(112);
        data.extend(self.operation.to_le_bytes());
        data.extend(self.key.to_le_bytes());
        data.resize(data.len() + usize::try_from(padding).expect("a short command"), 0xaa);
        data
    }

    /// Reads one; none if the bytes are not of this cluster's clients.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (operation, rest) = bytes.split_first_chunk::<8>()?;
        let (key, _) = rest.split_first_chunk::<2>()?;
        Some(Self { operation: u64::from_le_bytes(*operation), key: u16::from_le_bytes(*key) })
    }
}

/// One group's state on one node.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) applied: LogIndex,
    /// Of the last applied entry.
    pub(crate) stamp: Stamp,
    values: Vec<Value>,
}

impl Machine {
    pub(crate) fn new(keys: u64) -> Self {
        let keys = usize::try_from(keys).expect("a few keys");
        Self { applied: LogIndex::ZERO, stamp: Stamp::START, values: vec![Value::default(); keys] }
    }

    /// Applies a run that follows what is applied, and shows each command with its index to `seen`.
    pub(crate) fn apply(&mut self, run: &EntryRun, mut seen: impl FnMut(Command, LogIndex)) {
        self.stamp = stamp_after(self.stamp, run);
        self.applied = run.last();
        let RunBody::Commands(commands) = &run.body else { return };
        let mut index = run.first;
        for command in commands {
            if let Some(command) = Command::decode(command.payload) {
                if let Some(value) = self.values.get_mut(usize::from(command.key)) {
                    *value = Value { operation: command.operation, index };
                }
                seen(command, index);
            }
            index = index.next();
        }
    }

    pub(crate) fn value(&self, key: u16) -> Value {
        self.values.get(usize::from(key)).copied().unwrap_or_default()
    }
}
