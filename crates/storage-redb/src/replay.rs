//! Finding out, when a store is opened, what is in it.
//!
//! First the checkpoints, then every record in order, those of the journal last. Of a record that a
//! group's checkpoint contains, only the places of entries are of interest, and only of those that
//! the checkpoint says are in the log; of later records every change is taken, by the rules by which
//! it was checked when it was written. What does not fit is damage: nothing is ever left out to make
//! it fit.

use bytes::Bytes;
use codec::{GroupItem, Item, RecordReader, Sequence, item_len, read_page};
use redb::{ReadableDatabase, ReadableTable, StorageError, TableError};
use types::{GroupId, LogIndex};

use crate::database::Database;
use crate::journal::Journal;
use crate::ledger::{Ledger, Piece, Seat};
use crate::packer::file_bytes;
use crate::pages::Pages;
use crate::records::{Charge, Slot};
use crate::runs::Place;
use crate::shared::{CHECKPOINTS, RECORDS};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) ledger: Ledger,
    pub(crate) pages: Pages,
    pub(crate) next_sequence: u64,
    /// The journal's records that are not rows yet, in order.
    pub(crate) pending: Vec<(u64, Bytes)>,
}

/// Why nothing was found.
#[derive(Debug)]
pub(crate) enum ReplayError {
    /// Something is not as it was written.
    Damaged(String),
    /// redb failed.
    Redb(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for ReplayError {
    fn from(error: E) -> Self {
        let error = error.into();
        if let redb::Error::Corrupted(what) = error {
            Self::Damaged(what)
        } else {
            Self::Redb(error)
        }
    }
}

/// A replay under way.
#[derive(Default)]
struct Replay {
    ledger: Ledger,
    pages: Pages,
    /// What each group's checkpoint contains, by seat; 0 if it has none.
    upto: Vec<u64>,
    newest: u64,
    /// The groups of the present record's items.
    seats: Vec<Seat>,
}

/// The group and last index of a record's last item, if it has entries and its last one is in the
/// log.
type Tail = Option<(GroupId, LogIndex)>;

/// Reads checkpoints and records: first those that are rows, then those of the journal, if the
/// tables are of that lap.
pub(crate) fn replay(
    database: &Database,
    journal: &mut Journal,
    lap: u64,
) -> Result<Replayed, ReplayError> {
    let transaction = database.redb.begin_read()?;
    let mut replay = Replay::default();
    match transaction.open_table(CHECKPOINTS) {
        Ok(table) => {
            for row in table.iter()? {
                let (number, page) = row?;
                replay.page(number.value(), &Bytes::copy_from_slice(page.value()))?;
            }
        }
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    match transaction.open_table(RECORDS) {
        Ok(table) => {
            for row in table.iter()? {
                let (sequence, record) = row?;
                replay.record(sequence.value(), Bytes::copy_from_slice(record.value()))?;
            }
        }
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let pending = journal.records(lap, replay.newest + 1).map_err(StorageError::from)?;
    for (sequence, record) in &pending {
        replay.record(*sequence, record.clone())?;
    }
    let Replay { mut ledger, pages, newest, .. } = replay;
    ledger.records.settle();
    if let Some((group, index)) = ledger.missing_entry() {
        let what = format!("no record holds group {group}, index {index}");
        return Err(ReplayError::Damaged(what));
    }
    Ok(Replayed { ledger, pages, next_sequence: newest + 1, pending })
}

impl Replay {
    fn page(&mut self, number: u64, page: &Bytes) -> Result<(), ReplayError> {
        let damaged =
            |what: String| ReplayError::Damaged(format!("checkpoint page {number}: {what}"));
        let mut seats = Vec::new();
        let mut superseded = Vec::new();
        for checkpoint in read_page(number, page).map_err(|fault| damaged(fault.to_string()))? {
            let group = checkpoint.group;
            let upto = checkpoint.upto.0;
            let seat = self.ledger.seat_or_make(group);
            let previous = self.ledger.group(seat).page();
            if previous != 0 {
                superseded.push(previous);
            }
            if previous == number || !self.ledger.restore(checkpoint, number) {
                return Err(damaged(format!("the checkpoint of group {group} makes no sense")));
            }
            seats.push(seat);
            self.upto.resize(self.ledger.seats_len(), 0);
            self.upto[seat.number()] = upto;
            self.newest = self.newest.max(upto);
        }
        self.pages.insert(number, page.len(), seats, superseded.into_iter());
        Ok(())
    }

    fn record(&mut self, sequence: u64, record: Bytes) -> Result<(), ReplayError> {
        let damaged = |what: String| ReplayError::Damaged(what);
        self.newest = self.newest.max(sequence);
        let bytes = u32::try_from(file_bytes(record.len()))
            .map_err(|_| damaged(format!("log record {sequence} has more than 4 GiB")))?;
        let slot = self.ledger.records.insert(sequence, bytes);
        let items = RecordReader::open(Sequence(sequence), record)
            .map_err(|error| damaged(error.to_string()))?;
        // Step by step and not item by item: groups are found in memory all over the place, and
        // the processor looks for several at once only if nothing of another kind is between.
        let items = items.collect::<Result<Vec<_>, _>>();
        let items = items.map_err(|error| damaged(error.to_string()))?;
        let mut seats = std::mem::take(&mut self.seats);
        seats.clear();
        seats.extend(items.iter().map(|(_, item)| self.ledger.seat_or_make(item.group)));
        self.upto.resize(self.ledger.seats_len(), 0);
        let mut tail = None;
        for ((offset, item), seat) in items.iter().zip(&seats) {
            tail = self.item(sequence, (slot, *offset), (*seat, item), tail)?;
        }
        self.seats = seats;
        Ok(())
    }

    fn item(
        &mut self,
        sequence: u64,
        (slot, offset): (Slot, u32),
        (seat, item): (Seat, &GroupItem),
        tail: Tail,
    ) -> Result<Tail, ReplayError> {
        let piece = piece(item, slot, offset, tail);
        if self.upto[seat.number()] >= sequence {
            // What follows belongs to the same run only if this is in the log to its last entry.
            let is_whole =
                |piece: &Piece| self.ledger.recall(seat, item, *piece) == Some(piece.last);
            return Ok(piece.filter(is_whole).map(|piece| (item.group, piece.last)));
        }
        let pieces = piece.as_slice();
        if let Err(fault) = self.ledger.apply(seat, item, pieces, sequence) {
            let what =
                format!("log record {sequence}, byte {offset}, group {}: {fault}", item.group);
            return Err(ReplayError::Damaged(what));
        }
        Ok(piece.map(|piece| (item.group, piece.last)))
    }
}

/// The entries of an item, and where they lie; none if it has none.
fn piece(item: &GroupItem, slot: Slot, offset: u32, tail: Tail) -> Option<Piece> {
    let (Item::Append(run) | Item::Moved(run)) = &item.item else { return None };
    let charge = Charge::of(item_len(item) as u64);
    let continues = tail == Some((item.group, run.first.prev()));
    let place = Place { slot, offset, charge };
    Some(Piece { first: run.first, last: run.last(), place, continues })
}
