//! What only TCP can show: a node against peers that misbehave on the wire, played here by hand.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use types::{BootId, ClusterId, StoreId};

use super::*;
use crate::frame::{encode_ack, frame_header};
use crate::handshake::shake_hands;
use crate::hello::{HEADER_BYTES, Header, Message, PROTOCOL_VERSION};
use crate::limits::{FRAME_HEADER_BYTES, RawLimits};
use crate::recorder::{Recorder, Told, downs, dropped, frames, is_refused, ups};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

#[tokio::test]
async fn node_at_the_wrong_address_is_refused_on_both_sides() {
    let (one, three) = (bind(), bind());
    let (one_at, three_at) = (one.local_addr().unwrap(), three.local_addr().unwrap());
    let one = Node::start(hello(1), one, &[(2, three_at), (3, three_at)], limits());
    let three = Node::start(hello(3), three, &[(1, one_at)], limits());
    let reason = format!("node 3 answered at {three_at}, where node 1 expects node 2");
    one.until(&reason, |told| is_refused(told, Some(TWO), &reason)).await;
    three.until(&reason, |told| is_refused(told, Some(ONE), &reason)).await;
    // The right entry for the same address works.
    one.events.until_up(NodeId(3)).await;
}

#[tokio::test]
async fn node_that_dials_itself_says_so() {
    let listener = bind();
    let at = listener.local_addr().unwrap();
    let one = Node::start(hello(1), listener, &[(2, at)], limits());
    let reason = "node 1 met itself: one of its peer addresses is its own";
    one.until(reason, |told| {
        is_refused(told, Some(TWO), reason) && is_refused(told, Some(ONE), reason)
    })
    .await;
}

#[tokio::test]
async fn two_nodes_of_one_id_refuse_each_other() {
    let (one, at) = Node::alone(limits());
    let reason = refusal(at, Hello { store: StoreId(9), ..hello(1) }).await;
    assert_eq!(reason, "two nodes call themselves node 1: each node of a cluster has its own id");
    one.until("it is told here too", |told| is_refused(told, Some(ONE), &reason)).await;
}

#[tokio::test]
async fn stranger_is_refused() {
    let (one, at) = Node::alone(limits());
    let reason = refusal(at, hello(9)).await;
    assert_eq!(reason, "node 9 is no peer of node 1, which expects one of nodes 2");
    one.until("it is told here too", |told| is_refused(told, Some(NodeId(9)), &reason)).await;
    assert_eq!(one.transport.counters().strangers, 1);
}

#[tokio::test]
async fn other_protocol_version_is_refused_with_a_text_that_it_can_read() {
    let (one, at) = Node::alone(limits());
    let mut raw = TcpStream::connect(at).await.unwrap();
    let bytes = Message::Hello(hello(2)).encode_as(PROTOCOL_VERSION + 1);
    raw.write_all(&bytes).await.unwrap();
    assert!(matches!(read_message(&mut raw).await, Message::Hello(_)));
    let reason = "the peer speaks protocol version 4, node 1 expects 3: run the same release on \
                  both";
    assert_eq!(read_message(&mut raw).await, Message::Refused { reason: reason.to_owned() });
    one.until(reason, |told| is_refused(told, None, reason)).await;
}

#[tokio::test]
async fn other_protocol_is_named_and_counted() {
    let (one, at) = Node::alone(limits());
    let mut raw = TcpStream::connect(at).await.unwrap();
    raw.write_all(b"GET / HTTP/1.1\r\nHost: db1\r\n\r\n").await.unwrap();
    let from = raw.local_addr().unwrap().ip();
    let reason = format!("{from} calls, but not the multiraft peer protocol: begins with [47, 45");
    one.until(&reason, |told| is_refused(told, None, &reason)).await;
    assert_eq!(one.transport.counters().strangers, 1);
}

#[tokio::test]
async fn damaged_frame_closes_the_connection_and_is_never_delivered() {
    let (one, at) = Node::alone(limits());
    let mut raw = call(at, hello(2)).await;
    let damaged = [&frame(b"two")[..14], b"x"].concat();
    let bytes = [frame(b"one"), damaged, frame(b"three")].concat();
    raw.write_all(&bytes).await.unwrap();
    until_closed(&mut raw).await;
    assert_eq!(frames(&one.events.told(), TWO), [&b"one"[..]]);
    let counters = one.transport.counters().peers[&TWO].clone();
    assert_eq!((counters.crc_errors, counters.protocol_errors, counters.frames_in), (1, 0, 1));
}

