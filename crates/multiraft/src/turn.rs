//! What goes into a turn of a node, and what comes out of it.

use alloc::vec::Vec;

use bytes::Bytes;
use codec::{Envelope, Restored, StoresNotice, WriteBatch};
use raft_core::{EntryRun, Fetch, FetchError, FetchFor, HaltReason};
use types::{GroupId, LogIndex, NodeId, StoreId, Tick, VShardId};

use crate::{
    AddGroupError, BatchTicket, DiskRoom, Fitness, GroupSpec, LeaderView, OutFrame, ProposeError,
    ReadError, RoleChange, StoreConflict, TransferError,
};

/// Something that happened. `R` is the handle of whoever waits for an answer; every handle that goes
/// in comes out exactly once, in [`Turn::answers`], in an [`ApplyBatch`] or from
/// [`crate::NodeLoop::stop`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input<R> {
    /// It is this late.
    Tick(Tick),
    /// Whether this node should lead.
    Fitness(Fitness),
    /// Where there is room on disks.
    DiskRoom(DiskRoom),
    /// A node sent these.
    Messages {
        /// The node.
        from: NodeId,
        /// What it sent, in order.
        messages: Vec<Envelope>,
    },
    /// These were dropped on the way out.
    Dropped {
        /// The node that they were for.
        to: NodeId,
        /// What did not go out.
        messages: Vec<Envelope>,
    },
    /// Somebody wants a command applied.
    Propose(Proposal<R>),
    /// The same for several, each with a handle of its own; cheaper than one by one.
    ProposeMany(Vec<Proposal<R>>),
    /// Somebody wants a command applied by a group that he names.
    ProposeToGroup {
        /// The group.
        group: GroupId,
        /// The command.
        data: Bytes,
        /// Who waits.
        reply: R,
    },
    /// Somebody wants another node to lead a group.
    TransferLeader {
        /// The group.
        group: GroupId,
        /// The node that is to lead.
        to: NodeId,
        /// Who waits until it does.
        reply: R,
    },
    /// Somebody wants to read what is in a vshard, as of now or later.
    Read {
        /// The vshard.
        vshard: VShardId,
        /// Who waits.
        reply: R,
    },
    /// The oldest write under way is durable.
    Persisted(BatchTicket),
    /// A state machine has applied everything up to `index`. In a hurry only if
    /// [`crate::NodeLoop::awaits_applied`].
    Applied {
        /// The group.
        group: GroupId,
        /// The last applied entry.
        index: LogIndex,
    },
    /// The answer to a fetch.
    Fetched {
        /// The group.
        group: GroupId,
        /// Whom the entries are for, as the fetch said.
        purpose: FetchFor,
        /// The entries, or why there are none.
        result: Result<Vec<EntryRun>, FetchError>,
    },
    /// A node said which store it has, and that is durable here: from now on it is known by no other.
    PeerStore {
        /// The node.
        node: NodeId,
        /// Its store.
        store: StoreId,
    },
    /// A node said which stores it knows.
    PeerStores {
        /// The node, which must be the one of the store that it is known by.
        from: NodeId,
        /// What it said.
        notice: StoresNotice,
    },
    /// A group is to be founded; waits until all its members know each other by the same stores.
    AddGroup(GroupSpec),
    /// A group that the store knows is to be mounted.
    Restore {
        /// What the store knows.
        restored: Restored,
        /// What its state machine has applied durably.
        applied: LogIndex,
    },
}

/// A command on its way in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal<R> {
    /// The vshard that it concerns.
    pub vshard: VShardId,
    /// The command; may be empty.
    pub data: Bytes,
    /// Who waits for its result.
    pub reply: R,
}

/// Committed entries of one group for its state machine, and who waits for their results.
///
/// Whoever applies it answers everybody in `waiting` with the result of the entry at that index,
/// then reports [`Input::Applied`] with the last index. Batches of one group come in log order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplyBatch<R> {
    /// The group.
    pub group: GroupId,
    /// The entries, contiguous, at least one.
    pub runs: Vec<EntryRun>,
    /// Proposers of these very entries, rising by index; each index is in `runs`.
    pub waiting: Vec<(LogIndex, R)>,
}

