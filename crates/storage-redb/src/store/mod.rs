//! The store itself: one durable commit after the other.

mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use codec::{GroupItem, Item, WriteBatch};
use raft_core::{Configuration, EntryRun, RunBody};
use types::{BootId, ClusterId, GroupId, LogId, NodeId, StoreId};

use self::plan::{Page, Plan, Rows};
use crate::database::guarded;
use crate::error::{Misuse, MisuseFault, StoreError};
use crate::journal::Journal;
use crate::ledger::{Ledger, Piece, Seat};
use crate::meta::{Meta, write_lap};
use crate::moving::Mover;
use crate::need::{TableWork, commit_bytes_max, used_bytes_max};
use crate::open::write_meta;
use crate::options::RawStoreOptions;
use crate::packer::{Packed, PackedRecord, file_bytes};
use crate::pages::Pages;
use crate::reader::Reader;
use crate::records::{Charge, Slot};
use crate::runs::Place;
use crate::shared::{CHECKPOINTS, RECORDS, Shared};
use crate::space::{DiskSpace, Effect, Shortage, Space};
use crate::staging::Staging;

/// What the store tried when the disk could not say how much room it has.
const FINDING_ROOM: &str = "find room for";
/// Groups that are fetched from memory before they are changed: enough for the processor to do it
/// at once, and few enough for its smallest cache.
const FETCHED_AHEAD: usize = 32;
/// Buffers of written records that are kept for the next ones.
const BUFFERS_MAX: usize = 8;

/// The durable log of a node, for all its groups. Whoever owns it is the only writer; everybody
/// else reads through [`Store::reader`].
///
/// Invariants: what [`Store::commit`] reported written survives any crash, all of a call or nothing
/// of it; what it has not reported is read by nobody. A record is a row of redb's, or pending and in
/// the journal; when redb gets any records, it gets all that are pending. After the first I/O error
/// every call answers [`StoreError::Poisoned`]: what the disk holds is no longer known, and only
/// opening the store again, in a process that has not seen its pages, tells.
#[derive(Debug)]
pub struct Store {
    /// Goes before `shared`, which ends with the folder's lock.
    journal: Journal,
    shared: Arc<Shared>,
    options: RawStoreOptions,
    meta: Meta,
    is_new: bool,
    pages: Pages,
    mover: Mover,
    space: Space,
    next_sequence: u64,
    staging: Staging,
    buffers: Vec<BytesMut>,
    /// What it takes to make rows of the records that are pending.
    pending: TableWork,
    counters: StoreCounters,
}

/// What a store has done since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StoreCounters {
    /// Durable commits of the log.
    pub commits: u64,
    /// Of those the ones that wrote to the journal alone.
    pub journal_commits: u64,
    /// Records written.
    pub records_written: u64,
    /// Bytes of those records.
    pub record_bytes_written: u64,
    /// Records deleted.
    pub records_deleted: u64,
    /// Runs of live entries moved to the end of the log.
    pub runs_moved: u64,
    /// Checkpoints of groups written.
    pub checkpoints_written: u64,
    /// Bytes of the pages that hold them.
    pub checkpoint_bytes_written: u64,
    /// Checkpoint pages deleted.
    pub pages_deleted: u64,
    /// Bytes of room that were asked for: no less than was written.
    pub room_bytes_asked: u64,
}

impl Drop for Store {
    /// Ends with a commit that changes nothing but where records are: if the very last commit is
    /// damaged at rest, which cannot be told from a torn write, then nothing is lost with it.
    /// Nothing is lost either if this fails.
    fn drop(&mut self) {
        let needed = self.meta_bytes_max(&self.meta);
        if self.shared.failure().is_none() && self.find_room(needed, Effect::MakesRoom).is_ok() {
            let meta = self.meta.clone();
            let _ = self.write_meta(&meta);
        }
    }
}

