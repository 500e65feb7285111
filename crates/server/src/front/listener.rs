//! Takes in clients, as many as may be, until the node stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::connection;
use super::service::Service;

/// How long to wait when the system has no more file descriptors: trying again at once would only
/// burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the system asks a silent client whether it is there, before it gives it up.
const PROBES: u32 = 3;
/// How long connections get to finish what they have begun when the node stops.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// A node's open door.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Begins to take in clients. Must be called within a runtime.
    ///
    /// # Errors
    /// If the socket cannot be used by the runtime.
    pub fn start(socket: std::net::TcpListener, service: Arc<Service>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let socket = TcpListener::from_std(socket)?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(socket, service, stopped));
        Ok(Self { address, stop, task })
    }

    /// Where clients are taken in.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes in nobody any more, lets connections finish what they have begun, and closes them.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the listener ended badly");
        }
    }
}

async fn accept(socket: TcpListener, service: Arc<Service>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut is_short = false;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(ended) = connections.join_next() => {
                note_panic(ended);
                continue;
            }
            stopped = stop.wait_for(|stop| *stop) => {
                drop(stopped);
                break;
            }
        };
        match accepted {
            Ok((stream, peer)) => {
                is_short = false;
                admit(stream, peer, &service, &stop, &mut connections);
            }
            Err(error) => {
                // Said once, however often it is tried.
                if !std::mem::replace(&mut is_short, true) {
                    tracing::warn!(%error, "cannot accept clients");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(socket);
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            note_panic(ended);
        }
    };
    if tokio::time::timeout(STOP_WAIT, finish).await.is_err() {
        connections.shutdown().await;
    }
}

/// A connection that panics is our error; it must not go unseen.
fn note_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    service: &Arc<Service>,
    stop: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    service.counters.connections.fetch_add(1, Ordering::Relaxed);
    let local = stream.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
    let Some(seat) = service.clients.enter(peer.to_string(), local) else {
        service.counters.rejected.fetch_add(1, Ordering::Relaxed);
        // A fresh socket has room for this; if not, the client learns nothing more than it would.
        let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
        return;
    };
    if let Err(error) = prepare(&stream, service.limits.keepalive) {
        tracing::debug!(%error, %peer, "cannot set the options of a client's socket");
    }
    let service = Arc::clone(service);
    connections.spawn(connection::serve(stream, service, seat, stop.clone()));
}

/// Sets a client's socket up: replies are gathered here, so that the system must not hold them back
/// as well, and a client that has gone without a word is found out. The system asks it after a time
/// of silence, and three times more; its connection is broken after twice that time, as with Redis.
///
/// # Errors
/// The system refuses an option; the connection works without.
fn prepare(stream: &TcpStream, keepalive: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(silence) = keepalive {
        sockopt::set_tcp_keepidle(stream, silence)?;
        sockopt::set_tcp_keepintvl(stream, (silence / PROBES).max(Duration::from_secs(1)))?;
        sockopt::set_tcp_keepcnt(stream, PROBES)?;
        sockopt::set_socket_keepalive(stream, true)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
