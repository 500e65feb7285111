//! The keys of one group, and their expiry. What commands do to them is in `keys.rs`, `strings.rs`,
//! `bits.rs` and `hashes.rs`.
//!
//! Keys are ordered by place: the slot, then 48 bits of the key's hash. A tree in that order costs
//! a little more per lookup than a hash table and gives three things that a hash table cannot: a
//! scan whose cursor is a place, so that no write or growth disturbs it; the keys of a slot as a
//! range; and no pause while a table grows.
//!
//! Invariants: `len` and `counts` agree with the entries, which only `put` and `remove` add and take;
//! `deadlines` holds (deadline, place) exactly for the entries that have one; the time never falls;
//! whatever changes or removes an entry says by which log entry, so that `watched.rs` can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use routing::hash_slot;
use types::LogIndex;

use super::chain::{Chain, Deadline, Entry};
use super::dice::Dice;
use super::value::Value;
use super::watched::Removals;
use super::{CommandError, Read, Write, sip};
use crate::resp::Reply;

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

/// The same for a sweep, of which a leader proposes a few each second where there is more to do.
const REAPED_PER_SWEEP_MAX: usize = 2_500;

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
    pub(super) applied: LogIndex,
    pub(super) removals: Removals,
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
            applied: LogIndex::ZERO,
            removals: Removals::default(),
            hash: sip::hash,
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

    /// Takes note that the entry at `index` is applied from here on, moves the group's time on to
    /// its stamp, or leaves it if that lies behind, and clears away a few keys that have expired by
    /// then. Comes before every write.
    pub fn advance(&mut self, index: LogIndex, stamp: UnixMillis) {
        self.applied = index;
        self.time = self.time.max(stamp);
        self.reap(REAPED_PER_WRITE_MAX);
    }

    /// The same for an entry that lets time pass and nothing else: clears away many keys.
    pub fn sweep(&mut self, index: LogIndex, stamp: UnixMillis) {
        self.advance(index, stamp);
        self.reap(REAPED_PER_SWEEP_MAX);
    }

    /// Whether there are keys to clear away that have expired by `now`.
    pub fn is_due(&self, now: UnixMillis) -> bool {
        self.expired(now).next().is_some()
    }

    /// Clears away keys that have expired, at most so many.
    fn reap(&mut self, keys_max: usize) {
        for _ in 0..keys_max {
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
            Write::Key(write) => self.write_key(write),
            Write::String(write) => self.write_string(write),
            Write::Bits(write) => self.write_bits(write),
            Write::Hash(write) => self.write_hash(write),
        };
        done.unwrap_or_else(Reply::from)
    }

    /// Answers a command that only looks, as of `now` or the group's time, whichever is later: a
    /// key is never seen again by a read after an applied write found it expired. What a command
    /// chooses by chance comes from `dice`.
    pub fn read(&self, read: &Read<'_>, now: UnixMillis, dice: Dice) -> Reply {
        let now = now.max(self.time);
        let seen = match read {
            Read::Key(read) => Ok(self.read_key(read, now)),
            Read::String(read) => self.read_string(read, now),
            Read::Bits(read) => self.read_bits(read, now),
            Read::Hash(read) => self.read_hash(read, now),
            Read::HashWalk(walk) => self.walk_hash(walk, now, dice),
        };
        seen.unwrap_or_else(Reply::from)
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

    /// A number that is equal on replicas with equal keys, values, deadlines, time and memory of
    /// what was changed, and unequal on others but for a chance of 2^-64. Walks all keys.
    pub fn digest(&self) -> u64 {
        let mut sum = digest_of(&[&self.time.0.to_le_bytes()]);
        sum = sum.wrapping_add(self.removals.digest());
        for entry in self.entries.values().flat_map(Chain::entries) {
            let deadline = entry.deadline.map_or(0, |deadline| deadline.moment().0).to_le_bytes();
            let len = entry.key.len().to_le_bytes();
            // A sum does not depend on the order.
            let value = entry.value.digest_parts();
            let changed = entry.changed.0.to_le_bytes();
            sum = sum.wrapping_add(digest_of(&[&len, &entry.key, &deadline, &changed, &value]));
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

    /// What is stored of a key, though it may have expired.
    pub(super) fn stored(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(&self.place(key))?.find(key)
    }

    pub(super) fn find(&self, key: &[u8], now: UnixMillis) -> Option<&Entry> {
        self.stored(key).filter(|entry| entry.is_alive(now))
    }

    pub(super) fn find_now(&self, key: &[u8]) -> Option<&Entry> {
        self.find(key, self.time)
    }

    /// The same, for a change of its value: it counts as changed, whatever the caller does.
    pub(super) fn find_to_change(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let (place, now, applied) = (self.place(key), self.time, self.applied);
        let chain = self.entries.get_mut(&place)?;
        let entry = chain.find_mut(key).filter(|entry| entry.is_alive(now))?;
        entry.changed = applied;
        Some(entry)
    }

    /// Whether a key is of this group.
    ///
    /// # Errors
    /// [`CommandError::ForeignSlot`].
    pub(super) fn check_slot(&self, key: &[u8]) -> Result<(), CommandError> {
        let slot = hash_slot(key);
        self.slot_index(slot).map(|_| ()).ok_or(CommandError::ForeignSlot { slot })
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
    pub(super) fn put(
        &mut self,
        key: &[u8],
        value: Value,
        deadline: Option<Deadline>,
    ) -> Result<(), CommandError> {
        let place = self.place(key);
        let slot = slot_of(place);
        let index = self.slot_index(slot).ok_or(CommandError::ForeignSlot { slot })?;
        if let Some(entry) = self.entries.get_mut(&place).and_then(|chain| chain.find_mut(key)) {
            entry.value = value;
            entry.changed = self.applied;
            let before = std::mem::replace(&mut entry.deadline, deadline);
            self.note_deadline(place, before, deadline);
            return Ok(());
        }
        let entry = Entry { key: key.into(), value, deadline, changed: self.applied };
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

    /// Removes a key, and gives it if it still existed.
    pub(super) fn take(&mut self, key: &[u8]) -> Option<Entry> {
        let time = self.time;
        let removed = self.remove(self.place(key), |entry| *entry.key == *key);
        removed.filter(|entry| entry.is_alive(time))
    }

    /// Removes the first entry of that place that `wanted` picks.
    fn remove(&mut self, place: Place, wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let (remaining, taken) = self.entries.remove(&place)?.take(wanted);
        if let Some(chain) = remaining {
            self.entries.insert(place, chain);
        }
        let taken = taken?;
        // Who saw it expire saw it change by that alone.
        let changed = if taken.is_alive(self.time) { self.applied } else { taken.changed };
        self.removals.add(&taken.key, changed);
        if let Some(deadline) = taken.deadline {
            self.forget_deadline(deadline, place);
        }
        let index = self.slot_index(slot_of(place)).expect("only keys of our slots are stored");
        self.counts[index] -= 1;
        self.len -= 1;
        Some(taken)
    }

    /// Gives a stored key another deadline, or none.
    pub(super) fn set_deadline(&mut self, key: &[u8], deadline: Option<Deadline>) {
        let place = self.place(key);
        let chain = self.entries.get_mut(&place);
        let entry = chain.and_then(|chain| chain.find_mut(key)).expect("the key is stored");
        let before = std::mem::replace(&mut entry.deadline, deadline);
        if before.is_some() || deadline.is_some() {
            entry.changed = self.applied;
        }
        self.note_deadline(place, before, deadline);
    }

    /// Brings the list up to date after a key of that place got another deadline, or none.
    fn note_deadline(&mut self, place: Place, before: Option<Deadline>, after: Option<Deadline>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.forget_deadline(before, place);
        }
        if let Some(after) = after {
            self.deadlines.insert((after, place));
        }
    }

    /// Takes a deadline off the list unless another key of that place has the same.
    fn forget_deadline(&mut self, deadline: Deadline, place: Place) {
        let others = self.entries.get(&place).map_or(&[][..], Chain::entries);
        if !others.iter().any(|entry| entry.deadline == Some(deadline)) {
            self.deadlines.remove(&(deadline, place));
        }
    }
}

/// The slot that a place belongs to.
pub(super) fn slot_of(place: Place) -> u16 {
    u16::try_from(place >> HASH_BITS).expect("a place is made of a slot and its hash")
}

/// That moment as a deadline; what lies before 1970 has passed as surely as the year's first
/// millisecond.
pub(super) fn deadline_at(millis: i64) -> Option<Deadline> {
    Deadline::at(UnixMillis(u64::try_from(millis).unwrap_or(1).max(1)))
}

/// FNV-1a, then mixed so that sums of digests keep their distance. Fixed for ever, so that
/// different builds can be compared.
pub(super) fn digest_of(parts: &[&[u8]]) -> u64 {
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
