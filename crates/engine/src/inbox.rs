//! What waits for a worker, in three queues, and how a turn takes it.
//!
//! Facts come first, because they free what others wait for; then the link's messages, which keep
//! the groups alive; then the callers. A flood of callers thus never costs a heartbeat, and no
//! thread ever blocks on a worker: facts are not bounded here but by what the worker has under way,
//! messages by bytes and calls by number, both at the door.
//!
//! What the state machines have applied is a fact that mostly nobody waits for: whoever proposed it is
//! told by the thread that applies it. It comes in a lane of its own, and wakes the worker only while
//! somebody waits there for the state machine; otherwise it is taken by the next turn, whatever brings
//! that, and by that of the next tick at the latest.
//!
//! Invariants: an input is taken once, and what a turn leaves is there for the next; a worker that
//! awaits the state machine does not sleep while there is something from it.

use std::sync::Arc;
use std::time::Instant;
use std::vec;

use multiraft::{DiskRoom, Fitness, GroupStatus, Input};
use tokio::sync::oneshot;
use types::{GroupId, LogIndex, Tick};

use crate::call::Reply;
use crate::messages::{AppliedFact, Fact, FetchedEntries, Inbound, Request};
use crate::queue::{Bell, Receiver, Sender, queue_on};

/// The ends of a worker's queues that others hold.
#[derive(Clone, Debug)]
pub(crate) struct WorkerDoor {
    pub(crate) facts: Sender<Fact>,
    pub(crate) applied: Sender<AppliedFact>,
    pub(crate) inbound: Sender<Inbound>,
    pub(crate) requests: Sender<Request>,
}

/// The ends of a worker's queues that are its own, and what it sleeps on.
#[derive(Debug)]
pub(crate) struct Queues {
    facts: Receiver<Fact>,
    applied: Receiver<AppliedFact>,
    inbound: Receiver<Inbound>,
    requests: Receiver<Request>,
    bell: Arc<Bell>,
}

/// A worker's queues, seen as the inputs of its turns.
#[derive(Debug)]
pub(crate) struct Inbox {
    queues: Queues,
    fitness: Option<Fitness>,
    room: Option<DiskRoom>,
    tick: Option<Tick>,
    /// What is left of a fact that says several things.
    applied: vec::IntoIter<(GroupId, LogIndex)>,
    fetched: vec::IntoIter<FetchedEntries>,
    /// Questions, which are no inputs: answered after the turn.
    statuses: Vec<oneshot::Sender<Vec<GroupStatus>>>,
    must_stop: bool,
}

/// A worker's queues, both ends. `calls_max` bounds the calls that wait.
pub(crate) fn queues(calls_max: usize) -> (WorkerDoor, Queues) {
    let bell = Arc::<Bell>::default();
    let (fact_sender, facts) = queue_on(Arc::clone(&bell), usize::MAX);
    let (applied_sender, applied) = queue_on(Arc::clone(&bell), usize::MAX);
    let (inbound_sender, inbound) = queue_on(Arc::clone(&bell), usize::MAX);
    let (request_sender, requests) = queue_on(Arc::clone(&bell), calls_max);
    let door = WorkerDoor {
        facts: fact_sender,
        applied: applied_sender,
        inbound: inbound_sender,
        requests: request_sender,
    };
    (door, Queues { facts, applied, inbound, requests, bell })
}

impl Inbox {
    pub(crate) fn new(queues: Queues) -> Self {
        Self {
            queues,
            fitness: None,
            room: None,
            tick: None,
            applied: Vec::new().into_iter(),
            fetched: Vec::new().into_iter(),
            statuses: Vec::new(),
            must_stop: false,
        }
    }

    /// The next turn begins with this: whoever must not lead says nothing more as a leader.
    pub(crate) fn set_fitness(&mut self, fitness: Fitness) {
        self.fitness = Some(fitness);
    }

    /// The next turn begins with this: nothing is begun for which there is no room.
    pub(crate) fn set_disk_room(&mut self, room: DiskRoom) {
        self.room = Some(room);
    }

    /// The next turn begins with the time.
    pub(crate) fn set_tick(&mut self, now: Tick) {
        self.tick = Some(now);
    }

