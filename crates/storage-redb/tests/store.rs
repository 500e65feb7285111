//! What a store promises to its owner and its readers, on a simulated disk.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use codec::{GroupItem, Item};
use common::{
    append, batch, compact, configuration, create, fetch, hard_state, id, of, open, open_with,
    options, request, truncate,
};
use raft_core::{EntryRun, HardState, RunBody};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{FetchRequest, Misuse, MisuseFault, ReadError, Store, StoreError};
use types::{BootId, Generation, GroupId, LogIndex, NodeId, ReplicaId, StoreId, Term};

#[test]
fn what_was_committed_is_restored_and_read_back() {
    let disk = SimDisk::new();
    let (mut store, restored) = open(&disk);
    assert!(restored.is_empty() && store.is_new());
    let started = EntryRun { first: LogIndex(3), term: Term(2), body: RunBody::TermStart };
    let items = [
        create(7),
        create(5),
        hard_state(7, 2, Some(1)),
        append(7, 1, 1, &[b"a", b"b"]),
        of(7, Item::Append(started)),
        append(5, 4, 1, &[b"five"]),
        append(7, 2, 4, &[b"d"]),
    ];
    store.commit(&batch(&items)).unwrap();
    let id_before = store.store_id();
    drop(store);
    let (store, restored) = open(&disk);
    assert_eq!((store.store_id(), store.boot_id(), store.is_new()), (id_before, BootId(2), false));
    let groups: Vec<_> = restored.iter().map(|restored| restored.group.0).collect();
    assert_eq!(groups, [5, 7]);
    let seven = &restored[1].replica;
    assert_eq!(seven.hard_state, HardState { term: Term(2), vote: Some(ReplicaId(1)) });
    assert_eq!((seven.last, &seven.terms[..]), (LogIndex(4), &[id(1, 1), id(2, 3)][..]));
    let read = fetch(&store.reader(), request(7, 1, 9)).unwrap();
    assert_eq!(read, [&b"a"[..], b"b", b"", b"d"]);
}

#[test]
fn an_append_discards_what_was_there_from_its_first_index_on() {
    let disk = SimDisk::new();
    let (mut store, _) = open(&disk);
    store.commit(&batch(&[create(1), append(1, 1, 1, &[b"a", b"b", b"c", b"d"])])).unwrap();
    store.commit(&batch(&[append(1, 2, 3, &[b"C"])])).unwrap();
    let expected = [&b"a"[..], b"b", b"C"];
    assert_eq!(fetch(&store.reader(), request(1, 1, 9)).unwrap(), expected);
    drop(store);
    let (store, restored) = open(&disk);
    assert_eq!(restored[0].replica.terms, [id(1, 1), id(2, 3)]);
    assert_eq!(fetch(&store.reader(), request(1, 1, 9)).unwrap(), expected);
}

