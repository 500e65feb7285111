//! The writes of the node that are under way, and the groups' own tickets in each.
//!
//! Invariant: batches are numbered without a gap, and completed strictly in that order.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use raft_core::Ticket;

use crate::groups::Slot;
use crate::{BatchTicket, TicketError};

#[derive(Debug, Default)]
pub(crate) struct Batches {
    last: BatchTicket,
    under_way: VecDeque<(BatchTicket, Vec<(Slot, Ticket)>)>,
}

impl Batches {
    /// Issues a batch that carries these groups' writes.
    pub(crate) fn issue(&mut self, tickets: Vec<(Slot, Ticket)>) -> BatchTicket {
        self.last = BatchTicket(self.last.0 + 1);
        self.under_way.push_back((self.last, tickets));
        self.last
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// The oldest batch is durable; gives the groups' tickets in it.
    pub(crate) fn complete(
        &mut self,
        found: BatchTicket,
    ) -> Result<Vec<(Slot, Ticket)>, TicketError> {
        let expected = self.under_way.front().map(|(ticket, _)| *ticket);
        match self.under_way.pop_front() {
            Some((ticket, tickets)) if ticket == found => Ok(tickets),
            Some(other) => {
                self.under_way.push_front(other);
                Err(TicketError { expected, found })
            }
            None => Err(TicketError { expected, found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn batches_complete_in_order_only() {
        let mut batches = Batches::default();
        let one = batches.issue(vec![(Slot(0), Ticket(1))]);
        let two = batches.issue(vec![(Slot(0), Ticket(2))]);
        let early = TicketError { expected: Some(one), found: two };
        assert_eq!(batches.complete(two), Err(early));
        assert_eq!(batches.complete(one), Ok(vec![(Slot(0), Ticket(1))]));
        assert_eq!(batches.complete(one), Err(TicketError { expected: Some(two), found: one }));
        assert_eq!(batches.complete(two), Ok(vec![(Slot(0), Ticket(2))]));
        assert_eq!(batches.complete(two), Err(TicketError { expected: None, found: two }));
    }
}
