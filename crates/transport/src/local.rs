//! This node, as all its links share it: who it is, its peers, its events and its tasks.
//!
//! Every call of [`Events`] but `frame` is made here or in [`Reports`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use types::NodeId;

use crate::counters::{Count, LinkCounters};
use crate::events::Events;
use crate::hello::{Hello, one_line};
use crate::limits::Limits;
use crate::link::{Class, Stopped};
use crate::peer::{Incarnation, Peer};
use crate::refusal::{Expected, Refusal, check};
use crate::reports::Reports;
use crate::tasks::Tasks;
use crate::told::ToldRefusals;

/// See the module.
pub(crate) struct Local {
    pub(crate) hello: Hello,
    pub(crate) limits: Limits,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) peers: BTreeMap<NodeId, Arc<Peer>>,
    pub(crate) tasks: Tasks,
    pub(crate) handshakes_evicted: Count,
    pub(crate) strangers: Count,
    told: ToldRefusals,
    reports: Reports,
}

impl Local {
    /// Begins with no peer connected; the caller spawns the tasks that connect.
    ///
    /// **Shape**: `peers` holds each peer once, and not this node.
    pub(crate) fn new(
        hello: Hello,
        limits: Limits,
        peers: impl IntoIterator<Item = NodeId>,
        events: Arc<dyn Events>,
        tasks: Tasks,
    ) -> Arc<Self> {
        let peers: BTreeMap<_, _> =
            peers.into_iter().map(|node| (node, Arc::new(Peer::new(node, &limits)))).collect();
        let reports = Reports::new(limits.held_bytes_max().saturating_mul(peers.len().max(1)));
        let (handshakes_evicted, strangers) = (Count::default(), Count::default());
        let local = Arc::new(Self {
            hello,
            limits,
            events,
            peers,
            tasks,
            handshakes_evicted,
            strangers,
            told: ToldRefusals::default(),
            reports,
        });
        let reporter = Arc::clone(&local);
        local.tasks.spawn(async move {
            reporter.reports.run(&*reporter.events, &reporter.tasks).await;
        });
        local
    }

    /// See [`Link::send`](crate::Link::send).
    pub(crate) fn send(&self, to: NodeId, body: Bytes, class: Class) {
        if body.is_empty() {
            return;
        }
        let Some(peer) = self.peers.get(&to) else {
            tracing::error!(%to, "a frame for a node that is no peer");
            return self.reports.push(to, body);
        };
        if body.len() > self.limits.raw().frame_bytes_max {
            let (found, max) = (body.len(), self.limits.raw().frame_bytes_max);
            tracing::error!(%to, found, max, "a frame above the cap");
            return self.drop_frame(peer, body);
        }
        peer.outbox.push(body, class, |dropped| self.drop_frame(peer, dropped));
    }

    fn drop_frame(&self, peer: &Peer, body: Bytes) {
        peer.counts.frames_dropped.add(1);
        peer.counts.bytes_dropped.add(length(&body));
        self.reports.push(peer.node, body);
    }

    /// Delivers a frame to this node.
    pub(crate) fn deliver(&self, from: &Peer, body: Bytes) {
        from.counts.frames_in.add(1);
        from.counts.bytes_in.add(length(&body));
        self.events.frame(from.node, body);
    }

    /// Judges a hello, and if it is good notes who the peer is.
    ///
    /// # Errors
    /// The first cause not to talk to it.
    pub(crate) fn judge(
        &self,
        hello: &Hello,
        expected: Option<Expected<'_>>,
    ) -> Result<(), Refusal> {
        check(&self.hello, self.peers.keys().copied(), hello, expected)?;
        let peer = &self.peers[&hello.node];
        let incarnation = Incarnation::from(hello);
        let older = |newest| Refusal::OlderBoot {
            node: hello.node,
            store: hello.store,
            found: hello.boot,
            newest,
            own: self.hello.node,
        };
        peer.may_meet(incarnation).map_err(older)?;
        self.events.admit(hello).map_err(|reason| Refusal::Judged { reason })?;
        // Once more: a newer boot may have come while the engine judged.
        peer.meet(incarnation).map_err(older)
    }

    /// Reports a refusal, by this node or by the other. The log has it once: `reason` must not
    /// differ from attempt to attempt.
    pub(crate) fn refused(&self, node: Option<NodeId>, reason: &str) {
        let reason = one_line(reason);
        if let Some(peer) = node.and_then(|node| self.peers.get(&node)) {
            peer.counts.refusals.add(1);
            peer.note_error(Some(&reason));
        }
        let (own, peer) = (self.hello.node, node.map(tracing::field::display));
        if self.told.is_news(node, &reason) {
            tracing::warn!(%own, peer, reason, "connection refused; it is tried again all the time");
        } else {
            tracing::debug!(%own, peer, reason, "connection refused again");
        }
        self.events.refused(node, &reason);
    }

    /// A connection for frames to `peer` came up: they leave from now on.
    pub(crate) fn up(&self, peer: &Peer, who: Incarnation) {
        peer.counts.connects.add(1);
        peer.note_error(None);
        self.told.forget(peer.node);
        // Open first: the engine may send from inside `up`.
        peer.outbox.open();
        tracing::info!(own = %self.hello.node, peer = %peer.node, boot = %who.boot, "peer is up");
        self.events.up(peer.node, who.store, who.boot);
    }

    /// That connection ended: what is not known to have arrived is reported.
    pub(crate) fn down(&self, peer: &Peer, reason: &str) {
        let lost = peer.outbox.close();
        tracing::info!(
            own = %self.hello.node, peer = %peer.node, reason, frames_lost = lost.len(),
            "peer is down"
        );
        peer.note_error(Some(reason));
        lost.into_iter().for_each(|body| self.drop_frame(peer, body));
        self.events.down(peer.node);
    }

    /// See [`Link::counters`](crate::Link::counters).
    pub(crate) fn counters(&self) -> LinkCounters {
        LinkCounters {
            peers: self.peers.iter().map(|(node, peer)| (*node, peer.counters())).collect(),
            handshakes_evicted: self.handshakes_evicted.value(),
            strangers: self.strangers.value(),
            reports_lost: self.reports.lost(),
        }
    }

    /// See [`Link::shutdown`](crate::Link::shutdown).
    pub(crate) fn shutdown(&self) -> Stopped {
        self.tasks.stop()
    }
}

/// A body's length as counters want it.
pub(crate) fn length(body: &Bytes) -> u64 {
    u64::try_from(body.len()).expect("a size fits 64 bits")
}
