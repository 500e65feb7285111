//! One client: bytes in, replies out, in order.
//!
//! A connection reads only when everything it has read is answered and sent. So a client that
//! sends faster than it is served, or does not take its replies, waits in its own socket and costs
//! nobody else anything. An idle connection holds no buffer, and what the others hold is bounded for
//! all clients together: who holds most has to go.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::error::Elapsed;

use super::batch::Batch;
use super::clients::Seat;
use super::service::{Service, Session};
use crate::resp::{Parser, Protocol, ProtocolError, Reply, Request};

/// How many bytes are read at a time.
const READ_BYTES: usize = 16 * 1024;
/// How many bytes of replies are gathered before they are sent.
const SEND_BYTES: usize = 256 * 1024;
/// How long and how much a client may still send after we have said goodbye.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

thread_local! {
    /// Where bytes arrive, whosever they are: nobody holds memory while he waits for some, and then
    /// no more than came.
    static ARRIVALS: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Serves a client until it leaves, breaks the protocol, or the node stops.
pub(crate) async fn serve(
    stream: TcpStream,
    service: Arc<Service>,
    seat: Seat,
    stop: watch::Receiver<bool>,
) {
    let client = Arc::clone(seat.client());
    let session = Session::new(Arc::clone(&client));
    let parser = Parser::new(service.limits.request);
    let (input, output) = (BytesMut::new(), BytesMut::new());
    let mut connection = Connection { stream, service, seat, session, parser, input, output, stop };
    let ended = tokio::select! {
        biased;
        () = client.evicted() => None,
        ended = connection.run() => Some(ended),
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(client = client.id, %error, "connection lost"),
        None => {
            connection.service.counters.evicted.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                client = client.id,
                peer = client.peer,
                bytes = client.bytes(),
                limit = connection.service.limits.clients_bytes_max,
                "client disconnected: all clients together hold more memory than \
                 clients_bytes_max, and it holds most"
            );
        }
    }
}

/// Appends what has come to `input` and tells how many bytes that is; none if the client has left.
fn poll_read(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    ARRIVALS.with_borrow_mut(|arrivals| {
        let mut arrivals = ReadBuf::new(arrivals);
        ready!(Pin::new(stream).poll_read(context, &mut arrivals))?;
        input.extend_from_slice(arrivals.filled());
        Poll::Ready(Ok(arrivals.filled().len()))
    })
}

/// As [`tokio::time::timeout`], but without a timer for what need not be waited for.
async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => tokio::time::timeout(limit, future).await,
    }
}

struct Connection {
    stream: TcpStream,
    service: Arc<Service>,
    seat: Seat,
    session: Session,
    parser: Parser,
    input: BytesMut,
    output: BytesMut,
    stop: watch::Receiver<bool>,
}

/// What waiting for bytes came to.
enum Received {
    Bytes,
    Left,
    Stop,
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let (requests, error) = self.take_requests();
            if requests.is_empty() && error.is_none() {
                match self.receive().await? {
                    Received::Bytes => continue,
                    Received::Left => return Ok(()),
                    Received::Stop => return self.close().await,
                }
            }
            self.answer(requests).await?;
            if self.session.is_closing || *self.stop.borrow() {
                return self.close().await;
            }
            if let Some(error) = error {
                Reply::error(format!("ERR {error}")).encode(Protocol::Resp2, &mut self.output);
                self.service.protocol_broken();
                self.send().await?;
                return self.close().await;
            }
        }
    }

    /// Takes as many requests off the input as may be worked on at a time.
    fn take_requests(&mut self) -> (Vec<Request>, Option<ProtocolError>) {
        let limits = self.service.limits;
        let mut requests = Vec::new();
        let mut cost = 0;
        while requests.len() < limits.pipeline_commands_max && cost < limits.pipeline_bytes_max {
            match self.parser.next(&mut self.input) {
                Ok(Some(request)) => {
                    cost += request.cost();
                    requests.push(request);
                }
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
        (requests, None)
    }

    /// Waits for bytes, for the client to leave, or for the node to stop.
    async fn receive(&mut self) -> io::Result<Received> {
        if self.input.is_empty() {
            // Whoever waits holds no memory.
            self.input = BytesMut::new();
            self.output = BytesMut::new();
        }
        self.weigh(0).await;
        let (stream, input) = (&mut self.stream, &mut self.input);
        tokio::select! {
            count = poll_fn(|context| poll_read(stream, input, context)) => match count? {
                0 => Ok(Received::Left),
                _ => Ok(Received::Bytes),
            },
            stopped = self.stop.wait_for(|stop| *stop) => {
                drop(stopped);
                Ok(Received::Stop)
            }
        }
    }

    /// Takes note of what the connection holds: its buffers, what it has queued, and `working` bytes
    /// of requests and replies. Waits while that is too much for all together.
    async fn weigh(&self, working: usize) {
        let buffers = self.input.capacity() + self.output.capacity();
        self.seat.hold(buffers + self.session.multi.bytes() + working);
        self.seat.room().await;
    }

    /// Does the requests of one pipeline and sends replies as they become complete from the front.
    async fn answer(&mut self, requests: Vec<Request>) -> io::Result<()> {
        let mut requests = requests.into_iter();
        while !self.session.is_closing && requests.len() > 0 {
            let mut batch = Batch::plan(&self.service, &mut self.session, &mut requests);
            loop {
                self.weigh(batch.bytes()).await;
                while batch.drain(&mut self.output, SEND_BYTES) {
                    self.weigh(batch.bytes()).await;
                    self.send().await?;
                }
                self.send().await?;
                if batch.is_done() {
                    break;
                }
                batch.round().await;
            }
        }
        Ok(())
    }

    /// Sends all gathered replies.
    async fn send(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let write = self.stream.write(&self.output);
            let Ok(written) = within(self.service.limits.write_timeout, write).await else {
                self.give_up();
                return Err(io::Error::new(io::ErrorKind::TimedOut, "takes no replies"));
            };
            match written? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.output.advance(count),
            }
        }
        Ok(())
    }

    /// Says that the client is disconnected because it takes no replies.
    fn give_up(&self) {
        self.service.counters.stuck.fetch_add(1, Ordering::Relaxed);
        let client = self.seat.client();
        tracing::warn!(
            client = client.id,
            peer = client.peer,
            bytes = client.bytes(),
            "client disconnected: it has taken none of its replies for client_write_timeout_ms"
        );
    }

    /// Says goodbye in a way that lets the client read all replies: if we closed while bytes of
    /// its own are still on the way, the system would reset the connection and throw replies away.
    async fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let linger = async {
            let mut discarded = 0;
            while discarded < LINGER_BYTES_MAX {
                self.input.clear();
                self.input.reserve(READ_BYTES);
                self.stream.readable().await?;
                match self.stream.try_read_buf(&mut self.input) {
                    Ok(0) => break,
                    Ok(count) => discarded += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        tokio::time::timeout(LINGER, linger).await.unwrap_or(Ok(()))
    }
}
