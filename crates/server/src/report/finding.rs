//! What may be wrong with a group, and the sentences for it.

use engine::HaltReason;
use types::NodeId;

use super::Level;

/// Something that a group waits for, or that is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// The replica here takes part in nothing any more.
    Halted(HaltReason),
    /// The engine of this node does nothing any more.
    Failed,
    /// The group was never founded: that takes all of its nodes once.
    Founding {
        /// The nodes that were not heard from.
        missing: Vec<NodeId>,
    },
    /// Nobody leads, and nobody can: too few of its voters can be reached.
    NoMajority {
        /// The voters that cannot be reached.
        unreachable: Vec<NodeId>,
        /// How many there are.
        voters: usize,
    },
    /// Nobody leads yet.
    Electing,
    /// Its leader has not been heard from within one election timeout.
    Silent {
        /// Who led it.
        leader: NodeId,
    },
    /// The disk of this node, which leads, does not answer.
    DiskStalled {
        /// For how long, in milliseconds.
        waited_ms: u64,
    },
    /// The disk of this node, which leads, has too little room for writes.
    DiskFull {
        /// Bytes that are free on it.
        free_bytes: u64,
        /// Bytes that have to be free.
        needed_bytes: u64,
    },
    /// The disks of so many voters have too little room that no majority can write.
    MajorityFull {
        /// Whose.
        nodes: Vec<NodeId>,
    },
    /// This node leads, and some voters cannot be reached; a majority can.
    FewerCopies {
        /// The voters that cannot be reached.
        unreachable: Vec<NodeId>,
    },
    /// Leadership is being handed to another node.
    Transfer {
        /// To which.
        to: NodeId,
    },
    /// Entries wait for this node's disk.
    OwnDisk {
        /// How many.
        entries: u64,
    },
    /// This node leads, and entries wait for a majority to have them.
    Majority {
        /// How many.
        entries: u64,
    },
    /// Entries are committed and wait to be applied here.
    Apply {
        /// How many.
        entries: u64,
    },
    /// A replica lacks entries.
    Behind {
        /// Whose.
        node: NodeId,
        /// How many.
        entries: u64,
    },
}

impl Finding {
    /// How bad it is.
    pub const fn level(&self) -> Level {
        match self {
            Self::Halted(_)
            | Self::Failed
            | Self::Founding { .. }
            | Self::NoMajority { .. }
            | Self::Electing
            | Self::Silent { .. }
            | Self::DiskStalled { .. }
            | Self::DiskFull { .. }
            | Self::MajorityFull { .. } => Level::Sick,
            Self::FewerCopies { .. } | Self::Transfer { .. } => Level::Degraded,
            // What goes on all the time while there is load.
            Self::OwnDisk { .. }
            | Self::Majority { .. }
            | Self::Apply { .. }
            | Self::Behind { .. } => Level::Ok,
        }
    }

    /// In a few words, for a table.
    pub fn short(&self) -> String {
        match self {
            Self::Halted(HaltReason::LogDamaged) => "halted: its log is damaged".to_owned(),
            Self::Halted(HaltReason::LogRolledBack { .. }) => {
                "halted: its log lacks what it had acknowledged".to_owned()
            }
            Self::Failed => "the node has failed".to_owned(),
            Self::Founding { missing } if missing.is_empty() => "being founded".to_owned(),
            Self::Founding { missing } => {
                format!("not founded: {} not heard from", nodes(missing))
            }
            Self::NoMajority { unreachable, voters } => format!(
                "no leader: {} of {voters} voters unreachable ({})",
                unreachable.len(),
                nodes(unreachable)
            ),
            Self::Electing => "no leader: an election is under way".to_owned(),
            Self::Silent { leader } => format!("leader silent: node {leader}"),
            Self::DiskStalled { waited_ms } => {
                format!("disk does not answer for {waited_ms} ms")
            }
            Self::DiskFull { free_bytes, needed_bytes } => {
                format!("disk full: {free_bytes} bytes free, {needed_bytes} needed")
            }
            Self::MajorityFull { nodes: full } => format!("disks full: {}", nodes(full)),
            Self::FewerCopies { unreachable } => format!("unreachable: {}", nodes(unreachable)),
            Self::Transfer { to } => format!("being handed to node {to}"),
            Self::OwnDisk { entries } => format!("{} for the disk", wait(*entries)),
            Self::Majority { entries } => format!("{} for a majority", wait(*entries)),
            Self::Apply { entries } => format!("{} to be applied", wait(*entries)),
            Self::Behind { node, entries } => {
                format!("node {node} lacks {}", count(*entries))
            }
        }
    }

