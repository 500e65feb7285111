//! What a node has handed over to be written, and in which portions that is tried on a disk that may
//! be full: a refusal is a pause, after which the same is tried again.
//!
//! Invariants: batches are written and leave in the order in which they came, each with its receipt;
//! what found no room stays at the front until it is written, so that nothing overtakes it.

use alloc::vec::{Drain, Vec};

use codec::WriteBatch;

/// Batches that wait to be written, oldest first, and the attempt under way. `W` is the receipt of
/// whoever handed a batch over, by which he is told that it is durable.
#[derive(Debug)]
pub struct WriteQueue<W> {
    batches: Vec<WriteBatch>,
    /// By batch.
    receipts: Vec<W>,
    /// How many batches the attempt under way carries; 0 if there is none.
    trying: usize,
    /// Whether the oldest batch found no room by itself.
    is_refused: bool,
}

impl<W> Default for WriteQueue<W> {
    fn default() -> Self {
        Self { batches: Vec::new(), receipts: Vec::new(), trying: 0, is_refused: false }
    }
}

impl<W> WriteQueue<W> {
    /// A batch waits from here on, behind all others and in no attempt that is under way.
    pub fn push(&mut self, batch: WriteBatch, receipt: W) {
        self.batches.push(batch);
        self.receipts.push(receipt);
    }

    /// How many batches wait, those of the attempt under way included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.batches.len()
    }

    /// All that waits, oldest first, what an attempt under way writes included.
    #[must_use]
    pub fn batches(&self) -> &[WriteBatch] {
        &self.batches
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether the oldest batch found no room when it was tried last: to be tried again after a
    /// pause.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Begins an attempt at all that waits, or at the oldest alone if that found no room before;
    /// whether it did, which it does not if one is under way or nothing waits.
    pub const fn begin(&mut self) -> bool {
        if self.trying > 0 || self.batches.is_empty() {
            return false;
        }
        self.trying = if self.is_refused { 1 } else { self.batches.len() };
        true
    }

    /// What the attempt under way writes, in one commit; empty if there is none.
    #[must_use]
    pub fn under_way(&self) -> &[WriteBatch] {
        &self.batches[..self.trying]
    }

    /// The receipts of what the attempt under way writes.
    #[must_use]
    pub fn receipts(&self) -> &[W] {
        &self.receipts[..self.trying]
    }

    /// The attempt is durable, and over; returns the receipts of what it wrote.
    pub fn written(&mut self) -> Drain<'_, W> {
        let count = core::mem::take(&mut self.trying);
        self.is_refused &= count == 0;
        self.batches.drain(..count);
        self.receipts.drain(..count)
    }

    /// The attempt found no room, and nothing of it is written. Returns whether a smaller one is
    /// under way in its place: the first batches may find room by themselves, those without commands
    /// above all. Otherwise it is over, and all that waits is kept.
    pub const fn refused(&mut self) -> bool {
        if self.trying > 1 {
            self.trying /= 2;
            return true;
        }
        self.trying = 0;
        self.is_refused = true;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(receipts: &[u32]) -> WriteQueue<u32> {
        let mut queue = WriteQueue::default();
        receipts.iter().for_each(|receipt| queue.push(WriteBatch::default(), *receipt));
        queue
    }

    fn written(queue: &mut WriteQueue<u32>) -> Vec<u32> {
        queue.written().collect()
    }

    #[test]
    fn one_attempt_carries_all_that_waits_and_nothing_that_comes_later() {
        let mut queue = queue(&[1, 2]);
        assert!(queue.begin());
        queue.push(WriteBatch::default(), 3);
        assert!(!queue.begin(), "one is under way");
        assert_eq!((queue.under_way().len(), queue.receipts()), (2, &[1, 2][..]));
        assert_eq!(written(&mut queue), [1, 2]);
        assert!(queue.under_way().is_empty() && queue.len() == 1);
        assert!(queue.begin());
        assert_eq!(written(&mut queue), [3]);
        assert!(queue.is_empty() && !queue.begin());
    }

    #[test]
    fn what_finds_no_room_is_tried_in_smaller_portions_down_to_the_oldest_alone() {
        let mut queue = queue(&[1, 2, 3, 4, 5]);
        assert!(queue.begin());
        let mut portions = Vec::new();
        while queue.refused() {
            portions.push(queue.under_way().len());
        }
        assert_eq!(portions, [2, 1]);
        assert!(queue.is_refused() && queue.under_way().is_empty());
        assert_eq!(queue.len(), 5, "all of it is kept");
    }

    #[test]
    fn what_was_refused_is_tried_alone_first_and_all_that_waits_after_it() {
        let mut queue = queue(&[1, 2, 3]);
        assert!(queue.begin());
        while queue.refused() {}
        queue.push(WriteBatch::default(), 4);
        assert!(queue.begin());
        assert_eq!(queue.receipts(), [1]);
        assert!(!queue.refused() && queue.is_refused(), "still no room");
        assert!(queue.begin());
        assert_eq!(written(&mut queue), [1]);
        assert!(!queue.is_refused() && queue.begin());
        assert_eq!(written(&mut queue), [2, 3, 4]);
    }

    #[test]
    fn a_part_that_finds_room_leaves_the_rest_in_its_order() {
        let mut queue = queue(&[1, 2, 3, 4]);
        assert!(queue.begin() && queue.refused());
        assert_eq!(written(&mut queue), [1, 2]);
        assert!(queue.begin() && queue.refused());
        assert_eq!(written(&mut queue), [3]);
        assert!(queue.begin() && !queue.refused());
        assert_eq!((queue.len(), queue.is_refused()), (1, true));
    }
}
