//! The operations of one key as the search sees them: fewer of them open, and more of them equal.
//!
//! Four things are said of a history, and none changes whether it is linearizable:
//! - What was refused, and a read whose outcome nobody knows, take no place in any order.
//! - A write whose value was read has taken effect by the moment that the first such read returned,
//!   if no other operation can have made that value. So most writes of unknown outcome are not open.
//! - A write of unknown outcome whose value nobody read, of a key where an outcome can tell nothing
//!   but values, is left out: an order with it is an order without it.
//! - All values that nobody read are as good as each other, and are made equal: of operations that do
//!   the same, the search has to try only one.

use std::collections::BTreeMap;

use super::model::State;
use super::operation::{Action, Ending, Operation, Outcome};

/// An operation that has, or may have, a place in the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Item {
    pub(super) action: Action,
    /// From when on it may take effect.
    pub(super) invoked: u64,
    /// None if it may take effect at any time after that, or never.
    pub(super) bound: Option<Bound>,
    /// Which of the operations it is.
    pub(super) source: usize,
}

/// By when an operation has taken effect, and with what outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bound {
    pub(super) until: u64,
    pub(super) outcome: Outcome,
}

impl Item {
    /// By when it has taken effect; the end of time if nobody knows.
    pub(super) fn until(&self) -> u64 {
        self.bound.map_or(u64::MAX, |bound| bound.until)
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.bound.map(|bound| bound.outcome)
    }
}

/// What takes a place in an order of these operations, as it was told; sorted by invocation.
pub(super) fn items(operations: &[&Operation]) -> Vec<Item> {
    let places = operations.iter().enumerate();
    let mut items: Vec<Item> =
        places.filter_map(|(source, operation)| item(source, operation)).collect();
    items.sort_by_key(|item| (item.invoked, item.until(), item.source));
    items
}

/// Items that have an order from `start` if and only if these have one. What there was before an
/// unknown start, other reads may have seen than those that are there.
pub(super) fn narrow(items: &[Item], start: State) -> Vec<Item> {
    let mut items = items.to_vec();
    if has_sums(&items) {
        return items;
    }
    let reads = first_reads(&items);
    if start != State::Unknown {
        bind_what_was_read(&mut items, &reads);
    }
    let is_unread = |action| written(action).is_some_and(|value| !reads.contains_key(&value));
    if !has_conditions(&items) {
        items.retain(|item| item.bound.is_some() || !is_unread(item.action));
    }
    let stands_for_all = items.iter().find_map(|item| {
        let value = written(item.action)?;
        is_unread(item.action).then_some(value)
    });
    if let Some(common) = stands_for_all {
        items.iter_mut().filter(|item| is_unread(item.action)).for_each(|item| item.write(common));
    }
    items
}

/// Whether any operation adds: then a value does not tell where it comes from.
pub(super) fn has_sums(items: &[Item]) -> bool {
    items.iter().any(|item| matches!(item.action, Action::Add(_)))
}

/// Whether any outcome tells whether there was a value, without saying which.
pub(super) fn has_conditions(items: &[Item]) -> bool {
    items.iter().any(|item| match (item.action, item.outcome()) {
        (Action::SetNew(_) | Action::Delete, outcome) => outcome.is_some(),
        (Action::Get | Action::Set(_) | Action::Add(_), _) => false,
    })
}

fn item(source: usize, operation: &Operation) -> Option<Item> {
    let Operation { action, invoked, .. } = *operation;
    let bound = match operation.ending {
        Ending::Refused { .. } => return None,
        Ending::Open if action == Action::Get => return None,
        Ending::Open => None,
        Ending::Returned { at, outcome } => Some(Bound { until: at, outcome }),
    };
    Some(Item { action, invoked, bound, source })
}

/// Of each value that was read, when the first such read returned.
fn first_reads(items: &[Item]) -> BTreeMap<u64, u64> {
    let mut reads = BTreeMap::new();
    for item in items {
        if let Some(Bound { until, outcome: Outcome::Found(Some(value)) }) = item.bound {
            let first = reads.entry(value).or_insert(until);
            *first = (*first).min(until);
        }
    }
    reads
}

/// The value that an operation puts there, if it does.
const fn written(action: Action) -> Option<u64> {
    match action {
        Action::Set(value) | Action::SetNew(value) => Some(value),
        Action::Get | Action::Delete | Action::Add(_) => None,
    }
}

