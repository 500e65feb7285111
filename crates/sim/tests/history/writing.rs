//! Short words for writing histories down.

use std::ops::Range;

use sim::history::{Action, ClientId, Ending, History, HistoryError, Limits, Operation, Outcome};
use sim::history::{Checked, Violation};

/// The key that all stories are about.
pub(crate) const KEY: &str = "k";

/// An operation that returned.
pub(crate) fn told(client: u32, action: Action, time: Range<u64>, outcome: Outcome) -> Operation {
    operation(client, action, time.start, Ending::Returned { at: time.end, outcome })
}

/// A write that was done.
pub(crate) fn set(client: u32, value: u64, time: Range<u64>) -> Operation {
    told(client, Action::Set(value), time, Outcome::Done)
}

/// A read that found a value; 0 stands for nothing.
pub(crate) fn get(client: u32, value: u64, time: Range<u64>) -> Operation {
    told(client, Action::Get, time, Outcome::Found((value > 0).then_some(value)))
}

/// An operation whose outcome nobody knows.
pub(crate) fn open(client: u32, action: Action, from: u64) -> Operation {
    operation(client, action, from, Ending::Open)
}

/// An operation that was certainly not done.
pub(crate) fn refused(client: u32, action: Action, time: Range<u64>) -> Operation {
    operation(client, action, time.start, Ending::Refused { at: time.end })
}

fn operation(client: u32, action: Action, invoked: u64, ending: Ending) -> Operation {
    Operation { client: ClientId(client), key: KEY.to_owned(), action, invoked, ending }
}

/// The history of these operations.
pub(crate) fn history(operations: &[Operation]) -> History {
    let mut history = History::default();
    for operation in operations {
        let Operation { client, key, action, invoked, ending } = operation;
        let id = history.invoke(*client, key, *action, *invoked);
        match ending {
            Ending::Open => {}
            Ending::Refused { at } => history.refused(id, *at),
            Ending::Returned { at, outcome } => history.returned(id, *outcome, *at),
        }
    }
    history
}

/// Passes if the operations are linearizable.
#[track_caller]
pub(crate) fn passes(operations: &[Operation]) -> Checked {
    match history(operations).check(Limits::default()) {
        Ok(checked) => checked,
        Err(error) => panic!("{error}"),
    }
}

/// Passes if they are not; tells what is said of them.
#[track_caller]
pub(crate) fn fails(operations: &[Operation]) -> Violation {
    match history(operations).check(Limits::default()) {
        Ok(_) => panic!("it is taken for linearizable: {operations:?}"),
        Err(HistoryError::NotLinearizable(violation)) => *violation,
        Err(error @ HistoryError::Undecided { .. }) => panic!("{error}"),
    }
}
