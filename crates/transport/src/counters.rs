//! What happened on the links, counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use types::NodeId;

/// A node's counters; all count since its start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkCounters {
    /// Per configured peer.
    pub peers: BTreeMap<NodeId, PeerCounters>,
    /// Incoming connections closed before their hello was through, because too many were.
    pub handshakes_evicted: u64,
    /// Incoming connections that failed before their sender was known as a peer.
    pub strangers: u64,
    /// Drop reports that were discarded because too many waited for [`Events`](crate::Events).
    pub reports_lost: u64,
}

/// One peer's counters. Bytes are those of frame bodies, without headers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerCounters {
    /// Whether frames to it leave now.
    pub is_up: bool,
    /// Frames written to it; some may not have arrived.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Frames received from it and delivered.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Frames to it that were dropped: see [`Events::dropped`](crate::Events::dropped).
    pub frames_dropped: u64,
    /// Their bytes.
    pub bytes_dropped: u64,
    /// Times that the link to it came up; reconnects are all but the first.
    pub connects: u64,
    /// Attempts to connect to it that failed or were refused.
    pub connect_failures: u64,
    /// Connections, either way, refused by this node or by the peer.
    pub refusals: u64,
    /// Connections closed because a frame's checksum was wrong.
    pub crc_errors: u64,
    /// Connections closed because of another damage: a length above the cap, a wrong answer.
    pub protocol_errors: u64,
    /// Bytes queued for it now, as charged against the limits.
    pub queue_bytes: u64,
    /// Bytes written but not yet acknowledged now, charged likewise.
    pub unacknowledged_bytes: u64,
    /// Why the last connection or attempt ended, until the next one comes up.
    pub last_error: Option<String>,
}

/// A counter that only rises. Relaxed: counters order nothing.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The live side of [`PeerCounters`].
#[derive(Default)]
pub(crate) struct PeerCounts {
    pub(crate) frames_out: Count,
    pub(crate) bytes_out: Count,
    pub(crate) frames_in: Count,
    pub(crate) bytes_in: Count,
    pub(crate) frames_dropped: Count,
    pub(crate) bytes_dropped: Count,
    pub(crate) connects: Count,
    pub(crate) connect_failures: Count,
    pub(crate) refusals: Count,
    pub(crate) crc_errors: Count,
    pub(crate) protocol_errors: Count,
}

impl PeerCounts {
    /// The counters as a value; what is not counted but held (queue, state) is left at rest.
    pub(crate) fn snapshot(&self) -> PeerCounters {
        PeerCounters {
            frames_out: self.frames_out.value(),
            bytes_out: self.bytes_out.value(),
            frames_in: self.frames_in.value(),
            bytes_in: self.bytes_in.value(),
            frames_dropped: self.frames_dropped.value(),
            bytes_dropped: self.bytes_dropped.value(),
            connects: self.connects.value(),
            connect_failures: self.connect_failures.value(),
            refusals: self.refusals.value(),
            crc_errors: self.crc_errors.value(),
            protocol_errors: self.protocol_errors.value(),
            ..PeerCounters::default()
        }
    }
}
