//! What a caller did that is refused, by operation. Nothing is changed by a refused call.

use core::fmt;

use raft_core::{ConfigurationError, RestoreError};
use types::{Generation, GroupId, NodeId, ReplicaId, StoreId, VShardId};

use crate::BatchTicket;

/// Why a group was not added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddGroupError {
    /// A group of that id is mounted here, or waits to be founded; it is untouched.
    AlreadyMounted {
        /// The group.
        group: GroupId,
    },
    /// A member's store is not known yet. Try again after [`crate::MultiRaft::set_peer_store`].
    StoreUnknown {
        /// The member.
        node: NodeId,
    },
    /// This node is not among the group's members.
    NotAMember {
        /// This node.
        node: NodeId,
    },
    /// The members form no configuration.
    Configuration(ConfigurationError),
    /// What is restored is a replica of another node or another store.
    Foreign {
        /// The replica.
        replica: ReplicaId,
        /// Where its log says that it lives.
        node: NodeId,
        /// The store that its log says it lives in.
        store: StoreId,
    },
    /// What is restored contradicts itself or its state machine.
    Restored(RestoreError),
}

impl From<ConfigurationError> for AddGroupError {
    fn from(error: ConfigurationError) -> Self {
        Self::Configuration(error)
    }
}

impl From<RestoreError> for AddGroupError {
    fn from(error: RestoreError) -> Self {
        Self::Restored(error)
    }
}

impl fmt::Display for AddGroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyMounted { group } => {
                write!(f, "group {group} is mounted here, or waits to be founded")
            }
            Self::StoreUnknown { node } => {
                write!(f, "the store of node {node} is not known yet: try again once it is")
            }
            Self::NotAMember { node } => write!(f, "this node, {node}, is no member of the group"),
            Self::Configuration(error) => error.fmt(f),
            Self::Foreign { replica, node, store } => {
                write!(f, "replica {replica} belongs to store {store} of node {node}")
            }
            Self::Restored(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for AddGroupError {}

/// A node turned up with another store than the one it is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreConflict {
    /// The node.
    pub node: NodeId,
    /// The store that it is known by.
    pub known: StoreId,
    /// The store that it turned up with.
    pub found: StoreId,
}

impl fmt::Display for StoreConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, known, found } = self;
        write!(
            f,
            "node {node} has a new store: expected {known}, found {found}; remove its replicas and \
             add new ones"
        )
    }
}

impl core::error::Error for StoreConflict {}

/// Why a proposal left no entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProposeError {
    /// Give up: the routing table has no such vshard.
    UnknownVShard {
        /// The vshard.
        vshard: VShardId,
        /// How many there are; the first is 0.
        vshards: u32,
    },
    /// Ask a node that hosts the group: this one does not.
    UnknownGroup {
        /// The group.
        group: GroupId,
    },
    /// Ask the leader, or later if there is none.
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// Try again when there is room: the disks of so many of the group's nodes are low that no
    /// majority is left, or none with those that are silent.
    MajorityFull,
    /// Give up: the entry is larger than any may be.
    TooLarge {
        /// How large the entry would be.
        bytes: usize,
        /// How large it may be.
        bytes_max: usize,
    },
    /// Try again later: too much is under way.
    Overloaded {
        /// Which budget is used up.
        budget: &'static str,
    },
    /// Try again once another leads, or here after one election timeout: leadership is being
    /// handed over.
    TransferInProgress {
        /// The node that is to lead; none if it is no member any more.
        to: Option<NodeId>,
    },
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVShard { vshard, vshards } => {
                write!(f, "there is no vshard {vshard}, only 0 to {}", vshards.saturating_sub(1))
            }
            Self::UnknownGroup { group } => write!(f, "group {group} is not hosted here"),
            Self::NotLeader { leader: Some(leader) } => {
                write!(f, "this node does not lead the group, node {leader} does")
            }
            Self::NotLeader { leader: None } => {
                write!(f, "this node does not lead the group, and nobody is known to")
            }
            Self::MajorityFull => {
                write!(f, "the disks of a majority of the group are full: try again later")
            }
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "the entry has {bytes} bytes, at most {bytes_max}")
            }
            Self::Overloaded { budget } => write!(f, "{budget} is used up: try again later"),
            Self::TransferInProgress { to: Some(to) } => {
                write!(f, "leadership is being handed to node {to}: try again there")
            }
            Self::TransferInProgress { to: None } => {
                write!(f, "leadership is being handed over: try again later")
            }
        }
    }
}

impl core::error::Error for ProposeError {}

