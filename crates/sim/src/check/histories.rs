//! Linearizability of each key, from nothing but what clients asked and were told: the whole history
//! is searched at the end of a run for one order that explains it.

use types::GroupId;

use crate::breach::{Held, breach};
use crate::client::Kind;
use crate::history::{Action, ClientId, History, Limits, OperationId, Outcome};
use crate::machine::Value;

/// How much the search may take per key. Far more than any run has needed; a run that needs more is a
/// breach, not a pass.
const LIMITS: Limits = Limits { steps_max: 2_000_000, memory_bytes_max: 64 << 20 };

#[derive(Debug, Default)]
pub(crate) struct Histories {
    history: History,
    /// Counts what clients do and are told, so that no two moments are the same.
    moment: u64,
}

impl Histories {
    /// Somebody asks; a write puts the number of its attempt there.
    pub(crate) fn invoke(
        &mut self,
        attempt: u64,
        group: GroupId,
        key: u16,
        kind: Kind,
    ) -> OperationId {
        let action = match kind {
            Kind::Write => Action::Set(attempt),
            Kind::Read => Action::Get,
        };
        let at = self.next_moment();
        // Nobody here waits for his answer before somebody else asks: each is a client of its own.
        let client = ClientId(u32::try_from(attempt).unwrap_or(u32::MAX));
        self.history.invoke(client, &format!("group {group} key {key}"), action, at)
    }

    /// He is told that his write is done.
    pub(crate) fn written(&mut self, record: OperationId) {
        let at = self.next_moment();
        self.history.returned(record, Outcome::Done, at);
    }

    /// He is told what he wanted to know.
    pub(crate) fn read(&mut self, record: OperationId, value: Value) {
        let found = (value.operation > 0).then_some(value.operation);
        let at = self.next_moment();
        self.history.returned(record, Outcome::Found(found), at);
    }

    /// He is told that nothing was done, and nothing will be.
    pub(crate) fn refused(&mut self, record: OperationId) {
        let at = self.next_moment();
        self.history.refused(record, at);
    }

    fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// Looks for an order that explains all of it.
    pub(crate) fn check(&self) -> Held {
        match self.history.check(LIMITS) {
            Ok(_) => Ok(()),
            Err(error) => breach("histories are linearizable", error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use types::LogIndex;

    use super::*;

    #[test]
    fn a_read_that_misses_a_write_told_before_is_a_breach() {
        let mut histories = Histories::default();
        let write = histories.invoke(1, GroupId(1), 0, Kind::Write);
        histories.written(write);
        let other = histories.invoke(2, GroupId(1), 1, Kind::Read);
        histories.read(other, Value::default());
        histories.check().unwrap();
        let read = histories.invoke(3, GroupId(1), 0, Kind::Read);
        histories.read(read, Value::default());
        assert!(histories.check().is_err());
    }

    #[test]
    fn a_write_that_was_refused_is_never_seen() {
        let mut histories = Histories::default();
        let write = histories.invoke(1, GroupId(1), 0, Kind::Write);
        histories.refused(write);
        let read = histories.invoke(2, GroupId(1), 0, Kind::Read);
        histories.read(read, Value { operation: 1, index: LogIndex(2) });
        assert!(histories.check().is_err());
    }
}
