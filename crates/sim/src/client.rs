//! The clients: what they asked, and what they were told.

use std::collections::BTreeMap;

use types::{GroupId, LogIndex, VShardId};

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
}

/// Operations under way, and per group the highest index that anybody was told of.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    last: u64,
    open: BTreeMap<OperationId, Operation>,
    acknowledged: BTreeMap<GroupId, LogIndex>,
    pub(crate) writes_done: u64,
    pub(crate) reads_done: u64,
    pub(crate) uncertain: u64,
    pub(crate) refused: u64,
}

impl Clients {
    pub(crate) fn begin_write(&mut self, group: GroupId) -> OperationId {
        self.begin(Operation { group, kind: Kind::Write })
    }

    pub(crate) fn begin_read(&mut self, group: GroupId) -> OperationId {
        let floor = self.acknowledged(group);
        self.begin(Operation { group, kind: Kind::Read { floor } })
    }

    fn begin(&mut self, operation: Operation) -> OperationId {
        self.last += 1;
        let id = OperationId(self.last);
        self.open.insert(id, operation);
        id
    }

    /// Ends an operation; whoever is answered twice was never asked.
    pub(crate) fn end(&mut self, id: OperationId) -> Result<Operation, String> {
        self.open.remove(&id).ok_or_else(|| format!("{id:?} is answered twice"))
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
