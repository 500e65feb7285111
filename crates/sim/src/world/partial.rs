//! Partial partitions, and what is demanded while one lasts: a group serves if any of its voters
//! could lead it.
//!
//! Whoever wins an election with pre-votes has a quorum within its reach, in both directions, of
//! voters whose logs are not ahead of its own; whoever leads and keeps a quorum within its reach
//! stays. Without either nobody can lead, whatever happens: logs grow through leaders only. With
//! one, pre-votes and the step-down of leaders that reach no quorum must get there.

use types::{GroupId, NodeId, Term};

use super::World;
use super::phases::SETTLE_US;
use crate::breach::{Held, breach};
use crate::class::Class;
use crate::effect::Effect;
use crate::partition::{self, Ways};
use crate::queue::{Event, Relief};

/// How long groups that nobody can lead are waited for, in microseconds.
const PATIENCE_US: u64 = 10_000_000;
/// For how long leaders have to stay, in microseconds: longer than any election timeout.
const STEADY_US: u64 = 3_000_000;
/// How long nothing happens before a partition, on every other seed.
const QUIET_US: u64 = 2_000_000;
/// The shortest election timeout of leaders that are never deposed without need. Below it, where a
/// follower's clock is a fifth too fast and its leader's a fifth too slow, a promise may end before
/// the next heartbeat comes.
const STEADY_TICKS_MIN: u64 = 5;
/// How often fresh questions are asked.
const ASK_US: u64 = 100_000;
/// How long a hub is kept from the leader before it is all that is left, at least and at most.
const LAG_US: (u64, u64) = (100_000, 2_000_000);

const CLASSES: [Class; 4] = [Class::RingCut, Class::HubCut, Class::ConstrainedCut, Class::ChainCut];

/// The shape of a partition that hits nodes in this order, what is lost to it, and what shows that
/// it was lived with.
fn shape(class: Class, order: &[u64]) -> (Ways, Effect, Effect) {
    if class == Class::RingCut {
        (partition::ring(order), Effect::LostToRing, Effect::ServedInRing)
    } else if class == Class::HubCut {
        (partition::hub(order), Effect::LostToHub, Effect::ServedAroundHub)
    } else if class == Class::ConstrainedCut {
        (partition::constrained(order), Effect::LostToConstraint, Effect::ServedConstrained)
    } else {
        (partition::chain(order), Effect::LostToChain, Effect::ServedInChain)
    }
}

