//! What every [`Link`] promises, as tests that any implementation can run.
//!
//! The caller offers a [`Fabric`], a place where links of several nodes can meet, and runs
//! [`check_all`] in a test on a runtime with at least four threads (one check blocks one of them).
//! A broken promise panics and names it. Nothing waits for less than what it waits for, nor for
//! ever.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use types::{BootId, ClusterId, NodeId, StoreId};

use crate::events::Events;
use crate::hello::Hello;
use crate::limits::{Limits, RawLimits};
use crate::link::{Class, Link, StartError};
use crate::recorder::{Recorder, Told, downs, dropped, frames, is_refused, ups};

/// A place where the links of several nodes can meet; each of the nodes lists all others as peers.
pub trait Fabric: Send + Sync {
    /// Starts the link of node `hello.node`. It is called again for a node only after that node's
    /// former link was shut down and has ended.
    ///
    /// # Errors
    /// Any fails the check.
    fn start(
        &self,
        hello: Hello,
        limits: Limits,
        events: Arc<dyn Events>,
    ) -> Result<Box<dyn Link>, StartError>;
}

/// Runs all checks, each with a new fabric for the nodes that `new_fabric` is given.
///
/// # Panics
/// A promise is broken.
pub async fn check_all<F: Fabric>(new_fabric: impl Fn(&[NodeId]) -> F) {
    let pair = || new_fabric(&[ONE, TWO]);
    frames_arrive_unaltered_both_ways(pair()).await;
    every_node_reaches_every_other(new_fabric(&[ONE, TWO, NodeId(3)])).await;
    frames_for_nobody_are_reported(pair()).await;
    slow_receiver_costs_the_oldest_data_and_no_beat(pair()).await;
    refusals_are_told_on_both_sides(pair).await;
    restarted_peer_is_met_again_and_its_older_boot_is_not(pair()).await;
    shutdown_ends_in_time_and_reports_what_is_left(pair()).await;
}

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

/// Far more than a shutdown needs.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// A node under test.
struct Node {
    link: Box<dyn Link>,
    events: Arc<Recorder>,
}

impl Node {
    fn start(fabric: &impl Fabric, hello: Hello) -> Self {
        Self::start_with(fabric, hello, Arc::new(Recorder::new()))
    }

    fn start_with(fabric: &impl Fabric, hello: Hello, events: Arc<Recorder>) -> Self {
        let limits = Limits::new(limits()).expect("these limits are legal");
        let link = fabric.start(hello, limits, Arc::clone(&events) as Arc<dyn Events>);
        Self { link: link.unwrap_or_else(|error| panic!("cannot start a link: {error}")), events }
    }

    async fn stop(&self) {
        let stopped = timeout(SHUTDOWN_MAX, self.link.shutdown()).await;
        assert!(stopped.is_ok(), "a shutdown must end within {SHUTDOWN_MAX:?}");
    }
}

fn limits() -> RawLimits {
    RawLimits {
        frame_bytes_max: 1 << 20,
        queue_bytes_max: 2 << 20,
        beat_bytes_max: 2 << 20,
        // What may wait to be reported grows with it: no report is to be lost here.
        unacknowledged_bytes_max: 64 << 20,
        backoff_min: Duration::from_millis(5),
        backoff_max: Duration::from_millis(100),
        ..RawLimits::default()
    }
}

fn hello(node: NodeId) -> Hello {
    Hello {
        cluster: ClusterId::new("conformance").expect("a legal name"),
        node,
        store: StoreId(u128::from(node.0) << 64 | 7),
        boot: BootId(3),
        digest: 0xd1ce,
    }
}

/// Starts both nodes and waits until each has the other.
async fn start_pair(fabric: &impl Fabric) -> (Node, Node) {
    let (a, b) = (Node::start(fabric, hello(ONE)), Node::start(fabric, hello(TWO)));
    a.events.until_up(TWO).await;
    b.events.until_up(ONE).await;
    (a, b)
}

