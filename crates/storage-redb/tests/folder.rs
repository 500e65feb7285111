//! Data folders: how they come to be, and which ones are refused, by which words.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use codec::Restored;
use common::{append, batch, create, fetch, identity, options, request};
use redb::TableDefinition;
use storage_redb::{Identity, OpenError, Store};
use tempfile::TempDir;
use types::{BootId, ClusterId, NodeId};

fn open(dir: &Path) -> Result<(Store, Vec<Restored>), OpenError> {
    Store::open(dir, &identity(), options(|_| {}))
}

/// A folder with a store in it, in which group 1 has one entry.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path()).unwrap();
    store.commit(&batch(&[create(1), append(1, 1, 1, &[b"kept"])])).unwrap();
    dir
}

fn refused(dir: &Path) -> (OpenError, String) {
    let error = open(dir).unwrap_err();
    let text = error.to_string();
    (error, text)
}

#[test]
fn a_folder_is_made_with_all_folders_above_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/c");
    let (store, restored) = open(&path).unwrap();
    assert!(store.is_new() && restored.is_empty());
    assert_eq!(store.boot_id(), BootId(1));
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["lock", "log.redb", "reserve"]);
}

#[test]
fn the_reserve_lies_beside_the_log_and_goes_when_none_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let reserve = dir.path().join("reserve");
    let with = |bytes| options(|raw| raw.disk_reserve_bytes = bytes);
    let bytes = 4 << 20;
    let (mut store, _) = Store::open(dir.path(), &identity(), with(bytes)).unwrap();
    let space = store.look_at_disk().unwrap();
    let made = fs::metadata(&reserve).unwrap();
    assert!(made.len() == bytes && made.blocks() * 512 >= bytes, "{made:?}");
    assert!(space.reserve_bytes >= bytes && space.free_bytes < u64::MAX, "{space:?}");
    // Somebody who needs room at any price removes it; it comes back.
    fs::remove_file(&reserve).unwrap();
    store.look_at_disk().unwrap();
    assert_eq!(fs::metadata(&reserve).unwrap().len(), bytes);
    drop(store);
    for bytes in [2 * bytes, bytes] {
        Store::open(dir.path(), &identity(), with(bytes)).unwrap();
        assert_eq!(fs::metadata(&reserve).unwrap().len(), bytes);
    }
    let (store, _) = Store::open(dir.path(), &identity(), with(0)).unwrap();
    assert!(!reserve.exists() && !store.disk_space().is_low);
}

#[test]
fn a_store_keeps_its_identity_and_raises_its_boot_id_at_each_opening() {
    let dir = folder();
    let (store, _) = open(dir.path()).unwrap();
    let (store_id, boot_id) = (store.store_id(), store.boot_id());
    drop(store);
    let (store, restored) = open(dir.path()).unwrap();
    assert_eq!((store.store_id(), store.boot_id()), (store_id, BootId(boot_id.0 + 1)));
    assert!(!store.is_new());
    assert_eq!(restored.len(), 1);
    assert_eq!(fetch(&store.reader(), request(1, 1, 1)).unwrap(), [b"kept"]);
    assert_ne!(store_id, open(folder().path()).unwrap().0.store_id());
}

#[test]
fn a_creation_that_was_cut_short_is_started_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("log.redb.new"), b"half of a log").unwrap();
    let (store, _) = open(dir.path()).unwrap();
    assert!(store.is_new());
    assert!(!dir.path().join("log.redb.new").exists());
}

#[test]
fn an_open_folder_is_refused_until_store_and_readers_are_gone() {
    let dir = folder();
    let (store, _) = open(dir.path()).unwrap();
    let (error, text) = refused(dir.path());
    assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{text}");
    assert!(text.contains("already open: stop the other process"), "{text}");
    let reader = store.reader();
    drop(store);
    assert!(matches!(open(dir.path()), Err(OpenError::AlreadyOpen { .. })));
    drop(reader);
    open(dir.path()).unwrap();
}

#[test]
fn a_folder_in_which_somebody_makes_a_log_is_refused() {
    // As long as there is no log that redb could lock, only this file tells.
    let dir = tempfile::tempdir().unwrap();
    let lock = fs::File::create(dir.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let (error, text) = refused(dir.path());
    assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{text}");
    assert!(!dir.path().join("log.redb").exists());
    drop(lock);
    open(dir.path()).unwrap();
}

#[test]
fn a_folder_of_another_cluster_or_node_is_refused_by_name() {
    let dir = folder();
    let other = Identity { cluster: ClusterId::new("other").unwrap(), node: NodeId(1) };
    let error = Store::open(dir.path(), &other, options(|_| {})).unwrap_err();
    assert!(matches!(error, OpenError::OtherCluster { .. }));
    let text = error.to_string();
    assert!(text.contains("belongs to cluster test"), "{text}");
    assert!(text.contains("configured for cluster other"), "{text}");
    let other = Identity { node: NodeId(2), ..identity() };
    let error = Store::open(dir.path(), &other, options(|_| {})).unwrap_err();
    assert!(matches!(error, OpenError::OtherNode { found: NodeId(1), expected: NodeId(2), .. }));
    let text = error.to_string();
    assert!(text.contains("belongs to node 1") && text.contains("to be node 2"), "{text}");
    let (store, _) = open(dir.path()).unwrap();
    assert_eq!(store.boot_id(), BootId(2), "refusals change nothing");
}

#[test]
fn a_newer_format_is_refused_by_number() {
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    let dir = folder();
    let database = redb::Database::open(dir.path().join("log.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", &7u32.to_le_bytes()[..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let (error, text) = refused(dir.path());
    assert!(matches!(error, OpenError::NewerFormat { found: 7, newest: 1, .. }), "{text}");
    assert!(text.contains("has format 7") && text.contains("up to 1"), "{text}");
}

#[test]
fn what_is_no_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let (error, text) = refused(&file);
    assert!(matches!(error, OpenError::NotAFolder { .. }), "{text}");
    assert!(text.contains("is not a folder"), "{text}");
}

#[test]
fn what_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("log.redb")).unwrap();
    let (error, text) = refused(dir.path());
    assert!(matches!(error, OpenError::Unreadable { .. }), "{text}");
    assert!(text.contains("cannot open") && text.contains("log.redb"), "{text}");
    let below_a_file = dir.path().join("file/data");
    fs::write(dir.path().join("file"), b"").unwrap();
    let (error, text) = refused(&below_a_file);
    assert!(matches!(error, OpenError::Unreadable { .. }), "{text}");
}

#[test]
fn a_file_that_is_no_log_any_more_is_damaged_and_left_as_it_is() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        Vec::clear,
        |file| file.truncate(100),
        |file| file.truncate(file.len() / 2),
        |file| file.fill(0x5a),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let dir = folder();
        let path = dir.path().join("log.redb");
        let mut file = fs::read(&path).unwrap();
        damage(&mut file);
        fs::write(&path, &file).unwrap();
        let (error, text) = refused(dir.path());
        assert!(matches!(error, OpenError::Damaged { .. }), "damage {number}: {text}");
        assert!(text.contains("log.redb is damaged") && text.contains("Keep a copy"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), file, "damage {number}");
    }
}