#[tokio::test]
async fn frame_above_the_cap_closes_the_connection_at_its_header() {
    let (one, at) = Node::alone(limits());
    let mut raw = call(at, hello(2)).await;
    raw.write_all(&frame_header(&vec![0; limits().frame_bytes_max + 1])).await.unwrap();
    until_closed(&mut raw).await;
    let counters = one.transport.counters().peers[&TWO].clone();
    assert_eq!((counters.crc_errors, counters.protocol_errors, counters.frames_in), (0, 1, 0));
}

#[tokio::test]
async fn damaged_length_closes_the_connection_and_waits_for_no_body() {
    let (one, at) = Node::alone(limits());
    let mut raw = call(at, hello(2)).await;
    let mut header = frame_header(b"one");
    header[1] ^= 4;
    raw.write_all(&header).await.unwrap();
    until_closed(&mut raw).await;
    let counters = one.transport.counters().peers[&TWO].clone();
    assert_eq!((counters.crc_errors, counters.protocol_errors, counters.frames_in), (1, 0, 0));
}

#[tokio::test]
async fn frames_split_anywhere_arrive_whole() {
    let (one, at) = Node::alone(limits());
    let mut raw = call(at, hello(2)).await;
    for byte in [frame(b"one"), frame(b""), frame(b"two")].concat() {
        raw.write_all(&[byte]).await.unwrap();
    }
    one.until("both came", |told| frames(told, TWO) == [&b"one"[..], b"two"]).await;
}

#[tokio::test]
async fn peer_that_does_not_read_costs_the_oldest_frames_and_the_rest_comes_back_at_the_end() {
    let raw_limits =
        RawLimits { queue_bytes_max: 1 << 20, unacknowledged_bytes_max: 64 << 20, ..limits() };
    let listener = bind();
    let at = listener.local_addr().unwrap();
    let one = Node::start(hello(1), bind(), &[(2, at)], raw_limits);
    let raw = accept(listener, hello(2)).await;
    one.events.until_up(TWO).await;
    // As many as the kernel takes, and then as many as it takes to drop some: paced, so that they
    // are dropped because the peer does not read and not because the writer had no turn.
    let body = |number: u64| Bytes::from([&number.to_le_bytes()[..], &[0; 65_536]].concat());
    let mut sent = 0;
    while dropped(&one.events.told(), TWO).is_empty() {
        one.transport.send(TWO, body(sent), Class::Data);
        sent += 1;
        tokio::task::yield_now().await;
        assert!(sent < 2000, "128 MiB neither left nor dropped");
    }
    let first_lost = dropped(&one.events.told(), TWO)[0].clone();
    let counters = one.transport.counters().peers[&TWO].clone();
    assert!(counters.queue_bytes <= 1 << 20 && counters.queue_bytes > 900 << 10, "{counters:?}");
    assert!(counters.frames_out > 0 && counters.unacknowledged_bytes > 0, "{counters:?}");
    let first_lost = u64::from_le_bytes(first_lost[..8].try_into().unwrap());
    assert!(first_lost >= counters.frames_out, "the oldest that still waited gave way");

    drop(raw);
    one.until("the peer is down", |told| downs(told, TWO) == 1).await;
    let all = usize::try_from(sent).unwrap();
    one.until("all come back", |told| dropped(told, TWO).len() >= all).await;
    let mut lost = dropped(&one.events.told(), TWO);
    lost.sort();
    let mut expected: Vec<Bytes> = (0..sent).map(body).collect();
    expected.sort();
    assert!(lost == expected, "each unacknowledged frame comes back once");
    assert_eq!(one.transport.counters().reports_lost, 0);
}

#[tokio::test]
async fn acknowledged_frames_do_not_come_back() {
    let listener = bind();
    let at = listener.local_addr().unwrap();
    let one = Node::start(hello(1), bind(), &[(2, at)], limits());
    let mut raw = accept(listener, hello(2)).await;
    one.events.until_up(TWO).await;
    for body in [&b"one"[..], b"two", b"three"] {
        one.transport.send(TWO, Bytes::from_static(body), Class::Data);
    }
    let mut bytes = [0; 3 * FRAME_HEADER_BYTES + 11];
    raw.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes[..], [frame(b"one"), frame(b"two"), frame(b"three")].concat());
    raw.write_all(&encode_ack(2)).await.unwrap();
    drop(raw);
    one.until("the last comes back", |told| dropped(told, TWO) == [&b"three"[..]]).await;
    one.until("the peer is down", |told| downs(told, TWO) == 1).await;
}

