//! The course of a run: faults, then everything heals, or as many nodes as make a quorum, and the
//! cluster has to make progress.

use raft_core::Fitness;
use types::GroupId;

use super::World;
use crate::breach::{Held, breach};
use crate::check::bounds;
use crate::client::{Kind, Wish};
use crate::effect::Effect;
use crate::node::TICK_US;
use crate::queue::Event;
use crate::real::Ending;
use crate::room::Room;

/// How long a healed cluster may take to settle, in microseconds: elections, retries, catching up.
pub(super) const SETTLE_US: u64 = 60_000_000;
/// How long the last answers may take once everybody has everything, in microseconds.
const REST_US: u64 = 5_000_000;
/// How often one looks.
const LOOK_US: u64 = 200_000;
/// How many events may be planned once all is quiet, for each node and group.
const QUEUE_MAX: usize = 64;

impl World<'_> {
    pub(super) fn live(&mut self) -> Held {
        for node in 1..=self.plan.nodes {
            let after = self.random.below(200_000);
            self.plan_event(after, Event::Start { node });
        }
        self.plan_event(1_000, Event::Client);
        self.plan_strikes();
        while self.events < self.plan.events_max {
            self.next_event()?;
        }
        let present = self.heal();
        self.live_in_part(&present)?;
        self.live_in_shortage(&present)?;
        self.pass(2_000_000)?;
        self.is_asked = false;
        self.settle(&present)?;
        self.ask_everybody(&present)?;
        self.settle(&present)?;
        self.come_to_rest(&present)?;
        self.checks.histories.check()
    }

    pub(super) fn pass(&mut self, for_us: u64) -> Held {
        let end = self.queue.now() + for_us;
        while self.queue.now() < end {
            self.next_event()?;
        }
        Ok(())
    }

    /// Everything works from here on; who stays away is not among those that come back.
    pub(super) fn heal(&mut self) -> Vec<u64> {
        self.tell(|| "everything heals".to_owned());
        let now = self.queue.now();
        let ticks_apart = 2 * self.plan.election_ticks;
        for node in 1..=self.plan.nodes {
            let clock = &self.node_ref(node).clock;
            if clock.ticks.abs_diff((now - clock.started_at) / TICK_US) >= ticks_apart {
                self.count(Effect::ClocksApart);
            }
        }
        let present = self.present();
        self.is_calm = true;
        for packet in self.network.heal() {
            self.transmit(packet);
        }
        for node in 1..=self.plan.nodes {
            if !present.contains(&node) {
                // Nor does it start again by what was planned before.
                self.end(node, Ending::Power, 0);
                self.node(node).is_halted = true;
                continue;
            }
            let host = self.node(node);
            host.disk.fault = None;
            host.disk.stalled_until = 0;
            host.disk.leave(Room::Ample);
            host.turn_us = 0;
            host.clock.is_starved = false;
            host.clock.ticks = host.clock.ticks.max(host.clock.told);
            host.stopped_until = now.min(host.stopped_until);
            let boot = host.boot;
            self.plan_event(1, Event::Resume { node, boot });
            self.plan_event(2, Event::Fitness { node, boot, fitness: Fitness::Fit });
            self.plan_event(1_000, Event::Start { node });
        }
        present
    }

    /// The nodes that come back: all that are not gone for good, or as few as every group can do
    /// with.
    fn present(&mut self) -> Vec<u64> {
        let mut order: Vec<u64> = (1..=self.plan.nodes).collect();
        self.random.shuffle(&mut order);
        if self.plan.heals_quorum_only {
            for node in order {
                if self.may_lose(node) {
                    self.node(node).is_out = true;
                }
            }
        }
        (1..=self.plan.nodes).filter(|node| !self.node_ref(*node).is_out).collect()
    }

    /// Waits until nothing is under way and everybody has everything.
    pub(super) fn settle(&mut self, present: &[u64]) -> Held {
        let end = self.queue.now() + SETTLE_US;
        loop {
            let Some(unsettled) = self.unsettled(present) else { return Ok(()) };
            if self.queue.now() >= end {
                return breach("a healed cluster makes progress", unsettled);
            }
            self.pass(LOOK_US)?;
        }
    }

    /// What is not as it should be yet.
    fn unsettled(&self, present: &[u64]) -> Option<String> {
        if let Some((number, attempt)) = self.clients.open().next() {
            return Some(format!("attempt {number} waits: {attempt:?}"));
        }
        if let Some(handover) = self.handovers.any() {
            return Some(format!("nobody says what has come of {handover:?}"));
        }
        self.routing.groups().find_map(|group| self.unsettled_group(group, present))
    }

    fn unsettled_group(&self, group: GroupId, present: &[u64]) -> Option<String> {
        let mut leaders = 0;
        let last = self.checks.commits.last(group);
        let learners = self.plan.learners_of(&self.routing, group);
        for replica in self.routing.replicas_of(group).iter().chain(&learners) {
            if !present.contains(&replica.0) {
                continue;
            }
            let host = self.node_ref(replica.0);
            let Some(running) = &host.running else { return Some(format!("{replica} is down")) };
            leaders += u64::from(running.multi().group_role_is_leader(group));
            let applied = host.machine(group).applied;
            let cursors = running.multi().cursors_of(group);
            if applied != last || cursors.is_none_or(|cursors| cursors.last != last) {
                return Some(format!(
                    "node {replica} applied {applied} of {last} of group {group}: {cursors:?}"
                ));
            }
        }
        (leaders != 1).then(|| format!("group {group} has {leaders} leaders"))
    }

    /// A fresh write and a fresh read of every group are served.
    fn ask_everybody(&mut self, present: &[u64]) -> Held {
        self.clients.begin_anew();
        let end = self.queue.now() + SETTLE_US;
        while let Some((group, kind)) = self.unserved().first().copied() {
            if self.queue.now() >= end {
                let what = format!("no {kind:?} of group {group} by {present:?}");
                return breach("a healed cluster serves", what);
            }
            self.ask_unserved(present);
            self.pass(20_000)?;
        }
        Ok(())
    }

    /// What was not served since one began anew.
    pub(super) fn unserved(&self) -> Vec<(GroupId, Kind)> {
        let all = self
            .routing
            .groups()
            .flat_map(|group| [Kind::Write, Kind::Read].into_iter().map(move |kind| (group, kind)));
        all.filter(|(group, kind)| !self.clients.is_served(*group, *kind)).collect()
    }

    pub(super) fn ask_unserved(&mut self, present: &[u64]) {
        for (group, kind) in self.unserved() {
            self.ask_present(group, kind, present);
        }
    }

    /// Asks whoever leads, or believes so, among those that are there.
    fn ask_present(&mut self, group: GroupId, kind: Kind, present: &[u64]) {
        for node in
            present.iter().filter(|node| self.leads(**node, group)).copied().collect::<Vec<_>>()
        {
            self.attempt(Wish { number: 0, group, key: 0, kind }, 0, Some(node));
        }
    }

    /// Whether all members of a group are there.
    fn is_whole(&self, group: GroupId, present: &[u64]) -> bool {
        let learners = self.plan.learners_of(&self.routing, group);
        let members = self.routing.replicas_of(group).iter().chain(&learners);
        members.into_iter().all(|member| present.contains(&member.0))
    }

    /// Waits until the last answers have come, after which nothing is held any more.
    fn come_to_rest(&mut self, present: &[u64]) -> Held {
        let end = self.queue.now() + REST_US;
        loop {
            let found = self.check_idle(present);
            if found.is_ok() || self.queue.now() >= end {
                return found;
            }
            self.pass(LOOK_US)?;
        }
    }

    /// What was counted is given back, and what was held let go.
    fn check_idle(&self, present: &[u64]) -> Held {
        for node in present {
            let host = self.node_ref(*node);
            let Some(running) = &host.running else { continue };
            bounds::check_idle(*node, running, host.disk.waiting())?;
            for group in self.routing.groups() {
                let Some(held) = running.multi().replica_holdings(group) else { continue };
                let is_whole = !self.leads(*node, group) || self.is_whole(group, present);
                bounds::check_replica_idle(*node, group, &held, is_whole)?;
            }
        }
        let groups = usize::try_from(self.plan.groups).expect("at most 64 groups");
        let allowed = QUEUE_MAX * groups * self.nodes.len();
        let is_live = |event: &Event| {
            event.host().is_none_or(|(node, boot)| {
                let host = self.node_ref(node);
                host.running.is_some() && boot.is_none_or(|boot| boot == host.boot)
            })
        };
        let planned = self.queue.count(is_live);
        if planned > allowed {
            let what = format!("{planned} events are planned, at most {allowed}");
            return breach("budgets are free once all is quiet", what);
        }
        Ok(())
    }
}
