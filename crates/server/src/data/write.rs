//! Commands that change something, parsed.

use super::CommandError;
use super::error::quote;
use super::set::{Set, Unit};
use crate::resp::Args;
use crate::resp::number::parse_integer;

/// When a key is to expire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// At that moment in milliseconds since 1970; may lie in the past.
    At(i64),
    /// That many milliseconds from the group's time; may be negative.
    After(i64),
}

/// On what a new expiry depends.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ExpireConditions {
    /// NX: only if the key has none.
    pub if_none: bool,
    /// XX: only if the key has one.
    pub if_some: bool,
    /// GT: only if it is later than the key's; a key without one lives for ever.
    pub if_later: bool,
    /// LT: only if it is earlier than the key's.
    pub if_earlier: bool,
}

/// A command that changes something; borrowed from a request or a log entry.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// SET and its relatives.
    Set(Set<'a>),
    /// MSET: pairs of key and value from the first argument on.
    SetMany(Args<'a>),
    /// DEL, UNLINK: keys from the first argument on.
    Delete(Args<'a>),
    /// GETDEL.
    GetDelete {
        /// The key.
        key: &'a [u8],
    },
    /// INCR, DECR, INCRBY, DECRBY.
    Increment {
        /// The key.
        key: &'a [u8],
        /// What is added.
        delta: i64,
    },
    /// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT.
    Expire {
        /// How the client called it, for errors that show only when it is applied.
        command: &'static str,
        /// The key.
        key: &'a [u8],
        /// When.
        when: When,
        /// On what it depends.
        conditions: ExpireConditions,
    },
    /// PERSIST.
    Persist {
        /// The key.
        key: &'a [u8],
    },
}

/// How a command of the table is parsed.
pub type ParseWrite = for<'a> fn(Args<'a>) -> Result<Write<'a>, CommandError>;

/// `SET key value ...`
///
/// # Errors
/// See [`Set::parse`].
pub fn set(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Set::parse(args).map(Write::Set)
}

/// `SETNX key value`
///
/// # Errors
/// None.
pub fn setnx(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Set::parse_setnx(args).map(Write::Set)
}

/// `SETEX key seconds value`
///
/// # Errors
/// What is wrong with the time.
pub fn setex(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Set::parse_setex(args).map(Write::Set)
}

/// `PSETEX key milliseconds value`
///
/// # Errors
/// What is wrong with the time.
pub fn psetex(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Set::parse_psetex(args).map(Write::Set)
}

/// `GETSET key value`
///
/// # Errors
/// None.
pub fn getset(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Set::parse_getset(args).map(Write::Set)
}

/// `MSET key value [key value ...]`
///
/// # Errors
/// [`CommandError::Arity`] for a key without a value.
pub fn mset(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Arity { command: "mset".to_owned() });
    }
    Ok(Write::SetMany(args))
}

/// `DEL key [key ...]`
///
/// # Errors
/// None.
pub const fn delete(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(Write::Delete(args))
}

/// `GETDEL key`
///
/// # Errors
/// None.
pub fn getdel(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(Write::GetDelete { key: args.at(1) })
}

/// `INCR key`
///
/// # Errors
/// None.
pub fn incr(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(Write::Increment { key: args.at(1), delta: 1 })
}

/// `DECR key`
///
/// # Errors
/// None.
pub fn decr(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(Write::Increment { key: args.at(1), delta: -1 })
}

/// `INCRBY key increment`
///
/// # Errors
/// [`CommandError::NotInteger`].
pub fn incrby(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let delta = parse_integer(args.at(2)).ok_or(CommandError::NotInteger)?;
    Ok(Write::Increment { key: args.at(1), delta })
}

/// `DECRBY key decrement`
///
/// # Errors
/// [`CommandError::NotInteger`], and [`CommandError::DecrementOverflow`] for the one number
/// that has no opposite.
pub fn decrby(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let amount = parse_integer(args.at(2)).ok_or(CommandError::NotInteger)?;
    let delta = amount.checked_neg().ok_or(CommandError::DecrementOverflow)?;
    Ok(Write::Increment { key: args.at(1), delta })
}

/// `EXPIRE key seconds [NX|XX] [GT|LT]`
///
/// # Errors
/// What is wrong with options or time.
pub fn expire(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    parse_expire("expire", args, Unit::Seconds, When::After)
}

/// `PEXPIRE key milliseconds [NX|XX] [GT|LT]`
///
/// # Errors
/// What is wrong with options or time.
pub fn pexpire(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    parse_expire("pexpire", args, Unit::Millis, When::After)
}

/// `EXPIREAT key unix-seconds [NX|XX] [GT|LT]`
///
/// # Errors
/// What is wrong with options or time.
pub fn expireat(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    parse_expire("expireat", args, Unit::Seconds, When::At)
}

/// `PEXPIREAT key unix-milliseconds [NX|XX] [GT|LT]`
///
/// # Errors
/// What is wrong with options or time.
pub fn pexpireat(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    parse_expire("pexpireat", args, Unit::Millis, When::At)
}

/// `PERSIST key`
///
/// # Errors
/// None.
pub fn persist(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(Write::Persist { key: args.at(1) })
}
fn parse_expire<'a>(
    command: &'static str,
    args: Args<'a>,
    unit: Unit,
    when: fn(i64) -> When,
) -> Result<Write<'a>, CommandError> {
    let mut conditions = ExpireConditions::default();
    for option in args.from(3) {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("NX") {
            conditions.if_none = true;
        } else if is("XX") {
            conditions.if_some = true;
        } else if is("GT") {
            conditions.if_later = true;
        } else if is("LT") {
            conditions.if_earlier = true;
        } else {
            return Err(CommandError::UnsupportedOption { option: quote(option, 128) });
        }
    }
    let ExpireConditions { if_none, if_some, if_later, if_earlier } = conditions;
    if if_none && (if_some || if_later || if_earlier) {
        return Err(CommandError::NxWithOthers);
    }
    if if_later && if_earlier {
        return Err(CommandError::GtWithLt);
    }
    let amount = parse_integer(args.at(2)).ok_or(CommandError::NotInteger)?;
    let millis = unit.to_millis(amount).ok_or(CommandError::InvalidExpire { command })?;
    Ok(Write::Expire { command, key: args.at(1), when: when(millis), conditions })
}