#[test]
fn a_change_that_makes_no_sense_is_named_and_nothing_of_its_batch_is_written() {
    let (mut store, _) = open(&SimDisk::new());
    let start = [
        create(1),
        hard_state(1, 3, Some(2)),
        append(1, 2, 1, &[b"a", b"b", b"c"]),
        compact(1, id(2, 1)),
        create(2),
        of(2, Item::Remove),
    ];
    store.commit(&batch(&start)).unwrap();
    let later = |generation, item| GroupItem {
        group: GroupId(1),
        generation: Generation(generation),
        item,
    };
    let held = Generation(1);
    let run = EntryRun { first: LogIndex(4), term: Term(2), body: RunBody::TermStart };
    let refused = [
        (create(1), MisuseFault::Exists { found: held, held }),
        (create(2), MisuseFault::GenerationUsed { found: held, used: held }),
        (append(2, 1, 1, &[b""]), MisuseFault::UnknownGroup),
        (append(3, 1, 1, &[b""]), MisuseFault::UnknownGroup),
        (later(2, Item::Remove), MisuseFault::OtherGeneration { found: Generation(2), held }),
        (append(1, 2, 6, &[b""]), MisuseFault::Gap { found: LogIndex(6), last: LogIndex(4) }),
        (truncate(1, 6), MisuseFault::Gap { found: LogIndex(6), last: LogIndex(4) }),
        (append(1, 2, 1, &[b""]), MisuseFault::Compacted { found: LogIndex(1), base: LogIndex(1) }),
        (append(1, 1, 5, &[b""]), MisuseFault::TermFalls { found: Term(1), before: id(2, 4) }),
        (hard_state(1, 2, None), MisuseFault::HardStateFalls { found: Term(2), held: Term(3) }),
        (hard_state(1, 3, Some(1)), MisuseFault::HardStateFalls { found: Term(3), held: Term(3) }),
        (of(1, Item::Moved(run)), MisuseFault::MovedByCaller),
    ];
    let commits = store.counters().commits;
    for (item, fault) in refused {
        let group = item.group;
        let items = [append(1, 2, 4, &[b"lost"]), item];
        let Err(StoreError::Misuse(found)) = store.commit(&batch(&items)) else {
            panic!("{fault:?} was accepted");
        };
        assert_eq!(found, Misuse { group, fault });
    }
    assert_eq!(store.counters().commits, commits);
    assert_eq!(fetch(&store.reader(), request(1, 2, 9)).unwrap(), [b"b", b"c"]);
    store.commit(&batch(&[append(1, 2, 4, &[b"d"])])).unwrap();
}

#[test]
fn entries_that_would_follow_those_of_another_life_are_refused() {
    let (mut store, _) = open(&SimDisk::new());
    store.commit(&batch(&[create(1), append(1, 2, 1, &[b"a"])])).unwrap();
    let item = append(1, 2, 2, &[b"b"]).item;
    let late = GroupItem { group: GroupId(1), generation: Generation(2), item };
    let Err(StoreError::Misuse(found)) = store.commit(&batch(&[late])) else {
        panic!("entries of another life were accepted");
    };
    let (found, held) = (found.fault, Generation(1));
    assert_eq!(found, MisuseFault::OtherGeneration { found: Generation(2), held });
}

#[test]
fn later_changes_of_a_batch_build_on_earlier_ones() {
    let (mut store, _) = open(&SimDisk::new());
    let items = [
        create(1),
        append(1, 1, 1, &[b"a", b"b"]),
        truncate(1, 2),
        append(1, 2, 2, &[b"B"]),
        of(1, Item::Remove),
        GroupItem { generation: Generation(2), ..create(1) },
    ];
    store.commit(&batch(&items)).unwrap();
    let gap =
        store.commit(&batch(&[GroupItem { generation: Generation(2), ..append(1, 1, 2, &[b""]) }]));
    let fault = MisuseFault::Gap { found: LogIndex(2), last: LogIndex(0) };
    assert!(matches!(gap, Err(StoreError::Misuse(misuse)) if misuse.fault == fault));
}

#[test]
fn a_removed_group_comes_back_only_with_a_generation_that_was_not_used() {
    let disk = SimDisk::new();
    // Checkpoints at every chance, so that the removal outlives its record.
    let eager = options(|raw| raw.pinned_bytes_max = 0);
    let (mut store, _) = open_with(&disk, eager).unwrap();
    let of_life = |generation, item| GroupItem {
        group: GroupId(4),
        generation: Generation(generation),
        item,
    };
    let create = |generation| of_life(generation, Item::Create { replica: ReplicaId(1) });
    store.commit(&batch(&[create(3), of_life(3, Item::Remove), common::create(9)])).unwrap();
    while store.counters().records_deleted == 0 {
        store.commit(&batch(&[append(9, 1, 1, &[b""])])).unwrap();
    }
    drop(store);
    let (mut store, restored) = open_with(&disk, eager).unwrap();
    assert_eq!(restored.len(), 1);
    for generation in [1, 3] {
        let refused = store.commit(&batch(&[create(generation)]));
        let fault =
            MisuseFault::GenerationUsed { found: Generation(generation), used: Generation(3) };
        assert!(matches!(refused, Err(StoreError::Misuse(misuse)) if misuse.fault == fault));
    }
    store.commit(&batch(&[create(4)])).unwrap();
}

