//! Log records: the values that storage keeps under rising sequence numbers, each a few changes of
//! many groups.
//!
//! ```text
//! magic "MRL" | version u8 | crc32c u32 | items
//! ```
//! Invariants of a record that [`RecordReader::open`] accepts: it was written as this sequence
//! number and not as another (the checksum starts from the number), and no byte of it has changed.
//! A single item has a checksum of its own, so that one can be read without the rest; it starts
//! from the sequence number too, so that an item of another record never passes.
//!
//! A record has no limit of its own: storage holds the whole value when it asks, every length
//! inside is compared with what is there, and commands are shared and not copied.

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::control::ControlError;
use crate::item::GroupItem;
use crate::reader::{Reader, Truncated};
use crate::run::RunError;
use crate::stored_item::{self, Check};

/// The version byte of the records that this crate writes, and the only one it reads.
pub const RECORD_VERSION: u8 = 1;

/// Bytes before a record's first item.
pub const RECORD_HEADER_BYTES: usize = 8;

const MAGIC: [u8; 3] = *b"MRL";

/// A record's number in its store: rises with every record, and none is used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Sequence(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something in a record is not as it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordError {
    /// The record.
    pub sequence: Sequence,
    /// The byte of the record at which the damaged part starts: 0 for the record as a whole, an
    /// item's offset for an item.
    pub offset: usize,
    /// What is wrong there.
    pub fault: RecordFault,
}

/// What is wrong with a record or an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordFault {
    /// The bytes end too early.
    Truncated(Truncated),
    /// The value is no record.
    Magic {
        /// Its first bytes; "MRL" was expected.
        found: [u8; 3],
    },
    /// A version that this program does not know.
    Version {
        /// The version found; [`RECORD_VERSION`] was expected.
        found: u8,
    },
    /// The value is longer than the offsets of its items can say.
    TooLarge {
        /// How many bytes it has; less than 4 GiB were expected.
        found: usize,
    },
    /// The bytes have changed, or are those of another record.
    RecordChecksum {
        /// The checksum in the record.
        stored: u32,
        /// The checksum of what is there.
        computed: u32,
    },
    /// The item's bytes have changed, are those of another record, or no item starts here.
    ItemChecksum {
        /// The checksum in the item.
        stored: u32,
        /// The checksum of what is there.
        computed: u32,
    },
    /// An item that is shorter than its own header.
    ItemLength {
        /// The length it claims.
        found: u32,
    },
    /// A kind of item that nobody defined.
    ItemKind {
        /// The kind found; 1 to 7 were expected.
        found: u8,
    },
    /// The item ends before its bytes do.
    Trailing {
        /// How many bytes too many there are.
        bytes: usize,
    },
    /// A vote that is neither absent (0 and replica 0) nor present (1 and a replica).
    Vote {
        /// Whether it claims to be present.
        flag: u8,
        /// For whom.
        replica: u32,
    },
    /// An item whose entries are malformed.
    Run(RunError),
    /// An item whose configuration is malformed.
    Control(ControlError),
}

impl From<Truncated> for RecordFault {
    fn from(truncated: Truncated) -> Self {
        Self::Truncated(truncated)
    }
}

impl From<RunError> for RecordFault {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<ControlError> for RecordFault {
    fn from(error: ControlError) -> Self {
        Self::Control(error)
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, offset, fault } = self;
        write!(f, "log record {sequence}, byte {offset}: {fault}")
    }
}

impl core::error::Error for RecordError {}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(truncated) => truncated.fmt(f),
            Self::Magic { found } => write!(f, "no log record, it starts with {found:02x?}"),
            Self::Version { found } => {
                write!(f, "log record version {found}, expected {RECORD_VERSION}")
            }
            Self::TooLarge { found } => {
                write!(f, "a log record of {found} bytes, expected less than 4 GiB")
            }
            Self::RecordChecksum { stored, computed } => {
                write!(f, "record checksum {computed:#010x}, expected {stored:#010x}")
            }
            Self::ItemChecksum { stored, computed } => {
                write!(f, "item checksum {computed:#010x}, expected {stored:#010x}")
            }
            Self::ItemLength { found } => {
                write!(f, "the item says it has {found} bytes, less than a header")
            }
            Self::ItemKind { found } => write!(f, "item kind {found}, expected 1 to 7"),
            Self::Trailing { bytes } => write!(f, "the item has {bytes} bytes too many"),
            Self::Vote { flag, replica } => {
                write!(f, "a vote of presence {flag} for replica {replica}, expected 0 or 1")
            }
            Self::Run(error) => error.fmt(f),
            Self::Control(error) => error.fmt(f),
        }
    }
}

