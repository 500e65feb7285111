//! The layout of a log entry's payload.
//!
//! ```text
//! command:     1 u8 | stamp u64 | arguments
//! transaction: 2 u8 | stamp u64 | protocol u8 | count u32 | count x watched | count u32 | count x arguments
//! sweep:       3 u8 | stamp u64
//!
//! arguments:   count u32 | count x (length u32 | bytes)
//! watched:     since u64 | existed u8 | length u32 | key
//! ```
//! Little-endian. `stamp` is the proposing leader's clock in milliseconds since 1970; the arguments
//! are the client's own, the command's name first. Arguments instead of an encoded operation: a new
//! command then needs no new layout. The price is that what a command's arguments mean may never
//! change once it has been in a log.
//!
//! A transaction is applied only if every key that it watches is what it was when entry `since` had
//! been applied; its result is written in version `protocol` of the Redis protocol. A sweep does
//! nothing but let time pass.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use types::LogIndex;

use super::keyspace::UnixMillis;
use super::watched::Watched;
use crate::resp::{Args, Protocol, Span};

const COMMAND: u8 = 1;
const TRANSACTION: u8 = 2;
const SWEEP: u8 = 3;
const HEADER_BYTES: usize = 9;
const COUNT_BYTES: usize = 4;
const LENGTH_BYTES: usize = 4;

/// Why a payload is none of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum EntryError {
    /// Written by a newer program, or not by us.
    #[error("kind {found:?}, expected {COMMAND} to {SWEEP}")]
    Kind {
        /// The kind found; none if the payload is empty.
        found: Option<u8>,
    },
    /// It ends too early.
    #[error("cut short at byte {at} of {len}")]
    Truncated {
        /// Where something was to begin.
        at: usize,
        /// How long the payload is.
        len: usize,
    },
    /// It goes on after its end.
    #[error("{extra} bytes after the end")]
    Trailing {
        /// How many bytes too many.
        extra: usize,
    },
    /// No command's name.
    #[error("no arguments")]
    Empty,
    /// A byte that says yes or no, or a version of the protocol, says something else.
    #[error("{what} is {found}")]
    Choice {
        /// What is to be chosen.
        what: &'static str,
        /// The byte found.
        found: u8,
    },
}

/// What a payload says is to be done.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// One command.
    Command(Args<'a>),
    /// Several, all or none.
    Transaction(Transaction<'a>),
    /// Nothing but that time has passed.
    Sweep,
}

/// Commands that are to be done together.
#[derive(Clone, Debug)]
pub struct Transaction<'a> {
    /// In which version of the protocol its result is to be written.
    pub protocol: Protocol,
    /// On what it depends.
    pub watched: Vec<Watched<'a>>,
    payload: &'a [u8],
    scratch: &'a Scratch,
}

impl<'a> Transaction<'a> {
    /// Its commands in order; may be none.
    pub fn commands(&self) -> impl Iterator<Item = Args<'a>> + use<'a> {
        let (payload, scratch) = (self.payload, self.scratch);
        let args = move |range: &Range<usize>| Args::new(payload, &scratch.spans[range.clone()]);
        scratch.commands.iter().map(args)
    }
}

/// Memory that decoding uses, kept so that a batch of entries allocates once.
#[derive(Default, Debug)]
pub struct Scratch {
    spans: Vec<Span>,
    /// Of each command, its arguments among the spans.
    commands: Vec<Range<usize>>,
}

/// Lays out a command for the log.
///
/// # Panics
/// If there is more than u32 can count; the request limits are far lower.
pub fn encode(stamp: UnixMillis, args: Args<'_>) -> Bytes {
    encode_into(&mut BytesMut::with_capacity(command_len(args)), stamp, args)
}

/// The same as a piece of `memory`, of which it takes as much as [`command_len`] tells: commands
/// that are laid out together and given up together share one allocation.
///
/// # Panics
/// As [`encode`].
pub fn encode_into(memory: &mut BytesMut, stamp: UnixMillis, args: Args<'_>) -> Bytes {
    put_header(memory, COMMAND, stamp);
    put_arguments(memory, args);
    memory.split().freeze()
}

/// How many bytes a command takes in the log.
pub fn command_len(args: Args<'_>) -> usize {
    HEADER_BYTES + arguments_len(args)
}

/// Lays out a transaction for the log.
///
/// # Panics
/// If there is more than u32 can count; the limits on transactions are far lower.
pub fn encode_transaction<'a>(
    stamp: UnixMillis,
    protocol: Protocol,
    watched: &[Watched<'_>],
    commands: impl ExactSizeIterator<Item = Args<'a>>,
) -> Bytes {
    let mut out = BytesMut::new();
    put_header(&mut out, TRANSACTION, stamp);
    out.put_u8(match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    });
    put_count(&mut out, watched.len());
    for Watched { key, since, existed } in watched {
        out.put_u64_le(since.0);
        out.put_u8(u8::from(*existed));
        put_count(&mut out, key.len());
        out.put_slice(key);
    }
    put_count(&mut out, commands.len());
    for args in commands {
        put_arguments(&mut out, args);
    }
    out.freeze()
}

