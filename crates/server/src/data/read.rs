//! Commands that only look.

use super::CommandError;
use super::set::Unit;
use crate::resp::Args;

/// A command that only looks; borrowed from a request.
#[derive(Clone, Copy, Debug)]
pub enum Read<'a> {
    /// GET.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// MGET: keys from the first argument on.
    GetMany(Args<'a>),
    /// EXISTS, TOUCH: keys from the first argument on, counted as often as they are named.
    Exists(Args<'a>),
    /// STRLEN.
    Length {
        /// The key.
        key: &'a [u8],
    },
    /// TYPE.
    Type {
        /// The key.
        key: &'a [u8],
    },
    /// TTL, PTTL: how long the key still lives.
    Remaining {
        /// The key.
        key: &'a [u8],
        /// In which unit.
        unit: Unit,
    },
    /// EXPIRETIME, PEXPIRETIME: the moment at which the key expires.
    Deadline {
        /// The key.
        key: &'a [u8],
        /// In which unit since 1970.
        unit: Unit,
    },
}

/// How a command of the table is parsed.
pub type ParseRead = for<'a> fn(Args<'a>) -> Result<Read<'a>, CommandError>;

/// `GET key`
///
/// # Errors
/// None.
pub fn get(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(Read::Get { key: args.at(1) })
}

/// `MGET key [key ...]`
///
/// # Errors
/// None.
pub const fn mget(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(Read::GetMany(args))
}

/// `EXISTS key [key ...]`, `TOUCH key [key ...]`
///
/// # Errors
/// None.
pub const fn exists(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(Read::Exists(args))
}

/// `STRLEN key`
///
/// # Errors
/// None.
pub fn strlen(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(Read::Length { key: args.at(1) })
}

/// `TYPE key`
///
/// # Errors
/// None.
pub fn kind(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(Read::Type { key: args.at(1) })
}

/// `TTL key`
///
/// # Errors
/// None.
pub fn ttl(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(Read::Remaining { key: args.at(1), unit: Unit::Seconds })
}

/// `PTTL key`
///
/// # Errors
/// None.
pub fn pttl(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(Read::Remaining { key: args.at(1), unit: Unit::Millis })
}

/// `EXPIRETIME key`
///
/// # Errors
/// None.
pub fn expiretime(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(Read::Deadline { key: args.at(1), unit: Unit::Seconds })
}

/// `PEXPIRETIME key`
///
/// # Errors
/// None.
pub fn pexpiretime(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(Read::Deadline { key: args.at(1), unit: Unit::Millis })
}
