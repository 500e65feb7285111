//! How much of the disk a commit may take at most.
//!
//! redb never writes over what is in use: every page that a commit changes is written somewhere
//! else, and with it every page above it up to the root. So what a commit may take is what it
//! writes; where it writes, and whether the file had that place already, does not matter. A longer
//! file takes nothing by itself: it grows by a hole.
//!
//! A record or checkpoint page larger than a page of redb has a leaf of its own, which redb neither
//! splits nor merges; smaller ones share leaves. To take one away means at most two such leaves,
//! and on each level above two branches, since what is less than a third full is merged with its
//! neighbour. As records come and go in order, most of these pages are the same ones again.
//!
//! A commit larger than half of redb's page cache is written piecemeal, and a page that was written
//! and is then changed again is written twice.

use crate::packer::{PAGE_BYTES, file_bytes};
use crate::pages::Pages;
use crate::records::Records;

/// What a commit does to one table.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct TableWork {
    /// How many rows the table has.
    pub(crate) rows: usize,
    /// How many are put in.
    pub(crate) inserted: usize,
    /// The pages that their leaves take.
    pub(crate) inserted_pages: usize,
    /// How many are taken away.
    pub(crate) removed: usize,
}

impl TableWork {
    pub(crate) fn new(rows: usize, removed: usize) -> Self {
        Self { rows, removed, ..Self::default() }
    }

    /// As many rows are put in as by the other work.
    pub(crate) fn add(&mut self, other: &Self) {
        self.inserted += other.inserted;
        self.inserted_pages += other.inserted_pages;
    }

    /// A row with a value of `len` bytes is put in.
    pub(crate) fn insert(&mut self, len: usize) {
        self.inserted += 1;
        self.inserted_pages += file_bytes(len).div_ceil(PAGE_BYTES);
    }

    /// The pages that are written, each once.
    fn pages(&self) -> usize {
        let (levels, branches) = self.branches();
        self.leaves() + (2 * levels * self.touched()).min(branches)
    }

    /// The pages that are written if redb writes some before it is done with them.
    fn pages_piecemeal(&self) -> usize {
        let (levels, _) = self.branches();
        2 * (self.leaves() + 2 * levels * self.touched())
    }

    const fn touched(&self) -> usize {
        self.inserted + self.removed
    }

    const fn leaves(&self) -> usize {
        self.inserted_pages + 2 * self.removed
    }

    /// How many levels of branches there are at most, and how many branches.
    const fn branches(&self) -> (usize, usize) {
        let mut on_level = (self.rows + self.inserted) / BRANCH_ROWS_MIN;
        let (mut levels, mut branches) = (1, 1 + on_level);
        while on_level > 0 {
            on_level /= BRANCH_ROWS_MIN;
            levels += 1;
            branches += 1 + on_level;
        }
        (levels, branches)
    }
}

/// What a commit with that work may take of the disk, in bytes, if redb has so much for its page
/// cache.
pub(crate) fn commit_bytes_max(works: &[TableWork], cache_bytes: usize) -> u64 {
    let mut pages: usize = works.iter().map(TableWork::pages).sum();
    if (pages + PAGES_ALWAYS) * PAGE_BYTES > cache_bytes / 2 {
        pages = works.iter().map(TableWork::pages_piecemeal).sum();
    }
    let removed: usize = works.iter().map(|work| work.removed).sum();
    // redb's own notes on which pages were taken and which were freed.
    let notes = (2 * pages + removed).div_ceil(NOTES_PER_PAGE);
    let bytes = ((pages + notes + PAGES_ALWAYS) * PAGE_BYTES) as u64;
    bytes + bytes / FILE_SYSTEM_SHARE + FILE_SYSTEM_BYTES
}

/// What a file with those records and checkpoint pages uses of itself, at most: what its length is
/// beyond that can be written without the file growing.
pub(crate) fn used_bytes_max(records: &Records, pages: &Pages) -> u64 {
    let leaves = records.leaf_bytes_max() + pages.leaf_bytes_max();
    let branches = BRANCH_BYTES_PER_ROW * (records.len() + pages.len()) as u64;
    let used = leaves + branches + USED_BYTES_ALWAYS;
    used + used / FRAGMENT_SHARE
}

/// A branch that is less than a third full is merged with its neighbour: it has that many children.
const BRANCH_ROWS_MIN: usize = 42;
/// How many pages redb notes in one row, which takes most of a page.
const NOTES_PER_PAGE: usize = 400;
/// A row's share of the branches above it: a 42nd of a page, and a 42nd of that.
const BRANCH_BYTES_PER_ROW: u64 = 100;
/// One byte in that many lies between pages in use and is too small for the next record.
const FRAGMENT_SHARE: u64 = 4;
/// What redb's own tables and the node's identity take.
const USED_BYTES_ALWAYS: u64 = 256 << 10;
/// Pages of every commit: the header twice, the tables of tables, the notes' own leaves, branches
/// and roots, and those of the notes that the commit before left in memory.
const PAGES_ALWAYS: usize = 48;
/// What the file system takes for its own notes on where the file lies: one byte in that many,
const FILE_SYSTEM_SHARE: u64 = 64;
/// and that much in any case.
const FILE_SYSTEM_BYTES: u64 = 128 << 10;
