//! Frames on their way: checked when they leave, damaged or lost, and read when they arrive.

use bytes::Bytes;
use codec::{Envelope, FrameFault, FrameLimits, Notice, decode_frame, decode_notice, is_notice};
use multiraft::{Input, OutFrame};
use raft_core::MessageBody;
use types::{Generation, GroupId, NodeId, ReplicaId};

use super::World;
use crate::breach::{Held, breach};
use crate::check::{bounds, isolation, promises};
use crate::class::Class;
use crate::effect::Effect;
use crate::network::Fate;
use crate::queue::{Event, Packet};

impl World<'_> {
    pub(super) fn send(&mut self, node: u64, frame: OutFrame) -> Held {
        let OutFrame { to, bytes, .. } = frame;
        let messages = match decode_frame(&bytes, &FrameLimits::default()) {
            Ok(messages) => messages,
            Err(error) => return breach("what is encoded can be decoded", error.to_string()),
        };
        let host = self.node_ref(node);
        bounds::check_frame(node, bytes.len(), messages.len(), &host.limits)?;
        let image = &host.disk.image;
        for envelope in &messages {
            let on_disk = image.group(envelope.group);
            let configuration = on_disk.and_then(|on_disk| on_disk.configuration());
            isolation::check(node, to, envelope, configuration)?;
            let log = self.checks.logs.of(node, envelope.group);
            promises::check(node, envelope, image, log, &self.checks.commits)?;
            if !self.is_freed {
                self.checks.bonds.check(node, envelope, host.clock.told)?;
            }
        }
        let is_damaged = self.damage(&bytes)?;
        let sender = (node, self.node_ref(node).store, self.node_ref(node).boot);
        let packet = self.network.packet(sender, to.0, bytes);
        if is_damaged {
            // The transport's checksum sees what the codec cannot, and breaks the connection.
            self.reset(node, to.0);
            return Ok(());
        }
        for envelope in &messages {
            if envelope.message.body == MessageBody::TimeoutNow {
                self.make_way(node, envelope.group, to.0);
            }
        }
        self.transmit(packet);
        Ok(())
    }

    /// What a node says of itself leaves.
    pub(super) fn send_notice(&mut self, node: u64, to: u64, notice: Bytes) {
        let host = self.node_ref(node);
        let packet = self.network.packet((node, host.store, host.boot), to, notice);
        self.transmit(packet);
    }

    /// What another node says of itself arrives.
    fn hear_notice(&mut self, packet: &Packet) {
        match decode_notice(&packet.frame).expect("it was encoded when it was sent") {
            Notice::Room(notice) => self.hear_room(packet.to, packet.from, notice),
            Notice::Stores(notice) => {
                self.inputs.push(Input::PeerStores { from: NodeId(packet.from), notice });
            }
        }
    }

    pub(super) fn transmit(&mut self, packet: Packet) {
        let now = self.queue.now();
        match self.network.send(&packet, &self.plan, now, &mut self.coverage) {
            Fate::Arrives { after_us, again_after_us } => {
                if let Some(after_us) = again_after_us {
                    self.plan_event(after_us, Event::Deliver(packet.clone()));
                }
                self.plan_event(after_us, Event::Deliver(packet));
            }
            // Now and then the sender is told that its frame went nowhere.
            Fate::Lost if self.random.one_in(2) => self.report(packet),
            Fate::Lost | Fate::Held => {}
        }
    }

    fn report(&mut self, packet: Packet) {
        let Packet { from: node, boot, to, frame, .. } = packet;
        let after = self.random.within(10, 20_000);
        self.plan_event(after, Event::Dropped { node, boot, to, frame });
    }

    /// A connection breaks with all that is on it; of some of that the sender is told.
    pub(super) fn reset(&mut self, from: u64, to: u64) {
        let lost = self.queue.under_way(from, to);
        self.network.reset(from, to);
        for packet in lost {
            if self.random.one_in(2) {
                self.count(Effect::ResetReported);
                self.report(packet);
            }
        }
    }

    /// A frame arrives: heard if its sender is known by the store that it has.
    pub(super) fn deliver(&mut self, packet: &Packet) {
        if !self.network.arrive(packet, &mut self.coverage) {
            return;
        }
        let Packet { from, to, store, .. } = *packet;
        let host = self.node_ref(to);
        if !host.knows(from, store) {
            if host.known(from).is_some() {
                self.count(Effect::WipesRefused);
            }
            return;
        }
        if is_notice(&packet.frame) {
            return self.hear_notice(packet);
        }
        let until = host.clock.told + host.limits.timing.promise_ticks();
        let messages = decode_frame(&packet.frame, &FrameLimits::default());
        let mut messages = messages.expect("it was decoded when it was sent");
        self.refuse_commands(to, &mut messages);
        self.touched.extend(messages.iter().map(|envelope| envelope.group));
        let of_leaders = messages.iter().filter(|envelope| {
            let body = &envelope.message.body;
            matches!(body, MessageBody::Append { .. } | MessageBody::Heartbeat { .. })
        });
        self.heard.extend(of_leaders.map(|e| (e.group, e.message.term, until)));
        self.inputs.push(Input::Messages { from: NodeId(from), messages });
    }

    /// Damages a copy of a frame, if it is time for that, and has the codec look at it; whether the
    /// frame is lost thereby.
    fn damage(&mut self, frame: &Bytes) -> Result<bool, crate::breach::Breach> {
        let mut is_damaged = false;
        for class in [Class::Corrupt, Class::Truncate, Class::Oversize] {
            if !self.has(class) || !self.strikes[class as usize].one_in(8 * self.plan.frame_odds) {
                continue;
            }
            is_damaged = true;
            let random = &mut self.strikes[class as usize];
            let mut bytes = frame.to_vec();
            let mut limits = FrameLimits::default();
            if class == Class::Corrupt {
                let place = random.place(bytes.len());
                bytes[place] ^= u8::try_from(random.within(1, 255)).expect("a byte");
            } else if class == Class::Truncate {
                bytes.truncate(random.place(bytes.len()));
            } else {
                limits.frame_bytes_max = random.place(bytes.len());
            }
            let read = decode_frame(&bytes.into(), &limits);
            self.judge(class, read.map_err(|error| error.fault))?;
        }
        Ok(is_damaged)
    }

    fn judge(&mut self, class: Class, read: Result<Vec<Envelope>, FrameFault>) -> Held {
        let effect = match (class, &read) {
            (Class::Corrupt, Ok(_)) => Effect::CorruptRead,
            (Class::Corrupt, Err(_)) => Effect::CorruptRefused,
            (Class::Oversize, Err(FrameFault::TooLarge { .. })) => Effect::OversizeRefused,
            (_, Err(_)) => Effect::TruncatedRefused,
            (_, Ok(_)) => {
                return breach("damaged frames are refused", format!("{class:?}: {read:?}"));
            }
        };
        self.count(effect);
        Ok(())
    }

    /// Messages that are not for this node, or not from where they should be, come in.
    pub(super) fn strangers(&mut self, packet: &Packet) -> Held {
        let (node, now) = (packet.to, self.queue.now());
        let host = self.node_ref(node);
        if host.stopped_until > now || !host.knows(packet.from, packet.store) {
            return Ok(());
        }
        let messages = decode_frame(&packet.frame, &FrameLimits::default()).unwrap_or_default();
        for mut envelope in messages {
            match self.strikes[Class::Stranger as usize].below(4) {
                0 => envelope.group = GroupId(envelope.group.0 + 1_000),
                1 => envelope.generation = Generation(2),
                2 => envelope.message.to = ReplicaId(envelope.message.to.0 + 100),
                _ => envelope.message.from = ReplicaId(envelope.message.from.0 + 100),
            }
            self.stranger(node, packet.from, envelope)?;
        }
        Ok(())
    }

    fn stranger(&mut self, node: u64, from: u64, envelope: Envelope) -> Held {
        let group = GroupId(envelope.group.0 % 1_000);
        let Some(running) = &mut self.node(node).running else { return Ok(()) };
        let before = (running.multi().cursors_of(group), running.multi().counters().refused());
        let messages = vec![envelope.clone()];
        let turn = running.turn([Input::Messages { from: NodeId(from), messages }]);
        let after = (running.multi().cursors_of(group), running.multi().counters().refused());
        self.count(Effect::StrangersRefused);
        isolation::check_untouched(node, &envelope, &(before.0, before.1 + 1), &after)?;
        isolation::check_untouched(node, &envelope, &multiraft::Turn::default(), &turn)
    }
}