#[tokio::test]
async fn impossible_acknowledgements_close_the_connection() {
    let listener = bind();
    let at = listener.local_addr().unwrap();
    let one = Node::start(hello(1), bind(), &[(2, at)], limits());
    let accepting = tokio::net::TcpListener::from_std(listener).unwrap();
    for (bytes, error) in [
        (encode_ack(1).to_vec(), "the peer acknowledged 1 frames, expected at most the 0 written"),
        (frame(b"abc"), "the peer sent an acknowledgement of 3 bytes, expected 8"),
    ] {
        let mut raw = accept_on(&accepting, hello(2)).await;
        raw.write_all(&bytes).await.unwrap();
        until_closed(&mut raw).await;
        one.until_error(error).await;
    }
    assert_eq!(one.transport.counters().peers[&TWO].protocol_errors, 2);
}

#[tokio::test]
async fn silent_peer_is_noticed_in_both_directions() {
    let raw_limits = RawLimits { idle_timeout: Duration::from_secs(1), ..limits() };
    let listener = bind();
    let at = listener.local_addr().unwrap();
    let own = bind();
    let own_at = own.local_addr().unwrap();
    let one = Node::start(hello(1), own, &[(2, at)], raw_limits);
    // Both stay open and read, but say nothing.
    let mut accepted = accept(listener, hello(2)).await;
    let mut called = call(own_at, hello(2)).await;
    one.events.until_up(TWO).await;
    until_closed(&mut accepted).await;
    until_closed(&mut called).await;
    one.until("the peer is down", |told| downs(told, TWO) == 1).await;
}

#[tokio::test]
async fn idle_connection_with_signs_of_life_stays() {
    let raw_limits = RawLimits { idle_timeout: Duration::from_secs(1), ..limits() };
    let (two, two_at) = (bind(), bind());
    let addresses = [two.local_addr().unwrap(), two_at.local_addr().unwrap()];
    let one = Node::start(hello(1), two, &[(2, addresses[1])], raw_limits);
    let two = Node::start(hello(2), two_at, &[(1, addresses[0])], raw_limits);
    one.events.until_up(TWO).await;
    two.events.until_up(ONE).await;
    // Twice as long as it takes to notice a silent node.
    let third = bind();
    let third_at = third.local_addr().unwrap();
    let _watch = Node::start(hello(4), bind(), &[(5, third_at)], raw_limits);
    let third = tokio::net::TcpListener::from_std(third).unwrap();
    for _ in 0..2 {
        until_closed(&mut accept_on(&third, hello(5)).await).await;
    }
    for (node, peer) in [(&one, TWO), (&two, ONE)] {
        assert_eq!(downs(&node.events.told(), peer), 0);
        assert!(node.transport.counters().peers[&peer].is_up);
    }
}

#[tokio::test]
async fn newer_connection_replaces_the_older() {
    let (one, at) = Node::alone(limits());
    let mut old = call(at, hello(2)).await;
    old.write_all(&frame(b"old")).await.unwrap();
    one.until("the first connection serves", |told| frames(told, TWO).len() == 1).await;
    let mut new = call(at, hello(2)).await;
    until_closed(&mut old).await;
    new.write_all(&frame(b"new")).await.unwrap();
    one.until("the second does", |told| frames(told, TWO) == [&b"old"[..], b"new"]).await;
}

#[tokio::test]
async fn older_boot_is_refused_and_leaves_the_newer_alone() {
    let (one, at) = Node::alone(limits());
    let mut new = call(at, Hello { boot: BootId(6), ..hello(2) }).await;
    let reason = refusal(at, Hello { boot: BootId(5), ..hello(2) }).await;
    assert_eq!(
        reason,
        "node 2 runs on an older copy of its store 00000000000000000000000000000002: restore the \
         newest one, or remove its replicas and add new ones (found boot 5, node 1 has met boot 6)"
    );
    new.write_all(&frame(b"still here")).await.unwrap();
    one.until("the newer serves", |told| frames(told, TWO) == [&b"still here"[..]]).await;
}