/// Lays out a sweep for the log.
pub fn encode_sweep(stamp: UnixMillis) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES);
    put_header(&mut out, SWEEP, stamp);
    out.freeze()
}

/// How many bytes these arguments take in a payload, besides what comes once.
pub fn arguments_len(args: Args<'_>) -> usize {
    COUNT_BYTES + args.from(0).map(|arg| LENGTH_BYTES + arg.len()).sum::<usize>()
}

/// How many bytes a watched key takes in a payload.
pub const fn watched_len(key: &[u8]) -> usize {
    size_of::<u64>() + size_of::<u8>() + LENGTH_BYTES + key.len()
}

fn put_header(out: &mut BytesMut, kind: u8, stamp: UnixMillis) {
    out.put_u8(kind);
    out.put_u64_le(stamp.0);
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u32_le(u32::try_from(count).expect("requests are limited far below 4 GiB"));
}

fn put_arguments(out: &mut BytesMut, args: Args<'_>) {
    put_count(out, args.len());
    for arg in args.from(0) {
        put_count(out, arg.len());
        out.put_slice(arg);
    }
}

/// Reads a payload: the leader's stamp, and what is to be done. Every command has a name at least.
///
/// # Errors
/// Names what is wrong. Every replica finds the same, so it is the entry's result.
pub fn decode<'a>(
    payload: &'a [u8],
    scratch: &'a mut Scratch,
) -> Result<(UnixMillis, Content<'a>), EntryError> {
    let Scratch { spans, commands } = scratch;
    spans.clear();
    commands.clear();
    let mut reader = Reader { payload, at: 0 };
    let kind = payload.first().copied();
    let known = kind.filter(|kind| (COMMAND..=SWEEP).contains(kind));
    let kind = known.ok_or(EntryError::Kind { found: kind })?;
    reader.at += 1;
    let stamp = UnixMillis(u64::from_le_bytes(reader.take()?));
    let mut transaction = None;
    if kind == COMMAND {
        commands.push(reader.arguments(spans)?);
    } else if kind == TRANSACTION {
        let protocol = reader.protocol()?;
        let mut watched = Vec::new();
        for _ in 0..reader.count()? {
            watched.push(reader.watched()?);
        }
        for _ in 0..reader.count()? {
            commands.push(reader.arguments(spans)?);
        }
        transaction = Some((protocol, watched));
    }
    if reader.at != payload.len() {
        return Err(EntryError::Trailing { extra: payload.len() - reader.at });
    }
    let scratch = &*scratch;
    let content = match transaction {
        Some((protocol, watched)) => {
            Content::Transaction(Transaction { protocol, watched, payload, scratch })
        }
        None if kind == COMMAND => Content::Command(Args::new(payload, &scratch.spans)),
        None => Content::Sweep,
    };
    Ok((stamp, content))
}

/// A payload, and how far it was read.
struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], EntryError> {
        let rest = self.payload.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let truncated = EntryError::Truncated { at: self.at, len: self.payload.len() };
        self.at += N;
        rest.copied().ok_or(truncated)
    }

    fn count(&mut self) -> Result<u32, EntryError> {
        self.take().map(u32::from_le_bytes)
    }

    fn protocol(&mut self) -> Result<Protocol, EntryError> {
        match self.take()? {
            [2] => Ok(Protocol::Resp2),
            [3] => Ok(Protocol::Resp3),
            [found] => Err(EntryError::Choice { what: "the version of the protocol", found }),
        }
    }

    fn watched(&mut self) -> Result<Watched<'a>, EntryError> {
        let since = LogIndex(u64::from_le_bytes(self.take()?));
        let existed = match self.take()? {
            [0] => false,
            [1] => true,
            [found] => return Err(EntryError::Choice { what: "whether a key existed", found }),
        };
        let Span { start, end } = self.span()?;
        Ok(Watched { key: &self.payload[start..end], since, existed })
    }

    /// Appends a command's arguments to the spans and tells which they are.
    fn arguments(&mut self, spans: &mut Vec<Span>) -> Result<Range<usize>, EntryError> {
        let first = spans.len();
        // A count is only a promise: memory is taken as arguments come.
        for _ in 0..self.count()? {
            spans.push(self.span()?);
        }
        if spans.len() == first { Err(EntryError::Empty) } else { Ok(first..spans.len()) }
    }

    fn span(&mut self) -> Result<Span, EntryError> {
        let length = self.count()?;
        let (start, len) = (self.at, self.payload.len());
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        let end = end.filter(|end| *end <= len).ok_or(EntryError::Truncated { at: start, len })?;
        self.at = end;
        Ok(Span { start, end })
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
