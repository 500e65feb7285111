//! What the store and its readers have in common: the database, the ledger, and whether the disk
//! has failed.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use codec::{Item, Sequence, item_len, read_item};
use parking_lot::{Mutex, RwLock};
use raft_core::{Commands, EntryRun, RunBody};
use redb::{ReadableDatabase, TableDefinition};
use types::{Generation, GroupId, LogIndex};

use crate::cache::RecordCache;
use crate::database::{Database, guarded};
use crate::error::StoreError;
use crate::folder::Folder;
use crate::ledger::Ledger;

/// Sequence number -> record.
pub(crate) const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
/// Page number -> checkpoint page.
pub(crate) const CHECKPOINTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("checkpoints");

/// Shared by a store and its readers. The database goes before the folder's lock does.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) database: Database,
    /// Written by the store alone, and only after a commit; so the store may read it at leisure.
    pub(crate) ledger: RwLock<Ledger>,
    cache: Mutex<RecordCache>,
    /// The records of the journal that are not rows yet. They are taken off after they became rows,
    /// so who misses one here finds it there.
    pub(crate) pending: Mutex<BTreeMap<u64, Bytes>>,
    failure: OnceLock<String>,
    _folder: Option<Folder>,
}

impl Shared {
    pub(crate) fn new(
        database: Database,
        ledger: Ledger,
        cache_bytes_max: usize,
        folder: Option<Folder>,
    ) -> Self {
        Self {
            database,
            ledger: RwLock::new(ledger),
            cache: Mutex::new(RecordCache::new(cache_bytes_max)),
            pending: Mutex::default(),
            failure: OnceLock::new(),
            _folder: folder,
        }
    }

    /// What happened when the disk failed; none if it has not.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Refuses every call from now on: what the disk holds is no longer known.
    pub(crate) fn fail(&self, doing: &'static str, source: impl Into<redb::Error>) -> StoreError {
        let source = Box::new(source.into());
        // The first failure is what matters; later ones follow from it.
        let _ = self.failure.set(format!("cannot {doing} the log: {source}"));
        StoreError::Disk { doing, source }
    }

    /// The records of those sequence numbers, in their order; none for one that is gone.
    pub(crate) fn records(&self, sequences: &[u64]) -> Result<Vec<Option<Bytes>>, redb::Error> {
        let mut records: Vec<_> = {
            let (pending, mut cache) = (self.pending.lock(), self.cache.lock());
            let known = |sequence| pending.get(sequence).cloned().or_else(|| cache.get(*sequence));
            sequences.iter().map(known).collect()
        };
        if records.iter().all(Option::is_some) {
            return Ok(records);
        }
        guarded(|| self.read_records(sequences, &mut records))?;
        Ok(records)
    }

    /// Reads the records that are not there yet.
    fn read_records(
        &self,
        sequences: &[u64],
        records: &mut [Option<Bytes>],
    ) -> Result<(), redb::Error> {
        // The transaction ends with this call: an open one stops redb from using pages again.
        let transaction = self.database.redb.begin_read()?;
        let table = transaction.open_table(RECORDS)?;
        for (sequence, record) in sequences.iter().zip(records) {
            if record.is_none() {
                let row = table.get(*sequence)?;
                *record = row.map(|row| Bytes::copy_from_slice(row.value()));
                if let Some(record) = record {
                    self.cache.lock().insert(*sequence, record.clone());
                }
            }
        }
        Ok(())
    }
}

/// Where entries lie, in terms that outlive the ledger's lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Located {
    pub(crate) group: GroupId,
    pub(crate) generation: Generation,
    pub(crate) sequence: u64,
    pub(crate) offset: u32,
    pub(crate) first: LogIndex,
    pub(crate) last: LogIndex,
}

/// Why entries are not where they should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Damage {
    /// The first index that was not there.
    pub(crate) index: LogIndex,
    pub(crate) what: String,
}

impl Located {
    /// Takes the entries out of their record, as runs in log order.
    pub(crate) fn entries(&self, record: &Bytes) -> Result<Vec<EntryRun>, Damage> {
        let mut runs = Vec::new();
        let mut next = self.first;
        let mut offset = self.offset;
        while next <= self.last {
            let damaged = |what: String| Damage { index: next, what };
            let found = read_item(Sequence(self.sequence), record, offset)
                .map_err(|error| damaged(error.to_string()))?;
            if (found.group, found.generation) != (self.group, self.generation) {
                let (group, generation) = (found.group, found.generation);
                let what = format!("byte {offset} is of group {group}, generation {generation}");
                return Err(damaged(what));
            }
            let (Item::Append(run) | Item::Moved(run)) = &found.item else {
                return Err(damaged(format!("the item at byte {offset} has no entries")));
            };
            if run.first > next {
                return Err(damaged(format!("byte {offset} starts with index {}", run.first)));
            }
            if let Some(part) = run.slice(next, self.last) {
                next = part.last().next();
                runs.push(part);
            }
            offset =
                u32::try_from(item_len(&found))
                    .ok()
                    .and_then(|len| offset.checked_add(len))
                    .ok_or_else(|| Damage { index: next, what: "the record is too long".into() })?;
        }
        Ok(runs)
    }
}

/// Copies what is only a small part of `record`, so that a few bytes do not keep all of it in
/// memory.
pub(crate) fn detach(runs: &mut [EntryRun], record: &Bytes) {
    let bytes: usize = runs.iter().filter_map(command_bytes).map(Bytes::len).sum();
    if bytes >= record.len() / 2 {
        return;
    }
    for run in runs {
        if let RunBody::Commands(commands) = &mut run.body {
            let copy = Bytes::copy_from_slice(commands.bytes());
            *commands = Commands::parse(commands.count(), copy).expect("a copy of what was parsed");
        }
    }
}

fn command_bytes(run: &EntryRun) -> Option<&Bytes> {
    match &run.body {
        RunBody::Commands(commands) => Some(commands.bytes()),
        RunBody::TermStart | RunBody::Configuration(_) => None,
    }
}
