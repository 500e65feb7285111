//! Commands on strings.

use bytes::{Bytes, BytesMut};

use super::extended::Extended;
use super::keyspace::{Keyspace, UnixMillis, deadline_at};
use super::set::{Condition, Expiry, Set, SetReply};
use super::time::Time;
use super::value::{STRING_BYTES_MAX, Value};
use super::{CommandError, Read, Write};
use crate::resp::number::{parse_integer, put_integer};
use crate::resp::{Args, Reply};

/// A command that changes strings; borrowed from a request or a log entry.
#[derive(Clone, Copy, Debug)]
pub enum StringWrite<'a> {
    /// SET and its relatives.
    Set(Set<'a>),
    /// MSET, MSETNX: pairs of key and value from the first argument on.
    SetMany {
        /// The arguments.
        args: Args<'a>,
        /// MSETNX: only if none of the keys exists.
        if_absent: bool,
    },
    /// GETDEL.
    GetDelete {
        /// The key.
        key: &'a [u8],
    },
    /// GETEX.
    GetExpire {
        /// The key.
        key: &'a [u8],
        /// What becomes of its time to live; none leaves it.
        change: Option<TimeChange<'a>>,
    },
    /// INCR, DECR, INCRBY, DECRBY.
    Increment {
        /// The key.
        key: &'a [u8],
        /// What is added.
        delta: i64,
    },
    /// INCRBYFLOAT.
    IncrementFloat {
        /// The key.
        key: &'a [u8],
        /// What is added, not read yet: Redis looks at what the key holds first.
        delta: &'a [u8],
    },
    /// APPEND.
    Append {
        /// The key.
        key: &'a [u8],
        /// What is put behind its value.
        tail: &'a [u8],
    },
    /// SETRANGE.
    SetRange {
        /// The key.
        key: &'a [u8],
        /// Where in its value; behind its end, zeros come between.
        offset: usize,
        /// What is put there.
        part: &'a [u8],
    },
}

/// What GETEX does to a time to live.
#[derive(Clone, Copy, Debug)]
pub enum TimeChange<'a> {
    /// PERSIST: there is none afterwards.
    Clear,
    /// EX, PX, EXAT, PXAT: another one. Looked at only if the key exists, as in Redis.
    To(Time<'a>),
}

/// A command that looks at strings; borrowed from a request.
#[derive(Clone, Copy, Debug)]
pub enum StringRead<'a> {
    /// GET.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// MGET: keys from the first argument on.
    GetMany(Args<'a>),
    /// STRLEN.
    Length {
        /// The key.
        key: &'a [u8],
    },
    /// GETRANGE, SUBSTR.
    Range {
        /// The key.
        key: &'a [u8],
        /// The first byte; negative: counted from the end.
        start: i64,
        /// The last byte, inclusive; negative: counted from the end.
        end: i64,
    },
}

/// `SET key value ...`
///
/// # Errors
/// See [`Set::parse`].
pub fn set(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Set::parse(args).map(|set| StringWrite::Set(set).into())
}

/// `SETNX key value`
///
/// # Errors
/// None.
pub fn setnx(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Set::parse_setnx(args).map(|set| StringWrite::Set(set).into())
}

/// `SETEX key seconds value`
///
/// # Errors
/// What is wrong with the time.
pub fn setex(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Set::parse_setex(args).map(|set| StringWrite::Set(set).into())
}

/// `PSETEX key milliseconds value`
///
/// # Errors
/// What is wrong with the time.
pub fn psetex(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Set::parse_psetex(args).map(|set| StringWrite::Set(set).into())
}

/// `GETSET key value`
///
/// # Errors
/// None.
pub fn getset(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Set::parse_getset(args).map(|set| StringWrite::Set(set).into())
}

/// `MSET key value [key value ...]`
///
/// # Errors
/// [`CommandError::Arity`] for a key without a value.
pub fn mset(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    set_many("mset", args, false)
}

/// `MSETNX key value [key value ...]`
///
/// # Errors
/// [`CommandError::Arity`] for a key without a value.
pub fn msetnx(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    set_many("msetnx", args, true)
}

