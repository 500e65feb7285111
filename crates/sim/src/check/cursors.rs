//! A replica's cursors are in order, and those that must not fall never do, over its whole life; a
//! vote is not taken back. A restart brings back term and vote, and no more of the log than is durable.

use raft_core::HardState;
use types::{GroupId, LogIndex, Term};

use super::Replicas;
use crate::breach::{Held, breach};
use crate::plan::Plan;

/// What was seen of a replica last.
#[derive(Clone, Copy, Default, Debug)]
struct Last {
    hard_state: HardState,
    committed: LogIndex,
    /// The part of that which is on its disk: a follower may know entries to be committed that it
    /// still writes.
    readable: LogIndex,
    applied: LogIndex,
}

#[derive(Debug)]
pub(crate) struct Cursors {
    last: Replicas<Last>,
}

impl Cursors {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { last: Replicas::new(plan, Last::default()) }
    }

    /// A replica was mounted with what its disk holds.
    pub(crate) fn restart(
        &mut self,
        node: u64,
        group: GroupId,
        found: multiraft::Cursors,
        (hard_state, last, applied): (HardState, LogIndex, LogIndex),
    ) -> Held {
        let right = hard_state_of(&found) == hard_state
            && found.last == last
            && found.persisted == last
            && found.applied == applied
            && found.committed <= last;
        let (committed, readable) = (found.committed, found.committed.min(found.persisted));
        *self.last.of_mut(node, group) = Last { hard_state, committed, readable, applied };
        if right {
            return Ok(());
        }
        let what = format!(
            "node {node}, group {group}: {found:?}, {hard_state:?}, last {last}, applied {applied} on \
             disk"
        );
        breach("a restart brings back what is durable", what)
    }

    /// Looks at a replica after an event that concerned it; returns whether its commit index rose.
    pub(crate) fn look(
        &mut self,
        node: u64,
        group: GroupId,
        found: multiraft::Cursors,
    ) -> Result<bool, crate::breach::Breach> {
        let last = self.last.of_mut(node, group);
        let in_order = found.applied <= found.committed.min(found.persisted)
            && found.committed.max(found.persisted) <= found.last;
        if !in_order {
            return breach(
                "cursors are in order",
                format!("node {node}, group {group}: {found:?}"),
            );
        }
        let now = hard_state_of(&found);
        let falls = now.term < last.hard_state.term
            || found.committed < last.committed
            || found.applied < last.applied;
        if falls {
            let what = format!("node {node}, group {group}: {found:?} after {last:?}");
            return breach("cursors never fall", what);
        }
        let had_voted = now.term == last.hard_state.term && last.hard_state.vote.is_some();
        if had_voted && now.vote != last.hard_state.vote {
            let what = format!("node {node}, group {group}: {found:?} after {last:?}");
            return breach("a vote is not taken back", what);
        }
        let has_risen = found.committed > last.committed;
        let multiraft::Cursors { committed, applied, persisted, .. } = found;
        let readable = committed.min(persisted);
        *last = Last { hard_state: now, committed, readable, applied };
        Ok(has_risen)
    }

    /// The term that was seen last.
    pub(crate) fn term(&self, node: u64, group: GroupId) -> Term {
        self.last.of(node, group).hard_state.term
    }

    /// The commit index that was seen last.
    pub(crate) fn committed(&self, node: u64, group: GroupId) -> LogIndex {
        self.last.of(node, group).committed
    }

    /// Up to where its disk has to hold what is committed, as was seen last.
    pub(crate) fn readable(&self, node: u64, group: GroupId) -> LogIndex {
        self.last.of(node, group).readable
    }

    /// A replica is gone with its disk.
    pub(crate) fn forget(&mut self, node: u64, group: GroupId) {
        *self.last.of_mut(node, group) = Last::default();
    }
}

const fn hard_state_of(found: &multiraft::Cursors) -> HardState {
    HardState { term: found.term, vote: found.vote }
}

#[cfg(test)]
mod tests {
    use raft_core::Role;
    use types::ReplicaId;

    use super::*;

    fn found(term: u64, cursors: [u64; 4]) -> multiraft::Cursors {
        let [applied, committed, persisted, last] = cursors.map(LogIndex);
        let (role, term) = (Role::Follower, Term(term));
        multiraft::Cursors { role, term, vote: None, applied, committed, persisted, last }
    }

    #[test]
    fn cursors_out_of_order_or_falling_are_breaches() {
        let mut cursors = Cursors::new(&Plan::draw(1, 1));
        let mut look = |term, all| cursors.look(1, GroupId(1), found(term, all)).is_ok();
        assert!(look(2, [1, 2, 3, 4]));
        assert!(look(2, [1, 2, 1, 2]), "what is not committed may be replaced");
        assert!(!look(1, [1, 2, 3, 4]), "the term falls");
        assert!(!look(2, [1, 1, 3, 4]), "the commit index falls");
        assert!(!look(2, [0, 2, 3, 4]), "the applied index falls");
        assert!(!look(2, [2, 3, 1, 4]), "applied before it is durable");
        assert!(!look(2, [1, 3, 2, 2]), "committed beyond the log");
        assert!(look(2, [1, 4, 3, 5]));
        assert_eq!(cursors.readable(1, GroupId(1)), LogIndex(3), "the fourth is not durable");
    }

    #[test]
    fn a_restart_with_less_than_is_durable_is_a_breach() {
        let mut cursors = Cursors::new(&Plan::draw(1, 1));
        let disk = (HardState { term: Term(2), vote: None }, LogIndex(4), LogIndex(0));
        let mut restart =
            |term, all| cursors.restart(1, GroupId(1), found(term, all), disk).is_ok();
        assert!(restart(2, [0, 0, 4, 4]));
        assert!(!restart(1, [0, 0, 4, 4]));
        assert!(!restart(2, [0, 0, 3, 3]));
    }

    #[test]
    fn a_vote_that_changes_or_is_forgotten_is_a_breach() {
        let mut cursors = Cursors::new(&Plan::draw(1, 1));
        let vote = |term, vote: Option<u32>| {
            let vote = vote.map(ReplicaId);
            multiraft::Cursors { vote, ..found(term, [0, 0, 4, 4]) }
        };
        let mut look = |found| cursors.look(1, GroupId(1), found).is_ok();
        assert!(look(vote(2, None)) && look(vote(2, Some(3))) && look(vote(2, Some(3))));
        assert!(!look(vote(2, None)) && !look(vote(2, Some(1))));
        assert!(look(vote(3, Some(1))), "another term");
        let disk =
            (HardState { term: Term(3), vote: Some(ReplicaId(1)) }, LogIndex(4), LogIndex(0));
        let mut restart = |found| cursors.restart(1, GroupId(1), found, disk).is_ok();
        assert!(restart(vote(3, Some(1))) && !restart(vote(3, None)));
    }
}
