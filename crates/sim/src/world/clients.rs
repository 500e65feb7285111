//! What clients ask, whom, and what they are told.

use multiraft::{Answer, Input, Proposal};
use types::{GroupId, LogIndex, NodeId, VShardId};

use super::World;
use crate::breach::{Held, breach};
use crate::class::Class;
use crate::client::{Attempt, Kind, Wish};
use crate::effect::Effect;
use crate::machine::Command;
use crate::queue::Event;

/// How often a client asks again before it gives up.
const TRIES_MAX: u32 = 8;

impl World<'_> {
    /// A client thinks of something to ask, now and again after a while.
    pub(super) fn client(&mut self) -> Held {
        let every = self.client_random.within(1, 2 * self.plan.operation_us);
        self.plan_event(every, Event::Client);
        if !self.is_asked {
            return Ok(());
        }
        let random = &mut self.client_random;
        let group = GroupId(random.within(1, u64::from(self.plan.groups)));
        let key = u16::try_from(random.below(self.plan.keys)).expect("a few keys");
        let kind = if random.one_in(4) { Kind::Read } else { Kind::Write };
        self.attempt(Wish { number: 0, group, key, kind }, 0, None);
        Ok(())
    }

    /// Asks the node that `redirect` names, or the one that is believed to lead, or any.
    pub(super) fn attempt(&mut self, wish: Wish, tries: u32, redirect: Option<u64>) -> u64 {
        let Wish { number, group, key, kind } = wish;
        let is_lost = self.client_random.one_in(10);
        let replicas = self.routing.replicas_of(group);
        let any = replicas[self.client_random.place(replicas.len())].0;
        let believed = self.clients.leader(group).filter(|_| !is_lost || self.is_calm);
        let node = redirect.or(believed).unwrap_or(any);
        let (floor, group_floor) = self.checks.reads.floors(group, key);
        let attempt = self.clients.number();
        let begun = Attempt {
            wish: number,
            group,
            key,
            kind,
            node,
            boot: None,
            tries,
            is_redirect: redirect.is_some(),
            is_cancelled: false,
            floor,
            group_floor,
            record: self.checks.histories.invoke(attempt, group, key, kind),
        };
        self.clients.begin(attempt, begun);
        self.alike.begin(attempt, number);
        let transit = self.client_random.within(50, 500);
        let pause = if tries == 0 || redirect.is_some() { 0 } else { 20_000 * u64::from(tries) };
        self.plan_event(pause + transit, Event::Ask { node, attempt });
        if self.has(Class::Cancel) && self.client_random.one_in(10) {
            let patience = self.client_random.within(100, 300_000);
            self.plan_event(pause + transit + patience, Event::Cancel { attempt });
        }
        attempt
    }

    /// A node that runs is asked.
    pub(super) fn ask(&mut self, node: u64, attempt: u64) {
        let boot = self.node(node).boot;
        let padding = self.client_random.below(100);
        let choice = self.client_random.next();
        let Some(asked) = self.clients.find(attempt) else { return };
        asked.boot = Some(boot);
        let Attempt { group, key, kind, .. } = *asked;
        if kind == Kind::Write && self.has_no_room(node, group) {
            return self.refuse_write(attempt);
        }
        self.touched.push(group);
        let range = self.routing.vshards_of(group);
        let offset = choice % u64::from(range.end - range.start);
        let vshard = VShardId(range.start + u32::try_from(offset).expect("within the range"));
        let data = Command { operation: attempt, key }.encode(padding).into();
        self.inputs.push(match kind {
            Kind::Read => Input::Read { vshard, reply: attempt },
            Kind::Write if choice >> 60 == 0 => {
                Input::ProposeToGroup { group, data, reply: attempt }
            }
            Kind::Write => Input::Propose(Proposal { vshard, data, reply: attempt }),
        });
    }

    /// Nobody stops the node from working on it, but nobody waits for it.
    pub(super) fn cancel(&mut self, attempt: u64) {
        if let Some(attempt) = self.clients.find(attempt) {
            attempt.is_cancelled = true;
        }
    }

    /// The node that was asked is down.
    pub(super) fn unreached(&mut self, attempt: u64) {
        if let Ok(attempt) = self.clients.end(attempt) {
            self.refused(&attempt);
            self.clients.doubt(attempt.group);
            self.try_again(&attempt, None);
        }
    }

    /// A node died with what it was asked: the clients do not know what came of it.
    pub(super) fn abandon(&mut self, node: u64) {
        self.handovers.abandon(node);
        for attempt in self.clients.abandon(node) {
            self.give_up(&attempt);
        }
    }

    /// Nothing was done, and nothing will be; unless the client does not care any more, it is told.
    pub(super) fn refused(&mut self, attempt: &Attempt) {
        if !attempt.is_cancelled {
            self.checks.histories.refused(attempt.record);
        }
    }

    fn give_up(&mut self, attempt: &Attempt) {
        if attempt.kind == Kind::Write {
            self.count(Effect::Uncertain);
        }
        if self.is_patient || self.plan.has(Class::Retry) {
            self.try_again(attempt, None);
        }
    }

    pub(super) fn try_again(&mut self, attempt: &Attempt, redirect: Option<u64>) {
        let is_wanted = !attempt.is_cancelled && (self.is_patient || attempt.tries < TRIES_MAX);
        if is_wanted && self.is_asked {
            let Attempt { wish: number, group, key, kind, tries, .. } = *attempt;
            let tries = (tries + 1).min(TRIES_MAX);
            self.attempt(Wish { number, group, key, kind }, tries, redirect);
        }
    }

    /// A machine has applied what was proposed.
    pub(super) fn written(&mut self, number: u64, group: GroupId, index: LogIndex) -> Held {
        let attempt = self.clients.end(number)?;
        self.checks.writes.acknowledged(number, group, index)?;
        if (attempt.group, attempt.kind) != (group, Kind::Write) {
            let what = format!("{attempt:?} is written to group {group}");
            return breach("questions are answered by whom they were asked", what);
        }
        self.served(number, &attempt, Effect::WritesDone);
        if attempt.is_cancelled {
            return Ok(());
        }
        self.checks.histories.written(attempt.record);
        self.checks.reads.written(&attempt, index)
    }

    fn served(&mut self, number: u64, attempt: &Attempt, effect: Effect) {
        self.count(effect);
        self.clients.served(number, attempt);
        self.clients.believe(attempt.group, attempt.node);
        if attempt.tries > 0 {
            self.count(Effect::RetriesServed);
        }
        if attempt.is_redirect {
            self.count(Effect::Redirects);
        }
        if attempt.is_cancelled {
            self.count(Effect::CancelledServed);
        }
    }

    /// A node answers by other means than by applying.
    pub(super) fn answered(&mut self, node: u64, number: u64, answer: Answer) -> Held {
        if let Some(handover) = self.handovers.end(number) {
            return self.handed_over(node, handover, answer);
        }
        let attempt = self.clients.end(number)?;
        match (answer, attempt.kind) {
            (Answer::ReadAt { group, index }, Kind::Read) if group == attempt.group => {
                self.served(number, &attempt, Effect::ReadsDone);
                let machine = self.node_ref(node).machine(group);
                let (applied, value) = (machine.applied, machine.value(attempt.key));
                if attempt.is_cancelled {
                    return Ok(());
                }
                self.checks.histories.read(attempt.record, value);
                self.checks.reads.read(&attempt, index, applied, value)
            }
            (Answer::Uncertain, Kind::Write) => {
                if self.leads(node, attempt.group) && self.knows_shortage(node) {
                    self.count(Effect::StuckTold);
                }
                self.give_up(&attempt);
                Ok(())
            }
            (Answer::NotLeader { leader: NodeId(leader) }, _) => {
                self.count(Effect::Refused);
                self.refused(&attempt);
                self.clients.believe(attempt.group, leader);
                self.try_again(&attempt, Some(leader));
                Ok(())
            }
            (
                Answer::NoLeader | Answer::UnknownGroup { .. } | Answer::TransferInProgress { .. },
                _,
            ) => {
                if matches!(answer, Answer::TransferInProgress { .. }) {
                    self.count(Effect::RefusedInHandover);
                }
                self.count(Effect::Refused);
                self.refused(&attempt);
                self.clients.doubt(attempt.group);
                self.try_again(&attempt, None);
                Ok(())
            }
            (Answer::MajorityFull, Kind::Write) if self.knows_shortage(node) => {
                self.count(Effect::RefusedMajority);
                self.refused(&attempt);
                self.try_again(&attempt, None);
                Ok(())
            }
            (Answer::Overloaded { .. }, _) => {
                self.count(Effect::Overloaded);
                self.refused(&attempt);
                self.try_again(&attempt, None);
                Ok(())
            }
            (
                Answer::ReadAt { .. }
                | Answer::Uncertain
                | Answer::MajorityFull
                | Answer::TooLarge { .. }
                | Answer::UnknownVShard { .. }
                | Answer::Transferred
                | Answer::TransferRefused(_)
                | Answer::TransferFailed { .. },
                _,
            ) => {
                let what = format!("{attempt:?} is answered by {answer:?}");
                breach("questions are answered by whom they were asked", what)
            }
        }
    }
}