/// Lays out one record.
#[derive(Debug)]
pub struct RecordWriter {
    bytes: BytesMut,
    seed: u32,
}

impl RecordWriter {
    /// Starts the record `sequence` in `buffer`, whose content goes and whose memory is used.
    pub fn new(sequence: Sequence, mut buffer: BytesMut) -> Self {
        buffer.clear();
        buffer.put_slice(&MAGIC);
        buffer.put_u8(RECORD_VERSION);
        buffer.put_u32_le(0);
        Self { bytes: buffer, seed: seed(sequence) }
    }

    /// Appends an item and returns the byte of the record at which it starts, by which
    /// [`read_item`] finds it again. Takes [`crate::item_len`] bytes; commands are copied once,
    /// nothing is done per entry.
    ///
    /// # Panics
    /// If the record passes 4 GiB; the caller fills records up to its limit, which is far lower.
    pub fn push(&mut self, item: &GroupItem) -> u32 {
        let offset = u32::try_from(self.bytes.len()).expect("records are far below 4 GiB");
        stored_item::put_item(&mut self.bytes, self.seed, item);
        offset
    }

    /// How many bytes the record has so far, its header included.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no item was appended yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == RECORD_HEADER_BYTES
    }

    /// Seals the record: the value to store under its sequence number.
    pub fn finish(mut self) -> BytesMut {
        let crc = crc32c::crc32c_append(self.seed, &self.bytes[RECORD_HEADER_BYTES..]);
        self.bytes[4..RECORD_HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        self.bytes
    }
}

/// Iterates the items of a record in order, each with the byte at which it starts; ends after the
/// first error. Commands share the record's bytes.
#[derive(Clone, Debug)]
pub struct RecordReader {
    sequence: Sequence,
    bytes: Bytes,
    offset: usize,
}

impl RecordReader {
    /// Accepts the value stored under `sequence`, after comparing its checksum.
    ///
    /// # Errors
    /// The value is no record, of another version, damaged, or that of another sequence number.
    pub fn open(sequence: Sequence, bytes: Bytes) -> Result<Self, RecordError> {
        let (stored, seed) = header(sequence, &bytes)?;
        let failed = |fault| Err(RecordError { sequence, offset: 0, fault });
        if u32::try_from(bytes.len()).is_err() {
            return failed(RecordFault::TooLarge { found: bytes.len() });
        }
        let computed = crc32c::crc32c_append(seed, &bytes[RECORD_HEADER_BYTES..]);
        if computed != stored {
            return failed(RecordFault::RecordChecksum { stored, computed });
        }
        Ok(Self { sequence, bytes, offset: RECORD_HEADER_BYTES })
    }
}

impl Iterator for RecordReader {
    type Item = Result<(u32, GroupItem), RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        if offset >= self.bytes.len() {
            return None;
        }
        let read = stored_item::item_at(&self.bytes, offset, Check::Done);
        let (item, end) = match read {
            Ok(read) => read,
            Err(fault) => {
                self.offset = self.bytes.len();
                return Some(Err(RecordError { sequence: self.sequence, offset, fault }));
            }
        };
        self.offset = end;
        let offset = u32::try_from(offset).expect("open has compared the length with u32");
        Some(Ok((offset, item)))
    }
}

/// Reads the one item that starts at byte `offset` of the record `sequence`, after comparing the
/// item's checksum; the rest of the record is not looked at. Commands share the record's bytes.
///
/// # Errors
/// The item is damaged, belongs to another record, or none starts there. That it belongs to the
/// group, and holds the entries, that the caller looks for is for the caller to compare.
pub fn read_item(
    sequence: Sequence,
    record: &Bytes,
    offset: u32,
) -> Result<GroupItem, RecordError> {
    let (_, seed) = header(sequence, record)?;
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    stored_item::item_at(record, offset, Check::From(seed))
        .map(|(item, _)| item)
        .map_err(|fault| RecordError { sequence, offset, fault })
}

