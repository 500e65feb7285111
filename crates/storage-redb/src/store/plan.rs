//! What a commit writes and deletes, and how much that may take of the disk.

use bytes::BytesMut;
use codec::{GroupItem, PageWriter, checkpoint_len, item_len};

use super::Store;
use crate::ledger::{Ledger, Seat};
use crate::meta::lap_work;
use crate::need::{TableWork, commit_bytes_max};
use crate::packer::{Packed, PackedRecord, Packer};
use crate::records::Slot;

/// Dead records that one commit deletes beside twice as many as it writes.
const DELETED_MIN: usize = 16;

/// All that one commit writes and deletes.
pub(super) struct Plan {
    pub(super) records: Vec<PackedRecord>,
    pub(super) packed: Vec<Packed>,
    /// None if the records go to the journal.
    pub(super) rows: Option<Rows>,
}

/// What a commit does to redb's tables, beside making rows of all records.
pub(super) struct Rows {
    pub(super) page: Option<Page>,
    pub(super) dead: Vec<(u64, Slot)>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        let changes = |rows: &Rows| rows.page.is_some() || !rows.dead.is_empty();
        self.records.is_empty() && !self.rows.as_ref().is_some_and(changes)
    }
}

/// A page of checkpoints of the groups as they were before the commit that writes it.
pub(super) struct Page {
    pub(super) number: u64,
    pub(super) seats: Vec<Seat>,
    pub(super) value: BytesMut,
}

impl Store {
    pub(super) fn plan(&mut self, items: &[(Seat, &GroupItem)], is_idle: bool) -> Plan {
        let bytes = items.iter().map(|(_, item)| item_len(item)).sum();
        let buffers = std::mem::take(&mut self.buffers);
        let sequence = self.next_sequence;
        let to_pack = (items.len(), bytes);
        let mut packer = Packer::new(self.options.record_bytes_max, sequence, to_pack, buffers);
        for (_, item) in items {
            packer.push(item);
        }
        let (records, packed, buffers) = packer.finish();
        self.buffers = buffers;
        // Whoever has time makes rows at once: there is more to do with them.
        let is_for_journal = !is_idle && !records.is_empty() && self.journal.fits(&records);
        let rows = (!is_for_journal).then(|| self.rows(&records, is_idle));
        Plan { records, packed, rows }
    }

    /// What is to be done to redb's tables when these records become rows.
    fn rows(&self, records: &[PackedRecord], is_idle: bool) -> Rows {
        let mut ledger = self.shared.ledger.write();
        // The newest record stays, so that no sequence number is used twice.
        let newest = self.next_sequence - 1;
        let deletable = ledger.dirty_since().unwrap_or(u64::MAX).min(newest);
        let deleted_max = self.dead_max(records);
        let dead: Vec<_> = ledger.records.dead_below(deletable).take(deleted_max).collect();
        // With fewer dead records to delete than could be, all others wait for checkpoints.
        let waits_for_checkpoints = dead.len() < deleted_max && {
            let deleted: u64 = dead.iter().map(|(_, slot)| ledger.records.bytes(*slot)).sum();
            let pinned = ledger.records.dead_bytes() - deleted + ledger.released_bytes();
            let allowed = self.options.pinned_bytes_max.max(ledger.records.file_bytes() / 8);
            pinned > if is_idle { 0 } else { allowed }
        };
        let page = self.page(&ledger, waits_for_checkpoints);
        Rows { page, dead }
    }

    /// A page of the checkpoints that are due.
    fn page(&self, ledger: &Ledger, waits_for_checkpoints: bool) -> Option<Page> {
        let superseded_max = self.options.superseded_checkpoints_max;
        let due: Vec<Seat> = if waits_for_checkpoints {
            ledger.dirty().take(self.options.checkpoint_page_bytes_max).collect()
        } else {
            self.pages.sparsest(ledger, superseded_max)
        };
        let number = self.pages.next_number();
        let mut writer = PageWriter::new(number, BytesMut::new());
        let mut seats = Vec::new();
        for seat in due {
            let Some(checkpoint) = ledger.checkpoint(seat, self.next_sequence - 1) else {
                continue;
            };
            let bytes = writer.bytes_len() + checkpoint_len(&checkpoint);
            if !seats.is_empty() && bytes > self.options.checkpoint_page_bytes_max {
                break;
            }
            writer.push(&checkpoint);
            seats.push(seat);
        }
        (!seats.is_empty()).then(|| Page { number, seats, value: writer.finish() })
    }

    /// What a commit of that plan may take of the disk; if it goes to the journal, what making rows
    /// of all that is there will take.
    pub(super) fn bytes_max(&self, plan: &Plan) -> u64 {
        let dead = plan.rows.as_ref().map(|rows| rows.dead.len());
        let mut records = self.rows_work(dead.unwrap_or_else(|| self.dead_max(&plan.records)));
        plan.records.iter().for_each(|record| records.insert(record.value.len()));
        let mut checkpoints = TableWork::default();
        if let Some(page) = plan.rows.as_ref().and_then(|rows| rows.page.as_ref()) {
            checkpoints = TableWork::new(self.pages.len(), self.pages.stale().len());
            checkpoints.insert(page.value.len());
        }
        commit_bytes_max(&[records, checkpoints, lap_work()], self.options.page_cache_bytes)
    }

    /// What it takes to make rows of what is pending, and to delete so many.
    pub(super) fn rows_work(&self, dead: usize) -> TableWork {
        let mut work = TableWork::new(self.shared.ledger.read().records.len(), dead);
        work.add(&self.pending);
        work
    }

    /// How many dead records go when rows are made of what is pending and these.
    fn dead_max(&self, records: &[PackedRecord]) -> usize {
        DELETED_MIN + 2 * (self.pending.inserted + records.len())
    }
}
