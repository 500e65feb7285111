//! The wires: frames are lost, repeated, delayed and cut off, and never altered.

use std::collections::BTreeSet;

use types::NodeId;

use crate::plan::Plan;
use crate::random::Random;

/// What becomes of a frame: the delays of its copies, in microseconds; empty if it is lost.
pub(crate) type Copies = Vec<u64>;

#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Pairs (from, to) between which everything is lost.
    cut: BTreeSet<(NodeId, NodeId)>,
    pub(crate) is_calm: bool,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
}

impl Network {
    pub(crate) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains(&(from, to))
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Cuts one direction, one pair, or one node off from all others.
    pub(crate) fn disturb(&mut self, nodes: &[NodeId], random: &mut Random) {
        let (one, other) = (random.pick(nodes), random.pick(nodes));
        match random.below(3) {
            0 => {
                self.cut.insert((one, other));
            }
            1 => self.cut.extend([(one, other), (other, one)]),
            _ => self.cut.extend(nodes.iter().flat_map(|node| [(one, *node), (*node, one)])),
        }
    }

    pub(crate) fn send(
        &mut self,
        from: NodeId,
        to: NodeId,
        plan: &Plan,
        random: &mut Random,
    ) -> Copies {
        if self.is_cut(from, to) {
            self.lost += 1;
            return Vec::new();
        }
        let mut delays = vec![random.within(50, 500)];
        if self.is_calm || !plan.lossy {
            return delays;
        }
        if random.one_in(12) {
            self.lost += 1;
            return Vec::new();
        }
        if random.one_in(12) {
            self.repeated += 1;
            delays.push(random.within(50, 400_000));
        }
        if random.one_in(12) {
            delays[0] += random.below(300_000);
        }
        delays
    }
}
