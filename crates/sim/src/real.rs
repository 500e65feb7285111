//! storage-redb on a disk that is simulated: what a node writes goes there too, and what comes back
//! after a crash is compared with what must.
//!
//! Invariants: a commit that the store reported is found by the next opening, whole; one that was cut
//! off is found whole or not at all. Damage at rest is refused or does no harm: whoever opens a
//! damaged store gets an error, or exactly what was committed.

use codec::{Restored, WriteBatch};
use raft_core::{EntryRun, Fetch, FetchError};
use storage_redb::sim_disk::SimDisk;
use storage_redb::{
    CommitPhases, DiskSpace, FetchRequest, Identity, OpenError, RawStoreOptions, ReadError, Room,
    Store, StoreError, StoreOptions,
};
use types::{ClusterId, GroupId, NodeId};

use crate::disk::Refused;
use crate::random::Random;
use crate::room::{Found, Room as Left};

/// How much a store keeps back of a disk that is to be full now and then.
const RESERVE_BYTES: u64 = 4 << 20;
/// How many empty places are passed over before one is damaged.
const EMPTY_PLACES_MAX: u32 = 64;

/// How a store comes to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// Power is lost, perhaps amid a commit.
    Power,
    /// The process dies, and the system keeps what it was handed.
    Kill,
    /// The process ends as it should.
    Clean,
}

/// The fate of the commit that was under way in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LastCommit {
    /// There was none, or it never reached the disk.
    Absent,
    /// It is there.
    Present,
    /// Whether it is there only the next opening tells.
    Unknown,
}

/// A node's store and the disk below it.
#[derive(Debug)]
pub(crate) struct RealDisk {
    identity: Identity,
    options: StoreOptions,
    disk: SimDisk,
    store: Option<Store>,
    random: Random,
}

impl RealDisk {
    /// An empty disk; one that is to be full now and then keeps as small a reserve as it may.
    pub(crate) fn new(node: u64, seed: u64, is_tiny: bool, may_be_full: bool) -> Self {
        let cluster = ClusterId::new("sim").expect("a legal name");
        let mut raw = RawStoreOptions { page_cache_bytes: 1 << 20, ..RawStoreOptions::default() };
        if is_tiny {
            raw.record_cache_bytes = 0;
            raw.record_bytes_max = 4 << 10;
            raw.pinned_bytes_max = 8 << 10;
            raw.sparse_bytes_max = 8 << 10;
            raw.checkpoint_page_bytes_max = 512;
            raw.superseded_checkpoints_max = 4;
        }
        if may_be_full {
            raw.disk_reserve_bytes = RESERVE_BYTES;
        }
        let mut random = Random::stream(seed, 1_000 + node);
        if random.one_in(3) {
            raw.commit_phases = CommitPhases::Two;
        }
        // So small that it is full all the time.
        raw.journal_bytes = if random.one_in(4) { 0 } else { 64 << 10 };
        Self {
            identity: Identity { cluster, node: NodeId(node) },
            options: StoreOptions::new(raw).expect("legal limits"),
            disk: SimDisk::new(),
            store: None,
            random,
        }
    }

    /// Opens the store; the error is the one that its operator would read.
    pub(crate) fn open(&mut self) -> Result<Vec<Restored>, Refused> {
        let opened = Store::open_backend(self.disk.clone(), &self.identity, self.options);
        let (store, restored) = opened.map_err(|error| {
            let is_full = matches!(error, OpenError::DiskFull { .. });
            if is_full { Refused::Full } else { Refused::Broken(error.to_string()) }
        })?;
        self.store = Some(store);
        Ok(restored)
    }

    /// Looks how much room there is, and lets the store tidy up if that is little.
    pub(crate) fn look(&mut self) -> Result<(), Refused> {
        let Some(store) = &mut self.store else { return Err(closed()) };
        if store.look_at_disk().map_err(refused)?.is_low {
            match store.commit(&[]).map_err(refused) {
                Ok(()) | Err(Refused::Full) => {}
                Err(broken) => return Err(broken),
            }
        }
        Ok(())
    }

    /// What the store found when it looked or wrote last.
    pub(crate) fn space(&self) -> Found {
        let space = self.store.as_ref().map(Store::disk_space);
        space.map_or_else(Found::default, |DiskSpace { is_low, is_full, .. }| Found {
            is_low,
            is_closed: is_full,
            is_waiting: false,
        })
    }