fn set_many<'a>(
    command: &'static str,
    args: Args<'a>,
    if_absent: bool,
) -> Result<Write<'a>, CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Arity { command: command.to_owned() });
    }
    Ok(StringWrite::SetMany { args, if_absent }.into())
}

/// `GETDEL key`
///
/// # Errors
/// None.
pub fn getdel(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(StringWrite::GetDelete { key: args.at(1) }.into())
}

/// `GETEX key [EX s|PX ms|EXAT s|PXAT ms|PERSIST]`
///
/// # Errors
/// [`CommandError::Syntax`] for unknown or contradicting options.
pub fn getex(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let mut change = None;
    let mut rest = args.from(2);
    while let Some(option) = rest.next() {
        change = Some(match change {
            None | Some(TimeChange::Clear) if option.eq_ignore_ascii_case(b"PERSIST") => {
                TimeChange::Clear
            }
            None => TimeChange::To(Time::parse(option, &mut rest)?),
            Some(TimeChange::To(before)) => {
                TimeChange::To(before.again(Time::parse(option, &mut rest)?)?)
            }
            Some(TimeChange::Clear) => return Err(CommandError::Syntax),
        });
    }
    Ok(StringWrite::GetExpire { key: args.at(1), change }.into())
}

/// `INCR key`
///
/// # Errors
/// None.
pub fn incr(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(StringWrite::Increment { key: args.at(1), delta: 1 }.into())
}

/// `DECR key`
///
/// # Errors
/// None.
pub fn decr(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(StringWrite::Increment { key: args.at(1), delta: -1 }.into())
}

/// `INCRBY key increment`
///
/// # Errors
/// [`CommandError::NotInteger`].
pub fn incrby(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let delta = parse_integer(args.at(2)).ok_or(CommandError::NotInteger)?;
    Ok(StringWrite::Increment { key: args.at(1), delta }.into())
}

/// `DECRBY key decrement`
///
/// # Errors
/// [`CommandError::NotInteger`], and [`CommandError::DecrementOverflow`] for the one number
/// that has no opposite.
pub fn decrby(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let amount = parse_integer(args.at(2)).ok_or(CommandError::NotInteger)?;
    let delta = amount.checked_neg().ok_or(CommandError::DecrementOverflow)?;
    Ok(StringWrite::Increment { key: args.at(1), delta }.into())
}

/// `INCRBYFLOAT key increment`
///
/// # Errors
/// None.
pub fn incrbyfloat(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(StringWrite::IncrementFloat { key: args.at(1), delta: args.at(2) }.into())
}

/// `APPEND key value`
///
/// # Errors
/// None.
pub fn append(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(StringWrite::Append { key: args.at(1), tail: args.at(2) }.into())
}

/// `SETRANGE key offset value`
///
/// # Errors
/// [`CommandError::NotInteger`] or [`CommandError::OffsetOutOfRange`].
pub fn setrange(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let offset = parse_integer(args.at(2)).ok_or(CommandError::NotInteger)?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    Ok(StringWrite::SetRange { key: args.at(1), offset, part: args.at(3) }.into())
}

/// `GET key`
///
/// # Errors
/// None.
pub fn get(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(StringRead::Get { key: args.at(1) }.into())
}

/// `MGET key [key ...]`
///
/// # Errors
/// None.
pub fn mget(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(StringRead::GetMany(args).into())
}

/// `STRLEN key`
///
/// # Errors
/// None.
pub fn strlen(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(StringRead::Length { key: args.at(1) }.into())
}

/// `GETRANGE key start end`, `SUBSTR key start end`
///
/// # Errors
/// [`CommandError::NotInteger`].
pub fn getrange(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    let start = parse_integer(args.at(2)).ok_or(CommandError::NotInteger)?;
    let end = parse_integer(args.at(3)).ok_or(CommandError::NotInteger)?;
    Ok(StringRead::Range { key: args.at(1), start, end }.into())
}

