//! What a replica has whatever its role, and the rule that nothing is said too early.
//!
//! Invariants:
//! - `outbox` holds only what may be sent at once; what depends on a write waits in `held`;
//! - `held` is sorted by ticket, and holds one answer of a kind to each replica and ticket, so that
//!   a disk that does not answer costs no more memory the longer it takes;
//! - a promise to a leader (`promise_until`) binds until it runs out on the node's clock;
//! - `now` never falls.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use types::{LogIndex, ReplicaId, Term, Tick};

use crate::log::Log;
use crate::random::Random;
use crate::writes::Writes;
use crate::{
    Configuration, Fetch, Fitness, HaltReason, HardState, Message, MessageBody, ReadAnswer,
    Settings, StepError, Ticket,
};

/// What a role's handler wants to become; `raft.rs` carries it out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transition {
    Stay,
    /// Becomes a follower of the current term.
    Follow {
        leader: Option<ReplicaId>,
    },
    /// Asks for pre-votes.
    PreCampaign,
    /// Asks for votes in the next term, by the leader's order or because its time has come.
    Campaign {
        is_ordered: bool,
    },
    /// Leads the current term.
    Lead,
    /// Takes part in nothing any more.
    Halt(HaltReason),
}

#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) me: ReplicaId,
    pub(crate) settings: Settings,
    pub(crate) hard_state: HardState,
    pub(crate) log: Log,
    pub(crate) writes: Writes,
    pub(crate) fitness: Fitness,
    pub(crate) now: Tick,
    pub(crate) random: Random,
    /// Until when a promise to a leader forbids to vote, pre-vote and campaign.
    pub(crate) promise_until: Tick,
    /// Until when promises given before a restart, and forgotten, may still bind.
    pub(crate) no_vote_before: Tick,
    pub(crate) outbox: Vec<Message>,
    held: VecDeque<(Ticket, Message)>,
    pub(crate) answers: Vec<ReadAnswer>,
    pub(crate) fetches: Vec<Fetch>,
}

impl Common {
    pub(crate) fn new(
        me: ReplicaId,
        settings: Settings,
        log: Log,
        writes: Writes,
        random: Random,
        now: Tick,
    ) -> Self {
        Self {
            me,
            settings,
            hard_state: writes.durable(),
            log,
            writes,
            fitness: Fitness::Fit,
            now,
            random,
            promise_until: Tick(0),
            no_vote_before: Tick(0),
            outbox: Vec::new(),
            held: VecDeque::new(),
            answers: Vec::new(),
            fetches: Vec::new(),
        }
    }

    pub(crate) const fn term(&self) -> Term {
        self.hard_state.term
    }

    pub(crate) fn configuration(&self) -> &Arc<Configuration> {
        self.log.configuration()
    }

    /// Moves to a later term, in which this replica has not voted.
    pub(crate) fn enter_term(&mut self, term: Term) {
        assert!(term > self.term(), "term {term} does not follow {}", self.term());
        self.hard_state = HardState { term, vote: None };
        self.log.seal();
    }

    /// Says `body` to `to`, as soon as everything it promises is durable: a vote or a request for
    /// votes once the vote is, anything else once the term it speaks for is (paper figure 2).
    pub(crate) fn send(&mut self, to: ReplicaId, body: MessageBody) {
        let promises_vote =
            matches!(body, MessageBody::Vote { .. } | MessageBody::VoteResponse { granted: true });
        let (from, term) = (self.me, self.term());
        let is_early = promises_vote || term > self.writes.durable().term;
        let ticket = if is_early { self.writes.ticket_of(self.hard_state) } else { None };
        match ticket {
            Some(ticket) => self.hold(ticket, Message { from, to, term, body }),
            None => self.outbox.push(Message { from, to, term, body }),
        }
    }

    /// Keeps a message until `ticket` is durable, in the place of one that says less.
    fn hold(&mut self, ticket: Ticket, message: Message) {
        let same = |(due, held): &&mut (Ticket, Message)| {
            *due == ticket
                && (held.to, held.term) == (message.to, message.term)
                && supersedes(&message.body, &held.body)
        };
        match self.held.iter_mut().rev().find(same) {
            Some((_, held)) => *held = message,
            None => self.held.push_back((ticket, message)),
        }
    }

    /// Everything up to `ticket` is durable; what waited for it may go out, unless its term is over.
    pub(crate) fn complete(&mut self, ticket: Ticket) {
        if let Some(persisted) = self.writes.complete(ticket).persisted {
            self.log.persist(persisted.min(self.log.unwritten().prev()));
        }
        while let Some((_, message)) = self.held.pop_front_if(|(due, _)| *due <= ticket) {
            if message.term == self.term() {
                self.outbox.push(message);
            }
        }
    }

    /// How many messages wait, for a write or to be collected.
    pub(crate) fn messages_len(&self) -> usize {
        self.outbox.len() + self.held.len()
    }

    /// Lets go of all that was to be said.
    pub(crate) fn fall_silent(&mut self) {
        self.outbox.clear();
        self.held.clear();
        self.answers.clear();
        self.fetches.clear();
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.outbox.is_empty() && self.held.is_empty() && self.answers.is_empty()
    }

    /// A new election timeout, drawn from the configured range.
    pub(crate) fn draw_election_timeout(&mut self) -> u64 {
        let timing = self.settings.timing;
        self.random.within(timing.election_ticks_min(), timing.election_ticks_max())
    }

    /// Until when this replica must not vote or campaign. Nobody else can have been promised
    /// anything where one voter decides alone.
    pub(crate) fn bound_until(&self) -> Tick {
        if self.configuration().is_single_voter() {
            return Tick(0);
        }
        self.promise_until.max(self.no_vote_before)
    }

    /// Whether a promise forbids to vote and campaign now.
    pub(crate) fn is_bound(&self) -> bool {
        self.now < self.bound_until()
    }

    /// Whether this replica is one of those who may lead.
    pub(crate) fn is_promotable(&self) -> bool {
        self.configuration().is_voter(self.me)
    }

    /// Whether this replica may ask for votes, promises apart.
    pub(crate) fn may_campaign(&self) -> bool {
        self.is_promotable() && self.fitness == Fitness::Fit
    }

    /// The voters other than this replica.
    pub(crate) fn other_voters(&self) -> Vec<ReplicaId> {
        let configuration = self.configuration();
        let voters = configuration.replicas().map(|replica| replica.id);
        voters.filter(|id| *id != self.me && configuration.is_voter(*id)).collect()
    }

    /// Refuses answers from replicas that the configuration does not list.
    pub(crate) fn check_member(&self, from: ReplicaId) -> Result<(), StepError> {
        match self.configuration().replica(from) {
            Some(_) => Ok(()),
            None => Err(StepError::UnknownSender { from }),
        }
    }

    /// Commits up to `index` as far as it rises.
    pub(crate) fn commit(&mut self, index: LogIndex) -> bool {
        self.log.commit(index)
    }
}

/// Whether whoever gets `newer` has no use for `older`, both said in one term: answers that are
/// repeated with every beat, or say how far the log is.
fn supersedes(newer: &MessageBody, older: &MessageBody) -> bool {
    use MessageBody::{Accepted, HeartbeatResponse, PreVoteResponse, Rejected};
    let is_later_answer = matches!(
        (older, newer),
        (HeartbeatResponse { round: Some(_) }, HeartbeatResponse { round: Some(_) })
            | (Accepted { .. }, Accepted { .. })
            | (Rejected { .. }, Rejected { .. })
            | (PreVoteResponse { .. }, PreVoteResponse { .. })
    );
    is_later_answer || newer == older
}
