//! What a caller is refused with, by operation; each variant says what the caller does about it.

use thiserror::Error;
use types::{GroupId, NodeId, VShardId};

/// Why a proposal brought no result.
///
/// Only [`ProposeError::Uncertain`] leaves it open whether the command took effect; after any other
/// variant it did not, and never will.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ProposeError {
    /// *Redirect*: this node does not lead the group. Send it to `hint`; without one, as
    /// [`ProposeError::NoLeader`].
    #[error("this node does not lead the group{}", leads(*.hint))]
    NotLeader {
        /// The leader as far as this node knows.
        hint: Option<NodeId>,
    },
    /// *Retry later*: nobody is known to lead the group; an election takes one to a few election
    /// timeouts, and [`crate::Engine::watch_leaders`] tells when it is over.
    #[error("the group has no leader at the moment: try again after the election")]
    NoLeader,
    /// *Retry later*: too much is under way, or the log is full. Slow down; with budget `log`, an
    /// operator has to act.
    #[error("overloaded: {budget} is used up, try again later")]
    Overloaded {
        /// Which budget is used up: a limit of [`crate::EngineLimits`] by its name, `inbox`, `log`,
        /// or a limit of the group.
        budget: &'static str,
    },
    /// *Retry later*: the group's leadership is being handed to another node, which takes a moment.
    #[error("leadership is being handed over{}: try again in a moment", towards(*.to))]
    TransferInProgress {
        /// The node that is to lead.
        to: Option<NodeId>,
    },
    /// *Retry later*: this node leads the group and its disk has no room for more. Nothing was
    /// begun. An operator makes room; then, or once a node with room leads, it goes on by itself.
    #[error(
        "the disk of this node is full: {free_bytes} bytes are free, {needed_bytes} are needed; \
         nothing was begun, try again when there is room"
    )]
    DiskFull {
        /// Bytes that are free on the disk.
        free_bytes: u64,
        /// Bytes that have to be free before commands are taken in again.
        needed_bytes: u64,
    },
    /// *Retry later*: this node has room, but too few of the group's other replicas have: what it
    /// took in would wait for them. Nothing was begun.
    #[error(
        "the disks of a majority of the group are full: nothing was begun, try again when there \
         is room"
    )]
    MajorityFull,
    /// *Give up*: no entry may be so large.
    #[error("the entry has {bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge {
        /// How large it would be.
        bytes: usize,
        /// How large it may be.
        bytes_max: usize,
    },
    /// *Give up*: the routing table has no such vshard.
    #[error("there is no vshard {vshard}")]
    UnknownVShard {
        /// The vshard.
        vshard: VShardId,
    },
    /// *Ask a node that hosts it*: this one has no replica of the group, or does not have it yet
    /// because its members have not all met and agreed on their stores.
    #[error("group {group} is not hosted here")]
    UnknownGroup {
        /// The group.
        group: GroupId,
    },
    /// *Outcome unknown*: the command was appended, then leadership was lost or the node failed. It
    /// may take effect or not; never report it as failed, and repeat it only if that does no harm.
    #[error("the command may or may not take effect")]
    Uncertain,
    /// *Ask another node*: this engine was shut down or has failed before it took the command.
    #[error("the engine has stopped")]
    Stopped,
}

/// Why a read was not allowed. A refused read has no effect: it may always be asked again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ReadError {
    /// *Redirect*: this node does not lead the group. Read at `hint`; without one, as
    /// [`ReadError::NoLeader`].
    #[error("this node does not lead the group{}", leads(*.hint))]
    NotLeader {
        /// The leader as far as this node knows.
        hint: Option<NodeId>,
    },
    /// *Retry later*: nobody is known to lead the group.
    #[error("the group has no leader at the moment: try again after the election")]
    NoLeader,
    /// *Retry later*: too many reads are under way.
    #[error("overloaded: {budget} is used up, try again later")]
    Overloaded {
        /// Which budget is used up: a limit of [`crate::EngineLimits`] by its name, or `inbox`.
        budget: &'static str,
    },
    /// *Give up*: the routing table has no such vshard.
    #[error("there is no vshard {vshard}")]
    UnknownVShard {
        /// The vshard.
        vshard: VShardId,
    },
    /// *Ask a node that hosts it*: this one has no replica of the group.
    #[error("group {group} is not hosted here")]
    UnknownGroup {
        /// The group.
        group: GroupId,
    },
    /// *Ask another node*: this engine was shut down or has failed.
    #[error("the engine has stopped")]
    Stopped,
}

/// Why leadership was not handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TransferError {
    /// It was not begun; the reason says what to do.
    #[error(transparent)]
    Refused(#[from] multiraft::TransferError),
    /// It was begun, and the node that was to lead was not elected in time. Whoever leads goes on.
    #[error("the node was not elected in time{}", instead(*.leader))]
    Failed {
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
    /// *Retry later*: too much is under way.
    #[error("overloaded: {budget} is used up, try again later")]
    Overloaded {
        /// Which budget is used up: `inbox` or `transfers_max`.
        budget: &'static str,
    },
    /// *Ask another node*: this engine was shut down or has failed, or the thread of the group ended.
    /// A handover that was under way may go on.
    #[error("the engine has stopped")]
    Stopped,
}

fn towards(to: Option<NodeId>) -> String {
    to.map_or_else(String::new, |node| format!(" to node {node}"))
}

fn instead(leader: Option<NodeId>) -> String {
    leader.map_or_else(String::new, |node| format!(", node {node} leads"))
}

fn leads(hint: Option<NodeId>) -> String {
    hint.map_or_else(String::new, |node| format!(", node {node} does"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_names_the_leader_if_there_is_one() {
        let to = |hint| ProposeError::NotLeader { hint }.to_string();
        assert_eq!(to(Some(NodeId(3))), "this node does not lead the group, node 3 does");
        assert_eq!(to(None), "this node does not lead the group");
    }
}
