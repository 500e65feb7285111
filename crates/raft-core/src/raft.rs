//! The replica: takes inputs, hands them to its role, and is the only place that changes a role.
//!
//! Invariants, asserted after every input: the log's cursors are in order; a role's data belongs to
//! the current term; a halted replica says nothing. Every input is total: whatever a peer sends, it
//! is taken, ignored or refused by name.

use alloc::sync::Arc;
use alloc::vec::Vec;

use types::{LogId, LogIndex, ReplicaId, Term, Tick};

use crate::candidate::{self, Ballot, Candidate};
use crate::common::{Common, Transition};
use crate::configurations::Configurations;
use crate::follower::Follower;
use crate::leader::{Leader, is_in_log};
use crate::log::Log;
use crate::random::Random;
use crate::terms::Terms;
use crate::writes::Writes;
use crate::{
    Configuration, EntryHeader, EntryRun, FetchError, FetchFor, HaltReason, HardState, Message,
    MessageBody, NotLeader, ProposeError, ReadId, RestoreError, RestoredReplica, RoleChange,
    RunBody, Settings, StepError, Ticket,
};

/// The role, with what belongs to it alone.
#[derive(Debug)]
pub(crate) enum RoleState {
    Follower(Follower),
    Candidate(Candidate),
    Leader(Leader),
    /// The store is not to be trusted: no vote, no acknowledgement, no panic.
    Halted(HaltReason),
}

/// One replica of one Raft group.
///
/// Inputs are methods; what they cause comes out of [`RaftNode::ready`]. The caller makes the write
/// durable and says so by [`RaftNode::persisted`], sends the messages, applies what is committed and
/// says so by [`RaftNode::applied`], in any order and at any pace.
#[derive(Debug)]
pub struct RaftNode {
    pub(crate) common: Common,
    pub(crate) role: RoleState,
    pub(crate) reported: Option<RoleChange>,
    /// Whether committed entries are being read from disk.
    pub(crate) is_fetching_committed: bool,
    /// Committed entries that came from disk.
    pub(crate) fetched: Vec<EntryRun>,
}

impl RaftNode {
    /// Founds a replica of a new group: entry 1, of term 0, is `configuration`, the same on every
    /// founder, and counts as committed. It leaves through the first ready to be written.
    ///
    /// `seed` spreads the election timeouts and should differ between replicas.
    pub fn found(
        replica: ReplicaId,
        configuration: Arc<Configuration>,
        settings: Settings,
        seed: u64,
        now: Tick,
    ) -> Self {
        let restored = RestoredReplica {
            replica,
            hard_state: HardState::default(),
            base: LogId::ZERO,
            base_configuration: Arc::new(Configuration::empty()),
            terms: Vec::new(),
            last: LogIndex::ZERO,
            configurations: Vec::new(),
        };
        let mut node = Self::build(restored, LogIndex::ZERO, settings, seed, now, Tick(0));
        let body = RunBody::Configuration(configuration);
        node.common.log.append(EntryRun { first: LogIndex(1), term: Term(0), body });
        node.common.commit(LogIndex(1));
        node.become_follower(None);
        node.check();
        node
    }

    /// Brings a replica back as its store knows it. `applied` is what its state machine has applied
    /// durably; nothing up to there is delivered again. Until `no_vote_before` it neither votes nor
    /// campaigns, because promises that it gave before the restart may still bind; a group with one
    /// voter is exempt.
    ///
    /// # Errors
    /// What is restored contradicts itself or the state machine: do not mount the replica.
    pub fn restore(
        restored: RestoredReplica,
        applied: LogIndex,
        settings: Settings,
        seed: u64,
        now: Tick,
        no_vote_before: Tick,
    ) -> Result<Self, RestoreError> {
        check_restored(&restored, applied)?;
        let node = Self::build(restored, applied, settings, seed, now, no_vote_before);
        node.check();
        Ok(node)
    }

