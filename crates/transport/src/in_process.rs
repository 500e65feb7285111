//! [`InProcess`]: links between nodes of one process, for tests of what is built on a [`Link`].
//!
//! Hellos are judged, queues bounded and frames dropped and reported as over TCP, by the same code;
//! but a frame goes straight from the outbox to the peer's [`Events`], without a socket, a header or
//! a checksum, and a peer that joins or is healed is connected at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use types::NodeId;

use crate::connection::End;
use crate::counters::LinkCounters;
use crate::events::Events;
use crate::hello::Hello;
use crate::limits::Limits;
use crate::link::{Class, Link, StartError, Stopped, unique_peers};
use crate::local::{Local, length};
use crate::peer::{Incarnation, Peer};
use crate::refusal::Expected;
use crate::tasks::Tasks;

/// A place where nodes of one process meet; clones are the same place.
#[derive(Clone)]
pub struct InProcess {
    hub: Arc<Hub>,
    handle: Handle,
}

/// One node's links in an [`InProcess`]; dropping it begins a shutdown.
pub struct InProcessLink {
    hub: Arc<Hub>,
    local: Arc<Local>,
}

/// Who is here, and who is kept apart.
struct Hub {
    state: Mutex<HubState>,
    /// Told of each change of the state.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct HubState {
    members: BTreeMap<NodeId, Arc<Local>>,
    cuts: BTreeSet<(NodeId, NodeId)>,
}

impl InProcess {
    /// An empty place, whose tasks run on the runtime of `handle`.
    pub fn new(handle: &Handle) -> Self {
        let hub = Hub { state: Mutex::new(HubState::default()), changed: watch::Sender::new(()) };
        Self { hub: Arc::new(hub), handle: handle.clone() }
    }

    /// Adds a node. It is connected to each of its `peers` that is here and lists it too.
    ///
    /// **Effects**: a node of the same id that is here is cut off for good, as if its machine had
    /// been replaced.
    ///
    /// # Errors
    /// An impossible list of peers.
    pub fn join(
        &self,
        hello: Hello,
        peers: impl IntoIterator<Item = NodeId>,
        limits: Limits,
        events: Arc<dyn Events>,
    ) -> Result<InProcessLink, StartError> {
        let node = hello.node;
        let peers = unique_peers(node, peers.into_iter().map(|peer| (peer, ())))?;
        let tasks = Tasks::new(self.handle.clone());
        let local = Local::new(hello, limits, peers.into_keys(), events, tasks);
        self.hub.change(|state| state.members.insert(node, Arc::clone(&local)));
        for peer in local.peers.values() {
            let (hub, peer) = (Arc::clone(&self.hub), Arc::clone(peer));
            local.tasks.spawn(keep_connecting(hub, Arc::clone(&local), peer));
        }
        Ok(InProcessLink { hub: Arc::clone(&self.hub), local })
    }

    /// Breaks the connections between two nodes, both ways, until [`Self::heal`].
    pub fn cut(&self, a: NodeId, b: NodeId) {
        self.hub.change(|state| state.cuts.insert(pair(a, b)));
    }

    /// Lets two nodes connect again.
    pub fn heal(&self, a: NodeId, b: NodeId) {
        self.hub.change(|state| state.cuts.remove(&pair(a, b)));
    }
}

impl Link for InProcessLink {
    fn send(&self, to: NodeId, body: Bytes, class: Class) {
        self.local.send(to, body, class);
    }

    fn counters(&self) -> LinkCounters {
        self.local.counters()
    }

    fn shutdown(&self) -> Stopped {
        let node = self.local.hello.node;
        self.hub.change(|state| {
            if state.is_member(&self.local) {
                state.members.remove(&node);
            }
        });
        self.local.shutdown()
    }
}

impl Drop for InProcessLink {
    fn drop(&mut self) {
        drop(self.shutdown());
    }
}

