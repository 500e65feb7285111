//! A run of entries behind its header: the same bytes in frames and in log records.
//!
//! ```text
//! kind u8 | first u64 | term u64 | count u32 | length u32 | body, `length` bytes
//! ```
//! Kind 1, commands: the bytes of [`Commands`] as the leader laid them out. Kind 2, the start of a
//! term: no body. Kind 3, a configuration: a control record. The last two are one entry.

use alloc::sync::Arc;
use core::fmt;

use bytes::BufMut;
use raft_core::{Commands, EntryRun, KIND_COMMAND, LayoutError, RunBody};
use types::{LogIndex, Term};

use crate::control::{self, ControlError};
use crate::reader::{Reader, Truncated};

/// Bytes before a run's body.
pub(crate) const RUN_HEADER_BYTES: usize = 1 + 8 + 8 + 4 + 4;

const KIND_TERM_START: u8 = 2;
const KIND_CONFIGURATION: u8 = 3;

/// Why bytes are no run of entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunError {
    /// The bytes end inside the run.
    Truncated(Truncated),
    /// A kind of entries that nobody defined.
    Kind {
        /// The kind found.
        found: u8,
    },
    /// The first index is 0, which is before every log.
    IndexZero,
    /// The indexes run past what an index can say.
    IndexOverflow {
        /// The first index.
        first: LogIndex,
        /// How many entries there are said to be.
        count: u32,
    },
    /// A start of a term or a configuration that is said to be several entries, or none.
    Count {
        /// How many there are said to be; one was expected.
        found: u32,
    },
    /// The body is longer than the reader's limit.
    TooLarge {
        /// The length it claims.
        found: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A start of a term with a body.
    BodyNotEmpty {
        /// The length it claims.
        found: usize,
    },
    /// The body holds no well-formed commands.
    Commands(LayoutError),
    /// The body holds no configuration.
    Configuration(ControlError),
}

