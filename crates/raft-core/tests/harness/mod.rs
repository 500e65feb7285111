//! A cluster of replicas of one group, by hand: nothing is written, sent or applied unless a test
//! says so, and everything that leaves a replica is held against what its disk holds.
#![allow(dead_code, reason = "each test file uses its own part of the harness")]

mod disk;
mod oracle;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use disk::Disk;
use oracle::Oracle;
use raft_core::{
    CommandsBuilder, Configuration, EntryHeader, EntryRun, Fetch, FetchError, HardState, Limits,
    Message, MessageBody, ProposeError, RaftNode, RawTiming, ReadAnswer, ReadId, Ready, Replica,
    Role, RunBody, Settings, StepError, Timing, Write,
};
use types::{LogId, LogIndex, NodeId, ReplicaId, StoreId, Term, Tick};

pub(crate) fn id(n: u32) -> ReplicaId {
    ReplicaId(n)
}

pub(crate) fn replica(n: u32) -> Replica {
    Replica { id: id(n), node: NodeId(u64::from(n)), store: StoreId(u128::from(n)) }
}

/// Voters 1..=voters, and the next `learners` ids as learners.
pub(crate) fn configuration(voters: u32, learners: u32) -> Arc<Configuration> {
    let all: Vec<Replica> = (1..=voters + learners).map(replica).collect();
    let (voters, learners) = all.split_at(voters as usize);
    Arc::new(Configuration::new(voters.to_vec(), Vec::new(), learners.to_vec()).unwrap())
}

/// Election 10..=20 ticks, heartbeat 2, and limits small enough to be met.
pub(crate) fn settings() -> Settings {
    let raw = RawTiming { election_ticks_min: 10, election_ticks_max: 20, heartbeat_ticks: 2 };
    let limits = Limits {
        entry_bytes_max: 1024,
        append_bytes_max: 512,
        inflight_appends_max: 4,
        inflight_bytes_max: 2048,
        log_cache_bytes_max: 512,
        apply_bytes_max: 1024,
        uncommitted_bytes_max: 8192,
    };
    Settings { timing: Timing::new(raw).unwrap(), limits }
}

/// One replica, its disk, and what it wants done and nobody has done yet.
pub(crate) struct Host {
    pub(crate) raft: Option<RaftNode>,
    pub(crate) disk: Disk,
    pub(crate) writes: VecDeque<Write>,
    pub(crate) to_apply: VecDeque<EntryRun>,
    pub(crate) fetches: VecDeque<Fetch>,
    pub(crate) reads: Vec<ReadAnswer>,
    /// While set, writes stay where they are.
    pub(crate) holds_writes: bool,
    pub(crate) starts: u64,
}

impl Host {
    fn new(raft: RaftNode) -> Self {
        Self {
            raft: Some(raft),
            disk: Disk::default(),
            writes: VecDeque::new(),
            to_apply: VecDeque::new(),
            fetches: VecDeque::new(),
            reads: Vec::new(),
            holds_writes: false,
            starts: 0,
        }
    }
}

pub(crate) struct Cluster {
    pub(crate) hosts: BTreeMap<u32, Host>,
    /// Messages under way, in the order in which they were sent.
    pub(crate) network: VecDeque<Message>,
    /// Pairs between which messages are lost.
    pub(crate) cut: Vec<(u32, u32)>,
    pub(crate) now: Tick,
    pub(crate) settings: Settings,
    pub(crate) oracle: Oracle,
}

impl Cluster {
    pub(crate) fn new(voters: u32) -> Self {
        Self::with_learners(voters, 0)
    }

    pub(crate) fn with_learners(voters: u32, learners: u32) -> Self {
        Self::with_settings(voters, learners, settings())
    }

    pub(crate) fn with_settings(voters: u32, learners: u32, settings: Settings) -> Self {
        let configuration = configuration(voters, learners);
        let host = |n| {
            let seed = u64::from(n);
            let raft = RaftNode::found(id(n), configuration.clone(), settings, seed, Tick(0));
            (n, Host::new(raft))
        };
        let mut cluster = Self {
            hosts: (1..=voters + learners).map(host).collect(),
            network: VecDeque::new(),
            cut: Vec::new(),
            now: Tick(0),
            settings,
            oracle: Oracle::default(),
        };
        cluster.settle();
        cluster
    }

    /// Voters that all have been in `term` and voted for nobody, and whose logs hold, behind the
    /// founding entry, one command for each term listed; equal places and terms are equal entries.
    pub(crate) fn with_logs(term: u64, logs: &[&[u64]]) -> Self {
        let mut cluster = Self::new(u32::try_from(logs.len()).unwrap());
        for (n, terms) in (1..).zip(logs) {
            cluster.crash(n);
            cluster.host(n).disk.append_terms(terms);
            cluster.host(n).disk.hard_state = hard_state(term, None);
            cluster.restart(n, 0);
        }
        cluster.settle();
        cluster
    }

