//! How a node behaves towards all its groups.

use codec::FrameLimits;
use raft_core::{Limits, Timing};
use types::Tick;

/// What [`crate::MultiRaft::new`] is told. Cheap to copy; every field has a default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeSettings {
    /// How long groups wait; all nodes should agree on it. In ticks.
    pub timing: Timing,
    /// How much each single group holds and sends.
    pub limits: Limits,
    /// What all groups led here together accept that is not yet committed. Bytes, default 256 MiB.
    /// Too small: proposals are refused while the disk still has room. Too large: memory.
    pub uncommitted_bytes_max: usize,
    /// What a frame holds at most; a single message above it still goes, alone. Nodes take what
    /// these limits allow, so that all nodes should agree on them.
    pub frame: FrameLimits,
    /// The first tick at which this node votes, or asks for votes, in groups that it found in its
    /// store: the promises of its last run have run out by then. Default 0, for a new store.
    pub no_vote_before: Tick,
    /// What the groups draw their election timeouts from, together with node and group. Default 0.
    pub seed: u64,
    /// Send every message in a frame of its own, heartbeats of each group included, as it comes.
    /// Default off. Costs frames; what the groups decide is the same.
    pub plain: bool,
}

impl Default for NodeSettings {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            timing: Timing::default(),
            limits: Limits::default(),
            uncommitted_bytes_max: 256 * MIB,
            frame: FrameLimits::default(),
            no_vote_before: Tick(0),
            seed: 0,
            plain: false,
        }
    }
}

/// SplitMix64's mixing function: makes neighbouring inputs differ in every bit.
pub(crate) const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use raft_core::{CommandsBuilder, EntryHeader, EntryRun, RunBody};
    use types::{LogIndex, Term};

    use super::*;

    #[test]
    fn frames_have_room_for_the_largest_append() {
        let NodeSettings { limits, frame, .. } = NodeSettings::default();
        assert!(frame.frame_bytes_max > frame.entries_bytes_max);
        // One append is at most what fits, or one entry alone.
        assert!(frame.entries_bytes_max >= limits.append_bytes_max.max(limits.entry_bytes_max));
        // A log of single entries makes as many runs as their fixed charge leaves room for.
        let mut one = CommandsBuilder::default();
        one.push(EntryHeader::default(), b"");
        let body = RunBody::Commands(one.take().unwrap());
        let cost = EntryRun { first: LogIndex(1), term: Term(1), body }.cost();
        assert!(frame.runs_max >= limits.append_bytes_max / cost);
    }

    #[test]
    fn neighbouring_seeds_are_far_apart() {
        assert!((mix(1) ^ mix(2)).count_ones() > 16);
    }
}
