//! Handing leadership over (dissertation 3.10): the leader takes no more proposals, waits until the
//! chosen one has everything, and orders it to campaign. It leads until somebody is elected, and
//! goes on leading if nobody is within an election timeout.
//!
//! Invariants: while a handover is under way nothing is appended; the order leaves once, and only
//! when everything is committed and durable at the receiver, so that every voter finds its log up to
//! date; an order counts only in its term, and from the leader of that term.
//!
//! The leader's own disk is waited for too, but only for half of the time: what is durable here is
//! delivered before this replica stops leading, and its proposers are answered. A disk that stands
//! still or is full must not keep leadership where it should go away from.
//!
//! Promises to the leader do not stand in the way of an election that it ordered itself. So whoever
//! lets a leader rely on them, for reads without a round, must end that before the order leaves.

use core::fmt;

use types::{LogIndex, ReplicaId, Term, Tick};

use crate::common::{Common, Transition};
use crate::leader::Leader;
use crate::progress::{Progress, ProgressState};
use crate::raft::RoleState;
use crate::{MessageBody, RaftNode};

/// A handover under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) to: ReplicaId,
    /// When the leader stops waiting for its own disk.
    own_disk_until: Tick,
    /// When the leader goes on leading.
    until: Tick,
    /// Whether the order has left.
    is_ordered: bool,
}

/// Why leadership was not handed over; nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransferError {
    /// This replica does not lead: ask the leader, or wait if none is known.
    NotLeader {
        /// The leader, if known.
        leader: Option<ReplicaId>,
    },
    /// The configuration does not list that replica.
    UnknownReplica {
        /// Who was to lead.
        to: ReplicaId,
    },
    /// That replica is a learner, or votes in one half of a joint configuration alone: choose
    /// another.
    NotVoter {
        /// Who was to lead.
        to: ReplicaId,
    },
    /// That replica has not answered within one election timeout: choose another.
    Silent {
        /// Who was to lead.
        to: ReplicaId,
    },
    /// That replica lacks more than is on its way there: choose another, or try again later.
    TooFarBehind {
        /// Up to where its log is known to match.
        matched: LogIndex,
        /// Where the leader's log ends.
        last: LogIndex,
    },
    /// Leadership is being handed to another: wait until that has ended.
    InProgress {
        /// To whom.
        to: ReplicaId,
    },
}

impl RaftNode {
    /// Begins to hand leadership to `to`; nothing happens if that is this replica, or if it is being
    /// handed there already.
    ///
    /// **Effects**: proposals are refused from now on, reads are not. Once `to` has everything and
    /// all of it is committed, the order to campaign leaves. The handover ends when this replica
    /// leads no more, or after one election timeout, when it takes proposals again;
    /// [`RaftNode::transferee`] tells. Source: dissertation 3.10.
    ///
    /// # Errors
    /// See [`TransferError`]; nothing has changed.
    pub fn transfer_leader(&mut self, to: ReplicaId) -> Result<(), TransferError> {
        let leader = self.leader();
        let RoleState::Leader(role) = &mut self.role else {
            return Err(TransferError::NotLeader { leader });
        };
        role.begin_transfer(&self.common, to)
    }

    /// To whom leadership is being handed; nobody unless it leads.
    pub fn transferee(&self) -> Option<ReplicaId> {
        let RoleState::Leader(leader) = &self.role else { return None };
        leader.transfer.map(|transfer| transfer.to)
    }

    /// The leader orders this replica to campaign. Ignored if it comes from anybody else or of
    /// another term, so that a late one does no harm (tikv#19922), and if this replica may not lead.
    pub(crate) fn ordered_to_campaign(&mut self, from: ReplicaId, term: Term) {
        let is_order = matches!(&self.role, RoleState::Follower(it) if it.leader == Some(from));
        if is_order && term == self.term() && self.common.may_campaign() {
            // Without pre-votes: the leader knows that it can win, and nobody is disturbed against
            // the leader's will.
            self.transition(Transition::Campaign { is_ordered: true });
        }
    }
}

impl Leader {
    fn begin_transfer(&mut self, common: &Common, to: ReplicaId) -> Result<(), TransferError> {
        match &self.transfer {
            Some(transfer) if transfer.to == to => return Ok(()),
            Some(transfer) => return Err(TransferError::InProgress { to: transfer.to }),
            None if to == common.me => return Ok(()),
            None => {}
        }
        let peer = self.peer(to).ok_or(TransferError::UnknownReplica { to })?;
        if !common.configuration().is_voter_throughout(to) {
            return Err(TransferError::NotVoter { to });
        }
        let patience = common.settings.timing.election_ticks_min();
        if common.now.since(peer.heard_at) >= patience {
            return Err(TransferError::Silent { to });
        }
        if !can_catch_up(common, peer) {
            let (matched, last) = (peer.matched, common.log.last());
            return Err(TransferError::TooFarBehind { matched, last });
        }
        let (own_disk_until, until) = (common.now.after(patience / 2), common.now.after(patience));
        self.transfer = Some(Transfer { to, own_disk_until, until, is_ordered: false });
        Ok(())
    }

    /// Orders the chosen one to campaign as soon as it can win.
    pub(crate) fn advance_transfer(&mut self, common: &mut Common) {
        let Some(transfer) = self.transfer.filter(|transfer| !transfer.is_ordered) else { return };
        let (to, last) = (transfer.to, common.log.last());
        let has_all = self.peer(to).is_some_and(|peer| peer.matched == last);
        let is_delivered = common.log.persisted() == last || common.now >= transfer.own_disk_until;
        if has_all && common.log.committed() == last && is_delivered {
            common.send(to, MessageBody::TimeoutNow);
            self.transfer = Some(Transfer { is_ordered: true, ..transfer });
        }
    }

    /// Goes on leading if nobody took over in time.
    pub(crate) fn expire_transfer(&mut self, now: Tick) {
        self.transfer = self.transfer.filter(|transfer| now < transfer.until);
    }
}

/// Whether all that `peer` lacks is on its way there, or can be at once.
fn can_catch_up(common: &Common, peer: &Progress) -> bool {
    let last = common.log.last();
    // A replica that was unreachable is probed with the next entry; it may have all the same.
    let may_get_it = peer.next > last || peer.may_send(&common.settings.limits);
    peer.matched == last || (peer.state == ProgressState::Replicate && may_get_it)
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader { leader } => crate::NotLeader { leader: *leader }.fmt(f),
            Self::UnknownReplica { to } => write!(f, "replica {to} is not in the configuration"),
            Self::NotVoter { to } => {
                write!(f, "replica {to} does not vote, or in one half alone: choose a voter")
            }
            Self::Silent { to } => {
                write!(f, "replica {to} has not answered within one election timeout")
            }
            Self::TooFarBehind { matched, last } => {
                write!(f, "its log is known to match up to {matched}, the leader's ends at {last}")
            }
            Self::InProgress { to } => write!(f, "leadership is being handed to replica {to}"),
        }
    }
}

impl core::error::Error for TransferError {}