    /// A cluster of `voters` that replica 1 leads, everything settled.
    pub(crate) fn led_by_one(voters: u32) -> Self {
        let mut cluster = Self::new(voters);
        cluster.elect(1);
        cluster
    }

    pub(crate) fn elect(&mut self, n: u32) {
        self.node(n).campaign();
        self.settle();
        assert_eq!(self.node(n).role(), Role::Leader, "replica {n} was to lead");
    }

    pub(crate) fn host(&mut self, n: u32) -> &mut Host {
        self.hosts.get_mut(&n).unwrap()
    }

    pub(crate) fn node(&mut self, n: u32) -> &mut RaftNode {
        self.host(n).raft.as_mut().unwrap_or_else(|| panic!("replica {n} is down"))
    }

    pub(crate) fn propose(&mut self, n: u32, payload: &[u8]) -> Result<LogId, ProposeError> {
        self.node(n).propose(EntryHeader::default(), payload)
    }

    pub(crate) fn read(&mut self, n: u32, read: u64) {
        self.node(n).read_index(ReadId(read)).unwrap();
    }

    /// Takes what replica `n` wants done, and answers what it wants from its disk.
    pub(crate) fn collect(&mut self, n: u32) -> bool {
        let Some(ready) = self.take_ready(n) else { return false };
        self.absorb(n, ready);
        while self.answer_fetch(n) {}
        true
    }

    /// What replica `n` wants done; checks every message against its disk.
    pub(crate) fn take_ready(&mut self, n: u32) -> Option<Ready> {
        let host = self.hosts.get_mut(&n).unwrap();
        let ready = host.raft.as_mut().and_then(RaftNode::ready)?;
        for message in &ready.messages {
            self.oracle.check_message(message, &host.disk);
        }
        if let Some(change) = ready.role.filter(|change| change.role == Role::Leader) {
            self.oracle.check_leader(n, change.term, host.raft.as_ref().unwrap());
        }
        self.oracle.check_committed(&ready.committed);
        if let Some(write) = &ready.write {
            assert!(write.hard_state.is_some() || !write.runs.is_empty(), "an empty write");
        }
        Some(ready)
    }

    /// Puts what replica `n` wants done where it waits to be done.
    pub(crate) fn absorb(&mut self, n: u32, ready: Ready) {
        self.network.extend(ready.messages);
        let host = self.host(n);
        host.to_apply.extend(ready.committed);
        host.reads.extend(ready.reads);
        host.writes.extend(ready.write);
        host.fetches.extend(ready.fetches);
    }

    /// Answers the oldest fetch of replica `n` with what its disk holds.
    pub(crate) fn answer_fetch(&mut self, n: u32) -> bool {
        let host = self.host(n);
        let Some(fetch) = host.fetches.pop_front() else { return false };
        let runs = host.disk.fetch(fetch.first, fetch.last, fetch.bytes_max);
        let result = if runs.is_empty() { Err(FetchError::Damaged) } else { Ok(runs) };
        host.raft.as_mut().unwrap().entries_fetched(fetch.purpose, result);
        true
    }

    /// Makes the oldest write of replica `n` durable and says so.
    pub(crate) fn persist_one(&mut self, n: u32) -> bool {
        let host = self.host(n);
        let Some(write) = host.writes.pop_front() else { return false };
        host.disk.write(&write);
        if let Some(raft) = &mut host.raft {
            raft.persisted(write.ticket);
        }
        true
    }

    pub(crate) fn persist_all(&mut self, n: u32) -> bool {
        let mut any = false;
        while self.persist_one(n) {
            any = true;
        }
        any
    }

    pub(crate) fn apply_all(&mut self, n: u32) -> bool {
        let host = self.host(n);
        let mut any = false;
        while let Some(run) = host.to_apply.pop_front() {
            if let Some(raft) = &mut host.raft {
                raft.applied(run.last());
            }
            any = true;
        }
        any
    }

    pub(crate) fn is_cut(&self, from: u32, to: u32) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Delivers the oldest message under way; refusals are part of life under faults.
    pub(crate) fn deliver_one(&mut self) -> bool {
        let Some(message) = self.network.pop_front() else { return false };
        self.deliver(message).ok();
        true
    }

    pub(crate) fn deliver(&mut self, message: Message) -> Result<(), StepError> {
        let (from, to) = (message.from.0, message.to.0);
        if self.is_cut(from, to) {
            return Ok(());
        }
        match self.hosts.get_mut(&to).and_then(|host| host.raft.as_mut()) {
            Some(raft) => raft.step(message),
            None => Ok(()),
        }
    }