impl Store {
    pub(crate) fn new(
        (shared, journal): (Arc<Shared>, Journal),
        options: RawStoreOptions,
        (meta, is_new): (Meta, bool),
        pages: Pages,
        next_sequence: u64,
        space: Space,
    ) -> Self {
        Self {
            journal,
            shared,
            options,
            meta,
            is_new,
            pages,
            mover: Mover::default(),
            space,
            next_sequence,
            staging: Staging::default(),
            buffers: Vec::new(),
            pending: TableWork::default(),
            counters: StoreCounters::default(),
        }
    }

    /// The cluster that the store belongs to.
    pub const fn cluster_id(&self) -> &ClusterId {
        &self.meta.cluster
    }

    /// The node whose store it is.
    pub const fn node_id(&self) -> NodeId {
        self.meta.node
    }

    /// The identity drawn when the store was made.
    pub const fn store_id(&self) -> StoreId {
        self.meta.store
    }

    /// Which opening this is; the first one is 1.
    pub const fn boot_id(&self) -> BootId {
        self.meta.boot
    }

    /// Whether this opening made the store.
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// A reader of what is durable.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// How many bytes of the file the log takes: records with live entries, and records that wait
    /// to be deleted.
    pub fn log_bytes(&self) -> u64 {
        self.shared.ledger.read().records.file_bytes()
    }

    /// How many bytes of the file its journal takes.
    pub(crate) const fn journal_bytes(&self) -> u64 {
        self.journal.bytes()
    }

    /// What the store has done since it was opened.
    pub const fn counters(&self) -> StoreCounters {
        self.counters
    }

    /// How much room the disk has, as of the last look. Every commit looks that writes something,
    /// and [`Store::look_at_disk`] does.
    pub const fn disk_space(&self) -> DiskSpace {
        self.space.last()
    }

    /// Looks how much room the disk has, for a caller that has nothing to commit; makes the reserve
    /// again if it was given up and there is room for it.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if the disk cannot be asked, [`StoreError::Poisoned`]: the node must
    /// stop.
    pub fn look_at_disk(&mut self) -> Result<DiskSpace, StoreError> {
        self.check_not_poisoned()?;
        let used = self.used_bytes();
        self.space.look(used).map_err(|error| self.shared.fail(FINDING_ROOM, error))
    }

    /// The longest promise that this node may have given, in milliseconds.
    pub const fn promise_max_ms(&self) -> u64 {
        self.meta.promise_max_ms
    }

    /// Remembers how long promises may be, durably; to be called before the first one of that
    /// length is given.
    ///
    /// # Errors
    /// [`StoreError::Disk`] or [`StoreError::Poisoned`]: the node must stop.
    pub fn set_promise_max_ms(&mut self, promise_max_ms: u64) -> Result<(), StoreError> {
        let meta = Meta { promise_max_ms, ..self.meta.clone() };
        self.replace_meta(meta)
    }

    /// The stores of the nodes met so far, and the newest opening seen of each.
    pub const fn peers(&self) -> &BTreeMap<NodeId, (StoreId, BootId)> {
        &self.meta.peers
    }

    /// Remembers whom a node turned out to be, durably. Whether that may differ from what is known
    /// is for the caller to decide.
    ///
    /// # Errors
    /// [`StoreError::Disk`] or [`StoreError::Poisoned`]: the node must stop.
    pub fn remember_peer(
        &mut self,
        node: NodeId,
        store: StoreId,
        boot: BootId,
    ) -> Result<(), StoreError> {
        let mut meta = self.meta.clone();
        meta.peers.insert(node, (store, boot));
        self.replace_meta(meta)
    }

    /// Lets everything up to and including `up_to` go; `configuration` is the one in force there.
    /// It goes with the group's next checkpoint, which is written once enough can go that way, or
    /// when there is nothing else to write; until then readers find it, and so does whoever opens
    /// the store after a crash. Something that is gone already is not released again.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if the log does not hold that entry.
    pub fn release(
        &mut self,
        group: GroupId,
        up_to: LogId,
        configuration: Arc<Configuration>,
    ) -> Result<(), StoreError> {
        self.release_all([(group, up_to, configuration)])
    }

