//! Walking keys in pieces.
//!
//! The cursor is the place at which to go on, so that a scan needs no memory between its calls, and
//! gives every key that exists from its beginning to its end, whatever is written meanwhile. It
//! gives no key twice.

use bytes::Bytes;

use super::CommandError;
use super::chain::Entry;
use super::glob;
use super::keyspace::{HASH_BITS, Keyspace, Place, UnixMillis, slot_of};
use super::value::Kind;
use crate::resp::Args;
use crate::resp::number::parse_integer;

/// How many keys a call looks at unless it says so.
const COUNT_DEFAULT: usize = 10;
/// How many keys a call looks at however many it asks for: the group waits meanwhile.
pub const COUNT_MAX: usize = 10_000;

/// The last place there is; its hash is that of no key but by a chance of 2^-48.
const LAST: Place = ((routing::HASH_SLOTS as Place) << HASH_BITS) - 1;

/// Where a scan goes on: in which slot, at which hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Cursor(Place);

impl Cursor {
    /// Where every scan begins.
    pub const START: Self = Self(0);

    /// The beginning of that slot.
    pub fn slot_start(slot: u16) -> Self {
        Self(u64::from(slot) << HASH_BITS)
    }

    /// The slot in which it stands.
    pub fn slot(self) -> u16 {
        slot_of(self.0)
    }

    /// The cursor that a client sends back. A number that we never gave out is as good as any:
    /// behind the last key, there are none.
    ///
    /// # Errors
    /// [`CommandError::InvalidCursor`] for what is no number, or too large.
    pub fn parse(text: &[u8]) -> Result<Self, CommandError> {
        parse_cursor(text).map(|place| Self(place.min(LAST)))
    }

    /// The number that a client sends back.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Which keys a scan wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filter<'a> {
    /// MATCH: the pattern.
    pub pattern: Option<&'a [u8]>,
    /// TYPE: which kinds of values are wanted.
    pub kinds: Kinds,
}

/// Which kinds of values a scan wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kinds {
    /// All.
    All,
    /// One.
    Only(Kind),
    /// One that there is not.
    Unknown,
}

/// What a call asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scan<'a> {
    /// Where to go on.
    pub cursor: Cursor,
    /// How many keys to look at; at least 1.
    pub count: usize,
    /// Which of them to give.
    pub filter: Filter<'a>,
}

/// What a call gives.
#[derive(PartialEq, Eq, Debug)]
pub struct Page {
    /// The keys, in no order that means anything.
    pub keys: Vec<Bytes>,
    /// How many keys were looked at.
    pub seen: usize,
    /// Where to go on; none if the group has no more keys.
    pub next: Option<Cursor>,
}

impl<'a> Scan<'a> {
    /// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
    ///
    /// # Errors
    /// [`CommandError::InvalidCursor`], [`CommandError::NotInteger`] for the count and
    /// [`CommandError::Syntax`] for everything else.
    pub fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let cursor = Cursor::parse(args.at(1))?;
        let Options { count, filter } = Options::parse(args.from(2), true)?;
        Ok(Self { cursor, count, filter })
    }
}

/// What a call of any kind of scan may say besides its cursor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Options<'a> {
    pub(super) count: usize,
    pub(super) filter: Filter<'a>,
}

