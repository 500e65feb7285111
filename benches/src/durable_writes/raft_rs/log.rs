//! The rival's log: one redb value per round for all groups of a node, old ones deleted in the same
//! commit, so that redb writes to pages that it has used before.

use std::path::Path;

use raft::eraftpb::{Entry, HardState};
use redb::{Database, TableDefinition};

use crate::figure::Wrong;

const ROUNDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rounds");

/// How many rounds stay. What is older counts as compacted, which asks nobody: in its favour.
pub(crate) const ROUNDS_KEPT: u64 = 64;

/// As much as our stores get.
const CACHE_BYTES: usize = 64 << 20;

/// A node's log.
pub(crate) struct Log {
    database: Database,
    round: u64,
    /// What the round has gathered; its memory serves again.
    value: Vec<u8>,
}

impl Log {
    /// Makes the log, in a folder of the node's own.
    pub(crate) fn create(folder: &Path) -> Result<Self, Wrong> {
        std::fs::create_dir_all(folder).map_err(|error| wrong(&error))?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(folder.join("log.redb"))
            .map_err(|error| wrong(&error))?;
        Ok(Self { database, round: 0, value: Vec::new() })
    }

    /// Adds entries of a group to the round: index, term and length of each before its data.
    pub(crate) fn add_entries(&mut self, group: u32, entries: &[Entry]) {
        let (Some(first), Ok(count)) = (entries.first(), u32::try_from(entries.len())) else {
            return;
        };
        self.value.extend_from_slice(&group.to_le_bytes());
        self.value.extend_from_slice(&count.to_le_bytes());
        self.value.extend_from_slice(&first.index.to_le_bytes());
        for entry in entries {
            let len = u32::try_from(entry.data.len()).unwrap_or(u32::MAX);
            self.value.extend_from_slice(&entry.term.to_le_bytes());
            self.value.extend_from_slice(&len.to_le_bytes());
            self.value.extend_from_slice(&entry.data);
        }
    }

    /// Adds a group's term and vote to the round.
    pub(crate) fn add_hard_state(&mut self, group: u32, state: &HardState) {
        self.value.extend_from_slice(&group.to_le_bytes());
        self.value.extend_from_slice(&0u32.to_le_bytes());
        self.value.extend_from_slice(&state.term.to_le_bytes());
        self.value.extend_from_slice(&state.vote.to_le_bytes());
    }

    /// Makes the round durable, if there is anything in it; whether there was.
    pub(crate) fn commit(&mut self) -> Result<bool, Wrong> {
        if self.value.is_empty() {
            return Ok(false);
        }
        self.round += 1;
        self.write().map_err(|error| wrong(&error))?;
        self.value.clear();
        Ok(true)
    }

    fn write(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(ROUNDS)?;
            table.insert(self.round, self.value.as_slice())?;
            if let Some(old) = self.round.checked_sub(ROUNDS_KEPT) {
                table.remove(old)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

fn wrong(error: &dyn std::fmt::Display) -> Wrong {
    Wrong(format!("the rival's log: {error}"))
}
