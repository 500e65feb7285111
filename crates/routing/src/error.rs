//! Why something is no routing table: what was found, and what would have been allowed.

use core::fmt;

use types::{GroupId, NodeId};

/// Why a table cannot be made. All of it is a mistake in a configuration; the caller shows it to
/// whoever wrote that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoutingError {
    /// A table has 1 to `allowed_max` vshards.
    VShards {
        /// How many were asked for.
        found: u32,
        /// The most there can be.
        allowed_max: u32,
    },
    /// A table has at least one group and no more than it has vshards.
    Groups {
        /// How many were asked for.
        found: u32,
        /// The number of vshards.
        allowed_max: u32,
    },
    /// A group has at least one replica, at most one per node, and no more than `allowed_max`.
    ReplicationFactor {
        /// How many replicas per group were asked for.
        found: usize,
        /// The number of nodes, or the most replicas a group can have if that is less.
        allowed_max: usize,
    },
    /// There is no node to place replicas on.
    NoNodes,
    /// A node is listed twice.
    NodeTwice {
        /// The node.
        node: NodeId,
    },
    /// The vshards of a group do not start where those of the group before it end.
    Start {
        /// The group.
        group: GroupId,
        /// The first vshard of the group.
        found: u32,
        /// The first vshard that belongs to no group yet.
        expected: u32,
    },
    /// The range of vshards of a group ends where it starts, or before.
    NoVShards {
        /// The group.
        group: GroupId,
    },
    /// The number of replicas of a group is not between 1 and `allowed_max`.
    Replicas {
        /// The group.
        group: GroupId,
        /// How many it has.
        found: usize,
        /// The most a group can have.
        allowed_max: usize,
    },
    /// Two replicas of a group are on one node.
    ReplicaTwice {
        /// The group.
        group: GroupId,
        /// The node.
        node: NodeId,
    },
}

impl fmt::Display for RoutingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::VShards { found, allowed_max } => {
                write!(f, "a table has 1 to {allowed_max} vshards, found {found}")
            }
            Self::Groups { found, allowed_max } => {
                write!(f, "a table of {allowed_max} vshards has 1 to {allowed_max} groups, ")?;
                write!(f, "found {found}")
            }
            Self::ReplicationFactor { found, allowed_max } => {
                write!(f, "a group has 1 to {allowed_max} replicas here, found {found}")
            }
            Self::NoNodes => write!(f, "a table needs at least one node, found none"),
            Self::NodeTwice { node } => write!(f, "node {node} is listed twice"),
            Self::Start { group, found, expected } => {
                write!(f, "group {group} starts at vshard {found}, expected {expected}")
            }
            Self::NoVShards { group } => {
                write!(f, "group {group} has no vshards, expected at least one")
            }
            Self::Replicas { group, found, allowed_max } => {
                write!(f, "group {group} has {found} replicas, expected 1 to {allowed_max}")
            }
            Self::ReplicaTwice { group, node } => {
                write!(f, "group {group} has two replicas on node {node}")
            }
        }
    }
}

impl core::error::Error for RoutingError {}
