//! One client: a connection to each node that it needs, one batch under way at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cluster::{Cluster, PATIENCE};
use super::replies::{self, Said, Unreadable};
use crate::cli::bench::keys::{self, Keys, Operation};
use crate::cli::bench::load::{Link, Told};
use crate::cli::bench::tally::Done;
use crate::config::Address;

/// How long operations of a batch are sent from node to node before they fail: while leaders change,
/// nodes may send to each other. Longer than a node lets a command wait for a leader.
const FOLLOW: Duration = Duration::from_secs(5);
/// How long a client waits after it lost a node, or was sent back and forth.
const PAUSE: Duration = Duration::from_millis(20);
/// How much room there is for replies at first; it grows with what comes.
const INPUT_BYTES: usize = 16 * 1024;

/// One client.
pub(crate) struct Client {
    cluster: Arc<Cluster>,
    keys: Arc<Keys>,
    /// What every write ends with: its value, as the protocol has it.
    value: Bytes,
    /// By place.
    connections: HashMap<usize, Connection>,
    output: BytesMut,
    /// How long redirects are followed.
    follow: Duration,
}

struct Connection {
    stream: TcpStream,
    input: BytesMut,
}

impl Client {
    /// Connects as soon as it needs to.
    pub(crate) fn new(cluster: Arc<Cluster>, keys: Arc<Keys>, payload_bytes: usize) -> Self {
        let mut value = format!("\r\n${payload_bytes}\r\n").into_bytes();
        value.resize(value.len() + payload_bytes, b'x');
        value.extend_from_slice(b"\r\n");
        Self {
            cluster,
            keys,
            value: value.into(),
            connections: HashMap::new(),
            output: BytesMut::new(),
            follow: FOLLOW,
        }
    }
}

impl Link for Client {
    fn place(&self, slot: u16) -> usize {
        self.cluster.place(slot)
    }

    async fn perform(&mut self, operations: &[Operation], told: &Told) {
        let began = Instant::now();
        let mut waiting = operations.to_vec();
        let mut is_again = false;
        while let Some(first) = waiting.first() {
            // Somebody may have learned meanwhile that they do not belong together.
            let place = self.place(self.keys.slot(first.key));
            let is_there =
                |operation: &Operation| self.place(self.keys.slot(operation.key)) == place;
            let (batch, others): (Vec<_>, Vec<_>) = waiting.iter().partition(|it| is_there(it));
            let mut moved = Vec::new();
            if let Err((error, unanswered)) =
                self.exchange(place, &batch, began, told, &mut moved).await
            {
                told.failed(&kind_of(&error), unanswered);
                self.lost(place).await;
            }
            told.redirected(moved.len());
            if !moved.is_empty() && std::mem::replace(&mut is_again, true) {
                tokio::time::sleep(PAUSE).await;
            }
            waiting = others;
            waiting.append(&mut moved);
            if told.is_over() || began.elapsed() > self.follow {
                return told.failed("MOVED", waiting.len());
            }
        }
    }
}

impl Client {
    /// Sends a batch to the node of a place and tells what becomes of it, but for what it says is
    /// served elsewhere: that comes into `moved`.
    ///
    /// # Errors
    /// The connection broke; and how many operations were not answered.
    async fn exchange(
        &mut self,
        place: usize,
        batch: &[Operation],
        began: Instant,
        told: &Told,
        moved: &mut Vec<Operation>,
    ) -> Result<(), (io::Error, usize)> {
        self.output.clear();
        for operation in batch {
            request(&mut self.output, operation, &self.value);
        }
        let cluster = &self.cluster;
        let Connection { stream, input } = match self.connections.entry(place) {
            Entry::Occupied(connection) => connection.into_mut(),
            Entry::Vacant(none) => {
                let connection = connect(cluster.address(place)).await;
                none.insert(connection.map_err(|error| (error, batch.len()))?)
            }
        };
        let (mut from, mut to) = stream.split();
        let mut answered = 0;
        let mut take = |input: &mut BytesMut| -> io::Result<bool> {
            let moved = |operation, slot, to: &str| {
                cluster.moved(slot, to, place);
                moved.push(operation);
            };
            let (count, next) = settle(input, &batch[answered..], began, told, moved);
            answered += count;
            next.map_err(|_| unreadable())?;
            Ok(answered == batch.len())
        };
        // At once: a node that waits for its replies to be taken reads no further.
        let sent = async { to.write_all(&self.output).await };
        let received = async {
            loop {
                if from.read_buf(input).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if take(input)? {
                    return Ok(());
                }
            }
        };
        let result = tokio::try_join!(sent, received).map(|_| ());
        result.map_err(|error| (error, batch.len() - answered))
    }

