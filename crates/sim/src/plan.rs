//! What a seed draws before anything happens: the cluster and the faults it has to live with.

use routing::RoutingTable;
use types::{GroupId, NodeId};

use crate::class::{Class, Classes};
use crate::random::Random;

/// Some of the nodes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct NodeSet(u64);

impl NodeSet {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Each node with even odds, or none with even odds.
    const fn draw(random: &mut Random) -> Self {
        let some = random.next();
        Self(if random.one_in(2) { some } else { 0 })
    }

    /// Whether a node is among them.
    #[must_use]
    pub const fn contains(self, node: u64) -> bool {
        self.0 >> (node % 64) & 1 == 1
    }
}

/// What holds the log of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Storage {
    /// A model of a store: whole batches, in order.
    Model,
    /// storage-redb, on a disk that is simulated.
    Redb,
}

/// One run's configuration, printed with every violation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The seed that everything else comes from.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: u64,
    /// How many groups.
    pub groups: u32,
    /// How many replicas each has.
    pub replication_factor: usize,
    /// Which faults happen.
    pub faults: Classes,
    /// How rare a fault of one frame is: one in so many.
    pub frame_odds: u64,
    /// How long a frame is on its way at most, in microseconds, if nothing delays it.
    pub transit_us_max: u64,
    /// Which nodes have limits so small that they are met all the time.
    pub tiny_limits: NodeSet,
    /// Which nodes send heartbeats alone instead of in beats.
    pub plain: NodeSet,
    /// Which nodes have disks that are written at once.
    pub prompt_disks: NodeSet,
    /// Which nodes have state machines that survive a restart.
    pub durable_machines: NodeSet,
    /// The shortest election timeout, in ticks; the longest is twice that.
    pub election_ticks: u64,
    /// The mean time between two operations of clients, in microseconds.
    pub operation_us: u64,
    /// How many keys each group has.
    pub keys: u64,
    /// What holds the nodes' logs.
    pub storage: Storage,
    /// Whether some nodes stay away when all else heals, as many as a quorum allows.
    pub heals_quorum_only: bool,
    /// How many replicas of a group vote on nothing, at most; as many as there are nodes left.
    pub learners: usize,
    /// After how many events faults end.
    pub events_max: u64,
}

/// Whether faults of a class are on. A class that came later than seeds were recorded draws from a
/// stream of its own, so that without it a seed is what it was.
fn is_drawn(class: Class, seed: u64, random: &mut Random) -> bool {
    if class == Class::Full {
        return Random::stream(seed, 6).one_in(2);
    }
    random.one_in(2)
}

impl Plan {
    /// Draws a plan; each class of faults is off with even odds, so that some runs show what a class
    /// does alone.
    #[must_use]
    pub fn draw(seed: u64, events_max: u64) -> Self {
        let mut random = Random::stream(seed, 0);
        let nodes = random.within(1, 7);
        let many = random.one_in(5);
        let groups = random.within(1, if many { 64 } else { 8 });
        let mut faults = Classes::default();
        for class in Class::ALL {
            if is_drawn(class, seed, &mut random) {
                faults = faults.with(class);
            }
        }
        Self {
            seed,
            nodes,
            groups: u32::try_from(groups).expect("at most 64"),
            replication_factor: usize::try_from(random.within(1, nodes)).expect("at most 7"),
            faults,
            frame_odds: random.pick(&[10, 30, 100, 300]),
            transit_us_max: random.pick(&[500, 500, 20_000]),
            tiny_limits: NodeSet::draw(&mut random),
            plain: NodeSet::draw(&mut random),
            prompt_disks: NodeSet::draw(&mut random),
            durable_machines: NodeSet::draw(&mut random),
            election_ticks: Self::draw_election_ticks(seed, random.pick(&[8, 10, 10, 10])),
            operation_us: random.pick(&[5_000, 30_000, 30_000, 100_000]),
            keys: random.within(1, 4),
            storage: if seed % 16 == 15 { Storage::Redb } else { Storage::Model },
            heals_quorum_only: random.one_in(3),
            learners: random.pick(&[0, 0, 1, 2]),
            events_max,
        }
    }

    /// On every eighth seed timeouts as tight as they may be, down to twice the heartbeat interval,
    /// drawn apart from all else so that the other seeds are what they were.
    fn draw_election_ticks(seed: u64, usual: u64) -> u64 {
        let mut random = Random::stream(seed, 5);
        if random.one_in(8) { random.pick(&[4, 4, 5, 6, 7]) } else { usual }
    }

    /// The nodes of a group that only listen: the first ones that do not vote.
    pub(crate) fn learners_of(&self, routing: &RoutingTable, group: GroupId) -> Vec<NodeId> {
        let voters = routing.replicas_of(group);
        let others = (1..=self.nodes).map(NodeId).filter(|node| !voters.contains(node));
        others.take(self.learners).collect()
    }

    /// Whether faults of a class happen.
    pub(crate) const fn has(&self, class: Class) -> bool {
        self.faults.contains(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_what_they_were_but_for_the_classes_that_came_later() {
        let plans = (0..1_000).map(|seed| Plan::draw(seed, 0));
        let sums = plans.fold([0; 4], |[faults, keys, learners, full], plan| {
            let older = plan.faults.without(Class::Full).iter().count();
            let has_full = u64::from(plan.has(Class::Full));
            [
                faults + older as u64,
                keys + plan.keys,
                learners + plan.learners as u64,
                full + has_full,
            ]
        });
        assert_eq!(sums, [20_956, 2_527, 762, 494]);
    }
}
