//! The faults that strike from time to time, what they do, and when that is over.

use types::{GroupId, NodeId};

use super::World;
use crate::breach::Held;
use crate::class::Class;
use crate::disk::{Disk, DiskFault};
use crate::effect::Effect;
use crate::partition::{self, Ways};
use crate::queue::{Event, Relief};
use crate::random::Random;
use crate::real::Ending;
use crate::room::Room;

const SECOND: u64 = 1_000_000;

/// How often a class strikes, in microseconds; none for those that concern single frames or the
/// whole run.
const fn gap_us(class: Class) -> Option<(u64, u64)> {
    match class {
        Class::Loss
        | Class::Repeat
        | Class::Reorder
        | Class::Overflow
        | Class::Corrupt
        | Class::Truncate
        | Class::Oversize
        | Class::Skew
        | Class::SlowApply
        | Class::Coup
        | Class::Retry
        | Class::Cancel => None,
        Class::Replay | Class::Stranger | Class::Delay | Class::Reset => {
            Some((100_000, 2 * SECOND))
        }
        Class::OneWayCut | Class::FullCut | Class::Clog => Some((SECOND, 8 * SECOND)),
        Class::Transfer => Some((50_000, 2 * SECOND)),
        Class::Absence
        | Class::Crash
        | Class::Kill
        | Class::Pause
        | Class::Stall
        | Class::Starve
        | Class::Unfit => Some((SECOND / 2, 8 * SECOND)),
        Class::RingCut
        | Class::HubCut
        | Class::ConstrainedCut
        | Class::ChainCut
        | Class::Storm
        | Class::Slow
        | Class::JumpForward
        | Class::JumpBack
        | Class::Full => Some((2 * SECOND, 15 * SECOND)),
        Class::SyncError | Class::WriteError | Class::ReadError => Some((SECOND, 10 * SECOND)),
        Class::Blackout | Class::Wipe | Class::BitFlip | Class::Misdirect => {
            Some((5 * SECOND, 30 * SECOND))
        }
    }
}

