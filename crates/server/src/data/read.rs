//! Commands that only look, parsed.

use super::CommandError;
use super::bits::BitRead;
use super::hash_walk::HashWalk;
use super::hashes::HashRead;
use super::keys::KeyRead;
use super::strings::StringRead;
use crate::resp::Args;

/// A command that only looks; borrowed from a request.
#[derive(Clone, Copy, Debug)]
pub enum Read<'a> {
    /// At keys, whatever they hold.
    Key(KeyRead<'a>),
    /// At strings.
    String(StringRead<'a>),
    /// At the bits of strings.
    Bits(BitRead<'a>),
    /// At hashes.
    Hash(HashRead<'a>),
    /// At fields of a hash, in pieces or by chance.
    HashWalk(HashWalk<'a>),
}

/// How a command of the table is parsed.
pub type ParseRead = for<'a> fn(Args<'a>) -> Result<Read<'a>, CommandError>;

impl<'a> From<KeyRead<'a>> for Read<'a> {
    fn from(read: KeyRead<'a>) -> Self {
        Self::Key(read)
    }
}

impl<'a> From<StringRead<'a>> for Read<'a> {
    fn from(read: StringRead<'a>) -> Self {
        Self::String(read)
    }
}

impl<'a> From<BitRead<'a>> for Read<'a> {
    fn from(read: BitRead<'a>) -> Self {
        Self::Bits(read)
    }
}

impl<'a> From<HashRead<'a>> for Read<'a> {
    fn from(read: HashRead<'a>) -> Self {
        Self::Hash(read)
    }
}

impl<'a> From<HashWalk<'a>> for Read<'a> {
    fn from(walk: HashWalk<'a>) -> Self {
        Self::HashWalk(walk)
    }
}
