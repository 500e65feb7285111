//! Commands on hashes.

use bytes::{Bytes, BytesMut};

use super::extended::Extended;
use super::fields::Fields;
use super::keyspace::{Keyspace, UnixMillis};
use super::value::Value;
use super::{CommandError, Read, Write};
use crate::resp::number::{parse_integer, put_integer};
use crate::resp::{Args, Reply};

/// A command that changes hashes; borrowed from a request or a log entry.
#[derive(Clone, Copy, Debug)]
pub enum HashWrite<'a> {
    /// HSET, HMSET: pairs of field and value from the second argument on.
    Set {
        /// The arguments.
        args: Args<'a>,
        /// HSET: the client wants to know how many fields are new.
        counts: bool,
    },
    /// HSETNX.
    SetAbsent {
        /// The key.
        key: &'a [u8],
        /// The field.
        field: &'a [u8],
        /// Its value to be.
        value: &'a [u8],
    },
    /// HDEL: fields from the second argument on.
    Delete(Args<'a>),
    /// HINCRBY.
    Increment {
        /// The key.
        key: &'a [u8],
        /// The field.
        field: &'a [u8],
        /// What is added.
        delta: i64,
    },
    /// HINCRBYFLOAT.
    IncrementFloat {
        /// The key.
        key: &'a [u8],
        /// The field.
        field: &'a [u8],
        /// What is added.
        delta: Extended,
    },
}

/// A command that looks at hashes; borrowed from a request.
#[derive(Clone, Copy, Debug)]
pub enum HashRead<'a> {
    /// HGET.
    Get {
        /// The key.
        key: &'a [u8],
        /// The field.
        field: &'a [u8],
    },
    /// HMGET: fields from the second argument on.
    GetMany(Args<'a>),
    /// HGETALL.
    All {
        /// The key.
        key: &'a [u8],
    },
    /// HKEYS.
    Names {
        /// The key.
        key: &'a [u8],
    },
    /// HVALS.
    Values {
        /// The key.
        key: &'a [u8],
    },
    /// HLEN.
    Length {
        /// The key.
        key: &'a [u8],
    },
    /// HEXISTS.
    Exists {
        /// The key.
        key: &'a [u8],
        /// The field.
        field: &'a [u8],
    },
    /// HSTRLEN.
    ValueLength {
        /// The key.
        key: &'a [u8],
        /// The field.
        field: &'a [u8],
    },
}

/// `HSET key field value [field value ...]`
///
/// # Errors
/// [`CommandError::Arity`] for a field without a value.
pub fn hset(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    set("hset", args, true)
}

/// `HMSET key field value [field value ...]`
///
/// # Errors
/// [`CommandError::Arity`] for a field without a value.
pub fn hmset(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    set("hmset", args, false)
}

fn set<'a>(command: &'static str, args: Args<'a>, counts: bool) -> Result<Write<'a>, CommandError> {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::Arity { command: command.to_owned() });
    }
    Ok(HashWrite::Set { args, counts }.into())
}

/// `HSETNX key field value`
///
/// # Errors
/// None.
pub fn hsetnx(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let (key, field, value) = (args.at(1), args.at(2), args.at(3));
    Ok(HashWrite::SetAbsent { key, field, value }.into())
}

/// `HDEL key field [field ...]`
///
/// # Errors
/// None.
pub fn hdel(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(HashWrite::Delete(args).into())
}

/// `HINCRBY key field increment`
///
/// # Errors
/// [`CommandError::NotInteger`].
pub fn hincrby(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let delta = parse_integer(args.at(3)).ok_or(CommandError::NotInteger)?;
    Ok(HashWrite::Increment { key: args.at(1), field: args.at(2), delta }.into())
}

/// `HINCRBYFLOAT key field increment`
///
/// # Errors
/// [`CommandError::NotFloat`] or [`CommandError::InfiniteIncrement`].
pub fn hincrbyfloat(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let delta = Extended::parse(args.at(3)).ok_or(CommandError::NotFloat)?;
    if !delta.is_finite() {
        return Err(CommandError::InfiniteIncrement);
    }
    Ok(HashWrite::IncrementFloat { key: args.at(1), field: args.at(2), delta }.into())
}

/// `HGET key field`
///
/// # Errors
/// None.
pub fn hget(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(HashRead::Get { key: args.at(1), field: args.at(2) }.into())
}

/// `HMGET key field [field ...]`
///
/// # Errors
/// None.
pub fn hmget(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(HashRead::GetMany(args).into())
}

/// `HGETALL key`
///
/// # Errors
/// None.
pub fn hgetall(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(HashRead::All { key: args.at(1) }.into())
}

/// `HKEYS key`
///
/// # Errors
/// None.
pub fn hkeys(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(HashRead::Names { key: args.at(1) }.into())
}

/// `HVALS key`
///
/// # Errors
/// None.
pub fn hvals(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(HashRead::Values { key: args.at(1) }.into())
}

/// `HLEN key`
///
/// # Errors
/// None.
pub fn hlen(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(HashRead::Length { key: args.at(1) }.into())
}

/// `HEXISTS key field`
///
/// # Errors
/// None.
pub fn hexists(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(HashRead::Exists { key: args.at(1), field: args.at(2) }.into())
}

/// `HSTRLEN key field`
///
/// # Errors
/// None.
pub fn hstrlen(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(HashRead::ValueLength { key: args.at(1), field: args.at(2) }.into())
}

