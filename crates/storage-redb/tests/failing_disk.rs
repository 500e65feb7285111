//! A disk that fails once: the store does nothing more, on nobody's behalf, whatever the disk says
//! afterwards.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod common;

use common::{append, batch, configuration, create, fetch, id, open_with, options, request};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{CommitPhases, ReadError, Reader, Store, StoreError, StoreOptions};
use types::{BootId, GroupId, NodeId, StoreId};

/// How commits become durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Rows(CommitPhases),
    Journal,
}

const WAYS: [Way; 3] = [Way::Rows(CommitPhases::One), Way::Rows(CommitPhases::Two), Way::Journal];

fn limits(way: Way) -> StoreOptions {
    options(|raw| {
        raw.record_cache_bytes = 0;
        match way {
            Way::Rows(phases) => raw.commit_phases = phases,
            Way::Journal => raw.journal_bytes = 64 << 10,
        }
    })
}

/// A store with one acknowledged entry, `kept`.
fn store(way: Way) -> (SimDisk, Store) {
    let disk = SimDisk::new();
    let (mut store, _) = open_with(&disk, limits(way)).unwrap();
    store.commit(&batch(&[create(1), append(1, 1, 1, &[b"kept"])])).unwrap();
    (disk, store)
}

/// Nothing that a failed store is asked for reaches the disk, or succeeds.
fn assert_does_nothing_more(disk: &SimDisk, store: &mut Store, reader: &Reader) {
    let before = disk.counters();
    // More than once: the disk would do it now, and no retry may find that out.
    for _ in 0..3 {
        let poisoned = |result: Result<(), StoreError>| {
            assert!(matches!(result, Err(StoreError::Poisoned { .. })), "{result:?}");
        };
        poisoned(store.commit(&batch(&[append(1, 1, 2, &[b"no"])])));
        poisoned(store.commit(&[]));
        poisoned(store.release(GroupId(1), id(1, 1), configuration(1)));
        poisoned(store.set_promise_max_ms(1));
        poisoned(store.remember_peer(NodeId(2), StoreId(2), BootId(1)));
        poisoned(store.look_at_disk().map(|_| ()));
        for reader in [reader, &store.reader()] {
            let read = fetch(reader, request(1, 1, 1));
            assert!(matches!(read, Err(ReadError::Poisoned { .. })), "{read:?}");
        }
    }
    assert_eq!(disk.counters(), before, "nothing reached the disk");
}

/// A write to the disk, and what there is of it in a store opened later.
type Write = (fn(&mut Store) -> Result<(), StoreError>, fn(&Store) -> bool);

const WRITES: [Write; 3] = [
    (
        |store| store.commit(&batch(&[append(1, 1, 2, &[b"new"])])),
        |store| fetch(&store.reader(), request(1, 2, 2)).is_ok(),
    ),
    (|store| store.set_promise_max_ms(7), |store| store.promise_max_ms() == 7),
    (
        |store| store.remember_peer(NodeId(3), StoreId(3), BootId(3)),
        |store| store.peers().contains_key(&NodeId(3)),
    ),
];