    /// In sentences: what is so, and what the operator does about it.
    pub fn sentence(&self) -> String {
        match self {
            Self::Halted(HaltReason::LogDamaged) => {
                "The replica here has halted, since its log could not be read: it votes and \
                 acknowledges nothing. Look for disk errors in the system's log; start the node \
                 again to have all of its log checked."
                    .to_owned()
            }
            Self::Halted(HaltReason::LogRolledBack { acknowledged, last }) => format!(
                "The replica here has halted, since its log ends at {last} and it had acknowledged \
                 entries up to {acknowledged}: its store is an older copy, or its disk lost what it \
                 had reported written. Put the newest copy of the store back, or replace the node."
            ),
            Self::Failed => "The engine of this node has failed; its log says why. The process \
                             ends, and its groups are led elsewhere if a majority is left."
                .to_owned(),
            Self::Founding { missing } if missing.is_empty() => {
                "It waits to be founded until all of its nodes have told each other that they know \
                 the same stores, which takes a moment. If it takes longer, one of them cannot reach \
                 another, or knew it by another disk: ask each of them."
                    .to_owned()
            }
            Self::Founding { missing } => format!(
                "It waits to be founded, which takes all of its nodes once: {} {} not been heard \
                 from. Start {} with the same cluster_id and [[nodes]].",
                nodes(missing),
                have(missing),
                them(missing)
            ),
            Self::NoMajority { unreachable, voters } => format!(
                "It has no leader, since {} of its {voters} voters cannot be reached from here: {}. \
                 It needs {}; start {}, or mend the network between them and this node.",
                unreachable.len(),
                nodes(unreachable),
                voters / 2 + 1,
                them(unreachable)
            ),
            Self::Electing => {
                "It has no leader, though a majority of its voters can be reached: an \
                               election is under way. If that does not end, look for nodes that \
                               are connected and do not answer."
                    .to_owned()
            }
            Self::Silent { leader } => format!(
                "Its leader, node {leader}, has not been heard from within one election timeout: \
                 unless it is soon, another is elected."
            ),
            Self::DiskStalled { waited_ms } => format!(
                "It waits for the disk of this node, which has not answered for {waited_ms} ms: \
                 others are to lead until it does. Look at the disk and at who else uses it."
            ),
            Self::DiskFull { free_bytes, needed_bytes } => format!(
                "It takes no writes, since the disk of this node, which leads, has {free_bytes} \
                 bytes free and needs {needed_bytes}. Make room; writes then go on by themselves."
            ),
            Self::MajorityFull { nodes: full } => format!(
                "It takes no writes, since a majority could not store them: the disks of {} are \
                 full. Make room there; writes then go on by themselves.",
                nodes(full)
            ),
            Self::FewerCopies { unreachable } => format!(
                "It serves, with fewer copies than it should have: {} cannot be reached.",
                nodes(unreachable)
            ),
            Self::Transfer { to } => format!(
                "Leadership is being handed to node {to}: writes wait until that node leads, at \
                 most for one election timeout."
            ),
            Self::OwnDisk { entries } => format!("{} for this node's disk.", wait(*entries)),
            Self::Majority { entries } => {
                format!("{} for a majority of its voters to have stored them.", wait(*entries))
            }
            Self::Apply { entries } => format!("{} to be applied here.", wait(*entries)),
            Self::Behind { node, entries } => format!("Node {node} lacks {}.", count(*entries)),
        }
    }
}

/// `node 1`, `nodes 1 and 2`, `nodes 1, 2 and 3`.
pub fn nodes(nodes: &[NodeId]) -> String {
    let words: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    match words.split_last() {
        None => "no node".to_owned(),
        Some((last, [])) => format!("node {last}"),
        Some((last, others)) => format!("nodes {} and {last}", others.join(", ")),
    }
}

const fn have(nodes: &[NodeId]) -> &'static str {
    if nodes.len() == 1 { "has" } else { "have" }
}

const fn them(nodes: &[NodeId]) -> &'static str {
    if nodes.len() == 1 { "it" } else { "them" }
}

fn wait(entries: u64) -> String {
    format!("{} {}", count(entries), if entries == 1 { "waits" } else { "wait" })
}

fn count(entries: u64) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}
