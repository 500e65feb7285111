//! A follower: takes the leader's log, vouches for what is verified and durable, and asks for votes
//! when the leader falls silent. Learners are followers whom no configuration counts.
//!
//! Invariants: `verified` is the last entry known to equal the leader's of this term, at least the
//! commit index; `acked` is the last entry that this leader was told of, or need not be; nothing
//! above `min(verified, persisted)` is ever acknowledged.

use alloc::vec::Vec;

use types::{LogId, LogIndex, ReplicaId, Tick};

use crate::common::{Common, Transition};
use crate::{EntryRun, HaltReason, MessageBody, ReadRound, StepError};

#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) leader: Option<ReplicaId>,
    /// When the leader was last heard, if it was.
    pub(crate) heard_at: Option<Tick>,
    /// When to ask for votes, if nothing is heard before.
    pub(crate) election_at: Tick,
    election_timeout: u64,
    verified: LogIndex,
    acked: LogIndex,
    /// Whether the leader waits for an answer even if it brings nothing new.
    owes_answer: bool,
}

impl Follower {
    pub(crate) fn new(common: &mut Common, leader: Option<ReplicaId>) -> Self {
        let election_timeout = common.draw_election_timeout();
        Self {
            leader,
            heard_at: None,
            election_at: common.now.after(election_timeout),
            election_timeout,
            // A new leader has every committed entry (paper 5.4), and is known to agree on no other.
            verified: common.log.committed(),
            // Nobody asked about what is committed. Told of it, a leader whose first append is being
            // written here would take that for its answer, and send the same again.
            acked: common.log.committed(),
            owes_answer: false,
        }
    }

    /// Comes back from being frozen, with everything up to the last entry verified.
    pub(crate) fn thawed(
        common: &Common,
        leader: ReplicaId,
        heard_at: Option<Tick>,
        election_at: Tick,
        election_timeout: u64,
    ) -> Self {
        let last = common.log.last();
        Self {
            leader: Some(leader),
            heard_at,
            election_at,
            election_timeout,
            verified: last,
            acked: last,
            owes_answer: false,
        }
    }

    pub(crate) const fn election_timeout(&self) -> u64 {
        self.election_timeout
    }

    /// Whether it owes its leader nothing.
    pub(crate) fn is_quiet(&self, common: &Common) -> bool {
        self.leader.is_some()
            && !self.owes_answer
            && self.verified == common.log.last()
            && self.acked == common.log.last()
    }

    pub(crate) fn tick(&mut self, common: &Common) -> Transition {
        if self.deadline(common).is_none_or(|due| due > common.now) {
            return Transition::Stay;
        }
        if common.may_campaign() {
            return Transition::PreCampaign;
        }
        // Whoever is not fit looks again after as long; by then another may lead, or it be fit.
        self.put_off_election(common.now);
        Transition::Stay
    }

    /// When it asks for votes, if it is fit to lead by then; never if it is not a voter.
    pub(crate) fn deadline(&self, common: &Common) -> Option<Tick> {
        common.is_promotable().then(|| self.election_at.max(common.bound_until()))
    }

    /// Leaves the first moment after a restart at which anybody may campaign to whom the caller
    /// orders to, and spreads the others behind it; all of them have waited just as long.
    pub(crate) fn wait_for_the_first(&mut self, common: &Common) {
        let timing = common.settings.timing;
        let spread = self.election_timeout - timing.election_ticks_min();
        let after = common.bound_until().after(timing.heartbeat_ticks() + spread);
        self.election_at = self.election_at.max(after);
    }

    /// Puts the election off: the leader lives, or a vote was given to somebody.
    pub(crate) fn put_off_election(&mut self, now: Tick) {
        self.election_at = now.after(self.election_timeout);
    }

