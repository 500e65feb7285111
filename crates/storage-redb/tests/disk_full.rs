//! A disk that fills up: what is refused, what still goes through, and how it goes on.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod common;

use codec::Item;
use common::{
    append, batch, configuration, create, fetch, hard_state, id, open_with, options, request,
};
use raft_core::RunBody;
use storage_redb::sim_disk::SimDisk;
use storage_redb::{OpenError, Store, StoreError, StoreOptions};
use types::{GroupId, Term};

const MIB: u64 = 1 << 20;

fn with_reserve() -> StoreOptions {
    options(|raw| raw.disk_reserve_bytes = 4 * MIB)
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
    assert!(needed > 5 * MIB && free < MIB, "{needed} {free}: the file may not even grow");
    assert_eq!((disk.counters(), disk.image()), before);
    assert!(store.disk_space().is_low);
    // Not poisoned: what takes less goes through at once, and the same once there is room.
    store.commit(&batch(&[hard_state(1, 1, None)])).unwrap();
    assert_eq!(disk.reserve_bytes(), 0, "for that the reserve was given up");
    disk.leave_free(40 * MIB);
    store.commit(&batch(&[append(1, 1, 1, &[&large])])).unwrap();
    assert_eq!(fetch(&store.reader(), request(1, 1, 1)).unwrap(), [large]);
}

#[test]
fn what_a_leader_begins_its_term_with_needs_no_room_for_commands() {
    let (disk, mut store) = store_with(0);
    store.commit(&batch(&[hard_state(1, 1, None)])).unwrap();
    disk.leave_free(MIB);
    let refused = store.commit(&batch(&[append(1, 1, 1, &[b"x"])]));
    assert!(matches!(refused, Err(StoreError::DiskFull { .. })), "{refused:?}");
    let mut first = append(1, 1, 1, &[b""]);
    let Item::Append(run) = &mut first.item else { panic!("{first:?}") };
    run.body = RunBody::TermStart;
    store.commit(&batch(&[first])).unwrap();
    assert!(store.disk_space().is_full && store.disk_space().is_low);
    disk.leave_free(40 * MIB);
    assert!(!store.look_at_disk().unwrap().is_full);
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

/// What happens to the store in the middle of the story.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Interruption {
    Nothing,
    Restart,
    PowerCut,
}

/// All interruptions, without a journal and with one.
fn stories() -> impl Iterator<Item = (Interruption, u64)> {
    let interruptions = [Interruption::Nothing, Interruption::Restart, Interruption::PowerCut];
    interruptions.into_iter().flat_map(|interruption| [(interruption, 0), (interruption, 64 << 10)])
}

/// A log on a small disk: two groups, one of which is never released.
struct Story {
    disk: SimDisk,
    store: Store,
    /// The first entry of group 1 that was not released, and the next one; all are acknowledged.
    first: u64,
    next: u64,
    /// Whether entries are small enough for the journal.
    is_journaled: bool,
}

impl Story {
    fn new(journal_bytes: u64) -> Self {
        let disk = SimDisk::new();
        disk.limit_to(28 * MIB);
        let options = options(|raw| {
            raw.disk_reserve_bytes = 4 * MIB;
            raw.journal_bytes = journal_bytes;
        });
        let (mut store, _) = open_with(&disk, options).unwrap();
        store.commit(&batch(&[create(1), create(2), append(2, 1, 1, &[b"kept"])])).unwrap();
        Self { disk, store, first: 1, next: 1, is_journaled: journal_bytes > 0 }
    }

    fn payload(&self, index: u64) -> Vec<u8> {
        let (least, step) = if self.is_journaled { (250, 225) } else { (1000, 900) };
        index.to_le_bytes().repeat(least + usize::try_from(index % 7).unwrap() * step)
    }

    fn append(&mut self) -> Result<(), StoreError> {
        let payload = self.payload(self.next);
        self.store.commit(&batch(&[append(1, 1, self.next, &[&payload])]))?;
        self.next += 1;
        Ok(())
    }

    /// Appends as long as the disk is not low, as an engine does; returns how many.
    fn fill(&mut self) -> u64 {
        let start = self.next;
        while !self.store.disk_space().is_low {
            self.append().unwrap();
        }
        self.next - start
    }

