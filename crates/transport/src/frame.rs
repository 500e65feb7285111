//! Frames on a connection, and what the receiver answers.
//!
//! ```text
//! frame: length u32 | crc32c of the length u32 | crc32c of length and body u32 | body of that length
//! ```
//! Little-endian; the checksums cover the length's four bytes. The length has one of its own because
//! a receiver acts on it before the body is there: a damaged one would have it wait for up to
//! `frame_bytes_max` of what follows, on a connection that looks alive. An empty body is a
//! keep-alive. On the way back only acknowledgements travel, in frames of 8 bytes: how many frames
//! with a body came on this connection, u64.
//!
//! Invariants of the decoder: what it hands out passed its checksums; it allocates or waits for a
//! frame only after its length passed its own and was held against the cap; after an error it is not
//! asked again.

use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::FRAME_HEADER_BYTES;

/// Cuts a stream of bytes into frames. The bodies are slices of its read buffer, not copies.
pub(crate) struct FrameDecoder {
    buffer: BytesMut,
    frame_bytes_max: usize,
    buffer_bytes: usize,
}

/// Why a stream cannot be cut any further.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {found} bytes, expected at most {max}")]
    TooLong { found: u32, max: usize },
    #[error(
        "a damaged frame of {bytes} bytes: its checksum is {found:08x}, expected {expected:08x}"
    )]
    Damaged { bytes: usize, found: u32, expected: u32 },
    #[error(
        "a damaged frame: the checksum of its length, {length}, is {found:08x}, expected \
         {expected:08x}"
    )]
    DamagedLength { length: u32, found: u32, expected: u32 },
}

/// Bytes of an acknowledgement's body.
pub(crate) const ACK_BYTES: usize = 8;

/// Size of a read buffer. Larger ones save few system calls, but a slice kept from one keeps it
/// all; at 64 KiB glibc still takes it from its heap, so that a fresh one costs no page faults.
pub(crate) const READ_BUFFER_BYTES: usize = 64 << 10;

/// Less room than this is not worth a read: the rest of the buffer is given up.
const READ_BYTES_MIN: usize = 4 << 10;

impl FrameDecoder {
    /// Begins with an empty buffer of `buffer_bytes`.
    pub(crate) fn new(frame_bytes_max: usize, buffer_bytes: usize) -> Self {
        let buffer = BytesMut::with_capacity(buffer_bytes);
        Self { buffer, frame_bytes_max, buffer_bytes }
    }

    /// Takes the next whole frame's body, empty for a keep-alive; `None` if more bytes are needed.
    ///
    /// # Errors
    /// The stream is damaged: the caller closes the connection.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some((bytes, found)) = self.header()? else { return Ok(None) };
        if self.buffer.len() < FRAME_HEADER_BYTES + bytes {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(FRAME_HEADER_BYTES + bytes);
        let body = &frame[FRAME_HEADER_BYTES..];
        let expected = crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), body);
        if found != expected {
            return Err(FrameError::Damaged { bytes, found, expected });
        }
        frame.advance(FRAME_HEADER_BYTES);
        Ok(Some(frame.freeze()))
    }

    /// The buffer to read into, after [`Self::next`] asked for more: has room for what the frame
    /// begun still needs, or for a worthwhile read.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(crate) fn room(&mut self) -> Result<&mut BytesMut, FrameError> {
        let have = self.buffer.len();
        let room = self.buffer.capacity() - have;
        let is_enough = match self.header()? {
            Some((bytes, _)) => have + room >= FRAME_HEADER_BYTES + bytes,
            None => room >= READ_BYTES_MIN.min(self.buffer_bytes),
        };
        if !is_enough {
            let whole = self.header()?.map_or(0, |(bytes, _)| FRAME_HEADER_BYTES + bytes);
            let mut fresh = BytesMut::with_capacity(whole.max(self.buffer_bytes));
            fresh.extend_from_slice(&self.buffer);
            self.buffer = fresh;
        }
        Ok(&mut self.buffer)
    }

    /// Length of body and checksum of the frame at the front.
    fn header(&self) -> Result<Option<(usize, u32)>, FrameError> {
        let Some(mut header) = self.buffer.get(..FRAME_HEADER_BYTES) else { return Ok(None) };
        let length = header.get_u32_le();
        let found = header.get_u32_le();
        let expected = crc32c::crc32c(&length.to_le_bytes());
        if found != expected {
            return Err(FrameError::DamagedLength { length, found, expected });
        }
        match usize::try_from(length) {
            Ok(bytes) if bytes <= self.frame_bytes_max => Ok(Some((bytes, header.get_u32_le()))),
            Ok(_) | Err(_) => Err(FrameError::TooLong { found: length, max: self.frame_bytes_max }),
        }
    }
}

