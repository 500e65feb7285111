//! The parsers of what comes from the network, for fuzzers; not part of the interface.
//!
//! They are private, since nobody has a use for half a connection. With the feature `fuzzing` they
//! can be fed without sockets.

use bytes::BufMut;
use types::{BootId, ClusterId, NodeId, StoreId};

use crate::frame::{FrameDecoder, FrameError, frame_header};
use crate::hello::{HEADER_BYTES, Header, Hello, Message};
use crate::limits::FRAME_HEADER_BYTES;

/// The bytes of one message of each kind.
#[must_use]
pub fn hellos() -> Vec<Vec<u8>> {
    let cluster = ClusterId::new("cluster").expect("a legal name");
    let hello = Hello { cluster, node: NodeId(1), store: StoreId(2), boot: BootId(3), digest: 4 };
    let refused = Message::Refused { reason: "node 1 expects another cluster".into() };
    [Message::Hello(hello), Message::Accepted, refused].map(|message| message.encode()).to_vec()
}

/// Reads a message of the hello, and tells whether it is one.
///
/// # Panics
/// If one is read that would be written differently.
#[must_use]
pub fn read_hello(bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return false };
    let read = Header::decode(first).and_then(|header| {
        // Whoever reads from a socket waits for the rest.
        let Some(body) = rest.get(..header.body_bytes) else { return Ok(None) };
        Message::decode(&header, body).map(|message| Some((message, body)))
    });
    match read.inspect_err(|error| assert!(!error.to_string().is_empty())) {
        // A reason is cleaned when it is read, and read in any version.
        Ok(Some((Message::Refused { reason }, _))) => assert!(!reason.contains(char::is_control)),
        Ok(Some((message, body))) => assert_eq!(message.encode(), [&first[..], body].concat()),
        Ok(None) | Err(_) => return false,
    }
    true
}

/// Makes the checksum of a message of the hello right.
pub fn seal_hello(bytes: &mut [u8]) {
    let Some((header, body)) = bytes.split_first_chunk_mut::<HEADER_BYTES>() else { return };
    let length = header[12..16].try_into().expect("four bytes");
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    let body = &body[..length.min(body.len())];
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..HEADER_BYTES - 4]), body);
    header[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
}

/// Cuts a stream that comes in pieces of at most `piece` bytes into frames, and tells their bodies
/// and what ended it.
#[must_use]
pub fn frames(
    bytes: &[u8],
    piece: usize,
    frame_bytes_max: usize,
    buffer_bytes: usize,
) -> (Vec<Vec<u8>>, Option<String>) {
    let mut decoder = FrameDecoder::new(frame_bytes_max, buffer_bytes);
    let mut bodies = Vec::new();
    let ended = feed(&mut decoder, bytes, piece, &mut bodies).err();
    (bodies, ended.map(|error| error.to_string()))
}

fn feed(
    decoder: &mut FrameDecoder,
    mut bytes: &[u8],
    piece: usize,
    bodies: &mut Vec<Vec<u8>>,
) -> Result<(), FrameError> {
    loop {
        while let Some(body) = decoder.next()? {
            bodies.push(body.to_vec());
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let room = decoder.room()?;
        let room_bytes = room.capacity() - room.len();
        assert!(room_bytes > 0, "a stream always gets on");
        let (now, later) = bytes.split_at(piece.min(room_bytes).min(bytes.len()));
        room.put_slice(now);
        bytes = later;
    }
}

/// A stream of frames with these bodies.
#[must_use]
pub fn stream(bodies: &[&[u8]]) -> Vec<u8> {
    bodies.iter().flat_map(|body| [&frame_header(body)[..], body].concat()).collect()
}

/// Makes the checksums of a stream's frames right, as far as their lengths reach.
pub fn seal_frames(mut bytes: &mut [u8]) {
    while let Some((header, rest)) = bytes.split_first_chunk_mut::<FRAME_HEADER_BYTES>() {
        let length = header[..4].try_into().expect("four bytes");
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        let Some((body, rest)) = rest.split_at_mut_checked(length) else { return };
        *header = frame_header(body);
        bytes = rest;
    }
}
