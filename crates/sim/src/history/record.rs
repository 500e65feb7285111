//! The record of what clients did.

use super::operation::{Action, ClientId, Ending, Operation, Outcome};

/// Names an operation of the history that it was invoked in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperationId(usize);

/// Every operation of every client, with what became of it.
///
/// Times are given by the caller: `u64`s of one clock that never falls, nanoseconds for instance, or
/// a count of events. One operation comes before another if it returned *before* the other was
/// invoked; at equal times they count as concurrent. Threads take down a history each, by the same
/// clock, and [`History::merge`] them.
#[derive(Clone, Default, Debug)]
pub struct History {
    operations: Vec<Operation>,
}

impl History {
    /// A client is about to ask. To be called before the request can have reached anybody; it stays
    /// open unless its end is told.
    pub fn invoke(&mut self, client: ClientId, key: &str, action: Action, at: u64) -> OperationId {
        let id = OperationId(self.operations.len());
        let (key, ending) = (key.to_owned(), Ending::Open);
        self.operations.push(Operation { client, key, action, invoked: at, ending });
        id
    }

    /// A client has its answer. To be called after it has arrived.
    ///
    /// # Panics
    /// If the operation has ended before, ends before it began, or cannot have that outcome.
    pub fn returned(&mut self, id: OperationId, outcome: Outcome, at: u64) {
        let action = self.operations[id.0].action;
        assert!(action.is_answered_by(outcome), "{action} is answered by {outcome:?}");
        self.end(id, at, Ending::Returned { at, outcome });
    }

    /// A client was told that nothing was done, and nothing will be.
    ///
    /// # Panics
    /// If the operation has ended before, or ends before it began.
    pub fn refused(&mut self, id: OperationId, at: u64) {
        self.end(id, at, Ending::Refused { at });
    }

    fn end(&mut self, id: OperationId, at: u64, ending: Ending) {
        let operation = &mut self.operations[id.0];
        assert_eq!(operation.ending, Ending::Open, "{operation} ends again");
        assert!(operation.invoked <= at, "{operation} ends at {at}, before it began");
        operation.ending = ending;
    }

    /// Takes over what another client or thread took down by the same clock. Its open operations
    /// can no longer be ended.
    pub fn merge(&mut self, other: Self) {
        self.operations.extend(other.operations);
    }

    /// All operations, in no particular order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ended_stays_open() {
        let mut history = History::default();
        let read = history.invoke(ClientId(1), "k", Action::Get, 5);
        history.invoke(ClientId(2), "k", Action::Set(1), 6);
        history.returned(read, Outcome::Found(None), 7);
        let mut other = History::default();
        let write = other.invoke(ClientId(3), "l", Action::Delete, 6);
        other.refused(write, 6);
        history.merge(other);
        let shown: Vec<String> =
            history.operations().iter().map(|operation| operation.to_string()).collect();
        let expected =
            ["client 1 get -> nothing", "client 2 set 1 -> unknown", "client 3 delete -> refused"];
        assert_eq!(shown, expected);
    }

    #[test]
    #[should_panic(expected = "client 1 set 1 -> refused ends again")]
    fn nothing_ends_twice() {
        let mut history = History::default();
        let write = history.invoke(ClientId(1), "k", Action::Set(1), 5);
        history.refused(write, 6);
        history.returned(write, Outcome::Done, 7);
    }

    #[test]
    #[should_panic(expected = "get is answered by Done")]
    fn an_answer_fits_its_question() {
        let mut history = History::default();
        let read = history.invoke(ClientId(1), "k", Action::Get, 5);
        history.returned(read, Outcome::Done, 7);
    }
}
