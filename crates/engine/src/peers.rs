//! Who the other nodes are: the store and boot by which each is known.
//!
//! A node is *admitted* when its hello is judged here, and *met* when it has accepted this node too:
//! only then is it remembered in the store, and only then may groups be founded with it. A node that
//! lost its disk is refused by those who knew it, so that it never meets them, and founds nothing.
//!
//! Invariants: a node's store, once known, never changes, and its boot only rises; what is told to
//! the workers is durable here.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use types::{BootId, NodeId, StoreId};

/// One life of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Incarnation {
    pub(crate) store: StoreId,
    pub(crate) boot: BootId,
}

/// What this node knows of its peers.
#[derive(Debug)]
pub(crate) struct Peers {
    own: NodeId,
    known: Mutex<BTreeMap<NodeId, Known>>,
    /// Why connections with a peer were refused last, by either side.
    refusals: Mutex<BTreeMap<NodeId, String>>,
}

#[derive(Debug)]
struct Known {
    who: Incarnation,
    /// Whether the store remembers it, or is about to.
    is_met: bool,
}

impl Peers {
    /// Begins with what this node's store remembers.
    pub(crate) fn new(own: NodeId, remembered: &BTreeMap<NodeId, (StoreId, BootId)>) -> Self {
        let known = |(node, (store, boot)): (&NodeId, &(StoreId, BootId))| {
            (*node, Known { who: Incarnation { store: *store, boot: *boot }, is_met: true })
        };
        let known = remembered.iter().map(known).collect();
        Self { own, known: Mutex::new(known), refusals: Mutex::default() }
    }

    /// Judges who `node` says it is.
    ///
    /// # Errors
    /// What the peer and the operator are told: the node is not the one that is known.
    pub(crate) fn admit(&self, node: NodeId, found: Incarnation) -> Result<(), String> {
        let own = self.own;
        let mut known = self.known.lock();
        match known.get(&node).map(|known| known.who) {
            Some(expected) if expected.store != found.store => Err(format!(
                "node {node} has a new store: remove its replicas and add new ones (found store \
                 {}, node {own} knows store {})",
                found.store, expected.store
            )),
            Some(expected) if found.boot < expected.boot => Err(format!(
                "node {node} runs on an older copy of its store {}: restore the newest one, or \
                 remove its replicas and add new ones (found boot {}, node {own} has met boot {})",
                found.store, found.boot, expected.boot
            )),
            Some(expected) if expected == found => Ok(()),
            Some(_) | None => {
                known.insert(node, Known { who: found, is_met: false });
                Ok(())
            }
        }
    }

    /// Notes that `node`, admitted as `who`, has accepted this node. Whether that is news, which the
    /// store has to remember.
    pub(crate) fn meet(&self, node: NodeId, who: Incarnation) -> bool {
        let mut known = self.known.lock();
        let Some(known) = known.get_mut(&node).filter(|known| known.who == who) else {
            // Of an older life, told late.
            return false;
        };
        !std::mem::replace(&mut known.is_met, true)
    }

    pub(crate) fn note_refusal(&self, node: NodeId, reason: &str) {
        self.refusals.lock().insert(node, reason.to_owned());
    }

    pub(crate) fn forget_refusal(&self, node: NodeId) {
        self.refusals.lock().remove(&node);
    }

    pub(crate) fn refusals(&self) -> BTreeMap<NodeId, String> {
        self.refusals.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeId = NodeId(1);
    const NODE: NodeId = NodeId(2);

    fn who(store: u128, boot: u64) -> Incarnation {
        Incarnation { store: StoreId(store), boot: BootId(boot) }
    }

    #[test]
    fn a_node_is_news_once_and_at_each_restart() {
        let peers = Peers::new(OWN, &BTreeMap::new());
        for (life, boot) in [(who(7, 1), 1), (who(7, 3), 3)] {
            assert!(!peers.meet(NODE, life), "boot {boot} was not admitted yet");
            peers.admit(NODE, life).unwrap();
            assert!(peers.meet(NODE, life));
            peers.admit(NODE, life).unwrap();
            assert!(!peers.meet(NODE, life));
        }
        assert!(!peers.meet(NODE, who(7, 1)), "an older life is no news");
    }

    #[test]
    fn another_store_or_an_older_boot_is_refused() {
        let remembered = BTreeMap::from([(NODE, (StoreId(7), BootId(4)))]);
        let peers = Peers::new(OWN, &remembered);
        let new_store = peers.admit(NODE, who(8, 9)).unwrap_err();
        assert_eq!(
            new_store,
            "node 2 has a new store: remove its replicas and add new ones (found store \
             00000000000000000000000000000008, node 1 knows store 00000000000000000000000000000007)"
        );
        let older = peers.admit(NODE, who(7, 3)).unwrap_err();
        assert_eq!(
            older,
            "node 2 runs on an older copy of its store 00000000000000000000000000000007: restore \
             the newest one, or remove its replicas and add new ones (found boot 3, node 1 has met \
             boot 4)"
        );
        // The refused ones left no trace, and what the store remembers is no news.
        peers.admit(NODE, who(7, 4)).unwrap();
        assert!(!peers.meet(NODE, who(7, 4)));
    }
}
