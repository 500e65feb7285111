//! Notices: what one node tells another of itself, beside the frames of the groups that they share.
//!
//! ```text
//! 129 u8 | low u32
//! 130 u8 | asks u8, 0 or 1 | count u16 | (node u64 | store u128) for each, rising by node
//! ```
//! The first byte says which notice it is, and tells a notice from a frame: versions of frames are
//! below 128, those of notices above.

use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, Bytes};
use types::{NodeId, StoreId};

use crate::reader::{Reader, Truncated};

/// The first byte of a notice of room, and the only one that this crate writes and reads.
pub const ROOM_VERSION: u8 = 129;
/// The first byte of a notice of stores, and the only one that this crate writes and reads.
pub const STORES_VERSION: u8 = 130;
/// The most stores of a notice: the most nodes of a cluster.
pub const STORES_MAX: usize = 4_096;

/// Bytes of a notice of stores before the first of them.
const STORES_HEADER_BYTES: usize = 4;
/// Bytes of a node and its store.
const STORE_BYTES: usize = 24;

/// What a node tells of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// How its disk is.
    Room(RoomNotice),
    /// Which stores it knows.
    Stores(StoresNotice),
}

/// How a node's disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomNotice {
    /// For how many milliseconds from now on its disk is to be taken for low: it leads and takes
    /// entries in only if nobody else can. 0: its disk has room. A node that says nothing has room.
    pub low_ms: u32,
}

/// By which stores a node knows the nodes that it has met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoresNotice {
    /// Whether the node wants to be told the same by whoever hears this.
    pub asks: bool,
    /// Nodes and their stores, its own among them, rising by node without repetition; at most
    /// [`STORES_MAX`].
    pub stores: Vec<(NodeId, StoreId)>,
}

