//! A leader: lays out proposals, replicates them in parallel with its own write (dissertation
//! 10.2.1), commits what a quorum holds durably, and confirms its leadership for reads.
//!
//! Invariants: `peers` are the replicas of the configuration but for this one, sorted by id; only
//! entries of the own term are committed by counting (paper 5.4.2); the own match index is what is
//! durable here; no read is answered before an entry of the own term is committed.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use types::{LogId, LogIndex, ReplicaId, Tick};

use crate::common::{Common, Transition};
use crate::progress::{Progress, ProgressState};
use crate::reads::Reads;
use crate::transfer::Transfer;
use crate::{
    EntryHeader, EntryRun, Fetch, FetchFor, MessageBody, ProposeError, ReadAnswer, ReadId,
    ReadRound, RunBody, StepError, quorum,
};

#[derive(Debug)]
pub(crate) struct Leader {
    pub(crate) peers: Vec<Progress>,
    pub(crate) reads: Reads,
    /// The index of this leader's own first entry.
    pub(crate) term_start: LogIndex,
    next_beat: Tick,
    /// Sealed runs not yet committed: last index and cost of each.
    uncommitted: VecDeque<(LogIndex, usize)>,
    uncommitted_bytes: usize,
    /// The handover under way, if there is one.
    pub(crate) transfer: Option<Transfer>,
}

impl Leader {
    /// Takes office: appends an entry of its own, by which earlier entries are committed too.
    pub(crate) fn new(common: &mut Common) -> Self {
        let term_start = common.log.last().next();
        let leader = Self::with_peers(common, term_start, Progress::new);
        let body = RunBody::TermStart;
        common.log.append(EntryRun { first: term_start, term: common.term(), body });
        leader
    }

    /// A leader whose every peer holds the whole log, as after being frozen.
    pub(crate) fn thawed(common: &Common, term_start: LogIndex, reads: Reads) -> Self {
        let committed = common.log.committed();
        let mut leader = Self::with_peers(common, common.log.last().next(), |id, next, now| {
            let mut peer = Progress::new(id, next, now);
            peer.accepted(next.prev());
            peer.commit_sent = committed;
            peer
        });
        leader.term_start = term_start;
        leader.reads = reads;
        leader
    }

    fn with_peers(
        common: &Common,
        next: LogIndex,
        progress: impl Fn(ReplicaId, LogIndex, Tick) -> Progress,
    ) -> Self {
        let others = common.configuration().replicas().filter(|replica| replica.id != common.me);
        let mut peers: Vec<Progress> =
            others.map(|replica| progress(replica.id, next, common.now)).collect();
        peers.sort_unstable_by_key(|peer| peer.replica);
        Self {
            peers,
            reads: Reads::default(),
            term_start: next,
            next_beat: next_beat(common),
            uncommitted: VecDeque::new(),
            uncommitted_bytes: 0,
            transfer: None,
        }
    }

    pub(crate) fn peer(&self, replica: ReplicaId) -> Option<&Progress> {
        let found = self.peers.binary_search_by_key(&replica, |peer| peer.replica).ok();
        found.and_then(|position| self.peers.get(position))
    }

    pub(crate) fn peer_mut(&mut self, replica: ReplicaId) -> Option<&mut Progress> {
        let found = self.peers.binary_search_by_key(&replica, |peer| peer.replica).ok();
        found.and_then(|position| self.peers.get_mut(position))
    }

    /// Everything it does by time happens with the beats.
    pub(crate) const fn deadline(&self) -> Tick {
        self.next_beat
    }

    /// Steps down without a quorum, repeats what went unanswered, and says that it lives.
    pub(crate) fn tick(&mut self, common: &mut Common) -> Transition {
        if common.now < self.next_beat {
            return Transition::Stay;
        }
        let timing = common.settings.timing;
        if common.now.since(self.quorum_heard_at(common)) >= timing.check_quorum_ticks() {
            return Transition::Follow { leader: None };
        }
        self.next_beat = next_beat(common);
        self.expire_transfer(common.now);
        let overdue = common.now.0.checked_sub(timing.retransmit_ticks()).map(Tick);
        if let Some(sent_before) = overdue {
            self.peers.iter_mut().for_each(|peer| peer.retransmit(sent_before));
        }
        self.beat(common, self.reads.newest_open());
        Transition::Stay
    }

