//! How much an engine holds, sends and lets wait; every bound of the engine is here.

use codec::FrameLimits;
use raft_core::Limits as GroupLimits;
use thiserror::Error;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The limits of an engine as an operator may write them; [`EngineLimits::new`] checks them
/// together. Bytes unless a name says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawEngineLimits {
    /// What each single group holds and sends. Default: raft-core's, with messages of 2 MiB
    /// (`append_bytes_max`). All nodes should agree on `entry_bytes_max` and `append_bytes_max`.
    /// `log_cache_bytes_max` and `apply_bytes_max` are lowered to the group's share of the node's
    /// limits of the same names, if that is less.
    pub group: GroupLimits,
    /// What all groups hosted here keep of their durable logs in memory; each gets an even share,
    /// but at least 16 KiB. Default 256 MiB. Too small: replicas that lag cost disk reads. Too
    /// large: memory.
    pub log_cache_bytes_max: usize,
    /// What all groups hosted here have handed to state machines that have not applied it yet; each
    /// gets an even share, but at least 64 KiB. Default 256 MiB. Too small: state machines are fed
    /// bit by bit. Too large: memory, if they are slow.
    pub apply_bytes_max: usize,
    /// What all groups led by one worker accept that is not yet committed. Default 256 MiB, at
    /// least an entry. Too small: proposals are refused while the disk still has room. Too large:
    /// memory.
    pub uncommitted_bytes_max: usize,
    /// The largest frame to and from another node. Default 4 MiB, more than a message. All nodes
    /// must agree on it.
    pub frame_bytes_max: usize,
    /// Frames that wait for one peer to take them. Default 64 MiB, more than a frame. Too small:
    /// frames are dropped in bursts. Too large: a peer that stalls costs memory, and what it gets
    /// afterwards is old.
    pub peer_queue_bytes_max: usize,
    /// Frames that came and that no worker has taken yet, all peers together. Default 64 MiB, more
    /// than a frame. Past it frames are dropped, and the senders repeat them. Too small: a busy
    /// moment costs retransmissions. Too large: memory.
    pub inbox_frame_bytes_max: usize,
    /// Entries that wait for the log writer. Default 256 MiB, more than a message. Past it, entries
    /// from peers are dropped until the disk has caught up, and the peers repeat them; what is
    /// proposed here has `proposal_bytes_max`. Too small: retransmissions. Too large: memory, if
    /// the disk stalls.
    pub log_queue_bytes_max: usize,
    /// Commands proposed here whose callers wait, all groups together, 64 bytes charged for each.
    /// Default 256 MiB, at least an entry. Past it proposals are refused.
    pub proposal_bytes_max: usize,
    /// Reads whose callers wait; a number. Default 65,536, at least 1.
    pub reads_max: usize,
    /// Calls that wait for one worker to take them; a number. Default 8,192, 1 to 1,048,576. Past
    /// it they are refused. Too large: whoever is refused learns it late.
    pub inbox_calls_max: usize,
    /// The log on disk. Default 8 GiB, at least 1 MiB. Past it proposals are refused with budget
    /// `log`; from four fifths of it a warning is logged. It shrinks only by compaction.
    pub log_bytes_max: u64,
    /// How long a write to the log may take before this node gives up leading until it has come
    /// back; milliseconds, default 1,000, 10 to 600,000. The default is twice the shortest election
    /// timeout: a client is held up for not much longer by a disk that stands still than by a node
    /// that died. Too small: a disk that is only busy costs elections. Too large: whoever writes to
    /// groups led here waits as long.
    pub disk_stall_ms: u64,
    /// How often to look how much room the disk has while nothing is written, and how long a write
    /// that found none waits at most before it is tried again; milliseconds, default 1,000, 10 to
    /// 60,000. Too small: the log writer is busy for nothing. Too large: others learn late that
    /// this node had better not lead, and clients that there is room again.
    pub disk_look_ms: u64,
    /// What one turn of a worker takes in before it hands on what follows. Default 8 MiB, at least
    /// 64 KiB. Too small: commits and frames carry little. Too large: the first of a turn waits for
    /// the last.
    pub turn_bytes_max: usize,
}

impl Default for RawEngineLimits {
    fn default() -> Self {
        Self {
            group: GroupLimits { append_bytes_max: 2 * MIB, ..GroupLimits::default() },
            log_cache_bytes_max: 256 * MIB,
            apply_bytes_max: 256 * MIB,
            uncommitted_bytes_max: 256 * MIB,
            frame_bytes_max: 4 * MIB,
            peer_queue_bytes_max: 64 * MIB,
            inbox_frame_bytes_max: 64 * MIB,
            log_queue_bytes_max: 256 * MIB,
            proposal_bytes_max: 256 * MIB,
            reads_max: 64 * KIB,
            inbox_calls_max: 8 * KIB,
            log_bytes_max: 8 << 30,
            disk_stall_ms: 1000,
            disk_look_ms: 1000,
            turn_bytes_max: 8 * MIB,
        }
    }
}

