//! Damage at rest: what the disk holds is not what was written. Refused when a store is opened, an
//! error that names its place when it is met later, and never anything else.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod common;

use std::collections::BTreeMap;

use bytes::BytesMut;
use codec::{Checkpoint, CheckpointState, PageWriter, Restored, Sequence};
use common::{
    append, batch, configuration, create, fetch, hard_state, id, open_with, options, request,
};
use raft_core::{EntryRun, HardState};
use redb::{Builder, ReadableTable, Table, TableDefinition};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{CommitPhases, FetchRequest, OpenError, ReadError, Store, StoreOptions};
use types::{BootId, Generation, GroupId, LogIndex, NodeId, ReplicaId, StoreId};

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const CHECKPOINTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("checkpoints");

/// A store with many large records of two groups, much more than redb keeps in memory.
fn large_store() -> (SimDisk, Store) {
    let disk = SimDisk::new();
    let limits = options(|raw| raw.record_cache_bytes = 0);
    let (mut store, _) = open_with(&disk, limits).unwrap();
    store.commit(&batch(&[create(1), create(2)])).unwrap();
    for index in 1..=200 {
        let items = [append(1, 1, index, &[&large(index)]), append(2, 1, index, &[b"small"])];
        store.commit(&batch(&items)).unwrap();
    }
    (disk, store)
}

fn large(index: u64) -> Vec<u8> {
    index.to_le_bytes().repeat(2500)
}

/// Where on the disk the large entry of that index lies.
fn find_large(disk: &SimDisk, index: u64) -> usize {
    let image = disk.image();
    let payload = large(index);
    let found: Vec<_> =
        (0..image.len()).step_by(4).filter(|at| image[*at..].starts_with(&payload)).collect();
    assert_eq!(found.len(), 1, "the entry lies in one place, at a multiple of four bytes");
    found[0]
}

#[test]
fn a_record_damaged_while_open_names_group_index_and_record() {
    let (disk, mut store) = large_store();
    disk.flip_bit(find_large(&disk, 20) + 10_000, 3);
    let reader = store.reader();
    for index in 1..=200 {
        let answers = reader.fetch(&[request(1, index, index), request(2, index, index)]);
        assert!(answers[1].is_ok(), "the other group's entry in that record is whole");
        match &answers[0] {
            Err(ReadError::Damaged { group, index: at, sequence, what }) if index == 20 => {
                // The first record made the groups.
                assert_eq!((*group, *at, *sequence), (GroupId(1), LogIndex(20), 21));
                assert!(what.contains("checksum"), "{what}");
            }
            other => assert!(other.is_ok() && index != 20, "index {index}: {other:?}"),
        }
    }
    store.commit(&batch(&[append(2, 1, 201, &[b"others go on"])])).unwrap();
    drop((store, reader));
    let error = open_with(&disk, options(|_| {})).unwrap_err().to_string();
    assert!(error.contains("backend is damaged"), "{error}");
    assert!(error.contains("Keep a copy"), "{error}");
}

#[test]
fn a_record_in_the_place_of_another_is_damage() {
    let (disk, store) = large_store();
    // Each record whole, with its checksums, under the other's number.
    let before_payload = 60;
    let start = |index| find_large(&disk, index) - before_payload;
    let (one, other) = (start(20), start(40));
    assert_eq!(&disk.image()[one..one + 3], b"MRL");
    disk.swap(one, other, 20_200);
    let reader = store.reader();
    for index in 1..=200 {
        let answer = fetch(&reader, request(1, index, index));
        let is_damaged = matches!(answer, Err(ReadError::Damaged { .. }));
        assert_eq!(is_damaged, index == 20 || index == 40, "index {index}: {answer:?}");
    }
}

/// A store whose group 1 has a checkpoint that speaks of entries 2 to 4, each in a record of its own;
/// the first one was released. Record 1 makes the group.
fn store_with_checkpoint() -> SimDisk {
    let disk = SimDisk::new();
    let (mut store, _) = open_with(&disk, options(|_| {})).unwrap();
    store.commit(&batch(&[create(1)])).unwrap();
    for index in 1..=4 {
        store.commit(&batch(&[append(1, 1, index, &[b"entry"])])).unwrap();
    }
    store.release(GroupId(1), id(1, 1), configuration(3)).unwrap();
    while store.counters().checkpoints_written == 0 {
        let before = store.counters();
        store.commit(&[]).unwrap();
        assert_ne!(store.counters(), before, "an idle store writes checkpoints");
    }
    drop(store);
    disk
}

