//! Election safety: at most one leader per group and term (paper 5.2), elected by votes that are on
//! the disks of a quorum of its configuration.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{Configuration, HardState, Replica};
use types::{GroupId, NodeId, Term};

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

    /// Counts the votes for whoever says that it leads anew, from the disks; `votes` tells what is on
    /// the disk of a replica. Whoever has moved on to a later term may have voted in this one.
    pub(crate) fn check_votes(
        group: GroupId,
        term: Term,
        node: u64,
        configuration: Option<&Configuration>,
        votes: impl Fn(Replica) -> Option<HardState>,
    ) -> Held {
        let me = configuration.and_then(|configuration| configuration.replica_on(NodeId(node)));
        let is_for_me = |replica: &&Replica| {
            votes(**replica).is_some_and(|on_disk| {
                let voted = on_disk.term == term && on_disk.vote == me.map(|me| me.id);
                on_disk.term > term || voted
            })
        };
        let is_won = |half: &[Replica]| {
            half.is_empty() || half.iter().filter(is_for_me).count() * 2 > half.len()
        };
        if let Some(configuration) = configuration
            && is_won(configuration.incoming())
            && is_won(configuration.outgoing())
        {
            return Ok(());
        }
        let what = format!("node {node} leads group {group} in term {term} by {configuration:?}");
        breach("leaders are elected by a quorum", what)
    }

    /// A node says that it does not lead; whether it did before.
    pub(crate) fn resign(&mut self, group: GroupId, node: u64) -> bool {
        self.leading.remove(&(group, node))
    }
}

#[cfg(test)]
mod tests {
    use types::{ReplicaId, StoreId};

    use super::*;

    #[test]
    fn a_leader_needs_the_votes_of_a_quorum_on_disk() {
        let replica = |n: u32| {
            let (node, store) = (NodeId(n.into()), StoreId(n.into()));
            Replica { id: ReplicaId(n), node, store }
        };
        let voters = [1, 2, 3, 4].map(replica).to_vec();
        let four = Configuration::new(voters, Vec::new(), Vec::new()).unwrap();
        let check = |votes: [(u64, Option<u32>); 4]| {
            let on_disk = |replica: Replica| {
                let place = usize::try_from(replica.id.0 - 1).unwrap();
                let (term, vote) = votes[place];
                Some(HardState { term: Term(term), vote: vote.map(ReplicaId) })
            };
            Elections::check_votes(GroupId(1), Term(5), 2, Some(&four), on_disk).is_ok()
        };
        assert!(check([(5, Some(2)), (5, Some(2)), (6, None), (4, None)]));
        assert!(!check([(5, Some(2)), (5, Some(2)), (4, None), (4, None)]), "half of four");
        assert!(!check([(5, Some(2)), (5, None), (5, Some(3)), (5, Some(2))]), "not its own");
        assert!(Elections::check_votes(GroupId(1), Term(5), 2, None, |_| None).is_err());
    }

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
