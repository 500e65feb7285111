//! Lays out the changes of a commit as records.
//!
//! redb gives a value of more than a page the next power of two of pages, so a record is filled to
//! just below one: a commit becomes the largest such records that it fills, then one that wastes
//! little of the whole. A run is cut where a record ends.

use bytes::BytesMut;
use codec::{GroupItem, Item, RECORD_HEADER_BYTES, RecordWriter, Sequence, item_len, split_item};
use types::{GroupId, LogIndex};

/// redb's page, the unit of its file.
pub(crate) const PAGE_BYTES: usize = 4096;
/// What redb adds to a value with a u64 key: page header, end of the value, key.
const ROW_BYTES: usize = 4 + 4 + 8;
/// A run is not cut for less room than this: the second part costs a header and an index entry.
const CUT_BYTES_MIN: usize = 2048;

/// A record, ready to be written.
#[derive(Debug)]
pub(crate) struct PackedRecord {
    pub(crate) sequence: u64,
    pub(crate) value: BytesMut,
}

/// Where an item with entries, or a part of it, lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Packed {
    /// Which of the commit's records.
    pub(crate) record: usize,
    pub(crate) offset: u32,
    pub(crate) bytes: usize,
    pub(crate) first: LogIndex,
    pub(crate) last: LogIndex,
    /// It follows the entry before its first one in the same record.
    pub(crate) continues: bool,
}

/// Fills records with items, in the order in which they come.
#[derive(Debug)]
pub(crate) struct Packer {
    record_bytes_max: usize,
    next_sequence: u64,
    bytes_left: usize,
    /// What the last record may leave unused: every row costs time too.
    waste_max: usize,
    writer: RecordWriter,
    room: usize,
    /// The group and index that the record's last item ends with.
    tail: Option<(GroupId, LogIndex)>,
    buffers: Vec<BytesMut>,
    records: Vec<PackedRecord>,
    packed: Vec<Packed>,
}

impl Packer {
    /// Starts a commit of so many items, of `bytes` bytes (by [`item_len`]), with the record
    /// `sequence`; uses the memory of `buffers`.
    pub(crate) fn new(
        record_bytes_max: usize,
        sequence: u64,
        (items, bytes): (usize, usize),
        mut buffers: Vec<BytesMut>,
    ) -> Self {
        let buffer = buffers.pop().unwrap_or_default();
        let waste_max = bytes / 8;
        Self {
            record_bytes_max,
            next_sequence: sequence + 1,
            bytes_left: bytes,
            waste_max,
            writer: RecordWriter::new(Sequence(sequence), buffer),
            room: room(bytes, waste_max, record_bytes_max),
            tail: None,
            buffers,
            records: Vec::new(),
            packed: Vec::with_capacity(items),
        }
    }

    /// Appends an item, in parts where it does not fit.
    pub(crate) fn push(&mut self, item: &GroupItem) {
        let len = item_len(item);
        self.bytes_left = self.bytes_left.saturating_sub(len);
        if self.writer.bytes_len() + len <= self.room {
            self.put(item, len);
            return;
        }
        let mut rest = item.clone();
        loop {
            let left = self.room.saturating_sub(self.writer.bytes_len());
            let len = item_len(&rest);
            if len <= left {
                self.put(&rest, len);
                return;
            }
            // What is larger than any record gets one of its own, as large as it takes.
            let is_fresh = self.writer.is_empty();
            if is_fresh || left >= CUT_BYTES_MIN {
                let (front, behind) = split_item(rest.clone(), left);
                let front_len = item_len(&front);
                if is_fresh || front_len <= left {
                    self.put(&front, front_len);
                    self.use_whole_pages();
                    let Some(behind) = behind else { return };
                    rest = behind;
                }
            }
            self.next_record(item_len(&rest) + self.bytes_left);
        }
    }

