//! Falls of leaders: who begins to lead has entries of his own that nobody else has yet. What comes
//! of those is decided in the moments after, which faults that strike at any time hardly ever meet.

use super::World;
use crate::class::Class;
use crate::effect::Effect;
use crate::queue::Event;

impl World<'_> {
    /// A node begins to lead a group; now and then it falls: at once, so that nobody hears of it, or
    /// after a while.
    pub(super) fn plan_fall(&mut self, node: u64) {
        if !self.has(Class::Coup) {
            return;
        }
        let random = &mut self.strikes[Class::Coup as usize];
        match random.below(6) {
            0 | 1 => {
                self.count(Effect::Falls);
                self.strand(node);
            }
            2 | 3 => {
                let latest = random.pick(&[2_000, 20_000, 200_000, 1_000_000]);
                let (after, boot) = (random.within(50, latest), self.node_ref(node).boot);
                self.plan_event(after, Event::Fall { node, boot });
            }
            _ => {}
        }
    }

    /// A node dies, or reaches but a minority for a while.
    pub(super) fn fall(&mut self, node: u64) {
        if !self.has(Class::Coup) {
            return;
        }
        self.count(Effect::Falls);
        if self.strikes[Class::Coup as usize].one_in(4) {
            self.lose_power(node);
        } else {
            self.strand(node);
        }
    }

    /// Cuts a node off from all but a few, which are no quorum with it. Its disk may stand still, or
    /// all of it, until after others can have overwritten what it was writing.
    fn strand(&mut self, node: u64) {
        let nodes = self.plan.nodes;
        let random = &mut self.strikes[Class::Coup as usize];
        let mut others: Vec<u64> = (1..=nodes).filter(|other| *other != node).collect();
        random.shuffle(&mut others);
        let reached = random.within(0, nodes.div_ceil(2) - 1);
        let is_deaf = random.one_in(2);
        let for_us = random.within(200_000, 4_000_000);
        let longer_us = for_us + random.within(0, 1_000_000);
        let stands_still = random.below(4);
        let lost = others.into_iter().skip(usize::try_from(reached).expect("at most 7 nodes"));
        let both = |other| [Some((node, other)), is_deaf.then_some((other, node))];
        let ways: Vec<(u64, u64)> = lost.flat_map(both).flatten().collect();
        self.sever(ways, Effect::LostToCut, for_us);
        match stands_still {
            0 => self.node(node).disk.stalled_until = self.queue.now() + longer_us,
            1 => self.stop(node, longer_us),
            _ => {}
        }
    }
}
