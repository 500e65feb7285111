//! The clients: what they asked, and what they were told.
//!
//! To them a group is one register: a write puts its number there, a read finds the last one.

use std::collections::BTreeMap;

use types::{GroupId, LogIndex, VShardId};

use crate::history::{self, Action, ClientId, History, Limits, Outcome};

/// Names one operation; its bytes are the command that it proposes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct OperationId(pub(crate) u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Write,
    /// A read, and the highest index acknowledged in its group when it was asked.
    Read {
        floor: LogIndex,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) group: GroupId,
    pub(crate) kind: Kind,
    record: history::OperationId,
}

/// Operations under way, and per group the highest index that anybody was told of.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    last: u64,
    open: BTreeMap<OperationId, Operation>,
    acknowledged: BTreeMap<GroupId, LogIndex>,
    history: History,
    /// Counts what clients do and are told, so that no two moments are the same.
    moment: u64,
    pub(crate) writes_done: u64,
    pub(crate) reads_done: u64,
    pub(crate) uncertain: u64,
    pub(crate) refused: u64,
}

impl Clients {
    pub(crate) fn begin_write(&mut self, group: GroupId) -> OperationId {
        self.begin(group, Kind::Write)
    }

    pub(crate) fn begin_read(&mut self, group: GroupId) -> OperationId {
        let floor = self.acknowledged(group);
        self.begin(group, Kind::Read { floor })
    }

    fn begin(&mut self, group: GroupId, kind: Kind) -> OperationId {
        self.last += 1;
        let id = OperationId(self.last);
        let action = match kind {
            Kind::Write => Action::Set(id.0),
            Kind::Read { .. } => Action::Get,
        };
        let at = self.next_moment();
        // Nobody here waits for his answer before somebody else asks: each is a client of its own.
        let client = ClientId(u32::try_from(id.0).unwrap_or(u32::MAX));
        let record = self.history.invoke(client, &format!("group {group}"), action, at);
        self.open.insert(id, Operation { group, kind, record });
        id
    }

    fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// Ends an operation; whoever is answered twice was never asked. Unless more is told of it, its
    /// outcome is unknown.
    pub(crate) fn end(&mut self, id: OperationId) -> Result<Operation, String> {
        self.open.remove(&id).ok_or_else(|| format!("{id:?} is answered twice"))
    }

    /// The client of an operation that has ended is told its outcome.
    pub(crate) fn tell(&mut self, operation: &Operation, outcome: Outcome) {
        let at = self.next_moment();
        self.history.returned(operation.record, outcome, at);
    }

    /// The client of an operation that has ended is told that nothing was done.
    pub(crate) fn refuse(&mut self, operation: &Operation) {
        self.refused += 1;
        let at = self.next_moment();
        self.history.refused(operation.record, at);
    }

    /// Whether one order of all operations of a group explains what its clients were told.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.history.check(Limits::default()).map(|_| ()).map_err(|error| error.to_string())
    }

    pub(crate) fn acknowledge(&mut self, group: GroupId, index: LogIndex) {
        let highest = self.acknowledged.entry(group).or_default();
        *highest = (*highest).max(index);
    }

    pub(crate) fn acknowledged(&self, group: GroupId) -> LogIndex {
        self.acknowledged.get(&group).copied().unwrap_or_default()
    }

    /// Which vshard an operation of `group` goes to.
    pub(crate) fn vshard(range: &std::ops::Range<u32>, choice: u64) -> VShardId {
        let width = u64::from(range.end - range.start);
        let offset = u32::try_from(choice % width).expect("an offset within the range");
        VShardId(range.start + offset)
    }
}