/// Lets the operation of that number fail in every kind of write, one store each, until there are
/// no operations of that number; returns how often it failed and how often the write was found in
/// the end all the same.
fn strike_everywhere(way: Way, strike: fn(&SimDisk, u64)) -> (u64, u64) {
    let (mut failed, mut found) = (0, 0);
    for (write, is_there) in WRITES {
        for number in 0.. {
            let (disk, mut store) = store(way);
            let reader = store.reader();
            strike(&disk, number);
            match write(&mut store) {
                Ok(()) => {
                    assert!(number > 0, "nothing was struck at all");
                    break;
                }
                Err(StoreError::Disk { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            failed += 1;
            assert_does_nothing_more(&disk, &mut store, &reader);
            drop((store, reader));
            // The next process on the same machine, and then the machine without its memory.
            let next = disk.survive_kill();
            let seen = open_and_look(&next, way, is_there);
            assert_eq!(open_and_look(&next.restart(number), way, is_there), seen);
            found += u64::from(seen);
        }
    }
    (failed, found)
}

/// What was acknowledged is there; returns whether what failed is.
fn open_and_look(disk: &SimDisk, way: Way, is_there: fn(&Store) -> bool) -> bool {
    let (store, _) = open_with(disk, limits(way)).unwrap();
    assert_eq!(fetch(&store.reader(), request(1, 1, 1)).unwrap(), [b"kept"]);
    is_there(&store)
}

#[test]
fn a_failed_write_ends_the_store() {
    for way in WAYS {
        let (failed, found) = strike_everywhere(way, |disk, number| disk.fail_write_in(number));
        // Of an entry the journal is one write.
        let failed_min = if way == Way::Journal { 8 } else { 15 };
        assert!(failed > failed_min && found < failed, "{failed} {found}");
    }
}

#[test]
fn a_failed_sync_ends_the_store_and_what_it_lost_is_not_found_again() {
    for way in WAYS {
        let struck = strike_everywhere(way, |disk, number| disk.fail_sync_in(number));
        // One write of each kind, one sync for each phase.
        assert_eq!(struck, if way == Way::Rows(CommitPhases::Two) { (6, 0) } else { (3, 0) });
    }
}

#[test]
fn a_failed_read_ends_the_store() {
    let (disk, mut store) = large_store();
    let reader = store.reader();
    disk.fail_read_in(0);
    let failed = fetch(&reader, request(1, 1, 1));
    assert!(matches!(failed, Err(ReadError::Poisoned { .. })), "{failed:?}");
    let text = failed.unwrap_err().to_string();
    assert!(text.contains("cannot read the log") && text.contains("failed this read"), "{text}");
    assert_does_nothing_more(&disk, &mut store, &reader);
    // The same where it is the store itself that reads: what it deletes, and what it moves.
    let (disk, mut store) = large_store();
    let reader = store.reader();
    store.release(GroupId(1), id(1, 150), configuration(3)).unwrap();
    disk.fail_read_in(0);
    let failed = (0..20).find_map(|_| store.commit(&[]).err());
    assert!(matches!(failed, Some(StoreError::Disk { .. })), "{failed:?}");
    assert_does_nothing_more(&disk, &mut store, &reader);
}

/// Much more than redb keeps in memory.
fn large_store() -> (SimDisk, Store) {
    let (disk, mut store) = store(Way::Rows(CommitPhases::One));
    for index in 2..=200 {
        store.commit(&batch(&[append(1, 1, index, &[&[7; 20_000]])])).unwrap();
    }
    (disk, store)
}

#[test]
fn a_disk_that_fails_while_the_store_is_opened_says_so() {
    for way in WAYS {
        let (disk, store) = store(way);
        // With a journal there is something in it to make rows of.
        disk.cut_power();
        drop(store);
        fail_opening_everywhere(way, &disk.restart(0));
    }
}

fn fail_opening_everywhere(way: Way, disk: &SimDisk) {
    let image = disk.image();
    let strikes: [fn(&SimDisk, u64); 3] = [
        |disk, number| disk.fail_read_in(number),
        |disk, number| disk.fail_write_in(number),
        |disk, number| disk.fail_sync_in(number),
    ];
    for strike in strikes {
        for number in 0.. {
            let disk = SimDisk::from_image(image.clone());
            strike(&disk, number);
            match open_with(&disk, limits(way)) {
                Ok(_) => {
                    assert!(number > 1);
                    break;
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains("backend: ") && text.contains("failed this"), "{text}");
                }
            }
            let (store, _) = open_with(&disk.restart(number), limits(way)).unwrap();
            assert_eq!(fetch(&store.reader(), request(1, 1, 1)).unwrap(), [b"kept"]);
        }
    }
}

#[test]
fn an_opened_store_stands_on_what_the_disk_holds_and_not_on_what_the_system_remembers() {
    for way in [Way::Rows(CommitPhases::One), Way::Journal] {
        look_after_a_kill(way);
    }
}

fn look_after_a_kill(way: Way) {
    // Killed between a write and its sync: the next process sees the write, and believes it only
    // once it is durable.
    for cut in 0..40 {
        let (disk, mut store) = store(way);
        disk.cut_power_in(cut);
        let _ = store.commit(&batch(&[append(1, 1, 2, &[b"in flight"])]));
        let next = disk.survive_kill();
        drop(store);
        let (store, _) = open_with(&next, limits(way)).unwrap();
        let seen = fetch(&store.reader(), request(1, 1, 2)).unwrap();
        next.cut_power();
        drop(store);
        let (store, _) = open_with(&next.restart(cut), limits(way)).unwrap();
        assert_eq!(fetch(&store.reader(), request(1, 1, 2)).unwrap(), seen, "cut {cut}");
    }
    // A failed sync: the system shows the commit, and would say now that it is synced.
    let (disk, mut store) = store(way);
    disk.fail_sync_in(0);
    store.commit(&batch(&[append(1, 1, 2, &[b"lost"])])).unwrap_err();
    let believed = SimDisk::from_image(disk.image());
    let (store, _) = open_with(&believed, limits(way)).unwrap();
    assert_eq!(fetch(&store.reader(), request(1, 2, 2)).unwrap(), [b"lost"], "so it is shown");
    let (store, _) = open_with(&disk.survive_kill(), limits(way)).unwrap();
    assert_eq!(fetch(&store.reader(), request(1, 1, 2)).unwrap(), [b"kept"]);
}
