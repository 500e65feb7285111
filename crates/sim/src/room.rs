//! Room on disks: how much there is on one, and what a node knows of its own and of the others'.

use codec::{Item, RoomNotice, WriteBatch};
use multiraft::DiskRoom;
use raft_core::RunBody;
use types::NodeId;

use crate::node::TICK_US;

/// How often a node looks at its disk, and how long it waits at most before it tries again what found
/// no room, in microseconds.
pub(crate) const LOOK_US: u64 = 1_000_000;
/// How long what found no room waits at first; doubled each time.
const PAUSE_US: u64 = 20_000;
/// For how many times as long as between two notices one holds.
const NOTICES_LOST: u64 = 4;

/// How much room a disk has, least last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) enum Room {
    /// Enough.
    #[default]
    Ample,
    /// Little: its node says so, and takes nothing in from clients.
    Low,
    /// So little that it takes no commands from other nodes either; what it has taken fits.
    Closed,
    /// None for commands.
    Scarce,
    /// None at all.
    Nothing,
}

impl Room {
    /// All but the first.
    pub(crate) const SHORT: [Self; 4] = [Self::Low, Self::Closed, Self::Scarce, Self::Nothing];

    /// Whether a batch can be written.
    pub(crate) fn fits(self, batch: &WriteBatch) -> bool {
        match self {
            Self::Ample | Self::Low | Self::Closed => true,
            Self::Scarce => !has_commands(batch),
            Self::Nothing => false,
        }
    }

    /// What whoever looks at the disk finds.
    pub(crate) fn look(self) -> Found {
        Found { is_low: self >= Self::Low, is_closed: self >= Self::Closed, is_waiting: false }
    }
}

fn has_commands(batch: &WriteBatch) -> bool {
    let is_command =
        |item: &Item| matches!(item, Item::Append(run) if matches!(run.body, RunBody::Commands(_)));
    batch.items.iter().any(|item| is_command(&item.item))
}

/// What a node knows of its own disk.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Found {
    /// Whether it takes nothing in from clients.
    pub(crate) is_low: bool,
    /// Whether it takes no commands from other nodes.
    pub(crate) is_closed: bool,
    /// Whether a write waits for room.
    pub(crate) is_waiting: bool,
}

impl Found {
    /// The same, of a node whose writes wait for room or do not.
    pub(crate) const fn with_waiting(self, is_waiting: bool) -> Self {
        let Self { is_low, is_closed, .. } = self;
        Self { is_low: is_low || is_waiting, is_closed: is_closed || is_waiting, is_waiting }
    }
}

/// What a process knows of room beyond what its disk says, and when it looks again.
#[derive(Debug, Default)]
pub(crate) struct RoomWatch {
    /// Until when the other nodes' disks are low, by number, in ticks of its clock.
    low_until: Vec<u64>,
    /// When it said last that its disk is low, if that holds.
    told_at: Option<u64>,
    /// How many looks were planned; the last one counts.
    looks: u64,
    pause_us: u64,
}

impl RoomWatch {
    /// That of a process that has just begun, among so many nodes.
    pub(crate) fn new(nodes: u64) -> Self {
        let places = usize::try_from(nodes).expect("at most 7 nodes") + 1;
        Self { low_until: vec![0; places], told_at: None, looks: 0, pause_us: PAUSE_US }
    }

    /// Plans the next look: its number, and after how long it is due.
    pub(crate) fn next_look(&mut self, is_waiting: bool) -> (u64, u64) {
        self.looks += 1;
        if !is_waiting {
            self.pause_us = PAUSE_US;
            return (self.looks, LOOK_US);
        }
        let pause = self.pause_us;
        self.pause_us = (2 * pause).min(LOOK_US);
        (self.looks, pause)
    }

    /// Whether a look that was planned is due still.
    pub(crate) const fn is_due(&self, look: u64) -> bool {
        self.looks == look
    }

    /// What the others have to be told now, if anything.
    pub(crate) fn notice(&mut self, is_low: bool, now: u64) -> Option<RoomNotice> {
        let is_news = match self.told_at {
            None => is_low,
            Some(at) => !is_low || now - at >= LOOK_US,
        };
        if !is_news {
            return None;
        }
        self.told_at = is_low.then_some(now);
        let low_ms = if is_low { NOTICES_LOST * LOOK_US / 1_000 } else { 0 };
        Some(RoomNotice { low_ms: u32::try_from(low_ms).expect("a few seconds") })
    }

    /// Another node says how its disk is; whether it is low, which was not known.
    pub(crate) fn hear(&mut self, from: u64, notice: RoomNotice, tick: u64) -> bool {
        let ticks = (u64::from(notice.low_ms) * 1_000).div_ceil(TICK_US);
        let place = usize::try_from(from).expect("at most 7 nodes");
        let was_low = self.low_until[place] > tick;
        self.low_until[place] = if ticks == 0 { 0 } else { tick + ticks };
        ticks > 0 && !was_low
    }

    /// All that is known, as the groups are told it.
    pub(crate) fn known(&self, found: Found, tick: u64) -> DiskRoom {
        let low = (0..).zip(&self.low_until).filter(|(_, until)| **until > tick);
        DiskRoom {
            is_low: found.is_low,
            is_waiting: found.is_waiting,
            low_peers: low.map(|(node, _)| NodeId(node)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_low_for_as_long_as_it_says() {
        let mut watch = RoomWatch::new(3);
        let low = |watch: &RoomWatch, tick| watch.known(Found::default(), tick).low_peers;
        assert!(watch.hear(2, RoomNotice { low_ms: 4_000 }, 10));
        assert!(!watch.hear(2, RoomNotice { low_ms: 4_000 }, 20), "no news");
        assert_eq!((low(&watch, 99), low(&watch, 100)), (vec![NodeId(2)], vec![]));
        assert!(watch.hear(2, RoomNotice { low_ms: 4_000 }, 200));
        assert!(!watch.hear(2, RoomNotice { low_ms: 0 }, 201));
        assert_eq!(low(&watch, 201), []);
    }

    #[test]
    fn a_low_disk_is_told_at_once_and_again_and_so_is_its_end() {
        let mut watch = RoomWatch::new(3);
        assert_eq!(watch.notice(false, 5), None, "whoever says nothing has room");
        assert_eq!(watch.notice(true, 10), Some(RoomNotice { low_ms: 4_000 }));
        assert_eq!(watch.notice(true, LOOK_US), None);
        assert_eq!(watch.notice(true, 10 + LOOK_US), Some(RoomNotice { low_ms: 4_000 }));
        assert_eq!(watch.notice(false, 11 + LOOK_US), Some(RoomNotice { low_ms: 0 }));
        assert_eq!(watch.notice(false, 12 + LOOK_US), None);
    }

    #[test]
    fn what_waits_is_tried_again_after_pauses_that_double() {
        let mut watch = RoomWatch::new(1);
        let mut pauses = || watch.next_look(true).1 / 1_000;
        let seen: Vec<u64> = (0..8).map(|_| pauses()).collect();
        assert_eq!(seen, [20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        assert_eq!(watch.next_look(false), (9, LOOK_US));
        assert_eq!(watch.next_look(true), (10, PAUSE_US));
        assert!(watch.is_due(10) && !watch.is_due(9));
    }
}
