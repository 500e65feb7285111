//! Ends a store at random writes and syncs, again and again: by cutting the power, by killing the
//! process, by a disk that fails, on disks that are full and on others; and compares what comes
//! back with what was acknowledged: all of it is there, and of the batch in flight all or nothing.
//!
//! A failure names its seed; `POWER_CUT_SEED=n cargo test -p storage-redb --test power_cut` runs
//! that one alone.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod model;
mod seen;
mod workload;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use codec::{Restored, WriteBatch};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{CommitPhases, Identity, OpenError, Store, StoreError, StoreOptions};
use types::{BootId, ClusterId, NodeId, StoreId};

use model::Model;
use seen::{Kinds, Seen};
use workload::Dice;

/// How many cuts a run has at least.
const CUTS_MIN: u64 = 20_000;
/// How many cuts one disk lives through before the next seed starts with an empty one.
const CUTS_PER_DISK: u64 = 25;
/// The power goes at one of that many operations from the start on,
const OPERATIONS_MAX: u64 = 200;
/// or at one of that many syncs.
const SYNCS_MAX: u64 = 20;
/// An opening takes about that many operations.
const OPERATIONS_OF_AN_OPENING: u64 = 24;
/// About as much as the reserve: some commits find room for a while, others none.
const NEARLY_FULL_BYTES: u64 = 6_000_000;

#[test]
fn nothing_acknowledged_is_lost_and_no_batch_is_half_there() {
    if let Ok(seed) = std::env::var("POWER_CUT_SEED") {
        let story = Story::run(seed.parse().expect("POWER_CUT_SEED is a number"));
        println!("{:?}", story.seen);
        return;
    }
    let (next_seed, cuts) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        let mut seen = Seen::default();
        while cuts.load(Ordering::Relaxed) < CUTS_MIN {
            let story = Story::run(next_seed.fetch_add(1, Ordering::Relaxed));
            cuts.fetch_add(story.seen.cuts, Ordering::Relaxed);
            seen.add(&story.seen);
        }
        seen
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut seen = Seen::default();
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in running {
            seen.add(&thread.join().expect("a seed has failed, its message is above"));
        }
    });
    println!("{seen:?}");
    seen.assert_everything_happened();
}

/// One disk, from its creation through many cuts.
struct Story {
    seed: u64,
    dice: Dice,
    disk: SimDisk,
    options: StoreOptions,
    /// What was acknowledged.
    model: Model,
    /// What may be there instead: the same with what was in flight when the power went.
    in_flight: Option<Model>,
    /// The items of the last commit.
    kinds: Kinds,
    store_id: Option<StoreId>,
    boot: BootId,
    seen: Seen,
}

impl Story {
    fn run(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let options = workload::options(&mut dice);
        let mut story = Self {
            seed,
            dice,
            disk: SimDisk::new(),
            options,
            model: Model::default(),
            in_flight: None,
            kinds: Kinds::default(),
            store_id: None,
            boot: BootId(0),
            seen: Seen::default(),
        };
        let mut store = story.create();
        while story.seen.cuts < CUTS_PER_DISK {
            story.live(store);
            store = story.recover();
        }
        story
    }

    /// Makes the store; a disk on which that was cut short is not used again, as a file that has
    /// not got its name yet is not.
    fn create(&mut self) -> Store {
        loop {
            self.disk = SimDisk::new();
            if self.dice.once_in(2) {
                self.disk.cut_power_in(self.dice.below(15));
            }
            match self.open() {
                Ok((store, restored)) => {
                    assert!(store.is_new() && restored.is_empty(), "seed {}", self.seed);
                    self.disk.keep_power();
                    self.store_id = Some(store.store_id());
                    return store;
                }
                Err(error) => {
                    assert!(self.disk.is_dark(), "seed {}: {error}", self.seed);
                    self.seen.cuts += 1;
                    self.seen.cuts_in_creation += 1;
                }
            }
        }
    }

