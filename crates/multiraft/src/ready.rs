//! What a node wants done for all its groups together.

use alloc::vec::Vec;

use bytes::Bytes;
use codec::WriteBatch;
use raft_core::{EntryRun, Fetch, HaltReason, ReadAnswer, Role};
use types::{GroupId, NodeId, Term};

/// Names one write of the node; rises by one with each, and they are reported in that order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct BatchTicket(pub u64);

/// One frame on its way to another node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutFrame {
    /// The node meant.
    pub to: NodeId,
    /// What `codec::decode_frame` reads.
    pub bytes: Bytes,
    /// Whether it holds nothing but heartbeats and their answers: small, urgent, and worthless once
    /// the next one exists.
    pub is_beat: bool,
}

/// A change of role, term or leader of one group, told once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoleChange {
    /// What this node is in the group.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<NodeId>,
}

/// Who leads a group, for whoever sends clients there; told when it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaderView {
    /// The leader of `term`, if known.
    pub leader: Option<NodeId>,
    /// The group's term as this node knows it.
    pub term: Term,
    /// Whether this node is the leader.
    pub is_self: bool,
    /// Whether the leader was heard from within one election timeout; a leader says so of itself
    /// for as long as it leads, because it steps down when its quorum falls silent.
    pub is_fresh: bool,
}

/// Everything to be done since [`crate::MultiRaft::ready`] was asked last; groups without anything
/// do not appear. The fields may be carried out in any order and side by side: whatever stands in
/// `frames` may be sent before `write` is durable.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct MultiRaftReady {
    /// To be made durable in one commit, then reported by [`crate::MultiRaft::persisted`]. If it
    /// fails, it is never reported, and nothing that depends on it ever appears.
    pub write: Option<(BatchTicket, WriteBatch)>,
    /// To be sent; loss is allowed. In plain mode more than one per node.
    pub frames: Vec<OutFrame>,
    /// Committed and durable entries, each delivered once and in order; to be applied, then
    /// reported by [`crate::MultiRaft::advance_applied`]. Each group at most once.
    pub committed: Vec<(GroupId, Vec<EntryRun>)>,
    /// Reads that came to an end.
    pub reads: Vec<(GroupId, ReadAnswer)>,
    /// Entries wanted from the log, to be answered by [`crate::MultiRaft::entries_fetched`].
    pub fetches: Vec<(GroupId, Fetch)>,
    /// Groups whose role, term or leader changed. Each group at most once.
    pub roles: Vec<(GroupId, RoleChange)>,
    /// Groups whose leader, term or freshness of the leader changed. Each group at most once.
    pub leaders: Vec<(GroupId, LeaderView)>,
    /// Groups whose replica here takes part in nothing any more, and why. Told once.
    pub halted: Vec<(GroupId, HaltReason)>,
}

impl MultiRaftReady {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.write.is_none()
            && self.frames.is_empty()
            && self.committed.is_empty()
            && self.reads.is_empty()
            && self.fetches.is_empty()
            && self.roles.is_empty()
            && self.leaders.is_empty()
            && self.halted.is_empty()
    }

    /// How many committed entries are delivered, all groups together, of whatever kind.
    pub fn total_committed(&self) -> u64 {
        let runs = self.committed.iter().flat_map(|(_, runs)| runs);
        runs.map(|run| u64::from(run.count())).sum()
    }
}