    /// Releases of many groups at once, in less time than one by one.
    ///
    /// # Errors
    /// As [`Store::release`]; those before the one that makes no sense are taken.
    pub fn release_all(
        &mut self,
        releases: impl IntoIterator<Item = (GroupId, LogId, Arc<Configuration>)>,
    ) -> Result<(), StoreError> {
        self.check_not_poisoned()?;
        let mut ledger = self.shared.ledger.write();
        for (group, up_to, configuration) in releases {
            let unknown = MisuseFault::UnknownGroup.of(group);
            let seat = ledger.seat(group).ok_or(unknown)?;
            let outline = &ledger.group(seat).outline;
            if outline.replica.is_none() {
                return Err(unknown.into());
            }
            if up_to.index <= outline.shape.base().index {
                continue;
            }
            if outline.shape.term_at(up_to.index) != Some(up_to.term) {
                return Err(MisuseFault::NotHeld { found: up_to }.of(group).into());
            }
            ledger.release(seat, up_to, configuration, self.next_sequence);
        }
        Ok(())
    }

    /// Makes everything in the batches durable, in their order, all of it or nothing. Returns once
    /// the disk has said so.
    ///
    /// Effects: copies go with it, within their budget, out of records that are mostly dead, and,
    /// unless it goes to the journal, dead records and checkpoints. With nothing to write it does a part of what there is to do
    /// of that kind, due or not, and with nothing to do it does not touch the disk; so an idle
    /// caller may call it until [`Store::counters`] tells of no more commits.
    ///
    /// # Errors
    /// [`StoreError::Misuse`]: nothing was written, and the store goes on.
    /// [`StoreError::DiskFull`]: the same; that is decided before anything is written, by the most
    /// that redb may write for it and for what is pending, and the reserve is given up before it
    /// comes to that.
    /// [`StoreError::Disk`]: whether it is written is not known, and the node must stop;
    /// [`StoreError::Poisoned`] ever after.
    pub fn commit(&mut self, batches: &[WriteBatch]) -> Result<(), StoreError> {
        self.check_not_poisoned()?;
        self.seat_new_groups(batches);
        let mut items = self.seats(batches)?;
        self.check(&items)?;
        let is_idle = items.is_empty();
        let moved = self.mover.choose(&self.shared, &self.options);
        let moved = moved.map_err(|error| self.shared.fail("read", error))?;
        // Copies first: they are of the log as it is, before the changes.
        items.splice(..0, moved.iter().map(|item| (self.seat(item.group), item)));
        let plan = self.plan(&items, is_idle);
        if plan.is_empty() {
            return Ok(());
        }
        self.find_room(self.bytes_max(&plan), effect(&items))?;
        self.write(&plan).map_err(|error| self.shared.fail("write", error))?;
        self.count(&plan, moved.len());
        self.apply(&items, plan);
        Ok(())
    }

    fn check_not_poisoned(&self) -> Result<(), StoreError> {
        self.shared
            .failure()
            .map_or(Ok(()), |first| Err(StoreError::Poisoned { first: first.to_owned() }))
    }

    fn replace_meta(&mut self, meta: Meta) -> Result<(), StoreError> {
        self.check_not_poisoned()?;
        self.find_room(self.meta_bytes_max(&meta), Effect::MakesRoom)?;
        self.write_meta(&meta).map_err(|error| self.shared.fail("write", error))?;
        self.meta = meta;
        Ok(())
    }

    /// What [`Store::write_meta`] may take of the disk.
    fn meta_bytes_max(&self, meta: &Meta) -> u64 {
        let cache_bytes = self.options.page_cache_bytes;
        meta.bytes_max(cache_bytes) + commit_bytes_max(&[self.rows_work(0)], cache_bytes)
    }

    /// Writes what the store knows about itself, and makes rows of what is pending.
    fn write_meta(&mut self, meta: &Meta) -> Result<(), redb::Error> {
        let pending = self.shared.pending.lock();
        let rows = pending.iter().map(|(sequence, record)| (*sequence, &record[..]));
        write_meta(&self.shared.database, meta, self.journal.next_lap(), rows)?;
        drop(pending);
        self.restart_journal();
        Ok(())
    }

