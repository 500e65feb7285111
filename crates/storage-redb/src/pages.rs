//! Which checkpoint pages are in the file, and which of their checkpoints still count.
//!
//! A group's checkpoint counts in the page that the group names; a newer page supersedes it.
//! Pages are only ever written whole, under rising numbers, so that of two checkpoints of a group
//! the one in the higher page is the newer one.

use std::collections::BTreeMap;

use crate::ledger::{Ledger, Seat};
use crate::packer::{file_bytes, leaf_bytes_max};

#[derive(Debug)]
struct Page {
    seats: Vec<Seat>,
    counting: usize,
    /// What it takes of redb's leaves, at most.
    bytes: u64,
}

/// All checkpoint pages.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pages: BTreeMap<u64, Page>,
    /// Pages in which nothing counts; still in the file.
    stale: Vec<u64>,
    newest: u64,
    /// What all pages take of redb's leaves, at most.
    bytes: u64,
    /// How many checkpoints there are in pages that are not stale, and how many of them count.
    checkpoints: usize,
    counting: usize,
}

impl Pages {
    /// The number for the next page.
    pub(crate) const fn next_number(&self) -> u64 {
        self.newest + 1
    }

    /// How many pages there are, stale ones included.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// How many bytes the leaves of redb take that hold the pages, at most.
    pub(crate) const fn leaf_bytes_max(&self) -> u64 {
        self.bytes
    }

    /// Enters a page of `len` bytes with checkpoints of `seats`, all of which count; `previous` are
    /// the pages in which checkpoints of those groups counted so far, one for each that had one.
    pub(crate) fn insert(
        &mut self,
        number: u64,
        len: usize,
        seats: Vec<Seat>,
        previous: impl Iterator<Item = u64>,
    ) {
        let bytes = leaf_bytes_max(file_bytes(len) as u64);
        self.bytes += bytes;
        self.newest = self.newest.max(number);
        self.checkpoints += seats.len();
        self.counting += seats.len();
        self.pages.insert(number, Page { counting: seats.len(), seats, bytes });
        for superseded in previous {
            self.counting -= 1;
            let page = self.pages.get_mut(&superseded).expect("groups name pages that are here");
            page.counting -= 1;
            if page.counting == 0 {
                self.checkpoints -= page.seats.len();
                self.stale.push(superseded);
            }
        }
    }

    /// The pages to delete with the next commit.
    pub(crate) fn stale(&self) -> &[u64] {
        &self.stale
    }

    /// The stale pages are no longer in the file.
    pub(crate) fn stale_deleted(&mut self) {
        for number in std::mem::take(&mut self.stale) {
            if let Some(page) = self.pages.remove(&number) {
                self.bytes -= page.bytes;
            }
        }
    }

    /// The groups whose checkpoints count in the page with the smallest share of such, if so much
    /// does not count that it is worth writing them again.
    pub(crate) fn sparsest(&self, ledger: &Ledger, superseded_max: usize) -> Vec<Seat> {
        let superseded = self.checkpoints - self.counting;
        if superseded <= self.counting.max(superseded_max) {
            return Vec::new();
        }
        let share = |page: &Page| page.counting * 1000 / page.seats.len().max(1);
        let with_some = self.pages.iter().filter(|(_, page)| page.counting > 0);
        let Some((number, page)) = with_some.min_by_key(|(_, page)| share(page)) else {
            return Vec::new();
        };
        let counts = |seat: &&Seat| ledger.group(**seat).page() == *number;
        page.seats.iter().filter(counts).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use types::GroupId;

    use super::*;

    #[test]
    fn a_page_goes_once_every_checkpoint_in_it_is_superseded() {
        let mut ledger = Ledger::default();
        let [a, b] = [1, 2].map(|group| ledger.seat_or_make(GroupId(group)));
        let mut pages = Pages::default();
        pages.insert(1, 5000, vec![a, b], [].into_iter());
        pages.insert(2, 100, vec![a], [1].into_iter());
        assert!(pages.stale().is_empty());
        pages.insert(3, 100, vec![b], [1].into_iter());
        assert_eq!(pages.stale(), [1]);
        assert_eq!((pages.len(), pages.leaf_bytes_max()), (3, 8192 + 6 * 116));
        pages.stale_deleted();
        assert!(pages.stale().is_empty());
        assert_eq!((pages.len(), pages.leaf_bytes_max()), (2, 6 * 116));
        assert_eq!((pages.checkpoints, pages.counting, pages.next_number()), (2, 2, 4));
    }

    #[test]
    fn pages_with_little_in_them_are_written_again_once_they_outnumber_the_others() {
        let mut ledger = Ledger::default();
        let seats: Vec<_> = (0..800).map(|group| ledger.seat_or_make(GroupId(group))).collect();
        let mut pages = Pages::default();
        pages.insert(1, 9, seats.clone(), [].into_iter());
        seats.iter().for_each(|seat| ledger.checkpointed(*seat, 1));
        // With every page one group more falls idle, and keeps the page before in the file.
        for number in 2..4 {
            assert!(pages.sparsest(&ledger, 1000).is_empty());
            let busy = seats[number - 1..].to_vec();
            let number = number as u64;
            pages.insert(number, 9, busy.clone(), busy.iter().map(|_| number - 1));
            busy.iter().for_each(|seat| ledger.checkpointed(*seat, number));
        }
        assert_eq!(pages.sparsest(&ledger, 1000), [seats[0]]);
    }
}
