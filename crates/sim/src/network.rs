//! The ways between nodes: one in each direction between any two, each with its cuts, its queue and
//! its connection. What becomes of a frame is decided when it is sent.
//!
//! Invariant: frames of one way arrive in the order in which they were sent, unless faults of class
//! `Reorder`, `Repeat` or `Replay` happen.

use bytes::Bytes;

use crate::class::Class;
use crate::effect::{Coverage, Effect};
use crate::plan::Plan;
use crate::queue::Packet;
use crate::random::Random;

/// How many frames fit into a queue that overflows.
const QUEUE_FRAMES_MAX: u32 = 6;
/// How many old frames are kept to come again.
const OLD_FRAMES_MAX: usize = 64;

/// What becomes of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It arrives after so many microseconds, and perhaps once more.
    Arrives { after_us: u64, again_after_us: Option<u64> },
    /// It does not.
    Lost,
    /// It waits until the way is free.
    Held,
}

/// One direction between two nodes.
#[derive(Clone, Debug, Default)]
struct Way {
    /// How many cuts there are, and what the last one counts as.
    cuts: u32,
    cut_effect: Option<Effect>,
    clogs: u32,
    held: Vec<Packet>,
    delay_us: u64,
    connection: u32,
    sent: u64,
    /// The highest place among those that arrived.
    arrived: u64,
    in_flight: u32,
    /// When the last frame that keeps its place arrives.
    last_arrival: u64,
}

#[derive(Debug)]
pub(crate) struct Network {
    nodes: u64,
    ways: Vec<Way>,
    random: Random,
    old: Vec<Packet>,
    pub(crate) is_calm: bool,
}

impl Network {
    pub(crate) fn new(plan: &Plan) -> Self {
        let ways = usize::try_from(plan.nodes * plan.nodes).expect("at most 7 nodes");
        Self {
            nodes: plan.nodes,
            ways: vec![Way::default(); ways],
            random: Random::stream(plan.seed, 2),
            old: Vec::new(),
            is_calm: false,
        }
    }

    fn way(&mut self, from: u64, to: u64) -> &mut Way {
        let place = self.place(from, to);
        &mut self.ways[place]
    }

    fn place(&self, from: u64, to: u64) -> usize {
        usize::try_from((from - 1) * self.nodes + to - 1).expect("at most 7 nodes")
    }

    pub(crate) fn is_cut(&self, from: u64, to: u64) -> bool {
        self.ways[self.place(from, to)].cuts > 0
    }

    /// The next frame of a way: its place and the connection that it is on.
    pub(crate) fn packet(&mut self, from: (u64, u128, u64), to: u64, frame: Bytes) -> Packet {
        let (from, store, boot) = from;
        let way = self.way(from, to);
        way.sent += 1;
        let (order, connection) = (way.sent, way.connection);
        Packet { from, to, store, boot, order, connection, frame }
    }

    /// Decides what becomes of a frame.
    pub(crate) fn send(
        &mut self,
        packet: &Packet,
        plan: &Plan,
        now: u64,
        coverage: &mut Coverage,
    ) -> Fate {
        let transit = self.random.within(50, plan.transit_us_max);
        let strikes =
            |random: &mut Random, class| plan.has(class) && random.one_in(plan.frame_odds);
        let calm = self.is_calm;
        let lost = !calm && strikes(&mut self.random, Class::Loss);
        let overtaken = !calm && strikes(&mut self.random, Class::Reorder);
        let again = !calm && strikes(&mut self.random, Class::Repeat);
        let (stray, later) = (self.random.below(100_000), self.random.below(400_000));
        if plan.has(Class::Replay) && !calm && self.random.one_in(8) {
            self.keep(packet);
        }
        let overflows = plan.has(Class::Overflow) && !calm;
        let way = self.way(packet.from, packet.to);
        if let Some(effect) = way.cut_effect.filter(|_| way.cuts > 0) {
            coverage.count(effect);
            return Fate::Lost;
        }
        if lost {
            coverage.count(Effect::FramesLost);
            return Fate::Lost;
        }
        if overflows && way.in_flight >= QUEUE_FRAMES_MAX {
            coverage.count(Effect::QueueOverflow);
            return Fate::Lost;
        }
        if way.clogs > 0 {
            way.held.push(packet.clone());
            return Fate::Held;
        }
        way.in_flight += 1;
        let mut at = now + transit + way.delay_us;
        if overtaken {
            at += stray;
        } else {
            at = at.max(way.last_arrival);
            way.last_arrival = at;
        }
        if at - now > 100_000 {
            coverage.count(Effect::FramesLate);
        }
        let again_after_us = again.then_some(later);
        if again {
            way.in_flight += 1;
            coverage.count(Effect::FramesRepeated);
        }
        Fate::Arrives { after_us: at - now, again_after_us }
    }