/// Why a message from another node was refused. It came from a peer: count it and go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepError {
    /// The group is not hosted here.
    UnknownGroup {
        /// The group.
        group: GroupId,
    },
    /// The message is for another life of the group.
    OtherGeneration {
        /// The life hosted here.
        expected: Generation,
        /// The life meant.
        found: Generation,
    },
    /// The message is for another replica of the group.
    OtherReplica {
        /// The replica hosted here.
        expected: ReplicaId,
        /// The replica meant.
        found: ReplicaId,
    },
    /// The sender is no replica of the group's configuration.
    UnknownSender {
        /// Who it says it is.
        replica: ReplicaId,
    },
    /// The sender lives on another node than the one that sent.
    OtherNode {
        /// Who it says it is.
        replica: ReplicaId,
        /// Where that replica lives.
        expected: NodeId,
        /// Which node sent.
        found: NodeId,
    },
    /// The sender lived in another store than the one that its node has today.
    OtherStore {
        /// Who it says it is.
        replica: ReplicaId,
        /// The store that the replica lives in.
        expected: StoreId,
        /// The store that the node is known by.
        found: StoreId,
    },
    /// The message came through the door of another kind.
    OtherKind {
        /// What the door is for.
        expected: &'static str,
    },
    /// The replica refused it: no correct peer says this.
    Impossible(&'static str),
    /// The group's log could not be read; it takes part in nothing.
    Halted,
}

impl StepError {
    pub(crate) const fn from_core(error: raft_core::StepError, mine: ReplicaId) -> Self {
        match error {
            raft_core::StepError::NotForMe { to } => {
                Self::OtherReplica { expected: mine, found: to }
            }
            raft_core::StepError::UnknownSender { from } => Self::UnknownSender { replica: from },
            raft_core::StepError::Impossible { what } => Self::Impossible(what),
            raft_core::StepError::Halted => Self::Halted,
        }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownGroup { group } => write!(f, "group {group} is not hosted here"),
            Self::OtherGeneration { expected, found } => {
                write!(f, "meant for generation {found} of the group, here is {expected}")
            }
            Self::OtherReplica { expected, found } => {
                write!(f, "meant for replica {found}, here is replica {expected}")
            }
            Self::UnknownSender { replica } => {
                write!(f, "replica {replica} is not in the group's configuration")
            }
            Self::OtherNode { replica, expected, found } => {
                write!(f, "replica {replica} lives on node {expected}, but node {found} speaks")
            }
            Self::OtherStore { replica, expected, found } => {
                write!(f, "replica {replica} lives in store {expected}, but its node has {found}")
            }
            Self::OtherKind { expected } => write!(f, "expected {expected}"),
            Self::Impossible(what) => write!(f, "no correct peer says this: {what}"),
            Self::Halted => write!(f, "the group's replica has halted"),
        }
    }
}

impl core::error::Error for StepError {}

/// The group is not hosted here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownGroup {
    /// The group.
    pub group: GroupId,
}

impl fmt::Display for UnknownGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {} is not hosted here", self.group)
    }
}

impl core::error::Error for UnknownGroup {}

/// Why a question about a vshard has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookupError {
    /// The routing table has no such vshard.
    UnknownVShard {
        /// The vshard.
        vshard: VShardId,
        /// How many there are; the first is 0.
        vshards: u32,
    },
    /// The vshard's group is not hosted here.
    UnknownGroup {
        /// The group.
        group: GroupId,
    },
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ProposeError::from(*self).fmt(f)
    }
}

impl core::error::Error for LookupError {}

impl From<LookupError> for ProposeError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::UnknownVShard { vshard, vshards } => {
                Self::UnknownVShard { vshard, vshards }
            }
            LookupError::UnknownGroup { group } => Self::UnknownGroup { group },
        }
    }
}

impl From<UnknownGroup> for ProposeError {
    fn from(error: UnknownGroup) -> Self {
        Self::UnknownGroup { group: error.group }
    }
}

/// Why a read was not begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// The group is not hosted here.
    UnknownGroup {
        /// The group.
        group: GroupId,
    },
    /// Ask the leader, or later if there is none.
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ProposeError::from(*self).fmt(f)
    }
}

impl core::error::Error for ReadError {}

impl From<ReadError> for ProposeError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::UnknownGroup { group } => Self::UnknownGroup { group },
            ReadError::NotLeader { leader } => Self::NotLeader { leader },
        }
    }
}

/// A batch was reported durable out of turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TicketError {
    /// The oldest batch that is not reported yet, if any was issued.
    pub expected: Option<BatchTicket>,
    /// What was reported.
    pub found: BatchTicket,
}

impl fmt::Display for TicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.found.0;
        match self.expected {
            Some(BatchTicket(expected)) => {
                write!(f, "batch {found} is reported durable, expected batch {expected} first")
            }
            None => write!(f, "batch {found} is reported durable, but none is under way"),
        }
    }
}

impl core::error::Error for TicketError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn errors_say_what_is_wrong_and_what_was_expected() {
        let error = ProposeError::UnknownVShard { vshard: VShardId(9), vshards: 4 };
        assert_eq!(error.to_string(), "there is no vshard 9, only 0 to 3");
        let error = TicketError { expected: Some(BatchTicket(3)), found: BatchTicket(5) };
        assert_eq!(error.to_string(), "batch 5 is reported durable, expected batch 3 first");
        let error = StepError::OtherGeneration { expected: Generation(2), found: Generation(1) };
        assert_eq!(error.to_string(), "meant for generation 1 of the group, here is 2");
    }
}