#[test]
fn fetch_answers_each_request_within_its_limits() {
    let (mut store, _) = open(&SimDisk::new());
    let ten: Vec<Vec<u8>> = (0..10).map(|byte| vec![byte; 100]).collect();
    let ten: Vec<&[u8]> = ten.iter().map(Vec::as_slice).collect();
    store.commit(&batch(&[create(1), append(1, 1, 1, &ten), create(2)])).unwrap();
    store.commit(&batch(&[append(1, 1, 11, &ten), append(2, 1, 1, &ten)])).unwrap();
    store.commit(&batch(&[compact(2, id(1, 4))])).unwrap();
    let reader = store.reader();
    let limited = |bytes_max| FetchRequest { bytes_max, ..request(1, 9, 20) };
    let answers = reader.fetch(&[
        limited(0),
        limited(500),
        request(1, 9, 12),
        request(2, 4, 9),
        request(2, 11, 12),
        request(3, 1, 1),
    ]);
    let counts: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().map_or(0, |runs| common::payloads(runs).len()))
        .collect();
    // Each run costs 64 and each entry 106: two of the first run, two of the second.
    assert_eq!(counts, [1, 3, 4, 0, 0, 0]);
    assert!(
        matches!(&answers[3], Err(ReadError::Compacted { first, .. }) if *first == LogIndex(5))
    );
    assert!(matches!(&answers[4], Err(ReadError::Beyond { last, .. }) if *last == LogIndex(10)));
    assert!(matches!(&answers[5], Err(ReadError::UnknownGroup { .. })));
}

#[test]
fn releasing_shrinks_the_log() {
    let disk = SimDisk::new();
    let limits = options(|raw| raw.pinned_bytes_max = 64 << 10);
    let (mut store, _) = open_with(&disk, limits).unwrap();
    let groups: Vec<u64> = (1..=50).collect();
    store.commit(&batch(&groups.iter().map(|group| create(*group)).collect::<Vec<_>>())).unwrap();
    let payload = [7; 200];
    for index in 1..=400 {
        let items: Vec<_> =
            groups.iter().map(|group| append(*group, 1, index, &[&payload])).collect();
        store.commit(&batch(&items)).unwrap();
        if index > 8 {
            for group in &groups {
                let up_to = id(1, index - 8);
                store.release(GroupId(*group), up_to, configuration(3)).unwrap();
            }
        }
    }
    // Nine commits are live, 64 KiB may be pinned, and a page of checkpoints may take two commits.
    let commit_bytes = 50 * 300;
    assert!(store.log_bytes() < 12 * commit_bytes + (64 << 10), "{}", store.log_bytes());
    assert!(disk.image().len() < 4 << 20, "{}", disk.image().len());
    rest(&mut store);
    let first = fetch(&store.reader(), request(50, 1, 9));
    assert!(matches!(first, Err(ReadError::Compacted { first, .. }) if first == LogIndex(393)));
}

#[test]
fn a_few_live_entries_do_not_keep_old_records() {
    let disk = SimDisk::new();
    let limits = options(|raw| {
        raw.pinned_bytes_max = 8 << 10;
        raw.sparse_bytes_max = 8 << 10;
    });
    let (mut store, _) = open_with(&disk, limits).unwrap();
    // Each of many groups writes once and then is idle; one is busy, and releases.
    store.commit(&batch(&[create(1)])).unwrap();
    let payload = [7; 3000];
    for index in 1..=300 {
        let idle = 1 + index;
        let items =
            [append(1, 1, index, &[&payload]), create(idle), append(idle, 1, 1, &[b"idle"])];
        store.commit(&batch(&items)).unwrap();
        store.release(GroupId(1), id(1, index), configuration(3)).unwrap();
    }
    assert!(store.counters().runs_moved >= 250, "{:?}", store.counters());
    assert!(store.log_bytes() < 120 << 10, "{}", store.log_bytes());
    let reader = store.reader();
    for idle in 2..=301 {
        assert_eq!(fetch(&reader, request(idle, 1, 1)).unwrap(), [b"idle"]);
    }
}

