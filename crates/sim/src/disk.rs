//! A node's disk: what is synced, and what waits for that.
//!
//! Invariants: `image` holds whole batches, in the order in which they were handed over; what was
//! reported synced stays in it for ever. While one sync is under way, the writes handed over wait
//! for the next one, which carries all of them, as the engine's log writer does it.

use std::sync::Arc;

use codec::{Item, Restored, WriteBatch};
use multiraft::{BatchTicket, WriteQueue};
use raft_core::{Configuration, EntryRun, Fetch, FetchError, HardState, RestoredReplica, RunBody};
use types::{Generation, GroupId, LogId, LogIndex, ReplicaId};

use crate::class::Class;
use crate::plan::{Plan, Storage};
use crate::real::{Ending, LastCommit, RealDisk};
use crate::room::{Found, Room};
use crate::stamps::Stamps;

/// One group's durable state; one run per entry, so that any cut is a truncation.
#[derive(Clone, Debug)]
pub(crate) struct GroupOnDisk {
    generation: Generation,
    replica: ReplicaId,
    pub(crate) hard_state: HardState,
    entries: Vec<EntryRun>,
    pub(crate) stamps: Stamps,
    configurations: Vec<(LogIndex, Arc<Configuration>)>,
}

impl GroupOnDisk {
    const fn new(generation: Generation, replica: ReplicaId) -> Self {
        Self {
            generation,
            replica,
            hard_state: HardState { term: types::Term(0), vote: None },
            entries: Vec::new(),
            stamps: Stamps::new(),
            configurations: Vec::new(),
        }
    }

    pub(crate) const fn last(&self) -> LogIndex {
        self.stamps.last()
    }

    /// The newest configuration in the log.
    pub(crate) fn configuration(&self) -> Option<&Configuration> {
        self.configurations.last().map(|(_, configuration)| &**configuration)
    }

    fn append(&mut self, run: &EntryRun) {
        assert!(run.first <= self.last().next(), "a write leaves a gap before {}", run.first);
        if run.first <= self.last() {
            let keep = usize::try_from(run.first.0 - 1).expect("a simulated log is short");
            self.entries.truncate(keep);
            self.stamps.truncate(run.first);
            self.configurations.retain(|(index, _)| *index < run.first);
        }
        self.stamps.extend(run);
        match &run.body {
            RunBody::Configuration(configuration) => {
                self.configurations.push((run.first, configuration.clone()));
                self.entries.push(run.clone());
            }
            RunBody::TermStart => self.entries.push(run.clone()),
            RunBody::Commands(_) => {
                let indexes = run.first.0..=run.last().0;
                self.entries.extend(indexes.filter_map(|n| run.slice(LogIndex(n), LogIndex(n))));
            }
        }
    }

    fn restore(&self) -> RestoredReplica {
        let mut terms: Vec<LogId> = Vec::new();
        for entry in &self.entries {
            if terms.last().is_none_or(|start| start.term < entry.term) {
                terms.push(LogId::new(entry.term, entry.first));
            }
        }
        RestoredReplica {
            replica: self.replica,
            hard_state: self.hard_state,
            base: LogId::ZERO,
            base_configuration: Arc::new(Configuration::empty()),
            terms,
            last: self.last(),
            configurations: self.configurations.clone(),
        }
    }
}

/// What a disk holds, group by group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    groups: Vec<Option<GroupOnDisk>>,
}

fn place_of(group: GroupId) -> usize {
    usize::try_from(group.0).expect("at most 64 groups")
}

impl Image {
    pub(crate) fn group(&self, group: GroupId) -> Option<&GroupOnDisk> {
        self.groups.get(place_of(group)).and_then(Option::as_ref)
    }

    pub(crate) fn write(&mut self, batch: &WriteBatch) {
        for change in &batch.items {
            let place = place_of(change.group);
            if let Item::Create { replica } = change.item {
                if self.groups.len() <= place {
                    self.groups.resize(place + 1, None);
                }
                let created = GroupOnDisk::new(change.generation, replica);
                let before = self.groups[place].replace(created);
                assert!(before.is_none(), "group {} is created twice", change.group);
                continue;
            }
            let group = self.groups[place].as_mut().expect("a write after its creation");
            match &change.item {
                Item::Append(run) => group.append(run),
                Item::HardState(hard_state) => group.hard_state = *hard_state,
                Item::Create { .. }
                | Item::Truncate { .. }
                | Item::Compact { .. }
                | Item::Remove
                | Item::Moved(_) => panic!("nobody writes {:?} here", change.item),
            }
        }
    }