    /// A frame arrives; whether the connection that it was sent on still exists.
    pub(crate) fn arrive(&mut self, packet: &Packet, coverage: &mut Coverage) -> bool {
        let way = self.way(packet.from, packet.to);
        way.in_flight = way.in_flight.saturating_sub(1);
        if way.connection != packet.connection {
            return false;
        }
        if packet.order < way.arrived {
            coverage.count(Effect::FramesOvertaken);
        }
        way.arrived = way.arrived.max(packet.order);
        true
    }

    /// Keeps a frame to come again, for another one if there are enough.
    fn keep(&mut self, packet: &Packet) {
        if self.old.len() < OLD_FRAMES_MAX {
            self.old.push(packet.clone());
        } else {
            let place = self.random.place(OLD_FRAMES_MAX);
            self.old[place] = packet.clone();
        }
    }

    /// A frame of long ago, on the connection that there is now.
    pub(crate) fn old_packet(&mut self) -> Option<Packet> {
        if self.old.is_empty() {
            return None;
        }
        let place = self.random.place(self.old.len());
        let packet = self.old[place].clone();
        let connection = self.way(packet.from, packet.to).connection;
        Some(Packet { connection, ..packet })
    }

    pub(crate) fn cut(&mut self, ways: &[(u64, u64)], effect: Effect) {
        for (from, to) in ways.iter().filter(|(from, to)| from != to) {
            let way = self.way(*from, *to);
            way.cuts += 1;
            way.cut_effect = Some(effect);
        }
    }

    pub(crate) fn uncut(&mut self, ways: &[(u64, u64)]) {
        for (from, to) in ways.iter().filter(|(from, to)| from != to) {
            let way = self.way(*from, *to);
            way.cuts = way.cuts.saturating_sub(1);
        }
    }

    /// Frames of these ways wait from here on.
    pub(crate) fn clog(&mut self, ways: &[(u64, u64)]) {
        for (from, to) in ways {
            self.way(*from, *to).clogs += 1;
        }
    }

    /// Frames of these ways flow again; those that waited come back to be sent.
    pub(crate) fn unclog(&mut self, ways: &[(u64, u64)]) -> Vec<Packet> {
        let mut freed = Vec::new();
        for (from, to) in ways {
            let way = self.way(*from, *to);
            way.clogs = way.clogs.saturating_sub(1);
            if way.clogs == 0 {
                freed.append(&mut way.held);
            }
        }
        freed
    }

    pub(crate) fn delay(&mut self, from: u64, to: u64, delay_us: u64) {
        self.way(from, to).delay_us = delay_us;
    }

    /// The connection breaks: what is on it never arrives.
    pub(crate) fn reset(&mut self, from: u64, to: u64) {
        let way = self.way(from, to);
        way.connection += 1;
        way.in_flight = 0;
    }

    /// Everything works from here on; frames that waited come back to be sent.
    pub(crate) fn heal(&mut self) -> Vec<Packet> {
        self.is_calm = true;
        let mut freed = Vec::new();
        for way in &mut self.ways {
            (way.cuts, way.clogs, way.delay_us) = (0, 0, 0);
            freed.append(&mut way.held);
        }
        freed
    }
}
