//! What is written: one entry of every group per commit.

use codec::{GroupItem, Item, WriteBatch};
use raft_core::{CommandsBuilder, EntryHeader, EntryRun, RunBody};
use types::{Generation, GroupId, LogId, LogIndex, ReplicaId, Term};

/// How long every payload is.
pub(crate) const PAYLOAD_BYTES: usize = 16;
/// Entries that are older than so many commits are released.
pub(crate) const LIVE_COMMITS: u64 = 64;

/// All groups have one life, in one term.
pub(crate) const GENERATION: Generation = Generation(1);
pub(crate) const TERM: Term = Term(1);

/// The entry of a group with that index; no two are the same.
pub(crate) fn payload(group: GroupId, index: LogIndex) -> [u8; PAYLOAD_BYTES] {
    (u128::from(group.0) << 64 | u128::from(index.0)).to_le_bytes()
}

/// The batches of one side, one after the other.
#[derive(Debug)]
pub(crate) struct Workload {
    groups: u64,
    /// The index that every group's next entry has.
    next: LogIndex,
    builder: CommandsBuilder,
    batch: WriteBatch,
}

impl Workload {
    pub(crate) fn new(groups: u64) -> Self {
        let (builder, batch) = (CommandsBuilder::default(), WriteBatch::default());
        Self { groups, next: LogIndex(1), builder, batch }
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        (1..=self.groups).map(GroupId)
    }

    /// The index of every group's last entry.
    pub(crate) fn last(&self) -> LogIndex {
        self.next.prev()
    }

    /// The last entry of every group that may go, if any may.
    pub(crate) fn released(&self) -> Option<LogId> {
        let index = self.last().0.checked_sub(LIVE_COMMITS).filter(|index| *index > 0)?;
        Some(LogId::new(TERM, LogIndex(index)))
    }

    /// Brings the groups into being.
    pub(crate) fn create(&self) -> WriteBatch {
        let create = |group| of(group, Item::Create { replica: ReplicaId(1) });
        WriteBatch { items: self.groups().map(create).collect() }
    }

    /// The last batch that was made.
    pub(crate) const fn batch(&self) -> &WriteBatch {
        &self.batch
    }

    /// Makes a batch of the next entry of every group.
    pub(crate) fn advance(&mut self) {
        self.batch.items.clear();
        for group in self.groups() {
            self.builder.push(EntryHeader::default(), &payload(group, self.next));
            let commands = self.builder.take().expect("an entry was just pushed");
            let body = RunBody::Commands(commands);
            let run = EntryRun { first: self.next, term: TERM, body };
            self.batch.items.push(of(group, Item::Append(run)));
        }
        self.next = self.next.next();
    }
}

fn of(group: GroupId, item: Item) -> GroupItem {
    GroupItem { group, generation: GENERATION, item }
}

/// Checks that a run is of the group, starts with that index and holds what was appended there;
/// returns the index after it.
pub(crate) fn check_run(group: GroupId, next: LogIndex, run: &EntryRun) -> Option<LogIndex> {
    let RunBody::Commands(commands) = &run.body else { return None };
    let mut index = next;
    if run.first != next || run.term != TERM {
        return None;
    }
    for command in commands {
        if command.payload != payload(group, index) {
            return None;
        }
        index = index.next();
    }
    Some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_has_one_entry_of_every_group() {
        let mut workload = Workload::new(3);
        assert_eq!(workload.last(), LogIndex(0));
        workload.advance();
        workload.advance();
        for item in &workload.batch().items {
            let Item::Append(run) = &item.item else { panic!("{item:?}") };
            assert_eq!(check_run(item.group, LogIndex(2), run), Some(LogIndex(3)));
            assert_eq!(check_run(item.group, LogIndex(1), run), None);
            assert_eq!(check_run(GroupId(9), LogIndex(2), run), None);
        }
        assert_eq!(workload.last(), LogIndex(2));
    }

    #[test]
    fn what_is_64_commits_old_is_released() {
        let mut workload = Workload::new(1);
        for _ in 0..LIVE_COMMITS {
            workload.advance();
            assert_eq!(workload.released(), None);
        }
        workload.advance();
        assert_eq!(workload.released(), Some(LogId::new(TERM, LogIndex(1))));
    }
}
