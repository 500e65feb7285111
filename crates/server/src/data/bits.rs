//! Commands on the bits of strings: bit 0 is the highest of the first byte.

use bytes::Bytes;

use super::keyspace::{Keyspace, UnixMillis};
use super::strings::{range_clamped, spliced};
use super::value::{STRING_BYTES_MAX, Value};
use super::{CommandError, Read, Write};
use crate::resp::number::parse_integer;
use crate::resp::{Args, Reply};

/// A command that changes bits; borrowed from a request or a log entry.
#[derive(Clone, Copy, Debug)]
pub enum BitWrite<'a> {
    /// SETBIT.
    Set {
        /// The key.
        key: &'a [u8],
        /// Which bit.
        bit: usize,
        /// Whether it is to be 1.
        is_one: bool,
    },
    /// BITOP.
    Combine {
        /// How.
        operation: Operation,
        /// Where the result goes.
        to: &'a [u8],
        /// The arguments; keys from the third on.
        args: Args<'a>,
    },
}

/// How BITOP makes one byte of several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Bits that all have.
    And,
    /// Bits that any has.
    Or,
    /// Bits that an odd number have.
    Xor,
    /// Bits that the one does not have.
    Not,
}

/// A command that looks at bits; borrowed from a request. What stands behind the key is looked at
/// only if the key exists, as in Redis.
#[derive(Clone, Copy, Debug)]
pub enum BitRead<'a> {
    /// GETBIT.
    Get {
        /// The key.
        key: &'a [u8],
        /// Which bit.
        bit: usize,
    },
    /// BITCOUNT: all arguments.
    Count(Args<'a>),
    /// BITPOS.
    Position {
        /// All arguments.
        args: Args<'a>,
        /// Whether a 1 is looked for.
        is_one: bool,
    },
}

/// `SETBIT key offset value`
///
/// # Errors
/// [`CommandError::BitOffset`] or [`CommandError::BitValue`].
pub fn setbit(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let bit = bit_offset(args.at(2))?;
    let is_one = match parse_integer(args.at(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(CommandError::BitValue),
    };
    Ok(BitWrite::Set { key: args.at(1), bit, is_one }.into())
}

/// `BITOP AND|OR|XOR|NOT destination key [key ...]`
///
/// # Errors
/// [`CommandError::Syntax`] or [`CommandError::NotOfSeveral`].
pub fn bitop(args: Args<'_>) -> Result<Write<'_>, CommandError> {
    let is = |name: &str| args.at(1).eq_ignore_ascii_case(name.as_bytes());
    let operation = if is("AND") {
        Operation::And
    } else if is("OR") {
        Operation::Or
    } else if is("XOR") {
        Operation::Xor
    } else if is("NOT") {
        Operation::Not
    } else {
        return Err(CommandError::Syntax);
    };
    if operation == Operation::Not && args.len() != 4 {
        return Err(CommandError::NotOfSeveral);
    }
    Ok(BitWrite::Combine { operation, to: args.at(2), args }.into())
}

/// `GETBIT key offset`
///
/// # Errors
/// [`CommandError::BitOffset`].
pub fn getbit(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(BitRead::Get { key: args.at(1), bit: bit_offset(args.at(2))? }.into())
}

/// `BITCOUNT key [start end [BYTE|BIT]]`
///
/// # Errors
/// None here; see [`BitRead`].
pub fn bitcount(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    Ok(BitRead::Count(args).into())
}

/// `BITPOS key bit [start [end [BYTE|BIT]]]`
///
/// # Errors
/// [`CommandError::NotInteger`] or [`CommandError::BitArgument`] for the bit; see [`BitRead`] for
/// the rest.
pub fn bitpos(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    let is_one = match parse_integer(args.at(2)).ok_or(CommandError::NotInteger)? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::BitArgument),
    };
    Ok(BitRead::Position { args, is_one }.into())
}

/// A bit's number, which lies within what a string may be.
fn bit_offset(text: &[u8]) -> Result<usize, CommandError> {
    let offset = parse_integer(text).and_then(|offset| usize::try_from(offset).ok());
    offset.filter(|bit| bit / 8 < STRING_BYTES_MAX).ok_or(CommandError::BitOffset)
}

impl Keyspace {
    pub(super) fn write_bits(&mut self, write: &BitWrite<'_>) -> Result<Reply, CommandError> {
        match write {
            BitWrite::Set { key, bit, is_one } => self.set_bit(key, *bit, *is_one),
            BitWrite::Combine { operation, to, args } => self.combine(*operation, to, *args),
        }
    }

    pub(super) fn read_bits(
        &self,
        read: &BitRead<'_>,
        now: UnixMillis,
    ) -> Result<Reply, CommandError> {
        match read {
            BitRead::Get { key, bit } => {
                let bytes = self.string(key, now)?.map_or(&[][..], |bytes| bytes);
                Ok(Reply::Integer(i64::from(is_set(bytes, *bit))))
            }
            BitRead::Count(args) => {
                let Some(bytes) = self.string(args.at(1), now)? else {
                    return Ok(Reply::Integer(0));
                };
                let range = bit_range(*args, 2, bytes.len())?;
                Ok(Reply::count(range.map_or(0, |range| count_ones(bytes, range))))
            }
            BitRead::Position { args, is_one } => self.position(*args, *is_one, now),
        }
    }

