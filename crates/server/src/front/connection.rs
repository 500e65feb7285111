//! One client: bytes in, replies out, in order.
//!
//! A connection reads only when everything it has read is answered and sent. So a client that
//! sends faster than it is served, or does not take its replies, waits in its own socket and costs
//! nobody else anything. An idle connection holds no buffer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

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

/// Serves a client until it leaves, breaks the protocol, or the node stops.
pub(crate) async fn serve(
    stream: TcpStream,
    service: Arc<Service>,
    seat: Seat,
    stop: watch::Receiver<bool>,
) {
    let session = Session::new(Arc::clone(seat.client()));
    let parser = Parser::new(service.limits.request);
    let buffers = (BytesMut::new(), BytesMut::new());
    let mut connection =
        Connection { stream, service, session, parser, input: buffers.0, output: buffers.1, stop };
    if let Err(error) = connection.run().await {
        tracing::debug!(client = seat.client().id, %error, "connection lost");
    }
}

struct Connection {
    stream: TcpStream,
    service: Arc<Service>,
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
                self.service.answered(true);
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
        loop {
            tokio::select! {
                readable = self.stream.readable() => readable?,
                stopped = self.stop.wait_for(|stop| *stop) => {
                    drop(stopped);
                    return Ok(Received::Stop);
                }
            }
            self.input.reserve(READ_BYTES);
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => return Ok(Received::Left),
                Ok(_) => return Ok(Received::Bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Does the requests of one pipeline and sends replies as they become complete from the front.
    async fn answer(&mut self, requests: Vec<Request>) -> io::Result<()> {
        let mut batch = Batch::plan(&self.service, &mut self.session, requests);
        loop {
            while batch.drain(&mut self.output, SEND_BYTES) {
                self.send().await?;
            }
            self.send().await?;
            if batch.is_done() {
                return Ok(());
            }
            batch.round().await;
        }
    }

    /// Sends all gathered replies.
    async fn send(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let write = self.stream.write(&self.output);
            let Ok(written) = tokio::time::timeout(self.service.limits.write_timeout, write).await
            else {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "takes no replies"));
            };
            match written? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.output.advance(count),
            }
        }
        Ok(())
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