    /// All that was pending is in redb's tables now.
    fn restart_journal(&mut self) {
        self.shared.pending.lock().clear();
        self.pending = TableWork::default();
        self.journal.restart();
    }

    /// Makes sure that so much can be written.
    fn find_room(&mut self, bytes: u64, effect: Effect) -> Result<(), StoreError> {
        let used = self.used_bytes();
        self.counters.room_bytes_asked += bytes;
        self.space.find(bytes, effect, used).map_err(|shortage| match shortage {
            Shortage::Full { needed, free } => StoreError::DiskFull { needed, free },
            Shortage::Failed(error) => self.shared.fail(FINDING_ROOM, error),
        })
    }

    fn used_bytes(&self) -> u64 {
        used_bytes_max(&self.shared.ledger.read().records, &self.pages) + self.journal.bytes()
    }

    fn seat(&self, group: GroupId) -> Seat {
        self.shared.ledger.read().seat(group).expect("the store holds what it moves")
    }

    /// Gives groups that are created a place, so that all others are known to have one.
    fn seat_new_groups(&self, batches: &[WriteBatch]) {
        let items = batches.iter().flat_map(|batch| &batch.items);
        for item in items.filter(|item| matches!(item.item, Item::Create { .. })) {
            if self.shared.ledger.read().seat(item.group).is_none() {
                self.shared.ledger.write().seat_or_make(item.group);
            }
        }
    }

