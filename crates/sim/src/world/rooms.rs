//! Disks that fill up and have room again, what nodes do about it, and what they tell each other, as
//! the engine's log writer, door and workers do it.

use codec::{Envelope, Notice, RoomNotice, encode_notice};
use multiraft::{Input, brings_commands};
use types::GroupId;

use super::World;
use crate::breach::Held;
use crate::class::Class;
use crate::disk::Refused;
use crate::effect::Effect;
use crate::queue::{Event, Relief};
use crate::room::Room;

impl World<'_> {
    /// Disks fill up: one, a minority, a majority, or all of them; some by and by.
    pub(super) fn fill(&mut self, one: u64, for_us: u64) {
        let nodes = self.plan.nodes;
        let random = self.random_of(Class::Full);
        let mut order: Vec<u64> = (1..=nodes).collect();
        random.shuffle(&mut order);
        let counts = [1, nodes.div_ceil(2) - 1, nodes / 2 + 1, nodes];
        let count = random.pick(&counts);
        if count <= 1 {
            order = vec![one];
        }
        for node in order.into_iter().take(usize::try_from(count).expect("at most 7 nodes")) {
            let random = self.random_of(Class::Full);
            let room = random.pick(&Room::SHORT);
            let (is_sudden, left) = (random.one_in(2), random.within(0, for_us / 2));
            // The store of a node that does not run may be none yet.
            if self.node_ref(node).running.is_none() {
                continue;
            }
            self.leave_room(node, if is_sudden { room } else { Room::Low });
            if !is_sudden {
                self.plan_event(left, Event::Relief(Relief::Fill { node, room }));
            }
            self.plan_event(for_us, Event::Relief(Relief::Clear { node }));
        }
    }

    /// Somebody else takes room of a disk or gives it back, so that this much is left.
    pub(super) fn leave_room(&mut self, node: u64, room: Room) {
        self.tell(|| format!("  node {node} has a disk with room: {room:?}"));
        self.node(node).disk.leave(room);
    }

    /// Plans when a node looks at its disk again, or tries again what found no room.
    pub(super) fn plan_look(&mut self, node: u64) {
        if !self.plan.has(Class::Full) {
            return;
        }
        let host = self.node(node);
        let boot = host.boot;
        let (number, after) = host.rooms.next_look(host.disk.found.is_waiting);
        self.plan_event(after, Event::Look { node, boot, number });
    }

    /// A node looks how much room its disk has, and tries again what found none.
    pub(super) fn look_at_disk(&mut self, node: u64, number: u64) -> Held {
        let host = self.node(node);
        if !host.rooms.is_due(number) {
            return Ok(());
        }
        match host.disk.look() {
            Ok(()) | Err(Refused::Full) => {}
            Err(Refused::Broken(what)) => return self.cannot_write(node, &what),
        }
        if host.disk.begin() {
            self.plan_sync(node);
        }
        self.tell_room(node);
        self.plan_look(node);
        Ok(())
    }

    /// What a node writes finds no room: it is kept, and tried again in its time.
    pub(super) fn found_no_room(&mut self, node: u64) -> Held {
        self.count(Effect::NoRoom);
        self.tell(|| format!("  node {node} has no room for what it writes"));
        self.tell_room(node);
        self.plan_look(node);
        Ok(())
    }

    /// A node that has no room to start is started again later.
    pub(super) fn start_later(&mut self, node: u64) -> Held {
        self.count(Effect::StartsFull);
        let after = self.random_of(Class::Full).within(100_000, 1_000_000);
        self.plan_event(after, Event::Start { node });
        Ok(())
    }

    /// Says to all others how a node's disk is, if that is news or was said long ago.
    pub(super) fn tell_room(&mut self, node: u64) {
        let now = self.queue.now();
        let host = self.node(node);
        let Some(notice) = host.rooms.notice(host.disk.found.is_low, now) else { return };
        let notice = encode_notice(&Notice::Room(notice));
        for peer in (1..=self.plan.nodes).filter(|peer| *peer != node) {
            self.send_notice(node, peer, notice.clone());
        }
    }

    /// A node hears how another's disk is.
    pub(super) fn hear_room(&mut self, node: u64, from: u64, notice: RoomNotice) {
        let host = self.node(node);
        let tick = host.clock.told;
        if host.rooms.hear(from, notice, tick) {
            self.count(Effect::FullHeard);
        }
    }

    /// The next turn begins with what is known of room, if that is news.
    pub(super) fn take_room(&mut self, node: u64) {
        if !self.plan.has(Class::Full) {
            return;
        }
        let host = self.node_ref(node);
        let Some(running) = &host.running else { return };
        let known = host.rooms.known(host.disk.found, host.clock.told);
        if known != *running.multi().disk_room() {
            self.inputs.insert(0, Input::DiskRoom(known));
        }
    }

    /// What comes in with commands is dropped where they would only hold up what fits.
    pub(super) fn refuse_commands(&mut self, node: u64, messages: &mut Vec<Envelope>) {
        if !self.node_ref(node).disk.found.is_closed {
            return;
        }
        let before = messages.len();
        messages.retain(|envelope| !brings_commands(&envelope.message.body));
        self.coverage.add(Effect::CommandsRefused, (before - messages.len()) as u64);
    }

    /// Whether a node refuses writes to a group because of its own disk. Who does not lead it says so
    /// instead.
    pub(super) fn has_no_room(&self, node: u64, group: GroupId) -> bool {
        self.node_ref(node).disk.found.is_low && self.leads(node, group)
    }

    /// Whether a node knows of a disk without room, its own or another's.
    pub(super) fn knows_shortage(&self, node: u64) -> bool {
        let running = self.node_ref(node).running.as_ref();
        running.is_some_and(|running| {
            let room = running.multi().disk_room();
            room.is_low || !room.low_peers.is_empty()
        })
    }

    /// A write is refused for want of room, and was not begun.
    pub(super) fn refuse_write(&mut self, attempt: u64) {
        if let Ok(attempt) = self.clients.end(attempt) {
            self.count(Effect::RefusedFull);
            self.refused(&attempt);
            self.try_again(&attempt, None);
        }
    }

    /// A leader orders an election: because its disk has no room, unless it was told to.
    pub(super) fn make_way(&mut self, node: u64, group: GroupId, heir: u64) {
        if self.node_ref(node).disk.found.is_low && !self.handovers.concern(node, group) {
            self.heirs.insert(group, heir);
        }
    }
}
