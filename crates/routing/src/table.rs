//! The routing table: which group a vshard belongs to, and which nodes hold that group.
//!
//! Invariants of [`RoutingTable`], checked by [`RoutingTable::new`] and assumed everywhere else:
//! - it has 1 to [`VSHARDS_MAX`] vshards, numbered from 0;
//! - its groups are numbered from 1 without a gap, each has a contiguous, non-empty range of
//!   vshards, and these ranges follow each other in the order of the group ids and leave nothing
//!   out; group 0, the metadata group, has no vshards and is in no table;
//! - every group has 1 to [`REPLICAS_MAX`] replicas, no two on one node.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use types::{Epoch, GroupId, NodeId, VShardId};

use crate::RoutingError;

/// The most vshards of a table: its lookup array then takes 4 MiB.
pub const VSHARDS_MAX: u32 = 1 << 20;

/// The most replicas of a group; a Raft configuration takes no more either.
pub const REPLICAS_MAX: usize = 64;

/// Where one group is: what [`RoutingTable::new`] is made from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The group's vshards, half-open.
    pub vshards: Range<u32>,
    /// The nodes that hold a replica; the first should be the group's first leader.
    pub replicas: Vec<NodeId>,
}

/// Which group each vshard belongs to, and which nodes hold each group, as of one epoch.
///
/// A value: nothing changes it but [`update`](Self::update), which takes a whole newer table.
/// Copies share their memory, so that every thread can have its own.
#[derive(Clone, PartialEq, Eq)]
pub struct RoutingTable {
    epoch: Epoch,
    /// Sorted, without repetition.
    nodes: Arc<[NodeId]>,
    /// Group n is at n - 1.
    placements: Arc<[Placement]>,
    /// The group number of each vshard: a lookup is one load, whatever the number of groups.
    groups_by_vshard: Arc<[u32]>,
}

impl RoutingTable {
    /// Makes the table in which group n is at `placements[n - 1]`.
    ///
    /// The table's nodes are those that hold a replica.
    ///
    /// # Errors
    /// Names the first thing that is no legal table; whoever wrote the placements corrects it.
    pub fn new(epoch: Epoch, placements: Vec<Placement>) -> Result<Self, RoutingError> {
        let nodes = placements.iter().flat_map(|placement| &placement.replicas).copied().collect();
        Self::with_nodes(epoch, nodes, placements)
    }

    /// As [`new`](Self::new), with nodes that need not hold a replica.
    pub(crate) fn with_nodes(
        epoch: Epoch,
        mut nodes: Vec<NodeId>,
        placements: Vec<Placement>,
    ) -> Result<Self, RoutingError> {
        let vshards = check(&placements)?;
        let mut groups_by_vshard = Vec::with_capacity(vshards as usize);
        for (group, placement) in (1..).zip(&placements) {
            groups_by_vshard.resize(placement.vshards.end as usize, group);
        }
        nodes.sort_unstable();
        nodes.dedup();
        Ok(Self {
            epoch,
            nodes: nodes.into(),
            placements: placements.into(),
            groups_by_vshard: groups_by_vshard.into(),
        })
    }

    /// The version of this table.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many vshards there are; they are numbered from 0.
    #[must_use]
    pub fn vshards(&self) -> u32 {
        self.placements.last().map_or(0, |placement| placement.vshards.end)
    }

