//! Commands that change something, parsed.

use super::CommandError;
use super::bits::BitWrite;
use super::hashes::HashWrite;
use super::keys::KeyWrite;
use super::strings::StringWrite;
use crate::resp::Args;

/// A command that changes something; borrowed from a request or a log entry.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// On keys, whatever they hold.
    Key(KeyWrite<'a>),
    /// On strings.
    String(StringWrite<'a>),
    /// On the bits of strings.
    Bits(BitWrite<'a>),
    /// On hashes.
    Hash(HashWrite<'a>),
}

/// How a command of the table is parsed. What it finds wrong must not depend on keys: it is asked
/// before the command is put into the log, too.
pub type ParseWrite = for<'a> fn(Args<'a>) -> Result<Write<'a>, CommandError>;

impl<'a> From<KeyWrite<'a>> for Write<'a> {
    fn from(write: KeyWrite<'a>) -> Self {
        Self::Key(write)
    }
}

impl<'a> From<StringWrite<'a>> for Write<'a> {
    fn from(write: StringWrite<'a>) -> Self {
        Self::String(write)
    }
}

impl<'a> From<BitWrite<'a>> for Write<'a> {
    fn from(write: BitWrite<'a>) -> Self {
        Self::Bits(write)
    }
}

impl<'a> From<HashWrite<'a>> for Write<'a> {
    fn from(write: HashWrite<'a>) -> Self {
        Self::Hash(write)
    }
}
