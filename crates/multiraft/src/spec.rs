//! What a new group is to be: who founds it, and who only listens.

use alloc::vec::Vec;

use raft_core::{Configuration, Replica};
use types::{Generation, GroupId, NodeId, ReplicaId, StoreId};

use crate::AddGroupError;

/// Describes a group to be founded. All members must be given the same one, because each of them
/// writes entry 1 by itself. Which stores the members have is no part of it: they agree on that
/// before they found the group ([`crate::Input::AddGroup`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupSpec {
    /// The group.
    pub group: GroupId,
    /// Which life of the group; 1 unless the id was in use before.
    pub generation: Generation,
    /// The nodes that vote, in any order.
    pub founders: Vec<NodeId>,
    /// The nodes that only receive the log, in any order; may be empty.
    pub learners: Vec<NodeId>,
}

impl GroupSpec {
    /// The first life of a group with these voters and no learners.
    pub fn founded_by(group: GroupId, founders: impl Into<Vec<NodeId>>) -> Self {
        let generation = Generation(1);
        Self { group, generation, founders: founders.into(), learners: Vec::new() }
    }

    /// All nodes of the group, voters first.
    pub(crate) fn members(&self) -> impl Iterator<Item = NodeId> {
        self.founders.iter().chain(&self.learners).copied()
    }

    /// Entry 1 of the group: replica ids count from 1, voters first, each part in node-id order, so
    /// that every founder arrives at the same one.
    pub(crate) fn configuration(
        &self,
        store_of: impl Fn(NodeId) -> Option<StoreId>,
    ) -> Result<Configuration, AddGroupError> {
        let mut id = 0;
        let mut part = |nodes: &[NodeId]| {
            let mut nodes = nodes.to_vec();
            nodes.sort_unstable();
            let replica = |node| {
                let store = store_of(node).ok_or(AddGroupError::StoreUnknown { node })?;
                id += 1;
                Ok(Replica { id: ReplicaId(id), node, store })
            };
            nodes.into_iter().map(replica).collect::<Result<Vec<_>, AddGroupError>>()
        };
        let founders = part(&self.founders)?;
        let learners = part(&self.learners)?;
        Ok(Configuration::new(founders, Vec::new(), learners)?)
    }
}

#[cfg(test)]
mod tests {
    use raft_core::ConfigurationError;

    use super::*;

    fn nodes(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn store_of(node: NodeId) -> Option<StoreId> {
        (node.0 < 100).then(|| StoreId(u128::from(node.0)))
    }

    #[test]
    fn the_order_of_founders_does_not_matter() {
        let spec = |founders: &[u64]| GroupSpec {
            learners: nodes(&[2]),
            ..GroupSpec::founded_by(GroupId(4), nodes(founders))
        };
        let one = spec(&[9, 1, 5]).configuration(store_of).unwrap();
        assert_eq!(one, spec(&[5, 9, 1]).configuration(store_of).unwrap());
        let voters: Vec<(u32, u64)> = one.incoming().iter().map(|r| (r.id.0, r.node.0)).collect();
        assert_eq!(voters, [(1, 1), (2, 5), (3, 9)]);
        assert_eq!(one.learners()[0].id, ReplicaId(4));
    }

    #[test]
    fn impossible_members_are_named() {
        let refused = |founders: &[u64]| {
            GroupSpec::founded_by(GroupId(1), nodes(founders)).configuration(store_of).unwrap_err()
        };
        assert_eq!(refused(&[1, 100]), AddGroupError::StoreUnknown { node: NodeId(100) });
        let twice = ConfigurationError::NodeTwice { node: NodeId(1) };
        assert_eq!(refused(&[1, 1]), AddGroupError::Configuration(twice));
    }
}