    /// The nodes of the table, sorted.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// How many groups there are.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.placements.len()
    }

    /// All groups, in the order of their ids and of their vshards: 1 to
    /// [`group_count`](Self::group_count).
    pub fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        (1..).take(self.placements.len()).map(GroupId)
    }

    /// The group that `vshard` belongs to; none if there is no such vshard. Never group 0.
    #[inline]
    #[must_use]
    pub fn group_of(&self, vshard: VShardId) -> Option<GroupId> {
        self.groups_by_vshard.get(vshard.0 as usize).map(|group| GroupId(u64::from(*group)))
    }

    /// The vshards of `group`, half-open; empty if the table does not have the group.
    #[must_use]
    pub fn vshards_of(&self, group: GroupId) -> Range<u32> {
        self.placement(group).map_or(0..0, |placement| placement.vshards.clone())
    }

    /// The nodes that hold `group`, the preferred first leader before the others; empty if the
    /// table does not have the group.
    #[must_use]
    pub fn replicas_of(&self, group: GroupId) -> &[NodeId] {
        self.placement(group).map_or(&[], |placement| &placement.replicas)
    }

    /// The node that should lead `group` first; none if the table does not have the group. Who
    /// does lead it is for Raft to say.
    #[must_use]
    pub fn preferred(&self, group: GroupId) -> Option<NodeId> {
        self.replicas_of(group).first().copied()
    }

    /// Becomes `newer` if that has a higher epoch, and says whether it did.
    ///
    /// Otherwise nothing changes: an update may arrive late, or more than once.
    pub fn update(&mut self, newer: Self) -> bool {
        let is_newer = newer.epoch > self.epoch;
        if is_newer {
            *self = newer;
        }
        is_newer
    }

    /// A fingerprint of the vshards, the groups and their replicas in order: equal tables have
    /// equal ones on every machine and in every version. The epoch is not part of it, nor are
    /// nodes that hold nothing.
    ///
    /// Nodes compare it when they connect, to find out that they were configured differently; it
    /// does not resist forgery. Costs a walk over all replicas.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut fingerprint = Fingerprint::new();
        fingerprint.add(u64::from(self.vshards()));
        fingerprint.add(self.placements.len() as u64);
        for placement in &*self.placements {
            fingerprint.add(u64::from(placement.vshards.end));
            fingerprint.add(placement.replicas.len() as u64);
            placement.replicas.iter().for_each(|node| fingerprint.add(node.0));
        }
        fingerprint.0
    }

    fn placement(&self, group: GroupId) -> Option<&Placement> {
        let position = usize::try_from(group.0.checked_sub(1)?).ok()?;
        self.placements.get(position)
    }
}

/// Without the vshards one by one, of which there may be a million.
impl fmt::Debug for RoutingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutingTable")
            .field("epoch", &self.epoch)
            .field("vshards", &self.vshards())
            .field("nodes", &self.nodes)
            .field("groups", &self.placements.len())
            .finish_non_exhaustive()
    }
}

/// Checks the invariants and returns the number of vshards.
fn check(placements: &[Placement]) -> Result<u32, RoutingError> {
    let mut vshards = 0;
    for (group, placement) in (1..).map(GroupId).zip(placements) {
        let Range { start, end } = placement.vshards;
        if start != vshards {
            return Err(RoutingError::Start { group, found: start, expected: vshards });
        }
        if end <= start {
            return Err(RoutingError::NoVShards { group });
        }
        if end > VSHARDS_MAX {
            return Err(RoutingError::VShards { found: end, allowed_max: VSHARDS_MAX });
        }
        check_replicas(group, &placement.replicas)?;
        vshards = end;
    }
    if vshards == 0 {
        return Err(RoutingError::VShards { found: 0, allowed_max: VSHARDS_MAX });
    }
    Ok(vshards)
}

fn check_replicas(group: GroupId, replicas: &[NodeId]) -> Result<(), RoutingError> {
    let found = replicas.len();
    if !(1..=REPLICAS_MAX).contains(&found) {
        return Err(RoutingError::Replicas { group, found, allowed_max: REPLICAS_MAX });
    }
    for (position, node) in replicas.iter().enumerate() {
        if replicas[..position].contains(node) {
            return Err(RoutingError::ReplicaTwice { group, node: *node });
        }
    }
    Ok(())
}

/// FNV-1a over little-endian numbers: a dozen lines that no library release can change.
struct Fingerprint(u64);

impl Fingerprint {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn placement(vshards: Range<u32>, replicas: &[u64]) -> Placement {
        Placement { vshards, replicas: replicas.iter().copied().map(NodeId).collect() }
    }

    fn two_groups() -> Vec<Placement> {
        vec![placement(0..3, &[2, 1]), placement(3..4, &[3])]
    }

    fn table(epoch: u64, placements: Vec<Placement>) -> RoutingTable {
        RoutingTable::new(Epoch(epoch), placements).unwrap()
    }