impl<'a> Options<'a> {
    /// `[MATCH pattern] [COUNT count]`, and where there is a choice of kinds, `[TYPE type]`.
    ///
    /// # Errors
    /// [`CommandError::NotInteger`] for the count, [`CommandError::Syntax`] for everything else.
    pub(super) fn parse(
        mut args: impl Iterator<Item = &'a [u8]>,
        takes_kind: bool,
    ) -> Result<Self, CommandError> {
        let filter = Filter { pattern: None, kinds: Kinds::All };
        let mut options = Self { count: COUNT_DEFAULT, filter };
        while let Some(option) = args.next() {
            let value = args.next().ok_or(CommandError::Syntax)?;
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("MATCH") {
                options.filter.pattern = Some(value).filter(|pattern| *pattern != b"*");
            } else if is("COUNT") {
                let count = parse_integer(value).ok_or(CommandError::NotInteger)?;
                let count = usize::try_from(count).ok().filter(|count| *count > 0);
                options.count = count.ok_or(CommandError::Syntax)?.min(COUNT_MAX);
            } else if is("TYPE") && takes_kind {
                options.filter.kinds = Kind::named(value).map_or(Kinds::Unknown, Kinds::Only);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

/// A cursor as Redis reads it, by `strtoul`: up to the first zero byte, empty or with a sign, and
/// -1 is the largest number.
///
/// # Errors
/// [`CommandError::InvalidCursor`] for what is no number or too large.
pub(super) fn parse_cursor(text: &[u8]) -> Result<u64, CommandError> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let (is_negative, digits) = match text {
        [] => return Ok(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    // The library would take a second sign.
    let digits = Some(digits).filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
    let number = number.ok_or(CommandError::InvalidCursor)?;
    Ok(if is_negative { number.wrapping_neg() } else { number })
}

impl Keyspace {
    /// Looks at about `count` keys from the cursor on and gives those that the filter wants and
    /// that exist at `now`. Keys of one place are never parted, so it may look at a few more.
    pub fn scan(&self, scan: &Scan<'_>, now: UnixMillis) -> Page {
        let now = now.max(self.time());
        let mut page = Page { keys: Vec::new(), seen: 0, next: None };
        for (place, chain) in self.entries.range(scan.cursor.0..) {
            if page.seen >= scan.count {
                page.next = Some(Cursor(*place));
                break;
            }
            page.seen += chain.entries().len();
            for entry in chain.entries().iter().filter(|entry| entry.is_alive(now)) {
                if scan.filter.wants(entry) {
                    page.keys.push(Bytes::copy_from_slice(&entry.key));
                }
            }
        }
        page
    }

    /// A key that exists at `now`: the first one behind a place that `dice` chooses, or the first
    /// one of all; none if there are none.
    pub fn some_key(&self, dice: u64, now: UnixMillis) -> Option<Bytes> {
        let now = now.max(self.time());
        let slots = self.slots();
        let slot = u64::from(slots.start) + (dice >> HASH_BITS) % slots.len().max(1) as u64;
        let place = slot << HASH_BITS | dice & ((1 << HASH_BITS) - 1);
        let behind = self.entries.range(place..).chain(self.entries.range(..place));
        let mut alive = behind.flat_map(|(_, chain)| chain.entries()).filter(|e| e.is_alive(now));
        alive.next().map(|entry| Bytes::copy_from_slice(&entry.key))
    }

    /// The first `count` keys of a slot that exist at `now`, in no order that means anything.
    pub fn keys_of_slot(&self, slot: u16, count: usize, now: UnixMillis) -> Vec<Bytes> {
        let now = now.max(self.time());
        let places =
            Cursor::slot_start(slot).0..=(Cursor::slot_start(slot).0 | ((1 << HASH_BITS) - 1));
        let entries = self.entries.range(places).flat_map(|(_, chain)| chain.entries());
        let alive = entries.filter(|entry| entry.is_alive(now)).take(count);
        alive.map(|entry| Bytes::copy_from_slice(&entry.key)).collect()
    }
}

impl Filter<'_> {
    fn wants(&self, entry: &Entry) -> bool {
        let is_wanted = match self.kinds {
            Kinds::All => true,
            Kinds::Only(kind) => entry.value.kind() == kind,
            Kinds::Unknown => false,
        };
        is_wanted && self.pattern.is_none_or(|pattern| glob::matches(pattern, &entry.key))
    }
}

/// A slot's number.
///
/// # Errors
/// [`CommandError::NotInteger`] or [`CommandError::InvalidSlot`].
pub fn parse_slot(text: &[u8]) -> Result<u16, CommandError> {
    let slot = parse_integer(text).ok_or(CommandError::NotInteger)?;
    let in_range = |slot: &u16| u32::from(*slot) < routing::HASH_SLOTS;
    u16::try_from(slot).ok().filter(in_range).ok_or(CommandError::InvalidSlot)
}
