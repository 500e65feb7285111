//! What a node holds of one peer: the frames for it, and who it last was.
//!
//! Invariants:
//! - `newest` changes only to a boot of the same store that is not older, or to another store that
//!   the engine admitted.
//! - At most one connection that carries the peer's frames is served at a time, the latest to pass
//!   its hello, and only while it is of the `newest` incarnation. The next one's first frame is
//!   delivered after the former's last.

use parking_lot::Mutex;
use tokio::sync::{MutexGuard, Notify, watch};
use types::{BootId, NodeId, StoreId};

use crate::counters::{PeerCounters, PeerCounts};
use crate::hello::{Hello, one_line};
use crate::limits::Limits;
use crate::outbox::Outbox;

/// See the module.
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    pub(crate) outbox: Outbox,
    pub(crate) counts: PeerCounts,
    /// Told when the peer connected to us: it can be dialed, and may be another incarnation.
    called: Notify,
    newest: Mutex<Option<Incarnation>>,
    turns: watch::Sender<u64>,
    serving: tokio::sync::Mutex<()>,
    last_error: Mutex<Option<String>>,
}

/// One life of a node: a store and one opening of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Incarnation {
    pub(crate) store: StoreId,
    pub(crate) boot: BootId,
}

/// The right to deliver a peer's frames; the next connection waits until it is dropped.
pub(crate) struct InboundTurn<'a> {
    number: u64,
    turns: watch::Receiver<u64>,
    _serving: MutexGuard<'a, ()>,
}

impl From<&Hello> for Incarnation {
    fn from(hello: &Hello) -> Self {
        Self { store: hello.store, boot: hello.boot }
    }
}

impl Incarnation {
    /// Whether a node that was `self` cannot be `other` any more.
    fn outdates(self, other: Self) -> bool {
        self.store == other.store && self.boot > other.boot
    }
}

impl Peer {
    pub(crate) fn new(node: NodeId, limits: &Limits) -> Self {
        Self {
            node,
            outbox: Outbox::new(limits),
            counts: PeerCounts::default(),
            called: Notify::new(),
            newest: Mutex::new(None),
            turns: watch::Sender::new(0),
            serving: tokio::sync::Mutex::new(()),
            last_error: Mutex::new(None),
        }
    }

    /// Notes who the peer is.
    ///
    /// # Errors
    /// The newer boot of the same store that was here already.
    pub(crate) fn meet(&self, incarnation: Incarnation) -> Result<(), BootId> {
        let mut newest = self.newest.lock();
        match *newest {
            Some(newer) if newer.outdates(incarnation) => Err(newer.boot),
            Some(_) | None => {
                *newest = Some(incarnation);
                Ok(())
            }
        }
    }

    /// As [`Self::meet`], but notes nothing.
    pub(crate) fn may_meet(&self, incarnation: Incarnation) -> Result<(), BootId> {
        match *self.newest.lock() {
            Some(newer) if newer.outdates(incarnation) => Err(newer.boot),
            Some(_) | None => Ok(()),
        }
    }

    /// Ends the connection that now delivers the peer's frames and takes its place, unless the
    /// peer was met as someone else, or connected once more, in the meantime: then `None`.
    pub(crate) async fn take_inbound_turn(&self, as_who: Incarnation) -> Option<InboundTurn<'_>> {
        let mut turns = self.turns.subscribe();
        let number = {
            // Under the lock, so that an outdated connection cannot end a current one.
            let newest = self.newest.lock();
            if *newest != Some(as_who) {
                return None;
            }
            self.turns.send_modify(|turn| *turn += 1);
            *turns.borrow_and_update()
        };
        let serving = self.serving.lock().await;
        if *turns.borrow_and_update() != number {
            return None;
        }
        self.called.notify_one();
        Some(InboundTurn { number, turns, _serving: serving })
    }

    /// Ends when the peer connected to us since the last call.
    pub(crate) async fn called(&self) {
        self.called.notified().await;
    }

    /// Ends when the peer is someone else than `who`.
    pub(crate) async fn is_other_than(&self, who: Incarnation) {
        while *self.newest.lock() == Some(who) {
            self.called().await;
        }
    }

    /// Notes why the last connection or attempt ended; `None` when one came up.
    pub(crate) fn note_error(&self, error: Option<&str>) {
        *self.last_error.lock() = error.map(one_line);
    }

    /// All that is counted or held now.
    pub(crate) fn counters(&self) -> PeerCounters {
        let (is_up, queued, unacknowledged) = self.outbox.held();
        let bytes = |n| u64::try_from(n).expect("a size fits 64 bits");
        PeerCounters {
            is_up,
            queue_bytes: bytes(queued),
            unacknowledged_bytes: bytes(unacknowledged),
            last_error: self.last_error.lock().clone(),
            ..self.counts.snapshot()
        }
    }
}

impl InboundTurn<'_> {
    /// Ends when the next connection wants the turn.
    pub(crate) async fn superseded(&mut self) {
        // An error cannot be: the peer holds the sender.
        let _ = self.turns.wait_for(|turn| *turn != self.number).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn next_connection_waits_for_the_former_to_end() {
        let peer = Peer::new(NodeId(2), &Limits::default());
        peer.meet(boot(1)).unwrap();
        let mut first = peer.take_inbound_turn(boot(1)).await.unwrap();
        tokio::join!(
            async {
                first.superseded().await;
                drop(first);
            },
            async { assert!(peer.take_inbound_turn(boot(1)).await.is_some()) },
        );
    }

    #[tokio::test]
    async fn outdated_connection_gets_no_turn_and_ends_none() {
        let peer = Peer::new(NodeId(2), &Limits::default());
        peer.meet(boot(1)).unwrap();
        peer.meet(boot(2)).unwrap();
        let mut current = peer.take_inbound_turn(boot(2)).await.unwrap();
        tokio::select! {
            biased;
            turn = peer.take_inbound_turn(boot(1)) => assert!(turn.is_none()),
            () = std::future::ready(()) => panic!("it must be turned away at once"),
        }
        tokio::select! {
            biased;
            () = current.superseded() => panic!("the current connection was ended"),
            () = std::future::ready(()) => {}
        }
    }

    #[tokio::test]
    async fn older_boot_is_refused_and_another_store_is_not() {
        let peer = Peer::new(NodeId(2), &Limits::default());
        peer.meet(boot(4)).unwrap();
        assert_eq!(peer.meet(boot(3)), Err(BootId(4)));
        assert_eq!(peer.may_meet(boot(3)), Err(BootId(4)));
        peer.meet(boot(4)).unwrap();
        peer.meet(Incarnation { store: StoreId(8), boot: BootId(1) }).unwrap();
        peer.is_other_than(boot(4)).await;
    }

    fn boot(boot: u64) -> Incarnation {
        Incarnation { store: StoreId(7), boot: BootId(boot) }
    }
}