/// The limits of an engine, checked: an entry fits into a message, a message into a frame, and a
/// frame into every queue that it stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineLimits {
    raw: RawEngineLimits,
}

/// Which limit is out of its range, by itself or beside the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum LimitsError {
    /// It is too small.
    #[error("{field} is {found}, expected at least {least}: {why}")]
    TooSmall {
        /// The limit.
        field: &'static str,
        /// What it is.
        found: u64,
        /// What it is at least.
        least: u64,
        /// What would not work.
        why: &'static str,
    },
    /// It is too large.
    #[error("{field} is {found}, expected at most {most}")]
    TooLarge {
        /// The limit.
        field: &'static str,
        /// What it is.
        found: u64,
        /// What it is at most.
        most: u64,
    },
}

/// What an entry is charged at most beside its own bytes, by whoever queues or bundles it.
pub(crate) const ENTRY_CHARGE: usize = 64;

/// A worker's queue of calls takes its memory at once.
const INBOX_CALLS_MAX: usize = MIB;

/// What a message and a frame add to the entries they carry: generous, and far below the steps
/// between the default limits.
const ENVELOPE_BYTES: usize = KIB;

/// Between these a disk may be said to stand still.
const DISK_STALL_MS_MIN: u64 = 10;
const DISK_STALL_MS_MAX: u64 = 600_000;

/// Between these a disk may be looked at.
const DISK_LOOK_MS_MIN: u64 = 10;
const DISK_LOOK_MS_MAX: u64 = 60_000;

impl EngineLimits {
    /// Checks the limits together.
    ///
    /// # Errors
    /// Names the first that is too small, and what it has to exceed; the caller shows it to whoever
    /// wrote it.
    pub fn new(raw: RawEngineLimits) -> Result<Self, LimitsError> {
        let group = raw.group;
        let entry = group.entry_bytes_max.saturating_add(ENTRY_CHARGE);
        let message = group.append_bytes_max.saturating_add(ENVELOPE_BYTES);
        let frame = raw.frame_bytes_max.saturating_add(ENTRY_CHARGE);
        let fits_entry = "the largest entry does not fit";
        let fits_message = "the largest message does not fit";
        let fits_frame = "the largest frame does not fit";
        let at_least_one = "nothing would ever be taken";
        let rules = [
            ("entry_bytes_max", group.entry_bytes_max, KIB, "hardly any command fits"),
            ("append_bytes_max", group.append_bytes_max, entry, fits_entry),
            ("inflight_bytes_max", group.inflight_bytes_max, entry, fits_entry),
            ("inflight_appends_max", group.inflight_appends_max, 1, at_least_one),
            ("the group's uncommitted_bytes_max", group.uncommitted_bytes_max, entry, fits_entry),
            ("uncommitted_bytes_max", raw.uncommitted_bytes_max, entry, fits_entry),
            ("log_queue_bytes_max", raw.log_queue_bytes_max, message, fits_message),
            ("proposal_bytes_max", raw.proposal_bytes_max, entry, fits_entry),
            ("frame_bytes_max", raw.frame_bytes_max, message, fits_message),
            ("peer_queue_bytes_max", raw.peer_queue_bytes_max, frame, fits_frame),
            ("inbox_frame_bytes_max", raw.inbox_frame_bytes_max, frame, fits_frame),
            ("turn_bytes_max", raw.turn_bytes_max, 64 * KIB, "a turn would carry hardly anything"),
            ("reads_max", raw.reads_max, 1, at_least_one),
            ("inbox_calls_max", raw.inbox_calls_max, 1, at_least_one),
        ];
        for (field, found, least, why) in rules {
            if found < least {
                let (found, least) = (found as u64, least as u64);
                return Err(LimitsError::TooSmall { field, found, least, why });
            }
        }
        if raw.inbox_calls_max > INBOX_CALLS_MAX {
            let (found, most) = (raw.inbox_calls_max as u64, INBOX_CALLS_MAX as u64);
            return Err(LimitsError::TooLarge { field: "inbox_calls_max", found, most });
        }
        if raw.log_bytes_max < MIB as u64 {
            let (found, least) = (raw.log_bytes_max, MIB as u64);
            let why = "an empty log takes nearly as much";
            return Err(LimitsError::TooSmall { field: "log_bytes_max", found, least, why });
        }
        let times = [
            (
                ("disk_stall_ms", raw.disk_stall_ms),
                DISK_STALL_MS_MIN..=DISK_STALL_MS_MAX,
                "disks that work take longer at times",
            ),
            (
                ("disk_look_ms", raw.disk_look_ms),
                DISK_LOOK_MS_MIN..=DISK_LOOK_MS_MAX,
                "the log writer would do little else",
            ),
        ];
        for ((field, found), range, why) in times {
            let (least, most) = range.into_inner();
            if found < least {
                return Err(LimitsError::TooSmall { field, found, least, why });
            }
            if found > most {
                return Err(LimitsError::TooLarge { field, found, most });
            }
        }
        Ok(Self { raw })
    }

