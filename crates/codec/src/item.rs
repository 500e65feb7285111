//! What one durable commit is made of.

use alloc::sync::Arc;
use alloc::vec::Vec;

use raft_core::{Configuration, EntryRun, HardState, RestoredReplica};
use types::{Generation, GroupId, LogId, LogIndex, ReplicaId};

/// One change to one group's durable state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// The group now exists here, as this replica, with an empty log.
    Create {
        /// Who this node is within the group.
        replica: ReplicaId,
    },
    /// Appends a run and discards everything of that group from its first index on.
    Append(EntryRun),
    /// Discards everything of that group from `from` on.
    Truncate {
        /// The first index that goes.
        from: LogIndex,
    },
    /// Replaces term and vote.
    HardState(HardState),
    /// Forgets everything up to and including `base`.
    Compact {
        /// The last entry that goes.
        base: LogId,
        /// The configuration in force there.
        configuration: Arc<Configuration>,
    },
    /// The group is gone from here; only its generation is remembered.
    Remove,
    /// A copy of live entries made to free an old record: replaces the location of exactly those
    /// (index, term) and discards nothing.
    Moved(EntryRun),
}

/// A change and the life of the group that it belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupItem {
    /// The group.
    pub group: GroupId,
    /// Which life of the group.
    pub generation: Generation,
    /// The change.
    pub item: Item,
}

/// What becomes durable together, all of it or nothing; items take effect in order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct WriteBatch {
    /// The changes, in order; those of one group keep the order in which they were made.
    pub items: Vec<GroupItem>,
}

/// One group as its store knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// The group.
    pub group: GroupId,
    /// Which life of the group.
    pub generation: Generation,
    /// The replica that this node holds.
    pub replica: RestoredReplica,
}
