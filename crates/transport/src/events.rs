//! What a link tells its node.

use bytes::Bytes;
use types::{BootId, NodeId, StoreId};

use crate::hello::Hello;

/// The node's side of a link: everything that happens on it is told here.
///
/// Invariants that an implementation may rely on:
/// - Every call comes from a task of the link, never from inside [`Link::send`](crate::Link::send):
///   an implementation may take the locks it holds while sending, and may itself send.
/// - `admit` is called, and answered with `Ok`, before `up` or `frame` for that connection.
/// - For one peer `up` and `down` alternate, beginning with `up`.
/// - Once a frame of a peer's newer boot was delivered, none of its older boot is.
///
/// What it must keep: no call may block, for it holds up a thread of the runtime and, through
/// missing acknowledgements, finally breaks the connection. Whoever has no room for a frame drops
/// it. A panic ends the task that called, and with it that peer's traffic.
pub trait Events: Send + Sync {
    /// Judges a peer's hello that already passed the transport's own checks (protocol, cluster,
    /// node id, digest, boot not older than seen since this start): is it the store and boot that
    /// this node knows?
    ///
    /// **Effects**: called for both directions and at every reconnect; must be idempotent.
    ///
    /// # Errors
    /// The reason, naming found and expected: it is sent to the peer (the first
    /// [`REASON_BYTES_MAX`](crate::REASON_BYTES_MAX) bytes) and comes back through `refused`.
    fn admit(&self, hello: &Hello) -> Result<(), String>;

    /// Takes one frame, exactly as the peer sent it; never empty.
    ///
    /// **Shape**: `body` may be a slice of a read buffer of up to 64 KiB that lives as long as any
    /// slice of it: who keeps a small part for long copies it.
    fn frame(&self, from: NodeId, body: Bytes);

    /// Says that frames to `node` now leave, and which store and boot take them.
    ///
    /// The other direction has a connection of its own: frames of `node` may come before this.
    fn up(&self, node: NodeId, store: StoreId, boot: BootId);

    /// Says that frames to `node` no longer leave. All that it had not acknowledged is reported
    /// by `dropped`, before or after this call.
    fn down(&self, node: NodeId);

    /// Gives back a frame that is not known to have arrived: pushed out of a full queue, sent while
    /// the peer was not connected, too large, or unacknowledged when the connection broke (such a
    /// one may have arrived all the same).
    fn dropped(&self, to: NodeId, body: Bytes);

    /// Says that a connection was refused, by this node or by the other, and why.
    ///
    /// **Shape**: `peer` is the node that was dialed or that the caller claimed to be, `None` if
    /// it did not get so far; `reason` is one line, control characters replaced.
    fn refused(&self, peer: Option<NodeId>, reason: &str);
}