    #[test]
    fn lookups_answer_what_was_placed() {
        let table = table(1, two_groups());
        let groups: Vec<Option<GroupId>> = (0..5).map(|v| table.group_of(VShardId(v))).collect();
        let (one, two) = (Some(GroupId(1)), Some(GroupId(2)));
        assert_eq!(groups, [one, one, one, two, None]);
        assert_eq!(table.vshards(), 4);
        assert_eq!(table.nodes(), [NodeId(1), NodeId(2), NodeId(3)]);
        assert!(table.groups().eq([GroupId(1), GroupId(2)]));
        assert_eq!(table.vshards_of(GroupId(2)), 3..4);
        assert_eq!(table.replicas_of(GroupId(1)), [NodeId(2), NodeId(1)]);
        assert_eq!(table.preferred(GroupId(1)), Some(NodeId(2)));
    }

    #[test]
    fn unknown_groups_have_nothing() {
        let table = table(1, two_groups());
        for group in [GroupId(0), GroupId(3), GroupId(u64::MAX)] {
            assert!(table.vshards_of(group).is_empty());
            assert!(table.replicas_of(group).is_empty());
            assert_eq!(table.preferred(group), None);
        }
        assert_eq!(table.group_of(VShardId(u32::MAX)), None);
    }

    #[test]
    fn only_a_higher_epoch_replaces_a_table() {
        let old = table(4, two_groups());
        let other = vec![placement(0..4, &[9])];
        let mut held = old.clone();
        assert!(!held.update(table(3, other.clone())));
        assert!(!held.update(table(4, other.clone())));
        assert_eq!(held, old);
        let new = table(6, other);
        assert!(held.update(new.clone()));
        assert!(!held.update(new.clone()));
        assert_eq!(held, new);
    }

    #[test]
    fn wrong_placements_are_named() {
        let wrong = |placements| RoutingTable::new(Epoch(1), placements).unwrap_err();
        let group = GroupId(2);
        let allowed_max = VSHARDS_MAX;
        assert_eq!(wrong(vec![]), RoutingError::VShards { found: 0, allowed_max });
        let first = || placement(0..3, &[1]);
        assert_eq!(
            wrong(vec![first(), placement(4..5, &[1])]),
            RoutingError::Start { group, found: 4, expected: 3 }
        );
        assert_eq!(wrong(vec![first(), placement(3..3, &[1])]), RoutingError::NoVShards { group });
        assert_eq!(
            wrong(vec![first(), placement(3..VSHARDS_MAX + 1, &[1])]),
            RoutingError::VShards { found: VSHARDS_MAX + 1, allowed_max }
        );
        assert_eq!(
            wrong(vec![first(), placement(3..4, &[])]),
            RoutingError::Replicas { group, found: 0, allowed_max: REPLICAS_MAX }
        );
        let many: Vec<u64> = (0..=64).collect();
        assert_eq!(
            wrong(vec![first(), placement(3..4, &many)]),
            RoutingError::Replicas { group, found: 65, allowed_max: REPLICAS_MAX }
        );
        assert_eq!(
            wrong(vec![first(), placement(3..4, &[5, 6, 5])]),
            RoutingError::ReplicaTwice { group, node: NodeId(5) }
        );
    }

    #[test]
    fn digest_is_the_same_in_every_version() {
        // FNV-1a 64 over 4, 2; 3, 2, 2, 1; 4, 1, 3, each as eight little-endian bytes.
        assert_eq!(table(1, two_groups()).digest(), 0x82a8_ebcb_d25c_f007);
    }

    #[test]
    fn digest_tells_tables_apart_but_not_epochs() {
        let digest = table(1, two_groups()).digest();
        assert_eq!(table(7, two_groups()).digest(), digest);
        let others = [
            vec![placement(0..2, &[2, 1]), placement(2..4, &[3])],
            vec![placement(0..3, &[2, 1]), placement(3..5, &[3])],
            vec![placement(0..3, &[1, 2]), placement(3..4, &[3])],
            vec![placement(0..3, &[2]), placement(3..4, &[1, 3])],
            vec![placement(0..3, &[2, 1]), placement(3..4, &[4])],
            vec![placement(0..4, &[2, 1])],
        ];
        for other in others {
            assert_ne!(table(1, other.clone()).digest(), digest, "{other:?}");
        }
    }
}