#[tokio::test]
async fn call_of_a_newer_boot_ends_the_connection_to_the_older() {
    let (listener, own) = (bind(), bind());
    let (at, own_at) = (listener.local_addr().unwrap(), own.local_addr().unwrap());
    let one = Node::start(hello(1), own, &[(2, at)], limits());
    let accepting = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut to_old = accept_on(&accepting, hello(2)).await;
    one.events.until_up(TWO).await;
    let newer = Hello { boot: BootId(4), ..hello(2) };
    let _caller = call(own_at, newer.clone()).await;
    until_closed(&mut to_old).await;
    let _to_new = accept_on(&accepting, newer).await;
    one.until("it is up anew", |told| ups(told, TWO) == [BootId(3), BootId(4)]).await;
}

#[tokio::test]
async fn silent_strangers_do_not_keep_a_peer_out() {
    let (one, at) = Node::alone(RawLimits { handshakes_max: 2, ..limits() });
    let mut first = TcpStream::connect(at).await.unwrap();
    let mut second = TcpStream::connect(at).await.unwrap();
    // Their hellos came: both have their places.
    for silent in [&mut first, &mut second] {
        assert!(matches!(read_message(silent).await, Message::Hello(_)));
    }
    let mut peer = call(at, hello(2)).await;
    until_closed(&mut first).await;
    peer.write_all(&frame(b"let in")).await.unwrap();
    one.until("the peer is served", |told| frames(told, TWO) == [&b"let in"[..]]).await;
    assert_eq!(one.transport.counters().handshakes_evicted, 1);
}

#[tokio::test]
async fn stranger_that_keeps_silent_is_closed_in_time() {
    let raw_limits = RawLimits { handshake_timeout: Duration::from_millis(100), ..limits() };
    let (one, at) = Node::alone(raw_limits);
    let mut silent = TcpStream::connect(at).await.unwrap();
    until_closed(&mut silent).await;
    one.until_strangers(1).await;
}

#[tokio::test]
async fn peer_that_comes_later_is_found_by_name() {
    // Bound, so that the port is this test's own, but not listening yet.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let address = format!("localhost:{port}");
    let one = Node::start_at(hello(1), bind(), vec![(TWO, address.clone())], limits());
    one.until_error(&format!("no connection to {address}: ")).await;
    let listener = socket.listen(8).unwrap();
    let _peer = accept_on(&listener, hello(2)).await;
    one.events.until_up(TWO).await;
    let counters = one.transport.counters().peers[&TWO].clone();
    assert!(counters.connect_failures >= 1 && counters.connects == 1, "{counters:?}");
    assert_eq!(counters.last_error, None);
}

#[tokio::test]
async fn impossible_lists_of_peers_are_refused() {
    let start = |peers: Vec<(NodeId, String)>| {
        let events = Arc::new(Recorder::new());
        let config =
            TransportConfig { hello: hello(1), listener: bind(), peers, limits: Limits::default() };
        Transport::start(&Handle::current(), config, events).err().unwrap().to_string()
    };
    let at = || "127.0.0.1:1".to_owned();
    assert_eq!(start(vec![(ONE, at())]), "node 1 is listed among its own peers");
    assert_eq!(start(vec![(TWO, at()), (TWO, at())]), "node 2 is listed twice among the peers");
}

