//! Which writes are under way, and what is durable. The heart of the durability rule.
//!
//! Writes complete in the order in which they were issued. A completion counts only for entries
//! that no later write, issued or still to be issued, overwrites: otherwise a late completion of an
//! overwritten tail would vouch for newer entries at the same places (etcd-io/raft#8). Example: W1
//! writes (12, term 1), W2 overwrites it by (12, term 2), W3 writes (12, term 1) again. When W1
//! completes, (12, term 1) is in the log *and* was written, yet the disk will hold (12, term 2)
//! before it holds (12, term 1) again: only W3's completion counts.
//!
//! Invariants: tickets rise by one; `durable` is the hard state of the newest completed write that
//! carried one; `issued` that of the newest issued one.

use alloc::collections::VecDeque;

use types::LogIndex;

use crate::{HardState, Ticket};

#[derive(Clone, Copy, Debug)]
struct InFlight {
    ticket: Ticket,
    hard_state: Option<HardState>,
    /// First and last index written, if any entries are.
    span: Option<(LogIndex, LogIndex)>,
}

#[derive(Debug)]
pub(crate) struct Writes {
    last_ticket: Ticket,
    in_flight: VecDeque<InFlight>,
    issued: HardState,
    durable: HardState,
}

/// What a completion brought.
pub(crate) struct Completed {
    /// Entries up to here are durable, as far as issued writes are concerned; none if the completed
    /// writes carried no entries.
    pub(crate) persisted: Option<LogIndex>,
}

impl Writes {
    pub(crate) const fn new(durable: HardState, last_ticket: Ticket) -> Self {
        Self { last_ticket, in_flight: VecDeque::new(), issued: durable, durable }
    }

    pub(crate) const fn durable(&self) -> HardState {
        self.durable
    }

    pub(crate) const fn last_ticket(&self) -> Ticket {
        self.last_ticket
    }

    pub(crate) fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether `hard_state` still has to be written.
    pub(crate) fn is_news(&self, hard_state: HardState) -> bool {
        hard_state != self.issued
    }

    /// The ticket whose completion makes `current` durable; none if it is.
    pub(crate) fn ticket_of(&self, current: HardState) -> Option<Ticket> {
        if self.is_news(current) {
            return Some(Ticket(self.last_ticket.0 + 1));
        }
        let newest = self.in_flight.iter().rev().find(|write| write.hard_state.is_some());
        newest.map(|write| write.ticket)
    }

    /// Issues a write of `hard_state` and of the entries of `span` (inclusive).
    pub(crate) fn issue(
        &mut self,
        hard_state: Option<HardState>,
        span: Option<(LogIndex, LogIndex)>,
    ) -> Ticket {
        self.last_ticket = Ticket(self.last_ticket.0 + 1);
        if let Some(hard_state) = hard_state {
            self.issued = hard_state;
        }
        self.in_flight.push_back(InFlight { ticket: self.last_ticket, hard_state, span });
        self.last_ticket
    }

    /// All writes up to `ticket` are durable. Tickets never issued and repetitions change nothing.
    pub(crate) fn complete(&mut self, ticket: Ticket) -> Completed {
        let mut written = None;
        while let Some(write) = self.in_flight.front().filter(|write| write.ticket <= ticket) {
            if let Some(hard_state) = write.hard_state {
                self.durable = hard_state;
            }
            if let Some((_, last)) = write.span {
                written = Some(last);
            }
            self.in_flight.pop_front();
        }
        let overwritten = self.in_flight.iter().filter_map(|write| write.span);
        let kept = overwritten.map(|(first, _)| first.prev()).min();
        Completed { persisted: written.map(|last| kept.map_or(last, |kept| kept.min(last))) }
    }
}

#[cfg(test)]
mod tests {
    use types::{ReplicaId, Term};

    use super::*;

    fn span(first: u64, last: u64) -> Option<(LogIndex, LogIndex)> {
        Some((LogIndex(first), LogIndex(last)))
    }

    #[test]
    fn a_completion_counts_only_below_later_writes() {
        let mut writes = Writes::new(HardState::default(), Ticket(0));
        let first = writes.issue(None, span(1, 12));
        let second = writes.issue(None, span(12, 12));
        let third = writes.issue(None, span(12, 13));
        assert_eq!(writes.complete(first).persisted, Some(LogIndex(11)));
        assert_eq!(writes.complete(second).persisted, Some(LogIndex(11)));
        assert_eq!(writes.complete(third).persisted, Some(LogIndex(13)));
    }

    #[test]
    fn appends_behind_each_other_count_each() {
        let mut writes = Writes::new(HardState::default(), Ticket(0));
        let first = writes.issue(None, span(1, 5));
        writes.issue(None, span(6, 9));
        assert_eq!(writes.complete(first).persisted, Some(LogIndex(5)));
    }

    #[test]
    fn a_hard_state_is_durable_with_its_own_ticket() {
        let mut writes = Writes::new(HardState::default(), Ticket(0));
        let voted = HardState { term: Term(2), vote: Some(ReplicaId(1)) };
        assert_eq!(writes.ticket_of(voted), Some(Ticket(1)));
        let log_only = writes.issue(None, span(1, 1));
        assert_eq!(writes.ticket_of(voted), Some(Ticket(2)));
        let vote = writes.issue(Some(voted), None);
        writes.complete(log_only);
        assert_eq!((writes.ticket_of(voted), writes.durable().term), (Some(vote), Term(0)));
        writes.complete(vote);
        assert_eq!((writes.ticket_of(voted), writes.durable()), (None, voted));
    }

    #[test]
    fn one_completion_may_cover_several_writes_and_none_twice() {
        let mut writes = Writes::new(HardState::default(), Ticket(0));
        writes.issue(None, span(1, 2));
        let second = writes.issue(None, span(3, 4));
        assert_eq!(writes.complete(second).persisted, Some(LogIndex(4)));
        assert_eq!(writes.complete(second).persisted, None);
        assert!(writes.is_idle());
    }
}