async fn frames_arrive_unaltered_both_ways(fabric: impl Fabric) {
    let (a, b) = start_pair(&fabric).await;
    let bodies: Vec<Bytes> = [1, 7, 8, 4095, 65_536, 70_001, limits().frame_bytes_max]
        .iter()
        .map(|bytes| (0..*bytes).map(|i| u8::try_from(i % 251).expect("less than 251")).collect())
        .collect();
    for body in &bodies {
        a.link.send(TWO, body.clone(), Class::Data);
        b.link.send(ONE, body.clone(), Class::Data);
    }
    a.link.send(TWO, Bytes::new(), Class::Data);
    for (receiver, sender) in [(&b, ONE), (&a, TWO)] {
        let count = bodies.len();
        receiver.events.until("all frames came", |told| frames(told, sender).len() == count).await;
        let told = receiver.events.told();
        assert!(frames(&told, sender) == bodies, "frames must arrive as they were sent");
        let admitted = told.iter().position(|call| *call == Told::Admit(sender, BootId(3)));
        let first = told.iter().position(|call| matches!(call, Told::Frame(..) | Told::Up(..)));
        assert!(admitted < first && admitted.is_some(), "admit comes before frame and up");
        let hello = hello(sender);
        let up = Told::Up(sender, hello.store, hello.boot);
        assert!(told.contains(&up), "up names the peer's store and boot");
    }
    let counters = b.link.counters().peers[&ONE].clone();
    let bytes: usize = bodies.iter().map(Bytes::len).sum();
    assert_eq!(
        (counters.frames_in, counters.bytes_in),
        (7, bytes.try_into().expect("a small sum")),
        "what came is counted, and an empty body is no frame"
    );
}

async fn every_node_reaches_every_other(fabric: impl Fabric) {
    let ids = [ONE, TWO, NodeId(3)];
    let nodes = ids.map(|id| (id, Node::start(&fabric, hello(id))));
    for (id, node) in &nodes {
        for peer in ids.into_iter().filter(|peer| peer != id) {
            node.events.until_up(peer).await;
            node.link.send(peer, Bytes::from_static(b"beat"), Class::Beat);
        }
    }
    for (id, node) in &nodes {
        for peer in ids.into_iter().filter(|peer| peer != id) {
            let what = "each node heard of each";
            node.events.until(what, |told| frames(told, peer) == [&b"beat"[..]]).await;
        }
    }
}

async fn frames_for_nobody_are_reported(fabric: impl Fabric) {
    let a = Node::start(&fabric, hello(ONE));
    a.link.send(TWO, Bytes::from_static(b"not here"), Class::Data);
    a.link.send(TWO, Bytes::from_static(b"nor this"), Class::Beat);
    a.link.send(NodeId(9), Bytes::from_static(b"a stranger"), Class::Data);
    let is_back = |told: &[Told]| {
        dropped(told, TWO) == [&b"not here"[..], b"nor this"]
            && dropped(told, NodeId(9)) == [&b"a stranger"[..]]
    };
    a.events.until("frames for absent peers and strangers come back", is_back).await;
    assert_eq!(a.link.counters().peers[&TWO].frames_dropped, 2);

    let _b = Node::start(&fabric, hello(TWO));
    a.events.until_up(TWO).await;
    let large = Bytes::from(vec![1; limits().frame_bytes_max + 1]);
    a.link.send(TWO, large.clone(), Class::Data);
    a.events
        .until("a frame above the cap comes back", |told| dropped(told, TWO).last() == Some(&large))
        .await;
}

async fn slow_receiver_costs_the_oldest_data_and_no_beat(fabric: impl Fabric) {
    const FRAMES: u32 = 1500;
    let (a, b) = start_pair(&fabric).await;
    b.events.shut(true);
    // Far more than the queue of 2 MiB and all buffers below it take.
    let body = |number: u32| {
        let mut body = vec![0; 32 << 10];
        body[..4].copy_from_slice(&number.to_le_bytes());
        Bytes::from(body)
    };
    let sent: Vec<Bytes> = (0..FRAMES).map(body).collect();
    for (number, body) in sent.iter().enumerate() {
        a.link.send(TWO, body.clone(), Class::Data);
        if number % 100 == 0 {
            a.link.send(TWO, Bytes::from_static(b"beat"), Class::Beat);
        }
    }
    a.events.until("the queue overflows", |told| !dropped(told, TWO).is_empty()).await;
    let held = a.link.counters().peers[&TWO].queue_bytes;
    assert!(held <= 4 << 20, "the queues hold {held} bytes, expected at most 4 MiB");
    b.events.shut(false);
    let last = sent.last().expect("frames were sent");
    let came = |told: &[Told]| {
        let frames = frames(told, ONE);
        frames.contains(last) && frames.iter().filter(|body| *body == "beat").count() == 15
    };
    b.events.until("the newest frame and all beats came", came).await;
    let got: Vec<_> =
        frames(&b.events.told(), ONE).into_iter().filter(|body| body != "beat").collect();
    let missing = sent.len() - got.len();
    let what = "each frame came or came back";
    a.events.until(what, |told| dropped(told, TWO).len() == missing).await;
    let lost = dropped(&a.events.told(), TWO);
    let is_sorted = |bodies: &[Bytes]| bodies.is_sorted_by_key(number);
    assert!(is_sorted(&got) && is_sorted(&lost), "frames of a class keep their order");
    let mut all: Vec<Bytes> = got.into_iter().chain(lost).collect();
    all.sort_by_key(number);
    assert!(all == sent, "each frame either comes or comes back, on a connection that holds");
}

