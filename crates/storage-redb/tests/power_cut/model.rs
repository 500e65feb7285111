//! What a store must hold, entry by entry: slow, and too simple to be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use codec::{GroupItem, Item, Restored};
use raft_core::{Configuration, EntryRun, HardState, RestoredReplica, RunBody};
use storage_redb::{FetchRequest, Reader};
use types::{BootId, Generation, GroupId, LogId, LogIndex, NodeId, ReplicaId, StoreId, Term};

/// One entry, whatever run it came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Body {
    TermStart,
    Configuration(Arc<Configuration>),
    Command(Vec<u8>),
}

/// A replica that is here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Replica {
    pub(crate) id: ReplicaId,
    pub(crate) hard_state: HardState,
    pub(crate) base: LogId,
    pub(crate) base_configuration: Arc<Configuration>,
    pub(crate) entries: Vec<(Term, Body)>,
    /// What was released, rising: the log may start behind any of these, or none.
    pub(crate) releases: Vec<(LogId, Arc<Configuration>)>,
}

/// A group that is or was here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Group {
    pub(crate) generation: Generation,
    pub(crate) replica: Option<Replica>,
}

/// Everything durable.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Model {
    pub(crate) groups: BTreeMap<GroupId, Group>,
    pub(crate) promise_max_ms: u64,
    pub(crate) peers: BTreeMap<NodeId, (StoreId, BootId)>,
}

impl Replica {
    fn new(id: ReplicaId) -> Self {
        Self {
            id,
            hard_state: HardState::default(),
            base: LogId::ZERO,
            base_configuration: Arc::default(),
            entries: Vec::new(),
            releases: Vec::new(),
        }
    }

    /// The first index that may still be overwritten.
    pub(crate) fn first_open(&self) -> LogIndex {
        self.releases.last().map_or(self.base, |(up_to, _)| *up_to).index.next()
    }

    pub(crate) fn last(&self) -> LogId {
        let term = self.entries.last().map_or(self.base.term, |(term, _)| *term);
        LogId::new(term, self.base.index.plus(self.entries.len() as u64))
    }

    pub(crate) fn term_at(&self, index: LogIndex) -> Term {
        if index == self.base.index {
            return self.base.term;
        }
        self.entries[self.offset(index)].0
    }

    fn offset(&self, index: LogIndex) -> usize {
        usize::try_from(index.0 - self.base.index.0 - 1).unwrap()
    }

    fn append(&mut self, run: &EntryRun) {
        self.entries.truncate(self.offset(run.first));
        self.entries.extend(bodies(run).into_iter().map(|body| (run.term, body)));
    }

    fn compact(&mut self, base: LogId, configuration: &Arc<Configuration>) {
        if base.index <= self.base.index {
            return;
        }
        let is_held = base.index <= self.last().index && self.term_at(base.index) == base.term;
        let kept =
            if is_held { self.entries.split_off(self.offset(base.index) + 1) } else { vec![] };
        self.entries = kept;
        self.base = base;
        self.base_configuration = Arc::clone(configuration);
        self.releases.retain(|(up_to, _)| up_to.index > base.index);
    }

    fn restored(&self) -> RestoredReplica {
        let mut terms: Vec<LogId> = Vec::new();
        let mut configurations = Vec::new();
        for (index, (term, body)) in (self.base.index.0 + 1..).zip(&self.entries) {
            if terms.last().is_none_or(|start| start.term != *term) {
                terms.push(LogId::new(*term, LogIndex(index)));
            }
            if let Body::Configuration(configuration) = body {
                configurations.push((LogIndex(index), Arc::clone(configuration)));
            }
        }
        RestoredReplica {
            replica: self.id,
            hard_state: self.hard_state,
            base: self.base,
            base_configuration: Arc::clone(&self.base_configuration),
            terms,
            last: self.last().index,
            configurations,
        }
    }
}

