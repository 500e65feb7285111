//! The search for an order that explains every outcome.
//!
//! From a configuration (which items have their place, and the state that they lead to) it tries
//! every item that may come next: those invoked before the first return that is not in the order
//! yet. It goes back where nothing fits (Wing and Gong), and does not go twice into a configuration,
//! whichever way it leads there (Lowe; `reached`).
//!
//! Three things keep it from trying what leads nowhere:
//! - An outcome that tells of the state and changes nothing is put into the order as soon as it fits.
//!   If there is an order at all from here, there is one in which it comes now: nothing that is left
//!   has to come before it, and nobody else notices.
//! - Items are tried by the moment by which they must have taken effect, open ones last. Of several
//!   that do the same only the first is tried: in an order that begins with another one, the two can
//!   change places.
//! - A value is not replaced while somebody waits to read it whom nobody else serves (`stock`).
//!
//! Invariants: `front` is the first of `deadlines` that is not taken; `ahead` are the taken ones that
//! are not before `front`, `spent` the open ones that are taken, both sorted. So (front, state, ahead,
//! spent) names a configuration.

use super::model::{State, step};
use super::narrow::{Item, narrow};
use super::operation::Outcome;
use super::reached::Reached;
use super::stock::Stock;
use super::verdict::Limits;
use super::waiting::Waiting;

/// What a search came to.
#[derive(Debug)]
pub(super) enum Found {
    /// An order, as sources of items.
    Order(Vec<usize>),
    /// There is none. Up to before this moment there is one.
    Nothing(u64),
    /// Nobody knows: the limit of that name is reached.
    GivenUp(&'static str),
}

/// What searches may still use; those of one key share it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    limits: Limits,
    pub(super) steps: u64,
}

impl Budget {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { limits, steps: 0 }
    }
}

/// Searches an order of `items`, which are sorted by their invocation, that begins at `start`.
pub(super) fn search(items: &[Item], start: State, budget: &mut Budget) -> Found {
    let items = narrow(items, start);
    let mut search = Search::new(&items, start);
    loop {
        if search.front == search.deadlines.len() {
            return Found::Order(search.order());
        }
        if budget.steps >= budget.limits.steps_max {
            return Found::GivenUp("steps_max");
        }
        if search.reached.bytes() >= budget.limits.memory_bytes_max {
            return Found::GivenUp("memory_bytes_max");
        }
        budget.steps += 1;
        search.expand();
        while !search.go_on() {
            if !search.go_back() {
                return Found::Nothing(items[search.deadlines[search.front_max]].until());
            }
        }
    }
}

/// A configuration on the way to the present one, and what can still be tried from it.
#[derive(Clone, Copy)]
struct Level {
    state: State,
    front: usize,
    /// Where its choices begin; the next one to try.
    choices: usize,
    next: usize,
    /// The choice that is being tried.
    taken: usize,
}

struct Search<'a> {
    items: &'a [Item],
    /// The places of items that must have taken effect at some time, by that time.
    deadlines: Vec<usize>,
    waiting: Waiting,
    stock: Stock,
    is_taken: Vec<bool>,
    front: usize,
    /// The furthest that it ever was.
    front_max: usize,
    ahead: Vec<u32>,
    spent: Vec<u32>,
    state: State,
    levels: Vec<Level>,
    choices: Vec<usize>,
    reached: Reached,
}

impl<'a> Search<'a> {
    fn new(items: &'a [Item], state: State) -> Self {
        let bounded = |place: &usize| items[*place].bound.is_some();
        let mut deadlines: Vec<usize> = (0..items.len()).filter(bounded).collect();
        deadlines.sort_by_key(|place| (items[*place].until(), *place));
        Self {
            items,
            deadlines,
            waiting: Waiting::new(items.len()),
            stock: Stock::new(items),
            is_taken: vec![false; items.len()],
            front: 0,
            front_max: 0,
            ahead: Vec::new(),
            spent: Vec::new(),
            state,
            levels: Vec::new(),
            choices: Vec::new(),
            reached: Reached::default(),
        }
    }

    fn order(&self) -> Vec<usize> {
        self.levels.iter().map(|level| self.items[level.taken].source).collect()
    }

