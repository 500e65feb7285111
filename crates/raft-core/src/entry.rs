//! What a log is made of: runs of entries, and the one byte layout that this crate knows.
//!
//! A run is the entries of one turn, laid out once by the leader and never again: the wire frame
//! and the log record are a codec header plus [`Commands::bytes`] unchanged, so an entry costs no
//! allocation and a run one reference count.
//!
//! Layout of one entry (little-endian), quoted by `docs/format.md`:
//! ```text
//! length u32 | kind u8 = 1 | flags u8 | [vshard u32, epoch u64] | [session u64, sequence u64] | payload
//! ```
//! `length` counts everything after itself. Flag bit 0 says that (vshard, epoch) follow, bit 1
//! that (session, sequence) follow; the other bits are zero.
//!
//! Invariants of [`Commands`], checked by [`Commands::parse`] and assumed everywhere else: it holds
//! at least one entry, every entry is well-formed, and the entries fill the bytes exactly.

use alloc::sync::Arc;
use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use types::{Epoch, LogId, LogIndex, Term, VShardId};

use crate::Configuration;

/// Bytes that precede every payload: length, kind, flags.
pub const ENTRY_HEADER_BYTES_MIN: usize = 6;
/// Bytes that precede a payload with all optional fields.
pub const ENTRY_HEADER_BYTES_MAX: usize = 6 + 12 + 16;

/// The kind byte of a command; codec gives the other kinds of run bodies their own.
pub const KIND_COMMAND: u8 = 1;

/// How much memory a builder asks for at least: the short runs of a quiet group share it, so that
/// most of them cost no allocation. A run keeps its piece alive, hence no more than that.
const CHUNK_BYTES: usize = 1024;

const FLAG_ROUTED: u8 = 1;
const FLAG_SESSION: u8 = 2;

/// What travels with a payload: opaque to consensus, given to apply.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EntryHeader {
    /// The vshard that the proposer meant, and the epoch of the table that it looked it up in.
    pub routed: Option<(VShardId, Epoch)>,
    /// The proposer's session and its sequence number within it, by which retries are told apart.
    pub session: Option<(u64, u64)>,
}

impl EntryHeader {
    /// How many bytes an entry takes with a payload of `payload_len` bytes.
    pub const fn entry_len(&self, payload_len: usize) -> usize {
        let routed = if self.routed.is_some() { 12 } else { 0 };
        let session = if self.session.is_some() { 16 } else { 0 };
        ENTRY_HEADER_BYTES_MIN + routed + session + payload_len
    }
}

/// One command of a run, borrowed from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command<'a> {
    /// The fields that came with it.
    pub header: EntryHeader,
    /// The proposer's bytes; may be empty, which is a legal command.
    pub payload: &'a [u8],
}

/// Why bytes are no well-formed sequence of entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayoutError {
    /// A run of no entries.
    Empty,
    /// The bytes end inside the entry that starts at `offset`.
    Truncated {
        /// Where the entry starts.
        offset: usize,
    },
    /// The entry at `offset` is shorter than its own header.
    TooShort {
        /// Where the entry starts.
        offset: usize,
        /// The length it claims.
        length: u32,
    },
    /// The entry at `offset` is of a kind that cannot stand in a run of commands.
    Kind {
        /// Where the entry starts.
        offset: usize,
        /// The kind found.
        found: u8,
    },
    /// The entry at `offset` has flags that nobody defined.
    Flags {
        /// Where the entry starts.
        offset: usize,
        /// The flags found.
        found: u8,
    },
    /// The bytes hold another number of entries than was said.
    Count {
        /// What was said.
        expected: u32,
        /// How many there are, counted up to one more than expected.
        found: u32,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a run of no entries"),
            Self::Truncated { offset } => write!(f, "the entry at byte {offset} is cut short"),
            Self::TooShort { offset, length } => {
                write!(
                    f,
                    "the entry at byte {offset} says it has {length} bytes, less than a header"
                )
            }
            Self::Kind { offset, found } => {
                write!(f, "the entry at byte {offset} has kind {found}, expected {KIND_COMMAND}")
            }
            Self::Flags { offset, found } => {
                write!(f, "the entry at byte {offset} has unknown flags {found:#04x}")
            }
            Self::Count { expected, found } => {
                write!(f, "expected {expected} entries, found {found} or more")
            }
        }
    }
}

