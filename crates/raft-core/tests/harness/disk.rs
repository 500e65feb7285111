//! What survives: a log and a hard state, replaced only by whole writes.

use std::sync::Arc;

use raft_core::{Configuration, EntryRun, HardState, RestoredReplica, RunBody, Write};
use types::{LogId, LogIndex, ReplicaId};

use super::run;

#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    /// One run per entry.
    pub(crate) entries: Vec<EntryRun>,
}

impl Disk {
    pub(crate) fn write(&mut self, write: &Write) {
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(first) = write.runs.first() {
            assert!(first.first <= self.last().next(), "a write leaves a gap on disk");
            self.entries.truncate(usize::try_from(first.first.0 - 1).unwrap());
        }
        for run in &write.runs {
            let indexes = run.first.0..=run.last().0;
            let singles = indexes.map(|n| run.slice(LogIndex(n), LogIndex(n)).unwrap());
            self.entries.extend(singles);
        }
    }

    pub(crate) fn last(&self) -> LogIndex {
        self.entries.last().map_or(LogIndex::ZERO, |entry| entry.first)
    }

    pub(crate) fn fetch(&self, first: LogIndex, last: LogIndex, bytes_max: usize) -> Vec<EntryRun> {
        let mut bytes = 0;
        let wanted = self.entries.iter().filter(|run| run.first >= first && run.first <= last);
        wanted
            .take_while(|run| {
                let fits = bytes < bytes_max;
                bytes += run.cost();
                fits
            })
            .cloned()
            .collect()
    }

    /// Adds one empty command for each term.
    pub(crate) fn append_terms(&mut self, terms: &[u64]) {
        for term in terms {
            let index = self.last().next();
            self.entries.push(run(index.0, *term, &[b""]));
        }
    }

    /// Where each entry stands, from index 1 on.
    pub(crate) fn ids(&self) -> Vec<LogId> {
        self.entries.iter().map(EntryRun::last_id).collect()
    }

    pub(crate) fn restore(&self, replica: ReplicaId) -> RestoredReplica {
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
            replica,
            hard_state: self.hard_state,
            base: LogId::ZERO,
            base_configuration: Arc::new(Configuration::empty()),
            terms,
            last: self.last(),
            configurations,
        }
    }
}