#[tokio::test]
async fn dropping_the_transport_ends_it() {
    let (one, at) = Node::alone(limits());
    let mut raw = call(at, hello(2)).await;
    let Node { transport, events } = one;
    drop(transport);
    until_closed(&mut raw).await;
    drop(raw);
    // The tasks hold the events too; the last one gone, the test's is the only reference.
    let only_ours = async {
        while Arc::strong_count(&events) > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(WAIT_MAX, only_ours).await.expect("the tasks must end");
}

/// Nothing that a test waits for takes so long, even on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);

struct Node {
    transport: Transport,
    events: Arc<Recorder>,
}

impl Node {
    fn start(
        hello: Hello,
        listener: TcpListener,
        peers: &[(u64, SocketAddr)],
        limits: RawLimits,
    ) -> Self {
        let peers = peers.iter().map(|(node, at)| (NodeId(*node), at.to_string())).collect();
        Self::start_at(hello, listener, peers, limits)
    }

    fn start_at(
        hello: Hello,
        listener: TcpListener,
        peers: Vec<(NodeId, String)>,
        limits: RawLimits,
    ) -> Self {
        let events = Arc::new(Recorder::new());
        let limits = Limits::new(limits).unwrap();
        let config = TransportConfig { hello, listener, peers, limits };
        let told = Arc::clone(&events) as Arc<dyn Events>;
        Self { transport: Transport::start(&Handle::current(), config, told).unwrap(), events }
    }

    /// Node 1, whose peer 2 cannot be reached, and where it listens.
    fn alone(limits: RawLimits) -> (Self, SocketAddr) {
        let listener = bind();
        let at = listener.local_addr().unwrap();
        let nobody = vec![(TWO, "127.0.0.1:1".to_owned())];
        (Self::start_at(hello(1), listener, nobody, limits), at)
    }

    async fn until(&self, what: &str, is_enough: impl Fn(&[Told]) -> bool) {
        self.events.until(what, is_enough).await;
    }

    /// Waits until the last error about node 2 begins so.
    async fn until_error(&self, error: &str) {
        let is_there = || {
            let last = self.transport.counters().peers[&TWO].last_error.clone();
            last.is_some_and(|last| last.starts_with(error))
        };
        poll_until(error, is_there).await;
    }

    async fn until_strangers(&self, count: u64) {
        poll_until("strangers", || self.transport.counters().strangers == count).await;
    }
}

/// Counters tell nobody that they changed: looks again and again, letting others run.
async fn poll_until(what: &str, is_there: impl Fn() -> bool) {
    let look = async {
        while !is_there() {
            tokio::task::yield_now().await;
        }
    };
    timeout(WAIT_MAX, look).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"));
}

fn bind() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn limits() -> RawLimits {
    RawLimits {
        frame_bytes_max: 256 << 10,
        // Longer than any test waits: where a connection is to be closed, that must not be why.
        idle_timeout: Duration::from_secs(60),
        backoff_min: Duration::from_millis(5),
        backoff_max: Duration::from_millis(100),
        ..RawLimits::default()
    }
}

fn hello(node: u64) -> Hello {
    Hello {
        cluster: ClusterId::new("prod").unwrap(),
        node: NodeId(node),
        store: StoreId(u128::from(node)),
        boot: BootId(3),
        digest: 7,
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&frame_header(body)[..], body].concat()
}

/// Connects as a peer would.
async fn call(at: SocketAddr, hello: Hello) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    shake_hands(&mut stream, &hello, |_| Ok(())).await.unwrap();
    stream
}

/// Is called as a peer would be.
async fn accept(listener: TcpListener, hello: Hello) -> TcpStream {
    accept_on(&tokio::net::TcpListener::from_std(listener).unwrap(), hello).await
}

async fn accept_on(listener: &tokio::net::TcpListener, hello: Hello) -> TcpStream {
    let accepted = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        shake_hands(&mut stream, &hello, |_| Ok(())).await.unwrap();
        stream
    };
    timeout(WAIT_MAX, accepted).await.expect("nobody calls")
}

/// Connects as `hello` and is refused: with this reason.
async fn refusal(at: SocketAddr, hello: Hello) -> String {
    let mut raw = TcpStream::connect(at).await.unwrap();
    raw.write_all(&Message::Hello(hello).encode()).await.unwrap();
    assert!(matches!(read_message(&mut raw).await, Message::Hello(_)));
    match read_message(&mut raw).await {
        Message::Refused { reason } => reason,
        message @ (Message::Hello(_) | Message::Accepted) => panic!("not refused: {message:?}"),
    }
}

async fn read_message(stream: &mut TcpStream) -> Message {
    let reading = async {
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header).await.unwrap();
        let header = Header::decode(&header).unwrap();
        let mut body = vec![0; header.body_bytes];
        stream.read_exact(&mut body).await.unwrap();
        Message::decode(&header, &body).unwrap()
    };
    timeout(WAIT_MAX, reading).await.expect("no message came")
}

/// Reads until the other side closes; a reset is as good.
async fn until_closed(stream: &mut TcpStream) {
    let reading = async {
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {}
    };
    timeout(WAIT_MAX, reading).await.expect("the connection stays open");
}
