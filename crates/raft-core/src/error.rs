//! Why a replica refuses an input. Its log, vote and configuration are as they were; at most a newer
//! term that the refused message spoke for was entered.

use core::fmt;

use types::{LogIndex, ReplicaId};

/// Why a proposal was refused; no entry was appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProposeError {
    /// This replica does not lead: ask the leader, or wait if none is known.
    NotLeader {
        /// The leader, if known.
        leader: Option<ReplicaId>,
    },
    /// The entry is longer than `entry_bytes_max`: give up.
    TooLarge {
        /// How long it would be, header included.
        bytes: usize,
        /// How long it may be.
        bytes_max: usize,
    },
    /// Too much is proposed and not committed yet: retry later.
    Overloaded {
        /// Which budget is used up.
        budget: &'static str,
    },
    /// Leadership is being handed over: ask that replica, or this one if it still leads after one
    /// election timeout.
    TransferInProgress {
        /// Who is to lead.
        to: ReplicaId,
    },
}

/// This replica does not lead; ask the leader, or wait if none is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotLeader {
    /// The leader, if known.
    pub leader: Option<ReplicaId>,
}

/// Why a message was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepError {
    /// It is meant for another replica.
    NotForMe {
        /// For whom it is.
        to: ReplicaId,
    },
    /// It is an answer from a replica that the configuration does not list.
    UnknownSender {
        /// Who sent it.
        from: ReplicaId,
    },
    /// No correct replica sends this; to be counted and logged.
    Impossible {
        /// What is wrong with it.
        what: &'static str,
    },
    /// This replica has halted and takes part in nothing.
    Halted,
}

/// Why a replica takes part in nothing any more: what its store holds is not what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HaltReason {
    /// Its log could not be read.
    LogDamaged,
    /// It lacks entries that it had acknowledged to the leader as durable: its store is an older
    /// copy, or its disk lost what it had reported written. Whatever else the store promised, votes
    /// too, may be gone as well.
    LogRolledBack {
        /// Up to where the leader knows that this replica had the log.
        acknowledged: LogIndex,
        /// Where the log ends.
        last: LogIndex,
    },
}

/// Why a replica cannot come back from what its store restored; it must not be mounted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RestoreError {
    /// The state machine has applied more than the log holds: log or state machine is from another
    /// time or place.
    AppliedBeyondLog {
        /// What the state machine has applied durably.
        applied: LogIndex,
        /// Where the log ends.
        last: LogIndex,
    },
    /// The log begins after entries that the state machine still needs.
    LogStartsAfterApplied {
        /// What the state machine has applied durably.
        applied: LogIndex,
        /// The last entry that is no longer in the log.
        base: LogIndex,
    },
    /// The parts of the restored state contradict each other.
    Inconsistent {
        /// What does not fit.
        what: &'static str,
    },
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader { leader: Some(leader) } => {
                write!(f, "not the leader, replica {leader} is")
            }
            Self::NotLeader { leader: None } => write!(f, "not the leader, and none is known"),
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "the entry has {bytes} bytes, at most {bytes_max} are allowed")
            }
            Self::Overloaded { budget } => write!(f, "overloaded: {budget} is used up"),
            Self::TransferInProgress { to } => {
                write!(f, "leadership is being handed to replica {to}")
            }
        }
    }
}

impl fmt::Display for NotLeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ProposeError::NotLeader { leader: self.leader }.fmt(f)
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotForMe { to } => write!(f, "the message is for replica {to}"),
            Self::UnknownSender { from } => {
                write!(f, "replica {from} is not in the configuration")
            }
            Self::Impossible { what } => write!(f, "no correct replica sends this: {what}"),
            Self::Halted => write!(f, "the replica has halted"),
        }
    }
}

impl fmt::Display for HaltReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogDamaged => write!(f, "the log cannot be read"),
            Self::LogRolledBack { acknowledged, last } => write!(
                f,
                "the log ends at {last}, but this replica had acknowledged {acknowledged}: the \
                 store is an older copy, or the disk lost what it had reported written"
            ),
        }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AppliedBeyondLog { applied, last } => write!(
                f,
                "the state machine has applied {applied}, but the log ends at {last}: they do not \
                 belong together"
            ),
            Self::LogStartsAfterApplied { applied, base } => write!(
                f,
                "the state machine has applied {applied}, but the log no longer has what follows up \
                 to {base}"
            ),
            Self::Inconsistent { what } => {
                write!(f, "the restored state contradicts itself: {what}")
            }
        }
    }
}

impl core::error::Error for ProposeError {}
impl core::error::Error for NotLeader {}
impl core::error::Error for StepError {}
impl core::error::Error for RestoreError {}