/// Changes a table behind the store's back, with all that redb does to make it right for redb; returns
/// what the store says to it.
fn tamper(
    disk: &SimDisk,
    table: TableDefinition<'_, u64, &'static [u8]>,
    change: impl FnOnce(&mut Table<'_, u64, &'static [u8]>),
) -> String {
    let database = Builder::new().create_with_backend(disk.clone()).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&mut transaction.open_table(table).unwrap());
    transaction.commit().unwrap();
    drop(database);
    let image = disk.image();
    let error = open_with(disk, options(|_| {})).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(disk.image() == image, "the file is left as it is");
    error.to_string()
}

#[test]
fn a_record_that_is_gone_is_named_by_what_it_held() {
    let text = tamper(&store_with_checkpoint(), RECORDS, |records| {
        records.remove(4).unwrap();
    });
    assert!(text.contains("no record holds group 1, index 3"), "{text}");
}

#[test]
fn what_is_whole_to_redb_has_to_be_what_was_written() {
    let flip = |table: &mut Table<'_, u64, &'static [u8]>| {
        let (key, mut value) = {
            let row = table.first().unwrap().unwrap();
            (row.0.value(), row.1.value().to_vec())
        };
        *value.last_mut().unwrap() ^= 1;
        table.insert(key, &value[..]).unwrap();
    };
    let text = tamper(&store_with_checkpoint(), RECORDS, flip);
    assert!(text.contains("record checksum"), "{text}");
    let text = tamper(&store_with_checkpoint(), CHECKPOINTS, flip);
    assert!(text.contains("page checksum"), "{text}");
}

#[test]
fn a_checkpoint_that_makes_no_sense_is_damage() {
    let sane = CheckpointState {
        replica: ReplicaId(1),
        hard_state: HardState::default(),
        base: id(1, 1),
        base_configuration: configuration(3),
        last: LogIndex(4),
        terms: vec![id(1, 2)],
    };
    let ends_early = CheckpointState { last: LogIndex(0), terms: Vec::new(), ..sane.clone() };
    let no_term = CheckpointState { terms: Vec::new(), ..sane.clone() };
    let falling = CheckpointState { terms: vec![id(2, 2), id(1, 3)], ..sane.clone() };
    for states in [vec![ends_early], vec![no_term], vec![falling], vec![sane.clone(), sane]] {
        let text = tamper(&store_with_checkpoint(), CHECKPOINTS, |checkpoints| {
            let mut page = PageWriter::new(1000, BytesMut::new());
            for state in &states {
                let (group, generation, upto) = (GroupId(1), Generation(1), Sequence(5));
                page.push(&Checkpoint { group, generation, upto, state: Some(state.clone()) });
            }
            checkpoints.insert(1000, &page.finish()[..]).unwrap();
        });
        let expected = "checkpoint page 1000: the checkpoint of group 1 makes no sense";
        assert!(text.contains(expected), "{states:?}: {text}");
    }
}

#[test]
fn a_page_that_makes_no_sense_to_redb_is_damage_to_its_record_alone() {
    let (disk, store) = large_store();
    drop(store);
    let image = disk.image();
    let page = find_large(&disk, 20) / PAGE * PAGE;
    let mut damaged = 0;
    // What redb notes at the start of a page: what it is, how many rows, and where they end.
    for bit in 0..32 * 8 {
        let disk = SimDisk::from_image(image.clone());
        let (store, _) = open_with(&disk, options(|raw| raw.record_cache_bytes = 0)).unwrap();
        disk.flip_bit(page + bit / 8, u32::try_from(bit % 8).unwrap());
        let requests: Vec<_> = (15..25).map(|index| request(1, index, index)).collect();
        for (index, answer) in (15..25).zip(store.reader().fetch(&requests)) {
            match answer {
                Ok(runs) => assert_eq!(common::payloads(&runs), [large(index)], "bit {bit}"),
                Err(ReadError::Damaged { group, index: at, sequence, .. }) => {
                    assert_eq!((group, at, sequence), (GroupId(1), LogIndex(20), 21), "bit {bit}");
                    assert_eq!(index, 20);
                    damaged += 1;
                }
                Err(error) => panic!("bit {bit}, index {index}: {error}"),
            }
        }
    }
    assert!(damaged > 100, "{damaged}");
}

/// Everything that a store says it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Content {
    restored: Vec<Restored>,
    entries: Vec<Vec<EntryRun>>,
    promise_max_ms: u64,
    peers: BTreeMap<NodeId, (StoreId, BootId)>,
}

