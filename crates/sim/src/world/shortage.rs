//! What is demanded of a cluster that is whole but for its disks: with room at a majority it serves,
//! with too little at a majority, or everywhere, it lets clients read, and nobody waits for ever.

use super::World;
use super::phases::SETTLE_US;
use crate::breach::{Held, breach};
use crate::class::Class;
use crate::client::Kind;
use crate::effect::Effect;
use crate::room::{LOOK_US, Room};

/// How often fresh questions are asked.
const ASK_US: u64 = 50_000;

impl World<'_> {
    /// Everything works but for disks without room, if this seed has any.
    pub(super) fn live_in_shortage(&mut self, present: &[u64]) -> Held {
        if !self.plan.has(Class::Full) {
            return Ok(());
        }
        let was_asked = std::mem::replace(&mut self.is_asked, false);
        self.settle(present)?;
        let mut order = present.to_vec();
        self.random.shuffle(&mut order);
        let few = self.dispensable(&order);
        if !few.is_empty() {
            let room = self.random.pick(&Room::SHORT);
            self.demand_beside(&few, room, present)?;
        }
        let most = if self.random.one_in(2) { order.len() } else { order.len() / 2 + 1 };
        order.truncate(most);
        self.demand_reads(&order, present)?;
        self.is_asked = was_asked;
        Ok(())
    }

    /// As many of these nodes as every group can do without.
    fn dispensable(&self, order: &[u64]) -> Vec<u64> {
        let mut few: Vec<u64> = Vec::new();
        for node in order {
            let has_room =
                |other: u64| order.contains(&other) && other != *node && !few.contains(&other);
            let is_possible = self.routing.groups().all(|group| {
                let voters = self.routing.replicas_of(group);
                voters.iter().filter(|voter| has_room(voter.0)).count() * 2 > voters.len()
            });
            if is_possible {
                few.push(*node);
            }
        }
        few
    }

    /// A minority has no room: leaders among it make way, and every group serves.
    fn demand_beside(&mut self, few: &[u64], room: Room, present: &[u64]) -> Held {
        few.iter().for_each(|node| self.leave_room(*node, room));
        // Whoever leads finds out first.
        self.pass(LOOK_US + ASK_US)?;
        self.clients.begin_anew();
        let end = self.queue.now() + SETTLE_US;
        while let Some((group, kind)) = self.unserved().first().copied() {
            if self.queue.now() >= end {
                let what = format!("no {kind:?} of group {group}: {few:?} have room: {room:?}");
                return breach("a majority with room serves", what);
            }
            self.ask_unserved(present);
            self.pass(ASK_US)?;
        }
        self.coverage.add(Effect::ServedBesideFull, self.plan.groups.into());
        few.iter().for_each(|node| self.leave_room(*node, Room::Ample));
        self.settle(present)
    }

    /// A majority has little room: groups can be read, and whoever wants to write is told that he
    /// cannot.
    fn demand_reads(&mut self, most: &[u64], present: &[u64]) -> Held {
        most.iter().for_each(|node| self.leave_room(*node, Room::Closed));
        self.pass(LOOK_US + ASK_US)?;
        self.clients.begin_anew();
        self.ask_unserved(present);
        let end = self.queue.now() + SETTLE_US;
        loop {
            let unread = self.unserved().into_iter().find(|(_, kind)| *kind == Kind::Read);
            let waiting = self.clients.open().next().map(|(number, attempt)| (number, *attempt));
            let (group, what) = match (unread, waiting) {
                (None, None) => break,
                (Some((group, _)), _) => (group, "nobody lets clients read".to_owned()),
                (None, Some((number, attempt))) => {
                    (attempt.group, format!("attempt {number} waits: {attempt:?}"))
                }
            };
            if self.queue.now() >= end {
                let what = format!("group {group}: {what}, while {most:?} have little room");
                return breach("full disks are a pause", what);
            }
            if unread.is_some() {
                self.ask_unserved(present);
            }
            self.pass(ASK_US)?;
        }
        self.coverage.add(Effect::ReadWhileFull, self.plan.groups.into());
        most.iter().for_each(|node| self.leave_room(*node, Room::Ample));
        Ok(())
    }
}