impl World<'_> {
    /// Plans the first strike of every class.
    pub(super) fn plan_strikes(&mut self) {
        for class in Class::ALL {
            self.plan_strike(class);
        }
    }

    fn plan_strike(&mut self, class: Class) {
        let Some((min, max)) = gap_us(class).filter(|_| self.has(class)) else { return };
        let after = self.strikes[class as usize].within(min, max);
        self.plan_event(after, Event::Strike(class));
    }

    pub(super) fn strike(&mut self, class: Class) -> Held {
        if self.is_calm {
            return Ok(());
        }
        // A storm says itself when it goes on.
        if class != Class::Storm {
            self.plan_strike(class);
        }
        let random = &mut self.strikes[class as usize];
        let (one, other) = (random.within(1, self.plan.nodes), random.within(1, self.plan.nodes));
        let for_us = random.within(SECOND / 5, 6 * SECOND);
        match class {
            Class::OneWayCut | Class::FullCut => self.cut(class, for_us),
            Class::RingCut | Class::HubCut | Class::ConstrainedCut | Class::ChainCut => {
                self.cut_in_part(class, for_us);
            }
            Class::Clog => self.clog(for_us),
            Class::Delay => self.delay(one, other, for_us),
            Class::Reset => self.reset(one, other),
            Class::Replay | Class::Stranger => return self.old_frames(class),
            Class::Crash => self.lose_power(one),
            Class::Blackout => self.blackout(),
            Class::Kill => self.kill(one, for_us),
            Class::Storm => self.storm(one),
            Class::Pause => self.stop(one, for_us),
            Class::Absence => self.absent(one),
            Class::Slow => self.slow(one, for_us),
            Class::Unfit => self.doubt_fitness(one, for_us),
            Class::Wipe => self.wipe(one),
            Class::JumpForward | Class::JumpBack => self.jump(class, one),
            Class::Starve => self.starve(one, for_us),
            Class::SyncError => self.node(one).disk.fault = Some(DiskFault::Sync),
            Class::WriteError => self.node(one).disk.fault = Some(DiskFault::Write),
            Class::ReadError => self.node(one).disk.fault = Some(DiskFault::Read),
            Class::Stall => self.node(one).disk.stalled_until = self.queue.now() + for_us,
            Class::BitFlip | Class::Misdirect => self.damage_disk(class, one),
            Class::Transfer => self.hand_over(one),
            Class::Full => self.fill(one, for_us),
            Class::Loss
            | Class::Repeat
            | Class::Reorder
            | Class::Overflow
            | Class::Corrupt
            | Class::Truncate
            | Class::Oversize
            | Class::Skew
            | Class::SlowApply
            | Class::Coup
            | Class::Retry
            | Class::Cancel => {}
        }
        Ok(())
    }

    pub(super) fn relieve(&mut self, relief: Relief) {
        if self.is_calm {
            return;
        }
        match relief {
            Relief::Uncut { ways } => self.network.uncut(&ways),
            Relief::Worsen { ways, effect, for_us } => self.sever(ways, effect, for_us),
            Relief::Clog { ways } => self.network.clog(&ways),
            Relief::Unclog { ways } => self.unclog(&ways),
            Relief::Stop { node, for_us } => self.stop(node, for_us),
            Relief::Supplant { node } => self.supplant(node),
            Relief::Hear { node, ways } => self.hear(node, ways),
            Relief::Undelay { from, to } => self.network.delay(from, to, 0),
            Relief::Fill { node, room } => self.leave_room(node, room),
            Relief::Clear { node } => self.leave_room(node, Room::Ample),
            Relief::Feed { node } => self.node(node).clock.is_starved = false,
            Relief::Quicken { node } => self.node(node).turn_us = 0,
        }
    }

    pub(super) fn random_of(&mut self, class: Class) -> &mut Random {
        &mut self.strikes[class as usize]
    }

    fn cut(&mut self, class: Class, for_us: u64) {
        let nodes = self.plan.nodes;
        let random = &mut self.strikes[class as usize];
        let mut order: Vec<u64> = (1..=nodes).collect();
        random.shuffle(&mut order);
        let (ways, effect) = if class == Class::OneWayCut {
            (partition::one_way(&order, random.one_in(3)), Effect::LostOneWay)
        } else {
            let camp = if random.one_in(2) { 1 } else { random.within(1, nodes) };
            let camp = usize::try_from(camp).expect("at most 7 nodes");
            (partition::camps(&order, camp), Effect::LostToCut)
        };
        self.sever(ways, effect, for_us);
    }

    /// Cuts ways for a while.
    pub(super) fn sever(&mut self, ways: Ways, effect: Effect, for_us: u64) {
        self.tell(|| format!("  cut for {for_us} us: {ways:?}"));
        self.network.cut(&ways, effect);
        self.plan_event(for_us, Event::Relief(Relief::Uncut { ways }));
    }

    fn delay(&mut self, from: u64, to: u64, for_us: u64) {
        let delay_us = self.random_of(Class::Delay).within(20_000, 400_000);
        self.network.delay(from, to, delay_us);
        self.plan_event(for_us, Event::Relief(Relief::Undelay { from, to }));
    }

    fn old_frames(&mut self, class: Class) -> Held {
        for _ in 0..self.random_of(class).within(1, 6) {
            let Some(packet) = self.network.old_packet() else { break };
            if class == Class::Stranger {
                self.strangers(&packet)?;
                continue;
            }
            self.count(Effect::Replayed);
            if packet.boot != self.node_ref(packet.from).boot {
                self.count(Effect::ReplayedAcrossBoots);
            }
            let after = self.random_of(class).within(0, 20_000);
            self.plan_event(after, Event::Deliver(packet));
        }
        Ok(())
    }

    /// Power is lost: of what was not synced, the first writes happen to be there.
    pub(super) fn lose_power(&mut self, node: u64) {
        if self.node_ref(node).running.is_none() {
            return;
        }
        let (waiting, keepable) = {
            let disk = &self.node_ref(node).disk;
            (disk.waiting() as u64, disk.keepable() as u64)
        };
        let kept = self.random.within(0, keepable);
        if kept < waiting {
            self.count(Effect::UnsyncedLost);
        }
        if kept > 0 {
            self.count(Effect::UnsyncedKept);
        }
        if 0 < kept && kept < waiting {
            self.count(Effect::UnsyncedTorn);
        }
        self.end(node, Ending::Power, usize::try_from(kept).expect("a short queue"));
        let after = self.random.within(10_000, 4_000_000);
        self.plan_event(after, Event::Start { node });
    }

    fn blackout(&mut self) {
        self.count(Effect::Blackouts);
        (1..=self.plan.nodes).for_each(|node| self.lose_power(node));
    }

    /// A process dies; the system still writes what it was handed.
    fn kill(&mut self, node: u64, for_us: u64) {
        let disk = &self.node_ref(node).disk;
        let kept = disk.syncing().min(disk.keepable());
        if self.node_ref(node).running.is_some() && kept > 0 {
            self.count(Effect::KillsMidWrite);
        }
        self.end(node, Ending::Kill, kept);
        self.plan_event(for_us / 4, Event::Start { node });
    }

    fn storm(&mut self, one: u64) {
        let (node, left) = if self.storm.1 == 0 { (one, 4) } else { self.storm };
        self.storm = (node, left - 1);
        self.kill(node, 40_000);
        if left > 1 {
            let after = self.random_of(Class::Storm).within(10_000, 400_000);
            self.plan_event(after, Event::Strike(Class::Storm));
        } else {
            self.plan_strike(Class::Storm);
        }
    }

    fn slow(&mut self, node: u64, for_us: u64) {
        self.node(node).turn_us = self.strikes[Class::Slow as usize].within(1_000, 40_000);
        self.plan_event(for_us, Event::Relief(Relief::Quicken { node }));
    }

    /// A node comes back with an empty disk. It is not the one that it was, so that this costs a
    /// replica of each of its groups for good: never more than a minority.
    fn wipe(&mut self, node: u64) {
        if !self.may_lose(node) {
            return;
        }
        self.end(node, Ending::Power, 0);
        let plan = self.plan;
        let nodes = usize::try_from(plan.nodes).expect("at most 7 nodes");
        let host = self.node(node);
        host.is_out = true;
        host.store += 100;
        host.lost = std::mem::replace(&mut host.disk, Disk::new(node, 1, &plan)).image;
        host.met = vec![None; nodes + 1];
        host.shards.iter_mut().for_each(|shard| shard.saved = None);
        self.tell(|| format!("  node {node} has a new store"));
        self.plan_event(100_000, Event::Start { node });
    }

    /// A node ends as it should, and finds its disk damaged when it is to start again. It may refuse,
    /// and so it is never more than a minority of any group.
    fn damage_disk(&mut self, class: Class, node: u64) {
        let host = self.node_ref(node);
        if host.running.is_none() || !self.may_lose(node) {
            return;
        }
        self.end(node, Ending::Clean, 0);
        let groups = u64::from(self.plan.groups);
        let group = GroupId(self.strikes[class as usize].within(1, groups));
        let host = self.node(node);
        (host.is_out, host.is_damaged) = (true, true);
        match &mut host.disk.real {
            Some(real) => real.damage(class == Class::Misdirect),
            None => host.disk.damaged = Some(group),
        }
        self.plan_event(50_000, Event::Start { node });
    }

    /// Whether every group keeps a quorum without this node and those that are gone already, and has a
    /// founder among them if this node is a member: until there is one, all members are needed. One
    /// that votes, since the others found the group when they hear it.
    pub(super) fn may_lose(&self, node: u64) -> bool {
        let is_gone = |other: u64| other == node || self.node_ref(other).is_out;
        self.routing.groups().all(|group| {
            let replicas = self.routing.replicas_of(group);
            let is_member = |node: &NodeId| {
                replicas.contains(node)
                    || self.plan.learners_of(&self.routing, group).contains(node)
            };
            let mut left = replicas.iter().filter(|replica| !is_gone(replica.0));
            let is_founded =
                |replica: &NodeId| self.node_ref(replica.0).disk.image.group(group).is_some();
            left.clone().count() * 2 > replicas.len()
                && (!is_member(&NodeId(node)) || left.any(is_founded))
        }) && !self.node_ref(node).is_out
    }

    fn jump(&mut self, class: Class, node: u64) {
        let random = &mut self.strikes[class as usize];
        let far = random.one_in(4);
        let ticks = random.within(1, if far { 72_000 } else { 40 });
        let host = self.node(node);
        host.jumped = true;
        let clock = &mut host.clock;
        clock.ticks = if class == Class::JumpForward {
            clock.ticks + ticks
        } else {
            clock.ticks.saturating_sub(ticks.min(100))
        };
    }

    fn starve(&mut self, node: u64, for_us: u64) {
        self.node(node).clock.is_starved = true;
        self.plan_event(for_us, Event::Relief(Relief::Feed { node }));
    }
}