impl Content {
    fn of(store: &Store, restored: Vec<Restored>) -> Self {
        let entries = restored.iter().filter(|group| group.replica.base.index < group.replica.last);
        let requests: Vec<_> = entries
            .map(|group| FetchRequest {
                group: group.group,
                first: group.replica.base.index.next(),
                last: group.replica.last,
                bytes_max: usize::MAX,
            })
            .collect();
        let entries = store.reader().fetch(&requests).into_iter().map(Result::unwrap).collect();
        let (promise_max_ms, peers) = (store.promise_max_ms(), store.peers().clone());
        Self { restored, entries, promise_max_ms, peers }
    }
}

/// A file with everything in it that there can be: records large and small, enough of them for
/// branches, moved entries, checkpoints, and what the node knows of itself.
struct Specimen {
    way: Way,
    image: Vec<u8>,
    /// The same without the last commit.
    image_before: Vec<u8>,
    /// Acknowledged, and the same without the last commit.
    content: Content,
    before: Content,
}

impl Specimen {
    /// One that ended in the middle of its work, right after an acknowledged commit.
    fn left_open(way: Way) -> Self {
        let (disk, mut store) = Self::make(way);
        let before = SimDisk::from_image(disk.image());
        store.commit(&batch(&[append(2, 1, 301, &[b"the last commit"])])).unwrap();
        Self::new(way, disk.image(), &before)
    }

    /// One that ended in good order.
    fn closed(way: Way) -> Self {
        let (disk, store) = Self::make(way);
        drop(store);
        Self::new(way, disk.image(), &disk)
    }

    fn make(way: Way) -> (SimDisk, Store) {
        let disk = SimDisk::new();
        let (mut store, _) = open_with(&disk, Self::options(way)).unwrap();
        store
            .commit(&batch(&[create(1), create(2), create(3), hard_state(3, 4, Some(2))]))
            .unwrap();
        for index in 1..=300 {
            let large = vec![7; if index % 50 == 0 { 20_000 } else { 700 }];
            let items = [append(1, 1, index, &[&large]), append(2, 1, index, &[b"small"])];
            store.commit(&batch(&items)).unwrap();
            if index > 160 {
                store.release(GroupId(1), id(1, index - 160), configuration(3)).unwrap();
            }
            // Whoever is idle now and then has checkpoints written, and old ones deleted.
            if index % 40 == 0 {
                store.commit(&[]).unwrap();
            }
        }
        store.remember_peer(NodeId(2), StoreId(22), BootId(3)).unwrap();
        store.set_promise_max_ms(1500).unwrap();
        let counters = store.counters();
        assert!(counters.runs_moved > 0 && counters.pages_deleted > 0, "{counters:?}");
        (disk, store)
    }

    fn options(way: Way) -> StoreOptions {
        options(|raw| {
            match way {
                Way::Rows(phases) => raw.commit_phases = phases,
                Way::Journal => raw.journal_bytes = 64 << 10,
            }
            raw.pinned_bytes_max = 0;
            raw.sparse_bytes_max = 0;
        })
    }

    fn new(way: Way, image: Vec<u8>, before: &SimDisk) -> Self {
        let content = |disk: &SimDisk| {
            let (store, restored) = open_with(disk, Self::options(way)).unwrap();
            Content::of(&store, restored)
        };
        let now = content(&SimDisk::from_image(image.clone()));
        let image_before = before.image();
        Self { way, image, image_before, content: now, before: content(before) }
    }

    /// How far the file is in use; the rest is zeros.
    fn used(&self) -> usize {
        self.image.iter().rposition(|byte| *byte != 0).unwrap() + 1
    }

    /// The pages that hold anything.
    fn pages(&self) -> Vec<usize> {
        let is_used = |at: &usize| self.image[*at..at + PAGE].iter().any(|byte| *byte != 0);
        (0..self.used()).step_by(PAGE).filter(is_used).collect()
    }

