//! The configurations that a search has been to, so that it goes into none of them again (Lowe).
//!
//! Open operations need not take effect. So a configuration in which more of them have, and all else
//! is the same, offers nothing that the other does not: where one with fewer was reached, nobody has
//! to go on. Without that, every write of unknown outcome would double the work.

use std::collections::HashMap;

use super::model::State;

/// What, beside the open operations that took effect, there is to a configuration.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Configuration {
    front: usize,
    state: State,
    ahead: Box<[u32]>,
}

/// All of them, and what they take.
#[derive(Default, Debug)]
pub(super) struct Reached {
    /// With the sets of open operations that were spent on the way there, each sorted, none within
    /// another.
    spent: HashMap<Configuration, Vec<Box<[u32]>>>,
    bytes: usize,
}

impl Reached {
    /// Roughly how much memory they take.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether this one is new, and no better one was reached. `ahead` and `spent` are sorted.
    pub(super) fn is_new(
        &mut self,
        front: usize,
        state: State,
        ahead: &[u32],
        spent: &[u32],
    ) -> bool {
        let configuration = Configuration { front, state, ahead: ahead.into() };
        let bytes = size_of::<Configuration>() + size_of_val(ahead);
        let known = self.spent.entry(configuration).or_default();
        if known.is_empty() {
            self.bytes += bytes;
        }
        if known.iter().any(|less| is_within(less, spent)) {
            return false;
        }
        known.retain(|more| !is_within(spent, more));
        known.push(spent.into());
        self.bytes += size_of::<Box<[u32]>>() + size_of_val(spent);
        true
    }
}

/// Whether all of `part` are in `whole`; both are sorted.
fn is_within(part: &[u32], whole: &[u32]) -> bool {
    let mut whole = whole.iter();
    part.len() <= whole.len() && part.iter().all(|one| whole.any(|other| other == one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_with_less_is_not_new() {
        let state = State::Known(None);
        let mut reached = Reached::default();
        assert!(reached.is_new(3, state, &[7], &[1, 4]));
        assert!(!reached.is_new(3, state, &[7], &[1, 4]));
        assert!(!reached.is_new(3, state, &[7], &[0, 1, 2, 4]));
        assert!(reached.is_new(3, state, &[7], &[1, 5]));
        assert!(reached.is_new(3, state, &[7], &[4]));
        assert!(!reached.is_new(3, state, &[7], &[1, 4]));
        assert!(reached.is_new(3, state, &[8], &[1, 4]));
        assert!(reached.is_new(4, state, &[7], &[1, 4]));
        assert!(reached.is_new(3, State::Unknown, &[7], &[1, 4]));
        assert!(reached.bytes() > 0);
    }
}