impl Hub {
    fn change<T>(&self, change: impl FnOnce(&mut HubState) -> T) {
        let old = change(&mut self.state.lock());
        // Outside the lock: the last reference to a node may go with it.
        drop(old);
        self.changed.send_replace(());
    }

    /// The peer, if both are here and not kept apart.
    fn reachable(&self, local: &Arc<Local>, peer: &Peer) -> Option<Arc<Local>> {
        let state = self.state.lock();
        let is_cut = state.cuts.contains(&pair(local.hello.node, peer.node));
        if is_cut || !state.is_member(local) {
            return None;
        }
        state.members.get(&peer.node).cloned()
    }

    /// Ends when `peer` is no longer reachable as `remote`.
    async fn broken(&self, local: &Arc<Local>, peer: &Peer, remote: &Arc<Local>) {
        let mut changed = self.changed.subscribe();
        while self.reachable(local, peer).is_some_and(|found| Arc::ptr_eq(&found, remote)) {
            // An error cannot be: the hub holds the sender.
            let _ = changed.changed().await;
        }
    }
}

impl HubState {
    fn is_member(&self, local: &Arc<Local>) -> bool {
        self.members.get(&local.hello.node).is_some_and(|member| Arc::ptr_eq(member, local))
    }
}

fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

/// Keeps a connection to `peer` whenever it can be reached, until the node stops.
async fn keep_connecting(hub: Arc<Hub>, local: Arc<Local>, peer: Arc<Peer>) {
    let mut changed = hub.changed.subscribe();
    loop {
        changed.borrow_and_update();
        if let Some(remote) = hub.reachable(&local, &peer) {
            connect(&hub, &local, &peer, &remote).await;
        }
        // Who refused may change his mind without a change of the hub.
        let pause = local.limits.raw().backoff_max;
        tokio::select! {
            biased;
            () = local.tasks.stopping() => return,
            _ = tokio::time::timeout(pause, changed.changed()) => {}
        }
    }
}

/// Connects, and carries frames until that ends.
async fn connect(hub: &Hub, local: &Arc<Local>, peer: &Peer, remote: &Arc<Local>) {
    // This task calls the remote's events: its shutdown has to wait for that.
    let Some(_live) = remote.tasks.join() else { return };
    if !shake_hands(local, peer, remote) {
        return peer.counts.connect_failures.add(1);
    }
    let who = Incarnation::from(&remote.hello);
    // It judged this node a peer, so it knows it.
    let us = &remote.peers[&local.hello.node];
    let turn = tokio::select! {
        biased;
        () = local.tasks.stopping() => None,
        () = remote.tasks.stopping() => None,
        turn = us.take_inbound_turn(Incarnation::from(&local.hello)) => turn,
    };
    let Some(mut turn) = turn else { return };
    local.up(peer, who);
    let end = tokio::select! {
        biased;
        () = local.tasks.stopping() => End::Stopping,
        () = remote.tasks.stopping() => End::Closed,
        () = hub.broken(local, peer, remote) => End::Closed,
        () = turn.superseded() => End::Superseded,
        () = peer.is_other_than(who) => End::Superseded,
        never = carry(peer, remote, us) => match never {},
    };
    local.down(peer, &end.to_string());
}

/// Lets each judge the other; says whether both are content, and reports if not.
fn shake_hands(local: &Local, peer: &Peer, remote: &Local) -> bool {
    let address = "its place in this process";
    let expected = Expected { node: peer.node, address };
    let ours = local.judge(&remote.hello, Some(expected));
    let theirs = remote.judge(&local.hello, None);
    let (own, node) = (local.hello.node, remote.hello.node);
    if let Err(refusal) = &ours {
        local.refused(Some(node), &refusal.to_string());
        remote.refused(Some(own), &format!("refused by node {own}: {refusal}"));
    }
    if let Err(refusal) = &theirs {
        remote.refused(Some(own), &refusal.to_string());
        local.refused(Some(node), &format!("refused by node {node}: {refusal}"));
    }
    ours.is_ok() && theirs.is_ok()
}

