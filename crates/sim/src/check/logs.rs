//! State-machine safety: the same index of a group holds the same entry on every node, over all
//! restarts, and nothing that was acknowledged is ever replaced (paper 5.4.3).

use std::collections::BTreeMap;

use raft_core::EntryRun;
use types::{GroupId, LogIndex};

#[derive(Debug, Default)]
pub(crate) struct Logs {
    /// Every entry that was ever delivered to a state machine, one run per entry, from index 1.
    committed: BTreeMap<GroupId, Vec<EntryRun>>,
}

impl Logs {
    pub(crate) fn deliver(&mut self, group: GroupId, run: &EntryRun) -> Result<(), String> {
        let known = self.committed.entry(group).or_default();
        for n in run.first.0..=run.last().0 {
            let Some(entry) = run.slice(LogIndex(n), LogIndex(n)) else { continue };
            let place = usize::try_from(n - 1).expect("a simulated log is short");
            match known.get(place) {
                Some(before) if *before != entry => {
                    return Err(format!(
                        "group {group} committed two entries at {n}: {before:?} and {entry:?}"
                    ));
                }
                Some(_) => {}
                None if place == known.len() => known.push(entry),
                None => return Err(format!("group {group} delivers {n} after {}", known.len())),
            }
        }
        Ok(())
    }

    pub(crate) fn last(&self, group: GroupId) -> LogIndex {
        LogIndex(self.committed.get(&group).map_or(0, |known| known.len() as u64))
    }

    pub(crate) fn total(&self) -> u64 {
        self.committed.values().map(|known| known.len() as u64).sum()
    }
}
