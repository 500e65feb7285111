//! What a disk holds, and which of its blocks that takes.

/// The unit in which a file system gives room away.
const BLOCK_BYTES: usize = 4096;

/// The content of the one file on the disk. A block that nothing was written to takes no room and
/// reads as zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    bytes: Vec<u8>,
    /// Which blocks something was written to.
    taken: Vec<bool>,
    taken_count: usize,
}

impl Image {
    /// A file that holds `bytes`; zeros are holes.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let is_taken = |block: &[u8]| block.iter().any(|byte| *byte != 0);
        let taken: Vec<_> = bytes.chunks(BLOCK_BYTES).map(is_taken).collect();
        let taken_count = taken.iter().filter(|taken| **taken).count();
        Self { bytes, taken, taken_count }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The content, to be damaged.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How much of the disk it takes.
    pub(super) fn taken_bytes(&self) -> u64 {
        (self.taken_count * BLOCK_BYTES) as u64
    }

    /// How much more it would take if `len` bytes were written at `offset`.
    pub(super) fn newly_taken_bytes(&self, offset: usize, len: usize) -> u64 {
        let taken = |block| self.taken.get(block).copied().unwrap_or(false);
        let newly = blocks(offset, len).filter(|block| !taken(*block)).count();
        (newly * BLOCK_BYTES) as u64
    }

    /// Makes it longer by a hole, or cuts it off.
    pub(super) fn resize(&mut self, len: usize) {
        let lost = self.taken.iter().skip(len.div_ceil(BLOCK_BYTES)).filter(|taken| **taken);
        self.taken_count -= lost.count();
        self.taken.resize(len.div_ceil(BLOCK_BYTES), false);
        self.bytes.resize(len, 0);
    }

    /// Writes what lies within the image; what a lost change of length cut off has no place.
    pub(super) fn put(&mut self, offset: usize, bytes: &[u8]) {
        let Some(room) = self.bytes.get_mut(offset..) else { return };
        let len = bytes.len().min(room.len());
        room[..len].copy_from_slice(&bytes[..len]);
        for block in blocks(offset, len) {
            self.taken_count += usize::from(!self.taken[block]);
            self.taken[block] = true;
        }
    }
}

/// The blocks that a range of bytes touches.
fn blocks(offset: usize, len: usize) -> std::ops::Range<usize> {
    if len == 0 { 0..0 } else { offset / BLOCK_BYTES..(offset + len).div_ceil(BLOCK_BYTES) }
}
