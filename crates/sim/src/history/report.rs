//! What a violation looks like to whoever has to find its cause.

use std::collections::BTreeSet;
use std::fmt;

use super::model::apply;
use super::operation::{Action, Ending, Operation, Outcome};
use super::window::Window;

/// How many operations of a window are shown: its last ones.
const ROWS_MAX: usize = 40;
/// How many operations of the longest order are shown: its last ones.
const PREFIX_MAX: usize = 12;
/// How wide a timeline is, in characters.
const COLUMNS: usize = 48;

/// A key whose history no order explains. Its `Display` is the report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The key.
    pub key: String,
    /// How many operations it has.
    pub operations: usize,
    /// The operation that no order explains which explains all that returned earlier.
    pub unexplained: Operation,
    /// What else is known of the value that it was told.
    pub hint: Option<String>,
    /// A few operations that are not linearizable by themselves, in the order of invocation.
    pub window: Vec<Operation>,
    /// Whether the window begins with any value, as the last of many operations, rather than none.
    pub has_past: bool,
    /// Whether more operations could perhaps have been left out of the window.
    pub is_cut_short: bool,
    /// How many operations the longest order has that explains a part of the history.
    pub prefix_length: usize,
    /// The last operations of that order, with what there is after each.
    pub prefix: Vec<(Operation, Option<u64>)>,
}

impl Violation {
    pub(super) fn new(key: &str, operations: &[&Operation], window: &Window) -> Self {
        let unexplained = operations[window.unexplained];
        let shown = window.items.iter().map(|item| operations[item.source].clone());
        let mut prefix = Vec::new();
        let mut value = None;
        for source in &window.prefix {
            value = apply(value, operations[*source].action).0;
            prefix.push((operations[*source].clone(), value));
        }
        let prefix_length = prefix.len();
        prefix.drain(..prefix_length.saturating_sub(PREFIX_MAX));
        Self {
            key: key.to_owned(),
            operations: operations.len(),
            unexplained: unexplained.clone(),
            hint: hint(operations, unexplained),
            window: shown.collect(),
            has_past: window.has_past,
            is_cut_short: window.is_cut_short,
            prefix_length,
            prefix,
        }
    }
}

/// What is known of the value that a read found, if that is odd by itself.
fn hint(operations: &[&Operation], read: &Operation) -> Option<String> {
    let Ending::Returned { at, outcome: Outcome::Found(Some(value)) } = read.ending else {
        return None;
    };
    let mut writers = operations.iter().filter(
        |operation| matches!(operation.action, Action::Set(of) | Action::SetNew(of) if of == value),
    );
    if operations.iter().any(|operation| matches!(operation.action, Action::Add(_))) {
        return None;
    }
    let Some(first) = writers.next() else { return Some(format!("Nobody ever wrote {value}.")) };
    let is_harmless = |writer: &Operation| match writer.ending {
        Ending::Open => writer.invoked > at,
        Ending::Refused { .. } => true,
        Ending::Returned { outcome, .. } => outcome != Outcome::Done || writer.invoked > at,
    };
    if !is_harmless(first) || writers.any(|writer| !is_harmless(writer)) {
        return None;
    }
    let when = if first.invoked > at { ", and began later" } else { "" };
    Some(format!("Of {value} there is only: {first}{when}."))
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operations, unexplained, .. } = self;
        writeln!(f, "key {key:?}: its {operations} operations are not linearizable")?;
        writeln!(f, "No order explains this one and all that returned before it: {unexplained}")?;
        if let Some(hint) = &self.hint {
            writeln!(f, "{hint}")?;
        }
        self.write_window(f)?;
        self.write_prefix(f)
    }
}

impl Violation {
    fn write_window(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = if self.is_cut_short { ", perhaps with more than it takes" } else { "" };
        let before = if self.has_past { "any value" } else { "nothing" };
        let count = self.window.len();
        writeln!(f, "These {count} show it{least}, where there is {before} at first:")?;
        let skipped = count.saturating_sub(ROWS_MAX);
        if skipped > 0 {
            writeln!(f, "  ({skipped} earlier ones are not shown)")?;
        }
        let rows = &self.window[skipped..];
        let scale = Scale::new(rows, end_of(&self.unexplained));
        let width = rows.iter().map(|row| row.to_string().len()).max().unwrap_or_default();
        for row in rows {
            let mark = if row == &self.unexplained { " <- not explained" } else { "" };
            let text = row.to_string();
            writeln!(f, "  {text:<width$}  {}  {}{mark}", scale.bar(row), scale.times(row))?;
        }
        Ok(())
    }

    fn write_prefix(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The longest order has {} operations; it ends with", self.prefix_length)?;
        for (operation, value) in &self.prefix {
            writeln!(f, "  {operation}, then there is {}", Outcome::Found(*value))?;
        }
        Ok(())
    }
}

/// When an operation was over, if it ever was.
const fn end_of(operation: &Operation) -> Option<u64> {
    match operation.ending {
        Ending::Open => None,
        Ending::Refused { at } | Ending::Returned { at, .. } => Some(at),
    }
}

/// Where moments are in a timeline: in their order, not to scale, since milliseconds of work stand
/// beside seconds of waiting.
struct Scale {
    /// Without what comes after the end of the timeline.
    moments: Vec<u64>,
}

impl Scale {
    fn new(rows: &[Operation], end: Option<u64>) -> Self {
        let moments = rows.iter().flat_map(|row| [Some(row.invoked), end_of(row)]).flatten();
        let moments: BTreeSet<u64> =
            moments.filter(|at| end.is_none_or(|end| *at <= end)).collect();
        Self { moments: moments.into_iter().collect() }
    }

    fn column(&self, at: u64) -> usize {
        let last = self.moments.len().saturating_sub(1).max(1);
        let rank = self.moments.partition_point(|moment| *moment < at);
        rank.min(last) * (COLUMNS - 1) / last
    }

    /// `   |====|   `, or `   |====>   ` for what is not over within the timeline.
    fn bar(&self, row: &Operation) -> String {
        let from = self.column(row.invoked);
        let end = end_of(row).filter(|end| self.moments.last().is_some_and(|last| end <= last));
        let (to, tip) = end.map_or((COLUMNS - 1, '>'), |end| (self.column(end), '|'));
        let shaft = |column| if column == from { '|' } else { '=' };
        let bar = (0..COLUMNS).map(|column| match column {
            _ if column < from || column > to => ' ',
            _ if column == to => tip,
            _ => shaft(column),
        });
        bar.collect()
    }

    fn times(&self, row: &Operation) -> String {
        let end = end_of(row).map_or_else(String::new, |end| end.to_string());
        format!("{}..{end}", row.invoked)
    }
}
