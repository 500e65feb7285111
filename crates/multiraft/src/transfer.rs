//! Handing the leadership of a group to another node.

use alloc::vec::Vec;
use core::{fmt, mem};

use types::{GroupId, LogIndex, NodeId, Tick};

use crate::groups::{Hosted, Slot};
use crate::{MultiRaft, UnknownGroup};

/// Why a group's leadership was not handed over; nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransferError {
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
    /// The group has no replica on that node.
    NotAMember {
        /// The node that was to lead.
        node: NodeId,
    },
    /// The group's replica on that node is a learner, or votes in one half of a joint configuration
    /// alone: choose another node.
    NotVoter {
        /// The node that was to lead.
        node: NodeId,
    },
    /// The replica there has not answered within one election timeout: choose another node.
    Silent {
        /// The node that was to lead.
        node: NodeId,
    },
    /// The replica there lacks more than is on its way: choose another node, or try again later.
    TooFarBehind {
        /// Up to where its log is known to match.
        matched: LogIndex,
        /// Where the leader's log ends.
        last: LogIndex,
    },
    /// Leadership is being handed to another node: wait until that has ended.
    InProgress {
        /// To which node; none if it is no member any more.
        to: Option<NodeId>,
    },
}

impl MultiRaft {
    /// Begins to hand the leadership of `group` to node `to`; nothing happens if that is this node,
    /// or if it is being handed there already.
    ///
    /// **Effects**: proposals to the group are refused from now on, reads are not. The handover ends
    /// when another leads, or after one election timeout, when this node takes proposals again:
    /// [`MultiRaft::transferee`] tells. Source: dissertation 3.10.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub fn transfer_leader(&mut self, group: GroupId, to: NodeId) -> Result<(), TransferError> {
        let slot = self.slot(group)?;
        let hosted = self.groups.touch(slot);
        let leader = hosted.leader_node();
        if !hosted.leads() {
            return Err(TransferError::NotLeader { leader });
        }
        let replica = hosted.node.configuration().replica_on(to);
        let replica = replica.ok_or(TransferError::NotAMember { node: to })?.id;
        let begun = hosted.node.transfer_leader(replica);
        begun.map_err(|error| match error {
            raft_core::TransferError::NotLeader { .. } => TransferError::NotLeader { leader },
            raft_core::TransferError::UnknownReplica { .. } => {
                TransferError::NotAMember { node: to }
            }
            raft_core::TransferError::NotVoter { .. } => TransferError::NotVoter { node: to },
            raft_core::TransferError::Silent { .. } => TransferError::Silent { node: to },
            raft_core::TransferError::TooFarBehind { matched, last } => {
                TransferError::TooFarBehind { matched, last }
            }
            raft_core::TransferError::InProgress { to } => {
                TransferError::InProgress { to: hosted.node_of(to) }
            }
        })
    }

    /// To which node the leadership of `group` is being handed; none unless it is led here.
    ///
    /// # Errors
    /// The group is not hosted here.
    pub fn transferee(&self, group: GroupId) -> Result<Option<NodeId>, UnknownGroup> {
        Ok(self.groups.get(self.slot(group)?).transferee())
    }
}

impl Hosted {
    /// The node that leadership is being handed to.
    pub(crate) fn transferee(&self) -> Option<NodeId> {
        self.node.transferee().and_then(|replica| self.node_of(replica))
    }

    /// What has become of a handover to `to`; none while it goes on, at most until `until`.
    fn transferred(&self, to: NodeId, now: Tick, until: Tick) -> Option<Outcome> {
        let is_under_way = if self.leads() {
            self.transferee() == Some(to)
        } else {
            now < until && self.node.halted().is_none()
        };
        match self.leader_node() {
            Some(leader) if leader == to => Some(Ok(())),
            leader if leader.is_some() && !self.leads() => Some(Err(leader)),
            leader => (!is_under_way).then_some(Err(leader)),
        }
    }
}

/// How a handover ended: the node that was meant leads, or somebody else does, if anybody.
type Outcome = Result<(), Option<NodeId>>;

#[derive(Debug)]
struct Handover<R> {
    slot: Slot,
    to: NodeId,
    until: Tick,
    reply: R,
}

/// Those who wait for handovers that they asked for.
///
/// Invariant: a handover ends only by a change of leader, by a halt, or as time passes; so nobody
/// is looked at in turns that bring none of these.
#[derive(Debug)]
pub(crate) struct Transfers<R> {
    under_way: Vec<Handover<R>>,
    /// Whether somebody has not been looked at yet.
    has_new: bool,
    looked_at: Tick,
}

impl<R> Default for Transfers<R> {
    fn default() -> Self {
        Self { under_way: Vec::new(), has_new: false, looked_at: Tick(0) }
    }
}

impl<R> Transfers<R> {
    /// How many wait.
    pub(crate) const fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Somebody waits until node `to` leads, or does not in time.
    pub(crate) fn wait(&mut self, slot: Slot, to: NodeId, until: Tick, reply: R) {
        self.under_way.push(Handover { slot, to, until, reply });
        self.has_new = true;
    }

    /// Takes those whose handover has ended; `has_change` says whether any group got another leader
    /// or halted.
    pub(crate) fn take_ended(&mut self, multi: &MultiRaft, has_change: bool) -> Vec<(R, Outcome)> {
        let (mut ended, now) = (Vec::new(), multi.now());
        if !(has_change || self.has_new || now > self.looked_at) {
            return ended;
        }
        (self.has_new, self.looked_at) = (false, now);
        for handover in mem::take(&mut self.under_way) {
            let hosted = multi.groups.get(handover.slot);
            match hosted.transferred(handover.to, now, handover.until) {
                Some(outcome) => ended.push((handover.reply, outcome)),
                None => self.under_way.push(handover),
            }
        }
        ended
    }

    /// Takes everybody, for a loop that ends.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = R> {
        mem::take(&mut self.under_way).into_iter().map(|handover| handover.reply)
    }
}

impl From<UnknownGroup> for TransferError {
    fn from(error: UnknownGroup) -> Self {
        Self::UnknownGroup { group: error.group }
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownGroup { group } => write!(f, "group {group} is not hosted here"),
            Self::NotLeader { leader } => crate::ProposeError::NotLeader { leader: *leader }.fmt(f),
            Self::NotAMember { node } => write!(f, "the group has no replica on node {node}"),
            Self::NotVoter { node } => write!(
                f,
                "the replica on node {node} does not vote, or in one half alone: choose a voter"
            ),
            Self::Silent { node } => {
                write!(f, "node {node} has not answered within one election timeout")
            }
            Self::TooFarBehind { matched, last } => write!(
                f,
                "the log there is known to match up to {matched}, the leader's ends at {last}"
            ),
            Self::InProgress { to: Some(to) } => {
                write!(f, "leadership is being handed to node {to}")
            }
            Self::InProgress { to: None } => {
                write!(f, "leadership is being handed to a node that is no member any more")
            }
        }
    }
}

impl core::error::Error for TransferError {}
