//! Copies of groups' outlines, on which a batch is tried before it is written.

use crate::ledger::{Ledger, Seat};
use crate::outline::Outline;

/// The copies of one batch. Memory is used again, and nothing is cleared: a copy counts only if it
/// was made for the present batch.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    batch: u64,
    /// By seat: for which batch a copy was made, and which one it is.
    of_seat: Vec<(u64, usize)>,
    copies: Vec<Outline>,
    used: usize,
}

impl Staging {
    /// Starts the next batch on a ledger with that many seats.
    pub(crate) fn start(&mut self, seats_len: usize) {
        self.batch += 1;
        self.used = 0;
        self.of_seat.resize(seats_len, (0, 0));
    }

    /// A group as the batch has left it so far.
    pub(crate) fn outline(&mut self, seat: Seat, ledger: &Ledger) -> &mut Outline {
        let (batch, copy) = self.of_seat[seat.number()];
        if batch == self.batch {
            return &mut self.copies[copy];
        }
        let copy = self.used;
        self.used += 1;
        if copy == self.copies.len() {
            self.copies.push(Outline::default());
        }
        self.of_seat[seat.number()] = (self.batch, copy);
        self.copies[copy].copy_from(&ledger.group(seat).outline);
        &mut self.copies[copy]
    }
}
