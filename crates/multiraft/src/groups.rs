//! The groups of a node: found by id, visited only when they have something to do.
//!
//! Invariants:
//! - a slot never changes its group; lookups go through `by_id`, which is never iterated, and
//!   whatever visits more than one group does so by slot or by the order of inputs;
//! - a group that took an input since the last ready is in `dirty`, once;
//! - a group that is not dirty stands in the calendar no later than its next call; what it says
//!   elsewhere in the calendar is void;
//! - `uncommitted_bytes` is the sum of what the slots last said, and `holding_back` counts those that
//!   said so;
//! - a group that takes an input knows the time and the node's fitness; a group that leads is in
//!   `led`, or dirty.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use hashbrown::HashMap;
use raft_core::{Fitness, HaltReason, RaftNode, Ready};
use types::{Generation, GroupId, NodeId, ReplicaId, Term, Tick};

use crate::calendar::Calendar;

/// Where a group stands in the node's table; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    pub(crate) const fn position(self) -> usize {
        self.0 as usize
    }
}

/// Tries to make this node the group's first leader since it was mounted, until somebody leads, a
/// later term begins or it takes too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// The term in which the group was mounted.
    pub(crate) term: Term,
    pub(crate) next: Tick,
    pub(crate) interval: u64,
    pub(crate) last: Tick,
}

/// What was last told about a group's leader.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct ToldLeader {
    pub(crate) leader: Option<ReplicaId>,
    pub(crate) term: Term,
    pub(crate) is_fresh: bool,
}

#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) group: GroupId,
    pub(crate) generation: Generation,
    pub(crate) node: RaftNode,
    /// Whether the store does not know the group yet.
    is_new: bool,
    pub(crate) opening: Option<Opening>,
    pub(crate) told: ToldLeader,
    /// Whether it was told that the replica halted.
    pub(crate) told_halted: bool,
    /// The last tick that the replica was told of.
    seen: Tick,
    /// The day of the calendar that counts.
    armed: Option<Tick>,
    is_dirty: bool,
    uncommitted_bytes: usize,
    /// Whether it held entries back when it was asked last what it wants done.
    held_back: bool,
}

impl Hosted {
    /// The node that a replica of the group lives on.
    pub(crate) fn node_of(&self, replica: ReplicaId) -> Option<NodeId> {
        self.node.configuration().replica(replica).map(|found| found.node)
    }

    /// The node of the leader, if one is known.
    pub(crate) fn leader_node(&self) -> Option<NodeId> {
        self.node.leader().and_then(|leader| self.node_of(leader))
    }

    /// Whether entries that may be applied are not delivered yet: there is no room for them until
    /// some of those before them are applied, or they are being fetched.
    pub(crate) fn holds_back(&self) -> bool {
        let node = &self.node;
        node.delivered_index() < node.commit_index().min(node.persisted_index())
    }

    /// When it wants to be called next.
    fn next_call(&self) -> Option<Tick> {
        let opening = self.opening.map(|opening| opening.next);
        // Silence is news too, to whoever was told that the leader is fresh.
        let listens = self.told.is_fresh && !self.leads();
        let fresh_until = if listens { self.node.leader_fresh_until() } else { None };
        let stale_at = fresh_until.map(|until| until.after(1));
        [self.node.deadline(), opening, stale_at].into_iter().flatten().min()
    }

    /// Whether this replica leads. A leader steps down when its quorum falls silent, so that what
    /// it says of itself is always fresh.
    pub(crate) fn leads(&self) -> bool {
        self.node.leader() == Some(self.node.replica_id())
    }

    /// Asks for votes if this node is to lead the group first and nobody does yet.
    fn open(&mut self, now: Tick) {
        let Some(opening) = &mut self.opening else { return };
        let is_over = self.node.term() > opening.term || self.node.leader().is_some();
        if is_over || now > opening.last {
            self.opening = None;
        } else if now >= opening.next {
            opening.next = now.after(opening.interval);
            self.node.campaign();
        }
    }
}

