//! Who is at the other end: the hello, and the messages that carry it.
//!
//! ```text
//! message:  magic "MULTIRFT" | version u16 | kind u16 | body length u32 | crc32c u32 | body
//! hello:    node u64 | boot u64 | store u128 | digest u64 | cluster length u8 | cluster
//! accepted: (empty)
//! refused:  reason, UTF-8
//! ```
//! All little-endian; the checksum covers the 16 bytes before it and the body. Message and refusal
//! keep this layout in every protocol version, so that nodes of different versions can say so.
//!
//! Invariant: a body is at most [`BODY_BYTES_MAX`] long, checked before anything is allocated.

use bytes::{Buf, BufMut};
use types::{BootId, ClusterId, NodeId, StoreId};

/// The version of hello and frames that this build speaks; nodes of different ones do not talk.
pub const PROTOCOL_VERSION: u16 = 3;

/// The longest reason of a refusal that travels, in bytes; longer ones are cut.
pub const REASON_BYTES_MAX: usize = 1000;

/// What a node says of itself when a connection begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its place in the cluster.
    pub node: NodeId,
    /// The store that holds its data.
    pub store: StoreId,
    /// Which opening of that store this is.
    pub boot: BootId,
    /// What must be configured alike everywhere, digested: vshards, groups and voters.
    pub digest: u64,
}

/// One message of the exchange that begins a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    /// Who the sender is.
    Hello(Hello),
    /// The sender takes the receiver for a peer: frames may follow.
    Accepted,
    /// The sender does not, and closes.
    Refused {
        /// Why; at most [`REASON_BYTES_MAX`] bytes, one line.
        reason: String,
    },
}

/// The fixed part of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    kind: u16,
    version: u16,
    /// Length of the body that follows; at most [`BODY_BYTES_MAX`].
    pub(crate) body_bytes: usize,
    crc: u32,
    /// Checksum of the bytes before it, to be continued over the body.
    crc_of_header: u32,
}

/// Why bytes are no message of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("not the multiraft peer protocol: begins with {found:02x?}, expected {MAGIC:02x?}")]
    Foreign { found: [u8; 8] },
    #[error("a hello message of {found} bytes, expected at most {BODY_BYTES_MAX}")]
    TooLong { found: u32 },
    #[error("a damaged hello message: its checksum is {found:08x}, expected {expected:08x}")]
    Damaged { found: u32, expected: u32 },
    #[error("the peer speaks protocol version {found}, expected {PROTOCOL_VERSION}")]
    Version { found: u16 },
    #[error("a hello message of unknown kind {found}, expected 1 to 3")]
    Kind { found: u16 },
    #[error("a malformed hello message: {what}")]
    Malformed { what: &'static str },
    #[error("a message out of turn: found {found}, expected {expected}")]
    OutOfTurn { found: &'static str, expected: &'static str },
}

pub(crate) const HEADER_BYTES: usize = 20;
pub(crate) const BODY_BYTES_MAX: usize = 1024;
const MAGIC: [u8; 8] = *b"MULTIRFT";
const KIND_HELLO: u16 = 1;
const KIND_ACCEPTED: u16 = 2;
const KIND_REFUSED: u16 = 3;
/// Bytes of a hello before the cluster's name.
const HELLO_FIXED_BYTES: usize = 41;