    pub(crate) fn restore(&self) -> Vec<Restored> {
        let groups = (0u64..).zip(&self.groups);
        let restored = groups.filter_map(|(group, on_disk)| {
            let on_disk = on_disk.as_ref()?;
            let (generation, replica) = (on_disk.generation, on_disk.restore());
            Some(Restored { group: GroupId(group), generation, replica })
        });
        restored.collect()
    }

    /// The entries of `first..=last`, at most `bytes_max` of them, in any case one.
    pub(crate) fn read(
        &self,
        group: GroupId,
        first: LogIndex,
        last: LogIndex,
        bytes_max: usize,
    ) -> Vec<EntryRun> {
        let Some(on_disk) = self.group(group) else { return Vec::new() };
        let skip = usize::try_from(first.0.saturating_sub(1)).expect("a simulated log is short");
        let mut bytes = 0;
        let wanted = on_disk.entries.iter().skip(skip).take_while(|run| run.first <= last);
        wanted
            .take_while(|run| {
                let is_first = bytes == 0;
                bytes += run.cost();
                is_first || bytes <= bytes_max
            })
            .cloned()
            .collect()
    }
}

/// What goes wrong with the next use of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DiskFault {
    /// The next sync fails; whether it was written is not known.
    Sync,
    /// The next write fails, and nothing of it is there.
    Write,
    /// The next read fails.
    Read,
}

/// Why a disk does not do what it was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// There is no room for it, and nothing of it is there.
    Full,
    /// Something that nobody should ever see, unless the disk is damaged.
    Broken(String),
}

/// A node's disk.
#[derive(Debug)]
pub(crate) struct Disk {
    /// What was reported synced, and what happened to be there after a crash.
    pub(crate) image: Image,
    /// Handed over and not yet synced.
    queue: WriteQueue<BatchTicket>,
    room: Room,
    /// What its node found when it looked or wrote last.
    pub(crate) found: Found,
    pub(crate) fault: Option<DiskFault>,
    /// Syncs that begin before then take until then.
    pub(crate) stalled_until: u64,
    /// The real store, which has to hold what `image` holds.
    pub(crate) real: Option<RealDisk>,
    /// What a crash cut off amid its commit: the next opening finds all of it, or nothing.
    doubtful: Vec<WriteBatch>,
    /// Whether the last opening found what was doubtful before, if anything was.
    pub(crate) recovered: Option<bool>,
    /// A group that cannot be read any more; in the model only.
    pub(crate) damaged: Option<GroupId>,
}

impl Disk {
    pub(crate) fn new(node: u64, life: u64, plan: &Plan) -> Self {
        let is_tiny = plan.tiny_limits.contains(node);
        let seed = plan.seed.wrapping_add(life << 32);
        let real = || RealDisk::new(node, seed, is_tiny, plan.has(Class::Full));
        Self {
            image: Image::default(),
            queue: WriteQueue::default(),
            room: Room::Ample,
            found: Found::default(),
            fault: None,
            stalled_until: 0,
            real: (plan.storage == Storage::Redb).then(real),
            doubtful: Vec::new(),
            recovered: None,
            damaged: None,
        }
    }

    /// Opens the store: all groups that it holds.
    ///
    /// # Errors
    /// The store refuses to open, or holds something else than it must; or there is no room.
    pub(crate) fn open(&mut self) -> Result<Vec<Restored>, Refused> {
        self.found = self.room.look();
        let Some(real) = &mut self.real else {
            let is_full = self.room == Room::Nothing;
            return if is_full { Err(Refused::Full) } else { Ok(self.image.restore()) };
        };
        let found = real.open()?;
        self.found = real.space();
        let doubtful = std::mem::take(&mut self.doubtful);
        let is_doubtful = !doubtful.is_empty();
        if found == self.image.restore() {
            self.recovered = is_doubtful.then_some(false);
            return Ok(found);
        }
        doubtful.iter().for_each(|batch| self.image.write(batch));
        if found == self.image.restore() {
            self.recovered = is_doubtful.then_some(true);
            return Ok(found);
        }
        Err(Refused::Broken(format!("it holds {found:?}, expected {:?}", self.image.restore())))
    }

