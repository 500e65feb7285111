//! What the engine does for us.
//!
//! The server needs little of it, and says here what: tests stand behind this boundary with
//! leaders that come and go at their word.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use engine::{EngineStatus, GroupStatus, TransferError};
use types::{GroupId, NodeId, VShardId};

/// A future that owns all it needs.
pub type Promise<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Who leads a group, as far as this node knows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LeaderView {
    /// The leader last heard of.
    pub node: Option<NodeId>,
    /// Whether that is this node.
    pub is_self: bool,
    /// Whether it was heard from within one election timeout; of ourselves, whether a majority was.
    pub is_fresh: bool,
}

/// Why a write was not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// This node does not lead the group. Nothing was written: ask whoever leads it.
    NotLeader,
    /// A budget is used up. Nothing was written: ask later.
    Overloaded {
        /// Which budget.
        budget: &'static str,
    },
    /// The disk of this node, which leads, is full. Nothing was written: ask when there is room.
    DiskFull {
        /// Bytes that are free on it.
        free_bytes: u64,
        /// Bytes that have to be free.
        needed_bytes: u64,
    },
    /// The disks of a majority of the group are full. Nothing was written: ask when there is room.
    MajorityFull,
    /// The entry is larger than entries may be. Nothing was written, and asking again is in vain.
    TooLarge {
        /// How large it is, in bytes.
        bytes: usize,
        /// How large entries may be.
        bytes_max: usize,
    },
    /// Leadership was lost after the entry was appended: it may or may not be applied one day.
    Uncertain,
    /// The node is stopping. Nothing was written.
    Stopped,
}

/// Why a read was not permitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// This node does not lead the group: ask whoever leads it.
    NotLeader,
    /// A budget is used up: ask later.
    Overloaded {
        /// Which budget.
        budget: &'static str,
    },
    /// The node is stopping.
    Stopped,
}

/// How the node's disk is, for INFO.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum DiskHealth {
    /// It takes writes.
    #[default]
    Ok,
    /// It does not answer.
    Stalled,
    /// It has too little room for new writes.
    Full {
        /// Bytes that are free on it.
        free_bytes: u64,
        /// Bytes that have to be free.
        needed_bytes: u64,
        /// Whether writes wait for room.
        is_waiting: bool,
    },
    /// It failed, or something else did: the node is ending.
    Failed,
}

/// What the engine does for us.
pub trait Replication: Send + Sync {
    /// Who leads a group. Cheap: every command asks.
    fn leader(&self, group: GroupId) -> LeaderView;

    /// How the node's disk is.
    fn disk(&self) -> DiskHealth;

    /// How the node is, for operators.
    fn status(&self) -> EngineStatus;

    /// How its groups are, sorted by id; those that wait to be founded are missing. Costs in
    /// proportion to their number.
    fn group_statuses(&self) -> Promise<Vec<GroupStatus>>;

    /// Hands the leadership of a group, which this node leads, to another node, and comes true when
    /// that node leads.
    fn transfer(&self, group: GroupId, to: NodeId) -> Promise<Result<(), TransferError>>;

    /// Comes true when any group's leader changes after this call.
    fn leaders_changed(&self) -> Promise<()>;

    /// Puts entries into the logs of their groups, those of one group in this order, and tells the
    /// result of each once it is applied here.
    fn propose_many(
        &self,
        writes: Vec<(VShardId, Bytes)>,
    ) -> Promise<Vec<Result<Bytes, WriteError>>>;

    /// Comes true when everything that was acknowledged before this call, by whomever, is applied
    /// here, so that the group may be read.
    fn read(&self, vshard: VShardId) -> Promise<Result<(), ReadError>>;
}
