//! What a replica wants done: written, sent, applied, read from the log.

use alloc::vec::Vec;

use types::{LogIndex, ReplicaId, Term};

use crate::{EntryRun, Message};

/// Names one [`Write`] of one replica; rises by one with each, and they complete in that order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Ticket(pub u64);

/// What must survive a crash beside the log (paper figure 2; dissertation 3.8).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HardState {
    /// The latest term this replica has seen.
    pub term: Term,
    /// Whom it voted for in that term, if anyone.
    pub vote: Option<ReplicaId>,
}

/// What is to be made durable, all of it or nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// What to say to [`crate::RaftNode::persisted`] once it is durable.
    pub ticket: Ticket,
    /// The hard state, if it changed.
    pub hard_state: Option<HardState>,
    /// Entries to append; contiguous, may be empty. The first one discards everything in the log
    /// from its index on.
    pub runs: Vec<EntryRun>,
}

/// Whom fetched entries are for; at most one fetch of each kind is under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FetchFor {
    /// For the state machine: they are committed.
    Apply,
    /// For a replica that lags behind what is held in memory.
    Replica(ReplicaId),
}

/// A request for entries that are durable but no longer in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// Whom they are for; comes back with the answer.
    pub purpose: FetchFor,
    /// The first index wanted.
    pub first: LogIndex,
    /// The last index wanted, inclusive; at least `first`.
    pub last: LogIndex,
    /// How many bytes of entries are wanted at most; one entry comes back in any case.
    pub bytes_max: usize,
}

/// Why a fetch brought nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FetchError {
    /// The log was compacted meanwhile; `first` is the first index still there.
    Compacted {
        /// The first index still there.
        first: LogIndex,
    },
    /// The log could not be read; the replica must stop.
    Damaged,
}

/// Names one call of [`crate::RaftNode::read_index`]; the caller chooses it. Repetition is legal, and
/// each call has its own answer, in the order of the calls; whoever cannot tell them apart chooses a
/// new one, because an answer says nothing of writes that came after its call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReadId(pub u64);

/// The end of a read request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadAnswer {
    /// What the caller named it.
    pub id: ReadId,
    /// The index that must be applied before the read is served; none if leadership was lost first,
    /// and the read is to be asked again elsewhere.
    pub index: Option<LogIndex>,
}

/// What a replica is at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
    /// Receives the log, and does not count.
    Learner,
}

/// A change of role, term or leader, told once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoleChange {
    /// What the replica is.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<ReplicaId>,
}

/// Everything a replica wants done since it was asked last. Order does not matter between the
/// fields: whatever stands in `messages` may be sent at once.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Ready {
    /// To be made durable, then reported by `persisted`.
    pub write: Option<Write>,
    /// To be sent; loss is allowed.
    pub messages: Vec<Message>,
    /// Committed and durable entries, in log order, each delivered once; to be applied, then
    /// reported by `applied`.
    pub committed: Vec<EntryRun>,
    /// Reads that came to an end.
    pub reads: Vec<ReadAnswer>,
    /// Entries wanted from the log, to be answered by `entries_fetched`.
    pub fetches: Vec<Fetch>,
    /// The newest role, if role, term or leader changed.
    pub role: Option<RoleChange>,
}

impl Ready {
    /// Whether there is nothing to be done.
    pub fn is_empty(&self) -> bool {
        self.write.is_none()
            && self.messages.is_empty()
            && self.committed.is_empty()
            && self.reads.is_empty()
            && self.fetches.is_empty()
            && self.role.is_none()
    }

    /// Forgets everything but the write, whose memory the next one takes over, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.committed.clear();
        self.reads.clear();
        self.fetches.clear();
        self.role = None;
    }
}
