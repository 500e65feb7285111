//! Where commands come in.

use alloc::vec::Vec;

use raft_core::EntryHeader;
use types::{GroupId, LogId, LogIndex, VShardId};

use crate::groups::Slot;
use crate::{LookupError, MultiRaft, ProposeError};

/// The budget that [`crate::NodeSettings::uncommitted_bytes_max`] limits, as errors name it.
const NODE_BUDGET: &str = "the node's uncommitted_bytes_max";
/// The budget that `Limits::uncommitted_bytes_max` limits, as errors name it.
const GROUP_BUDGET: &str = "the group's uncommitted_bytes_max";

impl MultiRaft {
    /// Appends a command to the log of the vshard's group, with the vshard and the routing epoch
    /// beside it. Returns the group and the index at which the entry was *appended*: it is committed
    /// once that index comes out of a ready, in the term in which it was proposed.
    ///
    /// # Errors
    /// No entry was appended; the error says whether to retry, redirect or give up.
    pub fn propose(
        &mut self,
        vshard: VShardId,
        data: &[u8],
    ) -> Result<(GroupId, LogIndex), ProposeError> {
        let (group, slot) = self.slot_of_vshard(vshard)?;
        Ok((group, self.append_routed(slot, vshard, data)?.index))
    }

    /// As [`Self::propose`] for each in turn; the results stand in the same order. One that is
    /// refused does not stop the others.
    pub fn propose_many<'a>(
        &mut self,
        proposals: impl IntoIterator<Item = (VShardId, &'a [u8])>,
    ) -> Vec<Result<(GroupId, LogIndex), ProposeError>> {
        proposals.into_iter().map(|(vshard, data)| self.propose(vshard, data)).collect()
    }

    /// As [`Self::propose`], to a group named directly and without a vshard; the only way to group 0.
    ///
    /// # Errors
    /// As [`Self::propose`].
    pub fn propose_to_group(
        &mut self,
        group: GroupId,
        data: &[u8],
    ) -> Result<(GroupId, LogIndex), ProposeError> {
        let slot = self.slot(group)?;
        Ok((group, self.append(slot, EntryHeader::default(), data)?.index))
    }

    /// The group of a vshard, and its place here.
    pub(crate) fn slot_of_vshard(&self, vshard: VShardId) -> Result<(GroupId, Slot), LookupError> {
        let Some(group) = self.routing.group_of(vshard) else {
            let vshards = self.routing.vshards();
            return Err(LookupError::UnknownVShard { vshard, vshards });
        };
        let slot = self.groups.find(group).ok_or(LookupError::UnknownGroup { group })?;
        Ok((group, slot))
    }

    pub(crate) fn append_routed(
        &mut self,
        slot: Slot,
        vshard: VShardId,
        data: &[u8],
    ) -> Result<LogId, ProposeError> {
        let routed = Some((vshard, self.routing.epoch()));
        self.append(slot, EntryHeader { routed, session: None }, data)
    }

    pub(crate) fn append(
        &mut self,
        slot: Slot,
        header: EntryHeader,
        data: &[u8],
    ) -> Result<LogId, ProposeError> {
        let bytes = header.entry_len(data.len());
        let uncommitted = self.groups.uncommitted_bytes();
        let is_over = uncommitted > 0 && uncommitted + bytes > self.settings.uncommitted_bytes_max;
        let hosted = self.groups.touch(slot);
        // Who does not lead says so, however full the node is; a redirect helps, a retry does not.
        if is_over && hosted.leads() && bytes <= self.settings.limits.entry_bytes_max {
            return Err(ProposeError::Overloaded { budget: NODE_BUDGET });
        }
        let (leader, transferee) = (hosted.leader_node(), hosted.transferee());
        if hosted.leads() && self.has_full_majority(self.groups.get(slot)) {
            return Err(ProposeError::MajorityFull);
        }
        let hosted = self.groups.touch(slot);
        let appended = hosted.node.propose(header, data).map_err(|error| match error {
            raft_core::ProposeError::NotLeader { .. } => ProposeError::NotLeader { leader },
            raft_core::ProposeError::TooLarge { bytes, bytes_max } => {
                ProposeError::TooLarge { bytes, bytes_max }
            }
            raft_core::ProposeError::Overloaded { .. } => {
                ProposeError::Overloaded { budget: GROUP_BUDGET }
            }
            raft_core::ProposeError::TransferInProgress { .. } => {
                ProposeError::TransferInProgress { to: transferee }
            }
        })?;
        self.groups.count_uncommitted(slot, bytes);
        Ok(appended)
    }
}
