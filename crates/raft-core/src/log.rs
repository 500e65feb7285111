//! The log as one replica sees it: where it begins and ends, how far it got, and the newest runs
//! in memory. Older entries are on disk and come back through fetches.
//!
//! Invariants, asserted after every input by [`Log::check`]:
//! - `base <= applied <= delivered <= min(committed, persisted)`;
//! - `max(committed, persisted) <= last`;
//! - `cache` is contiguous, its runs and then `open` end exactly at `last`;
//! - everything at or after `unwritten` is in `cache` or `open`;
//! - `committed`, `delivered` and `applied` only rise; truncation never reaches `committed`.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use types::{LogId, LogIndex, Term};

use crate::configurations::Configurations;
use crate::terms::Terms;
use crate::{Commands, CommandsBuilder, Configuration, EntryHeader, EntryRun, RunBody};

/// Where a log is wanted from when nobody wants it.
const NOBODY: LogIndex = LogIndex(u64::MAX);

#[derive(Debug)]
pub(crate) struct Log {
    terms: Terms,
    configurations: Configurations,
    cache: VecDeque<EntryRun>,
    cache_bytes: usize,
    cache_bytes_max: usize,
    /// The first index that some replica is still to be sent; beyond any if none is.
    wanted_from: LogIndex,
    /// The proposals of this turn, already counted in `last`.
    open: CommandsBuilder,
    open_term: Term,
    /// The first index that no write has been issued for.
    unwritten: LogIndex,
    persisted: LogIndex,
    committed: LogIndex,
    delivered: LogIndex,
    applied: LogIndex,
    /// What was delivered and not yet applied: last index and bytes of each delivery.
    applying: VecDeque<(LogIndex, usize)>,
    applying_bytes: usize,
}

impl Log {
    /// A log whose entries up to the last one are durable, of which `applied` are applied.
    pub(crate) fn new(
        terms: Terms,
        configurations: Configurations,
        applied: LogIndex,
        cache_bytes_max: usize,
    ) -> Self {
        let applied = applied.max(terms.base().index);
        Self {
            unwritten: terms.last().next(),
            persisted: terms.last(),
            committed: applied,
            delivered: applied,
            applied,
            terms,
            configurations,
            cache: VecDeque::new(),
            cache_bytes: 0,
            cache_bytes_max,
            wanted_from: NOBODY,
            open: CommandsBuilder::default(),
            open_term: Term(0),
            applying: VecDeque::new(),
            applying_bytes: 0,
        }
    }

    pub(crate) const fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(crate) const fn base(&self) -> LogId {
        self.terms.base()
    }

    pub(crate) const fn last(&self) -> LogIndex {
        self.terms.last()
    }

    pub(crate) fn last_id(&self) -> LogId {
        self.terms.last_id()
    }

    pub(crate) const fn persisted(&self) -> LogIndex {
        self.persisted
    }

    pub(crate) const fn committed(&self) -> LogIndex {
        self.committed
    }

    pub(crate) const fn delivered(&self) -> LogIndex {
        self.delivered
    }

    pub(crate) const fn applied(&self) -> LogIndex {
        self.applied
    }

    pub(crate) const fn unwritten(&self) -> LogIndex {
        self.unwritten
    }

    pub(crate) fn configuration(&self) -> &Arc<Configuration> {
        self.configurations.current()
    }

    pub(crate) const fn configurations(&self) -> &Configurations {
        &self.configurations
    }

    /// What durable entries in memory cost, and what those cost that are not durable yet.
    pub(crate) fn cached_bytes(&self) -> (usize, usize) {
        let newest = self.cache.iter().rev().take_while(|run| run.last() > self.persisted);
        let unpersisted = newest.map(EntryRun::cost).sum();
        (self.cache_bytes - unpersisted, unpersisted)
    }

    /// What was delivered and not yet applied, in bytes.
    pub(crate) const fn applying_bytes(&self) -> usize {
        self.applying_bytes
    }

    /// The bytes proposed and not yet sealed.
    pub(crate) fn open_bytes(&self) -> usize {
        self.open.bytes_len()
    }

    /// Whether the entry named is here, or is the base.
    pub(crate) fn holds(&self, id: LogId) -> bool {
        self.terms.at(id.index) == Some(id.term)
    }

    /// Lays out one command behind the last entry.
    pub(crate) fn propose(&mut self, term: Term, header: EntryHeader, payload: &[u8]) -> LogId {
        debug_assert!(self.open.count() == 0 || self.open_term == term);
        self.open_term = term;
        self.open.push(header, payload);
        let index = self.last().next();
        self.terms.extend(term, index);
        LogId::new(term, index)
    }

