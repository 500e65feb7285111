//! Our side: [`storage_redb::Store`] on a real folder.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use codec::{Restored, WriteBatch};
use raft_core::{Configuration, Replica};
use storage_redb::{FetchRequest, Identity, Store, StoreCounters, StoreOptions};
use types::{ClusterId, GroupId, LogId, LogIndex, NodeId, ReplicaId, StoreId};

use crate::disk::{Scratch, wrong};
use crate::figure::Wrong;

use super::workload::{LIVE_COMMITS, Workload, check_run};
use super::{Log, Written};

/// What is held fixed on our side.
pub(crate) const SETTINGS: &str =
    "storage-redb, default options, one commit call with all releases";

/// A store and where it lies.
pub(crate) struct Ours {
    dir: PathBuf,
    store: Store,
    configuration: Arc<Configuration>,
    groups: Vec<GroupId>,
}

impl Ours {
    /// Makes the store, with all groups in it.
    pub(crate) fn new(scratch: &Scratch, workload: &Workload) -> Result<Self, Wrong> {
        let dir = scratch.path("ours");
        let (mut store, _) = open(&dir)?;
        store.commit(&[workload.create()]).map_err(|error| Wrong(error.to_string()))?;
        let groups = workload.groups().collect();
        Ok(Self { dir, store, configuration: configuration()?, groups })
    }
}

impl Log for Ours {
    fn commit(&mut self, batch: &WriteBatch, released: Option<LogId>) -> Result<(), Wrong> {
        if let Some(up_to) = released {
            let configuration = &self.configuration;
            let releases = self.groups.iter().map(|group| (*group, up_to, configuration.clone()));
            self.store.release_all(releases).map_err(|error| Wrong(error.to_string()))?;
        }
        let committed = self.store.commit(std::slice::from_ref(batch));
        committed.map_err(|error| Wrong(error.to_string()))
    }

    fn written(&self) -> Written {
        let StoreCounters { commits, records_written, record_bytes_written, .. } =
            self.store.counters();
        let headers = records_written * codec::RECORD_HEADER_BYTES as u64;
        Written { commits, item_bytes: record_bytes_written - headers }
    }

    fn file_bytes(&self) -> Result<u64, Wrong> {
        let path = self.dir.join("log.redb");
        Ok(fs::metadata(path).map_err(wrong("look at the log"))?.len())
    }

    /// Opens the store again: every group has every entry that it should, and no other.
    fn verify(self, workload: &Workload) -> Result<(), Wrong> {
        let Self { dir, store, groups, .. } = self;
        drop(store);
        let (store, restored) = open(&dir)?;
        let reader = store.reader();
        let found = restored.iter().map(|restored| restored.group);
        if !found.eq(groups.iter().copied()) {
            return Err(Wrong(format!("{} groups are there again", restored.len())));
        }
        for Restored { group, replica, .. } in restored {
            let first = LogIndex(workload.last().0.saturating_sub(LIVE_COMMITS)).next();
            let (last, bytes_max) = (replica.last, usize::MAX);
            let answers = reader.fetch(&[FetchRequest { group, first, last, bytes_max }]);
            let runs = answers.into_iter().flatten().flatten();
            let end = runs.map(Some).try_fold(first, |next, run| check_run(group, next, &run?));
            if last != workload.last() || end != Some(last.next()) {
                return Err(Wrong(format!(
                    "group {group} has not what it was given, up to {last}"
                )));
            }
        }
        Ok(())
    }
}

fn open(dir: &std::path::Path) -> Result<(Store, Vec<Restored>), Wrong> {
    let cluster = ClusterId::new("figures").map_err(|error| Wrong(error.to_string()))?;
    let identity = Identity { cluster, node: NodeId(1) };
    let opened = Store::open(dir, &identity, StoreOptions::default());
    opened.map_err(|error| Wrong(error.to_string()))
}

/// Three voters, as checkpoints usually name.
fn configuration() -> Result<Arc<Configuration>, Wrong> {
    let voters = [1, 2, 3].map(|n: u32| Replica {
        id: ReplicaId(n),
        node: NodeId(n.into()),
        store: StoreId(n.into()),
    });
    let configuration = Configuration::new(voters.into(), Vec::new(), Vec::new());
    Ok(Arc::new(configuration.map_err(|error| Wrong(error.to_string()))?))
}
