//! The part of a history that shows what is wrong: few operations, not linearizable by themselves.
//!
//! First the moment is found at which the history ceases to be linearizable: the return of an
//! operation such that no order explains it and everything that returned earlier. Then a part is
//! taken in a way that would leave it linearizable if the whole were:
//! - Nothing after that moment: whoever had not returned by then is open.
//! - Nothing before some moment: whatever went before led to some state, and whoever was under way
//!   then may have taken effect before it. So the part begins in an unknown state. A late moment at
//!   which the part still fails is found by halving.
//! - Then without reads, one by one, and without values, each with all that write and read it, where
//!   no other outcome tells whether there was one; as long as what is left fails.

use super::model::{START, State};
use super::narrow::{Item, has_conditions, has_sums};
use super::operation::{Action, Outcome};
use super::search::{Budget, Found, search};

/// A part of a history that is not linearizable.
#[derive(Debug)]
pub(super) struct Window {
    /// What is left of it, in the order of invocation.
    pub(super) items: Vec<Item>,
    /// Whether the state before is unknown, rather than nothing.
    pub(super) has_past: bool,
    /// Whether searches were given up, so that more could perhaps be left out.
    pub(super) is_cut_short: bool,
    /// The source of the operation at whose return it ceases to be linearizable.
    pub(super) unexplained: usize,
    /// The sources of an order that explains everything that returned earlier.
    pub(super) prefix: Vec<usize>,
}

/// A small part of a history that is not linearizable, that is not linearizable either. All that
/// returned before a moment has an order.
pub(super) fn of(items: Vec<Item>, not_before: u64, budget: &mut Budget) -> Window {
    let mut window =
        Window { items, has_past: false, is_cut_short: false, unexplained: 0, prefix: Vec::new() };
    window.forget_the_future(not_before, budget);
    window.forget_the_past(budget);
    window.leave_out_what_does_not_matter(budget);
    window
}

/// The items as they stand right after the return of one of them. Of those that return at the same
/// time, some are taken to come first.
fn until(items: &[Item], end: End) -> Vec<Item> {
    let begun = items.iter().filter(|item| item.invoked <= end.moment);
    begun.filter_map(|item| if end_of(item) <= end { Some(*item) } else { opened(item) }).collect()
}

/// When an operation returned, and which.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    moment: u64,
    source: usize,
}

fn end_of(item: &Item) -> End {
    End { moment: item.until(), source: item.source }
}

/// The items that are not over before a moment.
fn from(items: &[Item], moment: u64) -> Vec<Item> {
    let left = items.iter().filter(|item| item.until() >= moment);
    left.filter_map(|item| if item.invoked >= moment { Some(*item) } else { opened(item) })
        .collect()
}

/// The item without its end; a read without one says nothing.
fn opened(item: &Item) -> Option<Item> {
    let changes = match item.outcome() {
        Some(Outcome::Found(_) | Outcome::Declined) => false,
        Some(Outcome::Done | Outcome::Sum(_)) | None => true,
    };
    changes.then_some(Item { bound: None, ..*item })
}

impl Window {
    /// Whether the items are not linearizable; not known counts as no.
    fn fails(&mut self, items: &[Item], has_past: bool, budget: &mut Budget) -> bool {
        let start = if has_past { State::Unknown } else { START };
        match search(items, start, budget) {
            Found::Nothing(_) => true,
            Found::Order(_) => false,
            Found::GivenUp(_) => {
                self.is_cut_short = true;
                false
            }
        }
    }

    /// Ends the part at the first return that no order explains.
    fn forget_the_future(&mut self, not_before: u64, budget: &mut Budget) {
        let bounded = self.items.iter().filter(|item| item.bound.is_some());
        let mut returns: Vec<End> = bounded.map(end_of).collect();
        returns.sort_unstable();
        let whole = std::mem::take(&mut self.items);
        // Before `low` it is linearizable, at `high` it is not. What is linearizable is seen to be so
        // quickly; so `high` comes from below.
        let mut low = returns.partition_point(|end| end.moment < not_before);
        let (last, mut high, mut stride) = (returns.len() - 1, low, 1);
        while high < last && !self.fails(&until(&whole, returns[high]), false, budget) {
            low = high + 1;
            high = (high + stride).min(last);
            stride *= 2;
        }
        while low < high {
            let middle = low.midpoint(high);
            if self.fails(&until(&whole, returns[middle]), false, budget) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        self.unexplained = returns[low].source;
        self.items = until(&whole, returns[low]);
        let before = low.checked_sub(1).map(|before| until(&whole, returns[before]));
        if let Found::Order(order) = search(&before.unwrap_or_default(), START, budget) {
            self.prefix = order;
        }
    }

    fn forget_the_past(&mut self, budget: &mut Budget) {
        let about = self.items.iter().position(|item| item.source == self.unexplained);
        let about = about.expect("what is not explained is there");
        // Sorted, as the items are; what is not explained has to stay.
        let mut moments: Vec<u64> = self.items[..=about].iter().map(|item| item.invoked).collect();
        moments.dedup();
        // Before `low` it fails, if anywhere; from `high` on it does not.
        let (mut low, mut high) = (0, moments.len());
        while low < high {
            let middle = low.midpoint(high);
            let part = from(&self.items, moments[middle]);
            if self.fails(&part, true, budget) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if let Some(moment) = low.checked_sub(1).and_then(|at| moments.get(at)) {
            self.items = from(&self.items, *moment);
            self.has_past = true;
        }
    }

    fn leave_out_what_does_not_matter(&mut self, budget: &mut Budget) {
        let values_stand_alone = !has_sums(&self.items) && !has_conditions(&self.items);
        // What the report is about stays.
        for item in self.items.clone() {
            if item.source == self.unexplained || !self.items.contains(&item) {
                continue;
            }
            let without = match item.action {
                Action::Get => self.without(|other| *other == item),
                Action::Set(value) if values_stand_alone => {
                    self.without(|other| concerns(other, value))
                }
                Action::Set(_) | Action::SetNew(_) | Action::Delete | Action::Add(_) => continue,
            };
            if self.fails(&without, self.has_past, budget) {
                self.items = without;
            }
        }
    }

    fn without(&self, leaves: impl Fn(&Item) -> bool) -> Vec<Item> {
        self.items.iter().filter(|item| !leaves(item)).copied().collect()
    }
}

/// Whether an item writes or reads a value.
fn concerns(item: &Item, value: u64) -> bool {
    let found = Outcome::Found(Some(value));
    item.action == Action::Set(value) || item.outcome() == Some(found)
}