impl Message {
    /// What kind of message it is, for errors.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "a hello",
            Self::Accepted => "an acceptance",
            Self::Refused { .. } => "a refusal",
        }
    }

    /// The bytes that travel.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.encode_as(PROTOCOL_VERSION)
    }

    /// The bytes that a node of another protocol version would send.
    pub(crate) fn encode_as(&self, version: u16) -> Vec<u8> {
        let (kind, body) = match self {
            Self::Hello(hello) => (KIND_HELLO, encode_hello(hello)),
            Self::Accepted => (KIND_ACCEPTED, Vec::new()),
            Self::Refused { reason } => (KIND_REFUSED, one_line(reason).into_bytes()),
        };
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.put_slice(&MAGIC);
        bytes.put_u16_le(version);
        bytes.put_u16_le(kind);
        bytes.put_u32_le(u32::try_from(body.len()).expect("a body is at most 1024 bytes long"));
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &body);
        bytes.put_u32_le(crc);
        bytes.put_slice(&body);
        bytes
    }

    /// Reads the body that belongs to `header`.
    ///
    /// # Errors
    /// Damage, another version (but a refusal is read in any), or an impossible content.
    pub(crate) fn decode(header: &Header, body: &[u8]) -> Result<Self, HelloError> {
        let expected = crc32c::crc32c_append(header.crc_of_header, body);
        if header.crc != expected {
            return Err(HelloError::Damaged { found: header.crc, expected });
        }
        if header.kind == KIND_REFUSED {
            return Ok(Self::Refused { reason: one_line(&String::from_utf8_lossy(body)) });
        }
        if header.version != PROTOCOL_VERSION {
            return Err(HelloError::Version { found: header.version });
        }
        match header.kind {
            KIND_HELLO => decode_hello(body).map(Self::Hello),
            KIND_ACCEPTED if body.is_empty() => Ok(Self::Accepted),
            KIND_ACCEPTED => Err(HelloError::Malformed { what: "an acceptance with a body" }),
            found => Err(HelloError::Kind { found }),
        }
    }
}

impl Header {
    /// Reads the fixed part of a message.
    ///
    /// # Errors
    /// Bytes of another protocol, or a body longer than any of ours: nothing more is read then.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HelloError> {
        let mut rest = &bytes[..];
        let mut found = [0; 8];
        rest.copy_to_slice(&mut found);
        if found != MAGIC {
            return Err(HelloError::Foreign { found });
        }
        let version = rest.get_u16_le();
        let kind = rest.get_u16_le();
        let length = rest.get_u32_le();
        let crc = rest.get_u32_le();
        match usize::try_from(length) {
            Ok(body_bytes) if body_bytes <= BODY_BYTES_MAX => {
                let crc_of_header = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
                Ok(Self { kind, version, body_bytes, crc, crc_of_header })
            }
            Ok(_) | Err(_) => Err(HelloError::TooLong { found: length }),
        }
    }
}

fn encode_hello(hello: &Hello) -> Vec<u8> {
    let cluster = hello.cluster.as_str().as_bytes();
    let mut body = Vec::with_capacity(HELLO_FIXED_BYTES + cluster.len());
    body.put_u64_le(hello.node.0);
    body.put_u64_le(hello.boot.0);
    body.put_u128_le(hello.store.0);
    body.put_u64_le(hello.digest);
    body.put_u8(u8::try_from(cluster.len()).expect("a cluster id is at most 64 bytes long"));
    body.put_slice(cluster);
    body
}

fn decode_hello(mut body: &[u8]) -> Result<Hello, HelloError> {
    if body.len() < HELLO_FIXED_BYTES {
        return Err(HelloError::Malformed { what: "a hello shorter than its fixed part" });
    }
    let node = NodeId(body.get_u64_le());
    let boot = BootId(body.get_u64_le());
    let store = StoreId(body.get_u128_le());
    let digest = body.get_u64_le();
    if usize::from(body.get_u8()) != body.len() {
        return Err(HelloError::Malformed { what: "a cluster id longer or shorter than it says" });
    }
    let cluster = std::str::from_utf8(body)
        .ok()
        .and_then(|name| ClusterId::new(name).ok())
        .ok_or(HelloError::Malformed { what: "an impossible cluster id" })?;
    Ok(Hello { cluster, node, store, boot, digest })
}

