//! What one machine does that does one operation after the other.

use super::operation::{Action, Outcome};

/// What a key is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum State {
    /// What it was before a part of a history that is looked at alone: it fits everything, once.
    Unknown,
    /// A value, or nothing.
    Known(Option<u64>),
}

/// What a key is at first.
pub(super) const START: State = State::Known(None);

/// Does an operation.
pub(super) const fn apply(before: Option<u64>, action: Action) -> (Option<u64>, Outcome) {
    match (action, before) {
        (Action::Get, _) => (before, Outcome::Found(before)),
        (Action::Set(value), _) | (Action::SetNew(value), None) => (Some(value), Outcome::Done),
        (Action::SetNew(_), Some(_)) | (Action::Delete, None) => (before, Outcome::Declined),
        (Action::Delete, Some(_)) => (None, Outcome::Done),
        (Action::Add(count), before) => {
            let sum = match before {
                Some(value) => value.wrapping_add(count),
                None => count,
            };
            (Some(sum), Outcome::Sum(sum))
        }
    }
}

/// The state after an operation that had `outcome`, or, without one, after it took effect in
/// whatever way; none if it cannot have had that outcome.
pub(super) fn step(before: State, action: Action, outcome: Option<Outcome>) -> Option<State> {
    let State::Known(value) = before else { return Some(step_from_unknown(action, outcome)) };
    let (after, found) = apply(value, action);
    outcome.is_none_or(|outcome| outcome == found).then_some(State::Known(after))
}

/// The outcome says what there was.
const fn step_from_unknown(action: Action, outcome: Option<Outcome>) -> State {
    match (action, outcome) {
        (_, Some(Outcome::Found(value))) => State::Known(value),
        (_, Some(Outcome::Sum(sum))) => State::Known(Some(sum)),
        (Action::Set(value), _) | (Action::SetNew(value), Some(Outcome::Done)) => {
            State::Known(Some(value))
        }
        (Action::Delete, _) => State::Known(None),
        (Action::SetNew(_) | Action::Get | Action::Add(_), _) => State::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_does_what_it_says() {
        let (one, two) = (Some(1), Some(2));
        for (before, action, after, outcome) in [
            (None, Action::Get, None, Outcome::Found(None)),
            (one, Action::Get, one, Outcome::Found(one)),
            (one, Action::Set(2), two, Outcome::Done),
            (None, Action::SetNew(2), two, Outcome::Done),
            (one, Action::SetNew(2), one, Outcome::Declined),
            (one, Action::Delete, None, Outcome::Done),
            (None, Action::Delete, None, Outcome::Declined),
            (None, Action::Add(2), two, Outcome::Sum(2)),
            (one, Action::Add(1), two, Outcome::Sum(2)),
        ] {
            assert_eq!(apply(before, action), (after, outcome), "{action} on {before:?}");
            assert!(action.is_answered_by(outcome));
            let (before, after) = (State::Known(before), State::Known(after));
            assert_eq!(step(before, action, Some(outcome)), Some(after));
            assert_eq!(step(before, action, None), Some(after));
            // What nobody knows may have been the state before.
            let from_unknown = step(State::Unknown, action, Some(outcome)).unwrap();
            assert!(from_unknown == after || from_unknown == State::Unknown, "{action}");
        }
        assert_eq!(step(State::Known(one), Action::Get, Some(Outcome::Found(two))), None);
    }
}
