//! Checkpoint pages: the values that storage keeps of groups, so that old records may go.
//!
//! ```text
//! page:       magic "MRP" | version u8 | crc32c u32 | checkpoints
//! checkpoint: group u64 | generation u32 | upto u64 | held u8 | state, if held is 1
//! state:      replica u32 | term u64 | voted u8 | vote u32 | base index u64 | base term u64
//!             | last u64 | terms u32 | (index u64, term u64) of each | length u32 | configuration
//! ```
//! The checksum starts from the page's number, as a record's does from its sequence. The
//! configuration is a control record of `length` bytes, the one in force at the base.
//!
//! Not in it: where the entries lie. Whoever reads the records finds an entry by its (index, term),
//! which `terms` and `last` tell to be in the log or not.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use raft_core::{Configuration, HardState};
use types::{Generation, GroupId, LogId, LogIndex, ReplicaId, Term};

use crate::control::{self, ControlError};
use crate::reader::{Reader, Truncated};
use crate::record::Sequence;

/// The version byte of the checkpoint pages that this crate writes, and the only one it reads.
pub const PAGE_VERSION: u8 = 1;

/// Bytes before a page's first checkpoint.
pub const PAGE_HEADER_BYTES: usize = 8;

const MAGIC: [u8; 3] = *b"MRP";
/// Bytes of a checkpoint of a group that was removed.
const CHECKPOINT_BYTES_MIN: usize = 8 + 4 + 8 + 1;
/// Bytes of the state, without terms and configuration.
const STATE_BYTES_MIN: usize = 4 + 8 + 1 + 4 + 8 + 8 + 8 + 4 + 4;
/// Bytes of each stretch of equal terms.
const TERM_BYTES: usize = 8 + 8;

/// All that is durable of a group, but for its entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The group.
    pub group: GroupId,
    /// Its life, or the last one that was here.
    pub generation: Generation,
    /// The last record whose changes it contains.
    pub upto: Sequence,
    /// The replica; none if it was removed.
    pub state: Option<CheckpointState>,
}

/// What a checkpoint says of a replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckpointState {
    /// Who this node is within the group.
    pub replica: ReplicaId,
    /// Term and vote.
    pub hard_state: HardState,
    /// The last entry that compaction removed.
    pub base: LogId,
    /// The configuration in force there.
    pub base_configuration: Arc<Configuration>,
    /// The last entry; the base's index if there is none.
    pub last: LogIndex,
    /// The first entry of each term after `base`.
    pub terms: Vec<LogId>,
}

/// What is wrong with a checkpoint page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageFault {
    /// The bytes end too early.
    Truncated(Truncated),
    /// The value is no checkpoint page.
    Magic {
        /// Its first bytes; "MRP" was expected.
        found: [u8; 3],
    },
    /// A version that this program does not know.
    Version {
        /// The version found; [`PAGE_VERSION`] was expected.
        found: u8,
    },
    /// The bytes have changed, or are those of another page.
    Checksum {
        /// The checksum in the page.
        stored: u32,
        /// The checksum of what is there.
        computed: u32,
    },
    /// A flag that is neither 0 nor 1.
    Flag {
        /// The flag found.
        found: u8,
    },
    /// An absent vote that names somebody.
    Vote {
        /// Whom it names; 0 was expected.
        replica: u32,
    },
    /// A configuration is malformed.
    Control(ControlError),
}

impl From<Truncated> for PageFault {
    fn from(truncated: Truncated) -> Self {
        Self::Truncated(truncated)
    }
}

