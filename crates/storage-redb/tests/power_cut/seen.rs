//! What happened in a run, to see that the test tests what it says.

use codec::{Item, WriteBatch};
use storage_redb::StoreCounters;

/// Counts of what happened.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Seen {
    /// Ends of a process that nobody had planned: by power, by a kill, by a disk that failed.
    pub(crate) cuts: u64,
    pub(crate) kills: u64,
    pub(crate) failed_disks: u64,
    pub(crate) cuts_in_creation: u64,
    pub(crate) cuts_in_recovery: u64,
    /// Of those, in the recovery from a cut in a recovery.
    pub(crate) cuts_in_second_recovery: u64,
    pub(crate) clean_reopens: u64,
    pub(crate) acknowledged: u64,
    pub(crate) acknowledged_in_two_phases: u64,
    pub(crate) lost_in_flight: u64,
    pub(crate) kept_in_flight: u64,
    /// Full disks: commits and openings that were refused, and how often the reserve went and came.
    pub(crate) refused_commits: u64,
    pub(crate) refused_openings: u64,
    pub(crate) cuts_on_a_full_disk: u64,
    pub(crate) reserves_given_up: u64,
    pub(crate) reserves_made_again: u64,
    pub(crate) releases_taken: u64,
    pub(crate) acknowledged_items: Kinds,
    pub(crate) items_in_flight: Kinds,
    pub(crate) store: StoreCounters,
}

/// How many items of each kind.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Kinds {
    pub(crate) create: u64,
    pub(crate) append: u64,
    pub(crate) truncate: u64,
    pub(crate) hard_state: u64,
    pub(crate) compact: u64,
    pub(crate) remove: u64,
}

impl Kinds {
    pub(crate) fn of(batches: &[WriteBatch]) -> Self {
        let mut kinds = Self::default();
        for item in batches.iter().flat_map(|batch| &batch.items) {
            match &item.item {
                Item::Create { .. } => kinds.create += 1,
                Item::Append(_) => kinds.append += 1,
                Item::Truncate { .. } => kinds.truncate += 1,
                Item::HardState(_) => kinds.hard_state += 1,
                Item::Compact { .. } => kinds.compact += 1,
                Item::Remove => kinds.remove += 1,
                Item::Moved(_) => panic!("only the store itself moves"),
            }
        }
        kinds
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.create += other.create;
        self.append += other.append;
        self.truncate += other.truncate;
        self.hard_state += other.hard_state;
        self.compact += other.compact;
        self.remove += other.remove;
    }

    fn fewest(&self) -> u64 {
        let Self { create, append, truncate, hard_state, compact, remove } = *self;
        [create, append, truncate, hard_state, compact, remove].into_iter().min().unwrap()
    }
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.cuts += other.cuts;
        self.kills += other.kills;
        self.failed_disks += other.failed_disks;
        self.cuts_in_creation += other.cuts_in_creation;
        self.cuts_in_recovery += other.cuts_in_recovery;
        self.cuts_in_second_recovery += other.cuts_in_second_recovery;
        self.clean_reopens += other.clean_reopens;
        self.acknowledged += other.acknowledged;
        self.acknowledged_in_two_phases += other.acknowledged_in_two_phases;
        self.lost_in_flight += other.lost_in_flight;
        self.kept_in_flight += other.kept_in_flight;
        self.refused_commits += other.refused_commits;
        self.refused_openings += other.refused_openings;
        self.cuts_on_a_full_disk += other.cuts_on_a_full_disk;
        self.reserves_given_up += other.reserves_given_up;
        self.reserves_made_again += other.reserves_made_again;
        self.releases_taken += other.releases_taken;
        self.acknowledged_items.add(&other.acknowledged_items);
        self.items_in_flight.add(&other.items_in_flight);
        self.add_store(other.store);
    }

    pub(crate) fn add_store(&mut self, store: StoreCounters) {
        self.store.commits += store.commits;
        self.store.records_written += store.records_written;
        self.store.record_bytes_written += store.record_bytes_written;
        self.store.records_deleted += store.records_deleted;
        self.store.runs_moved += store.runs_moved;
        self.store.checkpoints_written += store.checkpoints_written;
        self.store.checkpoint_bytes_written += store.checkpoint_bytes_written;
        self.store.pages_deleted += store.pages_deleted;
        self.store.room_bytes_asked += store.room_bytes_asked;
    }

    pub(crate) fn assert_everything_happened(&self) {
        let once_in = |cuts: u64, count: u64, what: &str| {
            assert!(count * cuts > self.cuts, "too rarely: {what}: {self:?}");
        };
        once_in(20, self.kills, "kills");
        once_in(50, self.failed_disks, "disks that fail");
        once_in(200, self.cuts_in_creation, "cuts in creation");
        once_in(10, self.cuts_in_recovery, "cuts in recovery");
        once_in(50, self.cuts_in_second_recovery, "cuts in recovery from a cut in recovery");
        once_in(20, self.clean_reopens, "clean reopens");
        once_in(10, self.lost_in_flight, "commits lost in flight");
        once_in(50, self.kept_in_flight, "commits kept in flight");
        once_in(1, self.acknowledged_in_two_phases, "commits in two phases");
        once_in(1, self.acknowledged - self.acknowledged_in_two_phases, "commits in one phase");
        once_in(10, self.refused_commits, "commits refused on a full disk");
        once_in(500, self.refused_openings, "openings refused on a full disk");
        once_in(20, self.cuts_on_a_full_disk, "cuts on a full disk");
        once_in(50, self.reserves_given_up, "reserves given up");
        once_in(50, self.reserves_made_again, "reserves made again");
        once_in(10, self.releases_taken, "releases that took effect");
        once_in(5, self.acknowledged_items.fewest(), "items of a kind acknowledged");
        once_in(100, self.items_in_flight.fewest(), "items of a kind in flight");
        once_in(2, self.store.records_deleted, "records deleted");
        once_in(10, self.store.runs_moved, "runs moved");
        once_in(2, self.store.checkpoints_written, "checkpoints written");
        once_in(10, self.store.pages_deleted, "checkpoint pages deleted");
    }
}
