//! A log as the checks see it: per entry its term, and a hash of everything up to it.
//!
//! Two logs that have the same stamp at an index hold the same entries up to there, so that whole
//! logs are compared by one number.

use codec::encode_configuration;
use raft_core::{EntryRun, RunBody};
use types::{LogId, LogIndex, Term};

use crate::random::mix;

/// One entry, with all before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) term: Term,
    /// The hash of all entries up to this one.
    pub(crate) prefix: u64,
}

impl Stamp {
    /// What stands before the first entry.
    pub(crate) const START: Self = Self { term: Term(0), prefix: 0 };

    /// The stamp of an entry that follows this one.
    const fn then(self, term: Term, content: u64) -> Self {
        let link = self.prefix.rotate_left(23) ^ mix(content ^ term.0.rotate_left(40));
        Self { term, prefix: mix(link) }
    }
}

/// The stamps of a log, from index 1.
#[derive(Clone, Default, Debug)]
pub(crate) struct Stamps(Vec<Stamp>);

impl Stamps {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) const fn last(&self) -> LogIndex {
        LogIndex(self.0.len() as u64)
    }

    /// Which entry is the last.
    pub(crate) fn last_id(&self) -> LogId {
        LogId::new(self.0.last().unwrap_or(&Stamp::START).term, self.last())
    }

    /// The stamp at `index`; that before the first entry at 0, none beyond the last.
    pub(crate) fn at(&self, index: LogIndex) -> Option<Stamp> {
        let Some(place) = index.0.checked_sub(1) else { return Some(Stamp::START) };
        usize::try_from(place).ok().and_then(|place| self.0.get(place)).copied()
    }

    /// Discards everything from `first` on.
    pub(crate) fn truncate(&mut self, first: LogIndex) {
        self.0.truncate(usize::try_from(first.0 - 1).expect("a simulated log is short"));
    }

    /// Appends a run that follows the last entry.
    pub(crate) fn extend(&mut self, run: &EntryRun) {
        let mut stamp = self.0.last().copied().unwrap_or(Stamp::START);
        for_each_content(run, |content| {
            stamp = stamp.then(run.term, content);
            self.0.push(stamp);
        });
    }

    pub(crate) fn push(&mut self, stamp: Stamp) {
        self.0.push(stamp);
    }

    /// The stamps after the first `skip`.
    pub(crate) fn after(&self, skip: LogIndex) -> &[Stamp] {
        let skip = usize::try_from(skip.0).expect("a simulated log is short");
        self.0.get(skip..).unwrap_or_default()
    }
}

/// The stamp of the last entry of `run`, if `before` is that of the entry before it.
pub(crate) fn stamp_after(before: Stamp, run: &EntryRun) -> Stamp {
    let mut stamp = before;
    for_each_content(run, |content| stamp = stamp.then(run.term, content));
    stamp
}

fn for_each_content(run: &EntryRun, mut each: impl FnMut(u64)) {
    match &run.body {
        RunBody::TermStart => each(1),
        RunBody::Configuration(configuration) => {
            each(hash_bytes(2, &encode_configuration(configuration)));
        }
        RunBody::Commands(commands) => {
            for command in commands {
                let (vshard, epoch) =
                    command.header.routed.map_or((0, 0), |(vshard, epoch)| (vshard.0, epoch.0));
                let kind = 3 + (u64::from(vshard) << 8) + (epoch << 40);
                each(hash_bytes(kind, command.payload));
            }
        }
    }
}

/// Eight bytes at a time; the length counts too.
fn hash_bytes(kind: u64, bytes: &[u8]) -> u64 {
    let mut hash = mix(kind ^ (bytes.len() as u64).rotate_left(8));
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(hash ^ u64::from_le_bytes(last))
}

#[cfg(test)]
mod tests {
    use raft_core::{CommandsBuilder, EntryHeader};

    use super::*;

    fn run(first: u64, term: u64, payloads: &[&str]) -> EntryRun {
        let mut builder = CommandsBuilder::default();
        payloads.iter().for_each(|p| builder.push(EntryHeader::default(), p.as_bytes()));
        let body = RunBody::Commands(builder.take().unwrap());
        EntryRun { first: LogIndex(first), term: Term(term), body }
    }

    fn stamps(runs: &[EntryRun]) -> Stamps {
        let mut stamps = Stamps::default();
        runs.iter().for_each(|run| stamps.extend(run));
        stamps
    }

    #[test]
    fn a_stamp_tells_the_whole_log_before_it() {
        let whole = stamps(&[run(1, 1, &["a", "b", "c"])]);
        let parts = stamps(&[run(1, 1, &["a"]), run(2, 1, &["b", "c"])]);
        assert_eq!(whole.at(LogIndex(3)), parts.at(LogIndex(3)));
        let other = stamps(&[run(1, 1, &["x", "b", "c"])]);
        assert_ne!(whole.at(LogIndex(3)), other.at(LogIndex(3)));
        let later = stamps(&[run(1, 1, &["a", "b"]), run(3, 2, &["c"])]);
        assert_ne!(whole.at(LogIndex(3)), later.at(LogIndex(3)));
    }

    #[test]
    fn truncation_forgets_the_end_only() {
        let mut log = stamps(&[run(1, 1, &["a", "b", "c"])]);
        let second = log.at(LogIndex(2)).unwrap();
        log.truncate(LogIndex(3));
        assert_eq!((log.last(), log.at(LogIndex(3))), (LogIndex(2), None));
        log.extend(&run(3, 4, &["d"]));
        let expected = stamp_after(second, &run(3, 4, &["d"]));
        assert_eq!(log.at(LogIndex(3)), Some(expected));
        assert_eq!(log.at(LogIndex(0)), Some(Stamp::START));
    }
}
