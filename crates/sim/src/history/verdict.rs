//! The check of a whole history.

use std::collections::BTreeMap;
use std::fmt;

use super::certificate;
use super::model::START;
use super::narrow::items;
use super::operation::Operation;
use super::record::History;
use super::report::Violation;
use super::search::{Budget, Found, search};
use super::window;

/// What the check of one key may use. A history whose values are unique takes about one step per
/// operation and hardly any memory; one that reaches these defaults has dozens of writes of unknown
/// outcome that cannot be told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Configurations that are looked at. Default 50,000,000, about a minute.
    pub steps_max: u64,
    /// Bytes of those that are remembered, roughly. Default 1 GiB.
    pub memory_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps_max: 50_000_000, memory_bytes_max: 1 << 30 }
    }
}

/// A history that is linearizable, and what it took to see that.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Checked {
    /// Keys, each of which was checked alone.
    pub keys: usize,
    /// Operations, those refused and open included.
    pub operations: usize,
    /// Configurations that were looked at, over all keys.
    pub steps: u64,
}

/// A history that did not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HistoryError {
    /// No order explains what the clients of a key were told. Somebody lost, invented, repeated or
    /// hid something: read the report.
    NotLinearizable(Box<Violation>),
    /// The search was given up: the history may be linearizable or not. Raise the limit, or record
    /// fewer operations of unknown outcome per key.
    Undecided {
        /// Which key.
        key: String,
        /// How many operations it has.
        operations: usize,
        /// The field of [`Limits`] that was reached.
        limit: &'static str,
        /// Its value.
        value: u64,
    },
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLinearizable(violation) => violation.fmt(f),
            Self::Undecided { key, operations, limit, value } => write!(
                f,
                "key {key:?}: whether its {operations} operations are linearizable is not decided: \
                 {limit} = {value} is used up"
            ),
        }
    }
}

impl std::error::Error for HistoryError {}

impl History {
    /// Looks for an order that explains what every client was told, key by key.
    ///
    /// # Errors
    /// The first key without one, in the order of keys; if there is none, the first that could not
    /// be decided within `limits`.
    ///
    /// # Panics
    /// If the checker contradicts itself.
    pub fn check(&self, limits: Limits) -> Result<Checked, HistoryError> {
        let mut checked = Checked::default();
        let mut undecided = None;
        for (key, operations) in by_key(self.operations()) {
            match check_key(key, &operations, limits) {
                Ok(steps) => checked.steps += steps,
                Err(HistoryError::NotLinearizable(violation)) => {
                    return Err(HistoryError::NotLinearizable(violation));
                }
                Err(error @ HistoryError::Undecided { .. }) => {
                    undecided.get_or_insert(error);
                }
            }
            checked.keys += 1;
            checked.operations += operations.len();
        }
        undecided.map_or(Ok(checked), Err)
    }
}

fn by_key(operations: &[Operation]) -> BTreeMap<&str, Vec<&Operation>> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        keys.entry(&operation.key).or_default().push(operation);
    }
    for operations in keys.values_mut() {
        operations.sort_by_key(|operation| (operation.invoked, operation.client));
    }
    keys
}

/// Checks one key; tells how many steps it took.
fn check_key(key: &str, operations: &[&Operation], limits: Limits) -> Result<u64, HistoryError> {
    let items = items(operations);
    let mut budget = Budget::new(limits);
    match search(&items, START, &mut budget) {
        Found::Order(order) => {
            if let Err(wrong) = certificate::verify(operations, &order) {
                panic!("key {key:?}: the order that was found explains nothing: {wrong}");
            }
            Ok(budget.steps)
        }
        Found::Nothing(not_before) => {
            let window = window::of(items, not_before, &mut budget);
            let violation = Violation::new(key, operations, &window);
            Err(HistoryError::NotLinearizable(Box::new(violation)))
        }
        Found::GivenUp(limit) => {
            let value = match limit {
                "steps_max" => limits.steps_max,
                _ => limits.memory_bytes_max as u64,
            };
            let (key, operations) = (key.to_owned(), operations.len());
            Err(HistoryError::Undecided { key, operations, limit, value })
        }
    }
}