impl From<ControlError> for PageFault {
    fn from(error: ControlError) -> Self {
        Self::Control(error)
    }
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(truncated) => truncated.fmt(f),
            Self::Magic { found } => write!(f, "no checkpoint page, it starts with {found:02x?}"),
            Self::Version { found } => {
                write!(f, "checkpoint page version {found}, expected {PAGE_VERSION}")
            }
            Self::Checksum { stored, computed } => {
                write!(f, "page checksum {computed:#010x}, expected {stored:#010x}")
            }
            Self::Flag { found } => write!(f, "a flag of {found}, expected 0 or 1"),
            Self::Vote { replica } => write!(f, "no vote, but for replica {replica}, expected 0"),
            Self::Control(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PageFault {}

/// How many bytes a checkpoint takes in a page.
pub fn checkpoint_len(checkpoint: &Checkpoint) -> usize {
    CHECKPOINT_BYTES_MIN
        + checkpoint.state.as_ref().map_or(0, |state| {
            STATE_BYTES_MIN
                + state.terms.len() * TERM_BYTES
                + control::configuration_len(&state.base_configuration)
        })
}

/// Lays out one checkpoint page.
#[derive(Debug)]
pub struct PageWriter {
    bytes: BytesMut,
    seed: u32,
}

impl PageWriter {
    /// Starts the page of that number in `buffer`, whose content goes and whose memory is used.
    pub fn new(number: u64, mut buffer: BytesMut) -> Self {
        buffer.clear();
        buffer.put_slice(&MAGIC);
        buffer.put_u8(PAGE_VERSION);
        buffer.put_u32_le(0);
        Self { bytes: buffer, seed: seed(number) }
    }

    /// Appends a checkpoint; takes [`checkpoint_len`] bytes.
    pub fn push(&mut self, checkpoint: &Checkpoint) {
        let start = self.bytes.len();
        let len = checkpoint_len(checkpoint);
        let out = &mut self.bytes;
        out.reserve(len);
        out.put_u64_le(checkpoint.group.0);
        out.put_u32_le(checkpoint.generation.0);
        out.put_u64_le(checkpoint.upto.0);
        out.put_u8(u8::from(checkpoint.state.is_some()));
        if let Some(state) = &checkpoint.state {
            put_state(out, state);
        }
        assert_eq!(out.len() - start, len, "the size function is exact");
    }

    /// How many bytes the page has so far, its header included.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Seals the page: the value to store under its number.
    pub fn finish(mut self) -> BytesMut {
        let crc = crc32c::crc32c_append(self.seed, &self.bytes[PAGE_HEADER_BYTES..]);
        self.bytes[4..PAGE_HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        self.bytes
    }
}

/// Reads all checkpoints of the page stored under `number`, after comparing its checksum.
///
/// # Errors
/// The value is no page, of another version, damaged, or that of another number. Whether the
/// numbers inside make sense together is for the caller to check.
pub fn read_page(number: u64, bytes: &Bytes) -> Result<Vec<Checkpoint>, PageFault> {
    let mut reader = Reader::new(bytes);
    let found = reader.array::<3>()?;
    if found != MAGIC {
        return Err(PageFault::Magic { found });
    }
    let found = reader.u8()?;
    if found != PAGE_VERSION {
        return Err(PageFault::Version { found });
    }
    let stored = reader.u32()?;
    let computed = crc32c::crc32c_append(seed(number), reader.rest());
    if computed != stored {
        return Err(PageFault::Checksum { stored, computed });
    }
    let mut checkpoints = Vec::new();
    while reader.remaining() > 0 {
        checkpoints.push(read_checkpoint(&mut reader)?);
    }
    Ok(checkpoints)
}

fn put_state(out: &mut BytesMut, state: &CheckpointState) {
    out.put_u32_le(state.replica.0);
    out.put_u64_le(state.hard_state.term.0);
    out.put_u8(u8::from(state.hard_state.vote.is_some()));
    out.put_u32_le(state.hard_state.vote.map_or(0, |replica| replica.0));
    out.put_u64_le(state.base.index.0);
    out.put_u64_le(state.base.term.0);
    out.put_u64_le(state.last.0);
    out.put_u32_le(u32::try_from(state.terms.len()).expect("a log has fewer than 2^31 entries"));
    for start in &state.terms {
        out.put_u64_le(start.index.0);
        out.put_u64_le(start.term.0);
    }
    let configuration = control::encode_configuration(&state.base_configuration);
    let len = u32::try_from(configuration.len()).expect("control records are short");
    out.put_u32_le(len);
    out.put_slice(&configuration);
}

fn read_checkpoint(reader: &mut Reader<'_>) -> Result<Checkpoint, PageFault> {
    let group = GroupId(reader.u64()?);
    let generation = Generation(reader.u32()?);
    let upto = Sequence(reader.u64()?);
    let state = if read_flag(reader)? { Some(read_state(reader)?) } else { None };
    Ok(Checkpoint { group, generation, upto, state })
}

fn read_state(reader: &mut Reader<'_>) -> Result<CheckpointState, PageFault> {
    let replica = ReplicaId(reader.u32()?);
    let term = Term(reader.u64()?);
    let vote = match (read_flag(reader)?, reader.u32()?) {
        (false, 0) => None,
        (true, replica) => Some(ReplicaId(replica)),
        (false, replica) => return Err(PageFault::Vote { replica }),
    };
    let hard_state = HardState { term, vote };
    let base = read_log_id(reader)?;
    let last = LogIndex(reader.u64()?);
    let count = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    let mut list = reader.part(count.saturating_mul(TERM_BYTES))?;
    let mut terms = Vec::with_capacity(count);
    while list.remaining() > 0 {
        terms.push(read_log_id(&mut list)?);
    }
    let len = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    let configuration = control::decode_configuration(reader.part(len)?.rest())?;
    let base_configuration = Arc::new(configuration);
    Ok(CheckpointState { replica, hard_state, base, base_configuration, last, terms })
}

fn read_log_id(reader: &mut Reader<'_>) -> Result<LogId, PageFault> {
    let index = LogIndex(reader.u64()?);
    Ok(LogId::new(Term(reader.u64()?), index))
}

fn read_flag(reader: &mut Reader<'_>) -> Result<bool, PageFault> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(PageFault::Flag { found }),
    }
}

/// What a page's checksum starts from: its number, magic and version.
fn seed(number: u64) -> u32 {
    let seed = crc32c::crc32c(&number.to_le_bytes());
    let seed = crc32c::crc32c_append(seed, &MAGIC);
    crc32c::crc32c_append(seed, &[PAGE_VERSION])
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;
    use raft_core::Replica;
    use types::{NodeId, StoreId};

    use super::*;
    use crate::strategies;

    fn golden_checkpoints() -> Vec<Checkpoint> {
        let replica = Replica { id: ReplicaId(3), node: NodeId(11), store: StoreId(0xa1) };
        let configuration = Configuration::new(vec![replica], vec![], vec![]).unwrap();
        let state = CheckpointState {
            replica: ReplicaId(3),
            hard_state: HardState { term: Term(5), vote: Some(ReplicaId(3)) },
            base: LogId::new(Term(2), LogIndex(4)),
            base_configuration: Arc::new(configuration),
            last: LogIndex(8),
            terms: vec![LogId::new(Term(2), LogIndex(5)), LogId::new(Term(5), LogIndex(7))],
        };
        let held = Checkpoint {
            group: GroupId(7),
            generation: Generation(2),
            upto: Sequence(9),
            state: Some(state),
        };
        let removed = Checkpoint {
            group: GroupId(8),
            generation: Generation(1),
            upto: Sequence(6),
            state: None,
        };
        vec![held, removed]
    }

    fn page(number: u64, checkpoints: &[Checkpoint]) -> Bytes {
        let mut writer = PageWriter::new(number, BytesMut::new());
        for checkpoint in checkpoints {
            let before = writer.bytes_len();
            writer.push(checkpoint);
            assert_eq!(writer.bytes_len() - before, checkpoint_len(checkpoint));
        }
        writer.finish().freeze()
    }

    #[test]
    fn page_has_its_golden_bytes() {
        let golden = Bytes::from(strategies::documented("checkpoint page"));
        assert_eq!(page(4, &golden_checkpoints()), golden);
        assert_eq!(read_page(4, &golden), Ok(golden_checkpoints()));
    }

    #[test]
    fn wrong_pages_are_refused_by_name() {
        let golden = page(4, &golden_checkpoints());
        assert!(matches!(read_page(5, &golden), Err(PageFault::Checksum { .. })));
        let changed = |at: usize, with: u8| {
            let mut bytes = golden.to_vec();
            bytes[at] = with;
            read_page(4, &Bytes::from(bytes))
        };
        assert_eq!(changed(2, b'L'), Err(PageFault::Magic { found: *b"MRL" }));
        assert_eq!(changed(3, 2), Err(PageFault::Version { found: 2 }));
        assert!(matches!(changed(30, 7), Err(PageFault::Checksum { .. })));
        let cut = Truncated { offset: 4, wanted: 4, found: 2 };
        assert_eq!(read_page(4, &golden.slice(..6)), Err(PageFault::Truncated(cut)));
    }

    fn checkpoint() -> impl Strategy<Value = Checkpoint> {
        let id =
            || (any::<u64>(), any::<u64>()).prop_map(|(i, t)| LogId::new(Term(t), LogIndex(i)));
        let vote = prop::option::of(any::<u32>().prop_map(ReplicaId));
        let state = (
            any::<u32>(),
            (any::<u64>(), vote),
            id(),
            strategies::configuration(),
            any::<u64>(),
            prop::collection::vec(id(), 0..5),
        )
            .prop_map(|(replica, (term, vote), base, configuration, last, terms)| {
                CheckpointState {
                    replica: ReplicaId(replica),
                    hard_state: HardState { term: Term(term), vote },
                    base,
                    base_configuration: Arc::new(configuration),
                    last: LogIndex(last),
                    terms,
                }
            });
        (any::<u64>(), any::<u32>(), any::<u64>(), prop::option::of(state)).prop_map(
            |(group, generation, upto, state)| Checkpoint {
                group: GroupId(group),
                generation: Generation(generation),
                upto: Sequence(upto),
                state,
            },
        )
    }

    /// Gives damaged bytes a checksum that fits, so that what is behind it is tried too.
    fn reseal(number: u64, bytes: Vec<u8>) -> Bytes {
        let mut bytes = bytes;
        if bytes.len() >= PAGE_HEADER_BYTES {
            let crc = crc32c::crc32c_append(seed(number), &bytes[PAGE_HEADER_BYTES..]);
            bytes[4..PAGE_HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        }
        bytes.into()
    }

    proptest! {
        #[test]
        fn pages_round_trip(
            number in any::<u64>(), checkpoints in prop::collection::vec(checkpoint(), 0..5)
        ) {
            prop_assert_eq!(read_page(number, &page(number, &checkpoints)), Ok(checkpoints));
        }

        #[test]
        fn damaged_pages_are_refused(
            checkpoints in prop::collection::vec(checkpoint(), 1..4),
            damage in strategies::damage()
        ) {
            let whole = page(3, &checkpoints);
            let damaged = Bytes::from(damage.applied_to(whole.to_vec()));
            if damaged != whole {
                prop_assert!(read_page(3, &damaged).is_err());
            }
        }

        #[test]
        fn damage_behind_a_fitting_checksum_never_panics(
            checkpoints in prop::collection::vec(checkpoint(), 1..4),
            damage in strategies::damage()
        ) {
            let damaged = reseal(3, damage.applied_to(page(3, &checkpoints).to_vec()));
            if let Ok(read) = read_page(3, &damaged) {
                let again = page(3, &read);
                prop_assert_eq!(again.len(), damaged.len());
                prop_assert_eq!(read_page(3, &again), Ok(read));
            }
        }
    }
}
