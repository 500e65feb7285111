//! Reads fixed little-endian fields off shared bytes.

use core::fmt;

use bytes::Bytes;

/// The bytes end before a field does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Truncated {
    /// Where the field starts.
    pub offset: usize,
    /// How many bytes it takes.
    pub wanted: usize,
    /// How many there are from its start on.
    pub found: usize,
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, wanted, found } = self;
        write!(f, "{wanted} bytes expected at byte {offset}, found {found}")
    }
}

impl core::error::Error for Truncated {}

/// A place within `bytes`, and where what is being read ends.
///
/// Invariant: `rest` is the part of `bytes` that ends at `end`.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a Bytes,
    rest: &'a [u8],
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, rest: bytes, end: bytes.len() }
    }

    /// Starts at `offset`, or at the end if that lies beyond it.
    pub(crate) fn at(bytes: &'a Bytes, offset: usize) -> Self {
        Self { bytes, rest: bytes.get(offset..).unwrap_or_default(), end: bytes.len() }
    }

    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// All that remains, as it is.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        match self.rest.split_first_chunk::<N>() {
            Some((array, rest)) => {
                self.rest = rest;
                Ok(*array)
            }
            None => Err(self.truncated(N)),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u128(&mut self) -> Result<u128, Truncated> {
        self.array().map(u128::from_le_bytes)
    }

    /// The next `len` bytes, shared and not copied.
    #[inline]
    pub(crate) fn shared(&mut self, len: usize) -> Result<Bytes, Truncated> {
        let start = self.offset();
        let part = self.part(len)?;
        Ok(self.bytes.slice(start..part.end))
    }

    /// A reader of the next `len` bytes alone; this one goes on behind them.
    #[inline]
    pub(crate) fn part(&mut self, len: usize) -> Result<Self, Truncated> {
        let Some((part, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.truncated(len));
        };
        self.rest = rest;
        Ok(Self { bytes: self.bytes, rest: part, end: self.offset() })
    }

    /// Apart from the fields above, so that reading one is a comparison and a load.
    #[cold]
    fn truncated(&self, wanted: usize) -> Truncated {
        Truncated { offset: self.offset(), wanted, found: self.remaining() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_little_endian_and_never_read_past_the_end() {
        let bytes = Bytes::from_static(&[1, 2, 0, 0, 0, 9, 8, 7]);
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.u8(), reader.u32()), (Ok(1), Ok(2)));
        assert_eq!(reader.u64(), Err(Truncated { offset: 5, wanted: 8, found: 3 }));
        let mut part = reader.part(2).unwrap();
        assert_eq!(part.rest(), [9, 8]);
        assert_eq!(part.u32(), Err(Truncated { offset: 5, wanted: 4, found: 2 }));
        assert_eq!((reader.offset(), reader.remaining()), (7, 1));
        assert!(reader.part(2).is_err() && reader.shared(2).is_err());
        assert_eq!(reader.shared(1).unwrap(), &[7][..]);
        assert_eq!(Reader::at(&bytes, 99).remaining(), 0);
    }
}
