//! What replicas of one group say to each other.

use alloc::vec::Vec;

use types::{LogId, LogIndex, ReplicaId, Term};

use crate::EntryRun;

/// One message between two replicas of the same group and generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Who speaks.
    pub from: ReplicaId,
    /// Who is meant.
    pub to: ReplicaId,
    /// The speaker's current term.
    pub term: Term,
    /// What it says.
    pub body: MessageBody,
}

/// Identifies a round of leadership confirmation for reads; unique within a leader's term, and
/// rising. A retried read gets a new round, so that no late answer can confirm it (ER#12680,
/// E#20418).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReadRound(pub u64);

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MessageBody {
    /// "Would you vote for me in `next_term`?" Changes nobody's term (dissertation 9.6).
    PreVote {
        /// The term the sender would campaign in.
        next_term: Term,
        /// The last entry of the sender's log.
        last: LogId,
    },
    /// The answer to a pre-vote.
    PreVoteResponse {
        /// The term that was asked for, so that answers to older questions are told apart.
        next_term: Term,
        /// Whether the sender would vote.
        granted: bool,
    },
    /// "Vote for me in the term of this message." Leaves only once that term and the sender's own
    /// vote are durable.
    Vote {
        /// The last entry of the sender's log.
        last: LogId,
        /// Whether the leader ordered this election ([`MessageBody::TimeoutNow`]), so that promises
        /// to it do not stand in the way.
        is_ordered: bool,
    },
    /// The answer to a vote request; a granted one leaves only once the vote is durable.
    VoteResponse {
        /// Whether the sender voted for the receiver in the term of this message.
        granted: bool,
    },
    /// Replicates `runs`, which follow `prev` without a gap; may be empty (a probe).
    Append {
        /// The entry before the first one sent.
        prev: LogId,
        /// The sender's commit index.
        commit: LogIndex,
        /// The entries, in log order, contiguous.
        runs: Vec<EntryRun>,
    },
    /// "My durable log matches yours up to `matched`." Covers only what was verified in this term.
    Accepted {
        /// The last entry that is both verified against the leader's log and durable.
        matched: LogIndex,
    },
    /// "I do not have the entry before what you sent."
    Rejected {
        /// The `prev.index` of the append that is refused.
        prev: LogIndex,
        /// The last entry of the sender's log at or before `prev` whose term is at most the term
        /// of the refused `prev`: nothing above it can match.
        hint: LogId,
    },
    /// The leader is alive. Also tells the commit index, as far as the receiver is known to match.
    Heartbeat {
        /// min(the leader's commit index, the receiver's match index).
        commit: LogIndex,
        /// The read round that an answer confirms, if one is open.
        round: Option<ReadRound>,
    },
    /// The answer to a heartbeat.
    HeartbeatResponse {
        /// The round of the heartbeat that is answered.
        round: Option<ReadRound>,
    },
    /// "Campaign now": the leader hands leadership over (dissertation 3.10). Counts only from the
    /// leader of the receiver's term.
    TimeoutNow,
}
