//! The journal of a store: the records of its newest commits, in blocks, before they are rows.
//!
//! ```text
//! header  magic "MRJ" | version u8 | crc32c u32 | journal bytes u64
//! block   magic "MRB" | version u8 | crc32c u32 | length u32 | lap u64 | first sequence u64 | count u32
//!         | records
//! record  length u32 | value
//! ```
//! A block is one commit: the checksum covers all of it, so that it is there whole or not at all.
//! Its records have rising sequence numbers without a gap. Its lap tells which of the commits that
//! made rows of the journal it came after. Blocks begin at multiples of [`BLOCK_UNIT_BYTES`], so that
//! writing one never touches what another has on the disk.

use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::reader::{Reader, Truncated};
use crate::record::Sequence;

/// The version byte of the journals that this crate writes, and the only one it reads. The header's
/// is that of all blocks, so that a block of another version is something older.
pub const JOURNAL_VERSION: u8 = 1;

/// What the beginnings of blocks, and the length of a journal, are multiples of.
pub const BLOCK_UNIT_BYTES: usize = 4096;

const HEADER_MAGIC: [u8; 3] = *b"MRJ";
const BLOCK_MAGIC: [u8; 3] = *b"MRB";
/// Magic, version and checksum, which the checksum does not cover.
const PREFIX_BYTES: usize = 8;
/// The same and length, lap, first sequence and count.
const BLOCK_HEADER_BYTES: usize = COUNT_AT + LENGTH_BYTES;
/// Where the number of records stands.
const COUNT_AT: usize = PREFIX_BYTES + LENGTH_BYTES + 8 + 8;
const LENGTH_BYTES: usize = 4;

/// One commit of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// How often rows were made of the journal before it.
    pub lap: u64,
    /// The number of the first record; the others follow without a gap.
    pub first: Sequence,
    /// The records, as [`crate::RecordReader`] reads them; at least one.
    pub records: Vec<Bytes>,
    /// How many bytes of the journal it takes: a multiple of [`BLOCK_UNIT_BYTES`].
    pub bytes_len: usize,
}

/// The first bytes of a store with a journal of that many bytes, these included.
pub fn encode_journal_header(journal_bytes: u64) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_slice(&HEADER_MAGIC);
    bytes.put_u8(JOURNAL_VERSION);
    bytes.put_u32_le(header_checksum(JOURNAL_VERSION, journal_bytes));
    bytes.put_u64_le(journal_bytes);
    bytes.freeze()
}

/// Reads the first bytes of a store: how many bytes the journal has. What follows them is not
/// looked at.
///
/// # Errors
/// Names the first thing wrong: the store was made by a later program, or is damaged.
pub fn decode_journal_header(bytes: &Bytes) -> Result<u64, JournalHeaderError> {
    let mut reader = Reader::new(bytes);
    let found = reader.array()?;
    if found != HEADER_MAGIC {
        return Err(JournalHeaderError::Magic { found });
    }
    let version = reader.u8()?;
    let stored = reader.u32()?;
    let journal_bytes = reader.u64()?;
    let computed = header_checksum(version, journal_bytes);
    if computed != stored {
        return Err(JournalHeaderError::Checksum { stored, computed });
    }
    // Whole, and of a program that knows more.
    if version != JOURNAL_VERSION {
        return Err(JournalHeaderError::Version { found: version });
    }
    Ok(journal_bytes)
}

/// Covers the version, in every version to come: one that has changed is damage, and none that this
/// program does not know.
fn header_checksum(version: u8, journal_bytes: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[version]), &journal_bytes.to_le_bytes())
}

/// Why the first bytes of a store are not those of a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JournalHeaderError {
    /// The bytes end too early.
    Truncated(Truncated),
    /// Something else begins here.
    Magic {
        /// The first bytes; "MRJ" was expected.
        found: [u8; 3],
    },
    /// A version that this program does not know.
    Version {
        /// The version found; [`JOURNAL_VERSION`] was expected.
        found: u8,
    },
    /// The bytes have changed.
    Checksum {
        /// The checksum in them.
        stored: u32,
        /// The checksum of what is there.
        computed: u32,
    },
}

impl From<Truncated> for JournalHeaderError {
    fn from(truncated: Truncated) -> Self {
        Self::Truncated(truncated)
    }
}

