//! Who counts: the replicas of a group, in an incoming, an outgoing and a learner part.
//!
//! Invariants, checked by [`Configuration::new`]: each part is sorted by replica id without
//! repetition; a learner is in no other part; no two replicas live on one node; the empty
//! configuration (a joining replica's) has no part at all, every other has at least one incoming
//! voter. `outgoing` is empty unless the configuration is joint (dissertation 4.3).

use alloc::vec::Vec;
use core::fmt;

use types::{NodeId, ReplicaId, StoreId};

/// One replica and where it lives. The store is part of who it is: a node that lost its disk holds
/// none of the replicas it held before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Replica {
    /// Its id within the group, never used again.
    pub id: ReplicaId,
    /// The node it lives on.
    pub node: NodeId,
    /// The store it lives in.
    pub store: StoreId,
}

/// The replicas of a group and their parts.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Configuration {
    incoming: Vec<Replica>,
    outgoing: Vec<Replica>,
    learners: Vec<Replica>,
}

/// Why replicas form no configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfigurationError {
    /// There are replicas, but no incoming voter among them.
    NoVoters,
    /// A replica id stands twice in one part, or in the learners and another part.
    ReplicaTwice {
        /// The id.
        replica: ReplicaId,
    },
    /// One replica id stands for different nodes or stores.
    ReplicaAmbiguous {
        /// The id.
        replica: ReplicaId,
    },
    /// Two replicas live on one node.
    NodeTwice {
        /// The node.
        node: NodeId,
    },
    /// More replicas than [`Configuration::REPLICAS_MAX`].
    TooMany {
        /// How many there are.
        found: usize,
    },
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVoters => write!(f, "a configuration needs at least one voter"),
            Self::ReplicaTwice { replica } => write!(f, "replica {replica} is listed twice"),
            Self::ReplicaAmbiguous { replica } => {
                write!(f, "replica {replica} is said to live in two places")
            }
            Self::NodeTwice { node } => write!(f, "node {node} holds two replicas"),
            Self::TooMany { found } => {
                write!(f, "{found} replicas, at most {}", Configuration::REPLICAS_MAX)
            }
        }
    }
}

impl core::error::Error for ConfigurationError {}

impl Configuration {
    /// The most replicas of a group, all parts together.
    pub const REPLICAS_MAX: usize = 64;

    /// The configuration of a replica that has joined but not yet heard who the others are.
    pub const fn empty() -> Self {
        Self { incoming: Vec::new(), outgoing: Vec::new(), learners: Vec::new() }
    }

    /// Puts the parts together; their order does not matter.
    ///
    /// # Errors
    /// Names the invariant that does not hold.
    pub fn new(
        mut incoming: Vec<Replica>,
        mut outgoing: Vec<Replica>,
        mut learners: Vec<Replica>,
    ) -> Result<Self, ConfigurationError> {
        let found = incoming.len() + outgoing.len() + learners.len();
        if found > Self::REPLICAS_MAX {
            return Err(ConfigurationError::TooMany { found });
        }
        if found > 0 && incoming.is_empty() {
            return Err(ConfigurationError::NoVoters);
        }
        for part in [&mut incoming, &mut outgoing, &mut learners] {
            part.sort_unstable();
            if let Some(pair) = part.windows(2).find(|pair| pair[0].id == pair[1].id) {
                return Err(ConfigurationError::ReplicaTwice { replica: pair[0].id });
            }
        }
        let configuration = Self { incoming, outgoing, learners };
        let twice = |r: &&Replica| configuration.is_voter(r.id);
        if let Some(learner) = configuration.learners.iter().find(twice) {
            return Err(ConfigurationError::ReplicaTwice { replica: learner.id });
        }
        let all: Vec<Replica> = configuration.replicas().collect();
        for (position, replica) in all.iter().enumerate() {
            for other in &all[position + 1..] {
                if replica.id == other.id {
                    return Err(ConfigurationError::ReplicaAmbiguous { replica: replica.id });
                }
                if replica.node == other.node {
                    return Err(ConfigurationError::NodeTwice { node: replica.node });
                }
            }
        }
        Ok(configuration)
    }

    /// The voters of the configuration to come, or of the only one; sorted by id.
    pub fn incoming(&self) -> &[Replica] {
        &self.incoming
    }

    /// The voters of the configuration being left; sorted by id, empty unless joint.
    pub fn outgoing(&self) -> &[Replica] {
        &self.outgoing
    }

