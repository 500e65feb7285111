//! Copies of groups' outlines, on which a batch is tried before it is written.

use codec::GroupItem;
use types::LogIndex;

use crate::error::MisuseFault;
use crate::ledger::{Ledger, Seat};
use crate::outline::Outline;

/// The trials of one batch. Memory is used again, and nothing is cleared: a trial counts only if it
/// was made for the present batch.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    batch: u64,
    /// By seat: for which batch there is a trial, and what has come of it so far.
    of_seat: Vec<(u64, Trial)>,
    copies: Vec<Outline>,
    used: usize,
}

/// What the batch has made of a group so far.
#[derive(Clone, Copy, Debug)]
enum Trial {
    /// Its log goes up to there, and nothing else has changed.
    Continued(LogIndex),
    /// It is what that copy says.
    Copied(usize),
}

impl Staging {
    /// Starts the next batch on a ledger with that many seats.
    pub(crate) fn start(&mut self, seats_len: usize) {
        self.batch += 1;
        self.used = 0;
        self.of_seat.resize(seats_len, (0, Trial::Copied(0)));
    }

    /// Takes a change of a group as the batch has left it so far.
    ///
    /// # Errors
    /// The change breaks a rule.
    pub(crate) fn advance(
        &mut self,
        seat: Seat,
        change: &GroupItem,
        ledger: &Ledger,
    ) -> Result<(), MisuseFault> {
        let outline = &ledger.group(seat).outline;
        let (batch, trial) = self.of_seat[seat.number()];
        let copy = match (batch == self.batch, trial) {
            (true, Trial::Copied(copy)) => copy,
            (true, Trial::Continued(last)) => {
                let copy = self.copy(seat, outline);
                self.copies[copy].shape.continue_to(last);
                copy
            }
            (false, _) => {
                if let Some(last) = outline.continued_by(change) {
                    self.of_seat[seat.number()] = (self.batch, Trial::Continued(last));
                    return Ok(());
                }
                self.copy(seat, outline)
            }
        };
        self.copies[copy].advance(change)
    }

    fn copy(&mut self, seat: Seat, outline: &Outline) -> usize {
        let copy = self.used;
        self.used += 1;
        if copy == self.copies.len() {
            self.copies.push(Outline::default());
        }
        self.of_seat[seat.number()] = (self.batch, Trial::Copied(copy));
        self.copies[copy].copy_from(outline);
        copy
    }
}
