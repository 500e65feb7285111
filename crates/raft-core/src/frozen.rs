//! Putting a quiet replica away, and taking it out again.

use alloc::sync::Arc;

use types::{LogIndex, ReplicaId, Tick};

use crate::common::Common;
use crate::configurations::Configurations;
use crate::follower::Follower;
use crate::leader::Leader;
use crate::log::Log;
use crate::raft::RoleState;
use crate::random::Random;
use crate::reads::Reads;
use crate::terms::Terms;
use crate::writes::Writes;
use crate::{Configuration, Fitness, HardState, RaftNode, RoleChange, Settings, Ticket};

/// A quiet replica without what it can do without: entries in memory, windows, queues.
///
/// Holds what a term is about: role, vote, leader, promises and the numbers that must not repeat
/// within it. Thawed within the same start of the process, it goes on as if nothing had been.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frozen {
    me: ReplicaId,
    hard_state: HardState,
    last_ticket: Ticket,
    random: Random,
    terms: Terms,
    configurations: Configurations,
    promise_until: Tick,
    no_vote_before: Tick,
    fitness: Fitness,
    role: FrozenRole,
    reported: Option<RoleChange>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum FrozenRole {
    Follower { leader: ReplicaId, heard_at: Option<Tick>, election_at: Tick, election_timeout: u64 },
    Leader { term_start: LogIndex, last_round: u64 },
}

impl Frozen {
    /// The configuration in force.
    pub fn configuration(&self) -> &Arc<Configuration> {
        self.configurations.current()
    }
}

impl RaftNode {
    /// Whether nothing is to be done and nothing is expected: everything is durable, committed,
    /// applied, and known to all. A candidate, or a follower without a leader, is never quiet.
    pub fn is_quiet(&self) -> bool {
        let (common, log) = (&self.common, &self.common.log);
        let is_settled = log.applied() == log.last()
            && log.persisted() == log.last()
            && common.writes.is_idle()
            && !common.writes.is_news(common.hard_state)
            && common.is_silent()
            && !self.is_fetching_committed;
        is_settled
            && match &self.role {
                RoleState::Follower(follower) => follower.is_quiet(common),
                RoleState::Leader(leader) => leader.is_quiet(common),
                RoleState::Candidate(_) | RoleState::Halted(_) => false,
            }
    }

    /// What is left of a quiet replica; none if it is not quiet.
    pub fn freeze(&self) -> Option<Frozen> {
        if !self.is_quiet() {
            return None;
        }
        let common = &self.common;
        let role = match &self.role {
            RoleState::Follower(follower) => FrozenRole::Follower {
                leader: follower.leader?,
                heard_at: follower.heard_at,
                election_at: follower.election_at,
                election_timeout: follower.election_timeout(),
            },
            RoleState::Leader(leader) => FrozenRole::Leader {
                term_start: leader.term_start,
                last_round: leader.reads.last_number(),
            },
            RoleState::Candidate(_) | RoleState::Halted(_) => return None,
        };
        Some(Frozen {
            me: common.me,
            hard_state: common.hard_state,
            last_ticket: common.writes.last_ticket(),
            random: common.random,
            terms: common.log.terms().clone(),
            configurations: common.log.configurations().clone(),
            promise_until: common.promise_until,
            no_vote_before: common.no_vote_before,
            fitness: common.fitness,
            role,
            reported: self.reported,
        })
    }

    /// Takes a replica out again at `now`. A leader counts its peers as heard from at `now`, so it
    /// has one check-quorum interval to find out whether they are still there.
    pub fn thaw(frozen: Frozen, settings: Settings, now: Tick) -> Self {
        let last = frozen.terms.last();
        let limits = settings.limits;
        let log = Log::new(frozen.terms, frozen.configurations, last, limits.log_cache_bytes_max);
        let writes = Writes::new(frozen.hard_state, frozen.last_ticket);
        let mut common = Common::new(frozen.me, settings, log, writes, frozen.random, now);
        common.promise_until = frozen.promise_until;
        common.no_vote_before = frozen.no_vote_before;
        common.fitness = frozen.fitness;
        let role = match frozen.role {
            FrozenRole::Follower { leader, heard_at, election_at, election_timeout } => {
                RoleState::Follower(Follower::thawed(
                    &common,
                    leader,
                    heard_at,
                    election_at,
                    election_timeout,
                ))
            }
            FrozenRole::Leader { term_start, last_round } => {
                let reads = Reads::after(last_round);
                RoleState::Leader(Leader::thawed(&common, term_start, reads))
            }
        };
        let mut node = Self::assemble(common, role);
        node.reported = frozen.reported;
        node
    }
}
