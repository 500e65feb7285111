//! A disk that fills up: what is refused, what still goes through, and how it goes on.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod common;

use common::{append, batch, create, fetch, hard_state, open_with, options, request};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{OpenError, Store, StoreError, StoreOptions};

const MIB: u64 = 1 << 20;

fn with_reserve() -> StoreOptions {
    options(|raw| raw.disk_reserve_bytes = 2 * MIB)
}

/// A store on a disk with so much room beside the reserve.
fn store_with(free: u64) -> (SimDisk, Store) {
    let disk = SimDisk::new();
    let (mut store, _) = open_with(&disk, with_reserve()).unwrap();
    store.commit(&batch(&[create(1)])).unwrap();
    disk.leave_free(free);
    (disk, store)
}

#[test]
fn a_commit_that_finds_no_room_is_refused_before_anything_is_written() {
    let (disk, mut store) = store_with(0);
    let large = vec![7; 5 << 20];
    let before = (disk.counters(), disk.image());
    let refused = store.commit(&batch(&[append(1, 1, 1, &[&large])]));
    let Err(StoreError::DiskFull { needed, free }) = refused else { panic!("{refused:?}") };
    assert!(needed > 5 * MIB && free == 2 * MIB, "{needed} {free}");
    assert_eq!((disk.counters(), disk.image()), before);
    assert!(store.disk_space().is_low);
    // Not poisoned: what takes less goes through at once, and the same once there is room.
    store.commit(&batch(&[hard_state(1, 1, None)])).unwrap();
    assert_eq!(disk.reserve_bytes(), 0, "for that the reserve was given up");
    disk.leave_free(needed);
    store.commit(&batch(&[append(1, 1, 1, &[&large])])).unwrap();
    assert_eq!(fetch(&store.reader(), request(1, 1, 1)).unwrap(), [large]);
}

#[test]
fn a_store_is_not_made_without_room_and_the_refusal_says_how_much_it_takes() {
    let disk = SimDisk::new();
    disk.leave_free(1000);
    let error = open_with(&disk, with_reserve()).unwrap_err();
    let OpenError::DiskFull { needed, free: 1000, .. } = error else { panic!("{error}") };
    let text = error.to_string();
    assert!(text.contains("needed to make the log") && text.contains("1000 left"), "{text}");
    assert_eq!(disk.image().len(), 0, "nothing was begun");
    disk.leave_free(needed);
    let (store, _) = open_with(&disk, with_reserve()).unwrap();
    assert!(store.disk_space().is_low);
}
