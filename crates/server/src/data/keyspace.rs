//! The keys of one group, their expiry, and what commands do to them.
//!
//! Keys are ordered by place: the slot, then 48 bits of the key's hash. A tree in that order costs
//! a little more per lookup than a hash table and gives three things that a hash table cannot: a
//! scan whose cursor is a place, so that no write or growth disturbs it; the keys of a slot as a
//! range; and no pause while a table grows.
//!
//! Invariants: `len` and `counts` agree with the entries, which only `put` and `remove` add and take;
//! `deadlines` holds (deadline, place) exactly for the entries that have one; the time never falls.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;

use bytes::Bytes;
use routing::hash_slot;

use super::chain::{Chain, Deadline, Entry};
use super::set::{Condition, Expiry, Set, SetReply};
use super::write::{ExpireConditions, When};
use super::{CommandError, Read, Write};
use crate::resp::number::{parse_integer, put_integer};
use crate::resp::{Args, Reply};

/// A moment in milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// As a signed number, as Redis counts; the far future is its end.
    pub fn signed(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

/// How many expired deadlines one write clears away at most, so that none waits for long. More
/// than one, so that clearing keeps up with writes that all set a time to live.
const REAPED_PER_WRITE_MAX: usize = 8;

/// Where a key stands in the order: its slot in the high bits, its hash in the low 48. Stays below
/// 2^62, since it is a scan's cursor and some clients read those as signed numbers.
pub(super) type Place = u64;

/// How many low bits of a place are hash.
pub(super) const HASH_BITS: u32 = 48;

/// The keys of one group.
#[derive(Debug)]
pub struct Keyspace {
    slots: Range<u16>,
    pub(super) entries: BTreeMap<Place, Chain>,
    deadlines: BTreeSet<(Deadline, Place)>,
    /// Keys per slot, expired ones included until they are reaped; index 0 is `slots.start`.
    counts: Vec<u32>,
    len: usize,
    time: UnixMillis,
    hash: fn(&[u8]) -> u64,
}

impl Keyspace {
    /// No keys yet, for the slots of the half-open range.
    pub fn new(slots: Range<u16>) -> Self {
        Self {
            counts: vec![0; slots.len()],
            slots,
            entries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            len: 0,
            time: UnixMillis::default(),
            hash: hash_key,
        }
    }

    /// The slots that it may hold keys of, half-open.
    pub const fn slots(&self) -> &Range<u16> {
        &self.slots
    }

    /// The group's time: the latest stamp applied.
    pub const fn time(&self) -> UnixMillis {
        self.time
    }

    /// Moves the group's time on to `stamp`, or leaves it if that lies behind, and clears away a
    /// few keys that have expired by then. Comes before every write.
    pub fn advance(&mut self, stamp: UnixMillis) {
        self.time = self.time.max(stamp);
        for _ in 0..REAPED_PER_WRITE_MAX {
            match self.deadlines.first() {
                Some(&(deadline, place)) if deadline.moment() <= self.time => {
                    self.remove(place, |entry| entry.deadline == Some(deadline));
                }
                _ => return,
            }
        }
    }

    /// Does what a command says, at the group's time. Applying the same commands in the same order
    /// gives the same keys and the same replies on every replica.
    pub fn write(&mut self, write: &Write<'_>) -> Reply {
        let done = match write {
            Write::Set(set) => self.set(set),
            Write::SetMany(args) => self.set_many(*args),
            Write::Delete(args) => self.delete(*args),
            Write::GetDelete { key } => self.get_delete(key),
            Write::Increment { key, delta } => self.increment(key, *delta),
            Write::Expire { command, key, when, conditions } => {
                self.expire(command, key, *when, *conditions)
            }
            Write::Persist { key } => self.persist(key),
        };
        done.unwrap_or_else(Reply::from)
    }

    /// Answers a command that only looks, as of `now` or the group's time, whichever is later: a
    /// key is never seen again by a read after an applied write found it expired.
    pub fn read(&self, read: &Read<'_>, now: UnixMillis) -> Reply {
        let now = now.max(self.time);
        match read {
            Read::Get { key } => bulk(self.find(key, now)),
            Read::GetMany(args) => {
                Reply::Array(args.from(1).map(|key| bulk(self.find(key, now))).collect())
            }
            Read::Exists(args) => {
                Reply::count(args.from(1).filter(|key| self.find(key, now).is_some()).count())
            }
            Read::Length { key } => {
                Reply::count(self.find(key, now).map_or(0, |entry| entry.value.len()))
            }
            Read::Type { key } => {
                Reply::Status(self.find(key, now).map_or("none", |_| "string").into())
            }
            Read::Remaining { key, unit } => {
                Reply::Integer(deadline_or(self.find(key, now), |moment| {
                    unit.from_millis(moment.saturating_sub(now.signed()))
                }))
            }
            Read::Deadline { key, unit } => {
                Reply::Integer(deadline_or(self.find(key, now), |moment| unit.from_millis(moment)))
            }
        }
    }

    /// How many keys exist at `now`.
    pub fn len(&self, now: UnixMillis) -> usize {
        self.len - self.expired(now).count()
    }

    /// Whether no key exists at `now`.
    pub fn is_empty(&self, now: UnixMillis) -> bool {
        self.len(now) == 0
    }

    /// How many of the keys that exist at `now` will expire.
    pub fn expiring(&self, now: UnixMillis) -> usize {
        let with_deadline = self.deadlines.iter().map(|(deadline, place)| {
            self.entries[place].entries().iter().filter(|e| e.deadline == Some(*deadline)).count()
        });
        with_deadline.sum::<usize>() - self.expired(now).count()
    }

    /// How many keys of that slot exist at `now`; none of a slot that is not this group's.
    pub fn len_of_slot(&self, slot: u16, now: UnixMillis) -> usize {
        let Some(count) = self.slot_index(slot).and_then(|index| self.counts.get(index)) else {
            return 0;
        };
        let now = now.max(self.time);
        let expired = self.expired(now).filter(|place| place >> HASH_BITS == u64::from(slot));
        usize::try_from(*count).unwrap_or(usize::MAX) - expired.count()
    }

    /// A number that is equal on replicas with equal keys, values, deadlines and time, and unequal
    /// on others but for a chance of 2^-64. Walks all keys.
    pub fn digest(&self) -> u64 {
        let mut sum = digest_of(&[&self.time.0.to_le_bytes()]);
        for entry in self.entries.values().flat_map(Chain::entries) {
            let deadline = entry.deadline.map_or(0, |deadline| deadline.moment().0).to_le_bytes();
            let len = entry.key.len().to_le_bytes();
            // A sum does not depend on the order.
            sum = sum.wrapping_add(digest_of(&[&len, &entry.key, &deadline, &entry.value]));
        }
        sum
    }

    /// One place for each key that has expired by `now` and was not cleared away yet.
    fn expired(&self, now: UnixMillis) -> impl Iterator<Item = Place> {
        let now = now.max(self.time);
        let due = self.deadlines.iter().take_while(move |(at, _)| at.moment() <= now);
        due.flat_map(|(deadline, place)| {
            let entries = self.entries[place].entries().iter();
            entries.filter(|entry| entry.deadline == Some(*deadline)).map(|_| *place)
        })
    }

    fn find(&self, key: &[u8], now: UnixMillis) -> Option<&Entry> {
        let chain = self.entries.get(&self.place(key))?;
        chain.find(key).filter(|entry| entry.is_alive(now))
    }

    fn find_now(&self, key: &[u8]) -> Option<&Entry> {
        self.find(key, self.time)
    }

    fn place(&self, key: &[u8]) -> Place {
        let hash = (self.hash)(key) & ((1 << HASH_BITS) - 1);
        u64::from(hash_slot(key)) << HASH_BITS | hash
    }

    fn slot_index(&self, slot: u16) -> Option<usize> {
        self.slots.contains(&slot).then(|| usize::from(slot - self.slots.start))
    }

    /// Stores a key, whether it is there or not.
    ///
    /// # Errors
    /// [`CommandError::ForeignSlot`] for a key of another group; nothing changed.
    fn put(
        &mut self,
        key: &[u8],
        value: Bytes,
        deadline: Option<Deadline>,
    ) -> Result<(), CommandError> {
        let place = self.place(key);
        let slot = slot_of(place);
        let index = self.slot_index(slot).ok_or(CommandError::ForeignSlot { slot })?;
        if let Some(entry) = self.entries.get_mut(&place).and_then(|chain| chain.find_mut(key)) {
            entry.value = value;
            self.set_deadline(key, deadline);
            return Ok(());
        }
        let entry = Entry { key: key.into(), value, deadline };
        let chain = match self.entries.remove(&place) {
            None => Chain::One(entry),
            Some(chain) => chain.push(entry),
        };
        self.entries.insert(place, chain);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, place));
        }
        self.counts[index] += 1;
        self.len += 1;
        Ok(())
    }

    /// Removes the first entry of that place that `wanted` picks.
    fn remove(&mut self, place: Place, wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let (remaining, taken) = self.entries.remove(&place)?.take(wanted);
        if let Some(chain) = remaining {
            self.entries.insert(place, chain);
        }
        let taken = taken?;
        if let Some(deadline) = taken.deadline {
            self.forget_deadline(deadline, place);
        }
        let index = self.slot_index(slot_of(place)).expect("only keys of our slots are stored");
        self.counts[index] -= 1;
        self.len -= 1;
        Some(taken)
    }

    /// Gives a stored key another deadline, or none.
    fn set_deadline(&mut self, key: &[u8], deadline: Option<Deadline>) {
        let place = self.place(key);
        let chain = self.entries.get_mut(&place);
        let entry = chain.and_then(|chain| chain.find_mut(key)).expect("the key is stored");
        let before = std::mem::replace(&mut entry.deadline, deadline);
        if before == deadline {
            return;
        }
        if let Some(before) = before {
            self.forget_deadline(before, place);
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, place));
        }
    }

    /// Takes a deadline off the list unless another key of that place has the same.
    fn forget_deadline(&mut self, deadline: Deadline, place: Place) {
        let others = self.entries.get(&place).map_or(&[][..], Chain::entries);
        if !others.iter().any(|entry| entry.deadline == Some(deadline)) {
            self.deadlines.remove(&(deadline, place));
        }
    }

    fn set(&mut self, set: &Set<'_>) -> Result<Reply, CommandError> {
        let before = self.find_now(set.key);
        let deadline = match set.expiry {
            Expiry::Clear => None,
            Expiry::Keep => before.and_then(|entry| entry.deadline),
            Expiry::At(millis) => deadline_at(millis),
            Expiry::After(millis) => {
                let at = self.time.signed().checked_add(millis);
                deadline_at(at.ok_or(CommandError::InvalidExpire { command: set.command })?)
            }
        };
        let holds = match set.condition {
            None => true,
            Some(Condition::IfAbsent) => before.is_none(),
            Some(Condition::IfPresent) => before.is_some(),
        };
        let reply = match (set.reply, holds) {
            (SetReply::Old, _) => bulk(before),
            (SetReply::Done, true) => Reply::OK,
            (SetReply::Done, false) => Reply::Null,
            (SetReply::Flag, holds) => Reply::Integer(i64::from(holds)),
        };
        if holds {
            self.put(set.key, Bytes::copy_from_slice(set.value), deadline)?;
        }
        Ok(reply)
    }

    fn set_many(&mut self, args: Args<'_>) -> Result<Reply, CommandError> {
        // All or nothing: whether the keys are ours is looked at before any is stored.
        for key in args.from(1).step_by(2) {
            let slot = hash_slot(key);
            self.slot_index(slot).ok_or(CommandError::ForeignSlot { slot })?;
        }
        for (key, value) in args.from(1).step_by(2).zip(args.from(2).step_by(2)) {
            self.put(key, Bytes::copy_from_slice(value), None)?;
        }
        Ok(Reply::OK)
    }

    fn delete(&mut self, args: Args<'_>) -> Result<Reply, CommandError> {
        let time = self.time;
        let removed = args.from(1).filter(|key| {
            self.remove(self.place(key), |entry| *entry.key == **key)
                .is_some_and(|entry| entry.is_alive(time))
        });
        Ok(Reply::count(removed.count()))
    }

    fn get_delete(&mut self, key: &[u8]) -> Result<Reply, CommandError> {
        let time = self.time;
        let removed = self.remove(self.place(key), |entry| *entry.key == *key);
        Ok(bulk(removed.filter(|entry| entry.is_alive(time)).as_ref()))
    }

    fn increment(&mut self, key: &[u8], delta: i64) -> Result<Reply, CommandError> {
        let (before, deadline) = match self.find_now(key) {
            None => (0, None),
            Some(entry) => {
                let before = parse_integer(&entry.value).ok_or(CommandError::NotInteger)?;
                (before, entry.deadline)
            }
        };
        let after = before.checked_add(delta).ok_or(CommandError::Overflow)?;
        let mut text = bytes::BytesMut::new();
        put_integer(&mut text, after);
        self.put(key, Bytes::copy_from_slice(&text), deadline)?;
        Ok(Reply::Integer(after))
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
                let at = self.time.signed().checked_add(millis);
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
        if !holds {
            return Ok(Reply::Integer(0));
        }
        match deadline_at(at).filter(|deadline| deadline.moment() > self.time) {
            Some(deadline) => self.set_deadline(key, Some(deadline)),
            None => {
                self.remove(self.place(key), |entry| *entry.key == *key);
            }
        }
        Ok(Reply::Integer(1))
    }

    fn persist(&mut self, key: &[u8]) -> Result<Reply, CommandError> {
        let expires = self.find_now(key).is_some_and(|entry| entry.deadline.is_some());
        if expires {
            self.set_deadline(key, None);
        }
        Ok(Reply::Integer(i64::from(expires)))
    }
}