impl fmt::Display for JournalHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(truncated) => truncated.fmt(f),
            Self::Magic { found } => write!(f, "no journal, it starts with {found:02x?}"),
            Self::Version { found } => {
                write!(f, "journal version {found}, expected {JOURNAL_VERSION}")
            }
            Self::Checksum { stored, computed } => {
                write!(f, "journal header checksum {computed:#010x}, expected {stored:#010x}")
            }
        }
    }
}

impl core::error::Error for JournalHeaderError {}

/// How many bytes of the journal a block takes whose records have those lengths.
pub fn block_len(records: impl IntoIterator<Item = usize>) -> usize {
    let records: usize = records.into_iter().map(|len| LENGTH_BYTES + len).sum();
    (BLOCK_HEADER_BYTES + records).next_multiple_of(BLOCK_UNIT_BYTES)
}

/// Lays out a block in `buffer`, whose content goes and whose memory is used; the rest of its last
/// unit is zeros.
///
/// # Panics
/// If there is no record, or they pass 4 GiB; the caller fills a journal, which is far smaller.
pub fn encode_block<'a>(
    buffer: &mut BytesMut,
    lap: u64,
    first: Sequence,
    records: impl IntoIterator<Item = &'a [u8]>,
) {
    buffer.clear();
    buffer.put_slice(&BLOCK_MAGIC);
    buffer.put_u8(JOURNAL_VERSION);
    buffer.put_bytes(0, LENGTH_BYTES + LENGTH_BYTES);
    buffer.put_u64_le(lap);
    buffer.put_u64_le(first.0);
    buffer.put_u32_le(0);
    let mut count = 0_u32;
    for record in records {
        buffer.put_u32_le(length(record.len()));
        buffer.put_slice(record);
        count += 1;
    }
    assert!(count > 0, "a block has a record");
    let len = buffer.len();
    buffer[PREFIX_BYTES..][..LENGTH_BYTES].copy_from_slice(&length(len).to_le_bytes());
    buffer[COUNT_AT..][..LENGTH_BYTES].copy_from_slice(&count.to_le_bytes());
    let checksum = crc32c::crc32c(&buffer[PREFIX_BYTES..]).to_le_bytes();
    buffer[PREFIX_BYTES - 4..PREFIX_BYTES].copy_from_slice(&checksum);
    buffer.resize(len.next_multiple_of(BLOCK_UNIT_BYTES), 0);
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("blocks are far below 4 GiB")
}