    /// Closes the run of this turn's proposals, if there are any; returns its last index and cost.
    pub(crate) fn seal(&mut self) -> Option<(LogIndex, usize)> {
        let commands: Commands = self.open.take()?;
        let last = self.last();
        let first = LogIndex(last.0 - u64::from(commands.count()) + 1);
        let run = EntryRun { first, term: self.open_term, body: RunBody::Commands(commands) };
        let cost = run.cost();
        self.remember(run);
        Some((last, cost))
    }

    /// Appends a run right behind the last entry.
    pub(crate) fn append(&mut self, run: EntryRun) {
        assert!(self.open.count() == 0, "a run is appended behind proposals that are not sealed");
        assert!(
            run.first == self.last().next() && run.term >= self.last_id().term,
            "a run at {} of term {} is appended behind {}",
            run.first,
            run.term,
            self.last_id()
        );
        if let RunBody::Configuration(configuration) = &run.body {
            self.configurations.append(run.first, configuration.clone());
        }
        self.terms.extend(run.term, run.last());
        self.remember(run);
    }

    fn remember(&mut self, run: EntryRun) {
        self.cache_bytes += run.cost();
        self.cache.push_back(run);
    }

    /// Discards everything from `from` on, a configuration included.
    pub(crate) fn truncate(&mut self, from: LogIndex) {
        assert!(
            from > self.committed,
            "entries from {from} are truncated, but {} is committed",
            self.committed
        );
        assert!(self.open.count() == 0, "proposals are truncated before they are sealed");
        while let Some(run) = self.cache.pop_back() {
            self.cache_bytes -= run.cost();
            if run.last() < from {
                self.remember(run);
                break;
            }
            if let Some(kept) = run.slice(run.first, from.prev()).filter(|_| run.first < from) {
                self.remember(kept);
                break;
            }
        }
        self.terms.truncate(from);
        self.configurations.truncate(from);
        self.unwritten = self.unwritten.min(from);
        self.persisted = self.persisted.min(from.prev());
    }

