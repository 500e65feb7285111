//! The journal: where small commits become durable, before they are rows of redb's tables.
//!
//! redb writes every page that a commit changes, and each page above it, to a new place: seven pages
//! here and there for a few entries. The journal is a stretch of the file that is there from the
//! beginning, and a commit takes the next pages of it: one write, which changes nothing about the
//! file. When the next block does not fit, redb gets all records of the journal at once, and the
//! journal begins anew (ADR 0017). An opening reads the file before it knows what counts in it, so
//! the blocks say themselves: each goes on from what redb's tables, and the block before, end with,
//! and has the lap that the tables note, which is how often they were committed.
//!
//! ```text
//! byte 0    header: how long the journal is
//! byte 4096 block | block | block | what is older, or zeros
//! journal's end: redb's file
//! ```
//!
//! Invariants: `at` is a multiple of [`BLOCK_UNIT_BYTES`]; blocks from the first to `at` hold all
//! records that are not rows yet, in order; nothing before `at` is written to as long as they are
//! not.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use codec::{
    BLOCK_UNIT_BYTES, Block, JOURNAL_VERSION, JournalHeaderError, Sequence, block_len,
    decode_block, decode_journal_header, encode_block, encode_journal_header,
};
use redb::{BackendError, StorageBackend, StorageError};

use crate::packer::PackedRecord;

/// Where the first block begins: the header has a unit of its own.
const FIRST_BLOCK: u64 = BLOCK_UNIT_BYTES as u64;
/// How many blocks there is room for at least.
const BLOCKS_MIN: u64 = 8;
/// How a file begins that redb made without a journal before it.
const REDB_MARK: &[u8] = b"redb";

/// The journal of one store.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Arc<dyn StorageBackend>,
    /// How long it is, from the file's beginning; 0 if the file has none.
    bytes: u64,
    /// Where blocks end at the latest: the journal's end, or before.
    end: u64,
    /// Where the next block begins.
    at: u64,
    /// How often redb's tables were committed: what they say, and the next block will.
    lap: u64,
    buffer: BytesMut,
}

/// Why a file's journal is not found.
#[derive(Debug)]
pub(crate) enum JournalError {
    /// The file cannot be read.
    Io(io::Error),
    /// What is read is not what was written.
    Damaged(String),
}

impl From<io::Error> for JournalError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<JournalError> for StorageError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Io(error) => Self::Io(error),
            JournalError::Damaged(what) => Self::Corrupted(what),
        }
    }
}

impl Journal {
    /// Finds the journal of a file, or makes one of `bytes` bytes if the file is empty; none if
    /// that is 0. A file that was made without one has none.
    ///
    /// # Errors
    /// The file cannot be read, a later program made it, or it begins with neither a journal nor
    /// redb's mark.
    pub(crate) fn find(file: Arc<dyn StorageBackend>, bytes: u64) -> Result<Self, JournalError> {
        let len = file.len()?;
        if len == 0 {
            if bytes > 0 {
                make(&*file, bytes)?;
            }
            return Ok(Self::new(file, bytes));
        }
        let mut first = BytesMut::zeroed(BLOCK_UNIT_BYTES.min(usize::try_from(len).unwrap_or(0)));
        file.read(0, &mut first)?;
        if first.starts_with(REDB_MARK) {
            return Ok(Self::new(file, 0));
        }
        let damaged = |what: String| Err(JournalError::Damaged(what));
        match decode_journal_header(&first.freeze()) {
            Ok(bytes) if bytes <= len => Ok(Self::new(file, bytes)),
            Ok(bytes) => damaged(format!("the file has {len} bytes, and its journal {bytes}")),
            Err(JournalHeaderError::Version { found }) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "its journal has version {found}, and this program reads version \
                     {JOURNAL_VERSION}: use the program that wrote it, or a later one"
                ),
            )
            .into()),
            Err(error) => damaged(error.to_string()),
        }
    }

    fn new(file: Arc<dyn StorageBackend>, bytes: u64) -> Self {
        let at = FIRST_BLOCK.min(bytes);
        Self { file, bytes, end: bytes, at, lap: 0, buffer: BytesMut::new() }
    }

    /// How many bytes of the file it takes: redb's part begins there.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Uses so many bytes for blocks at most.
    pub(crate) fn limit(&mut self, bytes: u64) {
        self.end = self.bytes.min(FIRST_BLOCK.saturating_add(bytes));
    }

    /// The records that are not rows yet, with their numbers, in order: those from `next` on. The
    /// tables are of that lap.
    ///
    /// # Errors
    /// A block or a commit of redb is missing that was there: a later block is.
    pub(crate) fn records(
        &mut self,
        lap: u64,
        next: u64,
    ) -> Result<Vec<(u64, Bytes)>, JournalError> {
        self.lap = lap;
        let mut content = BytesMut::zeroed(usize::try_from(self.bytes).unwrap_or(0));
        self.file.read(0, &mut content)?;
        let content = content.freeze();
        let (mut records, mut next, mut at) = (Vec::new(), next, BLOCK_UNIT_BYTES);
        let follows = |block: &Block, next| block.lap == lap && block.first.0 == next;
        while let Some(block) = block_at(&content, at).filter(|block| follows(block, next)) {
            at += block.bytes_len;
            for record in block.records {
                records.push((next, record));
                next += 1;
            }
        }
        let behind = (at..content.len()).step_by(BLOCK_UNIT_BYTES);
        let later = behind.filter_map(|at| block_at(&content, at).map(|block| (at, block)));
        match { later }.find(|(_, block)| block.lap >= lap) {
            None => Ok(records),
            Some((found_at, Block { lap: found, first, .. })) => {
                Err(JournalError::Damaged(format!(
                    "the journal has log record {first} of lap {found} at byte {found_at}, and no \
                     log record {next} of lap {lap} at byte {at}"
                )))
            }
        }
    }

    /// Whether those records have room in it, as one block, and gain by it: of a large commit redb
    /// writes few pages besides, and many large ones at once would find redb's file too short.
    pub(crate) fn fits(&self, records: &[PackedRecord]) -> bool {
        let len = block_len(records.iter().map(|record| record.value.len())) as u64;
        let share = self.end.saturating_sub(FIRST_BLOCK) / BLOCKS_MIN;
        len <= share && self.at.checked_add(len).is_some_and(|end| end <= self.end)
    }

    /// Makes records durable, which [`Journal::fits`] said fit: all of them or none. There is at
    /// least one.
    ///
    /// # Errors
    /// The disk has failed; whether they are durable is not known.
    pub(crate) fn append(&mut self, records: &[PackedRecord]) -> io::Result<()> {
        let first = Sequence(records[0].sequence);
        encode_block(
            &mut self.buffer,
            self.lap,
            first,
            records.iter().map(|record| &record.value[..]),
        );
        let end = self.at + self.buffer.len() as u64;
        assert!(end <= self.end, "a block from {} to {end} is beyond the journal", self.at);
        self.file.write(self.at, &self.buffer)?;
        self.file.sync_data()?;
        self.at = end;
        Ok(())
    }

    /// The lap that redb's tables have to note with the next commit; none without a journal.
    pub(crate) fn next_lap(&self) -> Option<u64> {
        (self.bytes > 0).then_some(self.lap + 1)
    }

    /// All its records are rows, durably, and so is [`Journal::next_lap`]: it begins anew.
    pub(crate) fn restart(&mut self) {
        self.at = FIRST_BLOCK.min(self.bytes);
        self.lap += 1;
    }
}