/// What a group wants done, as [`Groups::collect`] gives it.
pub(crate) struct Collected {
    pub(crate) ready: Option<Ready>,
    /// The new view of the leader, if it changed.
    pub(crate) leader: Option<ToldLeader>,
    /// Why it takes part in nothing any more, if that is news.
    pub(crate) halted: Option<HaltReason>,
}

#[derive(Debug, Default)]
pub(crate) struct Groups {
    slots: Vec<Hosted>,
    by_id: HashMap<GroupId, Slot>,
    dirty: Vec<Slot>,
    /// The groups that led when they were asked last what they want done.
    led: BTreeSet<Slot>,
    calendar: Calendar,
    now: Tick,
    fitness: Fitness,
    uncommitted_bytes: usize,
    /// How many groups hold entries back.
    holding_back: usize,
}

impl Groups {
    pub(crate) const fn now(&self) -> Tick {
        self.now
    }

    pub(crate) const fn fitness(&self) -> Fitness {
        self.fitness
    }

    /// Whether groups are to lead: tells those that do, or may since the last ready; returns how
    /// many. All others are told before they take an input.
    pub(crate) fn set_fitness(&mut self, fitness: Fitness) -> usize {
        if self.fitness == fitness {
            return 0;
        }
        self.fitness = fitness;
        let mut told: BTreeSet<Slot> = self.led.clone();
        told.extend(&self.dirty);
        for slot in &told {
            self.touch(*slot);
        }
        told.len()
    }