    /// Whether there are entries that no write has been issued for.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.unwritten <= self.last()
    }

    /// Adds the runs that no write has been issued for to `runs`.
    pub(crate) fn take_unwritten(&mut self, runs: &mut Vec<EntryRun>) {
        if self.has_unwritten() {
            let from = self.cache.partition_point(|run| run.last() < self.unwritten);
            self.unwritten = self.last().next();
            runs.extend(self.cache.range(from..).cloned());
        }
    }

    /// Everything up to `index` is durable now.
    pub(crate) fn persist(&mut self, index: LogIndex) {
        self.persisted = self.persisted.max(index.min(self.last()));
        self.evict();
    }

    /// Raises the commit index; returns whether it rose.
    pub(crate) fn commit(&mut self, index: LogIndex) -> bool {
        assert!(index <= self.last(), "{index} is committed, but the log ends at {}", self.last());
        let rises = index > self.committed;
        if rises {
            self.committed = index;
        }
        rises
    }

    /// Up to where entries may be applied: committed, and durable here.
    fn appliable(&self) -> LogIndex {
        self.committed.min(self.persisted)
    }

    /// Adds what is to be applied next to `runs`, at most `apply_bytes_max` bytes ahead of what is
    /// applied. First and last index if it is no longer in memory.
    pub(crate) fn deliverable(
        &self,
        apply_bytes_max: usize,
        runs: &mut Vec<EntryRun>,
    ) -> Option<(LogIndex, LogIndex)> {
        let (first, last) = (self.delivered.next(), self.appliable());
        if first > last || self.applying_bytes >= apply_bytes_max {
            return None;
        }
        let bytes_max = self.apply_room(apply_bytes_max);
        (!self.read_into(first, last, bytes_max, runs)).then_some((first, last))
    }

    /// How many bytes may be delivered beside those that are not applied yet.
    pub(crate) const fn apply_room(&self, apply_bytes_max: usize) -> usize {
        apply_bytes_max.saturating_sub(self.applying_bytes)
    }

    /// Notes that `runs` go to the state machine; they must follow what was delivered before.
    pub(crate) fn deliver(&mut self, runs: &[EntryRun]) {
        for run in runs {
            assert!(
                run.first == self.delivered.next() && run.last() <= self.appliable(),
                "{}..={} is delivered after {}, of which {} may be applied",
                run.first,
                run.last(),
                self.delivered,
                self.appliable()
            );
            self.delivered = run.last();
            self.applying.push_back((run.last(), run.cost()));
            self.applying_bytes += run.cost();
        }
        self.evict();
    }

    /// Everything up to `index` is applied; ignored unless that is news and was delivered.
    pub(crate) fn apply(&mut self, index: LogIndex) {
        if index <= self.applied || index > self.delivered {
            return;
        }
        self.applied = index;
        while let Some((last, bytes)) = self.applying.front().copied() {
            if last > index {
                break;
            }
            self.applying.pop_front();
            self.applying_bytes -= bytes;
        }
    }

    /// The entries from `first` on, up to `last` and about `bytes_max` (one entry in any case); none
    /// if `first` is no longer in memory. Sealed entries only; empty if `first > last`.
    pub(crate) fn read(
        &self,
        first: LogIndex,
        last: LogIndex,
        bytes_max: usize,
    ) -> Option<Vec<EntryRun>> {
        let mut found = Vec::new();
        self.read_into(first, last, bytes_max, &mut found).then_some(found)
    }

    /// The same, added to `found`; false if `first` is no longer in memory.
    fn read_into(
        &self,
        first: LogIndex,
        last: LogIndex,
        bytes_max: usize,
        found: &mut Vec<EntryRun>,
    ) -> bool {
        if first > last {
            return true;
        }
        if self.cache.front().is_none_or(|run| run.first > first) {
            return false;
        }
        let from = self.cache.partition_point(|run| run.last() < first);
        let mut bytes_left = bytes_max;
        for run in self.cache.range(from..) {
            let (cost, run_last) = (run.cost(), run.last());
            if run.first >= first && run_last <= last && cost <= bytes_left {
                // All of it, as nearly always.
                bytes_left -= cost;
                found.push(run.clone());
                continue;
            }
            let Some(run) = run.slice(first, last) else { break };
            if run.cost() <= bytes_left {
                bytes_left -= run.cost();
                found.push(run);
                continue;
            }
            if found.is_empty() {
                found.extend(front_within(&run, bytes_max));
            }
            break;
        }
        true
    }

    /// Says from where on other replicas still want entries; none if nobody does. What neither
    /// they nor the state machine want leaves memory.
    pub(crate) fn keep_from(&mut self, wanted_from: Option<LogIndex>) {
        self.wanted_from = wanted_from.unwrap_or(NOBODY);
        self.evict();
    }

    /// Drops durable runs from the front of the cache: those that nobody wants any more, and more
    /// while it is above its limit.
    fn evict(&mut self) {
        let done = self.delivered.min(self.wanted_from.prev());
        while let Some(run) = self.cache.front() {
            let last = run.last();
            let is_wanted = last > done && self.cache_bytes <= self.cache_bytes_max;
            if is_wanted || last > self.persisted {
                break;
            }
            self.cache_bytes -= run.cost();
            self.cache.pop_front();
        }
    }

    /// Asserts the invariants; cheap enough to run after every input, in release too.
    pub(crate) fn check(&self) {
        let lower = self.appliable();
        let upper = self.committed.max(self.persisted);
        assert!(
            self.base().index <= self.applied
                && self.applied <= self.delivered
                && self.delivered <= lower
                && upper <= self.last(),
            "cursors out of order: base {} applied {} delivered {} committed {} persisted {} last {}",
            self.base().index,
            self.applied,
            self.delivered,
            self.committed,
            self.persisted,
            self.last()
        );
        debug_assert!(self.cache_is_contiguous());
    }

    fn cache_is_contiguous(&self) -> bool {
        let open = u64::from(self.open.count());
        let Some(front) = self.cache.front() else {
            return self.unwritten.plus(open) > self.last();
        };
        let end = self.cache.iter().try_fold(front.first, |next, run| {
            (run.first == next && self.terms.at(next) == Some(run.term)).then(|| run.last().next())
        });
        let bytes: usize = self.cache.iter().map(EntryRun::cost).sum();
        end.is_some_and(|end| end.plus(open) == self.last().next()) && bytes == self.cache_bytes
    }
}

