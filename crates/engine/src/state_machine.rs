//! What a user brings: the state that the commands change.

use std::fmt;

use bytes::Bytes;
use multiraft::{GroupSpec, RoleChange};
use raft_core::{EntryHeader, EntryRun, RunBody};
use thiserror::Error;
use types::{GroupId, LogIndex, Term};

/// The states of all groups of a node.
///
/// Called while the engine starts, once for each group that the node hosts, from the thread that
/// starts it.
pub trait StateMachine: Send + Sync + 'static {
    /// One group's state.
    type Group: Group;

    /// Opens the state of a group, and says up to which entry it holds the group's commands
    /// *durably*: [`LogIndex::ZERO`] if it starts empty, as a state in memory does. The engine then
    /// applies what the log holds after that entry.
    ///
    /// # Errors
    /// The state cannot be opened; the engine does not start and passes the error on.
    fn open(&self, spec: &GroupSpec) -> Result<(Self::Group, LogIndex), OpenError>;
}

/// One group's state, changed by its commands in log order.
///
/// Every replica applies the same commands in the same order and must arrive at the same state and
/// the same results: no clock, no randomness, no order of hashing. A panic fails the whole engine.
pub trait Group: Send + 'static {
    /// Applies entries, and gives one result per command, in the order of [`ApplyEntries::iter`].
    ///
    /// Called from one thread, never twice at once. Entries come once each and in log order, in
    /// batches that follow each other; entries that are no commands are not shown. A proposer on
    /// this node gets the result of his command after this call has returned.
    fn apply(&mut self, entries: &ApplyEntries) -> Vec<Bytes>;

    /// Up to which entry the state is durable. It never falls, and is at most the last entry that
    /// was applied.
    fn durable_applied(&self) -> LogIndex;

    /// This node's role in the group, its term or its leader has changed. Told in order with
    /// [`Group::apply`], but not at the moment of the change.
    fn role_changed(&mut self, role: RoleChange) {
        let _ = role;
    }
}

/// Why a group's state cannot be opened.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct OpenError(Box<dyn std::error::Error + Send + Sync>);

impl OpenError {
    /// Wraps whatever the state machine has to say.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Committed entries of one group, contiguous and in log order; at least one, not all of which need
/// be commands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplyEntries {
    group: GroupId,
    runs: Vec<EntryRun>,
}

/// One command as it stands in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppliedEntry<'a> {
    /// Its place.
    pub index: LogIndex,
    /// The term it was proposed in.
    pub term: Term,
    /// The vshard and routing epoch it was proposed to, if it was not proposed to a group directly.
    pub header: EntryHeader,
    /// What was proposed; may be empty.
    pub payload: &'a [u8],
}

impl ApplyEntries {
    /// Puts runs together that follow each other, at least one.
    pub(crate) fn new(group: GroupId, runs: Vec<EntryRun>) -> Self {
        debug_assert!(runs.windows(2).all(|pair| pair[0].last().next() == pair[1].first));
        Self { group, runs }
    }

    /// The group.
    #[must_use]
    pub const fn group(&self) -> GroupId {
        self.group
    }

    /// The first entry.
    #[must_use]
    pub fn first(&self) -> LogIndex {
        self.runs.first().map_or(LogIndex::ZERO, |run| run.first)
    }

    /// The last entry: after these are applied, the group is applied up to here, commands or not.
    #[must_use]
    pub fn last(&self) -> LogIndex {
        self.runs.last().map_or(LogIndex::ZERO, EntryRun::last)
    }

    /// How many commands there are: how many results are expected. May be 0.
    #[must_use]
    pub fn command_count(&self) -> usize {
        let commands = self.runs.iter().map(|run| match &run.body {
            RunBody::Commands(commands) => commands.count() as usize,
            RunBody::TermStart | RunBody::Configuration(_) => 0,
        });
        commands.sum()
    }

    /// The commands in log order.
    pub fn iter(&self) -> impl Iterator<Item = AppliedEntry<'_>> {
        self.runs.iter().flat_map(|run| {
            let commands = match &run.body {
                RunBody::Commands(commands) => Some(commands),
                RunBody::TermStart | RunBody::Configuration(_) => None,
            };
            let places = (run.first.0..).map(LogIndex);
            commands.into_iter().flatten().zip(places).map(|(command, index)| AppliedEntry {
                index,
                term: run.term,
                header: command.header,
                payload: command.payload,
            })
        })
    }

    /// The commands' runs: each has the place of its first command and how many there are.
    pub(crate) fn command_runs(&self) -> impl Iterator<Item = (LogIndex, usize)> + '_ {
        self.runs.iter().filter_map(|run| match &run.body {
            RunBody::Commands(commands) => Some((run.first, commands.count() as usize)),
            RunBody::TermStart | RunBody::Configuration(_) => None,
        })
    }
}

impl fmt::Display for ApplyEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entries {} to {} of group {}", self.first(), self.last(), self.group)
    }
}