/// A reason fit for a log: one line, at most [`REASON_BYTES_MAX`] bytes. It is the other side's
/// text, which must neither forge lines nor steer a terminal.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(REASON_BYTES_MAX));
    for c in text.chars().map(|c| if c.is_control() { '?' } else { c }) {
        if line.len() + c.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hello_has_exactly_these_bytes() {
        let hello = Hello {
            cluster: ClusterId::new("prod").unwrap(),
            node: NodeId(2),
            store: StoreId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
            boot: BootId(3),
            digest: 0xfeed,
        };
        let mut expected = b"MULTIRFT\x03\x00\x01\x00\x2d\x00\x00\x00".to_vec();
        let mut body = vec![2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
        body.extend((1..=16).rev());
        body.extend(b"\xed\xfe\x00\x00\x00\x00\x00\x00\x04prod");
        expected.extend([0x37, 0xf9, 0xce, 0x0b]);
        expected.extend(body);
        assert_eq!(Message::Hello(hello).encode(), expected);
    }

    #[test]
    fn reason_is_cut_and_cannot_forge_lines() {
        let reason = format!("a\nb\x1b[2J{}", "\u{e9}".repeat(600));
        let bytes = Message::Refused { reason }.encode();
        let Message::Refused { reason } = decode(&bytes).unwrap() else { panic!("not a refusal") };
        assert!(reason.starts_with("a?b?[2J\u{e9}"));
        assert_eq!(reason.len(), 999, "the last character that fits ends one byte before the cap");
    }

    #[test]
    fn refusal_is_read_in_any_version_and_nothing_else_is() {
        let refused = Message::Refused { reason: "no".to_owned() };
        assert_eq!(decode(&refused.encode_as(7)), Ok(refused));
        assert_eq!(decode(&Message::Accepted.encode_as(7)), Err(HelloError::Version { found: 7 }));
    }

    #[test]
    fn length_above_the_cap_is_refused_before_the_body_is_read() {
        let mut bytes = Message::Accepted.encode();
        bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        let header = Header::decode(bytes.first_chunk().unwrap());
        assert_eq!(header, Err(HelloError::TooLong { found: u32::MAX }));
    }

    #[test]
    fn strangers_and_unknown_kinds_are_named() {
        let http = Header::decode(b"GET / HTTP/1.1\r\nHost").unwrap_err();
        assert!(http.to_string().starts_with("not the multiraft peer protocol: begins with [47"));
        let mut bytes = Message::Accepted.encode();
        bytes[10] = 9;
        let crc = crc32c::crc32c(&bytes[..16]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&bytes), Err(HelloError::Kind { found: 9 }));
    }

    proptest! {
        #[test]
        fn every_message_comes_back_as_it_was(message in any_message()) {
            prop_assert_eq!(decode(&message.encode()), Ok(message));
        }

        #[test]
        fn every_flipped_bit_is_noticed(message in any_message(), at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut bytes = message.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn random_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn random_bodies_under_a_right_checksum_decode_only_to_what_encodes_the_same(
            kind in 0_u16..5,
            body in prop::collection::vec(any::<u8>(), 0..120),
        ) {
            let mut bytes = MAGIC.to_vec();
            bytes.put_u16_le(PROTOCOL_VERSION);
            bytes.put_u16_le(kind);
            bytes.put_u32_le(u32::try_from(body.len()).unwrap());
            bytes.put_u32_le(crc32c::crc32c_append(crc32c::crc32c(&bytes), &body));
            bytes.extend(&body);
            match decode(&bytes) {
                Ok(Message::Refused { .. }) => prop_assert_eq!(kind, KIND_REFUSED),
                Ok(message) => prop_assert_eq!(message.encode(), bytes),
                Err(_) => {}
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Message, HelloError> {
        let short = HelloError::Malformed { what: "short" };
        let header = Header::decode(bytes.first_chunk().ok_or(short.clone())?)?;
        let body = &bytes[HEADER_BYTES..];
        if body.len() != header.body_bytes {
            return Err(short);
        }
        Message::decode(&header, body)
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let hello = ("[a-zA-Z0-9._-]{1,64}", any::<(u64, u64, u128, u64)>()).prop_map(
            |(cluster, (node, boot, store, digest))| {
                Message::Hello(Hello {
                    cluster: ClusterId::new(cluster).unwrap(),
                    node: NodeId(node),
                    store: StoreId(store),
                    boot: BootId(boot),
                    digest,
                })
            },
        );
        let refused = "[ -~]{0,200}".prop_map(|reason| Message::Refused { reason });
        prop_oneof![hello, Just(Message::Accepted), refused]
    }
}