    fn build(
        restored: RestoredReplica,
        applied: LogIndex,
        settings: Settings,
        seed: u64,
        now: Tick,
        no_vote_before: Tick,
    ) -> Self {
        let base = (restored.base.index, restored.base_configuration);
        let configurations = Configurations::new(base, restored.configurations);
        let terms = Terms::new(restored.base, restored.terms, restored.last);
        let log = Log::new(terms, configurations, applied, settings.limits.log_cache_bytes_max);
        let writes = Writes::new(restored.hard_state, Ticket(0));
        let random = Random::new(seed);
        let mut common = Common::new(restored.replica, settings, log, writes, random, now);
        common.no_vote_before = no_vote_before;
        let mut follower = Follower::new(&mut common, None);
        follower.wait_for_the_first(&common);
        Self::assemble(common, RoleState::Follower(follower))
    }

    pub(crate) const fn assemble(common: Common, role: RoleState) -> Self {
        Self { common, role, reported: None, is_fetching_committed: false, fetched: Vec::new() }
    }

    /// It is `now`: does what is due. To be called when [`RaftNode::deadline`] is reached, and before
    /// the other inputs of a turn, so that they know the time. Time that falls is ignored.
    pub fn tick(&mut self, now: Tick) {
        self.common.now = self.common.now.max(now);
        let transition = match &mut self.role {
            RoleState::Follower(follower) => follower.tick(&self.common),
            RoleState::Candidate(candidate) => candidate.tick(&self.common),
            RoleState::Leader(leader) => leader.tick(&mut self.common),
            RoleState::Halted(_) => Transition::Stay,
        };
        self.transition(transition);
        self.check();
    }

    /// When `tick` has something to do next; never if none. Changes only through inputs.
    pub fn deadline(&self) -> Option<Tick> {
        match &self.role {
            RoleState::Follower(follower) => follower.deadline(&self.common),
            RoleState::Candidate(candidate) => Some(candidate.deadline(&self.common)),
            RoleState::Leader(leader) => Some(leader.deadline()),
            RoleState::Halted(_) => None,
        }
    }

    /// Takes a message from another replica.
    ///
    /// # Errors
    /// The message is refused and nothing has changed; the caller counts it.
    pub fn step(&mut self, message: Message) -> Result<(), StepError> {
        check_message(&self.common, &message)?;
        if matches!(self.role, RoleState::Halted(_)) {
            return Err(StepError::Halted);
        }
        let Message { from, term, body, .. } = message;
        // A pre-vote moves nobody's term, and a granted one may come from an older term; a vote is
        // weighed against promises before its term is entered; an order counts in its term alone. All
        // else speaks for its term.
        let mut result = Ok(());
        if let MessageBody::PreVote { next_term, last } = body {
            self.pre_vote(from, next_term, last);
        } else if let MessageBody::PreVoteResponse { next_term, granted: true } = body {
            self.pre_vote_granted(from, next_term);
        } else if let MessageBody::Vote { last, is_ordered } = body {
            self.vote(from, term, last, is_ordered);
        } else if matches!(body, MessageBody::TimeoutNow) {
            self.ordered_to_campaign(from, term);
        } else {
            result = self.step_in_term(from, term, body);
        }
        self.check();
        result
    }