    fn beat(&mut self, common: &mut Common, round: Option<ReadRound>) {
        for peer in &mut self.peers {
            let commit = common.log.committed().min(peer.matched);
            peer.commit_sent = peer.commit_sent.max(commit);
            common.send(peer.replica, MessageBody::Heartbeat { commit, round });
        }
    }

    /// The last moment at which a quorum had been heard from, this replica included.
    pub(crate) fn quorum_heard_at(&self, common: &Common) -> Tick {
        let heard = |replica| {
            if replica == common.me {
                return common.now.0;
            }
            self.peer(replica).map_or(0, |peer| peer.heard_at.0)
        };
        Tick(quorum::reached(common.configuration(), heard))
    }

    pub(crate) fn propose(
        &self,
        common: &mut Common,
        header: EntryHeader,
        payload: &[u8],
    ) -> Result<LogId, ProposeError> {
        let limits = common.settings.limits;
        let bytes = header.entry_len(payload.len());
        if bytes > limits.entry_bytes_max {
            return Err(ProposeError::TooLarge { bytes, bytes_max: limits.entry_bytes_max });
        }
        if let Some(Transfer { to, .. }) = self.transfer {
            return Err(ProposeError::TransferInProgress { to });
        }
        let uncommitted = self.uncommitted_bytes(common);
        if uncommitted > 0 && uncommitted + bytes > limits.uncommitted_bytes_max {
            return Err(ProposeError::Overloaded { budget: "uncommitted_bytes_max" });
        }
        Ok(common.log.propose(common.term(), header, payload))
    }

    /// What was proposed to this leader and is not committed, in bytes.
    pub(crate) fn uncommitted_bytes(&self, common: &Common) -> usize {
        self.uncommitted_bytes + common.log.open_bytes()
    }

    pub(crate) fn read_index(&mut self, id: ReadId) {
        self.reads.ask(id);
    }

    /// Counts the own disk, and whatever else moved, towards the commit index.
    pub(crate) fn advance_commit(&mut self, common: &mut Common) {
        let persisted = common.log.persisted().0;
        let matched = |replica| {
            if replica == common.me {
                return persisted;
            }
            self.peer(replica).map_or(0, |peer| peer.matched.0)
        };
        let committed = common.log.committed().0;
        if !quorum::is_reached(common.configuration(), |replica| matched(replica) > committed) {
            return;
        }
        let index = LogIndex(quorum::reached(common.configuration(), matched));
        // Entries of earlier terms are committed by the first one of the own term behind them.
        if index < self.term_start || !common.commit(index) {
            return;
        }
        while let Some((_, cost)) = self.uncommitted.pop_front_if(|(last, _)| *last <= index) {
            self.uncommitted_bytes -= cost;
        }
    }

    pub(crate) fn accepted(
        &mut self,
        common: &mut Common,
        from: ReplicaId,
        matched: LogIndex,
    ) -> Result<(), StepError> {
        if matched > common.log.last() {
            return Err(StepError::Impossible { what: "an acknowledgement beyond the log's end" });
        }
        let now = common.now;
        let Some(peer) = self.peer_mut(from) else { return Ok(()) };
        peer.heard_at = now;
        peer.accepted(matched);
        if matched > common.log.committed() {
            self.advance_commit(common);
        }
        Ok(())
    }

    pub(crate) fn rejected(
        &mut self,
        common: &Common,
        from: ReplicaId,
        prev: LogIndex,
        hint: LogId,
    ) {
        // What the follower has at or below its hint is of the hint's term or older; where this log
        // has newer terms, it cannot match (etcd-io/raft's probe by term).
        let candidate = common.log.terms().last_at_most(hint.index, hint.term).index;
        let now = common.now;
        let Some(peer) = self.peer_mut(from) else { return };
        peer.heard_at = now;
        peer.rejected(prev, candidate);
    }

    pub(crate) fn heartbeat_response(
        &mut self,
        common: &mut Common,
        from: ReplicaId,
        round: Option<ReadRound>,
    ) {
        let Some(peer) = self.peer_mut(from) else { return };
        peer.heard_at = common.now;
        if let Some(round) = round {
            let (me, configuration) = (common.me, common.log.configuration());
            self.reads.confirm(from, round, me, configuration, &mut common.answers);
        }
    }

    /// An append on its way to `replica` was lost, or may be.
    pub(crate) fn report_unreachable(&mut self, replica: ReplicaId, now: Tick) {
        let Some(peer) = self.peer_mut(replica) else { return };
        if peer.state == ProgressState::Replicate {
            peer.probe();
            // The way there is broken: it is tried again when an answer would be overdue.
            peer.sent(peer.matched, 0, now);
        }
    }