impl core::error::Error for LayoutError {}

/// Well-formed commands, one behind the other.
#[derive(Clone, PartialEq, Eq)]
pub struct Commands {
    count: u32,
    bytes: Bytes,
}

impl Commands {
    /// Accepts bytes that hold exactly `count` entries. Walks all of them, allocates nothing.
    ///
    /// # Errors
    /// Names the first thing wrong; the bytes came from a peer or a disk, and are to be refused.
    pub fn parse(count: u32, bytes: Bytes) -> Result<Self, LayoutError> {
        if count == 0 {
            return Err(LayoutError::Empty);
        }
        let mut offset = 0;
        for found in 0..count {
            if offset == bytes.len() {
                return Err(LayoutError::Count { expected: count, found });
            }
            offset += parse_entry(&bytes, offset)?.1;
        }
        if offset != bytes.len() {
            return Err(LayoutError::Count { expected: count, found: count.saturating_add(1) });
        }
        Ok(Self { count, bytes })
    }

    /// How many entries there are; at least one.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// All entries in the layout above, ready for wire and disk.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The commands in log order.
    pub fn iter(&self) -> CommandIter<'_> {
        CommandIter { bytes: &self.bytes, offset: 0 }
    }

    /// The `take` commands after the first `skip`; none if that is no command. Shares the bytes,
    /// costs a walk over `skip + take` lengths.
    pub fn slice(&self, skip: u32, take: u32) -> Option<Self> {
        let take = take.min(self.count.saturating_sub(skip));
        if take == 0 {
            return None;
        }
        if take == self.count {
            return Some(self.clone());
        }
        let mut iter = self.iter();
        for _ in 0..skip {
            iter.next();
        }
        let start = iter.offset;
        for _ in 0..take {
            iter.next();
        }
        Some(Self { count: take, bytes: self.bytes.slice(start..iter.offset) })
    }

    /// As many commands from the front as fit into `bytes_max`, but at least one.
    pub fn count_within(&self, bytes_max: usize) -> u32 {
        if self.bytes.len() <= bytes_max {
            return self.count;
        }
        let mut iter = self.iter();
        let mut fitting = 0;
        while iter.next().is_some() && iter.offset <= bytes_max {
            fitting += 1;
        }
        fitting.max(1)
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commands({} entries, {} bytes)", self.count, self.bytes.len())
    }
}

impl<'a> IntoIterator for &'a Commands {
    type Item = Command<'a>;
    type IntoIter = CommandIter<'a>;

    fn into_iter(self) -> CommandIter<'a> {
        self.iter()
    }
}

/// Walks the commands of a run in log order.
#[derive(Clone, Debug)]
pub struct CommandIter<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for CommandIter<'a> {
    type Item = Command<'a>;

    fn next(&mut self) -> Option<Command<'a>> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        let (command, len) = parse_entry(self.bytes, self.offset).ok()?;
        self.offset += len;
        Some(command)
    }
}

/// Reads the entry that starts at `offset`; returns it and how many bytes it takes.
fn parse_entry(bytes: &[u8], offset: usize) -> Result<(Command<'_>, usize), LayoutError> {
    let truncated = LayoutError::Truncated { offset };
    let rest = bytes.get(offset..).ok_or(truncated)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(truncated)?;
    let length = u32::from_le_bytes(*length);
    let body = usize::try_from(length).ok().and_then(|n| rest.get(..n)).ok_or(truncated)?;
    let too_short = LayoutError::TooShort { offset, length };
    let (&[kind, flags], mut body) = body.split_first_chunk::<2>().ok_or(too_short)?;
    if kind != KIND_COMMAND {
        return Err(LayoutError::Kind { offset, found: kind });
    }
    if flags & !(FLAG_ROUTED | FLAG_SESSION) != 0 {
        return Err(LayoutError::Flags { offset, found: flags });
    }
    let mut header = EntryHeader::default();
    if flags & FLAG_ROUTED != 0 {
        let (vshard, rest) = body.split_first_chunk::<4>().ok_or(too_short)?;
        let (epoch, rest) = rest.split_first_chunk::<8>().ok_or(too_short)?;
        let routed = (VShardId(u32::from_le_bytes(*vshard)), Epoch(u64::from_le_bytes(*epoch)));
        header.routed = Some(routed);
        body = rest;
    }
    if flags & FLAG_SESSION != 0 {
        let (session, rest) = body.split_first_chunk::<8>().ok_or(too_short)?;
        let (sequence, rest) = rest.split_first_chunk::<8>().ok_or(too_short)?;
        header.session = Some((u64::from_le_bytes(*session), u64::from_le_bytes(*sequence)));
        body = rest;
    }
    Ok((Command { header, payload: body }, 4 + length as usize))
}

