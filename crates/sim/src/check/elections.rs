//! Election safety: at most one leader per group and term (paper 5.2).

use std::collections::{BTreeMap, BTreeSet};

use types::{GroupId, Term};

use crate::breach::{Held, breach};

#[derive(Debug, Default)]
pub(crate) struct Elections {
    leaders: BTreeMap<(GroupId, Term), u64>,
    /// Who led when it was heard of last.
    leading: BTreeSet<(GroupId, u64)>,
}

impl Elections {
    /// A node says that it leads.
    pub(crate) fn lead(&mut self, group: GroupId, term: Term, node: u64) -> Held {
        self.leading.insert((group, node));
        let first = *self.leaders.entry((group, term)).or_insert(node);
        if first == node {
            return Ok(());
        }
        let what = format!("group {group}, term {term}: nodes {first} and {node}");
        breach("a term has one leader", what)
    }

    /// Whether a node has led since a term.
    pub(crate) fn has_led(&self, group: GroupId, since: Term, node: u64) -> bool {
        let terms = (group, since)..=(group, Term(u64::MAX));
        self.leaders.range(terms).any(|(_, leader)| *leader == node)
    }

    /// A node says that it does not lead; whether it did before.
    pub(crate) fn resign(&mut self, group: GroupId, node: u64) -> bool {
        self.leading.remove(&(group, node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leaders_of_one_term_are_a_breach() {
        let mut elections = Elections::default();
        elections.lead(GroupId(1), Term(2), 1).unwrap();
        elections.lead(GroupId(1), Term(2), 1).unwrap();
        elections.lead(GroupId(1), Term(3), 2).unwrap();
        elections.lead(GroupId(2), Term(2), 2).unwrap();
        assert!(elections.lead(GroupId(1), Term(2), 2).is_err());
    }

    #[test]
    fn who_led_before_a_term_has_not_led_since() {
        let mut elections = Elections::default();
        elections.lead(GroupId(1), Term(2), 1).unwrap();
        elections.lead(GroupId(1), Term(4), 2).unwrap();
        assert!(elections.has_led(GroupId(1), Term(2), 1));
        assert!(!elections.has_led(GroupId(1), Term(3), 1));
        assert!(elections.has_led(GroupId(1), Term(3), 2));
        assert!(!elections.has_led(GroupId(2), Term(0), 2));
    }
}