/// What whoever waits is told, unless an [`ApplyBatch`] brings his result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Redirect: that node leads.
    NotLeader {
        /// The leader.
        leader: NodeId,
    },
    /// Retry later: nobody is known to lead.
    NoLeader,
    /// Retry later: too much is under way.
    Overloaded {
        /// Which budget is used up.
        budget: &'static str,
    },
    /// Retry later: leadership is being handed over.
    TransferInProgress {
        /// The node that is to lead; none if it is no member any more.
        to: Option<NodeId>,
    },
    /// The node that was asked for leads the group.
    Transferred,
    /// Leadership was not handed over.
    TransferRefused(TransferError),
    /// The node that was asked for was not elected in time.
    TransferFailed {
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
    /// Retry when there is room: the disks of a majority of the group are full.
    MajorityFull,
    /// Give up: the entry is larger than any may be.
    TooLarge {
        /// How large the entry would be.
        bytes: usize,
        /// How large it may be.
        bytes_max: usize,
    },
    /// Give up: there is no such vshard.
    UnknownVShard {
        /// The vshard.
        vshard: VShardId,
    },
    /// Ask another node: the group is not hosted here.
    UnknownGroup {
        /// The group.
        group: GroupId,
    },
    /// The entry may or may not be applied in the end: leadership was lost after it was appended.
    Uncertain,
    /// The read may be served: everything up to `index` is applied here, and `index` covers whatever
    /// was acknowledged before the read was asked for.
    ReadAt {
        /// The group of the vshard.
        group: GroupId,
        /// The index, applied.
        index: LogIndex,
    },
}

impl From<ProposeError> for Answer {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::UnknownVShard { vshard, .. } => Self::UnknownVShard { vshard },
            ProposeError::UnknownGroup { group } => Self::UnknownGroup { group },
            ProposeError::NotLeader { leader: Some(leader) } => Self::NotLeader { leader },
            ProposeError::NotLeader { leader: None } => Self::NoLeader,
            ProposeError::TooLarge { bytes, bytes_max } => Self::TooLarge { bytes, bytes_max },
            ProposeError::Overloaded { budget } => Self::Overloaded { budget },
            ProposeError::MajorityFull => Self::MajorityFull,
            ProposeError::TransferInProgress { to } => Self::TransferInProgress { to },
        }
    }
}

impl From<ReadError> for Answer {
    fn from(error: ReadError) -> Self {
        ProposeError::from(error).into()
    }
}

/// Everything that follows from one turn, to be carried out in any order and side by side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turn<R> {
    /// To be made durable in one commit, then reported by [`Input::Persisted`].
    pub write: Option<(BatchTicket, WriteBatch)>,
    /// To be sent; may go before the write is durable.
    pub frames: Vec<OutFrame>,
    /// To be told to those nodes, then handed in there as [`Input::PeerStores`]; may get lost.
    pub stores: Vec<(NodeId, StoresNotice)>,
    /// To be applied. Each group at most once.
    pub apply: Vec<ApplyBatch<R>>,
    /// To be read from the log, then reported by [`Input::Fetched`].
    pub fetches: Vec<(GroupId, Fetch)>,
    /// To be told.
    pub answers: Vec<(R, Answer)>,
    /// Groups whose role, term or leader changed; for their state machines.
    pub roles: Vec<(GroupId, RoleChange)>,
    /// Groups whose leader changed or fell silent; for whoever sends clients there.
    pub leaders: Vec<(GroupId, LeaderView)>,
    /// What became of groups that were to be founded or restored.
    pub added: Vec<(GroupId, Result<(), AddGroupError>)>,
    /// Nodes that turned up with another store than they are known by.
    pub conflicts: Vec<StoreConflict>,
    /// Groups whose replica here takes part in nothing any more; to be reported to the operator.
    pub halted: Vec<(GroupId, HaltReason)>,
}

impl<R> Default for Turn<R> {
    fn default() -> Self {
        Self {
            write: None,
            frames: Vec::new(),
            stores: Vec::new(),
            apply: Vec::new(),
            fetches: Vec::new(),
            answers: Vec::new(),
            roles: Vec::new(),
            leaders: Vec::new(),
            added: Vec::new(),
            conflicts: Vec::new(),
            halted: Vec::new(),
        }
    }
}