/// The slot that a place belongs to.
pub(super) fn slot_of(place: Place) -> u16 {
    u16::try_from(place >> HASH_BITS).expect("a place is made of a slot and its hash")
}

/// That moment as a deadline; what lies before 1970 has passed as surely as the year's first
/// millisecond.
fn deadline_at(millis: i64) -> Option<Deadline> {
    Deadline::at(UnixMillis(u64::try_from(millis).unwrap_or(1).max(1)))
}

fn bulk(entry: Option<&Entry>) -> Reply {
    entry.map_or(Reply::Null, |entry| Reply::Bulk(entry.value.clone()))
}

/// What TTL and its relatives say: -2 for no key, -1 for one that lives for ever.
fn deadline_or(entry: Option<&Entry>, say: impl FnOnce(i64) -> i64) -> i64 {
    match entry {
        None => -2,
        Some(entry) => entry.deadline.map_or(-1, |deadline| say(deadline.moment().signed())),
    }
}

/// Places keys within a slot. Decides nothing but the order of a scan, so that it may change with
/// the toolchain.
fn hash_key(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

/// FNV-1a, then mixed so that sums of digests keep their distance. Fixed for ever, so that
/// different builds can be compared.
fn digest_of(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}

#[cfg(test)]
#[path = "keyspace_tests.rs"]
mod tests;
