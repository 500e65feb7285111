//! A model of a store: writes wait until they are released, and a crash forgets those that were not.
//! It keeps entries one by one and knows nothing of how the real store lays them out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use codec::{Item, Restored, WriteBatch};
use multiraft::BatchTicket;
use raft_core::{
    CommandsBuilder, Configuration, EntryHeader, EntryRun, Fetch, HardState, RestoredReplica,
    RunBody,
};
use types::{Generation, GroupId, LogId, LogIndex, ReplicaId, Term};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stored {
    TermStart,
    Configuration(Configuration),
    Command(Vec<u8>),
}

/// One group's durable state; the entry at index i stands at `entries[i - 1]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StoredGroup {
    pub(crate) generation: Generation,
    pub(crate) replica: ReplicaId,
    pub(crate) hard_state: HardState,
    pub(crate) entries: Vec<(Term, EntryHeader, Stored)>,
}

#[derive(Default)]
pub(crate) struct Disk {
    groups: BTreeMap<GroupId, StoredGroup>,
    waiting: VecDeque<(BatchTicket, WriteBatch)>,
    /// How many entries were ever written, repetitions included.
    pub(crate) entries_written: u64,
}

impl Disk {
    pub(crate) fn submit(&mut self, ticket: BatchTicket, batch: WriteBatch) {
        self.waiting.push_back((ticket, batch));
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Makes the oldest waiting write durable.
    pub(crate) fn release(&mut self) -> Option<BatchTicket> {
        let (ticket, batch) = self.waiting.pop_front()?;
        for item in batch.items {
            self.apply(item.group, item.generation, item.item);
        }
        Some(ticket)
    }

    pub(crate) fn crash(&mut self) {
        self.waiting.clear();
    }

    pub(crate) fn group(&self, group: GroupId) -> Option<&StoredGroup> {
        self.groups.get(&group)
    }

    /// Puts a group there as if it had been written long ago.
    pub(crate) fn plant(&mut self, group: GroupId, stored: StoredGroup) {
        self.groups.insert(group, stored);
    }

    fn apply(&mut self, group: GroupId, generation: Generation, item: Item) {
        if let Item::Create { replica } = item {
            let hard_state = HardState::default();
            let stored = StoredGroup { generation, replica, hard_state, entries: Vec::new() };
            let before = self.groups.insert(group, stored);
            assert!(before.is_none(), "group {group} is created twice");
            return;
        }
        let stored = self.groups.get_mut(&group).expect("a group is created before it is written");
        assert_eq!(stored.generation, generation, "the life of group {group}");
        match item {
            Item::HardState(hard_state) => {
                let before = stored.hard_state;
                assert!(hard_state.term >= before.term, "the term of group {group} falls");
                if hard_state.term == before.term {
                    assert!(before.vote.is_none(), "a second vote in term {}", before.term);
                }
                stored.hard_state = hard_state;
            }
            Item::Append(run) => {
                let first = usize::try_from(run.first.0).unwrap() - 1;
                assert!(first <= stored.entries.len(), "group {group} has a gap in its log");
                stored.entries.truncate(first);
                stored.entries.extend(entries_of(&run));
                self.entries_written += u64::from(run.count());
            }
            other => panic!("nothing writes {other:?} yet"),
        }
    }

    pub(crate) fn restored(&self) -> Vec<Restored> {
        self.groups.iter().map(|(group, stored)| stored.restored(*group)).collect()
    }

    /// Answers a fetch with one run per entry, as a store may.
    pub(crate) fn fetch(&self, group: GroupId, fetch: &Fetch) -> Vec<EntryRun> {
        let stored = &self.groups[&group];
        let mut bytes_left = fetch.bytes_max;
        let mut runs = Vec::new();
        for index in fetch.first.0..=fetch.last.0 {
            let run = stored.run(LogIndex(index));
            if !runs.is_empty() && run.cost() > bytes_left {
                break;
            }
            bytes_left = bytes_left.saturating_sub(run.cost());
            runs.push(run);
        }
        runs
    }
}

impl StoredGroup {
    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        let position = usize::try_from(index.0).unwrap().checked_sub(1)?;
        self.entries.get(position).map(|(term, _, _)| *term)
    }

    pub(crate) fn last(&self) -> LogIndex {
        LogIndex(self.entries.len() as u64)
    }

    fn run(&self, index: LogIndex) -> EntryRun {
        let (term, header, stored) = &self.entries[usize::try_from(index.0).unwrap() - 1];
        let body = match stored {
            Stored::TermStart => RunBody::TermStart,
            Stored::Configuration(c) => RunBody::Configuration(Arc::new(c.clone())),
            Stored::Command(payload) => {
                let mut builder = CommandsBuilder::default();
                builder.push(*header, payload);
                RunBody::Commands(builder.take().unwrap())
            }
        };
        EntryRun { first: index, term: *term, body }
    }

    pub(crate) fn restored(&self, group: GroupId) -> Restored {
        let numbered = || (1..).map(LogIndex).zip(&self.entries);
        let mut terms: Vec<LogId> = Vec::new();
        for (index, (term, _, _)) in numbered() {
            if terms.last().is_none_or(|start| start.term != *term) {
                terms.push(LogId::new(*term, index));
            }
        }
        let configurations = numbered().filter_map(|(index, (_, _, stored))| match stored {
            Stored::Configuration(c) => Some((index, Arc::new(c.clone()))),
            Stored::TermStart | Stored::Command(_) => None,
        });
        let replica = RestoredReplica {
            replica: self.replica,
            hard_state: self.hard_state,
            base: LogId::ZERO,
            base_configuration: Arc::new(Configuration::empty()),
            terms,
            last: self.last(),
            configurations: configurations.collect(),
        };
        Restored { group, generation: self.generation, replica }
    }
}

/// The entries of a run one by one.
pub(crate) fn entries_of(run: &EntryRun) -> Vec<(Term, EntryHeader, Stored)> {
    let term = run.term;
    match &run.body {
        RunBody::TermStart => vec![(term, EntryHeader::default(), Stored::TermStart)],
        RunBody::Configuration(c) => {
            vec![(term, EntryHeader::default(), Stored::Configuration((**c).clone()))]
        }
        RunBody::Commands(commands) => commands
            .iter()
            .map(|command| (term, command.header, Stored::Command(command.payload.to_vec())))
            .collect(),
    }
}
