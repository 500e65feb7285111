//! One node of the rival's: a thread that takes messages, proposes, and does a round of all groups
//! that were touched, with one durable commit for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use raft::Ready;
use raft::eraftpb::Message;

use super::group::Group;
use super::log::Log;
use crate::durable_writes::tally::NODES;
use crate::durable_writes::window::{Latencies, Window};
use crate::figure::Wrong;

/// What one node sends to another in one go: messages with the group's number.
pub(crate) type Batch = Vec<(u32, Message)>;

/// How long a node without messages waits before it looks around.
const PAUSE: Duration = Duration::from_millis(2);

/// What the nodes and whoever waits for them tell each other.
#[derive(Default)]
pub(crate) struct Board {
    pub(crate) window: Window,
    /// Groups that have their leader.
    pub(crate) led: AtomicU64,
    /// Whether proposers may begin.
    pub(crate) may_propose: AtomicBool,
    pub(crate) commits: AtomicU64,
    /// Entries proposed so far.
    pub(crate) proposed: AtomicU64,
    /// Nodes that have seen that the window is closed, and propose no more.
    pub(crate) closed: AtomicUsize,
    /// Entries applied, by node.
    pub(crate) applied: [AtomicU64; NODES],
    /// Whether the nodes are to end.
    pub(crate) is_over: AtomicBool,
}

pub(crate) struct Node {
    /// From 0.
    pub(crate) place: usize,
    pub(crate) groups: Vec<Group>,
    /// The groups that this node is to lead.
    pub(crate) to_lead: Vec<usize>,
    pub(crate) log: Log,
    pub(crate) inbox: Receiver<Batch>,
    /// By node; nothing is sent to itself.
    pub(crate) outboxes: [Sender<Batch>; NODES],
    pub(crate) board: Arc<Board>,
    pub(crate) latencies: Latencies,
    pub(crate) has_closed: bool,
    pub(crate) round: Round,
}

/// What a round gathers; its memory serves again.
pub(crate) struct Round {
    touched: Vec<usize>,
    is_touched: Vec<bool>,
    readies: Vec<(usize, Ready)>,
    sends: [Batch; NODES],
}

impl Round {
    pub(crate) fn new(groups: usize) -> Self {
        let sends = [(); NODES].map(|()| Vec::new());
        Self { touched: Vec::new(), is_touched: vec![false; groups], readies: Vec::new(), sends }
    }

    fn touch(&mut self, group: usize) {
        if !self.is_touched[group] {
            self.is_touched[group] = true;
            self.touched.push(group);
        }
    }

    fn send(&mut self, group: usize, messages: Vec<Message>) {
        let number = u32::try_from(group).expect("groups are few");
        for message in messages {
            let place = usize::try_from(message.to - 1).expect("nodes are few");
            self.sends[place].push((number, message));
        }
    }
}

impl Node {
    /// Founds its leaders, then takes part until all is over.
    pub(crate) fn run(mut self) -> Result<Self, Wrong> {
        for group in self.to_lead.clone() {
            let campaigned = self.groups[group].raw.campaign();
            campaigned.map_err(|error| Wrong(format!("an election: {error}")))?;
            self.round.touch(group);
        }
        let mut led = 0;
        while !self.board.is_over.load(Ordering::Acquire) {
            if led < self.to_lead.len() {
                let before = led;
                led = self.to_lead.iter().filter(|group| self.groups[**group].leads()).count();
                self.board.led.fetch_add((led - before) as u64, Ordering::Release);
            } else if self.board.may_propose.load(Ordering::Acquire) && !self.has_closed {
                self.propose()?;
            }
            self.receive()?;
            self.work()?;
        }
        Ok(self)
    }

    fn propose(&mut self) -> Result<(), Wrong> {
        if self.board.window.is_closed() {
            self.has_closed = true;
            self.board.closed.fetch_add(1, Ordering::Release);
            return Ok(());
        }
        for group in &self.to_lead {
            if self.groups[*group].wants_to_propose() {
                let proposed = self.groups[*group].propose()?;
                self.board.proposed.fetch_add(proposed, Ordering::Release);
                self.round.touch(*group);
            }
        }
        Ok(())
    }

