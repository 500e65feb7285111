//! Who leads which group, as this node knows it, readable without asking a worker.
//!
//! Invariants: a group's entry is written by its one worker only, and always whole; what is read is
//! what that worker wrote, at most one turn old, until the node has ended: then nobody leads. A
//! leader to which there is no link is never fresh.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use codec::STORES_MAX;
use multiraft::LeaderView;
use tokio::sync::watch;
use types::{GroupId, NodeId, Term};

/// One word per group: term (47 bits), whether the leader is fresh (1 bit), and where the leader
/// stands among the nodes, counted from 1 (16 bits, 0 for nobody).
struct Packed;

impl Packed {
    const NODE_BITS: u32 = 16;
    const FRESH: u64 = 1 << Self::NODE_BITS;
    const NODE_MASK: u64 = Self::FRESH - 1;
    const TERM_SHIFT: u32 = Self::NODE_BITS + 1;
    const TERM_MAX: u64 = u64::MAX >> Self::TERM_SHIFT;
}

/// The most nodes of a cluster: whose stores one notice tells, and which the table tells apart.
pub(crate) const NODES_MAX: usize = STORES_MAX;
const _: () = assert!(NODES_MAX <= (1 << Packed::NODE_BITS) - 2, "each node has a place");

/// The leaders of all groups of the routing table.
pub(crate) struct Leaders {
    own: NodeId,
    /// Sorted; at most [`NODES_MAX`].
    nodes: Vec<NodeId>,
    /// In the order of the nodes, whether the link to each went down.
    lost: Vec<AtomicBool>,
    /// Group n is at n - 1.
    entries: Vec<AtomicU64>,
    has_ended: AtomicBool,
    /// Counts the changes, so that whoever waits for one is woken.
    changes: watch::Sender<u64>,
}

impl Leaders {
    /// Nobody leads any of the groups 1 to `groups`. `nodes` is sorted.
    pub(crate) fn new(own: NodeId, nodes: Vec<NodeId>, groups: usize) -> Arc<Self> {
        assert!(nodes.len() <= NODES_MAX, "{} nodes, at most {NODES_MAX}", nodes.len());
        let entries = (0..groups).map(|_| AtomicU64::new(0)).collect();
        let (changes, _) = watch::channel(0);
        let lost = nodes.iter().map(|_| AtomicBool::new(false)).collect();
        let has_ended = AtomicBool::new(false);
        Arc::new(Self { own, nodes, lost, entries, has_ended, changes })
    }

    /// What a worker was told. Who waits learns of it by [`Leaders::announce`].
    pub(crate) fn set(&self, group: GroupId, view: &LeaderView) {
        let Some(entry) = self.entry(group) else { return };
        let position = view.leader.and_then(|leader| self.nodes.binary_search(&leader).ok());
        let node = position.map_or(0, |position| position as u64 + 1);
        let fresh = if view.is_fresh { Packed::FRESH } else { 0 };
        // A term of 2^47 is reached by no election; a larger one from a hostile peer is only shown
        // smaller than it is.
        let term = view.term.0.min(Packed::TERM_MAX) << Packed::TERM_SHIFT;
        entry.store(term | fresh | node, Ordering::Release);
    }

    /// Wakes whoever waits for a change; once for all changes of a turn.
    pub(crate) fn announce(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The link to `node` went down, or came up again. A process that dies takes its connections with
    /// it, long before anybody misses its heartbeats: whoever is redirected by what stands here is
    /// not sent there any more.
    pub(crate) fn set_lost(&self, node: NodeId, is_lost: bool) {
        let Ok(position) = self.nodes.binary_search(&node) else { return };
        if self.lost[position].swap(is_lost, Ordering::AcqRel) != is_lost {
            self.announce();
        }
    }

    /// This node has stopped, or failed: it knows nothing any more, whatever a worker in its last
    /// turn still writes.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.announce();
    }

    pub(crate) fn view(&self, group: GroupId) -> LeaderView {
        let entry = self.entry(group).filter(|_| !self.has_ended.load(Ordering::Acquire));
        let packed = entry.map_or(0, |entry| entry.load(Ordering::Acquire));
        let position = usize::try_from(packed & Packed::NODE_MASK).ok();
        let position = position.and_then(|position| position.checked_sub(1));
        let leader = position.and_then(|position| self.nodes.get(position).copied());
        let lost = position.and_then(|position| self.lost.get(position));
        let is_lost = lost.is_some_and(|lost| lost.load(Ordering::Acquire));
        LeaderView {
            leader,
            term: Term(packed >> Packed::TERM_SHIFT),
            is_self: leader == Some(self.own),
            is_fresh: packed & Packed::FRESH != 0 && !is_lost,
        }
    }

    fn entry(&self, group: GroupId) -> Option<&AtomicU64> {
        let position = usize::try_from(group.0.checked_sub(1)?).ok()?;
        self.entries.get(position)
    }
}