/// The number at a body's front.
fn number(body: &Bytes) -> u32 {
    u32::from_le_bytes(body[..4].try_into().expect("four bytes"))
}

async fn refusals_are_told_on_both_sides<F: Fabric>(new_fabric: impl Fn() -> F) {
    let other_cluster =
        Hello { cluster: ClusterId::new("other").expect("a legal name"), ..hello(TWO) };
    let other_digest = Hello { digest: 1, ..hello(TWO) };
    // How the second node differs, what the first says of it, and what the second may say itself.
    let cases = [
        (
            other_cluster,
            None,
            "node 2 belongs to cluster 'other', node 1 expects 'conformance'",
            "node 1 belongs to cluster 'conformance', node 2 expects 'other'",
        ),
        (
            other_digest,
            None,
            "node 2 has configuration digest 0000000000000001, node 1 expects 000000000000d1ce",
            "node 1 has configuration digest 000000000000d1ce, node 2 expects 0000000000000001",
        ),
        (hello(TWO), Some("node 2 has a new store"), "node 2 has a new store", "nothing"),
    ];
    for (second, admits, reason, of_second) in cases {
        let fabric = new_fabric();
        let events = Arc::new(Recorder::new());
        if let Some(reason) = admits {
            events.refuse_all(reason);
        }
        let a = Node::start_with(&fabric, hello(ONE), events);
        let b = Node::start(&fabric, second);
        // Both may have a reason; then each side has its own or the other's, whoever spoke first.
        for (node, peer) in [(&a, Some(TWO)), (&b, Some(ONE))] {
            let knows_why =
                |told: &[Told]| is_refused(told, peer, reason) || is_refused(told, peer, of_second);
            node.events.until(reason, knows_why).await;
            assert!(node.link.counters().peers.values().all(|peer| peer.refusals > 0));
        }
        for node in [&a, &b] {
            let told = node.events.told();
            let is_quiet = !told.iter().any(|call| matches!(call, Told::Up(..) | Told::Frame(..)));
            assert!(is_quiet, "a refused peer is never up");
        }
    }
}

async fn restarted_peer_is_met_again_and_its_older_boot_is_not(fabric: impl Fabric) {
    let (a, b) = start_pair(&fabric).await;
    b.stop().await;
    a.events.until("the peer is down", |told| downs(told, TWO) == 1).await;
    let b = Node::start(&fabric, Hello { boot: BootId(4), ..hello(TWO) });
    b.events.until_up(ONE).await;
    a.events.until_up(TWO).await;
    assert_eq!(ups(&a.events.told(), TWO), [BootId(3), BootId(4)]);
    a.link.send(TWO, Bytes::from_static(b"welcome back"), Class::Data);
    b.link.send(ONE, Bytes::from_static(b"thank you"), Class::Data);
    b.events.until("frames flow", |told| frames(told, ONE) == [&b"welcome back"[..]]).await;
    a.events.until("frames flow back", |told| frames(told, TWO) == [&b"thank you"[..]]).await;
    assert_eq!(a.link.counters().peers[&TWO].connects, 2);

    b.stop().await;
    a.events.until("the peer is down again", |told| downs(told, TWO) == 2).await;
    let old = Node::start(&fabric, hello(TWO));
    let reason = "node 2 runs on an older copy of its store";
    a.events.until(reason, |told| is_refused(told, Some(TWO), reason)).await;
    old.events.until(reason, |told| is_refused(told, Some(ONE), reason)).await;
    assert_eq!(ups(&a.events.told(), TWO), [BootId(3), BootId(4)]);
}

async fn shutdown_ends_in_time_and_reports_what_is_left(fabric: impl Fabric) {
    let (a, b) = start_pair(&fabric).await;
    a.link.send(TWO, Bytes::from_static(b"last"), Class::Data);
    a.stop().await;
    let told = a.events.told();
    assert_eq!(downs(&told, TWO), 1, "a connected peer goes down at shutdown");
    b.events.until("the peer is gone", |told| downs(told, ONE) == 1).await;
    b.stop().await;
    let got = frames(&b.events.told(), ONE).len();
    assert!(got + dropped(&told, TWO).len() >= 1, "a frame is delivered or reported");
    a.link.send(TWO, Bytes::from_static(b"too late"), Class::Data);
    a.stop().await;
    assert_eq!(a.events.told(), told, "nothing is told after the end");
}
