//! Notices: what one node tells another of itself, beside the frames of the groups that they share.
//!
//! ```text
//! version u8 | low u32
//! ```
//! The first byte tells a notice from a frame: versions of frames are below 128, those of notices
//! above.

use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, Bytes};

use crate::reader::{Reader, Truncated};

/// The version byte of the notices that this crate writes, and the only one it reads.
pub const NOTICE_VERSION: u8 = 129;

/// What a node tells of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notice {
    /// For how many milliseconds from now on its disk is to be taken for low: it leads and takes
    /// entries in only if nobody else can. 0: its disk has room. A node that says nothing has room.
    pub low_ms: u32,
}

/// Why bytes are no notice. The peer is at fault, or speaks another version: drop it and count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoticeError {
    /// A version that this program does not know.
    Version {
        /// The version found; [`NOTICE_VERSION`] was expected.
        found: u8,
    },
    /// The bytes end too early.
    Truncated(Truncated),
    /// The notice ends before its bytes do.
    Trailing {
        /// How many bytes too many there are.
        bytes: usize,
    },
}

impl From<Truncated> for NoticeError {
    fn from(truncated: Truncated) -> Self {
        Self::Truncated(truncated)
    }
}

impl fmt::Display for NoticeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found } => {
                write!(f, "notice version {found}, expected {NOTICE_VERSION}")
            }
            Self::Truncated(truncated) => truncated.fmt(f),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes behind a notice"),
        }
    }
}

impl core::error::Error for NoticeError {}

/// Whether what a peer sent is to be read as a notice, by its first byte.
pub fn is_notice(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|version| *version >= 128)
}

/// Lays out a notice.
pub fn encode_notice(notice: Notice) -> Bytes {
    let mut out = Vec::with_capacity(5);
    out.put_u8(NOTICE_VERSION);
    out.put_u32_le(notice.low_ms);
    out.into()
}

/// Reads a notice.
///
/// # Errors
/// Names the first thing wrong; see [`NoticeError`] for what to do.
pub fn decode_notice(bytes: &Bytes) -> Result<Notice, NoticeError> {
    let mut reader = Reader::new(bytes);
    let found = reader.u8()?;
    if found != NOTICE_VERSION {
        return Err(NoticeError::Version { found });
    }
    let notice = Notice { low_ms: reader.u32()? };
    match reader.remaining() {
        0 => Ok(notice),
        bytes => Err(NoticeError::Trailing { bytes }),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::encode_frame;
    use crate::strategies::{documented, hex};

    #[test]
    fn a_notice_has_its_golden_bytes() {
        let notice = Notice { low_ms: 3000 };
        let golden = Bytes::from(documented("notice"));
        assert_eq!(encode_notice(notice), golden);
        assert_eq!(decode_notice(&golden), Ok(notice));
    }

    #[test]
    fn a_frame_is_no_notice() {
        assert!(is_notice(&encode_notice(Notice { low_ms: 0 })));
        assert!(!is_notice(&encode_frame(&[])) && !is_notice(&[]));
    }

    #[test]
    fn what_is_no_notice_is_named() {
        let refused = |text: &str| decode_notice(&Bytes::from(hex(text))).unwrap_err().to_string();
        assert_eq!(refused("82 00000000"), "notice version 130, expected 129");
        assert_eq!(refused("81 00000000 00"), "1 bytes behind a notice");
        assert!(decode_notice(&Bytes::from(hex("81 000000"))).is_err());
        assert!(decode_notice(&Bytes::new()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            if let Ok(notice) = decode_notice(&bytes) {
                prop_assert_eq!(encode_notice(notice), bytes);
            }
        }
    }
}