    /// Appends whatever the store says of the disk, until it refuses.
    fn overfill(&mut self) -> (u64, u64) {
        loop {
            match self.append() {
                Ok(()) => {}
                Err(StoreError::DiskFull { needed, free }) => return (needed, free),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Lets go of all but the last few, and does everything that there is to do.
    fn release(&mut self) {
        let up_to = self.next - 4;
        self.store.release(GroupId(1), id(1, up_to), configuration(3)).unwrap();
        loop {
            let commits = self.store.counters().commits;
            self.store.commit(&[]).unwrap();
            if self.store.counters().commits == commits {
                break;
            }
        }
        self.first = up_to + 1;
    }

    fn interrupt(&mut self, interruption: Interruption) {
        let disk = match interruption {
            Interruption::Nothing => return,
            Interruption::Restart => self.disk.clone(),
            Interruption::PowerCut => self.disk.restart(self.next),
        };
        // The folder is locked until the store is gone.
        let elsewhere = open_with(&SimDisk::new(), with_reserve()).unwrap().0;
        drop(std::mem::replace(&mut self.store, elsewhere));
        self.store = open_with(&disk, with_reserve()).unwrap().0;
        self.disk = disk;
    }

    fn check(&self) {
        let reader = self.store.reader();
        assert_eq!(fetch(&reader, request(2, 1, 1)).unwrap(), [b"kept"]);
        for index in self.first..self.next {
            assert_eq!(fetch(&reader, request(1, index, index)).unwrap(), [self.payload(index)]);
        }
        assert_eq!(self.disk.counters().refused_writes, 0, "no write ran into the end of the disk");
    }
}

#[test]
fn a_full_disk_is_a_pause_over_and_over() {
    for (interruption, journal_bytes) in stories() {
        let mut story = Story::new(journal_bytes);
        for round in 1..=15 {
            let filled = story.fill();
            assert!(filled > 150, "{interruption:?}, round {round}: {filled} until it was low");
            story.interrupt(interruption);
            // What is under way still goes through, and so does a change of the hard state.
            for _ in 0..20 {
                story.append().unwrap();
            }
            story.store.commit(&batch(&[hard_state(1, round, None)])).unwrap();
            assert!(story.store.disk_space().is_low);
            story.check();
            story.release();
            assert!(!story.store.look_at_disk().unwrap().is_low, "{:?}", story.store.disk_space());
            story.interrupt(interruption);
            assert!(!story.store.disk_space().is_low, "{:?}", story.store.disk_space());
            story.check();
        }
    }
}

#[test]
fn whoever_goes_on_until_he_is_refused_is_refused_in_time() {
    for (interruption, journal_bytes) in stories() {
        let mut story = Story::new(journal_bytes);
        for round in 1..=15 {
            let (needed, free) = story.overfill();
            let state = format!("{interruption:?}, round {round}: {needed} {free}");
            assert!(needed > free && story.store.disk_space().is_low, "{state}");
            story.check();
            story.interrupt(interruption);
            story.check();
            story.release();
            story.check();
            assert!(!story.store.look_at_disk().unwrap().is_low, "{state}");
        }
    }
}

#[test]
fn a_store_on_a_full_disk_opens_by_giving_up_the_reserve() {
    let (disk, store) = store_with(0);
    drop(store);
    let (mut store, restored) = open_with(&disk, with_reserve()).unwrap();
    assert_eq!((restored.len(), disk.reserve_bytes()), (1, 0));
    assert!(store.disk_space().is_low);
    store.commit(&batch(&[hard_state(1, 7, None)])).unwrap();
    drop(store);
    // With the reserve gone and no room at all there is no way but to say so.
    disk.leave_free(0);
    let error = open_with(&disk, with_reserve()).unwrap_err();
    let OpenError::DiskFull { needed, free: 0, .. } = error else { panic!("{error}") };
    assert!(error.to_string().contains("needed to open the log"), "{error}");
    disk.leave_free(needed);
    let (store, restored) = open_with(&disk, with_reserve()).unwrap();
    assert_eq!(restored[0].replica.hard_state.term, Term(7));
    assert_eq!(store.disk_space().reserve_bytes, 0);
    assert_eq!(disk.counters().refused_writes, 0);
}

#[test]
fn the_reserve_comes_back_with_the_room_and_an_idle_owner_notices() {
    let (disk, mut store) = store_with(0);
    store.commit(&batch(&[hard_state(1, 1, None)])).unwrap();
    assert_eq!((disk.reserve_bytes(), store.disk_space().is_low), (0, true));
    disk.leave_free(16 * MIB);
    assert!(store.disk_space().is_low, "as of the last look");
    let space = store.look_at_disk().unwrap();
    assert_eq!((space.reserve_bytes, space.is_low), (4 * MIB, false));
    assert_eq!(disk.reserve_bytes(), 4 * MIB);
    assert_eq!(store.disk_space(), space);
}

#[test]
fn a_journal_is_no_room_within_the_file() {
    let disk = SimDisk::new();
    let limits = options(|raw| {
        raw.disk_reserve_bytes = 4 * MIB;
        raw.journal_bytes = 32 * MIB;
    });
    let (mut store, _) = open_with(&disk, limits).unwrap();
    assert!(!store.look_at_disk().unwrap().is_low);
    // Enough for the reserve, and for a file that does not grow.
    disk.leave_free(8 * MIB);
    assert!(store.look_at_disk().unwrap().is_low, "{:?}", store.disk_space());
}

#[test]
fn a_write_that_finds_the_disk_full_all_the_same_is_a_failed_disk() {
    // Nobody asks for room with no reserve wanted: so this write meets what another program does
    // between asking and writing.
    let disk = SimDisk::new();
    let (mut store, _) = open_with(&disk, options(|raw| raw.disk_reserve_bytes = 0)).unwrap();
    store.commit(&batch(&[create(1)])).unwrap();
    disk.leave_free(0);
    let failed = store.commit(&batch(&[append(1, 1, 1, &[&[7; 100_000]])]));
    assert!(matches!(failed, Err(StoreError::Disk { .. })), "{failed:?}");
    disk.unlimit();
    let poisoned = store.commit(&batch(&[append(1, 1, 1, &[b"no"])]));
    assert!(matches!(poisoned, Err(StoreError::Poisoned { .. })), "{poisoned:?}");
}

#[test]
fn a_disk_that_does_not_say_how_much_room_it_has_is_a_failed_disk() {
    let (disk, mut store) = store_with(10 * MIB);
    disk.fail_look_in(0);
    let failed = store.look_at_disk();
    assert!(matches!(failed, Err(StoreError::Disk { .. })), "{failed:?}");
    let text = failed.unwrap_err().to_string();
    assert!(text.contains("cannot find room for the log"), "{text}");
    assert!(matches!(store.look_at_disk(), Err(StoreError::Poisoned { .. })));
    assert!(matches!(store.commit(&[]), Err(StoreError::Poisoned { .. })));
}
