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

    /// A row with a value of `len` bytes is put in.
    pub(crate) fn insert(&mut self, len: usize) {
        self.inserted += 1;
        self.inserted_pages += file_bytes(len).div_ceil(PAGE_BYTES);
    }

    fn pages(&self) -> usize {
        self.inserted_pages + 2 * self.removed + self.branches()
    }

    /// The branches that are written again: two on each level for each row, but no more than there
    /// are.
    fn branches(&self) -> usize {
        let touched = self.inserted + self.removed;
        let rows = self.rows + self.inserted;
        let mut levels = 1;
        let mut on_level = rows / BRANCH_ROWS_MIN;
        let mut all = 1 + on_level;
        while on_level > 0 {
            on_level /= BRANCH_ROWS_MIN;
            all += 1 + on_level;
            levels += 1;
        }
        (2 * levels * touched).min(all)
    }
}

/// What a commit with that work may take of the disk, in bytes.
pub(crate) fn commit_bytes_max(works: &[TableWork]) -> u64 {
    let pages: usize = works.iter().map(TableWork::pages).sum();
    let removed: usize = works.iter().map(|work| work.removed).sum();
    // redb's own notes on which pages were taken and which were freed.
    let notes = (2 * pages + removed).div_ceil(NOTES_PER_PAGE);
    let bytes = ((pages + notes + PAGES_ALWAYS) * PAGE_BYTES) as u64;
    bytes + bytes / FILE_SYSTEM_SHARE + FILE_SYSTEM_BYTES
}

/// What a file with those records and checkpoint pages uses of itself, at most: what it has taken
/// beyond that is free within it.
pub(crate) fn used_bytes_max(records: &Records, pages: &Pages) -> u64 {
    let tables = [(records.file_bytes(), records.len()), (pages.bytes(), pages.len())];
    let used = tables.map(|(bytes, rows)| {
        let rows = rows as u64;
        // Leaves with several rows are a third full at least, and so are branches.
        bytes + 2 * bytes.min(rows * PAGE_BYTES as u64) + BRANCH_BYTES_PER_ROW * rows
    });
    used.iter().sum::<u64>() + USED_BYTES_ALWAYS
}

/// A branch that is less than a third full is merged with its neighbour: it has that many children.
const BRANCH_ROWS_MIN: usize = 42;
/// How many pages redb notes in one row, which takes most of a page.
const NOTES_PER_PAGE: usize = 400;
/// A row's share of the branches above it: a 42nd of a page, and a 42nd of that.
const BRANCH_BYTES_PER_ROW: u64 = 100;
/// What redb's own tables and the node's identity take.
const USED_BYTES_ALWAYS: u64 = 256 << 10;
/// Pages of every commit: the header twice, the tables of tables, the notes' own leaves, branches
/// and roots, and those of the notes that the commit before left in memory.
const PAGES_ALWAYS: usize = 48;
/// What the file system takes for its own notes on where the file lies: one byte in that many,
const FILE_SYSTEM_SHARE: u64 = 64;
/// and that much in any case.
const FILE_SYSTEM_BYTES: u64 = 128 << 10;