    /// Waits until there is something for a turn, or `deadline` has come. What the state machines have
    /// applied is worth a turn only if it is awaited.
    pub(crate) fn wait(&mut self, awaits_applied: bool, deadline: Option<Instant>) {
        // Before it looks: what comes from now on rings.
        self.queues.applied.set_awaited(awaits_applied);
        // Whether it was the deadline is seen by the clock. What rang may have been taken already.
        while !self.has_more() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            self.queues.bell.wait(deadline);
        }
    }

    /// Whether there is anything worth a turn, in a queue or left of what was taken from one.
    fn has_more(&self) -> bool {
        let Queues { facts, applied, inbound, requests, .. } = &self.queues;
        let waits = facts.has_more() || inbound.has_more() || requests.has_more();
        let has_applied = self.applied.len() > 0 || applied.has_more();
        waits || self.fetched.len() > 0 || applied.is_awaited() && has_applied
    }

    /// Whether the worker is to end.
    pub(crate) const fn must_stop(&self) -> bool {
        self.must_stop
    }

    /// Who asked for statuses.
    pub(crate) fn take_status_calls(&mut self) -> Vec<oneshot::Sender<Vec<GroupStatus>>> {
        std::mem::take(&mut self.statuses)
    }

    /// The callers who wait in the queue, for a worker that ends: nothing of theirs was begun.
    pub(crate) fn take_callers(&mut self) -> Vec<Reply> {
        let requests = std::iter::from_fn(|| self.queues.requests.try_recv());
        requests.flat_map(Request::into_replies).collect()
    }

    /// The next input that a fact holds.
    fn next_fact(&mut self) -> Option<Input<Reply>> {
        loop {
            if let Some((group, index)) = self.applied.next() {
                return Some(Input::Applied { group, index });
            }
            if let Some(FetchedEntries { group, purpose, result }) = self.fetched.next() {
                return Some(Input::Fetched { group, purpose, result });
            }
            if let Some(AppliedFact(applied)) = self.queues.applied.try_recv() {
                self.applied = applied.into_iter();
                continue;
            }
            match self.queues.facts.try_recv()? {
                Fact::Persisted(ticket) => return Some(Input::Persisted(ticket)),
                Fact::PeerStore(node, store) => return Some(Input::PeerStore { node, store }),
                Fact::Fetched(fetched) => self.fetched = fetched.into_iter(),
                Fact::Statuses(caller) => self.statuses.push(caller),
                Fact::Wake => {}
                Fact::Stop => self.must_stop = true,
            }
        }
    }

    fn next_request(&mut self) -> Option<Input<Reply>> {
        Some(match self.queues.requests.try_recv()? {
            Request::Propose(proposal) => Input::Propose(proposal),
            Request::ProposeMany(proposals) => Input::ProposeMany(proposals),
            Request::ProposeToGroup(group, data, reply) => {
                Input::ProposeToGroup { group, data, reply }
            }
            Request::Read(vshard, reply) => Input::Read { vshard, reply },
            Request::TransferLeader(group, to, reply) => Input::TransferLeader { group, to, reply },
        })
    }
}

impl Iterator for Inbox {
    type Item = Input<Reply>;

