//! Room on the disks of the nodes: where there is none, others lead, and nothing new is begun that a
//! majority could not write.
//!
//! A node whose disk is low goes on leading what nobody else can: somebody has to let clients read.
//! It hands a group over as soon as the replica of a node with room has caught up. Where that does
//! not work out it tries again, ever more rarely, so that groups do not wander about.
//!
//! Invariant: leadership is offered only to nodes that are not known to be low, so that it stays
//! where it is when all are.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use raft_core::{EntryRun, MessageBody, PeerStatus, RunBody, quorum};
use types::{LogIndex, NodeId, ReplicaId, Tick};

use crate::MultiRaft;
use crate::groups::{Hosted, Slot};

/// What is known of the room on disks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DiskRoom {
    /// Whether this node's disk is low: it should begin nothing new.
    pub is_low: bool,
    /// Whether writes of this node wait for room. Only beside `is_low`.
    pub is_waiting: bool,
    /// The other nodes whose disks are low, sorted.
    pub low_peers: Vec<NodeId>,
}

impl DiskRoom {
    /// Whether all have room.
    fn is_ample(&self) -> bool {
        !self.is_low && self.low_peers.is_empty()
    }
}

/// What is known of the room, and what was done about it.
#[derive(Default, Debug)]
pub(crate) struct Room {
    told: DiskRoom,
    /// When to look again who could take over.
    look_at: Tick,
    /// Groups that were offered to others in vain so far.
    offers: BTreeMap<Slot, Offer>,
}

/// An offer of leadership.
#[derive(Clone, Copy, Debug)]
struct Offer {
    /// When the next one may follow, and how long that is after this one.
    next: Tick,
    pause: u64,
}

impl MultiRaft {
    /// Says where there is room; repetition changes nothing.
    ///
    /// **Effects**: while this node's disk is low, it hands each group that it leads to a node with
    /// room, as [`MultiRaft::transfer_leader`] does, as soon as one has caught up. Proposals to a
    /// group are refused while too few of its nodes have room, and are there, for a majority. Nothing
    /// else changes:
    /// votes, acknowledgements and reads go on. Whether to refuse proposals because this node's own
    /// disk is low is for the caller, who knows the figures.
    pub fn set_disk_room(&mut self, room: DiskRoom) {
        if !room.is_low {
            self.room.offers.clear();
        }
        // Who has room may have changed.
        self.room.look_at = self.groups.now();
        self.room.told = room;
    }

    /// Where there is room, as it was told last.
    #[must_use]
    pub const fn disk_room(&self) -> &DiskRoom {
        &self.room.told
    }

    /// Offers what is led here to those who have room, if this node has none.
    pub(crate) fn make_way(&mut self) {
        let now = self.groups.now();
        if !self.room.told.is_low || now < self.room.look_at {
            return;
        }
        let timing = self.settings.timing;
        self.room.look_at = now.after(timing.heartbeat_ticks());
        for slot in self.groups.led() {
            let before = self.room.offers.get(&slot).copied();
            if before.is_some_and(|offer| now < offer.next) {
                continue;
            }
            let Some(to) = self.successor(slot) else { continue };
            // Half of the pause is what a handover takes if it comes to nothing.
            let pause_min = 2 * timing.election_ticks_min();
            let pause_max = OFFER_PAUSES_MAX * pause_min;
            let pause = before.map_or(pause_min, |offer| (2 * offer.pause).min(pause_max));
            self.room.offers.insert(slot, Offer { next: now.after(pause), pause });
            // Refused if there is one under way, or nobody can take over yet.
            let _ = self.groups.touch(slot).node.transfer_leader(to);
        }
    }

    /// Who should lead the group instead of this node: of the voters that are there and have room
    /// the most up to date, if it has everything that is committed.
    fn successor(&self, slot: Slot) -> Option<ReplicaId> {
        let hosted = self.groups.get(slot);
        let has_room = |replica: ReplicaId| {
            let node = hosted.node_of(replica);
            node.is_some_and(|node| node != self.node && !self.is_low_peer(node))
        };
        let configuration = hosted.node.configuration();
        if !configuration.replicas().any(|replica| has_room(replica.id)) {
            return None;
        }
        let status = hosted.node.status();
        let may_lead = |peer: &&PeerStatus| {
            has_room(peer.replica)
                && configuration.is_voter_throughout(peer.replica)
                && self.is_there(peer)
                && peer.matched >= status.committed
        };
        let fit: Vec<&PeerStatus> = status.peers.iter().filter(may_lead).collect();
        let matched: LogIndex = fit.iter().map(|peer| peer.matched).max()?;
        let best: Vec<ReplicaId> =
            fit.iter().filter(|peer| peer.matched == matched).map(|peer| peer.replica).collect();
        // Spread over those who are as good, group by group.
        best.get(slot.position() % best.len()).copied()
    }

    fn is_low_peer(&self, node: NodeId) -> bool {
        self.room.told.low_peers.binary_search(&node).is_ok()
    }

    /// Whether too few nodes of the group have room for a majority. Where some have none, one that is
    /// not heard counts as one of them: with it there is no majority either, and whoever has no room
    /// answers, so that nobody ever steps down for it.
    pub(crate) fn has_full_majority(&self, hosted: &Hosted) -> bool {
        let room = &self.room.told;
        if room.low_peers.is_empty() {
            return false;
        }
        let configuration = hosted.node.configuration();
        let is_low = |replica: ReplicaId| {
            hosted.node_of(replica).is_some_and(|node| {
                if node == self.node { room.is_low } else { self.is_low_peer(node) }
            })
        };
        if !configuration.replicas().any(|replica| is_low(replica.id)) {
            return false;
        }
        let peers = hosted.node.status().peers;
        let is_silent = |replica: ReplicaId| {
            peers.iter().any(|peer| peer.replica == replica && !self.is_there(peer))
        };
        quorum::is_lost(configuration, |replica| is_low(replica) || is_silent(replica))
    }

    /// Whether a replica has answered this leader lately.
    fn is_there(&self, peer: &PeerStatus) -> bool {
        let silent_after = self.settings.timing.election_ticks_min();
        self.groups.now().since(peer.heard_at) < silent_after
    }

    /// The groups led here whose writes wait for room, here or at a majority; looked at only if
    /// somebody has none.
    pub(crate) fn groups_without_room(&self) -> Vec<Slot> {
        if self.room.told.is_ample() {
            return Vec::new();
        }
        let waits = self.room.told.is_waiting;
        let is_stuck = |slot: &Slot| waits || self.has_full_majority(self.groups.get(*slot));
        self.groups.led().into_iter().filter(is_stuck).collect()
    }
}

/// Whether a message brings commands to be written: a node whose disk is full drops it, since what
/// cannot be written would only hold up what can. Everything else it takes: who leads, votes and reads
/// does not depend on how far a log is, and what a leader begins its term with finds room to the end.
#[must_use]
pub fn brings_commands(body: &MessageBody) -> bool {
    let has_commands =
        |runs: &[EntryRun]| runs.iter().any(|run| matches!(run.body, RunBody::Commands(_)));
    matches!(body, MessageBody::Append { runs, .. } if has_commands(runs))
}

/// How much longer the pauses between offers may get.
const OFFER_PAUSES_MAX: u64 = 32;