    /// The groups that led when they were asked last what they want done.
    pub(crate) fn led(&self) -> Vec<Slot> {
        self.led.iter().copied().collect()
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// What all groups led here accepted and did not commit, in bytes.
    pub(crate) const fn uncommitted_bytes(&self) -> usize {
        self.uncommitted_bytes
    }

    /// Whether any group held entries back when it was asked last what it wants done. One that has
    /// halted delivers nothing any more.
    pub(crate) const fn any_holds_back(&self) -> bool {
        self.holding_back > 0
    }

    pub(crate) fn find(&self, group: GroupId) -> Option<Slot> {
        self.by_id.get(&group).copied()
    }

    pub(crate) fn get(&self, slot: Slot) -> &Hosted {
        &self.slots[slot.position()]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hosted> {
        self.slots.iter()
    }

    /// Mounts a group that is not mounted yet.
    pub(crate) fn insert(
        &mut self,
        group: GroupId,
        generation: Generation,
        node: RaftNode,
        is_new: bool,
        opening: Option<Opening>,
    ) {
        let slot =
            Slot(u32::try_from(self.slots.len()).expect("a node hosts less than 2^32 groups"));
        let before = self.by_id.insert(group, slot);
        assert!(before.is_none(), "group {group} is mounted twice");
        self.slots.push(Hosted {
            group,
            generation,
            node,
            is_new,
            opening,
            told: ToldLeader::default(),
            told_halted: false,
            seen: self.now,
            armed: None,
            is_dirty: true,
            uncommitted_bytes: 0,
            held_back: false,
        });
        self.dirty.push(slot);
    }

    /// A group that is about to take an input: it knows how things are, and the next ready visits
    /// it.
    pub(crate) fn touch(&mut self, slot: Slot) -> &mut Hosted {
        self.mark(slot);
        self.touch_quietly(slot)
    }

    /// A group that is about to take an input of which nothing follows: it knows the time, which it
    /// was called for if it was due, and stays clean if it is and the node's fitness is no news.
    pub(crate) fn touch_quietly(&mut self, slot: Slot) -> &mut Hosted {
        if self.slots[slot.position()].node.fitness() != self.fitness {
            self.mark(slot);
        }
        let hosted = &mut self.slots[slot.position()];
        // Before the time, which may make it campaign.
        hosted.node.set_fitness(self.fitness);
        if hosted.seen < self.now {
            hosted.seen = self.now;
            hosted.node.tick(self.now);
        }
        hosted
    }

    /// The next ready visits the group.
    fn mark(&mut self, slot: Slot) {
        let hosted = &mut self.slots[slot.position()];
        if !hosted.is_dirty {
            hosted.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    /// It is `now`: calls the groups that are due, and no other; returns how many it looked at.
    pub(crate) fn advance(&mut self, now: Tick) -> u64 {
        // Groups with inputs since the last ready may want to be called earlier than noted.
        for position in 0..self.dirty.len() {
            self.arm(self.dirty[position]);
        }
        self.now = now;
        let mut looked_at = 0;
        while let Some((day, mut due)) = self.calendar.take_due(now) {
            looked_at += due.len() as u64;
            for slot in due.drain(..) {
                self.call(slot, day);
            }
            self.calendar.recycle(due);
        }
        looked_at
    }

    /// How many notes stand in the calendar.
    pub(crate) fn appointments(&self) -> usize {
        self.calendar.len()
    }

    /// Calls a group whose note for `day` came up, if the note still counts and the call is due.
    fn call(&mut self, slot: Slot, day: Tick) {
        let hosted = &mut self.slots[slot.position()];
        if hosted.armed != Some(day) {
            return;
        }
        hosted.armed = None;
        if hosted.next_call().is_some_and(|at| at <= self.now) {
            let now = self.now;
            self.touch(slot).open(now);
        }
        self.arm(slot);
    }

    /// Notes in the calendar when the group wants to be called, unless it stands there early
    /// enough: a call that comes too early costs a look, and saves a note per heartbeat.
    fn arm(&mut self, slot: Slot) {
        let hosted = &mut self.slots[slot.position()];
        let Some(next) = hosted.next_call() else { return };
        // A call that was just made may leave a deadline that is due again only by waiting.
        let next = next.max(self.now.after(1));
        if hosted.armed.is_none_or(|armed| next < armed) {
            hosted.armed = Some(next);
            self.calendar.note(next, slot);
        }
    }

    /// Takes the groups that had inputs since the last time, in the order of their first input.
    pub(crate) fn take_dirty(&mut self) -> Vec<Slot> {
        core::mem::take(&mut self.dirty)
    }

    /// Takes back the list that [`Self::take_dirty`] gave, so that its memory serves again.
    pub(crate) fn recycle(&mut self, mut visited: Vec<Slot>) {
        if self.dirty.is_empty() {
            visited.clear();
            self.dirty = visited;
        }
    }

    /// Asks a dirty group what it wants done; it is clean afterwards.
    pub(crate) fn collect(&mut self, slot: Slot) -> Collected {
        let now = self.now;
        let hosted = &mut self.slots[slot.position()];
        hosted.is_dirty = false;
        let ready = hosted.node.ready();
        let uncommitted_bytes = hosted.node.uncommitted_bytes();
        self.uncommitted_bytes -= hosted.uncommitted_bytes;
        self.uncommitted_bytes += uncommitted_bytes;
        hosted.uncommitted_bytes = uncommitted_bytes;
        let holds_back = hosted.holds_back() && hosted.node.halted().is_none();
        self.holding_back -= usize::from(hosted.held_back);
        self.holding_back += usize::from(holds_back);
        hosted.held_back = holds_back;
        let told = ToldLeader {
            leader: hosted.node.leader(),
            term: hosted.node.term(),
            is_fresh: hosted.leads() || hosted.node.leader_is_fresh(now),
        };
        let leader = (told != hosted.told).then_some(told);
        hosted.told = told;
        if leader.is_some() {
            if hosted.leads() {
                self.led.insert(slot)
            } else {
                self.led.remove(&slot)
            };
        }
        let halted = hosted.node.halted().filter(|_| !hosted.told_halted);
        hosted.told_halted |= halted.is_some();
        self.arm(slot);
        Collected { ready, leader, halted }
    }

    /// Whether the group's creation is to be written; true once, for a group that was founded here.
    pub(crate) fn take_new(&mut self, slot: Slot) -> bool {
        core::mem::take(&mut self.slots[slot.position()].is_new)
    }

    /// Counts a proposal of `bytes` at once, before the group is asked again.
    pub(crate) fn count_uncommitted(&mut self, slot: Slot, bytes: usize) {
        self.slots[slot.position()].uncommitted_bytes += bytes;
        self.uncommitted_bytes += bytes;
    }
}
