//! Questions: what a replica is, how far it got, and what it knows of the others.

use alloc::sync::Arc;
use alloc::vec::Vec;

use types::{LogId, LogIndex, ReplicaId, Term, Tick};

use crate::candidate::Ballot;
use crate::raft::RoleState;
use crate::{Configuration, HaltReason, ProgressState, RaftNode, Role, RoleChange};

/// What a leader knows of another replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// Which replica.
    pub replica: ReplicaId,
    /// Up to where its durable log is known to match.
    pub matched: LogIndex,
    /// The next entry to be sent to it.
    pub next: LogIndex,
    /// How it is being served.
    pub state: ProgressState,
    /// When it answered last.
    pub heard_at: Tick,
}

/// A replica at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Who it is.
    pub replica: ReplicaId,
    /// What it is.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<ReplicaId>,
    /// The leader of that term, if known.
    pub leader: Option<ReplicaId>,
    /// The last entry that compaction removed.
    pub base: LogId,
    /// The last applied entry.
    pub applied: LogIndex,
    /// The commit index.
    pub committed: LogIndex,
    /// The last durable entry.
    pub persisted: LogIndex,
    /// The last entry.
    pub last: LogId,
    /// The configuration in force.
    pub configuration: Arc<Configuration>,
    /// The other replicas, sorted by id; empty unless it leads.
    pub peers: Vec<PeerStatus>,
    /// Why it takes part in nothing any more, if that is so.
    pub halted: Option<HaltReason>,
}

impl RaftNode {
    /// Everything at once; allocates.
    pub fn status(&self) -> Status {
        let peers = match &self.role {
            RoleState::Leader(leader) => leader.peers.as_slice(),
            RoleState::Follower(_) | RoleState::Candidate(_) | RoleState::Halted(_) => &[],
        };
        Status {
            replica: self.replica_id(),
            role: self.role(),
            term: self.term(),
            vote: self.common.hard_state.vote,
            leader: self.leader(),
            base: self.common.log.base(),
            applied: self.applied_index(),
            committed: self.commit_index(),
            persisted: self.persisted_index(),
            last: self.common.log.last_id(),
            configuration: self.configuration().clone(),
            peers: peers
                .iter()
                .map(|peer| PeerStatus {
                    replica: peer.replica,
                    matched: peer.matched,
                    next: peer.next,
                    state: peer.state,
                    heard_at: peer.heard_at,
                })
                .collect(),
            halted: self.halted(),
        }
    }

    /// Who this replica is within its group.
    pub const fn replica_id(&self) -> ReplicaId {
        self.common.me
    }

    /// What it is now.
    pub fn role(&self) -> Role {
        match &self.role {
            RoleState::Leader(_) => Role::Leader,
            RoleState::Candidate(_) if self.is_candidate(Ballot::PreVote) => Role::PreCandidate,
            RoleState::Candidate(_) => Role::Candidate,
            RoleState::Follower(_) | RoleState::Halted(_) if self.common.is_promotable() => {
                Role::Follower
            }
            RoleState::Follower(_) | RoleState::Halted(_) => Role::Learner,
        }
    }

    /// Its term.
    pub const fn term(&self) -> Term {
        self.common.term()
    }

    /// Whom it voted for in that term.
    pub const fn voted_for(&self) -> Option<ReplicaId> {
        self.common.hard_state.vote
    }

    /// The leader of its term, if known; itself if it leads.
    pub const fn leader(&self) -> Option<ReplicaId> {
        match &self.role {
            RoleState::Follower(follower) => follower.leader,
            RoleState::Leader(_) => Some(self.common.me),
            RoleState::Candidate(_) | RoleState::Halted(_) => None,
        }
    }

    /// Whether the leader was heard from within one election timeout before `now`; for a leader,
    /// whether a quorum was.
    pub fn leader_is_fresh(&self, now: Tick) -> bool {
        self.leader_fresh_until().is_some_and(|until| now <= until)
    }

    /// The last moment at which the leader is fresh if nothing more is heard from it (for a leader:
    /// from its quorum); none if no leader was heard from in this role.
    pub fn leader_fresh_until(&self) -> Option<Tick> {
        let heard_at = match &self.role {
            RoleState::Follower(follower) => follower.heard_at,
            RoleState::Leader(leader) => Some(leader.quorum_heard_at(&self.common)),
            RoleState::Candidate(_) | RoleState::Halted(_) => None,
        };
        heard_at.map(|at| at.after(self.common.settings.timing.election_ticks_min()))
    }

    /// The commit index.
    pub const fn commit_index(&self) -> LogIndex {
        self.common.log.committed()
    }

    /// The last applied entry.
    pub const fn applied_index(&self) -> LogIndex {
        self.common.log.applied()
    }

    /// The last entry handed out to be applied.
    pub const fn delivered_index(&self) -> LogIndex {
        self.common.log.delivered()
    }

    /// The last entry, durable or not.
    pub const fn last_index(&self) -> LogIndex {
        self.common.log.last()
    }

    /// The last durable entry.
    pub const fn persisted_index(&self) -> LogIndex {
        self.common.log.persisted()
    }

    /// The configuration in force.
    pub fn configuration(&self) -> &Arc<Configuration> {
        self.common.configuration()
    }

    /// Up to where `replica`'s durable log is known to match; none unless this replica leads and the
    /// configuration lists the other.
    pub fn match_index(&self, replica: ReplicaId) -> Option<LogIndex> {
        let RoleState::Leader(leader) = &self.role else { return None };
        if replica == self.common.me {
            return Some(self.persisted_index());
        }
        leader.peer(replica).map(|peer| peer.matched)
    }

    /// What was proposed here and is not committed, in bytes; 0 unless it leads.
    pub fn uncommitted_bytes(&self) -> usize {
        match &self.role {
            RoleState::Leader(leader) => leader.uncommitted_bytes(&self.common),
            RoleState::Follower(_) | RoleState::Candidate(_) | RoleState::Halted(_) => 0,
        }
    }

    /// Why it takes part in nothing any more; none while it does.
    pub const fn halted(&self) -> Option<HaltReason> {
        match &self.role {
            RoleState::Halted(reason) => Some(*reason),
            RoleState::Follower(_) | RoleState::Candidate(_) | RoleState::Leader(_) => None,
        }
    }

    /// What to report of role, term and leader, if it changed since it was reported last.
    pub(crate) fn role_change(&mut self) -> Option<RoleChange> {
        let current = RoleChange { role: self.role(), term: self.term(), leader: self.leader() };
        if self.reported == Some(current) {
            return None;
        }
        self.reported = Some(current);
        Some(current)
    }
}
