//! Which peers have no room on their disks, as they say themselves, and how this node tells them.
//!
//! A node whose disk is low says so once in a while, each time for a little longer than that; one
//! that says nothing has room. So what is known here is never older than that, and a node that died
//! or was cut off while its disk was low is not taken for low for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use codec::{Notice, RoomNotice, encode_notice};
use transport::{Class, Link};
use types::NodeId;

use crate::clock::Clock;

/// What peers said.
#[derive(Debug)]
pub(crate) struct PeerRooms {
    clock: Clock,
    /// Sorted; until when each is low, in the clock's milliseconds; 0 if it said that it is not.
    low_until: Vec<(NodeId, AtomicU64)>,
}

impl PeerRooms {
    /// Nobody is low. `peers` is sorted.
    pub(crate) fn new(clock: Clock, peers: &[NodeId]) -> Self {
        let low_until = peers.iter().map(|node| (*node, AtomicU64::new(0))).collect();
        Self { clock, low_until }
    }

    /// A peer tells how its disk is.
    pub(crate) fn heard(&self, from: NodeId, notice: RoomNotice) {
        let Ok(position) = self.low_until.binary_search_by_key(&from, |(node, _)| *node) else {
            return;
        };
        let until = match u64::from(notice.low_ms).min(LOW_MS_MAX) {
            0 => 0,
            low_ms => self.clock.now_ms().saturating_add(low_ms),
        };
        self.low_until[position].1.store(until, Ordering::Relaxed);
    }

    /// The peers whose disks are low, sorted. Reads the clock only if some said so.
    pub(crate) fn low(&self) -> Vec<NodeId> {
        let said = |(_, until): &&(NodeId, AtomicU64)| until.load(Ordering::Relaxed) > 0;
        if !self.low_until.iter().any(|peer| said(&peer)) {
            return Vec::new();
        }
        let now = self.clock.now_ms();
        let is_low = |(_, until): &&(NodeId, AtomicU64)| until.load(Ordering::Relaxed) > now;
        self.low_until.iter().filter(is_low).map(|(node, _)| *node).collect()
    }
}

/// Tells the peers how this node's disk is.
pub(crate) struct RoomTeller {
    link: Arc<dyn Link>,
    peers: Vec<NodeId>,
    every: Duration,
    /// When they were told last that it is low, if that holds.
    told_at: Option<Instant>,
}

impl RoomTeller {
    /// Nobody was told anything, which is that there is room.
    pub(crate) fn new(link: Arc<dyn Link>, peers: Vec<NodeId>, every: Duration) -> Self {
        Self { link, peers, every, told_at: None }
    }

    /// Says how the disk is, if that is news or was said long enough ago.
    pub(crate) fn tell(&mut self, is_low: bool) {
        let low_ms = match self.told_at {
            None if !is_low => return,
            Some(at) if is_low && at.elapsed() < self.every => return,
            None | Some(_) if is_low => {
                let low_ms = self.every.as_millis().saturating_mul(TELLINGS_LOST);
                u32::try_from(low_ms).unwrap_or(u32::MAX)
            }
            None | Some(_) => 0,
        };
        self.told_at = is_low.then(Instant::now);
        let notice = encode_notice(&Notice::Room(RoomNotice { low_ms }));
        for peer in &self.peers {
            self.link.send(*peer, notice.clone(), Class::Data);
        }
    }
}

/// For how many times as long as between two notices one holds: a few may get lost, or come late
/// from a node that is busy.
const TELLINGS_LOST: u128 = 4;

/// For how long a notice holds at most, whatever it says: four times the largest pause between two.
const LOW_MS_MAX: u64 = 240_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_low_for_as_long_as_it_says() {
        let clock = Clock::start(Duration::from_millis(50));
        let rooms = PeerRooms::new(clock, &[NodeId(2), NodeId(3)]);
        let hear = |node, low_ms| rooms.heard(NodeId(node), RoomNotice { low_ms });
        assert_eq!(rooms.low(), []);
        hear(3, 60_000);
        hear(7, 60_000);
        assert_eq!(rooms.low(), [NodeId(3)]);
        hear(2, u32::MAX);
        assert_eq!(rooms.low(), [NodeId(2), NodeId(3)]);
        hear(3, 0);
        assert_eq!(rooms.low(), [NodeId(2)]);
        hear(2, 1);
        let until = Instant::now() + Duration::from_millis(3);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        assert_eq!(rooms.low(), []);
    }
}