/// The header of a frame with this body. The body is at most 1 GiB long ([`crate::Limits`]).
pub(crate) fn frame_header(body: &[u8]) -> [u8; FRAME_HEADER_BYTES] {
    let length = u32::try_from(body.len()).expect("a frame is at most 1 GiB long").to_le_bytes();
    let crc_of_length = crc32c::crc32c(&length);
    let crc = crc32c::crc32c_append(crc_of_length, body);
    let mut header = [0; FRAME_HEADER_BYTES];
    header[..4].copy_from_slice(&length);
    header[4..8].copy_from_slice(&crc_of_length.to_le_bytes());
    header[8..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// An acknowledgement: that many frames with a body came.
pub(crate) fn encode_ack(frames: u64) -> [u8; FRAME_HEADER_BYTES + ACK_BYTES] {
    let body = frames.to_le_bytes();
    let mut frame = [0; FRAME_HEADER_BYTES + ACK_BYTES];
    frame[..FRAME_HEADER_BYTES].copy_from_slice(&frame_header(&body));
    frame[FRAME_HEADER_BYTES..].copy_from_slice(&body);
    frame
}

/// Frames on their way into a socket with as few system calls as it takes, without copying bodies.
#[derive(Default)]
pub(crate) struct WriteBatch {
    frames: Vec<([u8; FRAME_HEADER_BYTES], Bytes)>,
    /// The first frame not wholly written, and how many of its bytes are.
    at: usize,
    written: usize,
}

/// How many slices one write offers: as many as a full batch has.
pub(crate) const SLICES_MAX: usize = 2 * BATCH_FRAMES_MAX;

/// How many frames a batch has at most: 64 of 2 KiB make a write of 128 KiB, where the price of a
/// system call no longer shows.
pub(crate) const BATCH_FRAMES_MAX: usize = 64;

impl WriteBatch {
    /// Takes the bodies, leaving the list empty for reuse; replaces what was there.
    pub(crate) fn load(&mut self, bodies: &mut Vec<Bytes>) {
        self.frames.clear();
        self.frames.extend(bodies.drain(..).map(|body| (frame_header(&body), body)));
        self.at = 0;
        self.written = 0;
    }

    /// What is left to write, in order; fills `slices` from the front and says how many it filled:
    /// none when all is written.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut skip = self.written;
        for (header, body) in &self.frames[self.at..] {
            for part in [&header[..], &body[..]] {
                let skipped = skip.min(part.len());
                skip -= skipped;
                if skipped == part.len() {
                    continue;
                }
                let Some(slice) = slices.get_mut(filled) else { return filled };
                *slice = IoSlice::new(&part[skipped..]);
                filled += 1;
            }
        }
        filled
    }

    /// Moves on by that many bytes, which were written. A frame wholly written lets go of its body.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.written += bytes;
        while let Some((header, body)) = self.frames.get_mut(self.at) {
            let whole = header.len() + body.len();
            if self.written < whole {
                break;
            }
            self.written -= whole;
            *body = Bytes::new();
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 5000;

    #[test]
    fn frame_has_exactly_these_bytes() {
        let zero = [0xc7, 0x4b, 0x67, 0x48];
        assert_eq!(frame_header(b""), [&[0; 4][..], &zero, &zero].concat()[..]);
        let of_length = crc32c::crc32c(&[3, 0, 0, 0]).to_le_bytes();
        let abc = [&[3, 0, 0, 0], &of_length[..], &[0xf8, 0x83, 0x14, 0x55]].concat();
        assert_eq!(frame_header(b"abc"), abc[..]);
        assert_eq!(encode_ack(5)[FRAME_HEADER_BYTES..], [5, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn zeros_are_no_keep_alive() {
        let error = decode(&[&[0; FRAME_HEADER_BYTES]]).1.unwrap_err();
        assert!(matches!(error, FrameError::DamagedLength { length: 0, .. }), "{error}");
    }

    #[test]
    fn a_damaged_length_is_noticed_before_its_body_comes() {
        let header = frame_header(&[7; 100]);
        for bit in 0..64 {
            let mut damaged = header;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = decode(&[&damaged]).1.unwrap_err();
            assert!(matches!(error, FrameError::DamagedLength { .. }), "bit {bit}: {error}");
        }
        assert_eq!(decode(&[&header]), (Vec::new(), Ok(())));
    }

    #[test]
    fn frame_above_the_cap_is_refused_before_allocation() {
        let mut decoder = FrameDecoder::new(MAX, 100);
        decoder.room().unwrap().extend_from_slice(&frame_header(&[0; MAX + 1]));
        let error = FrameError::TooLong { found: 5001, max: 5000 };
        assert_eq!(decoder.next(), Err(error));
        assert_eq!(decoder.room().err(), Some(error));
        assert!(decoder.buffer.capacity() <= 100);
    }

    #[test]
    fn frames_share_the_read_buffer() {
        let mut decoder = FrameDecoder::new(MAX, 4096);
        let mut bytes = Vec::new();
        for body in [b"one", b"two"] {
            bytes.extend(frame_header(body));
            bytes.extend(body);
        }
        decoder.room().unwrap().extend_from_slice(&bytes);
        let start = decoder.buffer.as_ptr().addr();
        assert_eq!(decoder.next().unwrap().unwrap().as_ptr().addr(), start + 12);
        assert_eq!(decoder.next().unwrap().unwrap().as_ptr().addr(), start + 27);
    }

    proptest! {
        #[test]
        fn frames_come_out_whatever_the_pieces(bodies in any_bodies(), piece in 1_usize..3000) {
            let bytes = encode(&bodies);
            let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
            let (found, end) = decode(&pieces);
            prop_assert_eq!(end, Ok(()));
            prop_assert_eq!(found, bodies);
        }

        #[test]
        fn damage_never_alters_a_frame(
            bodies in any_bodies(),
            at in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let mut bytes = encode(&bodies);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            let (found, _) = decode(&[&bytes]);
            prop_assert!(found.len() < bodies.len(), "the damaged frame must not come out");
            prop_assert_eq!(&found[..], &bodies[..found.len()]);
        }

        #[test]
        fn random_bytes_yield_no_frame_and_bounded_memory(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            small in any::<bool>(),
        ) {
            let mut bytes = bytes;
            if small && bytes.len() > 4 {
                // A plausible length, so that the checksum has the last word.
                bytes[1..4].fill(0);
            }
            let mut decoder = FrameDecoder::new(MAX, 64);
            for piece in bytes.chunks(7) {
                let Ok(room) = decoder.room() else { return Ok(()) };
                room.extend_from_slice(piece);
                prop_assert!(room.capacity() <= 2 * (MAX + FRAME_HEADER_BYTES));
                match decoder.next() {
                    Ok(None) => {}
                    Ok(Some(body)) => prop_assert!(false, "a frame from nowhere: {body:?}"),
                    Err(_) => return Ok(()),
                }
            }
        }

        #[test]
        fn batch_writes_every_byte_once_whatever_the_socket_takes(
            bodies in any_bodies(),
            takes in prop::collection::vec(1_usize..4000, 1..20),
            width in 1_usize..9,
        ) {
            let expected = encode(&bodies);
            let mut batch = WriteBatch::default();
            batch.load(&mut bodies.clone());
            let mut written: Vec<u8> = Vec::new();
            for take in takes.iter().cycle() {
                let mut slices = vec![IoSlice::new(&[]); width];
                let filled = batch.slices(&mut slices);
                if filled == 0 {
                    break;
                }
                let offered: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
                let taken = offered.len().min(*take);
                written.extend(&offered[..taken]);
                batch.advance(taken);
            }
            prop_assert_eq!(written, expected);
        }
    }

    fn any_bodies() -> impl Strategy<Value = Vec<Bytes>> {
        let body = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            (0..=MAX, any::<u8>()).prop_map(|(bytes, fill)| vec![fill; bytes]),
        ];
        prop::collection::vec(body.prop_map(Bytes::from), 1..12)
    }

    fn encode(bodies: &[Bytes]) -> Vec<u8> {
        bodies.iter().flat_map(|body| [&frame_header(body)[..], &body[..]].concat()).collect()
    }

    /// All frames of the pieces, and how it ended.
    fn decode(pieces: &[&[u8]]) -> (Vec<Bytes>, Result<(), FrameError>) {
        let mut decoder = FrameDecoder::new(MAX, 64);
        let mut found = Vec::new();
        for piece in pieces {
            match decoder.room() {
                Ok(room) => room.extend_from_slice(piece),
                Err(error) => return (found, Err(error)),
            }
            loop {
                match decoder.next() {
                    Ok(Some(body)) => found.push(body),
                    Ok(None) => break,
                    Err(error) => return (found, Err(error)),
                }
            }
        }
        (found, Ok(()))
    }
}