#[test]
fn a_release_of_what_is_not_there_is_refused() {
    let (mut store, _) = open(&SimDisk::new());
    store.commit(&batch(&[create(1), append(1, 2, 1, &[b"a", b"b"])])).unwrap();
    let mut release = |group, up_to| store.release(GroupId(group), up_to, configuration(1));
    let misuse = |result| match result {
        Err(StoreError::Misuse(misuse)) => misuse.fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(misuse(release(2, id(2, 1))), MisuseFault::UnknownGroup);
    assert_eq!(misuse(release(1, id(2, 3))), MisuseFault::NotHeld { found: id(2, 3) });
    assert_eq!(misuse(release(1, id(1, 1))), MisuseFault::NotHeld { found: id(1, 1) });
    release(1, id(2, 2)).unwrap();
    rest(&mut store);
    store.release(GroupId(1), id(2, 1), configuration(1)).unwrap();
    let commits = store.counters().commits;
    store.commit(&[]).unwrap();
    assert_eq!(store.counters().commits, commits, "nothing is left to do");
}

#[test]
fn a_release_takes_effect_with_a_checkpoint_and_counts_at_once() {
    let disk = SimDisk::new();
    let (mut store, _) = open(&disk);
    store.commit(&batch(&[create(1), append(1, 2, 1, &[b"a", b"b", b"c"])])).unwrap();
    store.release(GroupId(1), id(2, 2), configuration(3)).unwrap();
    store.commit(&batch(&[append(1, 2, 4, &[b"d"])])).unwrap();
    assert_eq!(fetch(&store.reader(), request(1, 1, 9)).unwrap().len(), 4, "not enough to gain");
    let mut refused = |item, fault| {
        let refused = store.commit(&batch(&[item]));
        assert!(matches!(refused, Err(StoreError::Misuse(misuse)) if misuse.fault == fault));
    };
    let compacted = MisuseFault::Compacted { found: LogIndex(2), base: LogIndex(2) };
    refused(append(1, 3, 2, &[b"B"]), compacted);
    refused(truncate(1, 2), compacted);
    refused(compact(1, id(1, 2)), MisuseFault::NotHeld { found: id(1, 2) });
    rest(&mut store);
    assert_eq!(fetch(&store.reader(), request(1, 3, 9)).unwrap(), [b"c", b"d"]);
    assert!(matches!(fetch(&store.reader(), request(1, 2, 9)), Err(ReadError::Compacted { .. })));
    drop(store);
    let (_, restored) = open(&disk);
    assert_eq!(restored[0].replica.base, id(2, 2));
    assert_eq!(restored[0].replica.base_configuration, configuration(3));
}

/// Lets a store do everything that there is to do.
fn rest(store: &mut Store) {
    for _ in 0..1000 {
        let commits = store.counters().commits;
        store.commit(&[]).unwrap();
        if store.counters().commits == commits {
            return;
        }
    }
    panic!("the store never rests");
}

#[test]
fn promises_and_peers_are_remembered() {
    let disk = SimDisk::new();
    let (mut store, _) = open(&disk);
    assert_eq!((store.promise_max_ms(), store.peers().len()), (0, 0));
    store.set_promise_max_ms(1500).unwrap();
    store.remember_peer(NodeId(2), StoreId(20), BootId(1)).unwrap();
    store.remember_peer(NodeId(2), StoreId(20), BootId(4)).unwrap();
    drop(store);
    let (store, _) = open(&disk.restart(1));
    assert_eq!(store.promise_max_ms(), 1500);
    assert_eq!(store.peers().get(&NodeId(2)), Some(&(StoreId(20), BootId(4))));
}

#[test]
fn readers_find_every_entry_or_hear_that_it_is_gone_while_all_of_it_moves() {
    read_while_all_of_it_moves(0);
}

#[test]
fn readers_find_every_entry_while_records_of_the_journal_become_rows() {
    read_while_all_of_it_moves(64 << 10);
}

fn read_while_all_of_it_moves(journal_bytes: u64) {
    let disk = SimDisk::new();
    let limits = options(|raw| {
        raw.journal_bytes = journal_bytes;
        raw.pinned_bytes_max = 0;
        raw.sparse_bytes_max = 0;
        raw.record_cache_bytes = 4096;
    });
    let (mut store, _) = open_with(&disk, limits).unwrap();
    store.commit(&batch(&[create(1), create(2)])).unwrap();
    let payload =
        |group: u64, index: u64| index.to_le_bytes().repeat(if group == 1 { 100 } else { 3 });
    let is_done = AtomicBool::new(false);
    let reader = store.reader();
    let read_on = || {
        let mut read = 0;
        while !is_done.load(Ordering::Acquire) || read == 0 {
            for group in [1, 2] {
                let mut next = 1;
                loop {
                    match fetch(&reader, request(group, next, u64::MAX)) {
                        Ok(found) => {
                            for (index, found) in (next..).zip(&found) {
                                assert_eq!(
                                    *found,
                                    payload(group, index),
                                    "group {group}, index {index}"
                                );
                            }
                            read += 1;
                            next += found.len() as u64;
                        }
                        // It may be gone again by the time it is asked for.
                        Err(ReadError::Compacted { first, .. }) => next = first.0.max(next),
                        Err(ReadError::Beyond { .. }) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
        read
    };
    thread::scope(|scope| {
        let readers = [scope.spawn(read_on), scope.spawn(read_on)];
        for index in 1..=1500 {
            let mut items = vec![append(1, 1, index, &[&payload(1, index)])];
            if index <= 60 {
                items.push(append(2, 1, index, &[&payload(2, index)]));
            }
            store.commit(&batch(&items)).unwrap();
            if index > 5 {
                store.release(GroupId(1), id(1, index - 5), configuration(3)).unwrap();
            }
        }
        is_done.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    let counters = store.counters();
    assert!(counters.runs_moved > 0 && counters.records_deleted > 1000, "{counters:?}");
}

/// The record's leaf, the two pages above all tables, redb's two notes on what was freed, the header.
#[test]
fn a_small_commit_is_five_pages_a_header_and_one_sync() {
    assert_eq!(bytes_of_small_commits(0), [5 * 4096 + 320; 9]);
}

#[test]
fn a_small_commit_is_one_page_and_one_sync_as_long_as_the_journal_has_room() {
    // Of sixteen pages one is its header, and the commit that made the group has one.
    let bytes = bytes_of_small_commits::<29>(64 << 10);
    assert_eq!((&bytes[..14], &bytes[15..]), (&[4096; 14][..], &[4096; 14][..]));
    assert!(bytes[14] > 4 * 4096, "fifteen rows at once: {bytes:?}");
}

/// What is written for each of so many small commits after the first, of one sync each.
fn bytes_of_small_commits<const COUNT: usize>(journal_bytes: u64) -> [u64; COUNT] {
    let disk = SimDisk::new();
    let (mut store, _) =
        open_with(&disk, options(|raw| raw.journal_bytes = journal_bytes)).unwrap();
    store.commit(&batch(&[create(1)])).unwrap();
    std::array::from_fn(|position| {
        let before = disk.counters();
        let index = 1 + position as u64;
        store.commit(&batch(&[append(1, 1, index, &[b"entry"])])).unwrap();
        let after = disk.counters();
        assert_eq!(after.syncs - before.syncs, 1, "entry {index}");
        after.bytes_written - before.bytes_written
    })
}
