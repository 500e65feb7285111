//! A node's end of its links to all its peers, whatever carries them.

use std::collections::BTreeMap;
use std::pin::Pin;

use bytes::Bytes;
use types::NodeId;

use crate::counters::LinkCounters;

/// What a frame is, as far as a full queue cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Merged heartbeats and their answers: small, sent each interval, and worth little once the
    /// next one exists.
    ///
    /// Beats overtake data, so that a peer with 64 MiB of appends before it still hears that its
    /// leaders live; and they are droppable first: their budget is small and apart, so a link that
    /// stands still keeps only the newest, and they never cost a data frame its place.
    Beat,
    /// Everything else: appends, votes, read rounds, acknowledgements. Losing one costs a resend.
    Data,
}

/// Ends when all tasks of the link have ended. Dropping it does not undo the shutdown.
pub type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A node's end of its links to all its peers.
///
/// It may lose, repeat and reorder frames; it never alters one, and never blocks its caller. Two
/// implementations: [`Transport`](crate::Transport) over TCP and
/// [`InProcessLink`](crate::InProcessLink) within one process; [`conformance`](crate::conformance)
/// says what both promise.
pub trait Link: Send + Sync {
    /// Queues a frame for a peer.
    ///
    /// **Shape**: `body` has 1 to `frame_bytes_max` bytes; an empty one is no frame and is ignored.
    /// **Effects**: never blocks and never calls [`Events`](crate::Events). If the queue of its
    /// class is full its oldest frames give way; if the peer is not connected or not known, or the
    /// body too large, this very frame is dropped. Each dropped frame is then reported through
    /// [`Events::dropped`](crate::Events::dropped); after `shutdown` frames vanish unreported.
    fn send(&self, to: NodeId, body: Bytes, class: Class);

    /// What happened so far, counted per peer; a snapshot, not cut at one instant.
    fn counters(&self) -> LinkCounters;

    /// Begins to end all connections and tasks; the answer ends when they have ended.
    ///
    /// **Effects**: queued and unacknowledged frames are reported dropped, connected peers `down`;
    /// after the end nothing is reported any more. No task waits for a peer, so the end comes
    /// within milliseconds unless a call of [`Events`](crate::Events) blocks.
    fn shutdown(&self) -> Stopped;
}

/// Why a link cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node is listed as its own peer.
    #[error("node {node} is listed among its own peers")]
    OwnPeer {
        /// This node.
        node: NodeId,
    },
    /// A peer is listed twice.
    #[error("node {node} is listed twice among the peers")]
    PeerTwice {
        /// The peer.
        node: NodeId,
    },
    /// The listener cannot be used by the runtime.
    #[error("the listener for peers cannot be used: {0}")]
    Listener(#[source] std::io::Error),
}

/// Turns a list of peers into a map.
///
/// # Errors
/// The node itself or a peer twice.
pub(crate) fn unique_peers<T>(
    own: NodeId,
    peers: impl IntoIterator<Item = (NodeId, T)>,
) -> Result<BTreeMap<NodeId, T>, StartError> {
    let mut unique = BTreeMap::new();
    for (node, value) in peers {
        if node == own {
            return Err(StartError::OwnPeer { node });
        }
        if unique.insert(node, value).is_some() {
            return Err(StartError::PeerTwice { node });
        }
    }
    Ok(unique)
}