/// Lays out commands one behind the other; what a leader does with the proposals of a turn.
#[derive(Debug, Default)]
pub struct CommandsBuilder {
    count: u32,
    bytes: BytesMut,
}

impl CommandsBuilder {
    /// Appends one command.
    ///
    /// # Panics
    /// If the entry is longer than u32 can say; the caller checks its limit, which is far lower.
    pub fn push(&mut self, header: EntryHeader, payload: &[u8]) {
        let length = header.entry_len(payload.len()) - 4;
        let length = u32::try_from(length).expect("entries are limited far below 4 GiB");
        let needed = 4 + length as usize;
        if self.bytes.capacity() - self.bytes.len() < needed {
            self.bytes.reserve(needed.max(CHUNK_BYTES));
        }
        self.bytes.put_u32_le(length);
        self.bytes.put_u8(KIND_COMMAND);
        let routed = if header.routed.is_some() { FLAG_ROUTED } else { 0 };
        let session = if header.session.is_some() { FLAG_SESSION } else { 0 };
        self.bytes.put_u8(routed | session);
        if let Some((vshard, epoch)) = header.routed {
            self.bytes.put_u32_le(vshard.0);
            self.bytes.put_u64_le(epoch.0);
        }
        if let Some((session, sequence)) = header.session {
            self.bytes.put_u64_le(session);
            self.bytes.put_u64_le(sequence);
        }
        self.bytes.put_slice(payload);
        self.count += 1;
    }

    /// How many commands are laid out.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// How many bytes they take.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes all commands laid out so far, none if there are none, and starts anew.
    pub fn take(&mut self) -> Option<Commands> {
        if self.count == 0 {
            return None;
        }
        let count = core::mem::take(&mut self.count);
        Some(Commands { count, bytes: self.bytes.split().freeze() })
    }
}

/// What the entries of a run are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RunBody {
    /// A leader's own first entry, by which it commits what earlier terms left (paper 8).
    TermStart,
    /// A configuration, in force from append (dissertation 4.1).
    Configuration(Arc<Configuration>),
    /// What users proposed.
    Commands(Commands),
}

/// Entries that follow each other, of one term and one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryRun {
    /// The index of the first entry; at least 1.
    pub first: LogIndex,
    /// The term of all entries.
    pub term: Term,
    /// The entries.
    pub body: RunBody,
}

impl EntryRun {
    /// How many entries there are; at least one.
    pub fn count(&self) -> u32 {
        match &self.body {
            RunBody::TermStart | RunBody::Configuration(_) => 1,
            RunBody::Commands(commands) => commands.count(),
        }
    }

    /// The index of the last entry.
    pub fn last(&self) -> LogIndex {
        self.first.plus(u64::from(self.count()) - 1)
    }

    /// Index and term of the last entry.
    pub fn last_id(&self) -> LogId {
        LogId::new(self.term, self.last())
    }

    /// What the run counts for against byte limits: its bytes, and a fixed charge for the rest.
    pub fn cost(&self) -> usize {
        const RUN_CHARGE: usize = 64;
        RUN_CHARGE
            + match &self.body {
                RunBody::TermStart => 0,
                RunBody::Configuration(configuration) => configuration.cost(),
                RunBody::Commands(commands) => commands.bytes().len(),
            }
    }

