//! Who waits for what: the callers' side of every proposal and read.
//!
//! Invariant: a caller is always answered. Whatever holds a [`Reply`] either settles it or drops
//! it, by returning, by panicking or by ending; a dropped reply is an answer too, the one that says
//! the least. So no caller hangs, and no caller that goes away leaves anything behind: the budget
//! that a call took is given back when its last reply is gone.

use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use types::{GroupId, LogIndex};

use crate::budget::Permit;
use crate::{ProposeError, ReadError, TransferError};

/// A command that is committed, durable on a majority, and applied here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The group whose log holds it.
    pub group: GroupId,
    /// Where in that log.
    pub index: LogIndex,
    /// What the state machine answered.
    pub result: Bytes,
}

/// The right to read a group's state here and now: it holds every write that was acknowledged
/// anywhere before the read was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadPermit {
    /// The group.
    pub group: GroupId,
    /// Up to where the state is applied at least.
    pub index: LogIndex,
}

/// What became of a proposal.
pub(crate) type Outcome = Result<Applied, ProposeError>;

/// Where an answer goes; travels with the input through the node and back.
#[derive(Debug)]
pub(crate) enum Reply {
    /// One proposal with a caller of its own.
    One(oneshot::Sender<Outcome>, Permit),
    /// One of the proposals that share a call.
    Slot(Arc<Call>, u32),
    /// A read.
    Read(oneshot::Sender<Result<ReadPermit, ReadError>>, Permit),
    /// A handover of leadership.
    Transfer(oneshot::Sender<Result<(), TransferError>>),
}

/// Many proposals of one caller: one allocation and one wake-up for all of them.
///
/// The caller is answered when the last slot's [`Reply`] is gone, by the drop of the call itself.
/// A slot that nobody settled stays [`ProposeError::Uncertain`].
#[derive(Debug)]
pub(crate) struct Call {
    outcomes: Mutex<Vec<Outcome>>,
    caller: Option<oneshot::Sender<Vec<Outcome>>>,
    permit: Option<Permit>,
}

impl Call {
    /// A call of `count` proposals, none of which is settled yet.
    pub(crate) fn new(
        count: usize,
        permit: Permit,
    ) -> (Arc<Self>, oneshot::Receiver<Vec<Outcome>>) {
        let (caller, answer) = oneshot::channel();
        let outcomes = Mutex::new(vec![Err(ProposeError::Uncertain); count]);
        (Arc::new(Self { outcomes, caller: Some(caller), permit: Some(permit) }), answer)
    }

    /// Settles slots that were refused at the door.
    pub(crate) fn refuse(&self, refused: Vec<(u32, ProposeError)>) {
        refused.into_iter().for_each(|(slot, error)| self.settle(slot, Err(error)));
    }

    fn settle(&self, slot: u32, outcome: Outcome) {
        if let Some(place) = self.outcomes.lock().get_mut(slot as usize) {
            *place = outcome;
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Given back first: a caller who asks again at once finds the room that he made.
        self.permit = None;
        if let Some(caller) = self.caller.take() {
            // A caller that went away does not want to know.
            let _ = caller.send(mem::take(self.outcomes.get_mut()));
        }
    }
}

impl Reply {
    /// A proposal took effect.
    pub(crate) fn applied(self, applied: Applied) {
        self.settle(Ok(applied));
    }

    /// Whatever was asked is refused.
    pub(crate) fn refuse(self, error: ProposeError) {
        match self {
            Self::Read(caller, permit) => {
                drop(permit);
                let _ = caller.send(Err(read_error(error)));
            }
            Self::Transfer(caller) => drop(caller.send(Err(transfer_error(error)))),
            Self::One(..) | Self::Slot(..) => self.settle(Err(error)),
        }
    }

    /// A read may go ahead.
    pub(crate) fn readable(self, read: ReadPermit) {
        match self {
            Self::Read(caller, permit) => {
                drop(permit);
                let _ = caller.send(Ok(read));
            }
            Self::One(..) | Self::Slot(..) | Self::Transfer(_) => {
                debug_assert!(false, "something else is answered as a read");
            }
        }
    }

