//! How a node and its groups are: what `MULTIRAFT STATUS` tells as JSON and `multiraft status` shows.
//!
//! - [`finding`]: what may be wrong with a group, and the sentences for it.
//! - [`look`]: from what the engine says of itself and its groups to findings.
//! - this module: the document, which is written by the node and read by the program.
//!
//! Invariants: a document of an unknown [`SCHEMA`] is refused by its reader, not guessed at; a node
//! tells what it knows itself, and what it cannot know is absent.

pub mod finding;
pub mod look;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the document. It rises when a field changes its meaning or goes; fields that are
/// added leave it as it is, and readers pass over those that they do not know.
pub const SCHEMA: u32 = 1;

/// How bad it is; worse ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is wrong.
    #[default]
    Ok,
    /// Clients are served, and something is missing all the same.
    Degraded,
    /// Some clients are not served.
    Sick,
}

impl Level {
    /// As it stands in the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Sick => "sick",
        }
    }
}

/// One node's view of the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The cluster.
    pub cluster: String,
    /// Whose view this is.
    pub node: u64,
    /// All nodes, sorted by id.
    pub nodes: Vec<NodeReport>,
    /// How many groups there are, and of which kind.
    pub counts: Counts,
    /// How many groups stand before the first one of `groups`, worst first.
    pub offset: usize,
    /// Some of the groups, worst first: by level, then by what their slowest replica lacks, then by
    /// id.
    pub groups: Vec<GroupReport>,
}

/// A node, as the reporting one sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeReport {
    /// Which node.
    pub id: u64,
    /// Where clients reach it.
    pub host: String,
    /// The port for clients.
    pub port: u16,
    /// Whether frames to it leave; of the reporting node itself, whether its engine runs.
    pub up: bool,
    /// How it is.
    pub level: Level,
    /// What is wrong with it, in words; absent if nothing is.
    pub problem: Option<String>,
    /// How many groups it leads, as far as the reporting node knows.
    pub leads: usize,
    /// How many entries its replicas lack in the groups that the reporting node leads.
    pub lag: u64,
    /// What a node knows of itself alone; absent for the others.
    pub own: Option<OwnReport>,
}

/// What a node knows of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OwnReport {
    /// The version of the program.
    pub version: String,
    /// How long it has been running, in seconds.
    pub uptime_seconds: u64,
    /// How many of its replicas follow.
    pub followers: usize,
    /// How many of its replicas want to lead.
    pub candidates: usize,
    /// How many of its replicas do not vote.
    pub learners: usize,
    /// How many of its groups wait to be founded.
    pub founding: usize,
    /// How large its log is, in bytes.
    pub log_bytes: u64,
    /// At how many bytes writes are refused.
    pub log_bytes_max: u64,
    /// How often the log was committed since the start; each took one sync of the disk.
    pub log_commits: u64,
    /// How many entries those commits made durable; absent in the documents of earlier builds, as
    /// are the two below.
    pub log_entries: Option<u64>,
    /// How long half of the commits of the last half to whole minute took at most, syncs included, in
    /// microseconds; absent if there were none.
    pub commit_p50_us: Option<u64>,
    /// The same of 99 in a hundred.
    pub commit_p99_us: Option<u64>,
}

/// Numbers of groups.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// All that the routing table has.
    pub total: usize,
    /// Those that the reporting node leads.
    pub led: usize,
    /// Those with a leader that was heard from lately.
    pub with_leader: usize,
    /// Those that are [`Level::Degraded`].
    pub degraded: usize,
    /// Those that are [`Level::Sick`].
    pub sick: usize,
}

/// What a node's replica of a group is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupRole {
    /// It leads.
    Leader,
    /// It follows.
    Follower,
    /// It wants to lead.
    Candidate,
    /// It does not vote.
    Learner,
    /// It takes part in nothing any more.
    Halted,
    /// The group waits to be founded.
    Founding,
}

impl GroupRole {
    /// As it stands in the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Halted => "halted",
            Self::Founding => "founding",
        }
    }
}

/// A group, as the reporting node sees it. Its cursors are those of that node's replica.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupReport {
    /// Which group.
    pub id: u64,
    /// What the replica is.
    pub role: GroupRole,
    /// The leader, if known.
    pub leader: Option<u64>,
    /// The term; 0 while it is being founded.
    pub term: u64,
    /// The commit index.
    pub commit: u64,
    /// The last applied entry.
    pub applied: u64,
    /// The last durable entry.
    pub persisted: u64,
    /// The last entry.
    pub last: u64,
    /// By node, how many entries it lacks; empty unless the reporting node leads.
    pub lag: BTreeMap<u64, u64>,
    /// To which node leadership is being handed.
    pub transferee: Option<u64>,
    /// How it is.
    pub level: Level,
    /// What is wrong with it, in words: why it has no leader, for one; absent if nothing is.
    pub problem: Option<String>,
}

impl GroupReport {
    /// What its slowest replica lacks, in entries.
    pub fn lag_max(&self) -> u64 {
        self.lag.values().copied().max().unwrap_or(0)
    }
}

/// Sorts groups so that those which an operator has to look at stand first.
pub fn sort_worst_first(groups: &mut [GroupReport]) {
    groups.sort_by_key(|group| (std::cmp::Reverse((group.level, group.lag_max())), group.id));
}

#[cfg(test)]
mod tests;
