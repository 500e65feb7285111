//! A network of encoded frames: loses, repeats, delays and reorders them as it is told.

use bytes::Bytes;
use types::NodeId;

use super::random::Random;

struct Flying {
    from: NodeId,
    to: NodeId,
    bytes: Bytes,
    due: u64,
}

pub(crate) struct Network {
    flying: Vec<Flying>,
    random: Random,
    cut: Vec<NodeId>,
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    pub(crate) delay_ticks_max: u64,
    /// Frames that were sent, and those of them that are beats, lost ones included.
    pub(crate) frames: u64,
    pub(crate) beats: u64,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            flying: Vec::new(),
            random: Random::new(seed),
            cut: Vec::new(),
            loss_percent: 0,
            repeat_percent: 0,
            delay_ticks_max: 0,
            frames: 0,
            beats: 0,
        }
    }

    /// Nobody hears these nodes, and they hear nobody, not even each other.
    pub(crate) fn isolate(&mut self, nodes: &[NodeId]) {
        self.cut = nodes.to_vec();
    }

    pub(crate) fn send(&mut self, now: u64, from: NodeId, to: NodeId, bytes: Bytes, is_beat: bool) {
        self.frames += 1;
        self.beats += u64::from(is_beat);
        if self.cut.contains(&from) || self.cut.contains(&to) {
            return;
        }
        let copies = 1 + u64::from(self.random.chance(self.repeat_percent));
        for _ in 0..copies {
            if self.random.chance(self.loss_percent) {
                continue;
            }
            let due = now + self.random.below(self.delay_ticks_max + 1);
            self.flying.push(Flying { from, to, bytes: bytes.clone(), due });
        }
    }

    /// Takes what arrives by `now`, in the order of sending unless delays differ.
    pub(crate) fn arrived(&mut self, now: u64) -> Vec<(NodeId, NodeId, Bytes)> {
        let (mut due, later): (Vec<Flying>, Vec<Flying>) =
            self.flying.drain(..).partition(|flying| flying.due <= now);
        self.flying = later;
        due.sort_by_key(|flying| flying.due);
        let cut = &self.cut;
        due.retain(|flying| !cut.contains(&flying.from) && !cut.contains(&flying.to));
        due.into_iter().map(|flying| (flying.from, flying.to, flying.bytes)).collect()
    }
}
