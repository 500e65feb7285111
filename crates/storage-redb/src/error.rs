//! What can go wrong, by whose fault it is and in which call.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use types::{ClusterId, Generation, GroupId, LogId, LogIndex, NodeId, Term};

/// Why a store does not open. The operator reads it: each text names what was found and what was
/// expected, and says what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The path leads to something that is no folder.
    #[error("{path} is not a folder: choose another data folder")]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// The folder lies on a file system that cannot be written to.
    #[error(
        "cannot {doing} {path}, which is on a file system that is read-only: mount it so that it \
         can be written to, or choose another data folder"
    )]
    ReadOnly {
        /// The folder or file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
    },
    /// The folder or a file in it is closed to this process.
    #[error(
        "this process may not {doing} {path} ({source}): let its user read and write the data \
         folder and every file in it, or choose another data folder"
    )]
    Forbidden {
        /// The folder or file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The folder or a file in it cannot be read or written, for another reason.
    #[error("cannot {doing} {path}: {source}")]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Another process, or another store in this one, has the folder open.
    #[error("{path} is already open: stop the other process that uses this data folder")]
    AlreadyOpen {
        /// The folder.
        path: PathBuf,
    },
    /// The store belongs to another cluster.
    #[error(
        "{path} belongs to cluster {found}, this node is configured for cluster {expected}: \
         correct the cluster id or the data folder"
    )]
    OtherCluster {
        /// The log's file.
        path: PathBuf,
        /// Whose it is.
        found: ClusterId,
        /// Who asked.
        expected: ClusterId,
    },
    /// The store belongs to another node.
    #[error(
        "{path} belongs to node {found}, this is configured to be node {expected}: correct the \
         node id or the data folder"
    )]
    OtherNode {
        /// The log's file.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who asked.
        expected: NodeId,
    },
    /// A newer program wrote the store.
    #[error(
        "{path} has format {found}, this program knows formats up to {newest}: start the newer \
         program that wrote it"
    )]
    NewerFormat {
        /// The log's file.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format that this program knows.
        newest: u32,
    },
    /// The file is not as it was written. Nothing was changed.
    #[error(
        "{path} is damaged: {what}. Keep a copy of it; then remove this node's replicas from the \
         cluster and let the node start with an empty folder"
    )]
    Damaged {
        /// The log's file.
        path: PathBuf,
        /// What was found, and where.
        what: String,
    },
    /// There is no room on the disk to make the log, or to open it. Nothing was changed, but that
    /// the reserve was given up if that was to be enough.
    #[error(
        "{path}: up to {needed} bytes are needed to {doing} the log, the disk has {free} left: \
         make room on the disk, or move the data folder to a larger one"
    )]
    DiskFull {
        /// The log's file.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
        /// Bytes that it may take.
        needed: u64,
        /// Bytes that are left, with the reserve.
        free: u64,
    },
    /// The file could not be read or written to the end.
    #[error("cannot {doing} {path}: {source}")]
    Disk {
        /// The log's file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What redb says.
        source: Box<redb::Error>,
    },
}

/// Why a store refused a call.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The disk failed, just now. Whether what was being written is there is not known; the store
    /// does nothing more. The node must stop, and may start again.
    #[error("cannot {doing} the log: {source}")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// What redb says.
        source: Box<redb::Error>,
    },
    /// The disk failed in an earlier call; this one did nothing.
    #[error("the log has failed before and does nothing more: {first}")]
    Poisoned {
        /// What happened then.
        first: String,
    },
    /// The disk may not have enough room, the reserve included. Nothing was written or changed, and
    /// the store goes on: the caller tries again later, and what takes less may succeed at once.
    #[error("the disk is full: up to {needed} bytes are needed, {free} are left")]
    DiskFull {
        /// Bytes that there must be: what the commit may take, and half of the reserve if it has
        /// entries.
        needed: u64,
        /// Bytes that there are for it: on the disk, with the reserve, or for entries, if the log's
        /// file may not grow any more, within it.
        free: u64,
    },
    /// The caller asked for something that makes no sense; nothing was written or changed.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

/// What makes no sense about a change: a bug of the caller. Nothing of its batch was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("group {group}: {fault}")]
pub struct Misuse {
    /// The group.
    pub group: GroupId,
    /// What makes no sense.
    pub fault: MisuseFault,
}

/// What makes no sense about a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum MisuseFault {
    /// The store holds no such group.
    #[error("this store holds no replica of it")]
    UnknownGroup,
    /// The change is for another life of the group.
    #[error("the change is for generation {found}, the store holds generation {held}")]
    OtherGeneration {
        /// The change's.
        found: Generation,
        /// The store's.
        held: Generation,
    },
    /// A group is created that exists.
    #[error("it is created as generation {found}, but generation {held} is still here")]
    Exists {
        /// The change's.
        found: Generation,
        /// The store's.
        held: Generation,
    },
    /// A group is created with a generation that has been used.
    #[error("it is created as generation {found}, but generation {used} was here before")]
    GenerationUsed {
        /// The change's.
        found: Generation,
        /// The last one used.
        used: Generation,
    },
    /// An append or truncation that leaves a gap.
    #[error("index {found} was to follow index {last}")]
    Gap {
        /// Where the change starts.
        found: LogIndex,
        /// The last entry.
        last: LogIndex,
    },
    /// An append or truncation of what compaction removed.
    #[error("index {found} was compacted away, up to index {base}")]
    Compacted {
        /// Where the change starts.
        found: LogIndex,
        /// The last entry that is gone.
        base: LogIndex,
    },
    /// An append whose term is below that of the entry before it.
    #[error("an entry of term {found} was to follow entry {before}")]
    TermFalls {
        /// The change's term.
        found: Term,
        /// The entry before.
        before: LogId,
    },
    /// A log of more entries than the index can count.
    #[error("the log would have more than {entries_max} entries")]
    TooLong {
        /// How many it can count.
        entries_max: u64,
    },
    /// A hard state that takes back a term or a vote.
    #[error("term {found} was to follow term {held}, or to change its vote")]
    HardStateFalls {
        /// The change's term.
        found: Term,
        /// The store's term.
        held: Term,
    },
    /// A release up to an entry that the log does not hold.
    #[error("entry {found} is to be released, but is not in the log")]
    NotHeld {
        /// The entry.
        found: LogId,
    },
    /// A batch with an item that only the store itself makes.
    #[error("entries are moved by the store itself, never by its caller")]
    MovedByCaller,
}

/// Why entries could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The store holds no such group.
    #[error("group {group}: this store holds no replica of it")]
    UnknownGroup {
        /// The group.
        group: GroupId,
    },
    /// The entries were compacted away; the caller sends a snapshot.
    #[error("group {group}: the log starts at index {first}")]
    Compacted {
        /// The group.
        group: GroupId,
        /// The first index still there.
        first: LogIndex,
    },
    /// The first entry wanted is not durable: a bug of the caller.
    #[error("group {group}: index {wanted} was asked for, the log ends at index {last}")]
    Beyond {
        /// The group.
        group: GroupId,
        /// The first index wanted.
        wanted: LogIndex,
        /// The last durable one.
        last: LogIndex,
    },
    /// A record is not as it was written. The replica must stop; others are not concerned.
    #[error("group {group}, index {index}: log record {sequence} is damaged: {what}")]
    Damaged {
        /// The group.
        group: GroupId,
        /// The first index that could not be read.
        index: LogIndex,
        /// The record's sequence number.
        sequence: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The disk failed, now or before. The node must stop.
    #[error("the log has failed: {first}")]
    Poisoned {
        /// What happened.
        first: String,
    },
}