    /// A node is gone, or not what it was: forgets the connection, and asks the others.
    async fn lost(&mut self, place: usize) {
        self.connections.remove(&place);
        let cluster = Arc::clone(&self.cluster);
        // If the thread for it cannot be had, the next one who loses a node asks.
        let _ = tokio::task::spawn_blocking(move || cluster.learn_again(place)).await;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Takes all replies that are whole, tells what they say, and answers how many they were, and whether
/// what comes behind them is none; hands what is served elsewhere to `moved`, with its slot and where.
fn settle(
    input: &mut BytesMut,
    batch: &[Operation],
    began: Instant,
    told: &Told,
    mut moved: impl FnMut(Operation, u16, &str),
) -> (usize, Result<(), Unreadable>) {
    let mut done = Done::default();
    let (mut at, mut count) = (0, 0);
    let mut next = Ok(());
    for operation in batch {
        let (said, len) = match replies::first(&input[at..]) {
            Ok(Some(reply)) => reply,
            Ok(None) => break,
            Err(unreadable) => {
                // What was answered before it stands; whoever asked counts only the others as failed.
                next = Err(unreadable);
                break;
            }
        };
        (at, count) = (at + len, count + 1);
        let answered = if operation.is_read { &mut done.reads } else { &mut done.writes };
        match said {
            Said::Done => *answered += 1,
            Said::Nothing => {
                *answered += 1;
                done.missing += 1;
            }
            Said::Failed(text) => match replies::moved(text) {
                Some((slot, to)) => moved(*operation, slot, to),
                None => told.failed(&replies::kind(text), 1),
            },
        }
    }
    input.advance(at);
    if count > 0 {
        told.done(done, began.elapsed());
    }
    (count, next)
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a reply that is none")
}

/// The request for an operation, all of one kind of the same length.
fn request(output: &mut BytesMut, operation: &Operation, value: &[u8]) {
    const { assert!(keys::NAME_BYTES == 24) };
    if operation.is_read {
        output.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$24\r\n");
        output.extend_from_slice(&keys::name(operation.key));
        output.extend_from_slice(b"\r\n");
    } else {
        output.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$24\r\n");
        output.extend_from_slice(&keys::name(operation.key));
        output.extend_from_slice(value);
    }
}

async fn connect(address: Option<Address>) -> io::Result<Connection> {
    let Address { host, port } = address.ok_or(io::ErrorKind::NotConnected)?;
    let stream = TcpStream::connect((host.as_str(), port));
    let stream = tokio::time::timeout(PATIENCE.connect, stream).await;
    let stream = stream.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    Ok(Connection { stream, input: BytesMut::with_capacity(INPUT_BYTES) })
}

/// What errors of connections are counted as.
fn kind_of(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "connection: closed by the node".to_owned();
    }
    format!("connection: {error}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::bench::redis::scripted::node;
    use crate::cli::bench::tally::Tally;
    use crate::cli::bench::window::Window;

    #[test]
    fn requests_are_what_the_server_reads() {
        let mut output = BytesMut::new();
        let keys = Arc::new(Keys::new(1));
        let cluster = Arc::new(Cluster::new(Vec::new()));
        let client = Client::new(cluster, keys, 2);
        request(&mut output, &Operation { key: 3, is_read: true }, &client.value);
        request(&mut output, &Operation { key: 4, is_read: false }, &client.value);
        let expected = "*2\r\n$3\r\nGET\r\n$24\r\nmultiraft-bench:00000003\r\n\
                        *3\r\n$3\r\nSET\r\n$24\r\nmultiraft-bench:00000004\r\n$2\r\nxx\r\n";
        assert_eq!(output, expected);
    }

    /// What a client, that follows redirects for so long, is told of writes to as many keys.
    async fn told(at: Address, count: u32, follow: Duration) -> Tally {
        let keys = Arc::new(Keys::new(count));
        let cluster = Arc::new(Cluster::new(vec![at]));
        let mut client = Client { follow, ..Client::new(cluster, keys, 2) };
        let operations: Vec<_> = (0..count).map(|key| Operation { key, is_read: false }).collect();
        let window = Arc::new(Window::default());
        window.open();
        let told = Told::new(window);
        told.asked(operations.len());
        let performed = client.perform(&operations, &told);
        tokio::time::timeout(BOUND, performed).await.expect("it comes to an end");
        told.end()
    }

    const BOUND: Duration = Duration::from_secs(20);

    fn errors<const N: usize>(errors: [(&str, u64); N]) -> BTreeMap<String, u64> {
        errors.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
    }

    #[tokio::test]
    async fn errors_are_counted_by_kind_beside_what_was_done() {
        let answer = "-MISCONF no\r\n+OK\r\n-UNCERTAIN maybe\r\n-MISCONF no\r\n$-1\r\n";
        let tally = told(node([answer.to_owned()]), 5, BOUND).await;
        assert_eq!(tally.errors, errors([("MISCONF", 2), ("UNCERTAIN", 1)]));
        assert_eq!((tally.count(), tally.missing), (2, 1));
    }

    #[tokio::test]
    async fn what_a_node_did_not_answer_before_it_closed_has_failed() {
        let tally = told(node(["+OK\r\n".to_owned()]), 3, BOUND).await;
        assert_eq!(tally.errors, errors([("connection: closed by the node", 2)]));
        assert_eq!(tally.count(), 1);
    }

    #[tokio::test]
    async fn a_redirect_is_followed_to_where_it_leads() {
        let slot = Keys::new(1).slot(0);
        let to = node(["+OK\r\n".to_owned()]);
        let tally = told(node([format!("-MOVED {slot} {to}\r\n")]), 1, BOUND).await;
        assert_eq!((tally.count(), tally.redirects), (1, 1));
        assert_eq!(tally.errors, errors([]));
    }

    #[tokio::test]
    async fn redirects_that_do_not_end_fail_after_a_while() {
        let back = std::iter::repeat("-MOVED 7 nowhere\r\n".to_owned());
        let tally = told(node(back), 1, 3 * PAUSE).await;
        assert_eq!(tally.errors, errors([("MOVED", 1)]));
        assert!(tally.redirects > 0, "{tally:?}");
    }

    #[tokio::test]
    async fn a_reply_that_is_none_ends_the_connection_and_nothing_is_counted_twice() {
        // What comes before it stands: one has failed, and one is asked for again. Of what comes
        // behind it nobody knows what it answers.
        let answer = "-MISCONF no\r\n-MOVED 7 nowhere\r\n:1\r\n+OK\r\n".to_owned();
        let tally = told(node([answer, "+OK\r\n".to_owned()]), 4, BOUND).await;
        assert_eq!(tally.errors, errors([("MISCONF", 1), ("connection: a reply that is none", 2)]));
        assert_eq!((tally.count(), tally.redirects), (1, 1));
    }
}