    /// The changes with their groups' places. These lie in memory all over the place, and the
    /// processor looks for several at once only if nothing of another kind is between.
    fn seats<'a>(&self, batches: &'a [WriteBatch]) -> Result<Vec<(Seat, &'a GroupItem)>, Misuse> {
        let ledger = self.shared.ledger.read();
        let mut items = Vec::with_capacity(batches.iter().map(|batch| batch.items.len()).sum());
        for item in batches.iter().flat_map(|batch| &batch.items) {
            let unknown = || MisuseFault::UnknownGroup.of(item.group);
            items.push((ledger.seat(item.group).ok_or_else(unknown)?, item));
        }
        Ok(items)
    }

    /// Takes the changes on copies of what they change.
    fn check(&mut self, changes: &[(Seat, &GroupItem)]) -> Result<(), Misuse> {
        let ledger = self.shared.ledger.read();
        self.staging.start(ledger.seats_len());
        for (seat, item) in changes {
            let refused = |fault: MisuseFault| fault.of(item.group);
            if matches!(item.item, Item::Moved(_)) {
                return Err(refused(MisuseFault::MovedByCaller));
            }
            ledger.group(*seat).check_release(item).map_err(refused)?;
            self.staging.advance(*seat, item, &ledger).map_err(refused)?;
        }
        Ok(())
    }

    /// One durable commit for all of it.
    fn write(&mut self, plan: &Plan) -> Result<(), redb::Error> {
        let Some(rows) = &plan.rows else {
            return Ok(self.journal.append(&plan.records)?);
        };
        guarded(|| self.write_rows(&plan.records, rows))?;
        self.restart_journal();
        Ok(())
    }

    fn write_rows(&self, records: &[PackedRecord], rows: &Rows) -> Result<(), redb::Error> {
        let transaction = self.shared.database.begin_write()?;
        let mut table = transaction.open_table(RECORDS)?;
        for (sequence, record) in &*self.shared.pending.lock() {
            table.insert(*sequence, &record[..])?;
        }
        for record in records {
            table.insert(record.sequence, &record.value[..])?;
        }
        for (sequence, _) in &rows.dead {
            table.remove(sequence)?;
        }
        drop(table);
        if let Some(page) = &rows.page {
            let mut table = transaction.open_table(CHECKPOINTS)?;
            table.insert(page.number, &page.value[..])?;
            for number in self.pages.stale() {
                table.remove(number)?;
            }
        }
        if let Some(lap) = self.journal.next_lap() {
            write_lap(&transaction, lap)?;
        }
        Ok(transaction.commit()?)
    }

    fn count(&mut self, plan: &Plan, runs_moved: usize) {
        let counters = &mut self.counters;
        counters.commits += 1;
        counters.records_written += plan.records.len() as u64;
        let bytes: usize = plan.records.iter().map(|record| record.value.len()).sum();
        counters.record_bytes_written += bytes as u64;
        counters.runs_moved += runs_moved as u64;
        let Some(rows) = &plan.rows else {
            counters.journal_commits += 1;
            return;
        };
        counters.records_deleted += rows.dead.len() as u64;
        if let Some(page) = &rows.page {
            counters.checkpoints_written += page.seats.len() as u64;
            counters.checkpoint_bytes_written += page.value.len() as u64;
            counters.pages_deleted += self.pages.stale().len() as u64;
        }
    }

    /// Takes over what is durable now.
    fn apply(&mut self, items: &[(Seat, &GroupItem)], plan: Plan) {
        let shared = Arc::clone(&self.shared);
        let mut ledger = shared.ledger.write();
        let ledger = &mut *ledger;
        let is_pending = plan.rows.is_none();
        if let Some(rows) = plan.rows {
            self.apply_rows(ledger, rows);
        }
        let mut slots = Vec::with_capacity(plan.records.len());
        for PackedRecord { sequence, value } in plan.records {
            let bytes = u32::try_from(file_bytes(value.len()));
            let bytes = bytes.expect("the packer keeps records below 4 GiB");
            slots.push(ledger.records.insert(sequence, bytes));
            if is_pending {
                self.pending.insert(value.len());
                // A buffer may be much larger than what is in it.
                shared.pending.lock().insert(sequence, Bytes::copy_from_slice(&value));
            }
            if self.buffers.len() < BUFFERS_MAX {
                self.buffers.push(value);
            }
        }
        let sequence = self.next_sequence;
        self.next_sequence += slots.len() as u64;
        let pieces: Vec<_> = plan.packed.into_iter().map(|packed| piece(packed, &slots)).collect();
        let mut left = &pieces[..];
        for (position, (seat, item)) in items.iter().enumerate() {
            if position % FETCHED_AHEAD == 0 {
                let next = items[position..].iter().take(FETCHED_AHEAD);
                ledger.fetch(next.map(|(seat, _)| *seat));
            }
            let mut count = 0;
            if let Item::Append(run) | Item::Moved(run) = &item.item {
                let ends = |piece: &Piece| piece.last == run.last();
                count =
                    1 + left.iter().position(ends).expect("every run was packed, in this order");
            }
            let pieces;
            (pieces, left) = left.split_at(count);
            let applied = ledger.apply(*seat, item, pieces, sequence);
            applied.expect("every change was checked before it was written");
        }
        ledger.records.settle();
    }

    /// The same of redb's tables, in which all records are now.
    fn apply_rows(&mut self, ledger: &mut Ledger, rows: Rows) {
        for (_, slot) in rows.dead {
            ledger.records.remove(slot);
        }
        let Some(Page { number, seats, value }) = rows.page else { return };
        self.pages.stale_deleted();
        let previous: Vec<u64> = seats.iter().map(|seat| ledger.group(*seat).page()).collect();
        for seat in &seats {
            ledger.checkpointed(*seat, number);
        }
        let previous = previous.into_iter().filter(|page| *page != 0);
        self.pages.insert(number, value.len(), seats, previous);
    }
}

/// Whether there are commands among the items that were not in the log before. What a leader begins
/// its term with and what changes a configuration is small, and no way out of a full disk may have
/// to do without.
fn effect(items: &[(Seat, &GroupItem)]) -> Effect {
    let has_commands = |run: &EntryRun| matches!(run.body, RunBody::Commands(_));
    let grows =
        items.iter().any(|(_, item)| matches!(&item.item, Item::Append(run) if has_commands(run)));
    if grows { Effect::Grows } else { Effect::MakesRoom }
}

fn piece(packed: Packed, slots: &[Slot]) -> Piece {
    let charge = Charge::of(packed.bytes as u64);
    let place = Place { slot: slots[packed.record], offset: packed.offset, charge };
    Piece { first: packed.first, last: packed.last, place, continues: packed.continues }
}