    /// Those who receive the log and never count; sorted by id.
    pub fn learners(&self) -> &[Replica] {
        &self.learners
    }

    /// Whether decisions need both halves.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether it names nobody: the replica that holds it has yet to learn the real one.
    pub fn is_empty(&self) -> bool {
        self.incoming.is_empty()
    }

    /// Whether that replica votes, in either half.
    pub fn is_voter(&self, replica: ReplicaId) -> bool {
        find(&self.incoming, replica).is_some() || find(&self.outgoing, replica).is_some()
    }

    /// Whether that replica votes, in both halves while there are two.
    pub fn is_voter_throughout(&self, replica: ReplicaId) -> bool {
        let is_in_outgoing = || find(&self.outgoing, replica).is_some();
        find(&self.incoming, replica).is_some() && (!self.is_joint() || is_in_outgoing())
    }

    /// Whether that replica is a learner.
    pub fn is_learner(&self, replica: ReplicaId) -> bool {
        find(&self.learners, replica).is_some()
    }

    /// Whether one single voter decides alone.
    pub fn is_single_voter(&self) -> bool {
        self.incoming.len() == 1 && (self.outgoing.is_empty() || self.outgoing == self.incoming)
    }

    /// Where that replica lives, if it is in any part.
    pub fn replica(&self, replica: ReplicaId) -> Option<&Replica> {
        find(&self.incoming, replica)
            .or_else(|| find(&self.outgoing, replica))
            .or_else(|| find(&self.learners, replica))
    }

    /// The replica that lives on that node, if any.
    pub fn replica_on(&self, node: NodeId) -> Option<Replica> {
        self.replicas().find(|r| r.node == node)
    }

    /// Every replica once: incoming voters by id, then voters only in the outgoing half, then
    /// learners.
    pub fn replicas(&self) -> impl Iterator<Item = Replica> + '_ {
        let only_outgoing = self.outgoing.iter().filter(|r| !self.incoming.contains(r));
        self.incoming.iter().chain(only_outgoing).chain(&self.learners).copied()
    }

    /// What it counts for against byte limits.
    pub(crate) fn cost(&self) -> usize {
        let replicas = self.incoming.len() + self.outgoing.len() + self.learners.len();
        replicas * size_of::<Replica>()
    }
}

fn find(part: &[Replica], replica: ReplicaId) -> Option<&Replica> {
    part.binary_search_by_key(&replica, |r| r.id).ok().and_then(|position| part.get(position))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn replica(id: u32, node: u64) -> Replica {
        Replica { id: ReplicaId(id), node: NodeId(node), store: StoreId(u128::from(node)) }
    }

    #[test]
    fn parts_are_sorted_whatever_order_they_come_in() {
        let c = Configuration::new(vec![replica(3, 3), replica(1, 1)], vec![], vec![replica(2, 2)])
            .unwrap();
        assert_eq!(c.incoming()[0].id, ReplicaId(1));
        assert!(c.is_voter(ReplicaId(3)) && c.is_learner(ReplicaId(2)) && !c.is_joint());
        assert_eq!(c.replica_on(NodeId(2)), Some(replica(2, 2)));
    }

    #[test]
    fn impossible_configurations_are_refused_by_name() {
        let one = replica(1, 1);
        let refused = |i, o, l| Configuration::new(i, o, l).unwrap_err();
        assert_eq!(refused(vec![], vec![], vec![one]), ConfigurationError::NoVoters);
        let twice = ConfigurationError::ReplicaTwice { replica: ReplicaId(1) };
        assert_eq!(refused(vec![one, one], vec![], vec![]), twice);
        assert_eq!(refused(vec![one], vec![], vec![one]), twice);
        let node = ConfigurationError::NodeTwice { node: NodeId(1) };
        assert_eq!(refused(vec![one, replica(2, 1)], vec![], vec![]), node);
        let ambiguous = ConfigurationError::ReplicaAmbiguous { replica: ReplicaId(1) };
        assert_eq!(refused(vec![one], vec![replica(1, 9)], vec![]), ambiguous);
    }

    #[test]
    fn a_voter_in_both_halves_is_listed_once() {
        let c = Configuration::new(
            vec![replica(1, 1), replica(2, 2)],
            vec![replica(2, 2), replica(3, 3)],
            vec![],
        )
        .unwrap();
        assert!(c.is_joint());
        let ids: Vec<u32> = c.replicas().map(|r| r.id.0).collect();
        assert_eq!(ids, [1, 2, 3]);
    }
}
