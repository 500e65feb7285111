//! The stage on which scripts are played: a cluster of which every step is commanded, and everything
//! that its replicas want done is written down.
//!
//! A replica's line begins with its number. Nothing is delivered, durable or read from a disk unless
//! a command says so; what is committed is applied at once. The oracle of the harness watches, and
//! terms and commit indexes must not fall while a replica runs.

mod commands;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use goldenscript::{Command, Context, Runner};
use raft_core::{Message, RaftNode, Ready};
use types::{LogIndex, Term, Tick};

use crate::harness::Cluster;

pub(crate) use commands::COMMANDS;
use commands::Choice;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Rounds of [`Stage::settle`] after which a cluster is taken not to come to rest.
const ROUNDS_MAX: usize = 1_000;

/// Plays one script; its first command founds the cluster.
#[derive(Default)]
pub(crate) struct Play {
    stage: Option<Stage>,
}

impl Runner for Play {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Outcome<String> {
        let mut args = command.consume_args();
        let known = COMMANDS.iter().find(|(name, _)| *name == command.name);
        let (_, act) = known.ok_or_else(|| format!("there is no command {:?}", command.name))?;
        let lines = act(&mut self.stage, &mut args)?;
        args.reject_next()?;
        Ok(lines.join("\n"))
    }
}

pub(crate) struct Stage {
    cluster: Cluster,
    /// Each replica's clock; they differ if a script lets time pass for some only.
    clocks: BTreeMap<u32, Tick>,
    /// Links on which messages wait.
    held: BTreeSet<(u32, u32)>,
    /// Messages set aside to be delivered again.
    recorded: BTreeMap<String, Vec<Message>>,
    /// Whether heartbeats that belong to no read are written down.
    shows_beats: bool,
    lines: Vec<String>,
}

/// What must not fall while a replica runs.
#[derive(Clone, Copy)]
struct Mark {
    term: Term,
    committed: LogIndex,
}

impl Stage {
    fn new(cluster: Cluster) -> Self {
        let clocks = cluster.hosts.keys().map(|n| (*n, cluster.now)).collect();
        Self {
            cluster,
            clocks,
            held: BTreeSet::new(),
            recorded: BTreeMap::new(),
            shows_beats: true,
            lines: Vec::new(),
        }
    }

    fn say(&mut self, n: u32, what: impl AsRef<str>) {
        self.lines.push(format!("{n} {}", what.as_ref()));
    }

    fn ids(&self) -> Vec<u32> {
        self.cluster.hosts.keys().copied().collect()
    }

    fn is_up(&self, n: u32) -> bool {
        self.cluster.hosts.get(&n).is_some_and(|host| host.raft.is_some())
    }

    fn up(&self) -> Vec<u32> {
        self.ids().into_iter().filter(|n| self.is_up(*n)).collect()
    }

    fn mark(&mut self, n: u32) -> Mark {
        let node = self.cluster.node(n);
        Mark { term: node.term(), committed: node.commit_index() }
    }

    /// Gives replica `n` an input, and writes down what it wants done then.
    fn act<T>(&mut self, n: u32, input: impl FnOnce(&mut RaftNode) -> T) -> T {
        let before = self.mark(n);
        let result = input(self.cluster.node(n));
        self.follow_up(n, before);
        result
    }

    fn follow_up(&mut self, n: u32, before: Mark) {
        let after = self.mark(n);
        assert!(after.term >= before.term, "the term of {n} fell");
        assert!(after.committed >= before.committed, "the commit index of {n} fell");
        let mut commits = (after.committed > before.committed).then_some(after.committed);
        while let Some(ready) = self.cluster.take_ready(n) {
            self.write_down(n, &ready, commits.take());
            self.cluster.absorb(n, ready);
            self.cluster.apply_all(n);
        }
        if let Some(index) = commits {
            self.say(n, format!("commits {index}"));
        }
    }

    fn write_down(&mut self, n: u32, ready: &Ready, commits: Option<LogIndex>) {
        if let Some(change) = ready.role {
            self.say(n, words::role(change));
        }
        if let Some(index) = commits {
            self.say(n, format!("commits {index}"));
        }
        for answer in &ready.reads {
            self.say(n, words::answer(*answer));
        }
        if !ready.committed.is_empty() {
            self.say(n, format!("applies {}", words::entries(&ready.committed)));
        }
        if let Some(write) = &ready.write {
            let end = self.written_end(n);
            self.say(n, words::write(write, end));
        }
        for message in &ready.messages {
            if self.shows_beats || !words::is_beat(message) {
                self.lines.push(words::message(message));
            }
        }
        for fetch in &ready.fetches {
            self.say(n, words::fetch(*fetch));
        }
    }

    /// Where the log of replica `n` ends when all writes under way are done.
    fn written_end(&mut self, n: u32) -> LogIndex {
        let host = self.cluster.host(n);
        let last = host.writes.iter().rev().find_map(|write| write.runs.last());
        last.map_or(host.disk.last(), |run| run.last())
    }

    /// Gives `message` to its receiver, unless the link is cut or the receiver down: then it is lost.
    /// Returns whether it arrived.
    fn deliver(&mut self, message: Message) -> bool {
        let (from, to) = (message.from.0, message.to.0);
        if self.cluster.is_cut(from, to) || !self.is_up(to) {
            return false;
        }
        let shown = words::message(&message);
        if let Err(refused) = self.act(to, |node| node.step(message)) {
            self.say(to, format!("refuses \"{shown}\": {refused}"));
        }
        true
    }

    /// Makes the oldest write of replica `n` durable; returns whether there was one.
    fn persist_one(&mut self, n: u32) -> bool {
        let before = self.is_up(n).then(|| self.mark(n));
        let any = self.cluster.persist_one(n);
        if let Some(before) = before {
            self.follow_up(n, before);
        }
        any
    }

    /// Answers the oldest fetch of replica `n` from its disk; returns whether there was one.
    fn answer_fetch(&mut self, n: u32) -> bool {
        if !self.is_up(n) {
            return false;
        }
        let before = self.mark(n);
        let any = self.cluster.answer_fetch(n);
        self.follow_up(n, before);
        any
    }

    /// Delivers, writes and reads until nothing is left to do, without time passing: writes and
    /// reads of disks that do not stall, then the messages that are under way, one by one.
    fn settle(&mut self) {
        let showed_beats = std::mem::replace(&mut self.shows_beats, false);
        for _ in 0..ROUNDS_MAX {
            let mut is_busy = false;
            for n in self.up() {
                while !self.cluster.host(n).holds_writes
                    && (self.persist_one(n) || self.answer_fetch(n))
                {
                    is_busy = true;
                }
            }
            for message in self.take_messages(&Choice::default()) {
                self.deliver(message);
                is_busy = true;
            }
            if !is_busy {
                self.shows_beats = showed_beats;
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    /// Takes the messages that are meant out of the network, in the order in which they were sent.
    fn take_messages(&mut self, choice: &Choice) -> Vec<Message> {
        let all = std::mem::take(&mut self.cluster.network);
        let (taken, kept): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|message| choice.is_about(self, message));
        self.cluster.network = kept.into();
        taken
    }

    /// Lets one tick pass for each of `replicas`.
    fn tick(&mut self, replicas: &[u32]) {
        for n in replicas {
            let clock = self.clocks.entry(*n).or_default();
            *clock = clock.after(1);
            let now = *clock;
            if self.is_up(*n) {
                self.act(*n, |node| node.tick(now));
            }
        }
    }
}