impl From<Truncated> for RunError {
    fn from(truncated: Truncated) -> Self {
        Self::Truncated(truncated)
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(truncated) => truncated.fmt(f),
            Self::Kind { found } => write!(f, "run kind {found}, expected 1 to 3"),
            Self::IndexZero => write!(f, "the first index is 0, expected at least 1"),
            Self::IndexOverflow { first, count } => {
                write!(f, "{count} entries from index {first} on run past the last index")
            }
            Self::Count { found } => write!(f, "{found} entries, expected exactly 1"),
            Self::TooLarge { found, bytes_max } => {
                write!(f, "{found} bytes of entries, expected at most {bytes_max}")
            }
            Self::BodyNotEmpty { found } => {
                write!(f, "the start of a term has {found} bytes, expected none")
            }
            Self::Commands(error) => write!(f, "malformed commands: {error}"),
            Self::Configuration(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RunError {}

/// How many bytes a run takes, header included.
pub(crate) fn run_len(run: &EntryRun) -> usize {
    RUN_HEADER_BYTES
        + match &run.body {
            RunBody::TermStart => 0,
            RunBody::Configuration(configuration) => control::configuration_len(configuration),
            RunBody::Commands(commands) => commands.bytes().len(),
        }
}

/// Appends a run to `out`. Commands are one copy; nothing is done per entry.
pub(crate) fn put_run(out: &mut impl BufMut, run: &EntryRun) {
    let configuration;
    let (kind, body): (u8, &[u8]) = match &run.body {
        RunBody::TermStart => (KIND_TERM_START, &[]),
        RunBody::Configuration(value) => {
            configuration = control::encode_configuration(value);
            (KIND_CONFIGURATION, &configuration)
        }
        RunBody::Commands(commands) => (KIND_COMMAND, commands.bytes()),
    };
    let mut header = [0; RUN_HEADER_BYTES];
    header[0] = kind;
    header[1..9].copy_from_slice(&run.first.0.to_le_bytes());
    header[9..17].copy_from_slice(&run.term.0.to_le_bytes());
    header[17..21].copy_from_slice(&run.count().to_le_bytes());
    let length = u32::try_from(body.len()).expect("runs are limited far below 4 GiB");
    header[21..].copy_from_slice(&length.to_le_bytes());
    out.put_slice(&header);
    out.put_slice(body);
}

/// Reads a run; commands share the bytes. `bytes_max` limits the body.
pub(crate) fn read_run(reader: &mut Reader<'_>, bytes_max: usize) -> Result<EntryRun, RunError> {
    let kind = reader.u8()?;
    let first = LogIndex(reader.u64()?);
    let term = Term(reader.u64()?);
    let count = reader.u32()?;
    let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(RunError::TooLarge { found: length, bytes_max });
    }
    if first == LogIndex::ZERO {
        return Err(RunError::IndexZero);
    }
    // The index after the last entry must exist too: the next run or append starts there.
    if first.0.checked_add(u64::from(count)).is_none() {
        return Err(RunError::IndexOverflow { first, count });
    }
    let body = match kind {
        KIND_COMMAND => {
            let bytes = reader.shared(length)?;
            RunBody::Commands(Commands::parse(count, bytes).map_err(RunError::Commands)?)
        }
        KIND_TERM_START | KIND_CONFIGURATION if count != 1 => {
            return Err(RunError::Count { found: count });
        }
        KIND_TERM_START if length > 0 => return Err(RunError::BodyNotEmpty { found: length }),
        KIND_TERM_START => RunBody::TermStart,
        KIND_CONFIGURATION => {
            let bytes = reader.part(length)?;
            let value = control::decode_configuration(bytes.rest());
            RunBody::Configuration(Arc::new(value.map_err(RunError::Configuration)?))
        }
        found => return Err(RunError::Kind { found }),
    };
    Ok(EntryRun { first, term, body })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use bytes::Bytes;
    use raft_core::{CommandsBuilder, Configuration, EntryHeader};
    use types::{Epoch, VShardId};

    use super::*;
    use crate::strategies::{documented, hex};

    fn read(digits: &str) -> Result<EntryRun, RunError> {
        let bytes = Bytes::from(hex(digits));
        read_run(&mut Reader::new(&bytes), 1000)
    }

    const GOLDEN_COMMANDS: &str = "01 0500000000000000 0200000000000000 02000000 10000000\
        04000000 01 00 6869  04000000 01 00 686f";
    const GOLDEN_TERM_START: &str = "02 0900000000000000 0300000000000000 01000000 00000000";
    const GOLDEN_CONFIGURATION: &str = "03 0100000000000000 0000000000000000 01000000 19000000\
        01 0000000000000000 0000000000000000 0000000000000000";

    fn commands(payloads: &[(EntryHeader, &[u8])]) -> Commands {
        let mut builder = CommandsBuilder::default();
        for (header, payload) in payloads {
            builder.push(*header, payload);
        }
        builder.take().unwrap()
    }

    #[test]
    fn runs_have_their_golden_bytes() {
        let plain = EntryHeader::default();
        let bodies = [
            RunBody::Commands(commands(&[(plain, b"hi"), (plain, b"ho")])),
            RunBody::TermStart,
            RunBody::Configuration(Arc::new(Configuration::empty())),
        ];
        let [hi_ho, term_start, configuration] = bodies;
        let run = |first, term, body| EntryRun { first: LogIndex(first), term: Term(term), body };
        let mut all = Vec::new();
        for (golden, run) in [
            (GOLDEN_COMMANDS, run(5, 2, hi_ho)),
            (GOLDEN_TERM_START, run(9, 3, term_start)),
            (GOLDEN_CONFIGURATION, run(1, 0, configuration)),
        ] {
            let mut bytes = Vec::new();
            put_run(&mut bytes, &run);
            assert_eq!(bytes, hex(golden));
            assert_eq!(run_len(&run), bytes.len());
            assert_eq!(read(golden), Ok(run));
            all.extend(bytes);
        }
        assert_eq!(documented("runs"), all);
    }

    #[test]
    fn entries_have_their_documented_bytes() {
        let routed = Some((VShardId(1), Epoch(2)));
        let full = EntryHeader { routed, session: Some((5, 6)) };
        let entries = commands(&[(EntryHeader::default(), b"hi"), (full, b"")]);
        assert_eq!(entries.bytes(), &documented("entries"));
        assert_eq!(Commands::parse(2, documented("entries").into()), Ok(entries));
    }

    #[test]
    fn impossible_runs_are_refused_by_name() {
        let cut = read("02 0900000000000000 0300000000000000 01000000 0000");
        let truncated = Truncated { offset: 21, wanted: 4, found: 2 };
        assert_eq!(cut, Err(RunError::Truncated(truncated)));
        let kind = read("04 0900000000000000 0300000000000000 07000000 00000000");
        assert_eq!(kind, Err(RunError::Kind { found: 4 }));
        let zero = read("02 0000000000000000 0300000000000000 01000000 00000000");
        assert_eq!(zero, Err(RunError::IndexZero));
        let far = read("02 ffffffffffffffff 0300000000000000 01000000 00000000");
        let overflow = RunError::IndexOverflow { first: LogIndex(u64::MAX), count: 1 };
        assert_eq!(far, Err(overflow));
        let two = read("02 0900000000000000 0300000000000000 02000000 00000000");
        assert_eq!(two, Err(RunError::Count { found: 2 }));
        let large = read("01 0900000000000000 0300000000000000 01000000 e9030000");
        assert_eq!(large, Err(RunError::TooLarge { found: 1001, bytes_max: 1000 }));
        let body = read("02 0900000000000000 0300000000000000 01000000 01000000 00");
        assert_eq!(body, Err(RunError::BodyNotEmpty { found: 1 }));
        let empty = read("01 0900000000000000 0300000000000000 00000000 00000000");
        assert_eq!(empty, Err(RunError::Commands(LayoutError::Empty)));
        let control = read("03 0900000000000000 0300000000000000 01000000 01000000 02");
        let version = ControlError::Version { found: 2 };
        assert_eq!(control, Err(RunError::Configuration(version)));
    }
}
