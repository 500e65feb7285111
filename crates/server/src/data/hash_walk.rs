//! Walking the fields of a hash in pieces, and drawing some of them.

use bytes::Bytes;

use super::dice::Dice;
use super::fields::Fields;
use super::keyspace::{Keyspace, UnixMillis};
use super::scan::{Options, parse_cursor};
use super::{CommandError, Read, glob};
use crate::resp::number::parse_integer;
use crate::resp::{Args, Reply};

/// How large the reply to HRANDFIELD may become before no more is drawn for it, in bytes. With a
/// negative count it is not the hash that limits it.
const DRAWN_BYTES_MAX: usize = 64 << 20;
/// Redis counts fields and values together, and half as far then.
const PAIRS_MAX: u64 = i64::MAX.unsigned_abs() / 2;

/// A command that walks fields or draws them; borrowed from a request.
#[derive(Clone, Copy, Debug)]
pub enum HashWalk<'a> {
    /// HRANDFIELD without a count: one field.
    One {
        /// The key.
        key: &'a [u8],
    },
    /// HRANDFIELD with a count.
    Several {
        /// The key.
        key: &'a [u8],
        /// How many different ones; negative: how many, each drawn from all.
        count: i64,
        /// WITHVALUES: each with its value.
        with_values: bool,
    },
    /// HSCAN.
    Scan {
        /// The key.
        key: &'a [u8],
        /// How many fields are still to be seen, or 0 at the beginning.
        cursor: u64,
        /// The arguments, with options from the third on. They are looked at only if there is such
        /// a hash, as in Redis.
        args: Args<'a>,
    },
}

/// `HRANDFIELD key [count [WITHVALUES]]`
///
/// # Errors
/// What is wrong with the count, or [`CommandError::Syntax`].
pub fn hrandfield(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    let key = args.at(1);
    let Some(count) = args.get(2) else {
        return Ok(HashWalk::One { key }.into());
    };
    let count = parse_integer(count).ok_or(CommandError::NotInteger)?;
    if count == i64::MIN {
        return Err(CommandError::NotSymmetric);
    }
    let with_values = match args.get(3) {
        None => false,
        Some(word) if args.len() == 4 && word.eq_ignore_ascii_case(b"WITHVALUES") => true,
        Some(_) => return Err(CommandError::Syntax),
    };
    if with_values && count.unsigned_abs() > PAIRS_MAX {
        return Err(CommandError::OutOfRange);
    }
    Ok(HashWalk::Several { key, count, with_values }.into())
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`
///
/// # Errors
/// [`CommandError::InvalidCursor`].
pub fn hscan(args: Args<'_>) -> Result<Read<'_>, CommandError> {
    let cursor = parse_cursor(args.at(2))?;
    Ok(HashWalk::Scan { key: args.at(1), cursor, args }.into())
}

impl Keyspace {
    pub(super) fn walk_hash(
        &self,
        walk: &HashWalk<'_>,
        now: UnixMillis,
        dice: Dice,
    ) -> Result<Reply, CommandError> {
        match walk {
            HashWalk::One { key } => {
                let drawn = self.hash(key, now)?.and_then(|fields| draw(fields, -1, dice).next());
                Ok(drawn.map_or(Reply::Null, |(field, _)| bulk(field)))
            }
            HashWalk::Several { key, count, with_values } => match self.hash(key, now)? {
                None => Ok(Reply::Array(Vec::new())),
                Some(fields) => several(fields, *count, *with_values, dice),
            },
            HashWalk::Scan { key, cursor, args } => match self.hash(key, now)? {
                None => Ok(page(0, Vec::new())),
                Some(fields) => scan(fields, *cursor, *args),
            },
        }
    }
}

fn several(
    fields: &Fields,
    count: i64,
    with_values: bool,
    dice: Dice,
) -> Result<Reply, CommandError> {
    let bytes_max = DRAWN_BYTES_MAX;
    let mut bytes = 0;
    let mut drawn = Vec::new();
    for (field, value) in draw(fields, count, dice) {
        let pair = (bulk(field), if with_values { bulk(value) } else { Reply::Null });
        bytes += pair.0.cost() + pair.1.cost();
        if bytes > bytes_max {
            return Err(CommandError::TooManyFields { bytes_max });
        }
        drawn.push(pair);
    }
    if with_values {
        return Ok(Reply::Pairs(drawn));
    }
    Ok(Reply::Array(drawn.into_iter().map(|(field, _)| field).collect()))
}

/// So many different fields, all in their order if there are no more; of a negative count as many,
/// each drawn from all.
fn draw(
    fields: &Fields,
    count: i64,
    mut dice: Dice,
) -> Box<dyn Iterator<Item = (&Bytes, &Bytes)> + '_> {
    let times = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        let one = move |_| fields.at(dice.below(fields.len()));
        return Box::new((0..times).filter_map(one));
    }
    if times >= fields.len() {
        return Box::new(fields.iter());
    }
    let chosen = dice.several_below(fields.len(), times);
    Box::new(chosen.into_iter().filter_map(|at| fields.at(at)))
}

/// Sees some fields of a large hash, or all of a small one, whatever the cursor says.
///
/// It goes from the last field to the first, and the cursor is how many are still ahead. A field
/// that is removed lets another one move to the front, never to the back, and a new one comes to
/// the back; so no field that stays from beginning to end is passed over. One that was seen may
/// come to lie ahead and be seen again, as in Redis.
fn scan(fields: &Fields, cursor: u64, args: Args<'_>) -> Result<Reply, CommandError> {
    let options = Options::parse(args.from(3), false)?;
    let pattern = options.filter.pattern;
    let is_wanted = |field: &[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, field));
    let mut found = Vec::new();
    let mut see = |(field, value): (&Bytes, &Bytes)| {
        if is_wanted(field) {
            found.extend([bulk(field), bulk(value)]);
        }
    };
    if fields.is_small() {
        fields.iter().for_each(see);
        return Ok(page(0, found));
    }
    let all = fields.len();
    let ahead = if cursor == 0 { all } else { usize::try_from(cursor).unwrap_or(all).min(all) };
    let left = ahead.saturating_sub(options.count);
    (left..ahead).rev().filter_map(|at| fields.at(at)).for_each(&mut see);
    Ok(page(left, found))
}

fn page(cursor: usize, found: Vec<Reply>) -> Reply {
    Reply::Array(vec![Reply::text(cursor.to_string()), Reply::Array(found)])
}

fn bulk(bytes: &Bytes) -> Reply {
    Reply::Bulk(bytes.clone())
}

#[cfg(test)]
#[path = "hash_walk_tests.rs"]
mod tests;