    /// Begins a level with what may come next.
    fn expand(&mut self) {
        let from = self.choices.len();
        let horizon = self.items[self.deadlines[self.front]].until();
        for place in self.waiting.iter() {
            let item = &self.items[place];
            if item.invoked > horizon {
                break;
            }
            let Some(after) = step(self.state, item.action, item.outcome()) else { continue };
            let is_same = after == self.state;
            if is_same && only_tells(item.outcome()) {
                self.choices.truncate(from);
                self.choices.push(place);
                break;
            }
            // An open one that changes nothing is worth more later.
            let is_wasted = is_same && item.bound.is_none();
            if !is_wasted && (is_same || self.stock.may_leave(self.state)) {
                self.choices.push(place);
            }
        }
        let items = self.items;
        self.choices[from..].sort_by_key(|place| (items[*place].until(), *place));
        self.leave_out_what_does_the_same(from);
        let (state, front) = (self.state, self.front);
        self.levels.push(Level { state, front, choices: from, next: from, taken: 0 });
    }

    /// Keeps the first of those choices that have the same effect.
    fn leave_out_what_does_the_same(&mut self, from: usize) {
        let mut kept = from;
        for at in from..self.choices.len() {
            let item = &self.items[self.choices[at]];
            let does_the_same = |other: &usize| {
                let other = &self.items[*other];
                other.action == item.action
                    && other.bound.is_some() == item.bound.is_some()
                    && other.outcome() == item.outcome()
            };
            if !self.choices[from..kept].iter().any(does_the_same) {
                self.choices[kept] = self.choices[at];
                kept += 1;
            }
        }
        self.choices.truncate(kept);
    }

    /// Tries the next choice of the last level that leads somewhere new; false if there is none.
    fn go_on(&mut self) -> bool {
        while let Some(level) = self.levels.last_mut() {
            let Some(place) = self.choices.get(level.next).copied() else { return false };
            level.next += 1;
            level.taken = place;
            // What only tells leaves no choice where it fits, and need not be remembered.
            let before = level.state;
            self.take(place);
            let told = only_tells(self.items[place].outcome()) && self.state == before;
            if told || self.is_new() {
                return true;
            }
            self.undo();
        }
        false
    }

    /// Ends the last level and undoes what led to it; false if nothing did.
    fn go_back(&mut self) -> bool {
        let Some(level) = self.levels.pop() else { return false };
        self.choices.truncate(level.choices);
        if self.levels.is_empty() {
            return false;
        }
        self.undo();
        true
    }

    fn take(&mut self, place: usize) {
        let item = &self.items[place];
        self.state = step(self.state, item.action, item.outcome()).expect("a choice fits");
        self.waiting.take_out(place);
        self.stock.take_out(item);
        self.is_taken[place] = true;
        if item.bound.is_none() {
            insert(&mut self.spent, place);
            return;
        }
        insert(&mut self.ahead, place);
        while let Some(place) = self.deadlines.get(self.front)
            && self.is_taken[*place]
        {
            remove(&mut self.ahead, *place);
            self.front += 1;
        }
        self.front_max = self.front_max.max(self.front);
    }

    /// Undoes the choice of the last level.
    fn undo(&mut self) {
        let Level { state, front, taken, .. } = *self.levels.last().expect("a choice has a level");
        for at in front..self.front {
            insert(&mut self.ahead, self.deadlines[at]);
        }
        let is_open = self.items[taken].bound.is_none();
        remove(if is_open { &mut self.spent } else { &mut self.ahead }, taken);
        self.front = front;
        self.state = state;
        self.is_taken[taken] = false;
        self.waiting.put_back(taken);
        self.stock.put_back(&self.items[taken]);
    }

    /// Whether the search has not been here before.
    fn is_new(&mut self) -> bool {
        self.reached.is_new(self.front, self.state, &self.ahead, &self.spent)
    }
}

fn insert(places: &mut Vec<u32>, place: usize) {
    let place = short(place);
    let at = places.binary_search(&place).expect_err("a place is taken once");
    places.insert(at, place);
}

fn remove(places: &mut Vec<u32>, place: usize) {
    let at = places.binary_search(&short(place)).expect("what is undone was taken");
    places.remove(at);
}

/// Half the memory for what is remembered most.
fn short(place: usize) -> u32 {
    u32::try_from(place).expect("a key has fewer than 2^32 operations")
}

/// Whether an outcome tells what there is and changes nothing.
const fn only_tells(outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Found(_) | Outcome::Declined))
}