    /// The part of the run within `first..=last`; none if they have nothing in common.
    pub fn slice(&self, first: LogIndex, last: LogIndex) -> Option<Self> {
        let from = first.max(self.first);
        let to = last.min(self.last());
        if from > to {
            return None;
        }
        let RunBody::Commands(commands) = &self.body else {
            return Some(self.clone());
        };
        let skip = u32::try_from(from.0 - self.first.0).ok()?;
        let take = u32::try_from(to.0 - from.0 + 1).ok()?;
        let body = RunBody::Commands(commands.slice(skip, take)?);
        Some(Self { first: from, term: self.term, body })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use proptest::prelude::*;

    use super::*;

    fn three() -> Commands {
        let mut builder = CommandsBuilder::default();
        builder.push(EntryHeader::default(), b"a");
        let routed = Some((VShardId(7), Epoch(2)));
        builder.push(EntryHeader { routed, session: Some((5, 6)) }, b"");
        builder.push(EntryHeader { routed, session: None }, b"ccc");
        builder.take().unwrap()
    }

    #[test]
    fn layout_is_as_documented() {
        let mut builder = CommandsBuilder::default();
        builder.push(EntryHeader::default(), b"hi");
        builder.push(EntryHeader { routed: Some((VShardId(1), Epoch(2))), session: None }, b"");
        let commands = builder.take().unwrap();
        let expected: &[u8] = &[
            4, 0, 0, 0, 1, 0, b'h', b'i', //
            14, 0, 0, 0, 1, 1, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(&commands.bytes()[..], expected);
        assert!(builder.take().is_none());
    }

    #[test]
    fn what_was_laid_out_is_read_back() {
        let commands = three();
        let parsed = Commands::parse(3, commands.bytes().clone()).unwrap();
        let payloads: Vec<&[u8]> = parsed.iter().map(|c| c.payload).collect();
        assert_eq!(payloads, [&b"a"[..], b"", b"ccc"]);
        assert_eq!(parsed.iter().nth(1).unwrap().header.session, Some((5, 6)));
    }

    #[test]
    fn slices_share_bytes_and_keep_order() {
        let commands = three();
        assert_eq!(commands.slice(1, 9).unwrap().count(), 2);
        assert_eq!(commands.slice(2, 1).unwrap().iter().next().unwrap().payload, b"ccc");
        assert!(commands.slice(3, 1).is_none());
        let run =
            EntryRun { first: LogIndex(10), term: Term(1), body: RunBody::Commands(commands) };
        assert_eq!(run.last(), LogIndex(12));
        let tail = run.slice(LogIndex(11), LogIndex(99)).unwrap();
        assert_eq!((tail.first, tail.last()), (LogIndex(11), LogIndex(12)));
        assert!(run.slice(LogIndex(13), LogIndex(20)).is_none());
    }

    #[test]
    fn wrong_counts_and_kinds_are_named() {
        let bytes = three().bytes().clone();
        let found = Commands::parse(2, bytes.clone()).unwrap_err();
        assert_eq!(found, LayoutError::Count { expected: 2, found: 3 });
        let found = Commands::parse(4, bytes.clone()).unwrap_err();
        assert_eq!(found, LayoutError::Count { expected: 4, found: 3 });
        let mut bad = bytes.to_vec();
        bad[4] = 9;
        let found = Commands::parse(3, bad.into()).unwrap_err();
        assert_eq!(found, LayoutError::Kind { offset: 0, found: 9 });
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused_without_panic(
            count in 0u32..9, bytes in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            let _ = Commands::parse(count, bytes.into());
        }

        #[test]
        fn damaged_bytes_never_parse_to_more_than_they_hold(
            position in 0usize..60, value in any::<u8>()
        ) {
            let mut bytes = three().bytes().to_vec();
            let position = position % bytes.len();
            bytes[position] = value;
            if let Ok(commands) = Commands::parse(3, bytes.into()) {
                let total: usize =
                    commands.iter().map(|c| c.header.entry_len(c.payload.len())).sum();
                prop_assert_eq!(total, commands.bytes().len());
            }
        }
    }
}
