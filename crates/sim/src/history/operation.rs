//! One operation of one client on one key.

use std::fmt;

/// A client: does one operation after the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u32);

/// What is asked of a key. A key holds a number or nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// Reads what there is.
    Get,
    /// Puts a value in place of whatever there is.
    Set(u64),
    /// Puts a value where there is none, else declines.
    SetNew(u64),
    /// Takes away what there is; declines if there is nothing.
    Delete,
    /// Adds to what there is, or to 0.
    Add(u64),
}

/// What a client was told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// To [`Action::Get`]: what there is.
    Found(Option<u64>),
    /// To [`Action::Set`], [`Action::SetNew`], [`Action::Delete`]: it is done.
    Done,
    /// To [`Action::SetNew`] and [`Action::Delete`]: the key was not as it has to be.
    Declined,
    /// To [`Action::Add`]: what there is then.
    Sum(u64),
}

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It has not, and never will: whether it takes effect is unknown.
    Open,
    /// It had no effect, and never will have one.
    Refused {
        /// When the client learned of it.
        at: u64,
    },
    /// It took effect.
    Returned {
        /// When the client learned of it.
        at: u64,
        /// What it was told.
        outcome: Outcome,
    },
}

/// One operation. Times are in any unit that rises, all from one clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Who asked.
    pub client: ClientId,
    /// Of which key.
    pub key: String,
    /// What.
    pub action: Action,
    /// When, at the latest before anybody could know of it.
    pub invoked: u64,
    /// What became of it.
    pub ending: Ending,
}

impl Action {
    /// Whether `outcome` is an answer to this at all.
    pub(super) const fn is_answered_by(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Found(_) => matches!(self, Self::Get),
            Outcome::Done => matches!(self, Self::Set(_) | Self::SetNew(_) | Self::Delete),
            Outcome::Declined => matches!(self, Self::SetNew(_) | Self::Delete),
            Outcome::Sum(_) => matches!(self, Self::Add(_)),
        }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.0)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get => write!(f, "get"),
            Self::Set(value) => write!(f, "set {value}"),
            Self::SetNew(value) => write!(f, "set-new {value}"),
            Self::Delete => write!(f, "delete"),
            Self::Add(count) => write!(f, "add {count}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(None) => write!(f, "nothing"),
            Self::Found(Some(value)) | Self::Sum(value) => write!(f, "{value}"),
            Self::Done => write!(f, "done"),
            Self::Declined => write!(f, "declined"),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => write!(f, "unknown"),
            Self::Refused { .. } => write!(f, "refused"),
            Self::Returned { outcome, .. } => outcome.fmt(f),
        }
    }
}

/// `client 3 set 18 -> done`
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.client, self.action, self.ending)
    }
}
