//! Cuts the power of a store at random writes and syncs, again and again, and compares what comes
//! back with what was acknowledged: all of it is there, and of the batch in flight all or nothing.
//!
//! A failure names its seed; `POWER_CUT_SEED=n cargo test -p storage-redb --test power_cut` runs
//! that one alone.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod model;
mod workload;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use codec::{Restored, WriteBatch};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{Identity, OpenError, Store, StoreCounters, StoreError, StoreOptions};
use types::{BootId, ClusterId, NodeId, StoreId};

use model::Model;
use workload::Dice;

/// How many cuts a run has at least.
const CUTS_MIN: u64 = 5000;
/// How many cuts one disk lives through before the next seed starts with an empty one.
const CUTS_PER_DISK: u64 = 25;
/// The power goes at one of that many operations from the start on,
const OPERATIONS_MAX: u64 = 200;
/// or at one of that many syncs.
const SYNCS_MAX: u64 = 20;

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

/// What happened, to see that the test tests what it says.
#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    cuts: u64,
    cuts_in_recovery: u64,
    cuts_in_creation: u64,
    clean_reopens: u64,
    lost_in_flight: u64,
    kept_in_flight: u64,
    acknowledged: u64,
    store: StoreCounters,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.cuts += other.cuts;
        self.cuts_in_recovery += other.cuts_in_recovery;
        self.cuts_in_creation += other.cuts_in_creation;
        self.clean_reopens += other.clean_reopens;
        self.lost_in_flight += other.lost_in_flight;
        self.kept_in_flight += other.kept_in_flight;
        self.acknowledged += other.acknowledged;
        self.add_store(other.store);
    }

    fn add_store(&mut self, store: StoreCounters) {
        self.store.commits += store.commits;
        self.store.records_written += store.records_written;
        self.store.record_bytes_written += store.record_bytes_written;
        self.store.records_deleted += store.records_deleted;
        self.store.runs_moved += store.runs_moved;
        self.store.checkpoints_written += store.checkpoints_written;
        self.store.checkpoint_bytes_written += store.checkpoint_bytes_written;
        self.store.pages_deleted += store.pages_deleted;
    }

    fn assert_everything_happened(&self) {
        let per_cut = |count: u64| count as f64 / self.cuts as f64;
        assert!(self.cuts_in_creation > 10 && self.clean_reopens > 10, "{self:?}");
        assert!(per_cut(self.cuts_in_recovery) > 0.1, "{self:?}");
        assert!(per_cut(self.lost_in_flight) > 0.1, "{self:?}");
        assert!(per_cut(self.kept_in_flight) > 0.02, "{self:?}");
        assert!(per_cut(self.acknowledged) > 2.0, "{self:?}");
        assert!(per_cut(self.store.records_deleted) > 0.5, "{self:?}");
        assert!(per_cut(self.store.runs_moved) > 0.1, "{self:?}");
        assert!(per_cut(self.store.checkpoints_written) > 0.5, "{self:?}");
        assert!(per_cut(self.store.pages_deleted) > 0.1, "{self:?}");
    }
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

    /// Works until the power goes.
    fn live(&mut self, mut store: Store) {
        if self.dice.once_in(2) {
            self.disk.cut_power_in(self.dice.below(OPERATIONS_MAX));
        } else {
            self.disk.cut_power_in_syncs(self.dice.below(SYNCS_MAX));
        }
        while !self.disk.is_dark() {
            if self.dice.once_in(12) {
                self.seen.add_store(store.counters());
                drop(store);
                if self.disk.is_dark() {
                    break;
                }
                let Ok((reopened, restored)) = self.open() else { break };
                store = reopened;
                self.check(&mut store, &restored).unwrap_or_else(|what| {
                    panic!("seed {}, reopened after a clean end: {what}", self.seed)
                });
                self.seen.clean_reopens += 1;
            }
            let done = self.step(&mut store);
            match (done, self.in_flight.take()) {
                (Ok(()), Some(model)) => {
                    self.model = model;
                    self.seen.acknowledged += 1;
                }
                (Ok(()), None) => {}
                (Err(StoreError::Disk { .. }), in_flight) => {
                    assert!(self.disk.is_dark(), "seed {}: an error without a cause", self.seed);
                    self.in_flight = in_flight;
                    let again = store.commit(&[]);
                    assert!(matches!(again, Err(StoreError::Poisoned { .. })));
                    self.seen.add_store(store.counters());
                    break;
                }
                (Err(error), _) => panic!("seed {}: {error}", self.seed),
            }
        }
        self.seen.cuts += 1;
    }

    /// One call or two; whatever it makes durable is in `in_flight` when it is called.
    fn step(&mut self, store: &mut Store) -> Result<(), StoreError> {
        let mut next = self.model.clone();
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
        self.in_flight = Some(next);
        store.commit(&batches)
    }

    /// Puts the power back, and cuts it again while the store recovers, until it is open.
    fn recover(&mut self) -> Store {
        loop {
            self.disk = self.disk.restart(self.dice.next());
            if self.dice.once_in(3) {
                self.disk.cut_power_in(self.dice.below(12));
            }
            let opened = self.open();
            if self.disk.is_dark() {
                drop(opened);
                self.seen.cuts += 1;
                self.seen.cuts_in_recovery += 1;
                continue;
            }
            self.disk.keep_power();
            let (mut store, restored) = opened.unwrap_or_else(|error| {
                panic!("seed {}: the store does not open: {error}", self.seed)
            });
            self.settle(&mut store, &restored);
            return store;
        }
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

    fn open(&mut self) -> Result<(Store, Vec<Restored>), OpenError> {
        let cluster = ClusterId::new("test").unwrap();
        let identity = Identity { cluster, node: NodeId(1) };
        if self.dice.once_in(4) {
            self.options = workload::options(&mut self.dice);
        }
        let opened = Store::open_backend(self.disk.clone(), &identity, self.options)?;
        assert!(opened.0.boot_id() > self.boot, "seed {}: the boot id does not rise", self.seed);
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
        model.settle_releases(restored);
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
        Ok(())
    }
}
