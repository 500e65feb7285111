//! The bytes of one item of a log record.
//!
//! ```text
//! crc32c u32 | length u32 | kind u8 | generation u32 | group u64 | payload
//! ```
//! `length` counts everything after itself. The checksum starts from the record's (sequence,
//! version), so that an item of another record never passes, and covers everything after itself:
//! length, kind, generation, group, and with the payload first index, term and entries.

use alloc::sync::Arc;

use bytes::BufMut;
use bytes::{Bytes, BytesMut};
use raft_core::{EntryRun, HardState, RunBody};
use types::{Generation, GroupId, LogId, LogIndex, ReplicaId, Term};

use crate::control;
use crate::item::{GroupItem, Item};
use crate::reader::Reader;
use crate::record::RecordFault;
use crate::run::{self, RUN_HEADER_BYTES};

/// Bytes before an item's payload.
const ITEM_HEADER_BYTES: usize = 4 + 4 + 1 + 4 + 8;
/// What `length` says of an item without payload.
const LENGTH_MIN: usize = ITEM_HEADER_BYTES - 8;

const KIND_CREATE: u8 = 1;
const KIND_APPEND: u8 = 2;
const KIND_TRUNCATE: u8 = 3;
const KIND_HARD_STATE: u8 = 4;
const KIND_COMPACT: u8 = 5;
const KIND_REMOVE: u8 = 6;
const KIND_MOVED: u8 = 7;

/// How many bytes an item takes in a record, its header included. Costs nothing per entry.
pub fn item_len(item: &GroupItem) -> usize {
    ITEM_HEADER_BYTES
        + match &item.item {
            Item::Create { .. } => 4,
            Item::Append(run) | Item::Moved(run) => run::run_len(run),
            Item::Truncate { .. } => 8,
            Item::HardState(_) => 8 + 1 + 4,
            Item::Compact { configuration, .. } => 16 + control::configuration_len(configuration),
            Item::Remove => 0,
        }
}

/// Cuts an item in two so that the first part takes at most `bytes_max` bytes in a record.
///
/// Both parts, applied one after the other, do what the whole does. Only runs of commands can be
/// cut, and only between entries: the first part has at least one entry, however large, and any
/// other item is returned whole. So the caller checks [`item_len`] of the first part where
/// `bytes_max` is what is left in a record, and gives an item that is larger than a whole record a
/// record of its own. Shares the commands' bytes; costs a walk over the entries.
pub fn split_item(item: GroupItem, bytes_max: usize) -> (GroupItem, Option<GroupItem>) {
    let (Item::Append(run) | Item::Moved(run)) = &item.item else {
        return (item, None);
    };
    let RunBody::Commands(commands) = &run.body else {
        return (item, None);
    };
    let overhead = ITEM_HEADER_BYTES + RUN_HEADER_BYTES;
    let count = commands.count_within(bytes_max.saturating_sub(overhead));
    let middle = run.first.plus(u64::from(count));
    let Some(rest) = run.slice(middle, run.last()) else {
        return (item, None);
    };
    let front = run.slice(run.first, middle.prev()).expect("at least one entry is in front");
    let with = |part: EntryRun| GroupItem {
        group: item.group,
        generation: item.generation,
        item: if matches!(item.item, Item::Moved(_)) {
            Item::Moved(part)
        } else {
            Item::Append(part)
        },
    };
    (with(front), Some(with(rest)))
}