/// Delivers what waits in `peer`'s outbox to the remote, which knows this node as `us`.
async fn carry(peer: &Peer, remote: &Local, us: &Peer) -> std::convert::Infallible {
    let mut frames = 0;
    let mut batch = Vec::new();
    loop {
        peer.outbox.take_batch(&mut batch);
        if batch.is_empty() {
            peer.outbox.filled().await;
            continue;
        }
        for body in batch.drain(..) {
            frames += 1;
            peer.counts.frames_out.add(1);
            peer.counts.bytes_out.add(length(&body));
            remote.deliver(us, body);
        }
        let acknowledged = peer.outbox.acknowledged(frames);
        assert!(acknowledged.is_ok(), "what was taken counts as written: {acknowledged:?}");
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use types::{BootId, ClusterId, StoreId};

    use super::*;
    use crate::recorder::{Recorder, downs, dropped, frames, ups};

    const ONE: NodeId = NodeId(1);
    const TWO: NodeId = NodeId(2);

    #[tokio::test]
    async fn cut_nodes_are_apart_until_healed() {
        let place = InProcess::new(&Handle::current());
        let (one, events_one) = join(&place, 1, 1);
        let (_two, events_two) = join(&place, 2, 1);
        events_one.until_up(TWO).await;
        events_two.until_up(ONE).await;
        place.cut(TWO, ONE);
        for (events, peer) in [(&events_one, TWO), (&events_two, ONE)] {
            events.until("the peer is down", |told| downs(told, peer) == 1).await;
        }
        one.send(TWO, Bytes::from_static(b"lost"), Class::Data);
        events_one.until("it comes back", |told| dropped(told, TWO) == [&b"lost"[..]]).await;
        place.heal(ONE, TWO);
        events_one.until_up(TWO).await;
        one.send(TWO, Bytes::from_static(b"arrives"), Class::Data);
        events_two.until("it came", |told| frames(told, ONE) == [&b"arrives"[..]]).await;
    }

    #[tokio::test]
    async fn node_that_joins_again_takes_the_place_of_its_former_self() {
        let place = InProcess::new(&Handle::current());
        let (_one, events) = join(&place, 1, 1);
        let (old, events_old) = join(&place, 2, 1);
        events.until_up(TWO).await;
        events_old.until_up(ONE).await;
        let (new, events_new) = join(&place, 2, 2);
        events_new.until_up(ONE).await;
        events.until("both boots were here", |told| ups(told, TWO) == [BootId(1), BootId(2)]).await;
        events_old.until("the former is cut off", |told| downs(told, ONE) == 1).await;
        old.send(ONE, Bytes::from_static(b"ghost"), Class::Data);
        new.send(ONE, Bytes::from_static(b"alive"), Class::Data);
        events.until("the new one speaks", |told| !frames(told, TWO).is_empty()).await;
        events_old.until("the ghost does not", |told| !dropped(told, ONE).is_empty()).await;
        assert_eq!(frames(&events.told(), TWO), [&b"alive"[..]]);
        // Leaving late, it must not take its successor along.
        old.shutdown().await;
        new.send(ONE, Bytes::from_static(b"still"), Class::Data);
        events.until("it is still there", |told| frames(told, TWO).len() == 2).await;
    }

    fn join(place: &InProcess, node: u64, boot: u64) -> (InProcessLink, Arc<Recorder>) {
        let hello = Hello {
            cluster: ClusterId::new("prod").unwrap(),
            node: NodeId(node),
            store: StoreId(u128::from(node)),
            boot: BootId(boot),
            digest: 7,
        };
        let events = Arc::new(Recorder::new());
        let peers = [ONE, TWO].into_iter().filter(|peer| peer.0 != node);
        let told = Arc::clone(&events) as Arc<dyn Events>;
        (place.join(hello, peers, Limits::default(), told).unwrap(), events)
    }
}