    /// The records, and for every item with entries, in order, where its parts lie.
    pub(crate) fn finish(mut self) -> (Vec<PackedRecord>, Vec<Packed>, Vec<BytesMut>) {
        if !self.writer.is_empty() {
            let sequence = self.next_sequence - 1;
            self.records.push(PackedRecord { sequence, value: self.writer.finish() });
        }
        (self.records, self.packed, self.buffers)
    }

    fn put(&mut self, item: &GroupItem, bytes: usize) {
        let offset = self.writer.push(item);
        let (Item::Append(run) | Item::Moved(run)) = &item.item else {
            self.tail = None;
            return;
        };
        let (first, last) = (run.first, run.last());
        let continues = self.tail == Some((item.group, first.prev()));
        let record = self.records.len();
        self.packed.push(Packed { record, offset, bytes, first, last, continues });
        self.tail = Some((item.group, last));
    }

    /// Makes room up to the end of the pages that the record takes by now, if it may be as large.
    fn use_whole_pages(&mut self) {
        let taken = file_bytes(self.writer.bytes_len());
        if taken <= self.record_bytes_max {
            self.room = self.room.max(taken - ROW_BYTES);
        }
    }

    fn next_record(&mut self, bytes: usize) {
        let buffer = self.buffers.pop().unwrap_or_default();
        let next = RecordWriter::new(Sequence(self.next_sequence), buffer);
        let full = std::mem::replace(&mut self.writer, next);
        let sequence = self.next_sequence - 1;
        self.records.push(PackedRecord { sequence, value: full.finish() });
        self.next_sequence += 1;
        self.room = room(bytes, self.waste_max, self.record_bytes_max);
        self.tail = None;
    }
}

/// How many bytes of the file a record of `len` bytes takes.
pub(crate) fn file_bytes(len: usize) -> usize {
    let row = len + ROW_BYTES;
    // Small rows share a page.
    if row <= PAGE_BYTES { row } else { row.div_ceil(PAGE_BYTES).next_power_of_two() * PAGE_BYTES }
}

/// What redb's leaves take, at most, for a row that takes so much of the file: those that several
/// rows share are a third full at least.
pub(crate) const fn leaf_bytes_max(file_bytes: u64) -> u64 {
    if file_bytes <= PAGE_BYTES as u64 { 3 * file_bytes } else { file_bytes }
}