    /// Takes a write; whether a sync has to be begun.
    pub(crate) fn write(&mut self, ticket: BatchTicket, batch: WriteBatch) -> bool {
        self.queue.push(batch, ticket);
        // What found no room is tried again in its time.
        !self.queue.is_refused() && self.queue.begin()
    }

    /// Begins a sync of what waits, unless one is under way or nothing waits.
    pub(crate) fn begin(&mut self) -> bool {
        self.queue.begin()
    }

    /// The sync under way is done, as far as there is room: what it wrote is there and comes back to be
    /// reported, in order.
    ///
    /// # Errors
    /// There is no room for the oldest write, which stays the oldest; or the store could not write.
    pub(crate) fn synced(
        &mut self,
        mut each: impl FnMut(BatchTicket, &WriteBatch),
    ) -> Result<(), Refused> {
        while let Err(refused) = self.commit() {
            if refused != Refused::Full || !self.queue.refused() {
                self.note_room();
                return Err(refused);
            }
        }
        for (ticket, batch) in self.queue.receipts().iter().zip(self.queue.under_way()) {
            self.image.write(batch);
            each(*ticket, batch);
        }
        self.queue.written();
        self.note_room();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Refused> {
        let batches = self.queue.under_way();
        match &mut self.real {
            Some(real) => real.commit(batches),
            None if batches.iter().all(|batch| self.room.fits(batch)) => Ok(()),
            None => Err(Refused::Full),
        }
    }

    /// Looks how much room there is; on a disk that is low it also lets a store tidy up.
    ///
    /// # Errors
    /// The store could not be asked.
    pub(crate) fn look(&mut self) -> Result<(), Refused> {
        if let Some(real) = &mut self.real {
            real.look()?;
        }
        self.note_room();
        Ok(())
    }

    fn note_room(&mut self) {
        let found = self.real.as_ref().map_or(self.room.look(), RealDisk::space);
        self.found = found.with_waiting(self.queue.is_refused());
    }

    /// Somebody else takes room, or gives it back, so that this much is left.
    pub(crate) fn leave(&mut self, room: Room) {
        self.room = room;
        if let Some(real) = &mut self.real {
            real.leave(room);
        }
    }

    /// The entries of `first..=last`, at most `bytes_max` of them, in any case one; none if the log
    /// ends before them.
    ///
    /// # Errors
    /// The store could not read them.
    pub(crate) fn read(&self, group: GroupId, fetch: &Fetch) -> Result<Vec<EntryRun>, FetchError> {
        let Fetch { first, last, bytes_max, .. } = *fetch;
        match &self.real {
            Some(real) => real.fetch(group, fetch),
            None if self.damaged == Some(group) => Err(FetchError::Damaged),
            None => Ok(self.image.read(group, first, last, bytes_max)),
        }
    }

    /// Writes handed over and not yet reported.
    pub(crate) const fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How many of them the sync under way carries.
    pub(crate) fn syncing(&self) -> usize {
        self.queue.under_way().len()
    }

    /// How many of them may happen to be there if whoever wrote them is gone: those that there is room
    /// for, up to the first that there is none for, or was none when it was tried last.
    pub(crate) fn keepable(&self) -> usize {
        if self.queue.is_refused() && self.syncing() == 0 {
            return 0;
        }
        self.queue.batches().iter().take_while(|batch| self.room.fits(batch)).count()
    }

    /// Whoever wrote is gone. Of what waits, the first `kept` writes happen to be there, the others
    /// never will be; a real store decides itself what is there. Returns whether its disk was left
    /// torn.
    pub(crate) fn end(&mut self, ending: Ending, kept: usize) -> bool {
        let kept = kept.min(self.keepable());
        let queue = std::mem::take(&mut self.queue);
        (self.fault, self.stalled_until) = (None, 0);
        let Some(real) = &mut self.real else {
            queue.batches().iter().take(kept).for_each(|batch| self.image.write(batch));
            return false;
        };
        let batches = queue.under_way();
        let (last, is_torn) = real.end(ending, batches);
        real.leave(self.room);
        match last {
            LastCommit::Absent => {}
            LastCommit::Present => batches.iter().for_each(|batch| self.image.write(batch)),
            LastCommit::Unknown => self.doubtful = batches.to_vec(),
        }
        is_torn
    }
}