/// Reads a record's header; returns the checksum in it, and the seed of all its checksums.
fn header(sequence: Sequence, bytes: &Bytes) -> Result<(u32, u32), RecordError> {
    let failed = |fault| RecordError { sequence, offset: 0, fault };
    let mut reader = Reader::new(bytes);
    let found = reader.array::<3>().map_err(|error| failed(error.into()))?;
    if found != MAGIC {
        return Err(failed(RecordFault::Magic { found }));
    }
    let found = reader.u8().map_err(|error| failed(error.into()))?;
    if found != RECORD_VERSION {
        return Err(failed(RecordFault::Version { found }));
    }
    let stored = reader.u32().map_err(|error| failed(error.into()))?;
    Ok((stored, seed(sequence)))
}

/// What every checksum of a record starts from: its number, magic and version.
fn seed(sequence: Sequence) -> u32 {
    let seed = crc32c::crc32c(&sequence.0.to_le_bytes());
    let seed = crc32c::crc32c_append(seed, &MAGIC);
    crc32c::crc32c_append(seed, &[RECORD_VERSION])
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use raft_core::{Commands, Configuration, EntryRun, HardState, Replica, RunBody};
    use types::{Generation, GroupId, LogId, LogIndex, NodeId, ReplicaId, StoreId, Term};

    use super::*;
    use crate::item::Item;
    use crate::strategies::{self, hex};
    use crate::{item_len, split_item};

    fn write(sequence: Sequence, items: &[GroupItem]) -> (Vec<u32>, Bytes) {
        let mut writer = RecordWriter::new(sequence, BytesMut::new());
        let offsets = items.iter().map(|item| writer.push(item)).collect();
        (offsets, writer.finish().freeze())
    }

    fn read(sequence: Sequence, record: &Bytes) -> Result<Vec<(u32, GroupItem)>, RecordError> {
        RecordReader::open(sequence, record.clone())?.collect()
    }

    fn of_group_7(item: Item) -> GroupItem {
        GroupItem { group: GroupId(7), generation: Generation(2), item }
    }

    fn golden_run() -> EntryRun {
        let bytes = Bytes::from(hex("04000000 01 00 6869  04000000 01 00 686f"));
        let body = RunBody::Commands(Commands::parse(2, bytes).unwrap());
        EntryRun { first: LogIndex(5), term: Term(2), body }
    }

    fn golden_items() -> Vec<GroupItem> {
        let replica = Replica { id: ReplicaId(3), node: NodeId(11), store: StoreId(0xa1) };
        let configuration = Configuration::new(vec![replica], vec![], vec![]).unwrap();
        let base = LogId::new(Term(1), LogIndex(4));
        [
            Item::Create { replica: ReplicaId(3) },
            Item::HardState(HardState { term: Term(2), vote: Some(ReplicaId(3)) }),
            Item::HardState(HardState { term: Term(3), vote: None }),
            Item::Append(golden_run()),
            Item::Truncate { from: LogIndex(6) },
            Item::Compact { base, configuration: Arc::new(configuration) },
            Item::Moved(golden_run()),
            Item::Remove,
        ]
        .map(of_group_7)
        .to_vec()
    }

    const GOLDEN: &str = "4d524c0101470486\
        e241c012110000000102000000070000000000000003000000\
        ec074e6e1a0000000402000000070000000000000002000000000000000103000000\
        1cd9af041a0000000402000000070000000000000003000000000000000000000000\
        0d909774360000000202000000070000000000000001050000000000000002000000000000000200\
        0000100000000400000001006869040000000100686f\
        3359508415000000030200000007000000000000000600000000000000\
        1b1a9af7520000000502000000070000000000000004000000000000000100000000000000010100\
        000000000000030000000b00000000000000a1000000000000000000000000000000000000000000\
        00000000000000000000\
        00fccc55360000000702000000070000000000000001050000000000000002000000000000000200\
        0000100000000400000001006869040000000100686f\
        20e755ef0d00000006020000000700000000000000";

    #[test]
    fn record_has_its_golden_bytes() {
        let golden = Bytes::from(hex(GOLDEN));
        let (offsets, record) = write(Sequence(9), &golden_items());
        assert_eq!(record, golden);
        let items: Vec<_> = offsets.into_iter().zip(golden_items()).collect();
        assert_eq!(read(Sequence(9), &golden), Ok(items));
        assert_eq!(strategies::documented("record"), golden);
    }

    #[test]
    fn buffers_are_used_again_and_leave_nothing_behind() {
        let (_, fresh) = write(Sequence(4), &golden_items());
        let mut writer = RecordWriter::new(Sequence(4), BytesMut::from(&b"what was before"[..]));
        assert!(writer.is_empty());
        for item in golden_items() {
            let before = writer.bytes_len();
            let offset = writer.push(&item);
            assert_eq!((offset as usize, writer.bytes_len() - before), (before, item_len(&item)));
        }
        assert!(!writer.is_empty());
        assert_eq!(writer.finish(), fresh);
    }

    #[test]
    fn a_record_of_another_sequence_is_refused() {
        let (offsets, record) = write(Sequence(9), &golden_items());
        let whole = read(Sequence(8), &record).unwrap_err();
        assert!(matches!(whole.fault, RecordFault::RecordChecksum { .. }), "{whole}");
        let single = read_item(Sequence(8), &record, offsets[3]).unwrap_err();
        assert!(matches!(single.fault, RecordFault::ItemChecksum { .. }), "{single}");
        assert_eq!((single.sequence, single.offset), (Sequence(8), offsets[3] as usize));
    }

    #[test]
    fn commands_are_shared_with_the_record() {
        let (offsets, record) = write(Sequence(1), &golden_items());
        let item = read_item(Sequence(1), &record, offsets[3]).unwrap();
        let Item::Append(EntryRun { body: RunBody::Commands(commands), .. }) = item.item else {
            panic!("the fourth item is an append")
        };
        assert!(record.as_ptr_range().contains(&commands.bytes().as_ptr()));
    }

    #[test]
    fn what_is_no_record_is_refused_by_name() {
        let fault = |bytes: &[u8]| {
            let bytes = Bytes::copy_from_slice(bytes);
            RecordReader::open(Sequence(1), bytes).unwrap_err().fault
        };
        assert_eq!(fault(b"XYZ"), RecordFault::Magic { found: *b"XYZ" });
        assert_eq!(fault(b"MRL\x02"), RecordFault::Version { found: 2 });
        let truncated = Truncated { offset: 4, wanted: 4, found: 2 };
        assert_eq!(fault(b"MRL\x01ab"), RecordFault::Truncated(truncated));
        let checksum = RecordReader::open(Sequence(1), Bytes::from_static(b"MRL\x01abcd"));
        let shown = checksum.unwrap_err().to_string();
        assert!(shown.contains("record 1, byte 0: record checksum"), "{shown}");
    }

    /// Seals bytes of our choice, as only a defective writer would.
    fn sealed(items: &[u8]) -> Bytes {
        let mut writer = RecordWriter::new(Sequence(1), BytesMut::new());
        writer.bytes.put_slice(items);
        writer.finish().freeze()
    }

    #[test]
    fn malformed_items_are_refused_by_name_once() {
        let fault = |digits: &str| {
            let record = sealed(&hex(digits));
            let mut reader = RecordReader::open(Sequence(1), record).unwrap();
            let error = reader.next().unwrap().unwrap_err();
            assert!(reader.next().is_none(), "reading ends after an error");
            assert_eq!(error.offset, RECORD_HEADER_BYTES);
            error.fault
        };
        let short = fault("00000000 0c000000 06 01000000 0100000000000000");
        assert_eq!(short, RecordFault::ItemLength { found: 12 });
        let kind = fault("00000000 0d000000 09 01000000 0100000000000000");
        assert_eq!(kind, RecordFault::ItemKind { found: 9 });
        let trailing = fault("00000000 0f000000 06 01000000 0100000000000000 0000");
        assert_eq!(trailing, RecordFault::Trailing { bytes: 2 });
        let vote =
            fault("00000000 1a000000 04 01000000 0100000000000000 0100000000000000 00 05000000");
        assert_eq!(vote, RecordFault::Vote { flag: 0, replica: 5 });
        let beyond = Truncated { offset: 16, wanted: 14, found: 13 };
        let long = fault("00000000 0e000000 06 01000000 0100000000000000");
        assert_eq!(long, RecordFault::Truncated(beyond));
    }

    #[test]
    fn large_runs_are_cut_between_entries_and_other_items_never() {
        let item = of_group_7(Item::Moved(golden_run()));
        assert_eq!(split_item(item.clone(), item_len(&item)), (item.clone(), None));
        let (front, rest) = split_item(item.clone(), item_len(&item) - 1);
        let parts = [front, rest.unwrap()];
        for (part, index) in parts.iter().zip([5, 6]) {
            let Item::Moved(run) = &part.item else { panic!("a moved run stays one") };
            assert_eq!((run.first, run.last()), (LogIndex(index), LogIndex(index)));
        }
        let (alone, none) = split_item(parts[0].clone(), 0);
        assert_eq!((&alone, none), (&parts[0], None));
        let remove = of_group_7(Item::Remove);
        assert_eq!(split_item(remove.clone(), 0), (remove, None));
    }

    prop_compose! {
        fn item()(
            group in any::<u64>(), generation in any::<u32>(), which in 0..7u8,
            run in strategies::run(), configuration in strategies::configuration(),
            number in any::<u64>(), term in any::<u64>(), replica in any::<u32>(),
        ) -> GroupItem {
            let base = LogId::new(Term(term), LogIndex(number));
            let vote = (number % 2 == 0).then_some(ReplicaId(replica));
            let item = match which {
                0 => Item::Create { replica: ReplicaId(replica) },
                1 => Item::Append(run),
                2 => Item::Truncate { from: LogIndex(number) },
                3 => Item::HardState(HardState { term: Term(term), vote }),
                4 => Item::Compact { base, configuration: configuration.into() },
                5 => Item::Remove,
                _ => Item::Moved(run),
            };
            GroupItem { group: GroupId(group), generation: Generation(generation), item }
        }
    }

    proptest! {
        #[test]
        fn records_round_trip(
            sequence in any::<u64>(), items in prop::collection::vec(item(), 0..8)
        ) {
            let sequence = Sequence(sequence);
            let (offsets, record) = write(sequence, &items);
            let expected: usize = items.iter().map(item_len).sum();
            prop_assert_eq!(record.len(), RECORD_HEADER_BYTES + expected);
            for (offset, item) in offsets.iter().zip(&items) {
                prop_assert_eq!(&read_item(sequence, &record, *offset), &Ok(item.clone()));
            }
            let items: Vec<_> = offsets.into_iter().zip(items).collect();
            prop_assert_eq!(read(sequence, &record), Ok(items));
        }

        #[test]
        fn cut_items_fit_and_lose_no_entry(item in item(), bytes_max in 0..400usize) {
            let (mut commands, mut indexes) = (Vec::new(), Vec::new());
            let mut rest = Some(item.clone());
            while let Some(whole) = rest {
                let (front, behind) = split_item(whole, bytes_max);
                rest = behind;
                let (Item::Append(run) | Item::Moved(run)) = &front.item else {
                    prop_assert_eq!((&front, &rest), (&item, &None));
                    return Ok(());
                };
                prop_assert!(item_len(&front) <= bytes_max || run.count() == 1);
                indexes.extend(run.first.0..=run.last().0);
                if let RunBody::Commands(part) = &run.body {
                    commands.extend_from_slice(part.bytes());
                }
            }
            let (Item::Append(run) | Item::Moved(run)) = &item.item else { unreachable!() };
            prop_assert_eq!(indexes, (run.first.0..=run.last().0).collect::<Vec<_>>());
            if let RunBody::Commands(whole) = &run.body {
                prop_assert_eq!(&commands, whole.bytes());
            }
        }

        #[test]
        fn damaged_records_are_refused(
            items in prop::collection::vec(item(), 1..5), damage in strategies::damage(),
            chosen in any::<prop::sample::Index>(),
        ) {
            let (offsets, record) = write(Sequence(3), &items);
            let damaged = Bytes::from(damage.applied_to(record.to_vec()));
            prop_assume!(damaged != record);
            prop_assert!(read(Sequence(3), &damaged).is_err());
            // A single item is either untouched by the damage or refused.
            let chosen = chosen.index(items.len());
            if let Ok(item) = read_item(Sequence(3), &damaged, offsets[chosen]) {
                prop_assert_eq!(&item, &items[chosen]);
            }
        }

        #[test]
        fn random_items_are_refused_or_read_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200), offset in any::<u32>(),
            kind in 0..9u8, run_kind in 0..5u8,
        ) {
            let record = sealed(&bytes);
            for read in RecordReader::open(Sequence(1), record.clone()).unwrap() {
                let _ = read;
            }
            let _ = read_item(Sequence(1), &record, offset % 300);
            // The same bytes as the payload of an otherwise sound item.
            let length = u32::try_from(13 + 1 + bytes.len()).unwrap().to_le_bytes();
            let item = [&[0; 4][..], &length, &[kind], &[0; 12], &[run_kind], &bytes].concat();
            for (_, item) in RecordReader::open(Sequence(1), sealed(&item)).unwrap().flatten() {
                prop_assert_eq!(item_len(&item), 8 + 13 + 1 + bytes.len());
            }
        }
    }
}