    /// What was checked.
    #[must_use]
    pub const fn raw(&self) -> &RawEngineLimits {
        &self.raw
    }

    /// What is taken from peers: as much as a peer with the same limits sends.
    pub(crate) fn frame(&self) -> FrameLimits {
        let entries_bytes_max = self.raw.group.append_bytes_max + ENVELOPE_BYTES;
        let frame_bytes_max = self.raw.frame_bytes_max;
        FrameLimits { frame_bytes_max, entries_bytes_max, ..FrameLimits::default() }
    }

    /// What each group may hold on a node that hosts `groups` of them.
    pub(crate) fn group_of(&self, groups: usize) -> GroupLimits {
        let share =
            |total: usize, least: usize, own: usize| own.min((total / groups.max(1)).max(least));
        let raw = &self.raw;
        GroupLimits {
            log_cache_bytes_max: share(
                raw.log_cache_bytes_max,
                16 * KIB,
                raw.group.log_cache_bytes_max,
            ),
            apply_bytes_max: share(raw.apply_bytes_max, 64 * KIB, raw.group.apply_bytes_max),
            ..raw.group
        }
    }

    /// From how many bytes on the log is worth a warning.
    pub(crate) const fn log_bytes_warn(&self) -> u64 {
        self.raw.log_bytes_max / 5 * 4
    }
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self::new(RawEngineLimits::default()).expect("the defaults fit together")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_ordered() {
        let raw = *EngineLimits::default().raw();
        let sizes = [
            raw.group.entry_bytes_max,
            raw.group.append_bytes_max,
            raw.frame_bytes_max,
            raw.peer_queue_bytes_max,
        ];
        assert!(sizes.is_sorted_by(|a, b| a < b), "{sizes:?}");
        assert!(EngineLimits::default().frame().entries_bytes_max < raw.frame_bytes_max);
    }

    #[test]
    fn many_groups_share_what_a_node_may_hold() {
        let limits = EngineLimits::default();
        assert_eq!(limits.group_of(1), limits.raw().group);
        let of_thousand = limits.group_of(1000);
        assert_eq!(of_thousand.log_cache_bytes_max, 256 * MIB / 1000);
        let of_million = limits.group_of(1_000_000);
        assert_eq!(of_million.log_cache_bytes_max, 16 * KIB);
        assert_eq!(of_million.apply_bytes_max, 64 * KIB);
    }

    #[test]
    fn limits_that_contradict_each_other_are_named() {
        let raw = RawEngineLimits::default();
        let refused = |raw| match EngineLimits::new(raw) {
            Err(LimitsError::TooSmall { field, .. } | LimitsError::TooLarge { field, .. }) => field,
            Ok(limits) => panic!("{limits:?}"),
        };
        let group = GroupLimits { entry_bytes_max: 2 * MIB, ..raw.group };
        assert_eq!(refused(RawEngineLimits { group, ..raw }), "append_bytes_max");
        let frame_bytes_max = raw.group.append_bytes_max;
        assert_eq!(refused(RawEngineLimits { frame_bytes_max, ..raw }), "frame_bytes_max");
        let peer_queue_bytes_max = raw.frame_bytes_max;
        let wrong = RawEngineLimits { peer_queue_bytes_max, ..raw };
        assert_eq!(refused(wrong), "peer_queue_bytes_max");
        assert_eq!(refused(RawEngineLimits { reads_max: 0, ..raw }), "reads_max");
        assert_eq!(refused(RawEngineLimits { log_bytes_max: 0, ..raw }), "log_bytes_max");
        let wrong = RawEngineLimits { inbox_calls_max: usize::MAX, ..raw };
        assert_eq!(refused(wrong), "inbox_calls_max");
        for disk_stall_ms in [9, 600_001] {
            assert_eq!(refused(RawEngineLimits { disk_stall_ms, ..raw }), "disk_stall_ms");
        }
        for disk_look_ms in [9, 60_001] {
            assert_eq!(refused(RawEngineLimits { disk_look_ms, ..raw }), "disk_look_ms");
        }
        let wrong = EngineLimits::new(RawEngineLimits { proposal_bytes_max: 5, ..raw });
        assert_eq!(
            wrong.unwrap_err().to_string(),
            "proposal_bytes_max is 5, expected at least 1048640: the largest entry does not fit"
        );
    }
}