impl Item {
    const fn write(&mut self, other: u64) {
        match &mut self.action {
            Action::Set(value) | Action::SetNew(value) => *value = other,
            Action::Get | Action::Delete | Action::Add(_) => {}
        }
    }
}

fn bind_what_was_read(items: &mut [Item], reads: &BTreeMap<u64, u64>) {
    let mut writers: BTreeMap<u64, usize> = BTreeMap::new();
    for value in items.iter().filter_map(|item| written(item.action)) {
        *writers.entry(value).or_default() += 1;
    }
    for item in items {
        let Some(value) = written(item.action) else { continue };
        let Some(until) = reads.get(&value).copied() else { continue };
        // A value that was read before it was written has no explanation, here or elsewhere.
        let explains = writers[&value] == 1 && item.invoked <= until;
        let took_effect = item.outcome().is_none_or(|outcome| outcome == Outcome::Done);
        if explains && took_effect && until < item.until() {
            item.bound = Some(Bound { until, outcome: Outcome::Done });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::ClientId;
    use super::*;

    fn operation(action: Action, invoked: u64, ending: Ending) -> Operation {
        Operation { client: ClientId(0), key: "k".into(), action, invoked, ending }
    }

    fn returned(action: Action, invoked: u64, at: u64, outcome: Outcome) -> Operation {
        operation(action, invoked, Ending::Returned { at, outcome })
    }

    fn narrowed(operations: &[Operation]) -> Vec<(Action, Option<u64>)> {
        let operations: Vec<&Operation> = operations.iter().collect();
        let items = narrow(&items(&operations), State::Known(None));
        items.iter().map(|item| (item.action, item.bound.map(|bound| bound.until))).collect()
    }

    #[test]
    fn what_cannot_matter_is_left_out() {
        let found = narrowed(&[
            operation(Action::Set(1), 0, Ending::Refused { at: 3 }),
            operation(Action::Get, 1, Ending::Open),
            operation(Action::Set(2), 2, Ending::Open),
            returned(Action::Set(3), 4, 5, Outcome::Done),
        ]);
        assert_eq!(found, [(Action::Set(3), Some(5))]);
    }

    #[test]
    fn a_write_has_taken_effect_once_its_value_is_read() {
        let found = narrowed(&[
            operation(Action::Set(1), 0, Ending::Open),
            returned(Action::Set(2), 1, 90, Outcome::Done),
            returned(Action::Get, 2, 9, Outcome::Found(Some(1))),
            returned(Action::Get, 3, 8, Outcome::Found(Some(1))),
            returned(Action::Get, 4, 7, Outcome::Found(Some(2))),
        ]);
        assert_eq!(found[..2], [(Action::Set(1), Some(8)), (Action::Set(2), Some(7))]);
    }

    #[test]
    fn a_value_of_several_writes_binds_none() {
        let found = narrowed(&[
            operation(Action::Set(1), 0, Ending::Open),
            operation(Action::Set(1), 1, Ending::Open),
            returned(Action::Get, 2, 9, Outcome::Found(Some(1))),
        ]);
        assert_eq!(found[..2], [(Action::Set(1), None), (Action::Set(1), None)]);
    }

    #[test]
    fn unread_writes_of_unknown_outcome_are_equal_where_they_may_still_be_noticed() {
        let found = narrowed(&[
            operation(Action::Set(7), 0, Ending::Open),
            operation(Action::Set(8), 1, Ending::Open),
            returned(Action::Delete, 2, 9, Outcome::Done),
        ]);
        let expected = [(Action::Set(7), None), (Action::Set(7), None), (Action::Delete, Some(9))];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_there_was_before_may_have_been_read_too() {
        let read = returned(Action::Get, 2, 9, Outcome::Found(Some(1)));
        let operations = [operation(Action::Set(1), 0, Ending::Open), read];
        let operations: Vec<&Operation> = operations.iter().collect();
        let items = items(&operations);
        assert_eq!(narrow(&items, State::Unknown), items);
        assert_ne!(narrow(&items, State::Known(None)), items);
    }

    #[test]
    fn sums_leave_everything_as_it_was() {
        let found = narrowed(&[
            operation(Action::Set(1), 0, Ending::Open),
            returned(Action::Add(1), 1, 5, Outcome::Sum(1)),
            returned(Action::Get, 2, 9, Outcome::Found(Some(1))),
        ]);
        assert_eq!(found[0], (Action::Set(1), None));
    }
}
