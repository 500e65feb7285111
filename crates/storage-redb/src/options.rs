//! Who a store belongs to, and the limits it works within.

use thiserror::Error;
use types::{ClusterId, NodeId};

/// Whose store it is: a store of another cluster or node is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: ClusterId,
    /// The node's number in it.
    pub node: NodeId,
}

/// How a commit becomes the one that counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum CommitPhases {
    /// Everything is written and synced at once; what counts after a crash is the newest commit
    /// that is whole. So a newest commit that was damaged *after* it was acknowledged cannot be
    /// told from one that was never finished, and is taken back without a word.
    #[default]
    One,
    /// Everything is written and synced, and then the mark that it counts, and synced: a newest
    /// commit that is not whole is damage, and the store refuses to open. Twice the syncs, about
    /// 1.7 times the time.
    Two,
}

/// The limits of a store as they are written in a configuration; [`StoreOptions::new`] checks them.
/// Nobody but this node has to agree to any of them, and each may differ at every start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawStoreOptions {
    /// Bytes of memory that redb uses as its page cache. Default 64 MiB; at least 1 MiB. Too small:
    /// a commit larger than half of it is written piecemeal, and records are read back from the
    /// disk to be deleted. Too large: memory for nothing, as the log is hardly ever read back.
    pub page_cache_bytes: usize,
    /// Bytes of memory for records read back for [`crate::Reader::fetch`]. Default 16 MiB, 0 is
    /// legal. Too small: replicas that lag behind together read the same records again and again.
    pub record_cache_bytes: usize,
    /// Bytes of the largest record, but for a single entry that is larger. Default 256 KiB; 4 KiB
    /// to 4 MiB, a power of two. Too small: more rows per commit. Too large: one live entry pins
    /// more.
    pub record_bytes_max: usize,
    /// Bytes of dead records that wait for checkpoints before a commit writes some. Default 4 MiB;
    /// an eighth of the log is always allowed. Too small: checkpoints with every commit. Too large:
    /// the file holds that much more.
    pub pinned_bytes_max: u64,
    /// Bytes lost in records that are less than a quarter live before their live entries are moved.
    /// Default 16 MiB; half of what is live is always allowed. Too small: entries are copied that
    /// would have been released soon. Too large: the file holds that much more.
    pub sparse_bytes_max: u64,
    /// Bytes of live entries that one commit moves at most, but for a single run that is larger.
    /// Default 64 KiB; at least 1. Too small: moving cannot keep up. Too large: commits that move
    /// take longer.
    pub moved_bytes_per_commit_max: usize,
    /// Bytes of the largest checkpoint page, but for a single group that takes more. Default 64 KiB;
    /// at least 1. Too small: more rows. Too large: commits that write one take longer.
    pub checkpoint_page_bytes_max: usize,
    /// Superseded checkpoints before pages with few others are written again. Default 1,000; as
    /// many as there are groups are always allowed. Too small: checkpoints are written again and
    /// again. Too large: the file holds that many more.
    pub superseded_checkpoints_max: usize,
    /// Bytes free on the disk below which it is low ([`crate::DiskSpace`]), and bytes of the
    /// reserve file that is given up for what must still be written then. Default 64 MiB; 0 turns
    /// both off and removes the file, else 4 MiB to 1 TiB. Too small: what is under way, and what
    /// makes room again, finds none, and the node stands still until somebody else makes room.
    /// Turned off: a full disk is a failed write, and ends the node. Too large: room for nothing.
    pub disk_reserve_bytes: u64,
    /// Bytes of the journal that a new store gets, where small commits are durable before they are
    /// rows; it is part of the file, and stays as it was made. Default 1 MiB; 0 for none, else a
    /// multiple of 4 KiB from 64 KiB to 64 MiB. Of them a 64th of `disk_reserve_bytes` is used at
    /// most, and none with two phases; a commit that takes more than an eighth writes rows. Too
    /// small, or none: more commits write redb's pages, about seven each. Too large: the commit that
    /// makes rows of it takes longer, and so does an opening.
    pub journal_bytes: u64,
    /// How a commit becomes the one that counts. Default one phase. With one: damage to nothing but
    /// the very last commit before an unclean stop goes unnoticed, and the commit with it. With
    /// two: every commit takes longer.
    pub commit_phases: CommitPhases,
}

