//! The definition of linearizability, tried out: every subset of the open operations, in every order.
//! Only for a handful of operations.

use sim::history::{Action, Ending, Operation, Outcome};

/// Whether some order explains everything.
pub(crate) fn is_linearizable(operations: &[Operation]) -> bool {
    let candidates: Vec<&Operation> = operations
        .iter()
        .filter(|operation| !matches!(operation.ending, Ending::Refused { .. }))
        .collect();
    goes_on(&candidates, None)
}

fn goes_on(left: &[&Operation], state: Option<u64>) -> bool {
    if left.iter().all(|operation| end(operation).is_none()) {
        return true;
    }
    (0..left.len()).any(|at| {
        let operation = left[at];
        // Whoever was over before this one began comes before it.
        let is_next =
            left.iter().all(|other| end(other).is_none_or(|end| end >= operation.invoked));
        let Some(after) = effect(operation, state).filter(|_| is_next) else { return false };
        let rest: Vec<&Operation> =
            left.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, o)| *o).collect();
        goes_on(&rest, after)
    })
}

fn end(operation: &Operation) -> Option<u64> {
    match operation.ending {
        Ending::Returned { at, .. } => Some(at),
        Ending::Open | Ending::Refused { .. } => None,
    }
}

/// What there is after the operation; none if it cannot have been told what it was.
fn effect(operation: &Operation, state: Option<u64>) -> Option<Option<u64>> {
    let (after, outcome) = match operation.action {
        Action::Get => (state, Outcome::Found(state)),
        Action::Set(value) => (Some(value), Outcome::Done),
        Action::SetNew(value) if state.is_none() => (Some(value), Outcome::Done),
        Action::Delete if state.is_some() => (None, Outcome::Done),
        Action::SetNew(_) | Action::Delete => (state, Outcome::Declined),
        Action::Add(count) => {
            let sum = state.unwrap_or(0) + count;
            (Some(sum), Outcome::Sum(sum))
        }
    };
    match operation.ending {
        Ending::Returned { outcome: told, .. } => (told == outcome).then_some(after),
        Ending::Open | Ending::Refused { .. } => Some(after),
    }
}
