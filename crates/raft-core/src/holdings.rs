//! What a replica holds in memory for a while: for whoever watches that limits hold, and that a
//! replica at rest holds nothing.

use crate::RaftNode;
use crate::raft::RoleState;

/// What a replica holds at one moment. Costs of entries are those of [`crate::EntryRun::cost`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Holdings {
    /// Durable entries in memory, in bytes; at most `log_cache_bytes_max`. None unless another
    /// replica or the state machine wants them.
    pub cached_bytes: usize,
    /// Entries that are not durable yet, in bytes.
    pub unpersisted_bytes: usize,
    /// Delivered and not yet applied, in bytes; over `apply_bytes_max` by one entry at most.
    pub applying_bytes: usize,
    /// Sent and not answered, in bytes, to the replica with the most of it; over
    /// `inflight_bytes_max` by one append at most. 0 unless this replica leads.
    pub window_bytes: usize,
    /// The same in appends; at most `inflight_appends_max`.
    pub window_appends: usize,
    /// Messages that wait for a write, or for the next ready.
    pub messages: usize,
    /// Writes that are not reported durable yet.
    pub writes: usize,
    /// Reads whose answer waits for a round, or for the next ready.
    pub reads: usize,
    /// Fetches that were asked for and not answered.
    pub fetches: usize,
}

impl RaftNode {
    /// What it holds; allocates nothing, and costs what it takes to look at the entries that are not
    /// durable and at the other replicas.
    pub fn holdings(&self) -> Holdings {
        let common = &self.common;
        let (cached_bytes, unpersisted_bytes) = common.log.cached_bytes();
        let mut holdings = Holdings {
            cached_bytes,
            unpersisted_bytes,
            applying_bytes: common.log.applying_bytes(),
            messages: common.messages_len(),
            writes: common.writes.len(),
            reads: common.answers.len(),
            fetches: common.fetches.len() + usize::from(self.is_fetching_committed),
            ..Holdings::default()
        };
        if let RoleState::Leader(leader) = &self.role {
            for peer in &leader.peers {
                let (appends, bytes) = peer.in_flight();
                holdings.window_appends = holdings.window_appends.max(appends);
                holdings.window_bytes = holdings.window_bytes.max(bytes);
                holdings.fetches += usize::from(peer.is_fetching);
            }
            holdings.reads += leader.reads.len();
        }
        holdings
    }
}