    /// Opens a copy that was damaged.
    fn open(&self, damage: impl FnOnce(&SimDisk)) -> Outcome {
        let disk = SimDisk::from_image(self.image.clone());
        damage(&disk);
        let before = disk.image();
        match open_with(&disk, Self::options(self.way)) {
            Ok((store, restored)) => {
                let content = Content::of(&store, restored);
                if content == self.content {
                    Outcome::Whole
                } else if content == self.before {
                    Outcome::LastCommitGone
                } else {
                    panic!("neither what was acknowledged nor what was before: {content:?}")
                }
            }
            Err(error @ OpenError::Damaged { .. }) => {
                let text = error.to_string();
                assert!(
                    text.contains("backend is damaged") && text.contains("Keep a copy"),
                    "{text}"
                );
                assert!(disk.image() == before, "a file that is refused is left as it is");
                Outcome::Refused
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// How often each outcome comes about.
    fn tally(&self, damages: impl Iterator<Item = Damage>) -> Tally {
        let mut tally = Tally::default();
        for damage in damages {
            match self.open(|disk| damage.strike(disk)) {
                Outcome::Whole => tally.whole += 1,
                Outcome::Refused => tally.refused += 1,
                Outcome::LastCommitGone => tally.last_commit_gone += 1,
            }
        }
        tally
    }

    /// A few bits in every page, and more in the header, where all that leads to the others is.
    fn flips(&self) -> impl Iterator<Item = Damage> + '_ {
        let everywhere = (0..self.used()).step_by(827).filter(|at| {
            let page = at / PAGE * PAGE;
            self.image[page..page + PAGE].iter().any(|byte| *byte != 0)
        });
        let header = (0..320).step_by(3);
        everywhere.chain(header).map(|at| Damage::Flip { at, bit: u32::try_from(at % 8).unwrap() })
    }

    /// Pages in each other's places: near ones, far ones, and the header's.
    fn swaps(&self) -> impl Iterator<Item = Damage> + '_ {
        let pages = self.pages();
        let far = pages.len() / 3;
        let pairs = [1, far].into_iter().flat_map(move |distance| {
            let pages = pages.clone();
            (distance..pages.len()).map(move |number| (pages[number], pages[number - distance]))
        });
        pairs.map(|(a, b)| Damage::Swap { a, b, len: PAGE })
    }
}

/// How commits become durable.
#[derive(Clone, Copy, Debug)]
enum Way {
    Rows(CommitPhases),
    Journal,
}

/// Those that lose nothing to any damage without a word.
fn specimens() -> [Specimen; 3] {
    [
        Specimen::closed(Way::Rows(CommitPhases::One)),
        Specimen::closed(Way::Journal),
        Specimen::left_open(Way::Rows(CommitPhases::Two)),
    ]
}

/// redb's page.
const PAGE: usize = 4096;

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip { at: usize, bit: u32 },
    Swap { a: usize, b: usize, len: usize },
}

impl Damage {
    fn strike(self, disk: &SimDisk) {
        match self {
            Self::Flip { at, bit } => disk.flip_bit(at, bit),
            Self::Swap { a, b, len } => disk.swap(a, b, len),
        }
    }
}

enum Outcome {
    Whole,
    Refused,
    LastCommitGone,
}

#[derive(Default, Debug)]
struct Tally {
    whole: u64,
    refused: u64,
    last_commit_gone: u64,
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    for specimen in specimens() {
        let tally = specimen.tally(specimen.flips());
        assert!(tally.refused > 100 && tally.whole > 50, "{tally:?}");
        assert_eq!(tally.last_commit_gone, 0);
    }
}

#[test]
fn pages_in_each_others_places_are_found_or_change_nothing() {
    for specimen in specimens() {
        let tally = specimen.tally(specimen.swaps());
        assert!(tally.refused > 100, "{tally:?}");
        assert_eq!(tally.last_commit_gone, 0);
    }
}

#[test]
fn damage_to_the_very_last_commit_alone_is_found_with_two_phases_only() {
    for way in [Way::Rows(CommitPhases::One), Way::Journal] {
        let one = Specimen::left_open(way);
        let tally = one.tally(one.flips());
        assert!(tally.refused > 100 && tally.last_commit_gone > 0, "{tally:?}");
    }
    // Every place that the last commit has written to; in the journal most of that are zeros behind
    // its block.
    for (way, is_found, step) in [
        (Way::Rows(CommitPhases::One), false, 53),
        (Way::Journal, false, 1),
        (Way::Rows(CommitPhases::Two), true, 53),
    ] {
        let specimen = Specimen::left_open(way);
        let before = &specimen.image_before;
        let changed: Vec<_> = (PAGE..specimen.used().min(before.len()))
            .filter(|at| specimen.image[*at] != before[*at])
            .step_by(step)
            .collect();
        let flips = changed.iter().map(|at| Damage::Flip { at: *at, bit: 1 });
        let tally = specimen.tally(flips);
        let struck = tally.refused + tally.last_commit_gone;
        assert!(struck > 20 && (struck > tally.whole || matches!(way, Way::Journal)), "{tally:?}");
        assert_eq!((tally.refused > 0, tally.last_commit_gone > 0), (is_found, !is_found));
    }
}