    /// A handover has ended.
    pub(crate) fn transferred(self, result: Result<(), TransferError>) {
        match self {
            // Whoever asked may have gone away.
            Self::Transfer(caller) => drop(caller.send(result)),
            Self::One(..) | Self::Slot(..) | Self::Read(..) => {
                debug_assert!(false, "something else is answered as a handover");
            }
        }
    }

    /// Callers that went away are not missed.
    fn settle(self, outcome: Outcome) {
        match self {
            Self::One(caller, permit) => {
                drop(permit);
                let _ = caller.send(outcome);
            }
            Self::Slot(call, slot) => call.settle(slot, outcome),
            Self::Read(..) | Self::Transfer(_) => {
                debug_assert!(false, "something else is answered as a proposal");
            }
        }
    }
}

/// The same refusal in the words of a read, which has no unknown outcome.
const fn read_error(error: ProposeError) -> ReadError {
    match error {
        ProposeError::NotLeader { hint } => ReadError::NotLeader { hint },
        // Reads need no room.
        ProposeError::NoLeader
        | ProposeError::Uncertain
        | ProposeError::TransferInProgress { .. }
        | ProposeError::DiskFull { .. }
        | ProposeError::MajorityFull => ReadError::NoLeader,
        ProposeError::Overloaded { budget } => ReadError::Overloaded { budget },
        ProposeError::UnknownVShard { vshard } => ReadError::UnknownVShard { vshard },
        ProposeError::UnknownGroup { group } => ReadError::UnknownGroup { group },
        ProposeError::TooLarge { .. } | ProposeError::Stopped => ReadError::Stopped,
    }
}

/// The same in the words of a handover: there was no room for it, or its worker has ended.
const fn transfer_error(error: ProposeError) -> TransferError {
    match error {
        ProposeError::Overloaded { budget } => TransferError::Overloaded { budget },
        ProposeError::NotLeader { .. }
        | ProposeError::NoLeader
        | ProposeError::TransferInProgress { .. }
        | ProposeError::DiskFull { .. }
        | ProposeError::MajorityFull
        | ProposeError::TooLarge { .. }
        | ProposeError::UnknownVShard { .. }
        | ProposeError::UnknownGroup { .. }
        | ProposeError::Uncertain
        | ProposeError::Stopped => TransferError::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    fn applied(index: u64) -> Applied {
        Applied { group: GroupId(1), index: LogIndex(index), result: Bytes::new() }
    }

    #[test]
    fn a_call_is_answered_once_all_its_slots_are_gone() {
        let budget = Budget::new("b", 10);
        let (call, mut answer) = Call::new(3, budget.acquire(7).unwrap());
        call.refuse(vec![(1, ProposeError::NoLeader)]);
        let (first, last) = (Reply::Slot(call.clone(), 0), Reply::Slot(call, 2));
        first.applied(applied(5));
        assert!(answer.try_recv().is_err());
        assert_eq!(budget.used(), 7);
        // Lost on the way, by a panic for instance.
        drop(last);
        let outcomes = answer.try_recv().unwrap();
        let refused = |error| Err(error);
        let expected =
            [Ok(applied(5)), refused(ProposeError::NoLeader), refused(ProposeError::Uncertain)];
        assert_eq!(outcomes, expected);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_caller_that_went_away_leaves_nothing_behind() {
        let budget = Budget::new("b", 10);
        let (caller, answer) = oneshot::channel();
        let reply = Reply::One(caller, budget.acquire(4).unwrap());
        drop(answer);
        assert_eq!(budget.used(), 4);
        reply.applied(applied(1));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_refused_read_has_no_unknown_outcome() {
        let budget = Budget::new("b", 10);
        let (caller, mut answer) = oneshot::channel();
        Reply::Read(caller, budget.acquire(1).unwrap()).refuse(ProposeError::Uncertain);
        assert_eq!(answer.try_recv().unwrap(), Err(ReadError::NoLeader));
    }
}