impl Default for RawStoreOptions {
    fn default() -> Self {
        Self {
            page_cache_bytes: 64 << 20,
            record_cache_bytes: 16 << 20,
            record_bytes_max: 256 << 10,
            pinned_bytes_max: 4 << 20,
            sparse_bytes_max: 16 << 20,
            moved_bytes_per_commit_max: 64 << 10,
            checkpoint_page_bytes_max: 64 << 10,
            superseded_checkpoints_max: 1000,
            disk_reserve_bytes: 64 << 20,
            journal_bytes: 1 << 20,
            commit_phases: CommitPhases::One,
        }
    }
}

/// The limits of a store, checked.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StoreOptions {
    raw: RawStoreOptions,
}

/// Which limit is out of its range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{field} is {found}, expected {expected}")]
pub struct OptionsError {
    /// The name of the field.
    pub field: &'static str,
    /// What it says.
    pub found: u64,
    /// What it may say.
    pub expected: &'static str,
}

impl StoreOptions {
    /// Checks the limits one by one.
    ///
    /// # Errors
    /// Names the first one that is out of its range; the caller shows it to whoever wrote it.
    pub fn new(raw: RawStoreOptions) -> Result<Self, OptionsError> {
        let refused = |field, found, expected| Err(OptionsError { field, found, expected });
        if raw.page_cache_bytes < 1 << 20 {
            return refused("page_cache_bytes", raw.page_cache_bytes as u64, "at least 1 MiB");
        }
        let record = raw.record_bytes_max;
        if !(4 << 10..=4 << 20).contains(&record) || !record.is_power_of_two() {
            let expected = "a power of two from 4 KiB to 4 MiB";
            return refused("record_bytes_max", record as u64, expected);
        }
        if raw.moved_bytes_per_commit_max == 0 {
            return refused("moved_bytes_per_commit_max", 0, "at least 1");
        }
        if raw.checkpoint_page_bytes_max == 0 {
            return refused("checkpoint_page_bytes_max", 0, "at least 1");
        }
        let reserve = raw.disk_reserve_bytes;
        if reserve != 0 && !(4 << 20..=1 << 40).contains(&reserve) {
            return refused("disk_reserve_bytes", reserve, "0, or 4 MiB to 1 TiB");
        }
        let journal = raw.journal_bytes;
        let is_whole = journal.is_multiple_of(4 << 10);
        if journal != 0 && !(is_whole && (64 << 10..=64 << 20).contains(&journal)) {
            let expected = "0, or a multiple of 4 KiB from 64 KiB to 64 MiB";
            return refused("journal_bytes", journal, expected);
        }
        Ok(Self { raw })
    }

    /// What was checked.
    pub const fn raw(&self) -> &RawStoreOptions {
        &self.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_legal() {
        assert_eq!(StoreOptions::new(RawStoreOptions::default()), Ok(StoreOptions::default()));
    }

    #[test]
    fn a_limit_out_of_range_is_named() {
        let refused = |raw| StoreOptions::new(raw).unwrap_err().field;
        let raw = RawStoreOptions::default();
        assert_eq!(refused(RawStoreOptions { page_cache_bytes: 0, ..raw }), "page_cache_bytes");
        assert_eq!(refused(RawStoreOptions { record_bytes_max: 5000, ..raw }), "record_bytes_max");
        assert_eq!(
            refused(RawStoreOptions { moved_bytes_per_commit_max: 0, ..raw }),
            "moved_bytes_per_commit_max"
        );
        assert_eq!(
            refused(RawStoreOptions { disk_reserve_bytes: 1 << 20, ..raw }),
            "disk_reserve_bytes"
        );
        assert!(StoreOptions::new(RawStoreOptions { disk_reserve_bytes: 0, ..raw }).is_ok());
        for journal_bytes in [4 << 10, (1 << 20) + 1, 65 << 20] {
            assert_eq!(refused(RawStoreOptions { journal_bytes, ..raw }), "journal_bytes");
        }
        assert!(StoreOptions::new(RawStoreOptions { journal_bytes: 0, ..raw }).is_ok());
    }
}