/// Why bytes are no notice. The peer is at fault, or speaks another version: drop it and count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoticeError {
    /// A version that this program does not know.
    Version {
        /// The version found; [`ROOM_VERSION`] or [`STORES_VERSION`] was expected.
        found: u8,
    },
    /// Neither yes nor no.
    Flag {
        /// The byte found; 0 or 1 was expected.
        found: u8,
    },
    /// More stores than any cluster has nodes.
    TooMany {
        /// How many; at most [`STORES_MAX`] were expected.
        found: usize,
    },
    /// A node that does not come after the one before it.
    Unsorted {
        /// The node.
        node: NodeId,
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
                write!(f, "notice version {found}, expected {ROOM_VERSION} or {STORES_VERSION}")
            }
            Self::Flag { found } => write!(f, "flag {found} in a notice, expected 0 or 1"),
            Self::TooMany { found } => {
                write!(f, "{found} stores in a notice, expected at most {STORES_MAX}")
            }
            Self::Unsorted { node } => {
                write!(f, "node {node} in a notice, expected nodes in rising order")
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
///
/// # Panics
/// If it has more than [`STORES_MAX`] stores.
pub fn encode_notice(notice: &Notice) -> Bytes {
    match notice {
        Notice::Room(RoomNotice { low_ms }) => {
            let mut out = Vec::with_capacity(5);
            out.put_u8(ROOM_VERSION);
            out.put_u32_le(*low_ms);
            out.into()
        }
        Notice::Stores(StoresNotice { asks, stores }) => {
            let count = stores.len();
            assert!(count <= STORES_MAX, "{count} stores in a notice, at most {STORES_MAX}");
            let count = u16::try_from(count).expect("STORES_MAX fits");
            let bytes = STORES_HEADER_BYTES + stores.len() * STORE_BYTES;
            let mut out = Vec::with_capacity(bytes);
            out.put_u8(STORES_VERSION);
            out.put_u8(u8::from(*asks));
            out.put_u16_le(count);
            for (node, store) in stores {
                out.put_u64_le(node.0);
                out.put_u128_le(store.0);
            }
            out.into()
        }
    }
}

/// Reads a notice.
///
/// # Errors
/// Names the first thing wrong; see [`NoticeError`] for what to do.
pub fn decode_notice(bytes: &Bytes) -> Result<Notice, NoticeError> {
    let mut reader = Reader::new(bytes);
    let notice = match reader.u8()? {
        ROOM_VERSION => Notice::Room(RoomNotice { low_ms: reader.u32()? }),
        STORES_VERSION => Notice::Stores(stores(&mut reader)?),
        found => return Err(NoticeError::Version { found }),
    };
    match reader.remaining() {
        0 => Ok(notice),
        bytes => Err(NoticeError::Trailing { bytes }),
    }
}

fn stores(reader: &mut Reader<'_>) -> Result<StoresNotice, NoticeError> {
    let asks = match reader.u8()? {
        0 => false,
        1 => true,
        found => return Err(NoticeError::Flag { found }),
    };
    let count = usize::from(reader.u16()?);
    if count > STORES_MAX {
        return Err(NoticeError::TooMany { found: count });
    }
    // What is not there takes no memory either.
    let mut stores = Vec::with_capacity(count.min(reader.remaining() / STORE_BYTES));
    for _ in 0..count {
        let (node, store) = (NodeId(reader.u64()?), StoreId(reader.u128()?));
        if stores.last().is_some_and(|(before, _)| *before >= node) {
            return Err(NoticeError::Unsorted { node });
        }
        stores.push((node, store));
    }
    Ok(StoresNotice { asks, stores })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::encode_frame;
    use crate::strategies::{documented, hex};

    fn room(low_ms: u32) -> Notice {
        Notice::Room(RoomNotice { low_ms })
    }

    fn known(asks: bool, stores: &[(u64, u128)]) -> Notice {
        let stores = stores.iter().map(|(node, store)| (NodeId(*node), StoreId(*store))).collect();
        Notice::Stores(StoresNotice { asks, stores })
    }

    #[test]
    fn notices_have_their_golden_bytes() {
        let stores = known(true, &[(1, 0xa1), (3, u128::MAX)]);
        for (name, notice) in [("notice of room", room(3000)), ("notice of stores", stores)] {
            let golden = Bytes::from(documented(name));
            assert_eq!(encode_notice(&notice), golden, "{name}");
            assert_eq!(decode_notice(&golden), Ok(notice));
        }
    }

    #[test]
    fn a_frame_is_no_notice() {
        assert!(
            is_notice(&encode_notice(&room(0))) && is_notice(&encode_notice(&known(false, &[])))
        );
        assert!(!is_notice(&encode_frame(&[])) && !is_notice(&[]));
    }

    #[test]
    fn what_is_no_notice_is_named() {
        let refused = |text: &str| decode_notice(&Bytes::from(hex(text))).unwrap_err().to_string();
        assert_eq!(refused("83 00000000"), "notice version 131, expected 129 or 130");
        assert_eq!(refused("81 00000000 00"), "1 bytes behind a notice");
        assert_eq!(refused("81 000000"), "4 bytes expected at byte 1, found 3");
        assert_eq!(refused("82 02 0000"), "flag 2 in a notice, expected 0 or 1");
        assert_eq!(refused("82 00 0000 00"), "1 bytes behind a notice");
        assert_eq!(refused("82 00 0100 00"), "8 bytes expected at byte 4, found 1");
        // Counted before a byte is set aside for them.
        assert_eq!(refused("82 00 0110"), "4097 stores in a notice, expected at most 4096");
        assert!(decode_notice(&Bytes::new()).is_err());
    }

    #[test]
    fn nodes_come_in_rising_order() {
        for nodes in [[5, 5], [5, 4]] {
            let bytes = encode_notice(&known(false, &nodes.map(|node| (node, 1))));
            let error = decode_notice(&bytes).unwrap_err();
            assert_eq!(error, NoticeError::Unsorted { node: NodeId(nodes[1]) });
        }
    }

    fn any_notice() -> impl Strategy<Value = Notice> {
        let stores = proptest::collection::btree_map(any::<u64>(), any::<u128>(), 0..20);
        prop_oneof![
            any::<u32>().prop_map(room),
            (any::<bool>(), stores).prop_map(|(asks, stores)| {
                known(asks, &stores.into_iter().collect::<Vec<_>>())
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(notice in any_notice()) {
            prop_assert_eq!(decode_notice(&encode_notice(&notice)), Ok(notice));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, version in 129..=130_u8) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = version;
            }
            let bytes = Bytes::from(bytes);
            if let Ok(notice) = decode_notice(&bytes) {
                prop_assert_eq!(encode_notice(&notice), bytes);
            }
        }
    }

    #[test]
    fn as_many_stores_as_a_cluster_has_nodes_are_read() {
        let stores = (0..STORES_MAX as u64).map(|node| (NodeId(node), StoreId(7))).collect();
        let notice = Notice::Stores(StoresNotice { asks: true, stores });
        assert_eq!(decode_notice(&encode_notice(&notice)), Ok(notice));
    }
}