/// How long a record may become of which `bytes` bytes of items are left to write.
fn room(bytes: usize, waste_max: usize, record_bytes_max: usize) -> usize {
    let row = bytes + RECORD_HEADER_BYTES + ROW_BYTES;
    let above = file_bytes(row - ROW_BYTES).max(PAGE_BYTES);
    let wastes_little = above == PAGE_BYTES || above - row <= waste_max.max(above / 4);
    let chosen = if above <= record_bytes_max && wastes_little {
        above
    } else {
        (above / 2).min(record_bytes_max)
    };
    chosen - ROW_BYTES
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use codec::RecordReader;
    use proptest::prelude::*;
    use raft_core::{CommandsBuilder, EntryHeader, EntryRun, RunBody};
    use types::{Generation, Term};

    use super::*;

    fn commands(group: u64, first: u64, payloads: &[usize]) -> GroupItem {
        let mut builder = CommandsBuilder::default();
        for len in payloads {
            builder.push(EntryHeader::default(), &vec![7; *len]);
        }
        let body = RunBody::Commands(builder.take().unwrap());
        let item = Item::Append(EntryRun { first: LogIndex(first), term: Term(1), body });
        GroupItem { group: GroupId(group), generation: Generation(1), item }
    }

    fn truncate(group: u64) -> GroupItem {
        let item = Item::Truncate { from: LogIndex(1) };
        GroupItem { group: GroupId(group), generation: Generation(1), item }
    }

    fn pack(items: &[GroupItem], max: usize) -> (Vec<PackedRecord>, Vec<Packed>) {
        let bytes = items.iter().map(item_len).sum();
        let mut packer = Packer::new(max, 5, (items.len(), bytes), Vec::new());
        items.iter().for_each(|item| packer.push(item));
        let (records, packed, _) = packer.finish();
        (records, packed)
    }

    /// What the records say, one entry at a time.
    fn entries(records: &[PackedRecord]) -> Vec<(GroupId, LogIndex, Bytes)> {
        let mut entries = Vec::new();
        for record in records {
            let value = Bytes::copy_from_slice(&record.value);
            for item in RecordReader::open(Sequence(record.sequence), value).unwrap() {
                let (_, GroupItem { group, item: Item::Append(run), .. }) = item.unwrap() else {
                    continue;
                };
                let RunBody::Commands(commands) = &run.body else { continue };
                for (index, command) in (run.first.0..).zip(commands) {
                    let payload = Bytes::copy_from_slice(command.payload);
                    entries.push((group, LogIndex(index), payload));
                }
            }
        }
        entries
    }

    proptest! {
        #[test]
        fn records_hold_every_entry_once_in_order_and_waste_little(
            lens in prop::collection::vec(prop::collection::vec(0usize..9000, 1..6), 1..30),
            max in prop::sample::select(vec![4096usize, 16384, 65536])
        ) {
            let items: Vec<_> =
                (1..).zip(&lens).map(|(group, lens)| commands(group, 1, lens)).collect();
            let (records, packed) = pack(&items, max);
            let wanted: Vec<_> = (1..).zip(&lens).flat_map(|(group, lens)| {
                (1..).zip(lens).map(move |(index, len)| {
                    (GroupId(group), LogIndex(index), Bytes::from(vec![7; *len]))
                })
            }).collect();
            prop_assert_eq!(entries(&records), wanted);
            for (position, record) in records.iter().enumerate() {
                prop_assert_eq!(record.sequence, 5 + position as u64);
                let holds_one = packed.iter().filter(|p| p.record == position).count() == 1;
                prop_assert!(file_bytes(record.value.len()) <= max || holds_one);
            }
        }
    }

    #[test]
    fn a_commit_is_cut_where_a_power_of_two_of_pages_is_full() {
        let one = |group| commands(group, 1, &[16]);
        let items: Vec<_> = (0..1024).map(one).collect();
        let (records, _) = pack(&items, 256 << 10);
        let lens: Vec<_> = records.iter().map(|record| file_bytes(record.value.len())).collect();
        assert_eq!(lens, [65536, 8192]);
        let room_lost = 65536 - ROW_BYTES - records[0].value.len();
        assert!(room_lost < item_len(&items[0]));
    }

    #[test]
    fn the_pages_that_a_large_entry_takes_are_filled() {
        let items = [commands(1, 1, &[20_000]), commands(2, 1, &[10]), commands(3, 1, &[14_000])];
        let (records, packed) = pack(&items, 65536);
        assert_eq!(packed.iter().map(|packed| packed.record).collect::<Vec<_>>(), [0, 0, 1]);
        assert_eq!(file_bytes(records[0].value.len()), 32768);
    }

    #[test]
    fn an_entry_larger_than_a_record_gets_one_of_its_own() {
        let items = [commands(1, 1, &[10]), commands(2, 1, &[9000, 10]), commands(3, 1, &[10])];
        let (records, packed) = pack(&items, 4096);
        assert_eq!(records.len(), 3);
        let places: Vec<_> = packed.iter().map(|p| (p.record, p.first.0, p.last.0)).collect();
        assert_eq!(places, [(0, 1, 1), (1, 1, 1), (2, 2, 2), (2, 1, 1)]);
        assert_eq!(packed[1].offset as usize, RECORD_HEADER_BYTES);
    }

    #[test]
    fn only_entries_that_follow_each_other_in_a_record_continue() {
        let items = [
            commands(1, 1, &[1, 1]),
            commands(1, 3, &[1]),
            commands(2, 4, &[1]),
            commands(2, 4, &[1]),
            truncate(2),
            commands(2, 5, &[1]),
        ];
        let (_, packed) = pack(&items, 4096);
        let continues: Vec<_> = packed.iter().map(|packed| packed.continues).collect();
        assert_eq!(continues, [false, true, false, false, false]);
    }
}
