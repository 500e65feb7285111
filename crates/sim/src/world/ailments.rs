//! Ways that clog one after the other, leaders that are absent, nodes that must not lead, disks that
//! are slow to read.

use multiraft::Input;
use raft_core::Fitness;
use types::GroupId;

use super::World;
use crate::class::Class;
use crate::client::{Kind, Wish};
use crate::effect::Effect;
use crate::partition::Ways;
use crate::queue::{Event, Relief};

/// From when on a read counts as slow, in microseconds.
const SLOW_READ_US: u64 = 100_000;

impl World<'_> {
    /// Clogs the ways from some nodes, one node after the other, and opens them in another order.
    pub(super) fn clog(&mut self, for_us: u64) {
        let nodes = self.plan.nodes;
        let random = self.random_of(Class::Clog);
        let mut order: Vec<u64> = (1..=nodes).collect();
        random.shuffle(&mut order);
        let count = random.within(1, nodes);
        order.truncate(usize::try_from(count).expect("at most 7 nodes"));
        let step = for_us / (2 * count);
        for (place, node) in (0..).zip(order.clone()) {
            let ways = self.ways_from(node);
            self.plan_event(place * step, Event::Relief(Relief::Clog { ways }));
        }
        self.random_of(Class::Clog).shuffle(&mut order);
        for (place, node) in (0..).zip(order) {
            let ways = self.ways_from(node);
            self.plan_event(for_us / 2 + place * step, Event::Relief(Relief::Unclog { ways }));
        }
    }

    fn ways_from(&self, node: u64) -> Ways {
        (1..=self.plan.nodes).map(|to| (node, to)).collect()
    }

    pub(super) fn unclog(&mut self, ways: &[(u64, u64)]) {
        for packet in self.network.unclog(ways) {
            self.count(Effect::ClogHeld);
            self.transmit(packet);
        }
    }

    /// A leader stands still for long, with answers to it on their way: the first one from node `one`
    /// on that leads. When it goes on it believes that it leads, and is asked before it hears anything;
    /// what it asked its followers then was long ago.
    pub(super) fn absent(&mut self, one: u64) {
        let nodes = self.plan.nodes;
        let mut around = (one..one + nodes).map(|place| (place - 1) % nodes + 1);
        let leads = |node: &u64| self.routing.groups().any(|group| self.leads(*node, group));
        let Some(node) = around.find(leads) else { return };
        let ways: Ways = (1..=nodes).map(|from| (from, node)).collect();
        let random = self.random_of(Class::Absence);
        let (sooner, for_us) = (random.within(0, 60_000), random.within(300_000, 3_000_000));
        let heard = sooner + for_us + random.within(0, 60_000) - 30_000;
        let supplanted = heard - random.within(20_000, 200_000);
        self.network.clog(&ways);
        // What is answered to this read is what it hears late.
        self.ask_about(node, node, Kind::Read);
        self.plan_event(sooner, Event::Relief(Relief::Stop { node, for_us }));
        self.plan_event(supplanted, Event::Relief(Relief::Supplant { node }));
        self.plan_event(heard, Event::Relief(Relief::Hear { node, ways }));
    }

    /// Others may lead what an absent leader led: they are told of something that it does not know.
    /// Clients alone would find them too seldom, as most ask the absent one and wait.
    pub(super) fn supplant(&mut self, node: u64) {
        for other in (1..=self.plan.nodes).filter(|other| *other != node) {
            self.ask_about(node, other, Kind::Write);
        }
    }

    /// Somebody asks `asked` about each group that both it and `node` believe to lead.
    fn ask_about(&mut self, node: u64, asked: u64, kind: Kind) {
        for group in self.routing.groups() {
            if self.leads(node, group) && self.leads(asked, group) {
                self.attempt(Wish { number: 0, group, key: 0, kind }, 0, Some(asked));
            }
        }
    }

    /// An absent leader is asked, and what was sent to it reaches it about then.
    pub(super) fn hear(&mut self, node: u64, ways: Ways) {
        for group in self.routing.groups() {
            let mut others = (1..=self.plan.nodes).filter(|other| *other != node);
            if self.leads(node, group) && others.any(|other| self.leads(other, group)) {
                self.count(Effect::HeardLate);
            }
        }
        self.ask_about(node, node, Kind::Read);
        let after = self.random_of(Class::Absence).within(0, 3_000);
        self.plan_event(after, Event::Relief(Relief::Unclog { ways }));
    }

    /// A node must not lead for a while.
    pub(super) fn doubt_fitness(&mut self, node: u64, for_us: u64) {
        let boot = self.node_ref(node).boot;
        self.plan_event(0, Event::Fitness { node, boot, fitness: Fitness::Unfit });
        self.plan_event(for_us, Event::Fitness { node, boot, fitness: Fitness::Fit });
    }

    /// A node that runs is told whether it may lead.
    pub(super) fn fitness(&mut self, node: u64, fitness: Fitness) {
        for number in 1..=u64::from(self.plan.groups) {
            let group = GroupId(number);
            if fitness == Fitness::Unfit && self.leads(node, group) {
                self.count(Effect::UnfitLeaders);
            }
            self.touched.push(group);
        }
        self.inputs.push(Input::Fitness(fitness));
    }

    /// How long a read takes: it may have to wait for what the disk is stuck with.
    pub(super) fn read_latency(&mut self, node: u64) -> u64 {
        let latency = self.random.within(30, 5_000);
        let stalled_until = self.node_ref(node).disk.stalled_until;
        let left = stalled_until.saturating_sub(self.queue.now());
        if left < SLOW_READ_US || self.random.one_in(2) {
            return latency;
        }
        self.count(Effect::SlowReads);
        latency.max(left)
    }
}
