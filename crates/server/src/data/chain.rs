//! Keys that share one place.

use std::num::NonZeroU64;

use types::LogIndex;

use super::keyspace::UnixMillis;
use super::value::Value;

/// When a key ceases to exist, in milliseconds since 1970; at that very moment it is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deadline(NonZeroU64);

impl Deadline {
    /// That moment; none for the beginning of 1970, which has passed.
    pub fn at(moment: UnixMillis) -> Option<Self> {
        NonZeroU64::new(moment.0).map(Self)
    }

    /// The moment.
    pub const fn moment(self) -> UnixMillis {
        UnixMillis(self.0.get())
    }
}

/// One key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Box<[u8]>,
    pub(crate) value: Value,
    pub(crate) deadline: Option<Deadline>,
    /// The last log entry that changed value or deadline.
    pub(crate) changed: LogIndex,
}

impl Entry {
    /// Whether it exists at that time.
    pub(crate) fn is_alive(&self, now: UnixMillis) -> bool {
        self.deadline.is_none_or(|deadline| deadline.moment() > now)
    }
}

/// The keys of one place; nearly always one, since a place has 48 bits of the key's hash.
///
/// Invariant: never empty, no key twice.
#[derive(Debug)]
pub(crate) enum Chain {
    One(Entry),
    Many(Vec<Entry>),
}

impl Chain {
    pub(crate) fn entries(&self) -> &[Entry] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<&Entry> {
        self.entries().iter().find(|entry| *entry.key == *key)
    }

    pub(crate) fn find_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let entries = match self {
            Self::One(entry) => std::slice::from_mut(entry),
            Self::Many(entries) => entries,
        };
        entries.iter_mut().find(|entry| *entry.key == *key)
    }

    /// Adds a key that is not there yet.
    pub(crate) fn push(self, entry: Entry) -> Self {
        match self {
            Self::One(first) => Self::Many(vec![first, entry]),
            Self::Many(mut entries) => {
                entries.push(entry);
                Self::Many(entries)
            }
        }
    }

    /// Takes out the first entry that `wanted` picks; what remains is nothing if it was the last.
    pub(crate) fn take(self, wanted: impl Fn(&Entry) -> bool) -> (Option<Self>, Option<Entry>) {
        match self {
            Self::One(entry) if wanted(&entry) => (None, Some(entry)),
            Self::One(entry) => (Some(Self::One(entry)), None),
            Self::Many(mut entries) => {
                let taken = entries.iter().position(wanted).map(|at| entries.swap_remove(at));
                match entries.pop() {
                    None => (None, taken),
                    Some(last) if entries.is_empty() => (Some(Self::One(last)), taken),
                    Some(last) => {
                        entries.push(last);
                        (Some(Self::Many(entries)), taken)
                    }
                }
            }
        }
    }
}