    /// The leader of this term spoke: promises not to help anybody else for a while.
    fn hear(&mut self, common: &mut Common, leader: ReplicaId) {
        self.leader = Some(leader);
        self.heard_at = Some(common.now);
        self.put_off_election(common.now);
        let promise = common.now.after(common.settings.timing.promise_ticks());
        common.promise_until = common.promise_until.max(promise);
    }

    /// Takes entries from the leader. Truncates only from the first entry that really differs;
    /// vouches only for what its leader's messages verified. Source: paper 5.3, figure 2.
    pub(crate) fn append(
        &mut self,
        common: &mut Common,
        leader: ReplicaId,
        prev: LogId,
        commit: LogIndex,
        runs: Vec<EntryRun>,
    ) -> Result<(), StepError> {
        // What was verified stays so while this leader leads: it never changes its own log.
        let log = &common.log;
        let verified = self.verified.max(log.committed());
        let contradicts = |first: LogIndex, last: LogIndex, term| {
            let last = last.min(verified);
            let is_known = first > log.base().index && first <= last;
            is_known && log.terms().first_mismatch(first, last, term).is_some()
        };
        let prev_contradicts =
            prev.index > LogIndex::ZERO && contradicts(prev.index, prev.index, prev.term);
        let clipped = |run: &EntryRun| run.first.max(log.base().index.next());
        if prev_contradicts
            || runs.iter().any(|run| contradicts(clipped(run), run.last(), run.term))
        {
            let what = "an append that changes entries which are committed, or its leader's own";
            return Err(StepError::Impossible { what });
        }
        self.hear(common, leader);
        let log = &mut common.log;
        if prev.index > log.committed() && !log.holds(prev) {
            let hint = log.terms().last_at_most(prev.index.prev(), prev.term);
            common.send(leader, MessageBody::Rejected { prev: prev.index, hint });
            return Ok(());
        }
        let last = runs.last().map_or(prev.index, EntryRun::last);
        for run in runs {
            take_run(common, run);
        }
        self.verified = self.verified.max(last.min(common.log.last()));
        common.commit(commit.min(self.verified));
        self.owes_answer = true;
        Ok(())
    }

    /// Takes a sign of life. The leader names no commit index beyond what this replica acknowledged
    /// to it as durable, so everything up to there is verified even after a restart; and a replica
    /// whose log does not reach that far has lost what it acknowledged.
    pub(crate) fn heartbeat(
        &mut self,
        common: &mut Common,
        leader: ReplicaId,
        commit: LogIndex,
        round: Option<ReadRound>,
    ) -> Transition {
        let last = common.log.last();
        if commit > last {
            return Transition::Halt(HaltReason::LogRolledBack { acknowledged: commit, last });
        }
        self.hear(common, leader);
        self.verified = self.verified.max(commit);
        common.commit(commit);
        common.send(leader, MessageBody::HeartbeatResponse { round });
        Transition::Stay
    }

    /// Acknowledges what became both verified and durable; repeats itself if the leader asked again.
    pub(crate) fn collect(&mut self, common: &mut Common) {
        let Some(leader) = self.leader else { return };
        let persisted = common.log.persisted();
        let matched = self.verified.min(persisted);
        let repeats = self.owes_answer && self.verified <= persisted;
        if matched > self.acked || repeats {
            self.acked = self.acked.max(matched);
            self.owes_answer = false;
            common.send(leader, MessageBody::Accepted { matched });
        }
    }
}

/// Appends what of `run` the log lacks, after discarding what contradicts it.
fn take_run(common: &mut Common, run: EntryRun) {
    let log = &mut common.log;
    let last = run.last();
    let first = run.first.max(log.committed().next());
    if first > last {
        return;
    }
    let Some(mismatch) = log.terms().first_mismatch(first, last, run.term) else { return };
    if mismatch <= log.last() {
        log.truncate(mismatch);
    }
    let missing = if mismatch == run.first { Some(run) } else { run.slice(mismatch, last) };
    if let Some(missing) = missing {
        log.append(missing);
    }
}
