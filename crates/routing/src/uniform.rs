//! The table of a cluster whose nodes are all alike.
//!
//! Placement of group i (counted from 0) on n nodes with r replicas each, in rounds of n groups:
//! - the first leader is node i mod n, so that every node leads one group of each round;
//! - the others stand r - 1 distances from the leader, taken from 1..n in turn, a different
//!   stretch in each round; so every node holds r replicas of each round, and the groups of a
//!   node that dies are spread over all the others instead of burdening its neighbour.

use alloc::vec::Vec;

use types::{Epoch, NodeId};

use crate::RoutingError;
use crate::table::{Placement, REPLICAS_MAX, RoutingTable, VSHARDS_MAX};

impl RoutingTable {
    /// Makes the table, with epoch 1, that spreads `groups` groups of `replication_factor`
    /// replicas evenly over `nodes`, in whatever order these are given.
    ///
    /// Every group has `vshards / groups` vshards, some one more. The numbers of groups that two
    /// nodes lead first differ by at most one; the numbers of replicas that they hold are equal if
    /// `groups` is a multiple of the number of nodes, and else differ by at most
    /// `replication_factor`. A group's replicas are its preferred first leader, then the others in
    /// ascending order.
    ///
    /// # Errors
    /// Names the number that is out of range, and the range, or the node listed twice.
    pub fn uniform(
        vshards: u32,
        groups: u32,
        nodes: &[NodeId],
        replication_factor: usize,
    ) -> Result<Self, RoutingError> {
        if !(1..=VSHARDS_MAX).contains(&vshards) {
            return Err(RoutingError::VShards { found: vshards, allowed_max: VSHARDS_MAX });
        }
        if !(1..=vshards).contains(&groups) {
            return Err(RoutingError::Groups { found: groups, allowed_max: vshards });
        }
        let nodes = sorted(nodes)?;
        let allowed_max = nodes.len().min(REPLICAS_MAX);
        if !(1..=allowed_max).contains(&replication_factor) {
            let found = replication_factor;
            return Err(RoutingError::ReplicationFactor { found, allowed_max });
        }
        let placements = (0..groups)
            .map(|group| Placement {
                vshards: boundary(vshards, groups, group)..boundary(vshards, groups, group + 1),
                replicas: replicas(group as usize, &nodes, replication_factor),
            })
            .collect();
        Self::with_nodes(Epoch(1), nodes, placements)
    }
}

/// The nodes in ascending order; there is at least one, and none twice.
fn sorted(nodes: &[NodeId]) -> Result<Vec<NodeId>, RoutingError> {
    if nodes.is_empty() {
        return Err(RoutingError::NoNodes);
    }
    let mut sorted = nodes.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(RoutingError::NodeTwice { node: pair[0] }),
        None => Ok(sorted),
    }
}

/// Where the vshards of the first `count` of `groups` groups end: that share of all, rounded down.
fn boundary(vshards: u32, groups: u32, count: u32) -> u32 {
    let end = u64::from(vshards) * u64::from(count) / u64::from(groups);
    u32::try_from(end).expect("a share of the vshards is no more than all of them")
}