    /// Takes a message that speaks for its sender's term: a newer one is entered, an older one is
    /// answered with the own term if a leader sent it, so that it steps down, and else ignored.
    fn step_in_term(
        &mut self,
        from: ReplicaId,
        term: Term,
        body: MessageBody,
    ) -> Result<(), StepError> {
        let is_from_leader =
            matches!(body, MessageBody::Append { .. } | MessageBody::Heartbeat { .. });
        if term < self.common.term() {
            if is_from_leader {
                self.common.send(from, MessageBody::HeartbeatResponse { round: None });
            }
            return Ok(());
        }
        if term > self.common.term() {
            self.enter_term(term, is_from_leader.then_some(from));
        }
        if is_from_leader && matches!(self.role, RoleState::Candidate(_)) {
            self.become_follower(Some(from));
        }
        let common = &mut self.common;
        let second_leader = StepError::Impossible { what: "a second leader of this term" };
        let mut transition = Transition::Stay;
        // What does not concern the role answers a question of an earlier one.
        match body {
            MessageBody::Append { prev, commit, runs } => match &mut self.role {
                RoleState::Follower(follower) => {
                    follower.append(common, from, prev, commit, runs)?
                }
                RoleState::Leader(_) => return Err(second_leader),
                RoleState::Candidate(_) | RoleState::Halted(_) => {}
            },
            MessageBody::Heartbeat { commit, round } => match &mut self.role {
                RoleState::Follower(follower) => {
                    transition = follower.heartbeat(common, from, commit, round);
                }
                RoleState::Leader(_) => return Err(second_leader),
                RoleState::Candidate(_) | RoleState::Halted(_) => {}
            },
            MessageBody::Accepted { matched } => {
                if let RoleState::Leader(leader) = &mut self.role {
                    leader.accepted(common, from, matched)?;
                }
            }
            MessageBody::Rejected { prev, hint } => {
                if let RoleState::Leader(leader) = &mut self.role {
                    leader.rejected(common, from, prev, hint);
                }
            }
            MessageBody::HeartbeatResponse { round } => {
                if let RoleState::Leader(leader) = &mut self.role {
                    leader.heartbeat_response(common, from, round);
                }
            }
            MessageBody::VoteResponse { granted } => {
                if let RoleState::Candidate(candidate) = &mut self.role {
                    transition = candidate.vote_response(common, from, granted);
                }
            }
            MessageBody::PreVoteResponse { next_term, granted } => {
                if let RoleState::Candidate(candidate) = &mut self.role {
                    transition = candidate.pre_vote_response(common, from, next_term, granted);
                }
            }
            MessageBody::PreVote { .. } | MessageBody::Vote { .. } | MessageBody::TimeoutNow => {}
        }
        self.transition(transition);
        Ok(())
    }

    /// Says whether this replica would vote for `from`; moves nobody's term and puts no election
    /// off. Source: dissertation 9.6 and 4.2.3.
    fn pre_vote(&mut self, from: ReplicaId, next_term: Term, last: LogId) {
        let would_vote = next_term > self.common.term()
            && !self.common.is_bound()
            && !matches!(self.role, RoleState::Leader(_))
            && last >= self.common.log.last_id();
        let body = MessageBody::PreVoteResponse { next_term, granted: would_vote };
        self.common.send(from, body);
    }

    fn pre_vote_granted(&mut self, from: ReplicaId, next_term: Term) {
        if let RoleState::Candidate(candidate) = &mut self.role {
            let transition = candidate.pre_vote_response(&self.common, from, next_term, true);
            self.transition(transition);
        }
    }

    /// Grants the vote if no promise forbids it, none was given to somebody else in that term, and
    /// the candidate's log is at least as up to date. Source: paper 5.2, 5.4.1; dissertation 4.2.3.
    fn vote(&mut self, from: ReplicaId, term: Term, last: LogId, is_ordered: bool) {
        // A leader is bound too: it steps down when it has not heard from a quorum, not before. An
        // election that the leader ordered breaks no promise to it, nor to leaders before it: it was
        // elected, so that those had run out or been given back (dissertation 4.2.3).
        let is_bound =
            !is_ordered && (self.common.is_bound() || matches!(self.role, RoleState::Leader(_)));
        if term > self.common.term() {
            if is_bound {
                return;
            }
            self.enter_term(term, None);
        }
        let is_free = self.common.hard_state.vote.is_none_or(|vote| vote == from);
        let granted =
            term == self.common.term() && !is_bound && is_free && last >= self.common.log.last_id();
        if granted {
            self.grant(from);
        }
        self.common.send(from, MessageBody::VoteResponse { granted });
    }

    /// Votes for `from` in the current term; whoever only asked for pre-votes gives way.
    fn grant(&mut self, from: ReplicaId) {
        self.common.hard_state.vote = Some(from);
        if matches!(self.role, RoleState::Candidate(_)) {
            self.become_follower(None);
        }
        if let RoleState::Follower(follower) = &mut self.role {
            follower.put_off_election(self.common.now);
        }
    }

    /// Appends a command; the proposals of one turn become one run. What is returned is where the
    /// entry stands, not that it is committed: it is once it comes out of a ready.
    ///
    /// # Errors
    /// See [`ProposeError`]; no entry was appended.
    pub fn propose(&mut self, header: EntryHeader, payload: &[u8]) -> Result<LogId, ProposeError> {
        let RoleState::Leader(leader) = &self.role else {
            return Err(ProposeError::NotLeader { leader: self.leader() });
        };
        leader.propose(&mut self.common, header, payload)
    }

