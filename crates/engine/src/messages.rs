//! What threads of the engine say to each other.

use std::sync::Arc;

use bytes::Bytes;
use codec::{Envelope, StoresNotice, WriteBatch};
use multiraft::{ApplyBatch, BatchTicket, GroupStatus, Proposal, RoleChange};
use raft_core::{EntryRun, Fetch, FetchError, FetchFor};
use tokio::sync::oneshot;
use types::{GroupId, LogIndex, NodeId, StoreId, VShardId};

use crate::budget::Permit;
use crate::call::Reply;
use crate::peers::Incarnation;

/// To a worker, from the engine's other threads: what it cannot do without. Never dropped, and
/// bounded by what the worker itself has under way.
#[derive(Debug)]
pub(crate) enum Fact {
    /// The oldest write under way is durable.
    Persisted(BatchTicket),
    /// What was read from the log.
    Fetched(Vec<FetchedEntries>),
    /// A peer's store is known, durably.
    PeerStore(NodeId, StoreId),
    /// Somebody wants to know how the groups are.
    Statuses(oneshot::Sender<Vec<GroupStatus>>),
    /// Look at the state of the engine; it may have failed.
    Wake,
    /// End.
    Stop,
}

/// To a worker, from an apply worker: state machines have applied everything up to these. A fact too,
/// but it wakes the worker only if somebody there waits for one.
#[derive(Debug)]
pub(crate) struct AppliedFact(pub(crate) Vec<(GroupId, LogIndex)>);

/// To a worker, from callers: refused at the door if there are too many.
#[derive(Debug)]
pub(crate) enum Request {
    Propose(Proposal<Reply>),
    ProposeMany(Vec<Proposal<Reply>>),
    ProposeToGroup(GroupId, Bytes, Reply),
    Read(VShardId, Reply),
    TransferLeader(GroupId, NodeId, Reply),
}

impl Request {
    /// Who waits for an answer.
    pub(crate) fn into_replies(self) -> Vec<Reply> {
        match self {
            Self::Propose(Proposal { reply, .. })
            | Self::ProposeToGroup(_, _, reply)
            | Self::Read(_, reply)
            | Self::TransferLeader(_, _, reply) => vec![reply],
            Self::ProposeMany(all) => all.into_iter().map(|one| one.reply).collect(),
        }
    }
}

/// To a worker, from the link: dropped at the door if there is too much.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// A node sent these; `permit` is what the frame takes of the inbox's budget.
    Received { from: NodeId, messages: Vec<Envelope>, permit: Arc<Permit> },
    /// A node said which stores it knows.
    Stores { from: NodeId, notice: StoresNotice, permit: Permit },
    /// These were dropped on their way to a node.
    Dropped { to: NodeId, messages: Vec<Envelope>, permit: Arc<Permit> },
}

/// To the log writer.
#[derive(Debug)]
pub(crate) enum LogJob {
    /// To be made durable; `bytes` is what it counts for while it waits.
    Write { worker: usize, ticket: BatchTicket, batch: WriteBatch, bytes: usize },
    /// A peer to be remembered.
    Remember(NodeId, Incarnation),
    /// End, after what came before.
    Stop,
}

/// To an apply worker.
#[derive(Debug)]
pub(crate) enum ApplyJob {
    /// What one turn of a worker has for this apply worker; batches first.
    Work { worker: usize, batches: Vec<ApplyBatch<Reply>>, roles: Vec<(GroupId, RoleChange)> },
    /// End, after what came before.
    Stop,
}

/// To the reader.
#[derive(Debug)]
pub(crate) enum ReadJob {
    /// What one turn of a worker wants to have read.
    Fetch { worker: usize, fetches: Vec<(GroupId, Fetch)> },
    /// End, after what came before.
    Stop,
}

/// What was read for one fetch.
#[derive(Debug)]
pub(crate) struct FetchedEntries {
    pub(crate) group: GroupId,
    pub(crate) purpose: FetchFor,
    pub(crate) result: Result<Vec<EntryRun>, FetchError>,
}
