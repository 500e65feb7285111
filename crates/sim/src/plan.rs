//! What a seed draws before anything happens: the cluster and the faults it has to live with.

use crate::random::Random;

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
    /// Whether frames are lost, repeated and delayed beyond the ordinary.
    pub lossy: bool,
    /// Whether nodes are cut off from each other.
    pub partitions: bool,
    /// Whether nodes lose power.
    pub crashes: bool,
    /// Whether nodes stand still for a while, with their clocks.
    pub pauses: bool,
    /// Whether clocks run at different rates, up to a fifth off.
    pub skewed: bool,
    /// Whether disks stall for up to half a second.
    pub slow_disks: bool,
    /// Whether limits are so small that they are met all the time.
    pub tiny_limits: bool,
    /// Whether heartbeats travel alone instead of in beats.
    pub plain: bool,
    /// After how many events faults end.
    pub events_max: u64,
}

impl Plan {
    /// Draws a plan; each class of faults is off with even odds, so that some runs show what a class
    /// does alone.
    #[must_use]
    pub fn draw(seed: u64, events_max: u64) -> Self {
        let mut random = Random::new(seed);
        let nodes = random.within(1, 5);
        Self {
            seed,
            nodes,
            groups: u32::try_from(random.within(1, 8)).expect("at most 8"),
            replication_factor: usize::try_from(random.within(1, nodes)).expect("at most 5"),
            lossy: random.one_in(2),
            partitions: random.one_in(2),
            crashes: random.one_in(2),
            pauses: random.one_in(2),
            skewed: random.one_in(2),
            slow_disks: random.one_in(2),
            tiny_limits: random.one_in(2),
            plain: random.one_in(4),
            events_max,
        }
    }
}
