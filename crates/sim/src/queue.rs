//! Virtual time: what is to happen, and when.
//!
//! Invariants: time never falls; events of one moment happen in the order in which they were
//! planned.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use bytes::Bytes;
use raft_core::{Fetch, Fitness};
use types::GroupId;

use crate::class::Class;
use crate::client::Wish;
use crate::effect::Effect;
use crate::partition::Ways;
use crate::room::Room;

/// Which start of a node something belongs to; what belongs to an earlier one is void.
pub(crate) type Boot = u64;

/// A frame on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The store that its sender had.
    pub(crate) store: u128,
    pub(crate) boot: Boot,
    /// Its place among all frames sent on that way.
    pub(crate) order: u64,
    /// The connection that it is on; void once that is broken.
    pub(crate) connection: u32,
    pub(crate) frame: Bytes,
}

/// Something to happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A node's clock ticks.
    Tick { node: u64, boot: Boot },
    /// A frame arrives.
    Deliver(Packet),
    /// A node learns that a frame of its went nowhere.
    Dropped { node: u64, boot: Boot, to: u64, frame: Bytes },
    /// A node says to another who it is.
    Meet { node: u64, boot: Boot, peer: u64 },
    /// What a disk was writing is there.
    Synced { node: u64, boot: Boot },
    /// A state machine has applied its oldest batch.
    Applied { node: u64, boot: Boot, group: GroupId },
    /// Entries have been read.
    Fetched { node: u64, boot: Boot, group: GroupId, fetch: Box<Fetch> },
    /// A node is told whether it may lead.
    Fitness { node: u64, boot: Boot, fitness: Fitness },
    /// A client asks something of a node.
    Ask { node: u64, attempt: u64 },
    /// A node is told to hand a group over.
    Order { node: u64, group: GroupId, to: u64 },
    /// A node is started, unless it runs.
    Start { node: u64 },
    /// A node that stood still goes on.
    Resume { node: u64, boot: Boot },
    /// A client thinks of something to ask.
    Client,
    /// A client wants something, and will ask until it is served.
    Want(Wish),
    /// A client that waited for an answer stops waiting.
    Cancel { attempt: u64 },
    /// A node looks how much room its disk has, unless it has planned another look since.
    Look { node: u64, boot: Boot, number: u64 },
    /// A node that has begun to lead falls.
    Fall { node: u64, boot: Boot },
    /// A fault of a class strikes.
    Strike(Class),
    /// What a fault did is over.
    Relief(Relief),
}

/// The end of what a fault did.
#[derive(Clone, Debug)]
pub(crate) enum Relief {
    /// These ways are open again.
    Uncut { ways: Ways },
    /// It is not over: these are cut too, for so many microseconds.
    Worsen { ways: Ways, effect: Effect, for_us: u64 },
    /// It is not over: frames of these ways wait too.
    Clog { ways: Ways },
    /// Frames of these ways flow again.
    Unclog { ways: Ways },
    /// It is not over: this node stands still too, for so many microseconds.
    Stop { node: u64, for_us: u64 },
    /// It is not over: others that lead what this absent leader led are asked.
    Supplant { node: u64 },
    /// This absent leader is asked, and frames of these ways, which were sent to it, reach it.
    Hear { node: u64, ways: Ways },
    /// A way is as fast as before.
    Undelay { from: u64, to: u64 },
    /// It is not over: a disk has only so much room left.
    Fill { node: u64, room: Room },
    /// A disk has room again.
    Clear { node: u64 },
    /// A node's ticks come again.
    Feed { node: u64 },
    /// A node is as fast as before.
    Quicken { node: u64 },
}

impl Event {
    /// The start of a node that it belongs to, if any.
    pub(crate) const fn host(&self) -> Option<(u64, Option<Boot>)> {
        match self {
            Self::Tick { node, boot }
            | Self::Dropped { node, boot, .. }
            | Self::Meet { node, boot, .. }
            | Self::Synced { node, boot }
            | Self::Fitness { node, boot, .. }
            | Self::Applied { node, boot, .. }
            | Self::Fetched { node, boot, .. }
            | Self::Look { node, boot, .. }
            | Self::Fall { node, boot } => Some((*node, Some(*boot))),
            Self::Deliver(packet) => Some((packet.to, None)),
            Self::Ask { node, .. } | Self::Order { node, .. } => Some((*node, None)),
            Self::Resume { .. }
            | Self::Start { .. }
            | Self::Client
            | Self::Want(_)
            | Self::Cancel { .. }
            | Self::Strike(_)
            | Self::Relief(_) => None,
        }
    }
}

#[derive(Debug)]
struct Planned {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// All that is to happen.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    now: u64,
    planned: u64,
    events: BinaryHeap<Reverse<Planned>>,
}

impl Queue {
    /// How late it is, in microseconds since the run began.
    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    /// Plans an event.
    pub(crate) fn plan(&mut self, after_us: u64, event: Event) {
        self.planned += 1;
        let at = self.now + after_us;
        self.events.push(Reverse(Planned { at, order: self.planned, event }));
    }

    /// Moves on to the next event; its number tells it from all others.
    pub(crate) fn next(&mut self) -> Option<(u64, Event)> {
        let Reverse(Planned { at, order, event }) = self.events.pop()?;
        self.now = at;
        Some((order, event))
    }

    /// How many events of a kind are planned.
    pub(crate) fn count(&self, is_counted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|Reverse(planned)| is_counted(&planned.event)).count()
    }

    /// The frames under way from one node to another, in the order in which they were sent.
    pub(crate) fn under_way(&self, from: u64, to: u64) -> Vec<Packet> {
        let packets = self.events.iter().filter_map(|Reverse(planned)| {
            let Event::Deliver(packet) = &planned.event else { return None };
            ((packet.from, packet.to) == (from, to)).then_some(packet)
        });
        let mut packets: Vec<Packet> = packets.cloned().collect();
        packets.sort_unstable_by_key(|packet| packet.order);
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_moment_keep_their_order_and_time_rises() {
        let mut queue = Queue::default();
        queue.plan(20, Event::Client);
        queue.plan(10, Event::Start { node: 1 });
        queue.plan(10, Event::Start { node: 2 });
        let mut seen = Vec::new();
        while let Some((_, event)) = queue.next() {
            let node = if let Event::Start { node } = event { node } else { 0 };
            seen.push((queue.now(), node));
        }
        assert_eq!(seen, [(10, 1), (10, 2), (20, 0)]);
    }
}
