//! The connections that peers dial to this node, and that carry their frames here.
//!
//! One task per connection. Until its hello is through it holds one of a bounded number of places;
//! afterwards it is one of at most two per peer (the second waits for the first to end).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::connection::{End, FrameReader, Read};
use crate::frame::{FrameDecoder, READ_BUFFER_BYTES, encode_ack};
use crate::handshake::{HandshakeError, shake_hands};
use crate::hello::Hello;
use crate::local::Local;
use crate::peer::{Incarnation, Peer};

/// An acknowledgement is sent after so many bytes of frames, beside the one at each keep-alive: what
/// a sender holds back for the case of a break stays small at any rate, at the price of one small
/// write per several large reads.
const ACK_AFTER_BYTES: usize = 256 << 10;

/// Pause after a failed accept: the usual cause, no file descriptors left, does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The connections whose hello is not through, oldest first.
///
/// The oldest gives way to a new one: strangers that connect and keep silent cannot keep a peer out,
/// whose hello takes milliseconds.
struct Handshakes {
    state: Mutex<HandshakesState>,
    places: usize,
}

struct HandshakesState {
    next: u64,
    /// Dropping the sender evicts.
    running: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// A place among the handshakes, given up when dropped.
struct Place {
    handshakes: Arc<Handshakes>,
    number: u64,
    evicted: oneshot::Receiver<()>,
}

impl Handshakes {
    fn enter(self: &Arc<Self>) -> Place {
        let (sender, evicted) = oneshot::channel();
        let mut state = self.state.lock();
        while state.running.len() >= self.places {
            state.running.pop_front();
        }
        let number = state.next;
        state.next += 1;
        state.running.push_back((number, sender));
        drop(state);
        Place { handshakes: Arc::clone(self), number, evicted }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handshakes.state.lock().running.retain(|(number, _)| *number != self.number);
    }
}

/// Accepts connections until the node stops.
pub(crate) async fn keep_accepting(local: Arc<Local>, listener: TcpListener) {
    let handshakes = Arc::new(Handshakes {
        state: Mutex::new(HandshakesState { next: 0, running: VecDeque::new() }),
        places: local.limits.raw().handshakes_max,
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = local.tasks.stopping() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let place = handshakes.enter();
                local.tasks.spawn(serve(Arc::clone(&local), stream, from, place));
            }
            Err(error) => {
                tracing::warn!(own = %local.hello.node, %error, "cannot accept a connection");
                tokio::select! {
                    () = local.tasks.stopping() => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

async fn serve(local: Arc<Local>, mut stream: TcpStream, from: SocketAddr, mut place: Place) {
    let hello = tokio::select! {
        biased;
        () = local.tasks.stopping() => return,
        _ = &mut place.evicted => return local.handshakes_evicted.add(1),
        hello = greet(&local, &mut stream, from) => hello,
    };
    drop(place);
    let Some(hello) = hello else { return };
    let peer = &local.peers[&hello.node];
    let end = tokio::select! {
        biased;
        () = local.tasks.stopping() => End::Stopping,
        end = receive(&local, peer, stream, Incarnation::from(&hello)) => end,
    };
    end.count(&peer.counts);
    let (own, node) = (local.hello.node, hello.node);
    match end {
        End::Frame(_) => tracing::warn!(%own, peer = %node, %from, reason = %end, "closed"),
        End::Stopping
        | End::Superseded
        | End::Closed
        | End::Broken(_)
        | End::Silent(_)
        | End::Ack(_)
        | End::AckLength { .. } => {
            tracing::debug!(%own, peer = %node, %from, reason = %end, "closed");
        }
    }
}

/// Exchanges hellos; `None` when the connection is of no use, which is then reported.
async fn greet(local: &Local, stream: &mut TcpStream, from: SocketAddr) -> Option<Hello> {
    // Only latency is at stake, and a socket already reset says so at the next step.
    let _ = stream.set_nodelay(true);
    let exchange = shake_hands(stream, &local.hello, |hello| local.judge(hello, None));
    let broken = |reason: String| {
        local.strangers.add(1);
        tracing::debug!(own = %local.hello.node, %from, reason, "no hello");
    };
    // The caller's port is another one each time, which is no news.
    let caller = from.ip();
    match timeout(local.limits.raw().handshake_timeout, exchange).await {
        Ok(Ok(hello)) => return Some(hello),
        Ok(Err(HandshakeError::Broken(error))) => broken(error.to_string()),
        Ok(Err(HandshakeError::Foreign(error))) => {
            local.strangers.add(1);
            local.refused(None, &format!("{caller} calls, but {error}"));
        }
        Ok(Err(HandshakeError::Refused { node, refusal })) => {
            let is_peer = node.is_some_and(|node| local.peers.contains_key(&node));
            if is_peer {
                // In the words of the other direction, so that both are one piece of news.
                local.refused(node, &refusal.to_string());
            } else {
                local.strangers.add(1);
                local.refused(node, &format!("{refusal} (calling from {caller})"));
            }
        }
        Ok(Err(HandshakeError::RefusedByPeer { node: Some(node), reason })) => {
            local.refused(Some(node), &format!("refused by node {node}: {reason}"));
        }
        Ok(Err(HandshakeError::RefusedByPeer { node: None, reason })) => {
            local.refused(None, &format!("refused by {caller}: {reason}"));
        }
        Err(_) => broken("timeout".to_owned()),
    }
    None
}

/// Delivers the peer's frames until the connection ends or the next one takes over.
async fn receive(local: &Local, peer: &Peer, mut stream: TcpStream, who: Incarnation) -> End {
    let Some(mut turn) = peer.take_inbound_turn(who).await else { return End::Superseded };
    let raw = local.limits.raw();
    let (reader, writer) = stream.split();
    let decoder = FrameDecoder::new(raw.frame_bytes_max, READ_BUFFER_BYTES);
    let reader = FrameReader::new(reader, decoder, raw.idle_timeout);
    tokio::select! {
        biased;
        () = turn.superseded() => End::Superseded,
        end = deliver_frames(local, peer, reader, writer) => end,
    }
}

async fn deliver_frames(
    local: &Local,
    peer: &Peer,
    mut reader: FrameReader<impl tokio::io::AsyncRead + Unpin>,
    mut writer: impl AsyncWrite + Unpin,
) -> End {
    let idle_timeout = local.limits.raw().idle_timeout;
    let mut frames = 0;
    let mut bytes_unacknowledged = 0;
    loop {
        match reader.next().await {
            Ok(Read::Frame(body)) => {
                frames += 1;
                bytes_unacknowledged += body.len();
                local.deliver(peer, body);
                if bytes_unacknowledged < ACK_AFTER_BYTES {
                    continue;
                }
            }
            Ok(Read::Tick) => {}
            Err(end) => return end,
        }
        bytes_unacknowledged = 0;
        // It blocks only if the peer reads nothing, and a peer that does so is gone.
        match timeout(idle_timeout, writer.write_all(&encode_ack(frames))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return End::Silent(idle_timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_handshake_gives_way_and_places_are_given_back() {
        let state = Mutex::new(HandshakesState { next: 0, running: VecDeque::new() });
        let handshakes = Arc::new(Handshakes { state, places: 2 });
        let (mut first, second) = (handshakes.enter(), handshakes.enter());
        drop(second);
        let mut third = handshakes.enter();
        let is_evicted = |place: &mut Place| {
            place.evicted.try_recv() == Err(oneshot::error::TryRecvError::Closed)
        };
        assert!(!is_evicted(&mut first));
        let mut fourth = handshakes.enter();
        assert_eq!([&mut first, &mut third, &mut fourth].map(is_evicted), [true, false, false]);
    }
}
