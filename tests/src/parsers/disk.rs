//! What is read back from disk.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use codec::{
    Checkpoint, CheckpointState, GroupItem, Item, PAGE_HEADER_BYTES, PageWriter,
    RECORD_HEADER_BYTES, RecordReader, RecordWriter, Sequence, decode_block, decode_configuration,
    encode_block, encode_configuration, read_item, read_page,
};
use raft_core::{
    CommandsBuilder, Configuration, EntryHeader, EntryRun, HardState, Replica, RunBody,
};
use types::{Generation, GroupId, LogId, LogIndex, NodeId, ReplicaId, StoreId, Term};

use super::{Target, is_read};

pub(super) const BLOCK: Target =
    Target { name: "block", run: block, seeds: block_seeds, memory_max: Some(several_times) };
pub(super) const CONFIGURATION: Target = Target {
    name: "configuration",
    run: read_configuration,
    seeds: configuration_seeds,
    memory_max: Some(several_times),
};
pub(super) const PAGE: Target =
    Target { name: "page", run: page, seeds: page_seeds, memory_max: Some(several_times) };
pub(super) const RECORD: Target =
    Target { name: "record", run: record, seeds: record_seeds, memory_max: Some(several_times) };

/// Under which number records and pages are read.
const NUMBER: u64 = 9;
/// Bytes of an item before its checksummed part.
const ITEM_CHECKSUM_BYTES: usize = 4;
/// Bytes of an item's checksum and length.
const ITEM_HEADER_BYTES: usize = 8;
/// Where a block, record or page has its checksum.
const CHECKSUM_AT: std::ops::Range<usize> = 4..8;

fn several_times(bytes: usize) -> usize {
    12 * bytes + 16 * 1024
}

fn block(bytes: &[u8]) -> bool {
    let is_accepted = read_block(bytes);
    let mut sealed = bytes.to_vec();
    let len = bytes.get(CHECKSUM_AT.end..CHECKSUM_AT.end + 4).and_then(|len| len.try_into().ok());
    let len = len.and_then(|len| usize::try_from(u32::from_le_bytes(len)).ok());
    if let Some(covered) = len.and_then(|len| bytes.get(CHECKSUM_AT.end..len)) {
        sealed[CHECKSUM_AT].copy_from_slice(&crc32c::crc32c(covered).to_le_bytes());
    }
    read_block(&sealed) || is_accepted
}

fn read_block(bytes: &[u8]) -> bool {
    let Some(read) = decode_block(&Bytes::copy_from_slice(bytes)) else { return false };
    let mut again = BytesMut::new();
    encode_block(&mut again, read.lap, read.first, read.records.iter().map(|record| &record[..]));
    assert_eq!(again.len(), read.bytes_len);
    // What follows a block is nobody's.
    let len = again.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    assert_eq!(again[..len], bytes[..len], "what is read is what is written");
    true
}

fn block_seeds() -> Vec<Vec<u8>> {
    let block = |records: &[&[u8]]| {
        let mut bytes = BytesMut::new();
        encode_block(&mut bytes, 3, Sequence(NUMBER), records.iter().copied());
        let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes[..len].to_vec()
    };
    vec![block(&[b"one"]), block(&[b"one", b"and another", b"!"])]
}

fn configuration() -> Arc<Configuration> {
    let replica = |id: u32| Replica {
        id: ReplicaId(id),
        node: NodeId(u64::from(id)),
        store: StoreId(u128::from(id)),
    };
    let voters = (1..=3).map(replica).collect();
    let configuration = Configuration::new(voters, vec![], vec![replica(4)]);
    Arc::new(configuration.expect("three voters and a learner are legal"))
}

fn read_configuration(bytes: &[u8]) -> bool {
    is_read(decode_configuration(bytes).map(|read| {
        assert_eq!(encode_configuration(&read), bytes, "one value, one encoding");
    }))
}

fn configuration_seeds() -> Vec<Vec<u8>> {
    vec![encode_configuration(&configuration()), encode_configuration(&Configuration::empty())]
}

fn record(bytes: &[u8]) -> bool {
    let is_accepted = read_record(bytes);
    let mut sealed = bytes.to_vec();
    seal_record(&mut sealed);
    read_record(&sealed) || is_accepted
}

