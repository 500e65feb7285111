//! Commands on keys, whatever they hold.

use super::error::quote;
use super::keyspace::{Keyspace, UnixMillis, deadline_at};
use super::time::Unit;
use super::value::Value;
use super::{CommandError, Read, Write};
use crate::data::chain::Entry;
use crate::resp::number::parse_integer;
use crate::resp::{Args, Reply};

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

/// A command that changes keys; borrowed from a request or a log entry.
#[derive(Clone, Copy, Debug)]
pub enum KeyWrite<'a> {
    /// DEL, UNLINK: keys from the first argument on.
    Delete(Args<'a>),
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
    /// RENAME, RENAMENX.
    Rename {
        /// The key.
        from: &'a [u8],
        /// What it is to be called.
        to: &'a [u8],
        /// RENAMENX: only if no key is called so.
        if_absent: bool,
    },
    /// COPY.
    Copy {
        /// The key.
        from: &'a [u8],
        /// What its copy is to be called.
        to: &'a [u8],
        /// REPLACE: even if a key is called so.
        replaces: bool,
    },
}

/// A command that looks at keys; borrowed from a request.
#[derive(Clone, Copy, Debug)]
pub enum KeyRead<'a> {
    /// EXISTS, TOUCH: keys from the first argument on, counted as often as they are named.
    Exists(Args<'a>),
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
    /// OBJECT ENCODING: what Redis would keep the value in.
    Encoding {
        /// The key.
        key: &'a [u8],
    },
    /// OBJECT REFCOUNT: 1, if there is such a key.
    References {
        /// The key.
        key: &'a [u8],
    },
    /// OBJECT FREQ, which needs a policy that we do not have.
    Frequency {
        /// The key.
        key: &'a [u8],
    },
}

/// `DEL key [key ...]`
///
/// # Errors
/// None.
pub const fn delete(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(Write::Key(KeyWrite::Delete(args)))
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
    Ok(KeyWrite::Persist { key: args.at(1) }.into())
}

/// `RENAME key newkey`
///
/// # Errors
/// None.
pub fn rename(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(KeyWrite::Rename { from: args.at(1), to: args.at(2), if_absent: false }.into())
}

/// `RENAMENX key newkey`
///
/// # Errors
/// None.
pub fn renamenx(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    Ok(KeyWrite::Rename { from: args.at(1), to: args.at(2), if_absent: true }.into())
}

