//! What the log holds: entries of many groups, in turn, that are told apart by their payload.

use codec::{GroupItem, Item, WriteBatch};
use raft_core::{CommandsBuilder, EntryHeader, EntryRun, HardState, RunBody};
use types::{Generation, GroupId, LogIndex, ReplicaId, Term};

/// How much of payload one commit writes, unless it takes an entry of every group before.
const COMMIT_PAYLOAD_BYTES: u64 = 1 << 20;
/// Bytes of a payload by which it is known; the rest repeats them.
pub(crate) const PAYLOAD_BYTES_MIN: usize = 16;

/// All groups have one life, in one term.
const GENERATION: Generation = Generation(1);
const TERM: Term = Term(1);

/// How many groups there are, and what their entries weigh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Contents {
    pub(crate) groups: u64,
    /// At least [`PAYLOAD_BYTES_MIN`].
    pub(crate) payload_bytes: usize,
}

impl Contents {
    /// Brings the groups into being, each with a term and a vote.
    pub(crate) fn create(self) -> WriteBatch {
        let voted = HardState { term: TERM, vote: Some(ReplicaId(1)) };
        let groups = (1..=self.groups).map(GroupId).flat_map(|group| {
            let create = Item::Create { replica: ReplicaId(1) };
            [of(group, create), of(group, Item::HardState(voted))]
        });
        WriteBatch { items: groups.collect() }
    }

    /// How many entries each commit has, of as many groups.
    pub(crate) fn entries_per_commit(self) -> u64 {
        (COMMIT_PAYLOAD_BYTES / self.payload_bytes as u64).clamp(1, self.groups)
    }

    /// What that commit writes, counted from 0: the next entry of the groups whose turn it is.
    pub(crate) fn batch(self, commit: u64) -> WriteBatch {
        let entries = self.entries_per_commit();
        let places = commit * entries..(commit + 1) * entries;
        let entry = |place: u64| {
            let group = GroupId(1 + place % self.groups);
            self.entry(group, LogIndex(1 + place / self.groups))
        };
        WriteBatch { items: places.map(entry).collect() }
    }

    /// The group's last entry after so many commits; 0 if it has none.
    pub(crate) fn last(self, group: GroupId, commits: u64) -> LogIndex {
        let places = commits * self.entries_per_commit();
        LogIndex((places + self.groups - group.0) / self.groups)
    }

    /// One entry of one group.
    pub(crate) fn entry(self, group: GroupId, index: LogIndex) -> GroupItem {
        let mut builder = CommandsBuilder::default();
        builder.push(EntryHeader::default(), &self.payload(group, index));
        let commands = builder.take().expect("an entry was just pushed");
        let run = EntryRun { first: index, term: TERM, body: RunBody::Commands(commands) };
        of(group, Item::Append(run))
    }

    /// Checks that a run starts with that entry of the group and holds what was appended there;
    /// returns the index after it.
    pub(crate) fn check(self, group: GroupId, first: LogIndex, run: &EntryRun) -> Option<LogIndex> {
        let RunBody::Commands(commands) = &run.body else { return None };
        if run.first != first || run.term != TERM {
            return None;
        }
        let mut index = first;
        for command in commands {
            if command.payload != self.payload(group, index) {
                return None;
            }
            index = index.next();
        }
        Some(index)
    }

    fn payload(self, group: GroupId, index: LogIndex) -> Vec<u8> {
        let own = (u128::from(group.0) << 64 | u128::from(index.0)).to_le_bytes();
        own.into_iter().cycle().take(self.payload_bytes).collect()
    }
}

fn of(group: GroupId, item: Item) -> GroupItem {
    GroupItem { group, generation: GENERATION, item }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_group_gets_its_entries_in_order() {
        // 5 entries per commit, so that commits begin and end anywhere among the groups.
        let contents = Contents { groups: 7, payload_bytes: 200_000 };
        let mut last = BTreeMap::new();
        for commit in 0..9 {
            let batch = contents.batch(commit);
            assert_eq!(batch.items.len(), 5);
            for GroupItem { group, item, .. } in batch.items {
                let Item::Append(run) = item else { panic!("{item:?}") };
                let first = last.get(&group).map_or(LogIndex(1), |last: &LogIndex| last.next());
                assert_eq!(contents.check(group, first, &run), Some(first.next()));
                assert_eq!(contents.check(GroupId(9), first, &run), None);
                assert_eq!(contents.check(group, first.next(), &run), None);
                last.insert(group, first);
            }
            for group in (1..=7).map(GroupId) {
                let expected = last.get(&group).copied().unwrap_or(LogIndex(0));
                assert_eq!(contents.last(group, commit + 1), expected);
            }
        }
    }

    #[test]
    fn a_commit_has_one_entry_of_a_group_at_most() {
        let entries =
            |groups, payload_bytes| Contents { groups, payload_bytes }.entries_per_commit();
        assert_eq!(entries(100_000, 1024), 1024);
        assert_eq!(entries(1000, 1024), 1000);
        assert_eq!(entries(10, 2 << 20), 1);
    }
}
