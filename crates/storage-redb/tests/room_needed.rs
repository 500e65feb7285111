//! No commit writes more than the store asked room for, nor does an opening: every byte that
//! reaches the disk is counted, wherever it goes.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod common;

use codec::GroupItem;
use common::{append, batch, configuration, create, id, open_with, options};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{OpenError, RawStoreOptions, Room, Store, StoreError, StoreOptions};
use types::{BootId, GroupId, NodeId, StoreId};

/// A store whose every write is counted.
struct Counted {
    disk: SimDisk,
    store: Store,
    options: StoreOptions,
    commits: u64,
    /// The largest part that a commit wrote of what it asked for, in thousandths.
    share_max: u64,
}

impl Counted {
    fn new(change: impl FnOnce(&mut RawStoreOptions)) -> Self {
        let options = options(change);
        let disk = SimDisk::new();
        let needed = needed_to("make", &disk, options);
        disk.leave_free(needed);
        let (store, _) = open_with(&disk, options).unwrap();
        assert!(disk.counters().bytes_written <= needed);
        assert_eq!(disk.counters().refused_writes, 0);
        disk.unlimit();
        Self { disk, store, options, commits: 0, share_max: 0 }
    }

    fn count(&mut self, write: impl Fn(&mut Store) -> Result<(), StoreError>) -> bool {
        let before = (self.disk.counters().bytes_written, self.store.counters().room_bytes_asked);
        write(&mut self.store).unwrap();
        let written = self.disk.counters().bytes_written - before.0;
        let asked = self.store.counters().room_bytes_asked - before.1;
        assert!(written <= asked, "{written} bytes written, {asked} asked for");
        self.commits += u64::from(asked > 0);
        self.share_max = self.share_max.max(written * 1000 / asked.max(1));
        asked > 0
    }

    fn commit(&mut self, items: &[GroupItem]) -> bool {
        let batch = batch(items);
        self.count(|store| store.commit(&batch))
    }

    fn release(&mut self, group: u64, up_to: u64) {
        self.store.release(GroupId(group), id(1, up_to), configuration(3)).unwrap();
    }

    fn rest(&mut self) {
        while self.commit(&[]) {}
    }

    /// After a power cut, so that there is something to recover.
    fn reopen(&mut self) {
        let disk = self.disk.restart(1);
        let needed = needed_to("open", &disk, self.options);
        disk.unlimit();
        let (store, _) = open_with(&disk, self.options).unwrap();
        let written = disk.counters().bytes_written;
        assert!(written <= needed, "{written} bytes written, {needed} needed");
        (self.store, self.disk) = (store, disk);
    }

    fn print(&self) {
        println!("{} thousandths at most, {} commits", self.share_max, self.commits);
    }
}

/// What a full disk says is needed to make or open the log on it.
fn needed_to(doing: &str, disk: &SimDisk, options: StoreOptions) -> u64 {
    disk.give_up_reserve().unwrap();
    disk.leave_free(0);
    match open_with(disk, options) {
        Err(OpenError::DiskFull { doing: found, needed, free: 0, .. }) if found == doing => needed,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened on a full disk"),
    }
}

/// Few large ones, many small ones.
const LENS: [usize; 24] = [
    3_000_000, 300_000, 300_000, 70_000, 20_000, 20_000, 20_000, 9000, 9000, 3000, 3000, 3000,
    3000, 500, 500, 500, 50, 50, 50, 50, 50, 50, 50, 0,
];

/// Entries of all sizes of many groups, with releases, moving and checkpoints all the time.
fn entries_of_all_sizes(change: impl FnOnce(&mut RawStoreOptions)) -> Counted {
    let mut counted = Counted::new(change);
    let mut next = [1; 50];
    let mut dice: u64 = 7;
    for turn in 0..500 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let drawn = usize::try_from(dice >> 40).unwrap();
        let (group, len) = (drawn % next.len(), LENS[drawn / 64 % LENS.len()]);
        let (id, index) = (group as u64 + 1, next[group]);
        next[group] += 1;
        let entry = append(id, 1, index, &[&vec![7; len]]);
        let items = if index == 1 { vec![create(id), entry] } else { vec![entry] };
        counted.commit(&items);
        if turn % 40 == 0 {
            for (group, next) in (1..).zip(next) {
                if next > 4 && group % 3 != turn % 3 {
                    counted.release(group, next - 2);
                }
            }
        }
        if turn % 150 == 149 {
            counted.reopen();
        }
    }
    counted.rest();
    counted
}

#[test]
fn entries_of_all_sizes_take_no_more_than_was_asked_for() {
    for journal_bytes in JOURNALS {
        let counted = entries_of_all_sizes(|raw| {
            raw.page_cache_bytes = 64 << 20;
            raw.journal_bytes = journal_bytes;
        });
        counted.print();
        assert!(counted.store.counters().records_deleted > 0);
    }
}

#[test]
fn commits_larger_than_the_page_cache_take_no_more_than_was_asked_for() {
    let counted = entries_of_all_sizes(|raw| {
        raw.page_cache_bytes = 1 << 20;
        raw.pinned_bytes_max = 0;
        raw.journal_bytes = JOURNALS[1];
    });
    counted.print();
    assert!(counted.share_max > 800, "large records are written twice: {}", counted.share_max);
}

#[test]
fn a_log_of_very_many_records_takes_no_more_than_was_asked_for() {
    JOURNALS.into_iter().for_each(write_very_many_records);
}

fn write_very_many_records(journal_bytes: u64) {
    let mut counted = Counted::new(|raw| {
        raw.page_cache_bytes = 64 << 20;
        raw.journal_bytes = journal_bytes;
    });
    let groups = 1..=20;
    counted.commit(&groups.clone().map(create).collect::<Vec<_>>());
    for index in 1..=15_000 {
        let group = 1 + index % 20;
        let row = vec![7; 1 + usize::try_from(index % 900).unwrap()];
        counted.commit(&[append(group, 1, 1 + (index - 1) / 20, &[&row])]);
    }
    counted.reopen();
    groups.for_each(|group| counted.release(group, 740));
    counted.rest();
    counted.print();
    assert!(counted.store.counters().records_deleted > 14_000);
}

/// With one, every commit asks for what making rows of all that is pending will take.
const JOURNALS: [u64; 2] = [0, 1 << 20];

#[test]
fn what_the_store_knows_about_itself_takes_no_more_than_was_asked_for() {
    let mut counted = Counted::new(|raw| raw.journal_bytes = JOURNALS[1]);
    counted.commit(&[create(1)]);
    for node in 0..300 {
        let (store, boot) = (StoreId(u128::from(node) << 80), BootId(node));
        for index in 1..=5 {
            counted.commit(&[append(1, 1, 5 * node + index, &[b"entry"])]);
        }
        counted.count(|own| own.remember_peer(NodeId(node), store, boot));
        counted.count(|own| own.set_promise_max_ms(node));
    }
    assert_eq!((counted.commits, counted.store.peers().len()), (1 + 7 * 300, 300));
    counted.print();
}

#[test]
fn rows_of_a_whole_journal_take_no_more_than_was_asked_for() {
    let mut counted = Counted::new(|raw| raw.journal_bytes = JOURNALS[1]);
    counted.commit(&[create(1)]);
    let fill = |counted: &mut Counted, first: u64| {
        for index in first..first + 200 {
            counted.commit(&[append(1, 1, index, &[&[7; 4000]])]);
        }
    };
    fill(&mut counted, 1);
    counted.count(|own| own.set_promise_max_ms(300));
    fill(&mut counted, 201);
    counted.reopen();
    counted.print();
}