    /// Closes the turn's run, sends what may be sent, starts a read round, hands over.
    pub(crate) fn collect(&mut self, common: &mut Common) {
        if let Some((last, cost)) = common.log.seal() {
            self.uncommitted.push_back((last, cost));
            self.uncommitted_bytes += cost;
        }
        for peer in &mut self.peers {
            replicate(common, peer);
        }
        let wanted_from = self.peers.iter().map(|peer| peer.matched.next()).min();
        common.log.keep_from(wanted_from);
        if common.log.committed() >= self.term_start {
            self.start_read_round(common);
        }
        self.advance_transfer(common);
    }

    fn start_read_round(&mut self, common: &mut Common) {
        let Some(round) = self.reads.start(common.log.committed()) else { return };
        let (me, configuration) = (common.me, common.log.configuration());
        if quorum::is_reached(configuration, |replica| replica == me) {
            self.reads.confirm(me, round, me, configuration, &mut common.answers);
        } else {
            self.beat(common, Some(round));
        }
    }

    /// Entries for `replica` came from disk; used only if they are still what it needs.
    pub(crate) fn fetched(
        &mut self,
        common: &mut Common,
        replica: ReplicaId,
        runs: Option<Vec<EntryRun>>,
    ) {
        let limits = common.settings.limits;
        let Some(peer) = self.peer_mut(replica) else { return };
        peer.is_fetching = false;
        let Some(runs) = runs else {
            peer.falls_behind();
            return;
        };
        let is_wanted = runs.first().is_some_and(|run| run.first == peer.next);
        if is_wanted && peer.may_send(&limits) && is_in_log(common, &runs) {
            send_append(common, peer, runs);
        }
    }

    /// Leadership ends: reads that wait are told so.
    pub(crate) fn resign(&mut self, answers: &mut Vec<ReadAnswer>) {
        self.reads.fail(answers);
    }

    /// Whether every peer has everything, and knows it to be committed.
    pub(crate) fn is_quiet(&self, common: &Common) -> bool {
        let last = common.log.last();
        let knows_all =
            |peer: &Progress| peer.matched == last && peer.commit_sent == last && peer.is_idle();
        let has_nothing_to_do = self.reads.is_empty() && self.transfer.is_none();
        has_nothing_to_do && self.peers.iter().all(knows_all)
    }
}

/// Beats fall on multiples of the interval, so that a node's groups beat together.
const fn next_beat(common: &Common) -> Tick {
    let interval = common.settings.timing.heartbeat_ticks();
    Tick((common.now.0 / interval).saturating_add(1).saturating_mul(interval))
}

/// Whether `runs` are contiguous and exactly what this log holds there.
pub(crate) fn is_in_log(common: &Common, runs: &[EntryRun]) -> bool {
    let terms = common.log.terms();
    let follows = runs.windows(2).all(|pair| pair[0].last().next() == pair[1].first);
    follows
        && runs.iter().all(|run| terms.first_mismatch(run.first, run.last(), run.term).is_none())
}

/// Sends one replica what its window has room for.
fn replicate(common: &mut Common, peer: &mut Progress) {
    let limits = common.settings.limits;
    while peer.next <= common.log.last() && peer.may_send(&limits) {
        if common.log.terms().at(peer.next.prev()).is_none() {
            peer.falls_behind();
            return;
        }
        let last = common.log.last();
        let Some(runs) = common.log.read(peer.next, last, limits.append_bytes_max) else {
            peer.is_fetching = true;
            common.fetches.push(Fetch {
                purpose: FetchFor::Replica(peer.replica),
                first: peer.next,
                last: common.log.persisted(),
                bytes_max: limits.append_bytes_max,
            });
            return;
        };
        send_append(common, peer, runs);
    }
}

fn send_append(common: &mut Common, peer: &mut Progress, runs: Vec<EntryRun>) {
    let prev = peer.next.prev();
    let Some(term) = common.log.terms().at(prev) else { return };
    let last = runs.last().map_or(prev, EntryRun::last);
    let commit = common.log.committed();
    peer.sent(last, runs.iter().map(EntryRun::cost).sum(), common.now);
    peer.commit_sent = peer.commit_sent.max(commit.min(last));
    let prev = LogId::new(term, prev);
    common.send(peer.replica, MessageBody::Append { prev, commit, runs });
}
