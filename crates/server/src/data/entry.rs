//! The layout of a log entry's payload.
//!
//! ```text
//! version u8 = 1 | stamp u64 | count u32 | count x (length u32 | bytes)
//! ```
//! Little-endian. `stamp` is the proposing leader's clock in milliseconds since 1970; the arguments
//! are the client's own, the command's name first. Arguments instead of an encoded operation: a new
//! command then needs no new layout. The price is that what a command's arguments mean may never
//! change once it has been in a log.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::keyspace::UnixMillis;
use crate::resp::Args;
use crate::resp::Span;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 13;
const LENGTH_BYTES: usize = 4;

/// Why a payload is none of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum EntryError {
    /// Written by a newer program, or not by us.
    #[error("version {found:?}, expected {VERSION}")]
    Version {
        /// The version found; none if the payload is empty.
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
    /// It goes on after its last argument.
    #[error("{extra} bytes after the last argument")]
    Trailing {
        /// How many bytes too many.
        extra: usize,
    },
    /// No command's name.
    #[error("no arguments")]
    Empty,
}

/// How many bytes [`encode`] makes of these arguments.
pub fn encoded_len(args: Args<'_>) -> usize {
    HEADER_BYTES + args.from(0).map(|arg| LENGTH_BYTES + arg.len()).sum::<usize>()
}

/// Lays out a command for the log.
///
/// # Panics
/// If there are more than u32 can count; the request limits are far lower.
pub fn encode(stamp: UnixMillis, args: Args<'_>) -> Bytes {
    let length = |len| u32::try_from(len).expect("requests are limited far below 4 GiB");
    let mut out = BytesMut::with_capacity(encoded_len(args));
    out.put_u8(VERSION);
    out.put_u64_le(stamp.0);
    out.put_u32_le(length(args.len()));
    for arg in args.from(0) {
        out.put_u32_le(length(arg.len()));
        out.put_slice(arg);
    }
    out.freeze()
}

/// Reads a payload: the leader's stamp and the arguments, at least one. `spans` is scratch that the
/// arguments borrow, so that a batch of entries allocates once.
///
/// # Errors
/// Names what is wrong. Every replica finds the same, so it is the command's result.
pub fn decode<'a>(
    payload: &'a [u8],
    spans: &'a mut Vec<Span>,
) -> Result<(UnixMillis, Args<'a>), EntryError> {
    spans.clear();
    let found = payload.first().copied();
    if found != Some(VERSION) {
        return Err(EntryError::Version { found });
    }
    let mut at = 1;
    let stamp = u64::from_le_bytes(take(payload, &mut at)?);
    let count = u32::from_le_bytes(take(payload, &mut at)?);
    for _ in 0..count {
        let length = u32::from_le_bytes(take(payload, &mut at)?);
        let end = at.saturating_add(length as usize);
        if end > payload.len() {
            return Err(EntryError::Truncated { at, len: payload.len() });
        }
        spans.push(Span { start: at, end });
        at = end;
    }
    if at != payload.len() {
        return Err(EntryError::Trailing { extra: payload.len() - at });
    }
    if spans.is_empty() {
        return Err(EntryError::Empty);
    }
    Ok((UnixMillis(stamp), Args::new(payload, spans)))
}

fn take<const N: usize>(payload: &[u8], at: &mut usize) -> Result<[u8; N], EntryError> {
    let rest = payload.get(*at..).and_then(|rest| rest.first_chunk::<N>());
    let bytes = *rest.ok_or(EntryError::Truncated { at: *at, len: payload.len() })?;
    *at += N;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::resp::Request;

    #[test]
    fn the_layout_never_changes() {
        let bytes = encode(UnixMillis(0x0102), Request::of(&["GET", "k"]).args());
        let expected = b"\x01\x02\x01\0\0\0\0\0\0\x02\0\0\0\x03\0\0\0GET\x01\0\0\0k";
        assert_eq!(&bytes[..], expected);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(stamp: u64, args in vec(vec(any::<u8>(), 0..20), 1..6)) {
            let request = Request::of(&args);
            let bytes = encode(UnixMillis(stamp), request.args());
            prop_assert_eq!(bytes.len(), encoded_len(request.args()));
            let mut spans = Vec::new();
            let (read_stamp, read) = decode(&bytes, &mut spans).unwrap();
            prop_assert_eq!(read_stamp, UnixMillis(stamp));
            let read: Vec<Vec<u8>> = read.from(0).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(read, args);
        }

        #[test]
        fn a_cut_or_longer_payload_is_refused(args in vec(vec(any::<u8>(), 0..9), 1..4), extra in 1..9_usize) {
            let mut bytes = encode(UnixMillis(7), Request::of(&args).args()).to_vec();
            let mut spans = Vec::new();
            for end in 0..bytes.len() {
                prop_assert!(decode(&bytes[..end], &mut spans).is_err());
            }
            bytes.resize(bytes.len() + extra, 0);
            let refused = decode(&bytes, &mut spans).map(|_| ()).unwrap_err();
            prop_assert_eq!(refused, EntryError::Trailing { extra });
        }

        #[test]
        fn random_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes, &mut Vec::new());
            if let Some(version) = bytes.first_mut() {
                *version = VERSION;
                let _ = decode(&bytes, &mut Vec::new());
            }
        }
    }
}