    /// Delivers, writes and applies until nothing is left to do, without time passing.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let ids: Vec<u32> = self.hosts.keys().copied().collect();
            let mut busy = false;
            for n in ids {
                busy |= self.collect(n);
                if !self.hosts[&n].holds_writes {
                    busy |= self.persist_all(n);
                }
                busy |= self.apply_all(n);
            }
            while self.deliver_one() {
                busy = true;
            }
            if !busy {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    /// Collects from everybody without delivering or writing anything.
    pub(crate) fn collect_all(&mut self) {
        let ids: Vec<u32> = self.hosts.keys().copied().collect();
        for n in ids {
            while self.collect(n) {}
        }
    }

    /// Lets `ticks` pass for everybody, settling after each.
    pub(crate) fn tick(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.now = self.now.after(1);
            let now = self.now;
            for host in self.hosts.values_mut() {
                if let Some(raft) = &mut host.raft {
                    raft.tick(now);
                }
            }
            self.settle();
        }
    }

    /// Lets time pass until somebody leads whom a quorum can hear; returns who.
    pub(crate) fn tick_until_leader(&mut self) -> u32 {
        for _ in 0..400 {
            self.tick(1);
            if let Some(leader) = self.leader() {
                return leader;
            }
        }
        panic!("no leader within 400 ticks");
    }

    /// The leader of the highest term, if anybody leads.
    pub(crate) fn leader(&self) -> Option<u32> {
        let running = self.hosts.iter().filter_map(|(n, host)| Some((n, host.raft.as_ref()?)));
        let leaders = running.filter(|(_, raft)| raft.role() == Role::Leader);
        leaders.max_by_key(|(_, raft)| raft.term()).map(|(n, _)| *n)
    }

    /// Cuts replica `n` off from everybody, both ways.
    pub(crate) fn isolate(&mut self, n: u32) {
        let others: Vec<u32> = self.hosts.keys().copied().filter(|other| *other != n).collect();
        self.cut.extend(others.into_iter().flat_map(|other| [(n, other), (other, n)]));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Power loss: whatever was not reported durable is gone.
    pub(crate) fn crash(&mut self, n: u32) {
        let host = self.host(n);
        host.raft = None;
        host.writes.clear();
        host.to_apply.clear();
        host.fetches.clear();
        host.reads.clear();
        host.holds_writes = false;
    }

    /// Starts replica `n` from its disk; `no_vote_ticks` is how long old promises may bind.
    pub(crate) fn restart(&mut self, n: u32, no_vote_ticks: u64) {
        self.restart_at(n, self.now, no_vote_ticks, LogIndex::ZERO);
    }

    /// The same, at a time of its own, and with a state machine that has `applied` durably.
    pub(crate) fn restart_at(&mut self, n: u32, now: Tick, no_vote_ticks: u64, applied: LogIndex) {
        let settings = self.settings;
        let host = self.host(n);
        assert!(host.disk.last() > LogIndex::ZERO, "the founding of {n} was not durable");
        host.starts += 1;
        let seed = u64::from(n) + 1000 * host.starts;
        let restored = host.disk.restore(id(n));
        let before = now.after(no_vote_ticks);
        let raft = RaftNode::restore(restored, applied, settings, seed, now, before);
        host.raft = Some(raft.unwrap_or_else(|refused| panic!("replica {n}: {refused}")));
    }

    /// Everything applied on replica `n`, as the oracle saw it delivered, up to its applied index.
    pub(crate) fn assert_all_equal(&mut self) {
        let mut ends: Vec<(LogId, LogIndex, LogIndex)> = Vec::new();
        for host in self.hosts.values().filter_map(|host| host.raft.as_ref()) {
            let status = host.status();
            ends.push((status.last, status.committed, status.applied));
        }
        assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "replicas differ: {ends:?}");
    }

    /// Takes all messages under way out of the network.
    pub(crate) fn take_messages(&mut self) -> Vec<Message> {
        self.network.drain(..).collect()
    }
}

/// Commands from `first` on, one for each payload.
pub(crate) fn run(first: u64, term: u64, payloads: &[&[u8]]) -> EntryRun {
    let mut builder = CommandsBuilder::default();
    for payload in payloads {
        builder.push(EntryHeader::default(), payload);
    }
    let body = RunBody::Commands(builder.take().unwrap());
    EntryRun { first: LogIndex(first), term: Term(term), body }
}

/// An append of `runs` behind the entry at (index, term).
pub(crate) fn append(prev: (u64, u64), commit: u64, runs: Vec<EntryRun>) -> MessageBody {
    MessageBody::Append { prev: log_id(prev), commit: LogIndex(commit), runs }
}

/// The entry at (index, term).
pub(crate) fn log_id((index, term): (u64, u64)) -> LogId {
    LogId::new(Term(term), LogIndex(index))
}

/// A message made by hand.
pub(crate) fn message(from: u32, to: u32, term: u64, body: MessageBody) -> Message {
    Message { from: id(from), to: id(to), term: Term(term), body }
}

pub(crate) fn hard_state(term: u64, vote: Option<u32>) -> HardState {
    HardState { term: Term(term), vote: vote.map(id) }
}
