//! What a node holds in memory for a while: for whoever watches that limits hold, and that a node at
//! rest holds nothing.

use raft_core::Holdings;
use types::GroupId;

use crate::{MultiRaft, NodeLoop};

/// What a node holds at one moment, beside what its replicas hold. Counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct NodeHoldings {
    /// Heartbeats and answers that wait for the next beat to one node, of the node with the most of
    /// them; less than fill a frame.
    pub beat_messages: usize,
    /// Writes that are not reported durable yet.
    pub writes: usize,
    /// Appointments of groups with time, void ones included.
    pub appointments: usize,
}

/// Who waits at a node at one moment. Counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Waits {
    /// Proposers whose entries are not delivered yet.
    pub proposals: usize,
    /// Deliveries with entries that were proposed here, which are being applied.
    pub deliveries: usize,
    /// Readers, whether for a quorum or for the state machine.
    pub reads: usize,
    /// Those who wait until another node leads.
    pub transfers: usize,
    /// Groups that wait until all their members know each other by the same stores.
    pub foundings: usize,
    /// Stores kept for those groups, as their members told them: at most as many for each member as
    /// there are members.
    pub stores_told: usize,
}

impl MultiRaft {
    /// What the replica of a group mounted here holds; none if it is not.
    #[must_use]
    pub fn replica_holdings(&self, group: GroupId) -> Option<Holdings> {
        Some(self.groups.get(self.groups.find(group)?).node.holdings())
    }

    /// What the node holds beside; costs nothing that grows with the number of groups.
    #[must_use]
    pub fn holdings(&self) -> NodeHoldings {
        NodeHoldings {
            beat_messages: self.outbox.waiting_max(),
            writes: self.batches.len(),
            appointments: self.groups.appointments(),
        }
    }
}

impl<R> NodeLoop<R> {
    /// Who waits here; looks at every group.
    #[must_use]
    pub fn waits(&self) -> Waits {
        let mut waits = Waits {
            reads: self.reads.len(),
            transfers: self.transfers.len(),
            foundings: self.foundings.len(),
            stores_told: self.foundings.told(),
            ..Waits::default()
        };
        for waiting in &self.waiting {
            let (proposals, deliveries, reads) = waiting.lens();
            waits.proposals += proposals;
            waits.deliveries += deliveries;
            waits.reads += reads;
        }
        waits
    }
}