    /// Works until the end.
    fn live(&mut self, mut store: Store) {
        let mut is_to_fail = self.plan_the_end();
        let mut is_low = false;
        while !self.disk.is_dark() {
            if self.dice.once_in(12) {
                self.seen.add_store(store.counters());
                drop(store);
                let Ok((reopened, restored)) = self.open_again(is_to_fail) else { break };
                store = reopened;
                self.check(&mut store, &restored).unwrap_or_else(|what| {
                    panic!("seed {}, reopened after a clean end: {what}", self.seed)
                });
                self.seen.clean_reopens += 1;
                // A failure may have struck when the store was dropped, which nobody hears of.
                self.disk.keep_power();
                is_to_fail = self.plan_the_end();
            }
            if self.dice.once_in(8) {
                self.fill_or_empty();
            }
            let reserve = self.disk.reserve_bytes();
            let before = (self.disk.counters().bytes_written, store.counters().room_bytes_asked);
            let done = self.step(&mut store);
            is_low = store.disk_space().is_low;
            let written = self.disk.counters().bytes_written - before.0;
            let asked = store.counters().room_bytes_asked - before.1;
            assert!(written <= asked, "seed {}: {written} bytes of {asked}", self.seed);
            self.seen.reserves_given_up += u64::from(self.disk.reserve_bytes() < reserve);
            self.seen.reserves_made_again += u64::from(self.disk.reserve_bytes() > reserve);
            match (done, self.in_flight.take()) {
                (Ok(()), Some(model)) => self.acknowledge(model),
                (Ok(()), None) => {}
                (Err(StoreError::DiskFull { needed, free }), _) => {
                    assert!(needed > free && is_low, "seed {}: {needed} {free}", self.seed);
                    self.seen.refused_commits += 1;
                }
                (Err(StoreError::Disk { source, .. }), in_flight) => {
                    let has_cause = self.disk.is_dark() || is_to_fail;
                    assert!(has_cause, "seed {}: {source}", self.seed);
                    self.in_flight = in_flight;
                    self.seen.items_in_flight.add(&self.kinds);
                    let again = store.commit(&[]);
                    assert!(matches!(again, Err(StoreError::Poisoned { .. })));
                    self.seen.add_store(store.counters());
                    self.seen.failed_disks += u64::from(!self.disk.is_dark());
                    break;
                }
                (Err(error), _) => panic!("seed {}: {error}", self.seed),
            }
        }
        self.seen.cuts += 1;
        self.seen.cuts_on_a_full_disk += u64::from(is_low);
    }

    /// Decides when and how it ends; returns whether the disk is to fail rather than to go dark.
    fn plan_the_end(&mut self) -> bool {
        let end = self.dice.below(8);
        match end {
            0..4 => self.disk.cut_power_in(self.dice.below(OPERATIONS_MAX)),
            4..6 => self.disk.cut_power_in_syncs(self.dice.below(SYNCS_MAX)),
            6 => self.disk.fail_write_in(self.dice.below(OPERATIONS_MAX)),
            _ => self.disk.fail_sync_in(self.dice.below(SYNCS_MAX)),
        }
        end >= 6
    }

    fn acknowledge(&mut self, model: Model) {
        self.model = model;
        self.seen.acknowledged += 1;
        let two = self.options.raw().commit_phases == CommitPhases::Two;
        self.seen.acknowledged_in_two_phases += u64::from(two);
        self.seen.acknowledged_items.add(&self.kinds);
    }

    /// Others take room on the disk, or make some.
    fn fill_or_empty(&mut self) {
        if self.options.raw().disk_reserve_bytes == 0 {
            // Nobody would ask: a full disk is a failed disk then.
            self.disk.unlimit();
        } else if self.dice.once_in(2) {
            self.disk.leave_free(self.dice.below(NEARLY_FULL_BYTES));
        } else {
            self.disk.leave_free(self.dice.below(3) * 20_000_000);
        }
    }

    /// One call or two; whatever it makes durable is in `in_flight` when it is called.
    fn step(&mut self, store: &mut Store) -> Result<(), StoreError> {
        let mut next = self.model.clone();
        self.kinds = Kinds::default();
        match self.dice.below(16) {
            0 => {
                next.promise_max_ms = self.dice.below(1000);
                let promise = next.promise_max_ms;
                self.in_flight = Some(next);
                return store.set_promise_max_ms(promise);
            }
            1 => {
                let node = NodeId(self.dice.below(4));
                let known = (StoreId(u128::from(self.dice.next())), BootId(self.dice.below(9)));
                next.peers.insert(node, known);
                self.in_flight = Some(next);
                return store.remember_peer(node, known.0, known.1);
            }
            2 => return store.commit(&[]),
            _ => {}
        }
        for _ in 0..self.dice.below(4) {
            let Some((group, up_to, configuration)) = workload::release(&mut self.dice, &next)
            else {
                continue;
            };
            store.release(group, up_to, configuration.clone())?;
            // From now on it may be gone, whatever becomes of the batch.
            self.model.release(group, up_to, configuration.clone());
            next.release(group, up_to, configuration);
        }
        let batches = workload::batches(&mut self.dice, &mut next);
        self.kinds = Kinds::of(&batches);
        self.in_flight = Some(next);
        store.commit(&batches)
    }