impl Keyspace {
    pub(super) fn write_hash(&mut self, write: &HashWrite<'_>) -> Result<Reply, CommandError> {
        match write {
            HashWrite::Set { args, counts } => self.set_fields(*args, *counts),
            HashWrite::SetAbsent { key, field, value } => {
                if self.field(key, field, self.time())?.is_some() {
                    return Ok(Reply::Integer(0));
                }
                self.hash_to_change(key)?.set(field, Bytes::copy_from_slice(value));
                Ok(Reply::Integer(1))
            }
            HashWrite::Delete(args) => self.delete_fields(*args),
            HashWrite::Increment { key, field, delta } => self.increment_field(key, field, *delta),
            HashWrite::IncrementFloat { key, field, delta } => {
                self.increment_field_float(key, field, *delta)
            }
        }
    }

    pub(super) fn read_hash(
        &self,
        read: &HashRead<'_>,
        now: UnixMillis,
    ) -> Result<Reply, CommandError> {
        let hash = |key| self.hash(key, now);
        let get = |key, field| self.field(key, field, now);
        let bulk = |value: &Bytes| Reply::Bulk(value.clone());
        Ok(match read {
            HashRead::Get { key, field } => get(key, field)?.map_or(Reply::Null, bulk),
            HashRead::GetMany(args) => {
                let fields = hash(args.at(1))?;
                let get = |field| fields.and_then(|fields| fields.get(field));
                Reply::Array(args.from(2).map(|it| get(it).map_or(Reply::Null, bulk)).collect())
            }
            HashRead::All { key } => {
                let pairs = hash(key)?.into_iter().flat_map(Fields::iter);
                Reply::Map(pairs.map(|(field, value)| (bulk(field), bulk(value))).collect())
            }
            HashRead::Names { key } => {
                let pairs = hash(key)?.into_iter().flat_map(Fields::iter);
                Reply::Array(pairs.map(|(field, _)| bulk(field)).collect())
            }
            HashRead::Values { key } => {
                let pairs = hash(key)?.into_iter().flat_map(Fields::iter);
                Reply::Array(pairs.map(|(_, value)| bulk(value)).collect())
            }
            HashRead::Length { key } => Reply::count(hash(key)?.map_or(0, Fields::len)),
            HashRead::Exists { key, field } => {
                Reply::Integer(i64::from(get(key, field)?.is_some()))
            }
            HashRead::ValueLength { key, field } => {
                Reply::count(get(key, field)?.map_or(0, Bytes::len))
            }
        })
    }

    /// A key's fields, which must hold a hash if it exists.
    pub(super) fn hash(
        &self,
        key: &[u8],
        now: UnixMillis,
    ) -> Result<Option<&Fields>, CommandError> {
        self.find(key, now).map(|entry| entry.value.as_hash()).transpose()
    }

    fn field(
        &self,
        key: &[u8],
        field: &[u8],
        now: UnixMillis,
    ) -> Result<Option<&Bytes>, CommandError> {
        Ok(self.hash(key, now)?.and_then(|fields| fields.get(field)))
    }

    fn set_fields(&mut self, args: Args<'_>, counts: bool) -> Result<Reply, CommandError> {
        let fields = self.hash_to_change(args.at(1))?;
        let pairs = args.from(2).step_by(2).zip(args.from(3).step_by(2));
        let set = |(field, value)| fields.set(field, Bytes::copy_from_slice(value));
        let new = pairs.map(set).filter(|is_new| *is_new).count();
        Ok(if counts { Reply::count(new) } else { Reply::OK })
    }

    fn delete_fields(&mut self, args: Args<'_>) -> Result<Reply, CommandError> {
        let key = args.at(1);
        let before = self.hash(key, self.time())?;
        // A hash that stays as it is must not count as changed.
        if !before.is_some_and(|before| args.from(2).any(|field| before.get(field).is_some())) {
            return Ok(Reply::Integer(0));
        }
        let fields = self.hash_to_change(key)?;
        let removed = args.from(2).filter(|field| fields.remove(field)).count();
        if fields.is_empty() {
            self.take(key);
        }
        Ok(Reply::count(removed))
    }

    fn increment_field(
        &mut self,
        key: &[u8],
        field: &[u8],
        delta: i64,
    ) -> Result<Reply, CommandError> {
        let before = match self.field(key, field, self.time())? {
            None => 0,
            Some(value) => parse_integer(value).ok_or(CommandError::HashNotInteger)?,
        };
        let after = before.checked_add(delta).ok_or(CommandError::Overflow)?;
        let mut text = BytesMut::new();
        put_integer(&mut text, after);
        self.hash_to_change(key)?.set(field, Bytes::copy_from_slice(&text));
        Ok(Reply::Integer(after))
    }

    fn increment_field_float(
        &mut self,
        key: &[u8],
        field: &[u8],
        delta: Extended,
    ) -> Result<Reply, CommandError> {
        let before = match self.field(key, field, self.time())? {
            None => Extended::ZERO,
            Some(value) => Extended::parse(value).ok_or(CommandError::HashNotFloat)?,
        };
        let after = before.plus(delta).ok_or(CommandError::InfiniteSum)?;
        let text = Bytes::from(after.to_text());
        self.hash_to_change(key)?.set(field, text.clone());
        Ok(Reply::Bulk(text))
    }

    /// The fields of a key, which is made if it does not exist. The caller puts one in.
    fn hash_to_change(&mut self, key: &[u8]) -> Result<&mut Fields, CommandError> {
        match self.find_now(key) {
            None => self.put(key, Value::Hash(Box::default()), None)?,
            // What is no hash does not change.
            Some(entry) => entry.value.as_hash().map(|_| ())?,
        }
        let entry = self.find_to_change(key).expect("it is there, or was just made");
        entry.value.as_hash_mut()
    }
}