/// Whether record and items were read to the end.
fn read_record(bytes: &[u8]) -> bool {
    let bytes = Bytes::copy_from_slice(bytes);
    let sequence = Sequence(NUMBER);
    // An item may be asked for wherever an index points.
    for offset in [0, 8, 9, u32::MAX] {
        let _ = read_item(sequence, &bytes, offset);
    }
    let reader = match RecordReader::open(sequence, bytes.clone()) {
        Ok(reader) => reader,
        Err(error) => return is_read::<()>(Err(error)),
    };
    let mut writer = RecordWriter::new(sequence, BytesMut::new());
    for read in reader {
        match read {
            Ok((offset, item)) => {
                assert_eq!(offset, writer.push(&item), "an item stands where it is written");
                // The reader of a whole record trusts the record's checksum, this one the item's.
                let alone = read_item(sequence, &bytes, offset);
                assert!(alone.is_err() || alone.is_ok_and(|alone| alone == item));
            }
            Err(error) => return is_read::<()>(Err(error)),
        }
    }
    true
}

/// Makes the checksums of a record and its items right, as far as their lengths reach.
fn seal_record(bytes: &mut [u8]) {
    if bytes.len() < RECORD_HEADER_BYTES {
        return;
    }
    let seed = crc32c::crc32c_append(crc32c::crc32c(&NUMBER.to_le_bytes()), &bytes[..4]);
    let mut at = RECORD_HEADER_BYTES;
    while let Some(header) = bytes.get(at..at + ITEM_HEADER_BYTES) {
        let length = header[ITEM_CHECKSUM_BYTES..].try_into().expect("four bytes");
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        let end = at.saturating_add(ITEM_HEADER_BYTES).saturating_add(length).min(bytes.len());
        let crc = crc32c::crc32c_append(seed, &bytes[at + ITEM_CHECKSUM_BYTES..end]);
        bytes[at..at + ITEM_CHECKSUM_BYTES].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
    let crc = crc32c::crc32c_append(seed, &bytes[RECORD_HEADER_BYTES..]);
    bytes[CHECKSUM_AT].copy_from_slice(&crc.to_le_bytes());
}

fn record_seeds() -> Vec<Vec<u8>> {
    let mut builder = CommandsBuilder::default();
    builder.push(EntryHeader::default(), b"one");
    builder.push(EntryHeader::default(), b"two");
    let body = RunBody::Commands(builder.take().expect("two were pushed"));
    let run = EntryRun { first: LogIndex(5), term: Term(2), body };
    let base = LogId::new(Term(1), LogIndex(4));
    let items = [
        Item::Create { replica: ReplicaId(3) },
        Item::HardState(HardState { term: Term(2), vote: Some(ReplicaId(3)) }),
        Item::Append(run.clone()),
        Item::Truncate { from: LogIndex(6) },
        Item::Compact { base, configuration: configuration() },
        Item::Moved(run),
        Item::Remove,
    ];
    let mut writer = RecordWriter::new(Sequence(NUMBER), BytesMut::new());
    for item in items {
        writer.push(&GroupItem { group: GroupId(7), generation: Generation(2), item });
    }
    vec![writer.finish().to_vec()]
}

fn page(bytes: &[u8]) -> bool {
    let is_accepted = read_checkpoints(bytes);
    let mut sealed = bytes.to_vec();
    if sealed.len() >= PAGE_HEADER_BYTES {
        let seed = crc32c::crc32c_append(crc32c::crc32c(&NUMBER.to_le_bytes()), &sealed[..4]);
        let crc = crc32c::crc32c_append(seed, &sealed[PAGE_HEADER_BYTES..]);
        sealed[CHECKSUM_AT].copy_from_slice(&crc.to_le_bytes());
    }
    read_checkpoints(&sealed) || is_accepted
}

fn read_checkpoints(bytes: &[u8]) -> bool {
    let read = read_page(NUMBER, &Bytes::copy_from_slice(bytes));
    is_read(read.map(|checkpoints| {
        let mut writer = PageWriter::new(NUMBER, BytesMut::new());
        checkpoints.iter().for_each(|checkpoint| writer.push(checkpoint));
        assert_eq!(writer.finish(), bytes, "what is read is what is written");
    }))
}

fn page_seeds() -> Vec<Vec<u8>> {
    let state = CheckpointState {
        replica: ReplicaId(3),
        hard_state: HardState { term: Term(5), vote: None },
        base: LogId::new(Term(2), LogIndex(4)),
        base_configuration: configuration(),
        last: LogIndex(8),
        terms: vec![LogId::new(Term(2), LogIndex(5)), LogId::new(Term(5), LogIndex(7))],
    };
    let checkpoint = |group: u64, state: Option<CheckpointState>| Checkpoint {
        group: GroupId(group),
        generation: Generation(2),
        upto: Sequence(9),
        state,
    };
    let mut writer = PageWriter::new(NUMBER, BytesMut::new());
    writer.push(&checkpoint(7, Some(state)));
    writer.push(&checkpoint(8, None));
    vec![writer.finish().to_vec()]
}
