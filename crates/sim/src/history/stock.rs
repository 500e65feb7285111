//! How many operations without a place in the order still need a value, and how many still make it.
//!
//! A value that nobody makes again must not be replaced while somebody has yet to read it: no order
//! begins that way. With unique values that leaves the search next to nothing to try in vain.

use std::collections::BTreeMap;

use super::model::State;
use super::narrow::{Item, has_sums};
use super::operation::{Action, Outcome};

/// What is still wanted, and still to come, by value.
#[derive(Debug)]
pub(super) struct Stock {
    left: BTreeMap<Option<u64>, Left>,
    /// A sum may make any value, so that nothing can be said.
    says_nothing: bool,
}

#[derive(Clone, Copy, Default, Debug)]
struct Left {
    readers: usize,
    writers: usize,
}

/// What an item does to a value.
#[derive(Clone, Copy)]
enum Part {
    Reads(Option<u64>),
    Writes(Option<u64>),
    Neither,
}

impl Stock {
    pub(super) fn new(items: &[Item]) -> Self {
        let mut stock = Self { left: BTreeMap::new(), says_nothing: has_sums(items) };
        items.iter().for_each(|item| stock.put_back(item));
        stock
    }

    /// The item has its place.
    pub(super) fn take_out(&mut self, item: &Item) {
        if let Some(count) = self.count(item) {
            *count -= 1;
        }
    }

    /// The item has no place any more.
    pub(super) fn put_back(&mut self, item: &Item) {
        if let Some(count) = self.count(item) {
            *count += 1;
        }
    }

    /// Whether another state may follow.
    pub(super) fn may_leave(&self, state: State) -> bool {
        let State::Known(value) = state else { return true };
        let left = self.left.get(&value).copied().unwrap_or_default();
        self.says_nothing || left.readers == 0 || left.writers > 0
    }

    fn count(&mut self, item: &Item) -> Option<&mut usize> {
        match part(item) {
            Part::Reads(value) => Some(&mut self.left.entry(value).or_default().readers),
            Part::Writes(value) => Some(&mut self.left.entry(value).or_default().writers),
            Part::Neither => None,
        }
    }
}

const fn part(item: &Item) -> Part {
    match (item.action, item.bound) {
        (Action::Get, Some(bound)) => match bound.outcome {
            Outcome::Found(value) => Part::Reads(value),
            Outcome::Done | Outcome::Declined | Outcome::Sum(_) => Part::Neither,
        },
        (Action::Delete | Action::SetNew(_), Some(bound))
            if matches!(bound.outcome, Outcome::Declined) =>
        {
            // A deletion that declined found nothing; what the other one found, nobody knows.
            if matches!(item.action, Action::Delete) { Part::Reads(None) } else { Part::Neither }
        }
        (Action::Set(value) | Action::SetNew(value), _) => Part::Writes(Some(value)),
        (Action::Delete, _) => Part::Writes(None),
        (Action::Get | Action::Add(_), _) => Part::Neither,
    }
}