/// Tells when leaders change, and who they are; see [`crate::Engine::watch_leaders`].
#[derive(Clone)]
pub struct LeaderWatch {
    leaders: Arc<Leaders>,
    changes: watch::Receiver<u64>,
}

impl LeaderWatch {
    pub(crate) fn new(leaders: Arc<Leaders>) -> Self {
        let changes = leaders.changes.subscribe();
        Self { leaders, changes }
    }

    /// Ends when a leader, a term or the freshness of a leader has changed since the last call, or
    /// since the watch was made. Ask first and wait after, so that no change falls in between:
    /// changes that come together are told once.
    pub async fn changed(&mut self) {
        // The sender lives in `leaders`, which this watch keeps alive.
        let _ = self.changes.changed().await;
    }

    /// Who leads `group`, as this node knows it; nobody if it is not hosted here. Costs one load.
    #[must_use]
    pub fn leader(&self, group: GroupId) -> LeaderView {
        self.leaders.view(group)
    }

    /// All groups of the routing table in the order of their ids, with who leads them.
    pub fn iter(&self) -> impl Iterator<Item = (GroupId, LeaderView)> + '_ {
        let groups = (1..).take(self.leaders.entries.len()).map(GroupId);
        groups.map(|group| (group, self.leaders.view(group)))
    }
}

impl fmt::Debug for LeaderWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderWatch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::*;

    fn leaders() -> Arc<Leaders> {
        Leaders::new(NodeId(5), vec![NodeId(2), NodeId(5), NodeId(u64::MAX)], 3)
    }

    #[test]
    fn nobody_leads_what_nobody_told_of() {
        let nobody = LeaderView { leader: None, term: Term(0), is_self: false, is_fresh: false };
        for group in [GroupId(0), GroupId(1), GroupId(3), GroupId(4), GroupId(u64::MAX)] {
            assert_eq!(leaders().view(group), nobody);
        }
    }

    #[test]
    fn a_watch_is_woken_once_for_all_changes_of_a_turn() {
        let leaders = leaders();
        let mut watch = LeaderWatch::new(leaders.clone());
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut changed = pin!(watch.changed());
            assert_eq!(changed.as_mut().poll(&mut context), Poll::Pending);
            let view = LeaderView {
                leader: Some(NodeId(2)),
                term: Term(7),
                is_self: false,
                is_fresh: true,
            };
            leaders.set(GroupId(1), &view);
            leaders.set(GroupId(2), &view);
            leaders.announce();
            assert_eq!(changed.as_mut().poll(&mut context), Poll::Ready(()));
        }
        assert_eq!(pin!(watch.changed()).poll(&mut context), Poll::Pending);
        let known = watch.iter().filter(|(_, view)| view.leader == Some(NodeId(2))).count();
        assert_eq!(known, 2);
        leaders.end();
        assert!(watch.iter().all(|(_, view)| view.leader.is_none()));
        assert_eq!(pin!(watch.changed()).poll(&mut context), Poll::Ready(()));
    }

    #[test]
    fn a_leader_whose_link_is_down_is_not_fresh() {
        let leaders = leaders();
        let leads = |node, is_self| LeaderView {
            leader: Some(NodeId(node)),
            term: Term(7),
            is_self,
            is_fresh: true,
        };
        leaders.set(GroupId(1), &leads(2, false));
        leaders.set(GroupId(2), &leads(5, true));
        let mut watch = LeaderWatch::new(leaders.clone());
        let mut context = Context::from_waker(Waker::noop());
        leaders.set_lost(NodeId(2), true);
        leaders.set_lost(NodeId(9), true);
        assert_eq!(pin!(watch.changed()).poll(&mut context), Poll::Ready(()));
        let lost = LeaderView { is_fresh: false, ..leads(2, false) };
        assert_eq!(leaders.view(GroupId(1)), lost);
        assert_eq!(leaders.view(GroupId(2)), leads(5, true));
        leaders.set_lost(NodeId(2), true);
        assert_eq!(pin!(watch.changed()).poll(&mut context), Poll::Pending);
        leaders.set_lost(NodeId(2), false);
        assert_eq!(pin!(watch.changed()).poll(&mut context), Poll::Ready(()));
        assert_eq!(leaders.view(GroupId(1)), leads(2, false));
    }

    proptest! {
        #[test]
        fn what_was_told_is_read(
            who in prop::option::of(0usize..3), term in 0..Packed::TERM_MAX, is_fresh in any::<bool>()
        ) {
            let leaders = leaders();
            let leader = who.map(|position| leaders.nodes[position]);
            let is_self = leader == Some(NodeId(5));
            let view = LeaderView { leader, term: Term(term), is_self, is_fresh };
            leaders.set(GroupId(2), &view);
            prop_assert_eq!(leaders.view(GroupId(2)), view);
        }
    }
}
