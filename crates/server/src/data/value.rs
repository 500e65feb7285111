//! What a key holds.

use bytes::Bytes;

use super::CommandError;
use super::fields::Fields;

/// How long a string may become by commands that make it longer, in bytes. Part of what a log means:
/// all nodes must agree on it for ever, whatever their own limits on requests are.
pub const STRING_BYTES_MAX: usize = 512 << 10;

/// What a key holds; never an empty hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    String(Bytes),
    Hash(Box<Fields>),
}

/// The kinds of values that there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Bytes.
    String,
    /// Fields with a value each.
    Hash,
}

impl Kind {
    /// What TYPE calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash => "hash",
        }
    }

    /// The kind of that name; letter case does not matter.
    pub fn named(name: &[u8]) -> Option<Self> {
        let all = [Self::String, Self::Hash];
        all.into_iter().find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }
}

impl Value {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::String(_) => Kind::String,
            Self::Hash(_) => Kind::Hash,
        }
    }

    /// Its bytes, if it is a string.
    ///
    /// # Errors
    /// [`CommandError::WrongType`].
    pub(crate) const fn as_string(&self) -> Result<&Bytes, CommandError> {
        match self {
            Self::String(bytes) => Ok(bytes),
            Self::Hash(_) => Err(CommandError::WrongType),
        }
    }

    /// Its fields, if it is a hash.
    ///
    /// # Errors
    /// [`CommandError::WrongType`].
    pub(crate) fn as_hash(&self) -> Result<&Fields, CommandError> {
        match self {
            Self::Hash(fields) => Ok(fields),
            Self::String(_) => Err(CommandError::WrongType),
        }
    }

    /// The same, to be changed.
    ///
    /// # Errors
    /// [`CommandError::WrongType`].
    pub(crate) fn as_hash_mut(&mut self) -> Result<&mut Fields, CommandError> {
        match self {
            Self::Hash(fields) => Ok(fields),
            Self::String(_) => Err(CommandError::WrongType),
        }
    }

    /// The kind and every part of it, each behind its length: equal for equal values, in order.
    pub(crate) fn digest_parts(&self) -> Vec<u8> {
        let mut parts = vec![u8::from(self.kind() == Kind::Hash)];
        let mut put = |part: &[u8]| {
            parts.extend_from_slice(&part.len().to_le_bytes());
            parts.extend_from_slice(part);
        };
        match self {
            Self::String(bytes) => put(bytes),
            Self::Hash(fields) => fields.iter().for_each(|(field, value)| {
                put(field);
                put(value);
            }),
        }
        parts
    }
}