/// Reads the block at the beginning of `bytes`, which go on behind it; none if there is none: zeros,
/// something older, one that was never finished, or one that has changed since it was written.
pub fn decode_block(bytes: &Bytes) -> Option<Block> {
    let mut reader = Reader::new(bytes);
    if reader.array().ok()? != BLOCK_MAGIC || reader.u8().ok()? != JOURNAL_VERSION {
        return None;
    }
    let checksum = reader.u32().ok()?;
    let len = usize::try_from(reader.u32().ok()?).ok()?;
    if crc32c::crc32c(bytes.get(PREFIX_BYTES..len)?) != checksum {
        return None;
    }
    let lap = reader.u64().ok()?;
    let first = Sequence(reader.u64().ok()?);
    let count = reader.u32().ok()?;
    let mut at = BLOCK_HEADER_BYTES;
    let mut records = Vec::new();
    for _ in 0..count {
        let behind = at.checked_add(LENGTH_BYTES)?;
        let field = bytes.get(at..behind)?.try_into().ok()?;
        at = behind.checked_add(usize::try_from(u32::from_le_bytes(field)).ok()?)?;
        if at > len {
            return None;
        }
        records.push(bytes.slice(behind..at));
    }
    let is_whole = at == len && count > 0 && first.0.checked_add(u64::from(count)).is_some();
    let bytes_len = len.next_multiple_of(BLOCK_UNIT_BYTES);
    is_whole.then_some(Block { lap, first, records, bytes_len })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::strategies::{damage, documented};

    fn encode(lap: u64, first: u64, records: &[Vec<u8>]) -> Bytes {
        let mut buffer = BytesMut::from(&b"what was here before"[..]);
        encode_block(&mut buffer, lap, Sequence(first), records.iter().map(|record| &record[..]));
        assert_eq!(buffer.len(), block_len(records.iter().map(Vec::len)));
        buffer.freeze()
    }

    #[test]
    fn header_and_block_have_their_golden_bytes() {
        let header = encode_journal_header(1 << 20);
        assert_eq!(documented("journal header"), header);
        assert_eq!(decode_journal_header(&header), Ok(1 << 20));
        let block = encode(3, 9, &[b"one".to_vec(), b"two".to_vec()]);
        let golden = documented("journal block");
        assert_eq!(golden, block[..golden.len()]);
        assert!(block[golden.len()..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_no_header_is_named() {
        let header = encode_journal_header(1 << 20);
        let refused = |at: usize, with: u8| {
            let mut changed = header.to_vec();
            changed[at] = with;
            decode_journal_header(&Bytes::from(changed)).unwrap_err().to_string()
        };
        assert_eq!(refused(0, b'X'), "no journal, it starts with [58, 52, 4a]");
        let mut later = header.to_vec();
        later[3] = 2;
        later[4..8].copy_from_slice(&header_checksum(2, 1 << 20).to_le_bytes());
        let error = decode_journal_header(&Bytes::from(later)).unwrap_err();
        assert_eq!(error.to_string(), "journal version 2, expected 1");
        for at in 3..header.len() {
            let text = refused(at, header[at] ^ 1);
            assert!(text.starts_with("journal header checksum 0x"), "{text}");
        }
        for len in 0..header.len() {
            let error = decode_journal_header(&header.slice(..len)).unwrap_err();
            assert!(matches!(error, JournalHeaderError::Truncated(_)), "{error}");
        }
    }

    #[test]
    #[should_panic(expected = "a block has a record")]
    fn a_block_without_records_is_refused() {
        encode(1, 1, &[]);
    }

    proptest! {
        #[test]
        fn a_block_reads_as_it_was_written(
            lap: u64,
            first in 0..u64::MAX - 9,
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..9),
            behind in prop::collection::vec(any::<u8>(), 0..99),
        ) {
            let block = encode(lap, first, &records);
            let bytes = [&block[..], &behind].concat();
            let records = records.into_iter().map(Bytes::from).collect();
            let expected = Block { lap, first: Sequence(first), records, bytes_len: block.len() };
            prop_assert_eq!(decode_block(&Bytes::from(bytes)), Some(expected));
        }

        #[test]
        fn a_block_that_changed_is_none(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), 1..5),
            damage in damage(),
        ) {
            let block = encode(1, 7, &records);
            let whole = decode_block(&block);
            let changed = Bytes::from(damage.applied_to(block.to_vec()));
            let found = decode_block(&changed);
            // The zeros at its end are nobody's.
            prop_assert!(found.is_none() || found == whole);
        }

        #[test]
        fn any_bytes_are_a_block_or_none(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            decode_block(&Bytes::from(bytes.clone()));
            bytes.splice(0..0, *b"MRB\x01");
            decode_block(&Bytes::from(bytes));
        }
    }

    #[test]
    fn counts_and_lengths_that_lie_are_refused() {
        let lie = |at: usize, with: u32| {
            let mut block = encode(1, 7, &[vec![1; 10], vec![2; 10]]).to_vec();
            block[at..at + 4].copy_from_slice(&with.to_le_bytes());
            let len = u32::from_le_bytes(block[8..12].try_into().unwrap()) as usize;
            let checksum = crc32c::crc32c(&block[PREFIX_BYTES..len.clamp(8, 4096)]);
            block[4..8].copy_from_slice(&checksum.to_le_bytes());
            decode_block(&Bytes::from(block))
        };
        assert!(lie(COUNT_AT, 2).is_some(), "two records");
        for with in [0, 7, 59, 61, u32::MAX] {
            assert_eq!(lie(PREFIX_BYTES, with), None, "{with} bytes");
        }
        for with in [0, 1, 3] {
            assert_eq!(lie(COUNT_AT, with), None, "{with} records");
        }
        for with in [9, 11, u32::MAX] {
            assert_eq!(lie(BLOCK_HEADER_BYTES, with), None, "a record of {with} bytes");
        }
    }
}