    fn set_bit(&mut self, key: &[u8], bit: usize, is_one: bool) -> Result<Reply, CommandError> {
        let before = self.string(key, self.time())?;
        let old = before.and_then(|bytes| bytes.get(bit / 8)).copied().unwrap_or(0);
        let mask = 0x80 >> (bit % 8);
        let new = if is_one { old | mask } else { old & !mask };
        // A bit that is what it should be does not change the key, unless the key becomes longer.
        if new != old || before.is_none_or(|bytes| bytes.len() <= bit / 8) {
            let value = spliced(before, bit / 8, &[new])?;
            self.replace(key, value)?;
        }
        Ok(Reply::Integer(i64::from(old & mask != 0)))
    }

    fn combine(
        &mut self,
        operation: Operation,
        to: &[u8],
        args: Args<'_>,
    ) -> Result<Reply, CommandError> {
        let now = self.time();
        let sources = args.from(3).map(|key| self.string(key, now));
        let sources = sources.collect::<Result<Vec<Option<&Bytes>>, _>>()?;
        let len = sources.iter().flatten().map(|bytes| bytes.len()).max().unwrap_or(0);
        let byte = |source: &Option<&Bytes>, at: usize| {
            source.and_then(|bytes| bytes.get(at)).copied().unwrap_or(0)
        };
        let combined = |at: usize| {
            let bytes = sources.iter().map(|source| byte(source, at));
            match operation {
                Operation::And => bytes.fold(0xff, |all, byte| all & byte),
                Operation::Or => bytes.fold(0, |any, byte| any | byte),
                Operation::Xor => bytes.fold(0, |odd, byte| odd ^ byte),
                Operation::Not => !bytes.fold(0, |one, byte| one | byte),
            }
        };
        let value: Bytes = (0..len).map(combined).collect();
        if len == 0 {
            self.take(to);
        } else {
            self.put(to, Value::String(value), None)?;
        }
        Ok(Reply::count(len))
    }

    fn position(
        &self,
        args: Args<'_>,
        is_one: bool,
        now: UnixMillis,
    ) -> Result<Reply, CommandError> {
        // A key that is not there is an endless row of zeros.
        let Some(bytes) = self.string(args.at(1), now)? else {
            return Ok(Reply::Integer(if is_one { -1 } else { 0 }));
        };
        let Some(range) = bit_range(args, 3, bytes.len())? else {
            return Ok(Reply::Integer(-1));
        };
        let end = range.end;
        let found = range.into_iter().find(|bit| is_set(bytes, *bit) == is_one);
        Ok(match found {
            Some(bit) => Reply::count(bit),
            // Behind the end there are zeros, unless the client has named an end.
            None if !is_one && args.len() < 5 => Reply::count(end),
            None => Reply::Integer(-1),
        })
    }
}

/// The bits that `[start [end [BYTE|BIT]]]` from the `first` argument on mean, half-open, of a
/// string of `len` bytes; none if there are none between.
fn bit_range(
    args: Args<'_>,
    first: usize,
    len: usize,
) -> Result<Option<std::ops::Range<usize>>, CommandError> {
    let integer = |text| parse_integer(text).ok_or(CommandError::NotInteger);
    // BITCOUNT takes both ends or none, and reads both before the unit.
    let is_count = first == 2;
    let given = args.len() - first;
    if given > 3 || (is_count && given == 1) {
        return Err(CommandError::Syntax);
    }
    let start = args.get(first).map_or(Ok(0), integer)?;
    let end = if is_count { args.get(first + 1).map_or(Ok(-1), integer)? } else { -1 };
    if is_count && start < 0 && end < 0 && start > end {
        return Ok(None);
    }
    let is_bits = match args.get(first + 2) {
        None => false,
        Some(unit) if unit.eq_ignore_ascii_case(b"BIT") => true,
        Some(unit) if unit.eq_ignore_ascii_case(b"BYTE") => false,
        Some(_) => return Err(CommandError::Syntax),
    };
    let end = if is_count { end } else { args.get(first + 1).map_or(Ok(-1), integer)? };
    let unit = if is_bits { 1 } else { 8 };
    let range = range_clamped(start, end, len * 8 / unit);
    Ok(range.map(|range| range.start * unit..range.end * unit))
}

fn is_set(bytes: &[u8], bit: usize) -> bool {
    bytes.get(bit / 8).is_some_and(|byte| byte & 0x80 >> (bit % 8) != 0)
}

fn count_ones(bytes: &[u8], bits: std::ops::Range<usize>) -> usize {
    // Whole bytes in the middle, single bits at the ends.
    let (first, last) = (bits.start.div_ceil(8), bits.end / 8);
    if first >= last {
        return bits.filter(|bit| is_set(bytes, *bit)).count();
    }
    let middle: usize = bytes[first..last].iter().map(|byte| byte.count_ones() as usize).sum();
    let ends = (bits.start..first * 8).chain(last * 8..bits.end);
    middle + ends.filter(|bit| is_set(bytes, *bit)).count()
}