/// Appends an item to a record whose checksums start from `seed`.
pub(crate) fn put_item(out: &mut BytesMut, seed: u32, item: &GroupItem) {
    let start = out.len();
    let len = item_len(item);
    out.reserve(len);
    // At once, since a commit has thousands of items, and every part costs a look at the room left.
    let mut header = [0; ITEM_HEADER_BYTES];
    let length = u32::try_from(len - 8).expect("items are limited far below 4 GiB");
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8] = kind(&item.item);
    header[9..13].copy_from_slice(&item.generation.0.to_le_bytes());
    header[13..].copy_from_slice(&item.group.0.to_le_bytes());
    out.put_slice(&header);
    match &item.item {
        Item::Create { replica } => out.put_u32_le(replica.0),
        Item::Append(run) | Item::Moved(run) => run::put_run(out, run),
        Item::Truncate { from } => out.put_u64_le(from.0),
        Item::HardState(HardState { term, vote }) => {
            out.put_u64_le(term.0);
            out.put_u8(u8::from(vote.is_some()));
            out.put_u32_le(vote.map_or(0, |replica| replica.0));
        }
        Item::Compact { base, configuration } => {
            out.put_u64_le(base.index.0);
            out.put_u64_le(base.term.0);
            out.put_slice(&control::encode_configuration(configuration));
        }
        Item::Remove => {}
    }
    assert_eq!(out.len() - start, len, "the size function is exact");
    let crc = crc32c::crc32c_append(seed, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Whether the reader compares an item's own checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Check {
    /// It does, from this seed.
    From(u32),
    /// It does not: the record's checksum, which covers the same bytes, was just compared.
    Done,
}

/// Reads the item that starts at `offset`; returns it and where it ends.
pub(crate) fn item_at(
    record: &Bytes,
    offset: usize,
    check: Check,
) -> Result<(GroupItem, usize), RecordFault> {
    let mut reader = Reader::at(record, offset);
    let stored = reader.u32()?;
    let covered = reader.offset();
    let length = reader.u32()?;
    let length_bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if length_bytes < LENGTH_MIN {
        return Err(RecordFault::ItemLength { found: length });
    }
    let mut body = reader.part(length_bytes)?;
    let end = reader.offset();
    if let Check::From(seed) = check {
        let computed = crc32c::crc32c_append(seed, &record[covered..end]);
        if computed != stored {
            return Err(RecordFault::ItemChecksum { stored, computed });
        }
    }
    let kind = body.u8()?;
    let generation = Generation(body.u32()?);
    let group = GroupId(body.u64()?);
    let item = payload(kind, &mut body)?;
    if body.remaining() > 0 {
        return Err(RecordFault::Trailing { bytes: body.remaining() });
    }
    Ok((GroupItem { group, generation, item }, end))
}

/// Reads what follows an item's header.
fn payload(kind: u8, body: &mut Reader<'_>) -> Result<Item, RecordFault> {
    Ok(match kind {
        KIND_CREATE => Item::Create { replica: ReplicaId(body.u32()?) },
        // The item's length, checked against the record's, is all the limit that a run needs.
        KIND_APPEND => Item::Append(run::read_run(body, usize::MAX)?),
        KIND_MOVED => Item::Moved(run::read_run(body, usize::MAX)?),
        KIND_TRUNCATE => Item::Truncate { from: LogIndex(body.u64()?) },
        KIND_HARD_STATE => {
            let term = Term(body.u64()?);
            let vote = match (body.u8()?, body.u32()?) {
                (0, 0) => None,
                (1, replica) => Some(ReplicaId(replica)),
                (flag, replica) => return Err(RecordFault::Vote { flag, replica }),
            };
            Item::HardState(HardState { term, vote })
        }
        KIND_COMPACT => {
            let index = LogIndex(body.u64()?);
            let base = LogId::new(Term(body.u64()?), index);
            let configuration = body.part(body.remaining())?;
            let configuration = Arc::new(control::decode_configuration(configuration.rest())?);
            Item::Compact { base, configuration }
        }
        KIND_REMOVE => Item::Remove,
        found => return Err(RecordFault::ItemKind { found }),
    })
}

fn kind(item: &Item) -> u8 {
    match item {
        Item::Create { .. } => KIND_CREATE,
        Item::Append(_) => KIND_APPEND,
        Item::Truncate { .. } => KIND_TRUNCATE,
        Item::HardState(_) => KIND_HARD_STATE,
        Item::Compact { .. } => KIND_COMPACT,
        Item::Remove => KIND_REMOVE,
        Item::Moved(_) => KIND_MOVED,
    }
}
