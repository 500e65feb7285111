//! Whether keys are still what they were: the condition on which a transaction is applied.
//!
//! A key was changed by the last entry that set, changed or removed it or its time to live. What is
//! stored remembers that entry; of what was removed, the last removals are remembered, and from
//! older ones on every missing key counts as changed. All of it follows from the log alone, so that
//! all replicas decide alike. A key that comes back after it was removed was changed, whatever it
//! holds; one that expires was changed for whoever saw it alive.

use std::collections::VecDeque;

use types::LogIndex;

use super::keyspace::{Keyspace, UnixMillis, digest_of};

/// How many removals a group remembers. If more keys were removed between WATCH and EXEC, a key
/// that does not exist counts as changed. Part of what a log means: all nodes must agree on it for
/// ever.
const REMOVALS_MAX: usize = 1_024;

/// A key, and what was known of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watched<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The last entry that had been applied.
    pub since: LogIndex,
    /// Whether it existed then.
    pub existed: bool,
}

/// Which keys were removed lately, and by which entries.
///
/// Invariants: at most [`REMOVALS_MAX`], in the order of their removal; `forgotten` is not below any
/// that is not among them.
#[derive(Default, Debug)]
pub(super) struct Removals {
    /// A key's digest and the last entry that changed it. Of two keys with the same digest both
    /// count as removed.
    recent: VecDeque<(u64, LogIndex)>,
    forgotten: LogIndex,
}

impl Removals {
    pub(super) fn add(&mut self, key: &[u8], changed: LogIndex) {
        if self.recent.len() == REMOVALS_MAX
            && let Some((_, oldest)) = self.recent.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
        self.recent.push_back((digest_of(&[key]), changed));
    }

    /// The last entry that may have changed a key that does not exist.
    fn last_change(&self, key: &[u8]) -> LogIndex {
        let digest = digest_of(&[key]);
        let own = self.recent.iter().filter(|(removed, _)| *removed == digest);
        own.map(|(_, changed)| *changed).fold(self.forgotten, LogIndex::max)
    }

    /// A number that is equal for the same removals in any order.
    pub(super) fn digest(&self) -> u64 {
        let one = |(removed, changed): &(u64, LogIndex)| {
            digest_of(&[&removed.to_le_bytes(), &changed.0.to_le_bytes()])
        };
        let forgotten = digest_of(&[&self.forgotten.0.to_le_bytes()]);
        self.recent.iter().map(one).fold(forgotten, u64::wrapping_add)
    }
}

impl Keyspace {
    /// The last entry that was applied.
    pub const fn applied(&self) -> LogIndex {
        self.applied
    }

    /// Whether a key exists at `now` or the group's time, whichever is later.
    pub fn exists(&self, key: &[u8], now: UnixMillis) -> bool {
        self.find(key, now.max(self.time())).is_some()
    }

    /// Whether a key is what it was, at the group's time.
    pub fn is_unchanged(&self, watched: &Watched<'_>) -> bool {
        let Watched { key, since, existed } = *watched;
        let (exists, changed) = match self.stored(key) {
            Some(entry) => (entry.is_alive(self.time()), entry.changed),
            None => (false, self.removals.last_change(key)),
        };
        exists == existed && changed <= since
    }
}

#[cfg(test)]
#[path = "watched_tests.rs"]
mod tests;