    /// Asks for a linearizable read; the answer comes in a ready, under `id`.
    ///
    /// # Errors
    /// This replica does not lead.
    pub fn read_index(&mut self, id: ReadId) -> Result<(), NotLeader> {
        let leader = self.leader();
        let RoleState::Leader(role) = &mut self.role else { return Err(NotLeader { leader }) };
        role.read_index(id);
        Ok(())
    }

    /// Starts an election now, as if its time had come; ignored by a leader, by whoever may not vote
    /// or is not fit to lead, and while a promise forbids it.
    pub fn campaign(&mut self) {
        let may = match self.role {
            RoleState::Follower(_) | RoleState::Candidate(_) => {
                self.common.may_campaign() && !self.common.is_bound()
            }
            RoleState::Leader(_) | RoleState::Halted(_) => false,
        };
        if may {
            self.transition(Transition::PreCampaign);
        }
        self.check();
    }

    /// A message to `replica` was dropped: appends to it start over from what is known to match,
    /// after the time in which an answer would have come.
    pub fn report_unreachable(&mut self, replica: ReplicaId) {
        if let RoleState::Leader(leader) = &mut self.role {
            leader.report_unreachable(replica, self.common.now);
        }
    }

    /// Every write up to `ticket` is durable. Repetitions and tickets never issued change nothing.
    pub fn persisted(&mut self, ticket: Ticket) {
        self.common.complete(ticket);
        let transition = match &mut self.role {
            RoleState::Follower(_) | RoleState::Halted(_) => Transition::Stay,
            RoleState::Candidate(candidate) => candidate.persisted(&self.common),
            RoleState::Leader(leader) => {
                leader.advance_commit(&mut self.common);
                Transition::Stay
            }
        };
        self.transition(transition);
        self.check();
    }

    /// The state machine has applied everything up to `index`. Ignored if it is no news, or was
    /// never delivered.
    pub fn applied(&mut self, index: LogIndex) {
        self.common.log.apply(index);
        self.check();
    }

    /// The answer to a fetch. Entries that are no longer wanted are ignored.
    pub fn entries_fetched(
        &mut self,
        purpose: FetchFor,
        result: Result<Vec<EntryRun>, FetchError>,
    ) {
        let runs = match result {
            Ok(runs) => Some(runs),
            Err(FetchError::Compacted { .. }) => None,
            Err(FetchError::Damaged) => {
                self.halt(HaltReason::LogDamaged);
                return;
            }
        };
        match (purpose, &mut self.role) {
            (FetchFor::Apply, _) => self.fetched_committed(runs.unwrap_or_default()),
            (FetchFor::Replica(replica), RoleState::Leader(leader)) => {
                leader.fetched(&mut self.common, replica, runs);
            }
            (FetchFor::Replica(_), _) => {}
        }
        self.check();
    }

    fn fetched_committed(&mut self, runs: Vec<EntryRun>) {
        self.is_fetching_committed = false;
        let log = &self.common.log;
        let last = log.committed().min(log.persisted());
        let follows = runs.first().is_some_and(|run| run.first == log.delivered().next());
        if follows && self.fetched.is_empty() && is_in_log(&self.common, &runs) {
            self.fetched = runs.iter().filter_map(|run| run.slice(run.first, last)).collect();
        }
    }

    fn halt(&mut self, reason: HaltReason) {
        self.leave_role();
        self.role = RoleState::Halted(reason);
        // Nobody collects anything from here any more.
        self.common.fall_silent();
        self.fetched.clear();
        self.is_fetching_committed = false;
    }

    fn enter_term(&mut self, term: Term, leader: Option<ReplicaId>) {
        self.common.enter_term(term);
        self.become_follower(leader);
    }

    pub(crate) fn become_follower(&mut self, leader: Option<ReplicaId>) {
        self.leave_role();
        self.role = RoleState::Follower(Follower::new(&mut self.common, leader));
    }

    fn leave_role(&mut self) {
        self.common.log.seal();
        if let RoleState::Leader(leader) = &mut self.role {
            leader.resign(&mut self.common.answers);
            self.common.log.keep_from(None);
        }
    }

