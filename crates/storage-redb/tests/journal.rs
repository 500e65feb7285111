//! The journal, seen from outside: which commits it takes, and what an opening makes of it.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod common;

use common::{append, batch, create, fetch, hard_state, open_with, options, request};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{CommitPhases, OpenError, RawStoreOptions, Store, StoreOptions};
use types::{NodeId, StoreId, Term};

const JOURNAL_BYTES: u64 = 64 << 10;

fn journaled() -> StoreOptions {
    options(|raw| raw.journal_bytes = JOURNAL_BYTES)
}

/// A store with a group of five entries.
fn store_on(disk: &SimDisk, limits: StoreOptions) -> Store {
    let (mut store, _) = open_with(disk, limits).unwrap();
    store.commit(&batch(&[create(1), hard_state(1, 3, None)])).unwrap();
    for index in 1..=5 {
        store.commit(&batch(&[append(1, 3, index, &[b"entry"])])).unwrap();
    }
    store
}

fn check(store: &Store) {
    assert_eq!(fetch(&store.reader(), request(1, 1, 9)).unwrap(), vec![b"entry"; 5]);
}

#[test]
fn an_opening_finds_what_only_the_journal_has() {
    for is_cut in [false, true] {
        let disk = SimDisk::new();
        let store = store_on(&disk, journaled());
        assert_eq!((store.counters().commits, store.counters().journal_commits), (6, 6));
        check(&store);
        let next = if is_cut { disk.restart(7) } else { disk.survive_kill() };
        drop(store);
        let (mut store, restored) = open_with(&next, journaled()).unwrap();
        assert_eq!(restored[0].replica.hard_state.term, Term(3));
        check(&store);
        store.commit(&batch(&[append(1, 3, 6, &[b"more"])])).unwrap();
        drop(store);
        let (store, _) = open_with(&next, journaled()).unwrap();
        assert_eq!(
            fetch(&store.reader(), request(1, 5, 9)).unwrap(),
            [b"entry".to_vec(), b"more".to_vec()]
        );
    }
}

#[test]
fn a_large_commit_writes_rows_of_all_that_is_pending() {
    let disk = SimDisk::new();
    let mut store = store_on(&disk, journaled());
    store.commit(&batch(&[append(1, 3, 6, &[&[7; 20_000]])])).unwrap();
    assert_eq!((store.counters().commits, store.counters().journal_commits), (7, 6));
    // What the journal held is older now, and may go.
    let next = disk.survive_kill();
    drop(store);
    for byte in (4096..usize::try_from(JOURNAL_BYTES).unwrap()).step_by(100) {
        next.flip_bit(byte, 0);
    }
    let (store, _) = open_with(&next, journaled()).unwrap();
    assert_eq!(fetch(&store.reader(), request(1, 1, 5)).unwrap(), vec![b"entry"; 5]);
    assert_eq!(fetch(&store.reader(), request(1, 6, 6)).unwrap(), [vec![7; 20_000]]);
}

#[test]
fn what_the_store_knows_of_itself_does_not_pass_the_journal_over() {
    let disk = SimDisk::new();
    let mut store = store_on(&disk, journaled());
    store.remember_peer(NodeId(2), StoreId(2), store.boot_id()).unwrap();
    check(&store);
    store.commit(&batch(&[hard_state(1, 4, None)])).unwrap();
    let next = disk.survive_kill();
    drop(store);
    let (store, restored) = open_with(&next, journaled()).unwrap();
    assert_eq!(restored[0].replica.hard_state.term, Term(4));
    assert!(store.peers().contains_key(&NodeId(2)));
    check(&store);
}

#[test]
fn a_commit_of_redb_that_is_lost_after_a_later_one_is_damage() {
    let disk = SimDisk::new();
    let mut store = store_on(&disk, journaled());
    let before = disk.image();
    store.set_promise_max_ms(1500).unwrap();
    store.commit(&batch(&[hard_state(1, 4, None)])).unwrap();
    let mut image = disk.image();
    drop(store);
    // The journal as it is, and redb's file as it was before its last commit.
    let journal = usize::try_from(JOURNAL_BYTES).unwrap();
    image.truncate(journal);
    image.extend(&before[journal..]);
    let error = open_with(&SimDisk::from_image(image), journaled()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Damaged { .. }), "{text}");
    assert!(text.contains("of lap 3 at byte 4096, and no log record 1 of lap 2"), "{text}");
}

#[test]
fn a_store_keeps_the_journal_that_it_was_made_with_or_has_none() {
    for (made, opened, uses) in [(0, JOURNAL_BYTES, false), (JOURNAL_BYTES, 0, true)] {
        let disk = SimDisk::new();
        drop(store_on(&disk, options(|raw| raw.journal_bytes = made)));
        let limits = options(|raw| raw.journal_bytes = opened);
        let (mut store, _) = open_with(&disk, limits).unwrap();
        check(&store);
        store.commit(&batch(&[hard_state(1, 5, None)])).unwrap();
        assert_eq!(store.counters().journal_commits, u64::from(uses));
        let begins_with_redb = disk.image().starts_with(b"redb");
        assert_eq!(begins_with_redb, !uses);
    }
}

#[test]
fn a_journal_is_not_used_with_two_phases_and_little_with_a_small_reserve() {
    let commits_of = |change: fn(&mut RawStoreOptions)| {
        let limits = options(|raw| {
            raw.journal_bytes = 1 << 20;
            change(raw);
        });
        let (mut store, _) = open_with(&SimDisk::new(), limits).unwrap();
        store.commit(&batch(&[create(1)])).unwrap();
        for term in 1..=40 {
            store.commit(&batch(&[hard_state(1, term, None)])).unwrap();
        }
        store.counters().commits - store.counters().journal_commits
    };
    assert_eq!(commits_of(|_| {}), 0);
    assert_eq!(commits_of(|raw| raw.commit_phases = CommitPhases::Two), 41);
    // A 64th of it are sixteen pages: one commit in seventeen makes rows.
    assert_eq!(commits_of(|raw| raw.disk_reserve_bytes = 4 << 20), 2);
}