impl Keyspace {
    pub(super) fn write_string(&mut self, write: &StringWrite<'_>) -> Result<Reply, CommandError> {
        match write {
            StringWrite::Set(set) => self.set(set),
            StringWrite::SetMany { args, if_absent } => self.set_many(*args, *if_absent),
            StringWrite::GetDelete { key } => self.get_delete(key),
            StringWrite::GetExpire { key, change } => self.get_expire(key, *change),
            StringWrite::Increment { key, delta } => self.increment(key, *delta),
            StringWrite::IncrementFloat { key, delta } => self.increment_float(key, delta),
            StringWrite::Append { key, tail } => self.append(key, tail),
            StringWrite::SetRange { key, offset, part } => self.set_range(key, *offset, part),
        }
    }

    pub(super) fn read_string(
        &self,
        read: &StringRead<'_>,
        now: UnixMillis,
    ) -> Result<Reply, CommandError> {
        match read {
            StringRead::Get { key } => Ok(bulk(self.string(key, now)?)),
            StringRead::GetMany(args) => {
                // What is no string counts as missing here, and here alone.
                let get = |key| bulk(self.string(key, now).ok().flatten());
                Ok(Reply::Array(args.from(1).map(get).collect()))
            }
            StringRead::Length { key } => {
                Ok(Reply::count(self.string(key, now)?.map_or(0, Bytes::len)))
            }
            StringRead::Range { key, start, end } => {
                let empty = Bytes::new();
                let bytes = self.string(key, now)?.unwrap_or(&empty);
                let range = range_within(*start, *end, bytes.len());
                Ok(Reply::Bulk(range.map_or(empty.clone(), |range| bytes.slice(range))))
            }
        }
    }

    /// A key's value, which must be a string if there is one.
    pub(super) fn string(
        &self,
        key: &[u8],
        now: UnixMillis,
    ) -> Result<Option<&Bytes>, CommandError> {
        self.find(key, now).map(|entry| entry.value.as_string()).transpose()
    }

    fn set(&mut self, set: &Set<'_>) -> Result<Reply, CommandError> {
        // Looked for only where it matters: a plain SET is done with one look.
        let before = || self.find_now(set.key);
        let deadline = match set.expiry {
            Expiry::Clear => None,
            Expiry::Keep => before().and_then(|entry| entry.deadline),
            Expiry::At(millis) => deadline_at(millis),
            Expiry::After(millis) => {
                let at = self.time().signed().checked_add(millis);
                deadline_at(at.ok_or(CommandError::InvalidExpire { command: set.command })?)
            }
        };
        let holds = match set.condition {
            None => true,
            Some(Condition::IfAbsent) => before().is_none(),
            Some(Condition::IfPresent) => before().is_some(),
        };
        let reply = match (set.reply, holds) {
            (SetReply::Old, _) => bulk(before().map(|entry| entry.value.as_string()).transpose()?),
            (SetReply::Done, true) => Reply::OK,
            (SetReply::Done, false) => Reply::Null,
            (SetReply::Flag, holds) => Reply::Integer(i64::from(holds)),
        };
        if holds {
            self.put(set.key, string_of(set.value), deadline)?;
        }
        Ok(reply)
    }

    fn set_many(&mut self, args: Args<'_>, if_absent: bool) -> Result<Reply, CommandError> {
        let keys = || args.from(1).step_by(2);
        // All or nothing: whether the keys are ours is looked at before any is stored.
        keys().try_for_each(|key| self.check_slot(key))?;
        if if_absent && keys().any(|key| self.find_now(key).is_some()) {
            return Ok(Reply::Integer(0));
        }
        for (key, value) in keys().zip(args.from(2).step_by(2)) {
            self.put(key, string_of(value), None)?;
        }
        Ok(if if_absent { Reply::Integer(1) } else { Reply::OK })
    }

    fn get_delete(&mut self, key: &[u8]) -> Result<Reply, CommandError> {
        let reply = bulk(self.string(key, self.time())?);
        self.take(key);
        Ok(reply)
    }

    fn get_expire(
        &mut self,
        key: &[u8],
        change: Option<TimeChange<'_>>,
    ) -> Result<Reply, CommandError> {
        let Some(value) = self.string(key, self.time())? else { return Ok(Reply::Null) };
        let reply = Reply::Bulk(value.clone());
        match change {
            None => {}
            Some(TimeChange::Clear) => self.set_deadline(key, None),
            Some(TimeChange::To(time)) => {
                let at = time.moment("getex", self.time())?;
                self.expire_at(key, at);
            }
        }
        Ok(reply)
    }