/// Where group `group` (counted from 0) is, as the top of this file says.
fn replicas(group: usize, nodes: &[NodeId], replication_factor: usize) -> Vec<NodeId> {
    let (round, leader) = (group / nodes.len(), group % nodes.len());
    let others = replication_factor - 1;
    let mut replicas = Vec::with_capacity(replication_factor);
    replicas.push(nodes[leader]);
    replicas.extend((0..others).map(|other| {
        // There are no others where there is but one node, so the divisor is at least one.
        let distance = 1 + (round * others + other) % (nodes.len() - 1);
        nodes[(leader + distance) % nodes.len()]
    }));
    replicas[1..].sort_unstable();
    replicas
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;
    use types::{GroupId, VShardId};

    use super::*;

    fn nodes(count: u64) -> Vec<NodeId> {
        (1..=count).map(NodeId).collect()
    }

    /// How often each node is named, nodes that are never named included.
    fn counts<'a>(
        nodes: &[NodeId],
        named: impl Iterator<Item = &'a NodeId>,
    ) -> BTreeMap<NodeId, usize> {
        let mut counts: BTreeMap<NodeId, usize> = nodes.iter().map(|node| (*node, 0)).collect();
        named.for_each(|node| *counts.get_mut(node).unwrap() += 1);
        counts
    }

    fn spread(counts: &BTreeMap<NodeId, usize>) -> usize {
        counts.values().max().unwrap() - counts.values().min().unwrap()
    }

    #[test]
    fn sixteen_groups_on_three_nodes_are_placed_so() {
        let table = RoutingTable::uniform(16_384, 16, &nodes(3), 3).unwrap();
        assert_eq!(table.epoch(), Epoch(1));
        assert_eq!(table.vshards_of(GroupId(1)), 0..1024);
        assert_eq!(table.vshards_of(GroupId(16)), 15_360..16_384);
        assert_eq!(table.replicas_of(GroupId(1)), [NodeId(1), NodeId(2), NodeId(3)]);
        assert_eq!(table.replicas_of(GroupId(2)), [NodeId(2), NodeId(1), NodeId(3)]);
        assert_eq!(table.replicas_of(GroupId(3)), [NodeId(3), NodeId(1), NodeId(2)]);
        assert_eq!(table.preferred(GroupId(4)), Some(NodeId(1)));
    }

    #[test]
    fn digest_of_the_demo_cluster_never_changes() {
        // Nodes of different versions compare it when they connect.
        let table = RoutingTable::uniform(16_384, 16, &nodes(3), 3).unwrap();
        assert_eq!(table.digest(), 0x913f_2853_ce3d_2bb5);
    }

    #[test]
    fn the_order_of_the_nodes_does_not_matter() {
        let given = [NodeId(30), NodeId(10), NodeId(20)];
        let sorted = [NodeId(10), NodeId(20), NodeId(30)];
        let table = RoutingTable::uniform(64, 7, &given, 2).unwrap();
        assert_eq!(table, RoutingTable::uniform(64, 7, &sorted, 2).unwrap());
    }

    #[test]
    fn one_node_alone_holds_everything() {
        let table = RoutingTable::uniform(16_384, 16, &nodes(1), 1).unwrap();
        assert!(table.groups().all(|group| table.replicas_of(group) == [NodeId(1)]));
    }

    #[test]
    fn a_node_without_replicas_is_in_the_table() {
        let table = RoutingTable::uniform(2, 1, &nodes(3), 1).unwrap();
        assert_eq!(table.nodes(), nodes(3));
    }

    #[test]
    fn the_largest_table_can_be_made() {
        let table = RoutingTable::uniform(VSHARDS_MAX, VSHARDS_MAX, &nodes(3), 3).unwrap();
        let last = VShardId(VSHARDS_MAX - 1);
        assert_eq!(table.group_of(last), Some(GroupId(u64::from(VSHARDS_MAX))));
    }

    #[test]
    fn the_groups_of_a_dead_node_are_spread_over_all_others() {
        let nodes = nodes(5);
        let table = RoutingTable::uniform(16_384, 100, &nodes, 3).unwrap();
        let led = table.groups().filter(|group| table.preferred(*group) == Some(NodeId(1)));
        let others = led.flat_map(|group| &table.replicas_of(group)[1..]);
        let counts = counts(&nodes[1..], others);
        assert_eq!(spread(&counts), 0, "{counts:?}");
    }

    #[test]
    fn numbers_out_of_range_are_named_with_the_range() {
        let wrong = |vshards, groups, nodes: &[NodeId], factor| {
            RoutingTable::uniform(vshards, groups, nodes, factor).unwrap_err()
        };
        let three = nodes(3);
        let allowed_max = VSHARDS_MAX;
        assert_eq!(wrong(0, 1, &three, 3), RoutingError::VShards { found: 0, allowed_max });
        let found = VSHARDS_MAX + 1;
        assert_eq!(wrong(found, 1, &three, 3), RoutingError::VShards { found, allowed_max });
        let allowed_max = 8;
        assert_eq!(wrong(8, 0, &three, 3), RoutingError::Groups { found: 0, allowed_max });
        assert_eq!(wrong(8, 9, &three, 3), RoutingError::Groups { found: 9, allowed_max });
        let allowed_max = 3;
        let factor = |found| RoutingError::ReplicationFactor { found, allowed_max };
        assert_eq!(wrong(8, 8, &three, 0), factor(0));
        assert_eq!(wrong(8, 8, &three, 4), factor(4));
        let allowed_max = REPLICAS_MAX;
        assert_eq!(
            wrong(8, 8, &nodes(100), 65),
            RoutingError::ReplicationFactor { found: 65, allowed_max }
        );
        assert_eq!(wrong(8, 8, &[], 1), RoutingError::NoNodes);
        let node = NodeId(2);
        assert_eq!(wrong(8, 8, &[node, NodeId(1), node], 1), RoutingError::NodeTwice { node });
    }

    proptest! {
        #[test]
        fn every_uniform_table_is_even(
            vshards in 1u32..3000,
            groups in 1u32..300,
            node_count in 1u64..12,
            factor in 1usize..12,
        ) {
            let groups = groups.min(vshards);
            let nodes = nodes(node_count);
            let factor = factor.min(nodes.len());
            let table = RoutingTable::uniform(vshards, groups, &nodes, factor).unwrap();
            prop_assert_eq!(table.vshards(), vshards);
            prop_assert_eq!(table.group_count(), groups as usize);

            let mut next = 0;
            for group in table.groups() {
                let range = table.vshards_of(group);
                prop_assert_eq!(range.start, next);
                prop_assert!([0, 1].contains(&(range.len() - (vshards / groups) as usize)));
                prop_assert!(range.clone().all(|v| table.group_of(VShardId(v)) == Some(group)));
                next = range.end;

                let replicas = table.replicas_of(group);
                prop_assert_eq!(replicas.len(), factor);
                prop_assert!(replicas[1..].is_sorted_by(|a, b| a < b));
                prop_assert!(!replicas[1..].contains(&replicas[0]));
            }
            prop_assert_eq!(next, vshards);
            prop_assert_eq!(table.group_of(VShardId(vshards)), None);

            let leaders: Vec<NodeId> =
                table.groups().filter_map(|group| table.preferred(group)).collect();
            prop_assert!(spread(&counts(&nodes, leaders.iter())) <= 1);
            let all = table.groups().flat_map(|group| table.replicas_of(group));
            let is_even = (groups as usize).is_multiple_of(nodes.len());
            let allowed = if is_even { 0 } else { factor };
            prop_assert!(spread(&counts(&nodes, all)) <= allowed);
        }

        #[test]
        fn any_numbers_give_a_table_or_an_error(
            vshards in 0u32..64,
            groups in 0u32..80,
            ids in prop::collection::vec(0u64..6, 0..6),
            factor in 0usize..8,
        ) {
            let nodes: Vec<NodeId> = ids.into_iter().map(NodeId).collect();
            let legal = (1..=vshards).contains(&groups)
                && (1..=nodes.len()).contains(&factor)
                && sorted(&nodes).is_ok();
            let made = RoutingTable::uniform(vshards, groups, &nodes, factor);
            prop_assert_eq!(made.is_ok(), legal);
        }
    }
}
