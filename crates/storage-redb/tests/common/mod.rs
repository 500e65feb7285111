//! Short names for what the tests write and read.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

use std::sync::Arc;

use codec::{GroupItem, Item, Restored, WriteBatch};
use raft_core::{
    CommandsBuilder, Configuration, EntryHeader, EntryRun, HardState, Replica, RunBody,
};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{
    FetchRequest, Identity, OpenError, RawStoreOptions, ReadError, Reader, Store, StoreOptions,
};
use types::{ClusterId, Generation, GroupId, LogId, LogIndex, NodeId, ReplicaId, StoreId, Term};

pub(crate) fn identity() -> Identity {
    Identity { cluster: ClusterId::new("test").unwrap(), node: NodeId(1) }
}

/// Limits of a store whose commits all write rows: a journal is for the tests that ask for one.
pub(crate) fn options(change: impl FnOnce(&mut RawStoreOptions)) -> StoreOptions {
    let default = RawStoreOptions::default();
    let mut raw = RawStoreOptions { page_cache_bytes: 1 << 20, journal_bytes: 0, ..default };
    change(&mut raw);
    StoreOptions::new(raw).unwrap()
}

pub(crate) fn open_with(
    disk: &SimDisk,
    options: StoreOptions,
) -> Result<(Store, Vec<Restored>), OpenError> {
    Store::open_backend(disk.clone(), &identity(), options)
}

pub(crate) fn open(disk: &SimDisk) -> (Store, Vec<Restored>) {
    open_with(disk, options(|_| {})).unwrap()
}

pub(crate) fn id(term: u64, index: u64) -> LogId {
    LogId::new(Term(term), LogIndex(index))
}

/// A change of a group's first life.
pub(crate) fn of(group: u64, item: Item) -> GroupItem {
    GroupItem { group: GroupId(group), generation: Generation(1), item }
}

pub(crate) fn create(group: u64) -> GroupItem {
    of(group, Item::Create { replica: ReplicaId(1) })
}

/// Entries from `first` on, one for each payload.
pub(crate) fn append(group: u64, term: u64, first: u64, payloads: &[&[u8]]) -> GroupItem {
    let mut builder = CommandsBuilder::default();
    for payload in payloads {
        builder.push(EntryHeader::default(), payload);
    }
    let body = RunBody::Commands(builder.take().unwrap());
    of(group, Item::Append(EntryRun { first: LogIndex(first), term: Term(term), body }))
}

pub(crate) fn truncate(group: u64, from: u64) -> GroupItem {
    of(group, Item::Truncate { from: LogIndex(from) })
}

pub(crate) fn hard_state(group: u64, term: u64, vote: Option<u32>) -> GroupItem {
    let vote = vote.map(ReplicaId);
    of(group, Item::HardState(HardState { term: Term(term), vote }))
}

pub(crate) fn compact(group: u64, base: LogId) -> GroupItem {
    of(group, Item::Compact { base, configuration: configuration(3) })
}

pub(crate) fn configuration(voters: u32) -> Arc<Configuration> {
    let replica = |id: u32| Replica {
        id: ReplicaId(id),
        node: NodeId(u64::from(id)),
        store: StoreId(u128::from(id)),
    };
    Arc::new(Configuration::new((1..=voters).map(replica).collect(), vec![], vec![]).unwrap())
}

pub(crate) fn batch(items: &[GroupItem]) -> [WriteBatch; 1] {
    [WriteBatch { items: items.to_vec() }]
}

pub(crate) fn request(group: u64, first: u64, last: u64) -> FetchRequest {
    FetchRequest {
        group: GroupId(group),
        first: LogIndex(first),
        last: LogIndex(last),
        bytes_max: 1 << 20,
    }
}

/// The payloads of the entries that a request brings.
pub(crate) fn fetch(reader: &Reader, request: FetchRequest) -> Result<Vec<Vec<u8>>, ReadError> {
    let runs = reader.fetch(&[request]).remove(0)?;
    assert_eq!(runs.first().map(|run| run.first), Some(request.first));
    Ok(payloads(&runs))
}

pub(crate) fn payloads(runs: &[EntryRun]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    for pair in runs.windows(2) {
        assert_eq!(pair[0].last().next(), pair[1].first, "runs follow each other");
    }
    for run in runs {
        match &run.body {
            RunBody::Commands(commands) => {
                payloads.extend(commands.iter().map(|command| command.payload.to_vec()));
            }
            RunBody::TermStart | RunBody::Configuration(_) => payloads.push(Vec::new()),
        }
    }
    payloads
}
