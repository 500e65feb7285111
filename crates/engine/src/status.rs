//! What can be asked of the node as a whole.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use transport::LinkCounters;
use types::{BootId, NodeId, StoreId};

use crate::commit_times::CommitTimes;
use crate::disk_watch::Health;
use crate::engine::Engine;
use crate::failure::{EngineState, Failure};

/// The node at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineStatus {
    /// This node.
    pub node: NodeId,
    /// The store that holds its data.
    pub store: StoreId,
    /// Which opening of that store this is.
    pub boot: BootId,
    /// What it is doing.
    pub state: EngineState,
    /// How fit it is for leading groups.
    pub health: Health,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// How large the log is, in bytes.
    pub log_bytes: u64,
    /// At how many bytes writes are refused.
    pub log_bytes_max: u64,
    /// How often the log was committed since the start; each took one sync of the disk.
    pub log_commits: u64,
    /// How many entries those commits made durable.
    pub log_entries: u64,
    /// How long commits of the log took lately; none if there were none.
    pub log_commit_times: Option<CommitTimes>,
    /// Commands whose callers wait, in bytes with 64 added for each.
    pub proposal_bytes: usize,
    /// How many reads wait.
    pub reads: usize,
    /// Frames received that could not be read.
    pub frames_unreadable: u64,
    /// Frames received for which there was no room.
    pub frames_overrun: u64,
    /// How often a write found no room on the disk; one that waits is tried again and again.
    pub log_commits_refused: u64,
    /// Appends received for which the log writer was too far behind, or the disk had no room.
    pub appends_refused: u64,
    /// The peers whose disks have no room for new commands, sorted, as they said themselves.
    pub peers_low: Vec<NodeId>,
    /// Per peer why a connection with it was refused last, by either side, until one succeeds.
    pub refusals: BTreeMap<NodeId, String>,
    /// What happened on the links.
    pub links: LinkCounters,
}

impl Engine {
    /// How fit the node is for leading groups: a part of [`Engine::status`], at the cost of a few
    /// loads.
    #[must_use]
    pub fn health(&self) -> Health {
        let failed = self.inner.alarm.is_failed();
        if failed { Health::Failed } else { self.inner.disk.health() }
    }

    /// How the node is. Asks no thread.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let inner = &*self.inner;
        EngineStatus {
            node: inner.node,
            store: inner.store,
            boot: inner.boot,
            state: inner.alarm.state(),
            health: self.health(),
            failure: inner.alarm.failure(),
            log_bytes: inner.gauge.bytes(),
            log_bytes_max: inner.limits.raw().log_bytes_max,
            log_commits: inner.gauge.commits(),
            log_entries: inner.gauge.entries(),
            log_commit_times: inner.gauge.commit_times(),
            proposal_bytes: inner.proposals.used(),
            reads: inner.reads.used(),
            frames_unreadable: inner.counts.unreadable.load(Ordering::Relaxed),
            frames_overrun: inner.counts.overrun.load(Ordering::Relaxed),
            log_commits_refused: inner.disk.room.refusals(),
            appends_refused: inner.counts.appends_refused.load(Ordering::Relaxed),
            peers_low: inner.peer_rooms.low(),
            refusals: inner.peers.refusals(),
            links: inner.link.counters(),
        }
    }
}