    /// Carries out what a role wants to become, and what follows from it at once.
    pub(crate) fn transition(&mut self, transition: Transition) {
        match transition {
            Transition::Stay => {}
            Transition::Follow { leader } => self.become_follower(leader),
            Transition::Halt(reason) => self.halt(reason),
            Transition::PreCampaign => {
                let candidate = Candidate::pre_vote(&mut self.common);
                let outcome = candidate.outcome(&self.common);
                self.role = RoleState::Candidate(candidate);
                self.transition(outcome);
            }
            Transition::Campaign { is_ordered } => {
                self.common.enter_term(candidate::next(&self.common));
                self.common.hard_state.vote = Some(self.common.me);
                self.role = RoleState::Candidate(Candidate::vote(&mut self.common, is_ordered));
            }
            Transition::Lead => {
                let leader = Leader::new(&mut self.common);
                self.role = RoleState::Leader(leader);
            }
        }
    }

    /// Whether this replica is a candidate of the given kind.
    pub(crate) fn is_candidate(&self, ballot: Ballot) -> bool {
        matches!(&self.role, RoleState::Candidate(candidate) if candidate.ballot == ballot)
    }

    pub(crate) fn check(&self) {
        self.common.log.check();
    }
}

/// Refuses what no correct replica sends, before anything is changed by it.
fn check_message(common: &Common, message: &Message) -> Result<(), StepError> {
    let impossible = |what| Err(StepError::Impossible { what });
    if message.to != common.me {
        return Err(StepError::NotForMe { to: message.to });
    }
    if message.from == common.me {
        return impossible("a message from myself");
    }
    if message.term.0 >= u64::MAX / 2 {
        return impossible("a term that no election reaches");
    }
    match &message.body {
        MessageBody::Append { prev, runs, .. } => {
            if prev.term > message.term || prev.index.0 >= u64::MAX / 2 {
                return impossible("an append behind an entry of a later term");
            }
            let mut before = *prev;
            for run in runs {
                if run.first != before.index.next() || run.term < before.term {
                    return impossible("an append with gaps or falling terms");
                }
                before = run.last_id();
            }
            if before.term > message.term {
                return impossible("an append of entries of a later term");
            }
            Ok(())
        }
        MessageBody::PreVote { next_term, last } => {
            if *next_term <= message.term || last.term > message.term {
                return impossible("a pre-vote for a term that is over");
            }
            Ok(())
        }
        MessageBody::Vote { last, .. } => {
            if last.term > message.term {
                return impossible("a candidate with entries of a later term");
            }
            Ok(())
        }
        MessageBody::Heartbeat { .. } | MessageBody::TimeoutNow => Ok(()),
        MessageBody::PreVoteResponse { .. }
        | MessageBody::VoteResponse { .. }
        | MessageBody::Accepted { .. }
        | MessageBody::Rejected { .. }
        | MessageBody::HeartbeatResponse { .. } => common.check_member(message.from),
    }
}

fn check_restored(restored: &RestoredReplica, applied: LogIndex) -> Result<(), RestoreError> {
    let (base, last) = (restored.base, restored.last);
    let inconsistent = |what| Err(RestoreError::Inconsistent { what });
    if applied > last {
        return Err(RestoreError::AppliedBeyondLog { applied, last });
    }
    if applied < base.index {
        return Err(RestoreError::LogStartsAfterApplied { applied, base: base.index });
    }
    if restored.terms.is_empty() != (base.index == last) {
        return inconsistent("terms and entries do not both exist");
    }
    if restored.terms.first().is_some_and(|start| start.index != base.index.next()) {
        return inconsistent("the first term does not begin with the first entry");
    }
    let rises = |pair: &[LogId]| pair[0].index < pair[1].index && pair[0].term < pair[1].term;
    if !restored.terms.windows(2).all(rises) {
        return inconsistent("terms do not rise");
    }
    let last_term = restored.terms.last().map_or(base, |start| *start);
    if last_term.index > last || last_term.term > restored.hard_state.term {
        return inconsistent("an entry lies beyond the log's end or the current term");
    }
    let within = |index: LogIndex| index > base.index && index <= last;
    if !restored.configurations.iter().all(|(index, _)| within(*index))
        || !restored.configurations.windows(2).all(|pair| pair[0].0 < pair[1].0)
    {
        return inconsistent("configurations lie outside the log or do not rise");
    }
    Ok(())
}