impl World<'_> {
    /// A partial partition strikes, for a while.
    pub(super) fn cut_in_part(&mut self, class: Class, for_us: u64) {
        let Some(order) = self.order_of_cut(class) else { return };
        let (ways, effect, _) = shape(class, &order);
        if class != Class::ConstrainedCut {
            return self.sever(ways, effect, for_us);
        }
        // The hub is behind: it has not heard the leader for longer than the others.
        let lag = self.strikes[class as usize].within(LAG_US.0, LAG_US.1);
        self.sever(between(order[0], order[1]), effect, lag + for_us);
        self.plan_event(lag, Event::Relief(Relief::Worsen { ways, effect, for_us }));
    }

    /// All nodes in the order in which a partition places them: the voters of one group together and
    /// first; where it has a hub, that comes first of them, and a leader second. None if there are too
    /// few for a part of them to be cut off.
    fn order_of_cut(&mut self, class: Class) -> Option<Vec<u64>> {
        let mut order: Vec<u64> = (1..=self.plan.nodes).collect();
        if order.len() < 3 {
            return None;
        }
        let random = &mut self.strikes[class as usize];
        random.shuffle(&mut order);
        let group = GroupId(random.within(1, u64::from(self.plan.groups)));
        let voters = self.routing.replicas_of(group);
        let is_voter = |node: &u64| voters.contains(&NodeId(*node));
        let (mut leader, mut hub) = (None, None);
        if class == Class::HubCut || class == Class::ConstrainedCut {
            leader = order.iter().copied().find(|node| self.leads(*node, group));
            hub = order.iter().copied().find(|node| Some(*node) != leader && is_voter(node));
        }
        // A stable sort keeps the others in the order that was drawn.
        order.sort_by_key(|node| (Some(*node) != hub, Some(*node) != leader, !is_voter(node)));
        Some(order)
    }

    /// Everything works but for a partial partition, if this seed has any: groups have to serve.
    pub(super) fn live_in_part(&mut self, present: &[u64]) -> Held {
        let classes: Vec<Class> =
            CLASSES.into_iter().filter(|class| self.plan.has(*class)).collect();
        if classes.is_empty() {
            return Ok(());
        }
        let class = self.random.pick(&classes);
        let Some(order) = self.order_of_cut(class) else { return Ok(()) };
        let (ways, effect, served) = shape(class, &order);
        let is_quiet = self.random.one_in(2);
        if is_quiet {
            // Where nothing is written, whoever does not hear the leader is not behind it, and only
            // what others promised keeps them from voting for him.
            self.is_asked = false;
            self.settle(present)?;
            self.pass(QUIET_US)?;
        }
        self.tell(|| format!("  but {ways:?} are cut"));
        let first = between(order[0], order[1]);
        if class == Class::ConstrainedCut {
            self.network.cut(&first, effect);
            let lag = self.random.within(LAG_US.0, LAG_US.1);
            self.pass(lag)?;
        }
        self.network.cut(&ways, effect);
        if self.plan.election_ticks >= STEADY_TICKS_MIN {
            if is_quiet {
                self.demand_stickiness(present)?;
            }
            self.demand_steadiness(present)?;
        }
        self.demand_service(present, served)?;
        self.network.uncut(&ways);
        if class == Class::ConstrainedCut {
            self.network.uncut(&first);
        }
        Ok(())
    }

    fn demand_service(&mut self, present: &[u64], served: Effect) -> Held {
        self.clients.begin_anew();
        let begun = self.queue.now();
        while let Some((group, kind)) = self.unserved().first().copied() {
            let waited = self.queue.now() - begun;
            let able = self.unserved().into_iter().find(|(group, _)| self.is_able(*group, present));
            if waited >= PATIENCE_US && able.is_none() {
                break;
            }
            if waited >= SETTLE_US {
                let (group, kind) = able.unwrap_or((group, kind));
                let what = format!("no {kind:?} of group {group} by {present:?}");
                return breach("a connected quorum serves", what);
            }
            self.ask_unserved(present);
            self.pass(ASK_US)?;
        }
        let unserved = self.unserved();
        for group in self.routing.groups() {
            if unserved.iter().any(|(unserved, _)| *unserved == group) {
                self.count(Effect::NobodyAble);
            } else if self.is_split(group, present) {
                self.count(served);
            }
        }
        Ok(())
    }

    /// Whoever led before, undisputed, and still has a quorum within its reach is not deposed at all.
    fn demand_stickiness(&mut self, present: &[u64]) -> Held {
        let mut before = self.offices(present);
        before.retain(|(group, office)| office.is_some() && self.is_undisputed(*group, present));
        self.pass(STEADY_US)?;
        for (group, office) in before {
            let after = self.office(group, present);
            if office != after {
                let what = format!("group {group}: {office:?} before, {after:?} after");
                return breach("whoever hears its leader helps nobody else", what);
            }
        }
        Ok(())
    }

    /// Whether all voters of the group that are there are in the same term.
    fn is_undisputed(&self, group: GroupId, present: &[u64]) -> bool {
        let terms = self.voters_there(group, present).into_iter().map(|node| {
            let running = self.node_ref(node).running.as_ref();
            running.and_then(|running| Some(running.multi().cursors_of(group)?.term))
        });
        let terms: Vec<Option<Term>> = terms.collect();
        terms.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// Whoever has a quorum within its reach leads on: those who do not hear it cannot depose it, one
    /// after the other, by asking those who do.
    fn demand_steadiness(&mut self, present: &[u64]) -> Held {
        let end = self.queue.now() + SETTLE_US;
        loop {
            let before = self.offices(present);
            self.pass(STEADY_US)?;
            let after = self.offices(present);
            if after == before {
                return Ok(());
            }
            if self.queue.now() >= end {
                let changed = before.iter().zip(&after).find(|(before, after)| before != after);
                return breach("whoever reaches a quorum leads on", format!("{changed:?}"));
            }
        }
    }

    fn offices(&self, present: &[u64]) -> Vec<(GroupId, Option<(Term, u64)>)> {
        self.routing.groups().map(|group| (group, self.office(group, present))).collect()
    }

    /// Who leads the group and has a quorum within reach, and in which term.
    fn office(&self, group: GroupId, present: &[u64]) -> Option<(Term, u64)> {
        let there = self.voters_there(group, present);
        let quorum = self.routing.replicas_of(group).len() / 2 + 1;
        let leaders = there.iter().filter(|node| self.leads(**node, group));
        let holders = leaders.filter(|node| self.reached(**node, &there).count() >= quorum);
        let terms = holders.filter_map(|node| {
            let running = self.node_ref(*node).running.as_ref()?;
            Some((running.multi().cursors_of(group)?.term, *node))
        });
        terms.max()
    }

    /// Whether any voter of the group could lead it, or does and can go on.
    fn is_able(&self, group: GroupId, present: &[u64]) -> bool {
        let log_end = |node: u64| {
            let log = self.checks.logs.of(node, group);
            (log.at(log.last()).map(|stamp| stamp.term), log.last())
        };
        let there = self.voters_there(group, present);
        let quorum = self.routing.replicas_of(group).len() / 2 + 1;
        let may_win = |node: &u64| {
            let voters = self.reached(*node, &there);
            voters.filter(|voter| log_end(*voter) <= log_end(*node)).count() >= quorum
        };
        self.office(group, present).is_some() || there.iter().any(may_win)
    }

    /// Whether two voters of the group that are there do not hear each other.
    fn is_split(&self, group: GroupId, present: &[u64]) -> bool {
        let there = self.voters_there(group, present);
        there.iter().any(|node| self.reached(*node, &there).count() < there.len())
    }

    /// Whom of `there` a node hears, and is heard by; itself included.
    fn reached(&self, node: u64, there: &[u64]) -> impl Iterator<Item = u64> {
        let network = &self.network;
        let is_reached = move |other: &u64| {
            node == *other || !network.is_cut(node, *other) && !network.is_cut(*other, node)
        };
        there.iter().copied().filter(is_reached)
    }

    /// The voters of the group that run and have founded it.
    fn voters_there(&self, group: GroupId, present: &[u64]) -> Vec<u64> {
        let voters = self.routing.replicas_of(group).iter().map(|voter| voter.0);
        let is_there = |node: &u64| {
            let running = self.node_ref(*node).running.as_ref();
            present.contains(node)
                && running.is_some_and(|running| running.multi().cursors_of(group).is_some())
        };
        voters.filter(is_there).collect()
    }

    pub(super) fn leads(&self, node: u64, group: GroupId) -> bool {
        let running = self.node_ref(node).running.as_ref();
        running.is_some_and(|running| running.multi().group_role_is_leader(group))
    }
}

fn between(one: u64, other: u64) -> Ways {
    vec![(one, other), (other, one)]
}