/// `COPY source destination [DB 0] [REPLACE]`
///
/// # Errors
/// [`CommandError::Syntax`], another database, or the same key twice.
pub fn copy(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let (from, to) = (args.at(1), args.at(2));
    let (mut replaces, mut database) = (false, 0);
    let mut rest = args.from(3);
    while let Some(option) = rest.next() {
        if option.eq_ignore_ascii_case(b"REPLACE") {
            replaces = true;
        } else if option.eq_ignore_ascii_case(b"DB") {
            let number = rest.next().ok_or(CommandError::Syntax)?;
            let number = parse_integer(number).ok_or(CommandError::NotInteger)?;
            database = i32::try_from(number).map_err(|_| CommandError::NotInt32)?;
            if !(0..DATABASES).contains(&database) {
                return Err(CommandError::DatabaseOutOfRange);
            }
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if database != 0 {
        return Err(CommandError::OtherDatabase);
    }
    if from == to {
        return Err(CommandError::SameKey);
    }
    Ok(KeyWrite::Copy { from, to, replaces }.into())
}

/// `EXISTS key [key ...]`, `TOUCH key [key ...]`
///
/// # Errors
/// None.
pub const fn exists(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(Read::Key(KeyRead::Exists(args)))
}

/// `TYPE key`
///
/// # Errors
/// None.
pub fn kind(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(KeyRead::Type { key: args.at(1) }.into())
}

/// `TTL key`
///
/// # Errors
/// None.
pub fn ttl(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(KeyRead::Remaining { key: args.at(1), unit: Unit::Seconds }.into())
}

/// `PTTL key`
///
/// # Errors
/// None.
pub fn pttl(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(KeyRead::Remaining { key: args.at(1), unit: Unit::Millis }.into())
}

/// `EXPIRETIME key`
///
/// # Errors
/// None.
pub fn expiretime(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(KeyRead::Deadline { key: args.at(1), unit: Unit::Seconds }.into())
}

/// `PEXPIRETIME key`
///
/// # Errors
/// None.
pub fn pexpiretime(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(KeyRead::Deadline { key: args.at(1), unit: Unit::Millis }.into())
}

/// `OBJECT ENCODING key`
///
/// # Errors
/// None.
pub fn encoding(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(KeyRead::Encoding { key: args.at(2) }.into())
}

/// `OBJECT REFCOUNT key`
///
/// # Errors
/// None.
pub fn refcount(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(KeyRead::References { key: args.at(2) }.into())
}

/// `OBJECT FREQ key`
///
/// # Errors
/// None.
pub fn freq(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(KeyRead::Frequency { key: args.at(2) }.into())
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
    Ok(KeyWrite::Expire { command, key: args.at(1), when: when(millis), conditions }.into())
}

impl Keyspace {
    pub(super) fn write_key(&mut self, write: &KeyWrite<'_>) -> Result<Reply, CommandError> {
        match write {
            KeyWrite::Delete(args) => {
                let removed = args.from(1).filter(|key| self.take(key).is_some());
                Ok(Reply::count(removed.count()))
            }
            KeyWrite::Expire { command, key, when, conditions } => {
                self.expire(command, key, *when, *conditions)
            }
            KeyWrite::Persist { key } => {
                let expires = self.find_now(key).is_some_and(|entry| entry.deadline.is_some());
                if expires {
                    self.set_deadline(key, None);
                }
                Ok(Reply::Integer(i64::from(expires)))
            }
            KeyWrite::Rename { from, to, if_absent } => self.rename(from, to, *if_absent),
            KeyWrite::Copy { from, to, replaces } => self.copy(from, to, *replaces),
        }
    }

    pub(super) fn read_key(&self, read: &KeyRead<'_>, now: UnixMillis) -> Reply {
        match read {
            KeyRead::Exists(args) => {
                Reply::count(args.from(1).filter(|key| self.find(key, now).is_some()).count())
            }
            KeyRead::Type { key } => {
                let name = self.find(key, now).map_or("none", |entry| entry.value.kind().name());
                Reply::Status(name.into())
            }
            KeyRead::Remaining { key, unit } => {
                Reply::Integer(deadline_or(self.find(key, now), |moment| {
                    unit.from_millis(moment.saturating_sub(now.signed()))
                }))
            }
            KeyRead::Deadline { key, unit } => {
                Reply::Integer(deadline_or(self.find(key, now), |moment| unit.from_millis(moment)))
            }
            KeyRead::Encoding { key } => {
                let encoding = self.find(key, now).map(|entry| encoding_of(&entry.value));
                encoding.map_or(Reply::Null, Reply::text)
            }
            KeyRead::References { key } => {
                self.find(key, now).map_or(Reply::Null, |_| Reply::Integer(1))
            }
            KeyRead::Frequency { key } => {
                self.find(key, now).map_or(Reply::Null, |_| CommandError::NoFrequency.into())
            }
        }
    }

    fn expire(
        &mut self,
        command: &'static str,
        key: &[u8],
        when: When,
        conditions: ExpireConditions,
    ) -> Result<Reply, CommandError> {
        let at = match when {
            When::At(millis) => millis,
            When::After(millis) => {
                let at = self.time().signed().checked_add(millis);
                at.ok_or(CommandError::InvalidExpire { command })?
            }
        };
        let Some(entry) = self.find_now(key) else {
            return Ok(Reply::Integer(0));
        };
        let current = entry.deadline.map(|deadline| deadline.moment().signed());
        let holds = (!conditions.if_none || current.is_none())
            && (!conditions.if_some || current.is_some())
            && (!conditions.if_later || current.is_some_and(|current| at > current))
            && (!conditions.if_earlier || current.is_none_or(|current| at < current));
        if holds {
            self.expire_at(key, at);
        }
        Ok(Reply::Integer(i64::from(holds)))
    }

    /// Lets a key that exists live until that moment in milliseconds since 1970; removes it if that
    /// has passed.
    pub(super) fn expire_at(&mut self, key: &[u8], at: i64) {
        match deadline_at(at).filter(|deadline| deadline.moment() > self.time()) {
            Some(deadline) => self.set_deadline(key, Some(deadline)),
            None => {
                self.take(key);
            }
        }
    }

    fn rename(&mut self, from: &[u8], to: &[u8], if_absent: bool) -> Result<Reply, CommandError> {
        self.check_slot(to)?;
        if self.find_now(from).is_none() {
            return Err(CommandError::NoSuchKey);
        }
        let done = |done| if if_absent { Reply::Integer(i64::from(done)) } else { Reply::OK };
        if from == to {
            return Ok(done(false));
        }
        if if_absent && self.find_now(to).is_some() {
            return Ok(done(false));
        }
        let Entry { value, deadline, .. } = self.take(from).expect("it was found");
        self.put(to, value, deadline)?;
        Ok(done(true))
    }

    fn copy(&mut self, from: &[u8], to: &[u8], replaces: bool) -> Result<Reply, CommandError> {
        let Some(Entry { value, deadline, .. }) = self.find_now(from) else {
            return Ok(Reply::Integer(0));
        };
        let (value, deadline) = (value.clone(), *deadline);
        if !replaces && self.find_now(to).is_some() {
            return Ok(Reply::Integer(0));
        }
        self.put(to, value, deadline)?;
        Ok(Reply::Integer(1))
    }
}

/// What OBJECT ENCODING says of a value that was set as a whole. Redis remembers in addition which
/// strings were changed in part, and calls those raw.
fn encoding_of(value: &Value) -> &'static str {
    match value {
        Value::String(bytes) if parse_integer(bytes).is_some() => "int",
        Value::String(bytes) if bytes.len() <= EMBEDDED_BYTES_MAX => "embstr",
        Value::String(_) => "raw",
        Value::Hash(fields) => fields.encoding(),
    }
}

/// What TTL and its relatives say: -2 for no key, -1 for one that lives for ever.
fn deadline_or(entry: Option<&Entry>, say: impl FnOnce(i64) -> i64) -> i64 {
    match entry {
        None => -2,
        Some(entry) => entry.deadline.map_or(-1, |deadline| say(deadline.moment().signed())),
    }
}

/// How long a string may be for Redis to keep it within its object.
const EMBEDDED_BYTES_MAX: usize = 44;
/// How many databases Redis has unless it is told otherwise; all but the first are refused.
const DATABASES: i32 = 16;