    /// Puts the power back, and cuts it again while the store recovers, until it is open.
    fn recover(&mut self) -> Store {
        for recovery in 0.. {
            self.disk = if self.dice.once_in(4) {
                self.seen.kills += 1;
                self.disk.survive_kill()
            } else {
                self.disk.restart(self.dice.next())
            };
            if self.dice.once_in(3) {
                self.disk.cut_power_in(self.dice.below(OPERATIONS_OF_AN_OPENING));
            }
            let opened = self.open_again(false);
            if self.disk.is_dark() {
                drop(opened);
                self.seen.cuts += 1;
                self.seen.cuts_in_recovery += 1;
                self.seen.cuts_in_second_recovery += u64::from(recovery > 0);
                continue;
            }
            self.disk.keep_power();
            let Ok((mut store, restored)) = opened else { unreachable!("the disk is not dark") };
            self.settle(&mut store, &restored);
            return store;
        }
        unreachable!("the power stays on some time")
    }

    /// Finds out whether what was in flight is there.
    fn settle(&mut self, store: &mut Store, restored: &[Restored]) {
        let Err(what) = self.check(store, restored) else {
            self.seen.lost_in_flight += u64::from(self.in_flight.take().is_some());
            return;
        };
        let Some(in_flight) = self.in_flight.take() else {
            panic!("seed {}: acknowledged, but lost: {what}", self.seed)
        };
        self.model = in_flight;
        self.seen.kept_in_flight += 1;
        if let Err(other) = self.check(store, restored) {
            panic!("seed {}: neither before ({what}) nor after ({other})", self.seed);
        }
    }

    /// Opens the store where there is one; should the disk be too full for that, with more room.
    fn open_again(&mut self, is_to_fail: bool) -> Result<(Store, Vec<Restored>), OpenError> {
        loop {
            match self.open() {
                Err(OpenError::DiskFull { .. }) => {
                    self.seen.refused_openings += 1;
                    self.disk.unlimit();
                }
                Err(error) => {
                    let has_cause = self.disk.is_dark() || is_to_fail;
                    assert!(has_cause, "seed {}: the store does not open: {error}", self.seed);
                    return Err(error);
                }
                Ok(opened) => return Ok(opened),
            }
        }
    }

    fn open(&mut self) -> Result<(Store, Vec<Restored>), OpenError> {
        let cluster = ClusterId::new("test").unwrap();
        let identity = Identity { cluster, node: NodeId(1) };
        if self.dice.once_in(4) {
            self.options = workload::options(&mut self.dice);
        }
        if self.options.raw().disk_reserve_bytes == 0 {
            self.disk.unlimit();
        }
        let opened = Store::open_backend(self.disk.clone(), &identity, self.options)?;
        assert!(opened.0.boot_id() > self.boot, "seed {}: the boot id does not rise", self.seed);
        assert_eq!(self.disk.counters().refused_writes, 0, "seed {}", self.seed);
        self.boot = opened.0.boot_id();
        Ok(opened)
    }

    /// Compares a store just opened with the model.
    fn check(&mut self, store: &mut Store, restored: &[Restored]) -> Result<(), String> {
        assert_eq!(self.store_id, Some(store.store_id()), "seed {}", self.seed);
        if store.promise_max_ms() != self.model.promise_max_ms {
            return Err(format!("promise_max_ms is {}", store.promise_max_ms()));
        }
        if *store.peers() != self.model.peers {
            return Err(format!("peers are {:?}", store.peers()));
        }
        let mut model = self.model.clone();
        let releases_taken = model.settle_releases(restored);
        let wanted = model.restored();
        if let Some((found, wanted)) = restored.iter().zip(&wanted).find(|(f, w)| f != w) {
            return Err(format!("found {found:?}, expected {wanted:?}"));
        }
        if restored.len() != wanted.len() {
            return Err(format!("{} groups, expected {}", restored.len(), wanted.len()));
        }
        let bytes_max = [1, 500, 1 << 20][usize::try_from(self.dice.below(3)).unwrap()];
        model.compare_entries(&store.reader(), bytes_max)?;
        for removed in model.removed() {
            let refused = store.commit(&[WriteBatch { items: vec![removed.clone()] }]);
            if !matches!(refused, Err(StoreError::Misuse(_))) {
                return Err(format!("{removed:?} was here before: {refused:?}"));
            }
        }
        self.model = model;
        self.seen.releases_taken += releases_taken;
        Ok(())
    }
}
