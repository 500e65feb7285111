//! A candidate: first asks whether it could win (pre-vote, dissertation 9.6), which disturbs nobody,
//! then asks for votes in the next term (paper 5.2).
//!
//! Invariants: every voter's answer counts once; a candidate's own vote counts only once it is
//! durable, a pre-candidate's own pre-vote at once, since it promises nothing.

use alloc::vec::Vec;

use types::{ReplicaId, Term, Tick};

use crate::common::{Common, Transition};
use crate::{MessageBody, quorum};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ballot {
    /// "Would you?"
    PreVote,
    /// "Do!"
    Vote,
}

#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) ballot: Ballot,
    /// When to give up and start over.
    election_at: Tick,
    granted: Vec<ReplicaId>,
    refused: Vec<ReplicaId>,
}

impl Candidate {
    /// Asks everybody whether they would vote for this replica in the next term.
    pub(crate) fn pre_vote(common: &mut Common) -> Self {
        let body = MessageBody::PreVote { next_term: next(common), last: common.log.last_id() };
        let mut candidate = Self::ask(common, Ballot::PreVote, body);
        candidate.granted.push(common.me);
        candidate
    }

    /// Asks everybody for their vote in the current term; this replica has voted for itself.
    pub(crate) fn vote(common: &mut Common, is_ordered: bool) -> Self {
        let body = MessageBody::Vote { last: common.log.last_id(), is_ordered };
        Self::ask(common, Ballot::Vote, body)
    }

    fn ask(common: &mut Common, ballot: Ballot, body: MessageBody) -> Self {
        let timeout = common.draw_election_timeout();
        for voter in common.other_voters() {
            common.send(voter, body.clone());
        }
        let election_at = common.now.after(timeout);
        Self { ballot, election_at, granted: Vec::new(), refused: Vec::new() }
    }

    pub(crate) fn tick(&self, common: &Common) -> Transition {
        if self.deadline(common) <= common.now { Transition::PreCampaign } else { Transition::Stay }
    }

    pub(crate) fn deadline(&self, common: &Common) -> Tick {
        self.election_at.max(common.bound_until())
    }

    /// The own vote may have become durable.
    pub(crate) fn persisted(&mut self, common: &Common) -> Transition {
        if self.ballot == Ballot::Vote && common.writes.durable() == common.hard_state {
            return self.count(common, common.me, true);
        }
        Transition::Stay
    }

    pub(crate) fn vote_response(
        &mut self,
        common: &Common,
        from: ReplicaId,
        granted: bool,
    ) -> Transition {
        match self.ballot {
            Ballot::Vote => self.count(common, from, granted),
            Ballot::PreVote => Transition::Stay,
        }
    }

    pub(crate) fn pre_vote_response(
        &mut self,
        common: &Common,
        from: ReplicaId,
        next_term: Term,
        granted: bool,
    ) -> Transition {
        if self.ballot != Ballot::PreVote || next_term != next(common) {
            return Transition::Stay;
        }
        self.count(common, from, granted)
    }

    /// Counts one answer; what comes of it.
    pub(crate) fn count(&mut self, common: &Common, from: ReplicaId, granted: bool) -> Transition {
        if self.granted.contains(&from) || self.refused.contains(&from) {
            return Transition::Stay;
        }
        let answers = if granted { &mut self.granted } else { &mut self.refused };
        answers.push(from);
        self.outcome(common)
    }

    /// What the answers so far decide.
    pub(crate) fn outcome(&self, common: &Common) -> Transition {
        let configuration = common.configuration();
        if quorum::is_reached(configuration, |voter| self.granted.contains(&voter)) {
            return match self.ballot {
                Ballot::PreVote => Transition::Campaign { is_ordered: false },
                Ballot::Vote => Transition::Lead,
            };
        }
        if quorum::is_lost(configuration, |voter| self.refused.contains(&voter)) {
            return Transition::Follow { leader: None };
        }
        Transition::Stay
    }
}

/// The term that a campaign would be in.
pub(crate) fn next(common: &Common) -> Term {
    Term(common.term().0.saturating_add(1))
}