    fn next(&mut self) -> Option<Input<Reply>> {
        if let Some(fitness) = self.fitness.take() {
            return Some(Input::Fitness(fitness));
        }
        if let Some(room) = self.room.take() {
            return Some(Input::DiskRoom(room));
        }
        if let Some(now) = self.tick.take() {
            return Some(Input::Tick(now));
        }
        if let Some(input) = self.next_fact() {
            return Some(input);
        }
        if let Some(inbound) = self.queues.inbound.try_recv() {
            // Taken, they no longer count against the inbox.
            return Some(match inbound {
                Inbound::Received { from, messages, permit } => {
                    drop(permit);
                    Input::Messages { from, messages }
                }
                Inbound::Stores { from, notice, permit } => {
                    drop(permit);
                    Input::PeerStores { from, notice }
                }
                Inbound::Dropped { to, messages, permit } => {
                    drop(permit);
                    Input::Dropped { to, messages }
                }
            });
        }
        self.next_request()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use multiraft::BatchTicket;
    use types::{NodeId, VShardId};

    use super::*;
    use crate::budget::Budget;

    fn read(vshard: u32) -> Request {
        let (caller, _) = oneshot::channel();
        let permit = Budget::new("b", 1).acquire(1).unwrap();
        Request::Read(VShardId(vshard), Reply::Read(caller, permit))
    }

    fn heartbeats(permit: &Arc<crate::budget::Permit>) -> Inbound {
        Inbound::Received { from: NodeId(2), messages: Vec::new(), permit: permit.clone() }
    }

    #[allow(clippy::wildcard_enum_match_arm)] // What a test does not name is what it does not want.
    fn text(input: &Input<Reply>) -> String {
        match input {
            Input::Tick(now) => format!("tick {now}"),
            Input::Persisted(BatchTicket(ticket)) => format!("persisted {ticket}"),
            Input::Applied { group, index } => format!("applied {group}:{index}"),
            Input::Messages { from, .. } => format!("messages from {from}"),
            Input::Read { vshard, .. } => format!("read {vshard}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn facts_come_before_messages_and_messages_before_calls() {
        let (door, queues) = queues(4);
        let mut inbox = Inbox::new(queues);
        let budget = Budget::new("b", 10);
        let permit = Arc::new(budget.acquire(10).unwrap());
        door.requests.send(read(7)).unwrap();
        door.inbound.send(heartbeats(&permit)).unwrap();
        drop(permit);
        let applied = vec![(GroupId(1), LogIndex(4)), (GroupId(2), LogIndex(5))];
        door.facts.send(Fact::Persisted(BatchTicket(3))).unwrap();
        door.applied.send(AppliedFact(applied)).unwrap();
        inbox.set_tick(Tick(9));
        let first: Vec<String> = inbox.by_ref().take(2).map(|input| text(&input)).collect();
        assert_eq!(first, ["tick 9", "applied 1:4"]);
        assert!(inbox.has_more(), "a turn may end inside a fact");
        assert_eq!(budget.used(), 10);
        let rest: Vec<String> = inbox.by_ref().map(|input| text(&input)).collect();
        assert_eq!(rest, ["applied 2:5", "persisted 3", "messages from 2", "read 7"]);
        assert!(!inbox.has_more() && budget.used() == 0);
    }

    #[test]
    fn calls_are_bounded_and_facts_are_not() {
        let (door, queues) = queues(1);
        let mut inbox = Inbox::new(queues);
        door.requests.send(read(1)).unwrap();
        assert!(door.requests.send(read(2)).is_err());
        (0..1000).for_each(|ticket| door.facts.send(Fact::Persisted(BatchTicket(ticket))).unwrap());
        door.facts.send(Fact::Stop).unwrap();
        assert_eq!(inbox.take_callers().len(), 1);
        assert_eq!(inbox.by_ref().count(), 1000);
        assert!(inbox.must_stop());
    }

    #[test]
    fn whoever_waits_is_woken_by_each_queue() {
        let (door, queues) = queues(1);
        let mut inbox = Inbox::new(queues);
        let permit = Arc::new(Budget::new("b", 1).acquire(1).unwrap());
        let sends: [&dyn Fn(); 3] = [
            &|| door.facts.send(Fact::Wake).unwrap(),
            &|| door.inbound.send(heartbeats(&permit)).unwrap(),
            &|| door.requests.send(read(1)).unwrap(),
        ];
        for send in sends {
            send();
            inbox.wait(false, None);
            assert!(inbox.by_ref().count() <= 1);
        }
        // And by the deadline, with nothing in any of them.
        inbox.wait(false, Some(Instant::now()));
        assert_eq!(inbox.by_ref().count(), 0);
    }

    #[test]
    fn what_is_applied_is_worth_a_turn_only_if_it_is_awaited() {
        let (door, queues) = queues(1);
        let mut inbox = Inbox::new(queues);
        let applied = |index| AppliedFact(vec![(GroupId(1), LogIndex(index)); 2]);
        let now = || Some(Instant::now());
        let has_come = |inbox: &mut Inbox, is_awaited| {
            let patience = Instant::now() + Duration::from_secs(30);
            inbox.wait(is_awaited, Some(patience));
            Instant::now() < patience
        };
        inbox.wait(false, now());
        door.applied.send(applied(1)).unwrap();
        inbox.wait(false, now());
        assert!(!inbox.has_more(), "the worker sleeps on");
        // It has come already when somebody begins to wait for it.
        assert!(has_come(&mut inbox, true));
        assert_eq!(inbox.by_ref().map(|input| text(&input)).next(), Some("applied 1:1".into()));
        inbox.wait(false, now());
        assert!(!inbox.has_more(), "what is left of it is no more urgent");
        assert!(has_come(&mut inbox, true));
        assert_eq!(inbox.by_ref().count(), 1);
        // It comes while somebody waits for it.
        inbox.wait(true, now());
        door.applied.send(applied(2)).unwrap();
        assert!(has_come(&mut inbox, true));
        assert_eq!(inbox.by_ref().count(), 2);
        // Whatever else brings a turn takes it along, and first.
        inbox.wait(false, now());
        door.applied.send(applied(3)).unwrap();
        door.facts.send(Fact::Persisted(BatchTicket(4))).unwrap();
        assert!(has_come(&mut inbox, false));
        let taken: Vec<String> = inbox.by_ref().map(|input| text(&input)).collect();
        assert_eq!(taken, ["applied 1:3", "applied 1:3", "persisted 4"]);
    }
}
