//! Who is who in the cluster, as clients see it.

use std::collections::BTreeMap;

use routing::RoutingTable;
use types::{ClusterId, GroupId, NodeId, VShardId};

/// Where clients reach a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// A host name or, better, an address: some clients do not resolve names.
    pub host: String,
    /// The port for clients.
    pub port: u16,
    /// The port for other nodes.
    pub peer_port: u16,
}

/// The nodes, and the groups that they share.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node; one of the members.
    pub me: NodeId,
    /// All nodes, this one included.
    pub members: BTreeMap<NodeId, Member>,
    /// Which group has which slots.
    pub table: RoutingTable,
}

impl Topology {
    /// The group of a slot.
    ///
    /// # Panics
    /// If there is no such slot: slots come from [`routing::hash_slot`] or were checked.
    pub fn group_of(&self, slot: u16) -> GroupId {
        let group = self.table.group_of(VShardId(u32::from(slot)));
        group.expect("the table has a vshard for every slot")
    }

    /// The first vshard of a group: by it, the whole group is asked for.
    pub fn first_vshard(&self, group: GroupId) -> VShardId {
        VShardId(self.table.vshards_of(group).start)
    }

    /// What clients call a node: 40 hexadecimal digits, the last of which are its number. Tools
    /// show the first ones alone, so those differ between nodes too.
    pub fn name(&self, node: NodeId) -> String {
        let cluster = self.cluster.as_str().bytes();
        let hash = cluster.chain(node.0.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, fnv);
        format!("{hash:016x}{node:024x}", node = node.0)
    }

    /// How many other nodes are sure to have an acknowledged write: a majority, less the leader.
    pub fn sure_copies(&self, group: GroupId) -> usize {
        self.table.replicas_of(group).len() / 2
    }
}

/// FNV-1a, one byte further.
const fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}