/// The front of `run` that fits into `bytes_max`, one entry in any case.
fn front_within(run: &EntryRun, bytes_max: usize) -> Option<EntryRun> {
    let RunBody::Commands(commands) = &run.body else { return Some(run.clone()) };
    let count = commands.count_within(bytes_max);
    run.slice(run.first, run.first.plus(u64::from(count) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(first: u64, term: u64, payloads: &[&[u8]]) -> EntryRun {
        let mut builder = CommandsBuilder::default();
        for payload in payloads {
            builder.push(EntryHeader::default(), payload);
        }
        let body = RunBody::Commands(builder.take().unwrap());
        EntryRun { first: LogIndex(first), term: Term(term), body }
    }

    fn empty(cache_bytes_max: usize) -> Log {
        let terms = Terms::new(LogId::ZERO, Vec::new(), LogIndex::ZERO);
        let base = (LogIndex::ZERO, Arc::new(Configuration::empty()));
        Log::new(terms, Configurations::new(base, Vec::new()), LogIndex::ZERO, cache_bytes_max)
    }

    fn take_unwritten(log: &mut Log) -> Vec<EntryRun> {
        let mut runs = Vec::new();
        log.take_unwritten(&mut runs);
        runs
    }

    fn deliverable(log: &Log, apply_bytes_max: usize) -> Vec<EntryRun> {
        let mut runs = Vec::new();
        assert_eq!(log.deliverable(apply_bytes_max, &mut runs), None, "all is in memory");
        runs
    }

    #[test]
    fn proposals_of_a_turn_become_one_run() {
        let mut log = empty(1 << 20);
        log.propose(Term(1), EntryHeader::default(), b"a");
        log.propose(Term(1), EntryHeader::default(), b"b");
        assert_eq!(log.last(), LogIndex(2));
        assert_eq!(log.seal().map(|(last, _)| last), Some(LogIndex(2)));
        assert_eq!(take_unwritten(&mut log), [commands(1, 1, &[b"a", b"b"])]);
        assert!(take_unwritten(&mut log).is_empty());
        log.check();
    }

    #[test]
    fn truncation_cuts_a_run_and_moves_persisted_back() {
        let mut log = empty(1 << 20);
        log.append(commands(1, 1, &[b"a", b"b", b"c"]));
        take_unwritten(&mut log);
        log.persist(LogIndex(3));
        log.truncate(LogIndex(3));
        assert_eq!((log.last(), log.persisted()), (LogIndex(2), LogIndex(2)));
        log.append(commands(3, 2, &[b"x"]));
        assert_eq!(take_unwritten(&mut log), [commands(3, 2, &[b"x"])]);
        let all = log.read(LogIndex(1), LogIndex(3), 1 << 20).unwrap();
        assert_eq!(all, [commands(1, 1, &[b"a", b"b"]), commands(3, 2, &[b"x"])]);
        log.check();
    }

    #[test]
    #[should_panic(expected = "but 2 is committed")]
    fn committed_entries_are_never_truncated() {
        let mut log = empty(1 << 20);
        log.append(commands(1, 1, &[b"a", b"b"]));
        log.commit(LogIndex(2));
        log.truncate(LogIndex(2));
    }

    #[test]
    fn the_machine_has_the_room_that_deliveries_leave() {
        let mut log = empty(1 << 20);
        log.append(commands(1, 1, &[b"a", b"b"]));
        take_unwritten(&mut log);
        log.persist(LogIndex(2));
        log.commit(LogIndex(2));
        let runs = deliverable(&log, 1_000);
        let cost: usize = runs.iter().map(EntryRun::cost).sum();
        assert_eq!(log.apply_room(1_000), 1_000);
        log.deliver(&runs);
        assert_eq!((log.apply_room(1_000), log.apply_room(10)), (1_000 - cost, 0));
        log.apply(LogIndex(2));
        assert_eq!(log.apply_room(1_000), 1_000);
    }

    #[test]
    fn only_durable_runs_leave_memory() {
        let mut log = empty(100);
        log.append(commands(1, 1, &[&[0; 90]]));
        log.append(commands(2, 1, &[&[0; 90]]));
        assert!(log.read(LogIndex(1), LogIndex(2), 1 << 20).is_some());
        take_unwritten(&mut log);
        log.persist(LogIndex(1));
        assert!(log.read(LogIndex(1), LogIndex(2), 1 << 20).is_none());
        assert!(log.read(LogIndex(2), LogIndex(2), 1 << 20).is_some());
        log.check();
    }

    #[test]
    fn reads_stop_at_their_byte_limit_but_bring_one_entry() {
        let mut log = empty(1 << 20);
        log.append(commands(1, 1, &[&[0; 100], &[0; 100], &[0; 100]]));
        log.append(commands(4, 1, &[&[0; 100]]));
        let lasts = |bytes_max| {
            let runs = log.read(LogIndex(1), LogIndex(4), bytes_max).unwrap();
            runs.last().map(EntryRun::last)
        };
        assert_eq!(lasts(1), Some(LogIndex(1)));
        assert_eq!(lasts(250), Some(LogIndex(2)));
        assert_eq!(lasts(400), Some(LogIndex(3)));
        assert_eq!(lasts(4000), Some(LogIndex(4)));
    }

    #[test]
    fn delivery_waits_for_apply_beyond_its_window() {
        let mut log = empty(1 << 20);
        log.append(commands(1, 1, &[&[0; 100]]));
        log.append(commands(2, 1, &[&[0; 100]]));
        take_unwritten(&mut log);
        log.commit(LogIndex(2));
        assert!(deliverable(&log, 100).is_empty(), "nothing is durable");
        log.persist(LogIndex(2));
        let runs = deliverable(&log, 100);
        assert_eq!(runs.len(), 1);
        log.deliver(&runs);
        assert!(deliverable(&log, 100).is_empty(), "the window is full");
        log.apply(LogIndex(1));
        assert_eq!(deliverable(&log, 100).len(), 1);
        log.apply(LogIndex(2));
        assert_eq!(log.applied(), LogIndex(1), "what was not delivered cannot be applied");
        log.check();
    }
}