    fn increment(&mut self, key: &[u8], delta: i64) -> Result<Reply, CommandError> {
        let before = match self.string(key, self.time())? {
            None => 0,
            Some(value) => parse_integer(value).ok_or(CommandError::NotInteger)?,
        };
        let after = before.checked_add(delta).ok_or(CommandError::Overflow)?;
        let mut text = BytesMut::new();
        put_integer(&mut text, after);
        self.replace(key, Bytes::copy_from_slice(&text))?;
        Ok(Reply::Integer(after))
    }

    fn increment_float(&mut self, key: &[u8], delta: &[u8]) -> Result<Reply, CommandError> {
        let read = |text: &[u8]| Extended::parse(text).ok_or(CommandError::NotFloat);
        let before =
            self.string(key, self.time())?.map_or(Ok(Extended::ZERO), |text| read(text))?;
        let after = before.plus(read(delta)?).ok_or(CommandError::InfiniteSum)?;
        let text = Bytes::from(after.to_text());
        self.replace(key, text.clone())?;
        Ok(Reply::Bulk(text))
    }

    fn append(&mut self, key: &[u8], tail: &[u8]) -> Result<Reply, CommandError> {
        let before = self.string(key, self.time())?;
        let offset = before.map_or(0, Bytes::len);
        let value = spliced(before, offset, tail)?;
        let len = value.len();
        self.replace(key, value)?;
        Ok(Reply::count(len))
    }

    fn set_range(&mut self, key: &[u8], offset: usize, part: &[u8]) -> Result<Reply, CommandError> {
        let before = self.string(key, self.time())?;
        if part.is_empty() {
            return Ok(Reply::count(before.map_or(0, Bytes::len)));
        }
        let value = spliced(before, offset, part)?;
        let len = value.len();
        self.replace(key, value)?;
        Ok(Reply::count(len))
    }

    /// Gives a key another string; its time to live stays as it is.
    pub(super) fn replace(&mut self, key: &[u8], value: Bytes) -> Result<(), CommandError> {
        let deadline = self.find_now(key).and_then(|entry| entry.deadline);
        self.put(key, Value::String(value), deadline)
    }
}

/// What `value` becomes when `part` is put at `offset`; zeros come between if that lies behind its
/// end.
///
/// # Errors
/// [`CommandError::StringTooLong`].
pub(super) fn spliced(
    value: Option<&Bytes>,
    offset: usize,
    part: &[u8],
) -> Result<Bytes, CommandError> {
    let end = offset.saturating_add(part.len());
    if end > STRING_BYTES_MAX {
        return Err(CommandError::StringTooLong);
    }
    let value = value.map_or(&[][..], |value| &value[..]);
    let mut spliced = Vec::with_capacity(end.max(value.len()));
    spliced.extend_from_slice(value);
    spliced.resize(end.max(value.len()), 0);
    spliced[offset..end].copy_from_slice(part);
    Ok(spliced.into())
}

/// The bytes from `start` to `end`, both inclusive and counted from the end if negative, of `len`;
/// none if there are none between.
pub(super) fn range_within(start: i64, end: i64, len: usize) -> Option<std::ops::Range<usize>> {
    if start < 0 && end < 0 && start > end {
        return None;
    }
    range_clamped(start, end, len)
}

/// The same for commands that do not mind the order of two negative ends: what lies before the
/// first byte is the first byte.
pub(super) fn range_clamped(start: i64, end: i64, len: usize) -> Option<std::ops::Range<usize>> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let from_front = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (start, end) = (from_front(start), from_front(end).min(len - 1));
    let range = usize::try_from(start).ok()?..usize::try_from(end.checked_add(1)?).ok()?;
    (start <= end).then_some(range)
}

fn string_of(bytes: &[u8]) -> Value {
    Value::String(Bytes::copy_from_slice(bytes))
}

fn bulk(value: Option<&Bytes>) -> Reply {
    value.map_or(Reply::Null, |value| Reply::Bulk(value.clone()))
}