    /// Somebody else takes room, or gives it back. How much is left beside the store's reserve is a
    /// part of that; with none at all the reserve is gone too.
    pub(crate) fn leave(&mut self, room: Left) {
        let free = match room {
            Left::Ample => return self.disk.unlimit(),
            Left::Low => 3 * RESERVE_BYTES / 4,
            Left::Closed => RESERVE_BYTES / 2,
            Left::Scarce => RESERVE_BYTES / 8,
            Left::Nothing => {
                // Whoever takes it all does not ask whose it was.
                let _ = self.disk.give_up_reserve();
                0
            }
        };
        self.disk.leave_free(free);
    }

    /// Makes batches durable, in one commit.
    pub(crate) fn commit(&mut self, batches: &[WriteBatch]) -> Result<(), Refused> {
        let Some(store) = &mut self.store else { return Err(closed()) };
        store.commit(batches).map_err(refused)
    }

    pub(crate) fn fetch(&self, group: GroupId, fetch: &Fetch) -> Result<Vec<EntryRun>, FetchError> {
        let Some(store) = &self.store else { return Err(FetchError::Damaged) };
        let Fetch { first, last, bytes_max, .. } = *fetch;
        let request = FetchRequest { group, first, last, bytes_max };
        let mut answers = store.reader().fetch(&[request]);
        match answers.pop() {
            Some(Ok(runs)) => Ok(runs),
            Some(Err(ReadError::Compacted { first, .. })) => Err(FetchError::Compacted { first }),
            Some(Err(ReadError::Beyond { .. })) => Ok(Vec::new()),
            Some(Err(
                ReadError::Damaged { .. }
                | ReadError::UnknownGroup { .. }
                | ReadError::Poisoned { .. },
            ))
            | None => Err(FetchError::Damaged),
        }
    }

    /// Lets the next sync or write fail.
    pub(crate) fn fail(&mut self, sync: bool) {
        if sync {
            self.disk.fail_sync_in(0);
        } else {
            self.disk.fail_write_in(0);
        }
    }

    /// Ends the store's life with `batches` being committed. What the disk holds then is found by the
    /// next opening; returns what is known of the batches, and whether power was cut so that the disk
    /// holds neither what it held before nor what it was told.
    pub(crate) fn end(&mut self, ending: Ending, batches: &[WriteBatch]) -> (LastCommit, bool) {
        let before = self.disk.image();
        let mut fate = LastCommit::Absent;
        if !batches.is_empty() && ending != Ending::Clean && self.random.one_in(2) {
            if ending == Ending::Power {
                self.disk.cut_power_in(self.random.below(16));
            }
            fate = match self.commit(batches) {
                Ok(()) => LastCommit::Present,
                Err(Refused::Full) => LastCommit::Absent,
                Err(Refused::Broken(_)) => LastCommit::Unknown,
            };
        }
        if ending == Ending::Clean {
            // Closing writes once more, so that damage of the last commit loses nothing.
            self.store = None;
            return (fate, false);
        }
        let told = self.disk.image();
        let disk = match ending {
            Ending::Power => self.disk.restart(self.random.next()),
            Ending::Kill | Ending::Clean => SimDisk::from_image(told.clone()),
        };
        self.disk.cut_power();
        self.store = None;
        self.disk = disk;
        let found = self.disk.image();
        (fate, found != before && found != told)
    }

    /// Damages what is at rest: one bit, or two blocks that change places.
    pub(crate) fn damage(&mut self, is_misdirected: bool) {
        const BLOCK: usize = 4_096;
        let image = self.disk.image();
        let len = image.len();
        if !is_misdirected {
            // Most of a small store is empty, where nothing would ever notice.
            let mut place = self.random.place(len.max(1));
            for _ in 0..EMPTY_PLACES_MAX {
                if image.get(place).is_some_and(|byte| *byte != 0) {
                    break;
                }
                place = self.random.place(len.max(1));
            }
            let bit = self.random.below(8);
            self.disk.flip_bit(place, u32::try_from(bit).expect("a bit of a byte"));
            return;
        }
        let blocks = len / BLOCK;
        if blocks < 2 {
            return;
        }
        let (one, other) = (self.random.place(blocks), self.random.place(blocks));
        if one != other {
            self.disk.swap(one * BLOCK, other * BLOCK, BLOCK);
        }
    }
}

fn refused(error: StoreError) -> Refused {
    match error {
        StoreError::DiskFull { .. } => Refused::Full,
        error @ (StoreError::Misuse(_) | StoreError::Disk { .. } | StoreError::Poisoned { .. }) => {
            Refused::Broken(error.to_string())
        }
    }
}

fn closed() -> Refused {
    Refused::Broken("the store is closed".to_owned())
}
