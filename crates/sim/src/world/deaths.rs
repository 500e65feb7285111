//! How nodes end, start, meet each other, and go on after they stood still.

use codec::Restored;
use multiraft::Input;
use types::{GroupId, NodeId, StoreId};

use super::World;
use crate::breach::{Held, breach};
use crate::disk::Refused;
use crate::effect::Effect;
use crate::queue::{Boot, Event};
use crate::real::Ending;

/// In which order a node that stood still takes what came meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Burst {
    AsItCame,
    TicksFirst,
    TicksLast,
    /// Who waits for the disk finds out last that it has written.
    DiskLast,
}

impl World<'_> {
    /// Starts a node from its disk, unless it runs.
    pub(super) fn start(&mut self, node: u64) -> Held {
        let now = self.queue.now();
        let (plan, routing) = (self.plan, self.routing.clone());
        let host = self.node(node);
        if host.running.is_some() || host.is_halted {
            return Ok(());
        }
        if host.boot > 0 {
            let is_soon = now - host.clock.started_at < 1_000_000;
            self.count(Effect::Restarts);
            if is_soon {
                self.count(Effect::Storms);
            }
        }
        let host = self.node(node);
        let inputs = match host.start(now, &plan, &routing) {
            Ok(inputs) => inputs,
            Err(Refused::Full) => return self.start_later(node),
            Err(Refused::Broken(what)) => return self.halt(node, &what),
        };
        let host = self.node(node);
        let (boot, tick_us) = (host.boot, host.clock.tick_us);
        match host.disk.recovered.take() {
            Some(true) => self.count(Effect::RecoveredWith),
            Some(false) => self.count(Effect::RecoveredWithout),
            None => {}
        }
        for group in routing.groups() {
            self.checks.logs.forget(node, group);
            self.checks.bonds.start(node, group, 0);
            self.checks.cursors.forget(node, group);
        }
        let phase = self.random.below(tick_us);
        self.plan_event(phase, Event::Tick { node, boot });
        self.plan_look(node);
        for peer in (1..=plan.nodes).filter(|peer| *peer != node) {
            let after = self.random.within(100, 2_000);
            self.plan_event(after, Event::Meet { node, boot, peer });
        }
        self.first_turn(node, inputs)
    }

    /// A node does not start, because of what is on its disk: right if that was damaged.
    fn halt(&mut self, node: u64, what: &str) -> Held {
        if !self.node(node).is_damaged {
            return breach(
                "a store brings back what was committed",
                format!("node {node}: {what}"),
            );
        }
        self.count(Effect::DamageHalts);
        self.tell(|| format!("  node {node} halts: {what}"));
        self.node(node).is_halted = true;
        Ok(())
    }

    fn first_turn(&mut self, node: u64, inputs: Vec<Input<u64>>) -> Held {
        let Some(running) = &mut self.node(node).running else { return Ok(()) };
        let mut inputs = inputs.into_iter();
        let mut turns = Vec::new();
        while inputs.len() > 0 {
            turns.push(running.turn(&mut inputs));
        }
        if self.node_ref(node).is_damaged && self.node_ref(node).disk.real.is_some() {
            self.count(Effect::DamageHarmless);
        }
        let restored = self.node_ref(node).disk.image.restore();
        self.check_restored(node, &restored)?;
        for turn in turns {
            if let Some((group, Err(error))) = turn.added.iter().find(|(_, added)| added.is_err()) {
                let what = format!("node {node}, group {group}: {error}");
                return breach("what is durable can be mounted", what);
            }
            self.carry_out(node, turn)?;
        }
        self.touched.clear();
        Ok(())
    }

    fn check_restored(&mut self, node: u64, restored: &[Restored]) -> Held {
        for Restored { group, replica, .. } in restored {
            let place = usize::try_from(node - 1).expect("a node of the plan");
            let host = &self.nodes[place];
            let on_disk = host.disk.image.group(*group).expect("it was restored from there");
            self.checks.logs.restart(node, *group, &on_disk.stamps);
            self.checks.bonds.start(node, *group, host.bound_until);
            let applied = host.machine(*group).applied;
            let hard_state = replica.hard_state;
            let running = host.running.as_ref();
            let Some(found) = running.and_then(|running| running.multi().cursors_of(*group)) else {
                continue;
            };
            let expected = (hard_state, replica.last, applied);
            self.checks.cursors.restart(node, *group, found, expected)?;
            if applied.0 > 0 {
                self.coverage.count(Effect::RestoredAhead);
            }
        }
        Ok(())
    }

    /// Two nodes tell each other which stores they have, as the transport's hello does it; frames
    /// between them are heard from then on.
    pub(super) fn meet(&mut self, node: u64, peer: u64) -> Held {
        let now = self.queue.now();
        let boot = self.node_ref(node).boot;
        let (store, other) = (self.node_ref(node).store, self.node_ref(peer));
        if other.knows(node, store) && self.node_ref(node).knows(peer, other.store) {
            return Ok(());
        }
        let is_there = other.running.is_some() && other.stopped_until <= now;
        let is_cut = self.network.is_cut(node, peer) || self.network.is_cut(peer, node);
        if !is_there || is_cut {
            let after = self.random.within(50_000, 300_000);
            self.plan_event(after, Event::Meet { node, boot, peer });
            return Ok(());
        }
        let peer_store = self.node_ref(peer).store;
        let (one, other) = (self.node_ref(node).known(peer), self.node_ref(peer).known(node));
        if one.is_some_and(|known| known != peer_store) || other.is_some_and(|known| known != store)
        {
            return self.refuse(node, peer);
        }
        self.node(node).meet(peer, peer_store);
        self.node(peer).meet(node, store);
        for (one, other, store) in [(node, peer, peer_store), (peer, node, store)] {
            self.inputs.push(Input::PeerStore { node: NodeId(other), store: StoreId(store) });
            self.turn(one)?;
            self.count_held(one);
        }
        Ok(())
    }

    /// Counts the groups that a node does not found although it has met all their members.
    fn count_held(&mut self, node: u64) {
        let host = self.node_ref(node);
        let Some(running) = &host.running else { return };
        let has_met = |peer: &NodeId| peer.0 == node || host.known(peer.0).is_some();
        let waits = |group: &GroupId| {
            let learners = self.plan.learners_of(&self.routing, *group);
            let members = || self.routing.replicas_of(*group).iter().chain(&learners);
            let is_here = running.multi().cursors_of(*group).is_some();
            !is_here && members().any(|member| member.0 == node) && members().all(has_met)
        };
        let held = self.routing.groups().filter(waits).count() as u64;
        self.coverage.add(Effect::FoundingsHeld, held);
    }

    /// One of the two has another store than the other knows: the other says so, and goes on as if
    /// nobody had come.
    fn refuse(&mut self, node: u64, peer: u64) -> Held {
        self.count(Effect::WipesRefused);
        for (one, other) in [(node, peer), (peer, node)] {
            let store = self.node_ref(other).store;
            if self.node_ref(one).known(other).is_none_or(|known| known == store) {
                continue;
            }
            let Some(running) = &mut self.node(one).running else { continue };
            let input = Input::PeerStore { node: NodeId(other), store: StoreId(store) };
            let turn = running.turn([input]);
            if turn.conflicts.len() != 1 {
                let what = format!("node {one} takes node {other} with another store");
                return breach("a node with a new store is not the old one", what);
            }
        }
        Ok(())
    }

    /// Ends a process; the first `kept` writes that wait happen to be on its disk.
    pub(super) fn end(&mut self, node: u64, ending: Ending, kept: usize) {
        let host = self.node(node);
        if host.running.is_none() {
            return;
        }
        let was_waiting = host.disk.found.is_waiting;
        let is_torn = host.disk.end(ending, kept);
        let unheard = std::mem::take(&mut host.put_off);
        host.die();
        if is_torn {
            self.count(Effect::TornOnDisk);
        }
        if was_waiting {
            self.count(Effect::EndedFull);
        }
        self.tell(|| format!("  node {node} ends by {ending:?}, {kept} of its writes are kept"));
        for event in unheard {
            self.lose(event);
        }
        self.abandon(node);
    }

    /// A disk failed: the node stops, and is started again.
    pub(super) fn fail(&mut self, node: u64, may_be_written: bool) {
        let waiting = self.node(node).disk.keepable() as u64;
        let kept = if may_be_written { self.random.within(0, waiting) } else { 0 };
        self.end(node, Ending::Power, usize::try_from(kept).expect("a short queue"));
        let after = self.random.within(10_000, 2_000_000);
        self.plan_event(after, Event::Start { node });
    }

    /// A node stands still for a while.
    pub(super) fn stop(&mut self, node: u64, for_us: u64) {
        let now = self.queue.now();
        let host = self.node(node);
        if host.running.is_none() {
            return;
        }
        host.stopped_until = host.stopped_until.max(now + for_us);
        let (after, boot) = (host.stopped_until - now, host.boot);
        self.plan_event(after, Event::Resume { node, boot });
    }

    /// A node goes on: it takes what came meanwhile, in one turn or in many.
    pub(super) fn resume(&mut self, node: u64, boot: Boot) -> Held {
        let now = self.queue.now();
        let host = self.node(node);
        if host.boot != boot || host.stopped_until > now {
            return Ok(());
        }
        let mut events = std::mem::take(&mut host.put_off);
        if events.len() > 1 {
            self.count(Effect::Bursts);
        }
        let orders = [Burst::AsItCame, Burst::TicksFirst, Burst::TicksLast, Burst::DiskLast];
        let order = if events.len() > 1 { self.random.pick(&orders) } else { Burst::AsItCame };
        let is_tick = |event: &Event| matches!(event, Event::Tick { .. });
        match order {
            Burst::AsItCame => {}
            Burst::TicksFirst => {
                self.count(Effect::TicksFirst);
                events.sort_by_key(|event| !is_tick(event));
            }
            Burst::TicksLast => {
                self.count(Effect::TicksLast);
                events.sort_by_key(is_tick);
            }
            Burst::DiskLast => {
                self.count(Effect::DiskLast);
                events.sort_by_key(|event| matches!(event, Event::Synced { .. }));
            }
        }
        let at_once = self.random.one_in(2);
        for event in events {
            let (Event::Meet { node, peer, .. }, true) = (&event, self.is_up(node, boot)) else {
                self.take_late(event, node, boot, at_once)?;
                continue;
            };
            self.meet(*node, *peer)?;
        }
        self.turn(node)
    }

    fn is_up(&self, node: u64, boot: Boot) -> bool {
        let host = self.node_ref(node);
        host.boot == boot && host.running.is_some()
    }

    fn take_late(&mut self, event: Event, node: u64, boot: Boot, at_once: bool) -> Held {
        // A disk that fails ends the node amid the burst.
        if !self.is_up(node, boot) {
            self.inputs.clear();
            self.lose(event);
            return Ok(());
        }
        self.take(event)?;
        if at_once { Ok(()) } else { self.turn(node) }
    }
}