    /// Takes what has come; waits if there is nothing to do.
    fn receive(&mut self) -> Result<(), Wrong> {
        if self.round.touched.is_empty() {
            match self.inbox.recv_timeout(PAUSE) {
                Ok(batch) => self.step(batch)?,
                Err(RecvTimeoutError::Timeout) if self.has_closed => {
                    self.tell_commits();
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        while let Ok(batch) = self.inbox.try_recv() {
            self.step(batch)?;
        }
        Ok(())
    }

    fn step(&mut self, batch: Batch) -> Result<(), Wrong> {
        for (number, message) in batch {
            let group = number as usize;
            let stepped = self.groups[group].raw.step(message);
            stepped.map_err(|error| Wrong(format!("a message: {error}")))?;
            self.round.touch(group);
        }
        Ok(())
    }

    /// Followers learn of the last commits by heartbeats, of which there are none under load.
    fn tell_commits(&mut self) {
        for group in &self.to_lead {
            self.groups[*group].raw.ping();
            self.round.touch(*group);
        }
    }

    /// A round: sends what may go at once, makes everything durable, sends the rest.
    fn work(&mut self) -> Result<(), Wrong> {
        let touched = std::mem::take(&mut self.round.touched);
        for group in touched.iter().copied() {
            self.round.is_touched[group] = false;
            self.begin(group);
        }
        self.round.touched = touched;
        self.round.touched.clear();
        self.flush();
        if self.log.commit()? {
            self.board.commits.fetch_add(1, Ordering::Relaxed);
        }
        let mut readies = std::mem::take(&mut self.round.readies);
        for (group, ready) in readies.drain(..) {
            self.finish(group, ready);
        }
        self.round.readies = readies;
        self.flush();
        Ok(())
    }

    fn begin(&mut self, number: usize) {
        let group = &mut self.groups[number];
        if !group.raw.has_ready() {
            return;
        }
        let mut ready = group.raw.ready();
        let of_log = u32::try_from(number).expect("groups are few");
        self.log.add_entries(of_log, ready.entries());
        {
            let mut store = group.raw.store().wl();
            store.append(ready.entries()).expect("entries follow each other");
            if let Some(state) = ready.hs() {
                store.set_hardstate(state.clone());
                // A commit index alone need not be durable.
                if ready.must_sync() && ready.entries().is_empty() {
                    self.log.add_hard_state(of_log, state);
                }
            }
        }
        let messages = ready.take_messages();
        self.round.send(number, messages);
        self.round.readies.push((number, ready));
    }

    fn finish(&mut self, number: usize, mut ready: Ready) {
        let group = &mut self.groups[number];
        self.round.send(number, ready.take_persisted_messages());
        let before = group.machine.count();
        group.apply(&ready.take_committed_entries());
        let mut light = group.raw.advance(ready);
        if let Some(commit) = light.commit_index() {
            group.raw.store().wl().mut_hard_state().commit = commit;
        }
        self.round.send(number, light.take_messages());
        group.apply(&light.take_committed_entries());
        group.raw.advance_apply();
        let applied = group.machine.count() - before;
        if applied > 0 {
            self.board.applied[self.place].fetch_add(applied, Ordering::Release);
            let index = group.raw.raft.raft_log.applied;
            group.answer(index, &self.board.window, &mut self.latencies);
            group.compact();
        }
        if group.raw.has_ready() {
            self.round.touch(number);
        }
    }

    fn flush(&mut self) {
        for (batch, outbox) in self.round.sends.iter_mut().zip(&self.outboxes) {
            if !batch.is_empty() {
                // A node that has ended has failed, and says why.
                let _ = outbox.send(std::mem::take(batch));
            }
        }
    }
}