/// Makes an empty journal: the file gets its place on the disk, so that no block changes that.
fn make(file: &dyn StorageBackend, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)?;
    let mut content = BytesMut::zeroed(usize::try_from(bytes).unwrap_or(usize::MAX));
    let header = encode_journal_header(bytes);
    content[..header.len()].copy_from_slice(&header);
    file.write(0, &content)
}

fn block_at(content: &Bytes, at: usize) -> Option<Block> {
    decode_block(&content.slice(at.min(content.len())..))
}

/// The rest of the file, which is redb's. Locks are of the file as a whole, whoever asks.
#[derive(Debug)]
pub(crate) struct BehindJournal {
    file: Arc<dyn StorageBackend>,
    /// Where it begins.
    start: u64,
}

impl BehindJournal {
    pub(crate) fn new(journal: &Journal) -> Self {
        Self { file: Arc::clone(&journal.file), start: journal.bytes }
    }
}

impl StorageBackend for BehindJournal {
    fn len(&self) -> io::Result<u64> {
        self.file.len().map(|len| len.saturating_sub(self.start))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(self.start + offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(self.start + len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(self.start + offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_disk::SimDisk;

    const UNIT: u64 = BLOCK_UNIT_BYTES as u64;
    const LATER_CHECKSUM: u32 = 0x6bf3_b6da;

    fn find(disk: &SimDisk, bytes: u64) -> Result<Journal, JournalError> {
        Journal::find(Arc::new(disk.clone()), bytes)
    }

    fn records(first: u64, lens: &[usize]) -> Vec<PackedRecord> {
        let record = |(sequence, len): (u64, &usize)| PackedRecord {
            sequence,
            value: BytesMut::zeroed(*len),
        };
        (first..).zip(lens).map(record).collect()
    }

    /// A journal of 16 units with records 7 to 12 of lap 3 in three blocks, of one, two and one
    /// units; it was used before.
    fn three_blocks() -> (SimDisk, Journal) {
        let disk = SimDisk::new();
        let mut journal = find(&disk, 16 * UNIT).unwrap();
        assert_eq!(journal.records(2, 1).unwrap(), []);
        for first in 1..=6 {
            journal.append(&records(first, &[100])).unwrap();
        }
        journal.restart();
        journal.append(&records(7, &[10, 20])).unwrap();
        journal.append(&records(9, &[5000])).unwrap();
        journal.append(&records(10, &[1, 2, 3])).unwrap();
        (disk, journal)
    }

    fn found(disk: &SimDisk, lap: u64, next: u64) -> Result<Vec<u64>, String> {
        let found = find(disk, 0).and_then(|mut journal| journal.records(lap, next));
        match found {
            Ok(records) => Ok(records.into_iter().map(|(sequence, _)| sequence).collect()),
            Err(JournalError::Damaged(what)) => Err(what),
            Err(JournalError::Io(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn records_come_back_in_order_and_older_ones_do_not() {
        let (disk, journal) = three_blocks();
        let mut again = find(&disk, 0).unwrap();
        assert_eq!((again.bytes(), again.next_lap()), (16 * UNIT, Some(1)));
        let records = again.records(3, 7).unwrap();
        let lens: Vec<_> = records.iter().map(|(number, value)| (*number, value.len())).collect();
        assert_eq!(lens, [(7, 10), (8, 20), (9, 5000), (10, 1), (11, 2), (12, 3)]);
        assert_eq!((again.next_lap(), journal.at), (Some(4), 5 * UNIT));
        assert_eq!(found(&disk, 4, 13), Ok(vec![]), "they are rows");
    }

    #[test]
    fn a_lap_that_the_tables_do_not_know_is_damage() {
        let (disk, _) = three_blocks();
        let what = found(&disk, 2, 1).unwrap_err();
        let expected =
            "log record 7 of lap 3 at byte 4096, and no log record 1 of lap 2 at byte 4096";
        assert!(what.contains(expected), "{what}");
    }

    #[test]
    fn a_block_that_is_missed_is_damage_unless_it_was_the_last() {
        for (block, seen) in [(1, None), (2, None), (4, Some(vec![7, 8, 9]))] {
            let (disk, _) = three_blocks();
            disk.flip_bit(usize::try_from(block * UNIT).unwrap() + 30, 0);
            assert_eq!(found(&disk, 3, 7).ok(), seen);
        }
        let (disk, _) = three_blocks();
        assert!(found(&disk, 3, 6).is_err(), "rows that are missed are no different");
    }

    #[test]
    fn only_what_takes_a_small_part_fits() {
        let (_, mut journal) = three_blocks();
        let fits = |journal: &Journal, len| journal.fits(&records(13, &[len]));
        let most = BLOCK_UNIT_BYTES - 36;
        assert!(fits(&journal, most) && !fits(&journal, most + 1), "an eighth of fifteen units");
        for first in 13..=23 {
            assert!(fits(&journal, 1));
            journal.append(&records(first, &[1])).unwrap();
        }
        assert!(!fits(&journal, 1), "it is full");
        journal.restart();
        assert!(fits(&journal, 1));
        journal.limit(8 * UNIT);
        assert!(fits(&journal, most));
        journal.limit(7 * UNIT);
        assert!(!fits(&journal, 1));
    }

    #[test]
    #[should_panic(expected = "is beyond the journal")]
    fn nothing_is_ever_written_beyond_the_journal() {
        let (_, mut journal) = three_blocks();
        journal.append(&records(13, &[50_000])).unwrap();
    }

    #[test]
    fn a_file_that_redb_begins_has_none() {
        let disk = SimDisk::from_image(b"redb and whatever follows".to_vec());
        let mut journal = find(&disk, 16 * UNIT).unwrap();
        assert_eq!((journal.bytes(), journal.next_lap()), (0, None));
        assert_eq!(journal.records(0, 5).unwrap(), []);
        assert!(!journal.fits(&records(5, &[1])));
    }

    #[test]
    fn what_begins_otherwise_is_damage() {
        let damaged = |image: &[u8]| match find(&SimDisk::from_image(image.to_vec()), 0) {
            Err(JournalError::Damaged(what)) => what,
            other => panic!("{other:?}"),
        };
        assert!(damaged(&[0; 9000]).contains("no journal, it starts with [00, 00, 00]"));
        assert!(damaged(b"MRJ").contains("1 bytes expected at byte 3"));
        let header = encode_journal_header(9001);
        let what = damaged(&[&header[..], &[0; 8000]].concat());
        assert_eq!(what, "the file has 8016 bytes, and its journal 9001");
    }

    #[test]
    fn a_later_version_is_told_by_number() {
        let mut image = encode_journal_header(4096).to_vec();
        image[3] = 9;
        // Of the version and the length, as version 9 has it too.
        image[4..8].copy_from_slice(&LATER_CHECKSUM.to_le_bytes());
        image.resize(4096, 0);
        let found = find(&SimDisk::from_image(image), 0);
        let Err(JournalError::Io(error)) = found else { panic!("{found:?}") };
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("has version 9, and this program reads version 1"));
    }

    #[test]
    fn redb_sees_what_is_behind_the_journal() {
        let (disk, journal) = three_blocks();
        let behind = BehindJournal::new(&journal);
        assert_eq!(behind.len().unwrap(), 0);
        behind.set_len(100).unwrap();
        behind.write(40, b"redb's").unwrap();
        let mut read = [0; 6];
        behind.read(40, &mut read).unwrap();
        assert_eq!((behind.len().unwrap(), &read), (100, b"redb's"));
        let at = usize::try_from(16 * UNIT).unwrap() + 40;
        assert_eq!(&disk.image()[at..at + 6], b"redb's");
    }
}
