//! Leaders that are told to hand their groups over, and what they say has come of it.

use std::collections::BTreeMap;

use multiraft::{Answer, Input};
use types::{GroupId, NodeId, Term};

use super::World;
use crate::breach::{Held, breach};
use crate::class::Class;
use crate::effect::Effect;
use crate::queue::Event;

/// A node was told to hand a group over, and has not said what has come of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handover {
    node: u64,
    group: GroupId,
    to: u64,
    /// The node's term when it was told.
    since: Term,
}

/// The handovers under way, by the number that each waits under.
#[derive(Debug, Default)]
pub(super) struct Handovers {
    open: BTreeMap<u64, Handover>,
}

impl Handovers {
    /// Ends what waits under a number, if that is a handover.
    pub(super) fn end(&mut self, number: u64) -> Option<Handover> {
        self.open.remove(&number)
    }

    /// A node died, and says nothing more.
    pub(super) fn abandon(&mut self, node: u64) {
        self.open.retain(|_, handover| handover.node != node);
    }

    /// Whether a node was told to hand a group over, and has not said what has come of it.
    pub(super) fn concern(&self, node: u64, group: GroupId) -> bool {
        self.open.values().any(|open| (open.node, open.group) == (node, group))
    }

    /// One that nobody has heard of yet.
    pub(super) fn any(&self) -> Option<&Handover> {
        self.open.values().next()
    }
}

impl World<'_> {
    /// The leader of a group is told to hand it over, mostly; sometimes anybody is, or to anybody.
    pub(super) fn hand_over(&mut self, any: u64) {
        let groups = u64::from(self.plan.groups);
        let random = self.random_of(Class::Transfer);
        // Every group at once, now and then, as when a node is to be taken out of service.
        let (first, count) = (random.below(groups), if random.one_in(8) { groups } else { 1 });
        for number in first..first + count {
            let group = GroupId(1 + number % groups);
            let replicas = self.routing.replicas_of(group).len();
            let random = self.random_of(Class::Transfer);
            let (is_lost, is_elsewhere) = (random.one_in(10), random.one_in(20));
            let (place, after) = (random.place(replicas), random.within(50, 500));
            let member = self.routing.replicas_of(group)[place].0;
            let to = if is_elsewhere { any } else { member };
            let node = self.leader_of(group).filter(|_| !is_lost).unwrap_or(any);
            self.plan_event(after, Event::Order { node, group, to });
        }
    }

    fn leader_of(&self, group: GroupId) -> Option<u64> {
        let leads = |node: &u64| {
            let running = self.node_ref(*node).running.as_ref();
            running.is_some_and(|running| running.multi().group_role_is_leader(group))
        };
        (1..=self.plan.nodes).find(leads)
    }

    /// A node that runs is told.
    pub(super) fn order(&mut self, node: u64, group: GroupId, to: u64) {
        let running = self.node_ref(node).running.as_ref();
        let cursors = running.and_then(|running| running.multi().cursors_of(group));
        let since = cursors.map_or(Term(0), |cursors| cursors.term);
        let reply = self.clients.number();
        self.touched.push(group);
        self.handovers.open.insert(reply, Handover { node, group, to, since });
        self.inputs.push(Input::TransferLeader { group, to: NodeId(to), reply });
    }

    /// A node says what has come of a handover.
    pub(super) fn handed_over(&mut self, node: u64, handover: Handover, answer: Answer) -> Held {
        let Handover { group, to, since, .. } = handover;
        match answer {
            Answer::Transferred if !self.checks.elections.has_led(group, since, to) => {
                let what = format!("node {node} says that {handover:?} is done");
                breach("who is said to have taken over was elected", what)
            }
            Answer::Transferred if to == node => Ok(()),
            Answer::Transferred => {
                self.count(Effect::HandoversDone);
                Ok(())
            }
            Answer::TransferFailed { leader } => {
                let stays = leader == Some(NodeId(node));
                let astray = Effect::HandoversAstray;
                self.count(if stays { Effect::HandoversTimedOut } else { astray });
                Ok(())
            }
            Answer::TransferRefused(_) | Answer::Overloaded { .. } => {
                self.count(Effect::HandoversRefused);
                Ok(())
            }
            Answer::ReadAt { .. }
            | Answer::NotLeader { .. }
            | Answer::NoLeader
            | Answer::TransferInProgress { .. }
            | Answer::MajorityFull
            | Answer::TooLarge { .. }
            | Answer::UnknownVShard { .. }
            | Answer::UnknownGroup { .. }
            | Answer::Uncertain => {
                let what = format!("{handover:?} is answered by {answer:?}");
                breach("questions are answered by whom they were asked", what)
            }
        }
    }
}