impl Model {
    /// Takes one change, which is legal.
    pub(crate) fn apply(&mut self, change: &GroupItem) {
        if let Item::Create { replica } = change.item {
            let (generation, replica) = (change.generation, Some(Replica::new(replica)));
            self.groups.insert(change.group, Group { generation, replica });
            return;
        }
        let group = self.groups.get_mut(&change.group).unwrap();
        assert_eq!(group.generation, change.generation);
        let replica = group.replica.as_mut().unwrap();
        match &change.item {
            Item::Append(run) => replica.append(run),
            Item::Truncate { from } => replica.entries.truncate(replica.offset(*from)),
            Item::HardState(hard_state) => replica.hard_state = *hard_state,
            Item::Compact { base, configuration } => replica.compact(*base, configuration),
            Item::Remove => group.replica = None,
            Item::Create { .. } | Item::Moved(_) => panic!("not among the workload's changes"),
        }
    }

    /// Lets an entry and what is before it go.
    pub(crate) fn release(&mut self, id: GroupId, up_to: LogId, with: Arc<Configuration>) {
        let replica = self.groups.get_mut(&id).and_then(|group| group.replica.as_mut()).unwrap();
        if up_to.index >= replica.first_open() {
            replica.releases.push((up_to, with));
        }
    }

    /// Takes what a store gave back as the word on which releases took effect; the others are
    /// forgotten, as the store has forgotten them. Returns how many took effect.
    pub(crate) fn settle_releases(&mut self, restored: &[Restored]) -> u64 {
        let mut taken_count = 0;
        for (id, group) in &mut self.groups {
            let Some(replica) = &mut group.replica else { continue };
            let releases = std::mem::take(&mut replica.releases);
            let Some(found) = restored.iter().find(|restored| restored.group == *id) else {
                continue;
            };
            let mut taken = releases.iter().filter(|(up_to, _)| found.replica.base == *up_to);
            if let Some((up_to, configuration)) = taken.next() {
                replica.compact(*up_to, configuration);
                taken_count += 1;
            }
        }
        taken_count
    }

    /// What the store is to give back for the groups.
    pub(crate) fn restored(&self) -> Vec<Restored> {
        let here = self.groups.iter().filter_map(|(id, group)| {
            let replica = group.replica.as_ref()?.restored();
            Some(Restored { group: *id, generation: group.generation, replica })
        });
        here.collect()
    }

    /// Creations that the store must refuse: of each group that was removed, with the generation
    /// that it had.
    pub(crate) fn removed(&self) -> Vec<GroupItem> {
        let gone = self.groups.iter().filter(|(_, group)| group.replica.is_none());
        let create = |(id, group): (&GroupId, &Group)| GroupItem {
            group: *id,
            generation: group.generation,
            item: Item::Create { replica: ReplicaId(1) },
        };
        gone.map(create).collect()
    }

    /// Compares every entry of every group with what a reader brings; says what differs.
    pub(crate) fn compare_entries(&self, reader: &Reader, bytes_max: usize) -> Result<(), String> {
        for (id, group) in &self.groups {
            let Some(replica) = &group.replica else { continue };
            let last = replica.last().index;
            let mut next = replica.base.index.next();
            while next <= last {
                let request = FetchRequest { group: *id, first: next, last, bytes_max };
                let runs = reader.fetch(&[request]).remove(0).map_err(|error| error.to_string())?;
                for run in runs {
                    if run.first != next {
                        return Err(format!("group {id}: {} instead of {next}", run.first));
                    }
                    for body in bodies(&run) {
                        let wanted = &replica.entries[replica.offset(next)];
                        if (run.term, &body) != (wanted.0, &wanted.1) {
                            return Err(format!("group {id}: another entry at {next}"));
                        }
                        next = next.next();
                    }
                }
            }
        }
        Ok(())
    }
}

fn bodies(run: &EntryRun) -> Vec<Body> {
    match &run.body {
        RunBody::TermStart => vec![Body::TermStart],
        RunBody::Configuration(configuration) => {
            vec![Body::Configuration(Arc::clone(configuration))]
        }
        RunBody::Commands(commands) => {
            commands.iter().map(|command| Body::Command(command.payload.to_vec())).collect()
        }
    }
}
