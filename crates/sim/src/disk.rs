//! What survives a power cut: whole batches, in the order in which they were written.

use std::collections::BTreeMap;
use std::sync::Arc;

use codec::{Item, Restored, WriteBatch};
use raft_core::{Configuration, EntryRun, HardState, RestoredReplica, RunBody};
use types::{Generation, GroupId, LogId, LogIndex, ReplicaId};

/// One group's durable state; one run per entry, so that any cut is a truncation.
#[derive(Clone, Debug)]
pub(crate) struct GroupOnDisk {
    generation: Generation,
    replica: ReplicaId,
    pub(crate) hard_state: HardState,
    entries: Vec<EntryRun>,
}

impl GroupOnDisk {
    pub(crate) fn last(&self) -> LogIndex {
        self.entries.last().map_or(LogIndex::ZERO, |entry| entry.first)
    }

    fn append(&mut self, run: &EntryRun) {
        assert!(run.first <= self.last().next(), "a write leaves a gap before {}", run.first);
        let keep = usize::try_from(run.first.0 - 1).expect("a simulated log is short");
        self.entries.truncate(keep);
        let indexes = run.first.0..=run.last().0;
        self.entries.extend(indexes.filter_map(|n| run.slice(LogIndex(n), LogIndex(n))));
    }

    fn restore(&self) -> RestoredReplica {
        let mut terms: Vec<LogId> = Vec::new();
        let mut configurations = Vec::new();
        for entry in &self.entries {
            if terms.last().is_none_or(|start| start.term < entry.term) {
                terms.push(LogId::new(entry.term, entry.first));
            }
            if let RunBody::Configuration(configuration) = &entry.body {
                configurations.push((entry.first, configuration.clone()));
            }
        }
        RestoredReplica {
            replica: self.replica,
            hard_state: self.hard_state,
            base: LogId::ZERO,
            base_configuration: Arc::new(Configuration::empty()),
            terms,
            last: self.last(),
            configurations,
        }
    }
}

/// A node's disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    groups: BTreeMap<GroupId, GroupOnDisk>,
}

impl Disk {
    pub(crate) fn group(&self, group: GroupId) -> Option<&GroupOnDisk> {
        self.groups.get(&group)
    }

    pub(crate) fn write(&mut self, batch: &WriteBatch) {
        for change in &batch.items {
            if let Item::Create { replica } = change.item {
                let generation = change.generation;
                let (hard_state, entries) = (HardState::default(), Vec::new());
                let created = GroupOnDisk { generation, replica, hard_state, entries };
                let before = self.groups.insert(change.group, created);
                assert!(before.is_none(), "group {} is created twice", change.group);
                continue;
            }
            let group = self.groups.get_mut(&change.group).expect("a write after its creation");
            match &change.item {
                Item::Append(run) => group.append(run),
                Item::HardState(hard_state) => group.hard_state = *hard_state,
                Item::Create { .. }
                | Item::Truncate { .. }
                | Item::Compact { .. }
                | Item::Remove
                | Item::Moved(_) => panic!("nobody writes {:?} here", change.item),
            }
        }
    }

    pub(crate) fn restore(&self) -> Vec<Restored> {
        let restored = self.groups.iter().map(|(group, on_disk)| Restored {
            group: *group,
            generation: on_disk.generation,
            replica: on_disk.restore(),
        });
        restored.collect()
    }

    /// The entries of `first..=last`, about `bytes_max` of them, in any case one.
    pub(crate) fn read(
        &self,
        group: GroupId,
        first: LogIndex,
        last: LogIndex,
        bytes_max: usize,
    ) -> Vec<EntryRun> {
        let Some(on_disk) = self.groups.get(&group) else { return Vec::new() };
        let mut bytes = 0;
        let wanted = on_disk.entries.iter().filter(|run| run.first >= first && run.first <= last);
        wanted
            .take_while(|run| {
                let fits = bytes < bytes_max;
                bytes += run.cost();
                fits
            })
            .cloned()
            .collect()
    }
}
