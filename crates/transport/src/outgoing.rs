//! The connection that this node dials to a peer, and that carries its frames there.
//!
//! One task per peer: connect, exchange hellos, write frames and read acknowledgements until it
//! breaks, pause, again. The peer's calls cut the pause short.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::backoff::Backoff;
use crate::connection::{End, FrameReader, Read, keepalive_ticks};
use crate::frame::{ACK_BYTES, FrameDecoder, SLICES_MAX, WriteBatch, frame_header};
use crate::handshake::{HandshakeError, shake_hands};
use crate::local::{Local, length};
use crate::outbox::Outbox;
use crate::peer::{Incarnation, Peer};
use crate::refusal::Expected;

/// Keeps a connection to `peer` until the node stops.
pub(crate) async fn keep_dialing(local: Arc<Local>, peer: Arc<Peer>, address: String) {
    let raw = local.limits.raw();
    let mut backoff = Backoff::new(raw.backoff_min, raw.backoff_max);
    loop {
        let dialed = tokio::select! {
            biased;
            () = local.tasks.stopping() => return,
            dialed = dial(&local, &peer, &address) => dialed,
        };
        let pause = match dialed {
            Ok((stream, who)) => {
                backoff.succeeded();
                carry(&local, &peer, stream, who).await;
                backoff.failed()
            }
            Err(DialError::Refused) => backoff.refused(),
            Err(DialError::Failed(reason)) => {
                tracing::debug!(own = %local.hello.node, peer = %peer.node, reason, "no connection");
                peer.note_error(Some(&reason));
                backoff.failed()
            }
        };
        tokio::select! {
            biased;
            () = local.tasks.stopping() => return,
            () = wait(&peer, pause, raw.backoff_min) => {}
        }
    }
}

/// Waits for the pause, or for a call of the peer, but `least` in any case: two nodes whose
/// connections break at once must not drive each other without any pause.
async fn wait(peer: &Peer, pause: Duration, least: Duration) {
    let least = least.min(pause);
    tokio::time::sleep(least).await;
    // An elapsed pause is as good as a call.
    let _ = timeout(pause - least, peer.called()).await;
}

enum DialError {
    /// Refused by either side, and reported.
    Refused,
    /// Anything else.
    Failed(String),
}

async fn dial(
    local: &Local,
    peer: &Peer,
    address: &str,
) -> Result<(TcpStream, Incarnation), DialError> {
    let result = try_dial(local, peer, address).await;
    if result.is_err() {
        peer.counts.connect_failures.add(1);
    }
    result
}

async fn try_dial(
    local: &Local,
    peer: &Peer,
    address: &str,
) -> Result<(TcpStream, Incarnation), DialError> {
    let raw = local.limits.raw();
    let failed = |reason: String| DialError::Failed(reason);
    let refused = |reason: String| {
        local.refused(Some(peer.node), &reason);
        DialError::Refused
    };
    // The name is looked up each time: the peer may have moved.
    let mut stream = timeout(raw.connect_timeout, TcpStream::connect(address))
        .await
        .map_err(|_| failed(format!("no connection to {address} in {:?}", raw.connect_timeout)))?
        .map_err(|error| failed(format!("no connection to {address}: {error}")))?;
    stream.set_nodelay(true).map_err(|error| failed(format!("{address}: {error}")))?;
    let expected = Expected { node: peer.node, address };
    let judge = |hello: &_| local.judge(hello, Some(expected));
    let hello = timeout(raw.handshake_timeout, shake_hands(&mut stream, &local.hello, judge))
        .await
        .map_err(|_| failed(format!("no hello from {address} in {:?}", raw.handshake_timeout)))?
        .map_err(|error| match error {
            HandshakeError::Broken(error) => {
                failed(format!("the connection to {address} broke during the hello: {error}"))
            }
            HandshakeError::Foreign(error) => refused(format!("{address} answers, but {error}")),
            HandshakeError::Refused { node: _, refusal } => refused(refusal.to_string()),
            HandshakeError::RefusedByPeer { node: Some(node), reason } => {
                refused(format!("refused by node {node}: {reason}"))
            }
            HandshakeError::RefusedByPeer { node: None, reason } => {
                refused(format!("refused by {address}: {reason}"))
            }
        })?;
    Ok((stream, Incarnation::from(&hello)))
}

/// Carries frames over a connection until it ends.
async fn carry(local: &Local, peer: &Peer, mut stream: TcpStream, who: Incarnation) {
    local.up(peer, who);
    let (reader, writer) = stream.split();
    let decoder = FrameDecoder::new(ACK_BYTES, 1 << 10);
    let reader = FrameReader::new(reader, decoder, local.limits.raw().idle_timeout);
    let end = tokio::select! {
        biased;
        () = local.tasks.stopping() => End::Stopping,
        () = peer.is_other_than(who) => End::Superseded,
        end = read_acks(reader, &peer.outbox) => end,
        error = write_frames(writer, peer) => End::Broken(error),
    };
    end.count(&peer.counts);
    local.down(peer, &end.to_string());
}

async fn read_acks(
    mut reader: FrameReader<impl tokio::io::AsyncRead + Unpin>,
    outbox: &Outbox,
) -> End {
    loop {
        let acknowledged = match reader.next().await {
            Ok(Read::Tick) => continue,
            Ok(Read::Frame(body)) => match <[u8; ACK_BYTES]>::try_from(&body[..]) {
                Ok(frames) => outbox.acknowledged(u64::from_le_bytes(frames)),
                Err(_) => return End::AckLength { bytes: body.len() },
            },
            Err(end) => return end,
        };
        if let Err(error) = acknowledged {
            return error.into();
        }
    }
}

/// Writes what waits, in batches, and a keep-alive whenever nothing did for a while.
async fn write_frames(mut writer: impl AsyncWrite + Unpin, peer: &Peer) -> io::Error {
    let mut bodies = Vec::new();
    let mut batch = WriteBatch::default();
    let mut ticks = keepalive_ticks();
    loop {
        peer.outbox.take_batch(&mut bodies);
        let written = if bodies.is_empty() {
            tokio::select! {
                biased;
                () = peer.outbox.filled() => continue,
                _ = ticks.tick() => writer.write_all(&frame_header(b"")).await,
            }
        } else {
            let frames = u64::try_from(bodies.len()).expect("a size fits 64 bits");
            let bytes = bodies.iter().map(length).sum();
            batch.load(&mut bodies);
            let written = write_batch(&mut writer, &mut batch).await;
            if written.is_ok() {
                peer.counts.frames_out.add(frames);
                peer.counts.bytes_out.add(bytes);
            }
            written
        };
        if let Err(error) = written {
            return error;
        }
    }
}

async fn write_batch(
    writer: &mut (impl AsyncWrite + Unpin),
    batch: &mut WriteBatch,
) -> io::Result<()> {
    loop {
        let written = {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            match batch.slices(&mut slices) {
                0 => return Ok(()),
                filled => writer.write_vectored(&slices[..filled]).await?,
            }
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        batch.advance(written);
    }
}
