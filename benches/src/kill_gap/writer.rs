//! Clients that write to a group all the time, one command after the other.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::Scope;
use std::time::Duration;

use parking_lot::Mutex;
use routing::{HASH_SLOTS, RoutingTable, hash_slot};
use types::{NodeId, VShardId};

use super::ticker::Ticker;
use crate::figure::Wrong;
use crate::nodes::NODES;

/// So that a command that was lost with its connection does not make the gap.
pub(crate) const CLIENTS_PER_GROUP: usize = 2;
/// How many keys a client has, in different slots of its group.
const KEYS_PER_CLIENT: usize = 32;
/// How long a client waits for a reply: longer than a node lets it wait for a leader.
const REPLY_WITHIN: Duration = Duration::from_secs(3);
/// How long a client waits before it asks the next node, if one takes no connection.
const RETRY: Duration = Duration::from_millis(1);

/// All clients, with what they were told.
pub(crate) struct Writers {
    addresses: [SocketAddr; NODES],
    writers: Vec<Mutex<Writer>>,
}

struct Writer {
    /// Counted from 0.
    group: usize,
    /// With the last value of each that was acknowledged, 0 for none.
    keys: Vec<(String, u64)>,
}

/// What a node says.
enum Said {
    Done(String),
    /// Ask that node; this one did nothing.
    Moved(usize),
    /// It did nothing.
    Refused,
}

impl Writers {
    /// Finds keys for the clients of each group.
    pub(crate) fn new(groups: u32, addresses: [SocketAddr; NODES]) -> Result<Self, Wrong> {
        let nodes: Vec<NodeId> = (1..).map(NodeId).take(NODES).collect();
        let table = RoutingTable::uniform(HASH_SLOTS, groups, &nodes, NODES)
            .map_err(|error| Wrong(format!("{groups} groups: {error}")))?;
        let mut keys: Vec<Vec<(String, u64)>> = vec![Vec::new(); count(groups)];
        let wanted = CLIENTS_PER_GROUP * KEYS_PER_CLIENT;
        for number in 0_u64.. {
            let key = format!("key-{number}");
            let slot = VShardId(u32::from(hash_slot(key.as_bytes())));
            let group = table.group_of(slot).ok_or_else(|| Wrong(format!("no group has {key}")))?;
            let group = &mut keys[usize::try_from(group.0 - 1).expect("a group of the table")];
            if group.len() < wanted {
                group.push((key, 0));
            }
            if keys.iter().all(|keys| keys.len() == wanted) {
                break;
            }
        }
        let of_group = |(group, keys): (usize, Vec<(String, u64)>)| {
            let parts: Vec<Vec<(String, u64)>> =
                keys.chunks(KEYS_PER_CLIENT).map(<[_]>::to_vec).collect();
            parts.into_iter().map(move |keys| Mutex::new(Writer { group, keys }))
        };
        let writers = keys.into_iter().enumerate().flat_map(of_group).collect();
        Ok(Self { addresses, writers })
    }

    /// Lets each write on a thread of its own until it is over.
    pub(crate) fn spawn<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        ticker: &'scope Ticker,
    ) {
        for writer in &self.writers {
            scope.spawn(|| self.write(&mut writer.lock(), ticker));
        }
    }

    fn write(&self, writer: &mut Writer, ticker: &Ticker) {
        let mut client = Client::new(self.addresses, writer.group % NODES);
        let mut value = 0_u64;
        while !ticker.is_over() {
            value += 1;
            let place = usize::try_from(value).unwrap_or_default() % writer.keys.len();
            let (key, last) = &mut writer.keys[place];
            // What nobody answered is not sent again: the next value goes to the next key.
            if client.ask(&format!("SET {key} {value}\r\n")).is_some() {
                *last = value;
                ticker.acknowledge(writer.group, client.node);
            }
        }
    }

    /// Reads every key: it must hold the last value that was acknowledged, or a later one of unknown
    /// outcome.
    pub(crate) fn verify(&self) -> Result<(), Wrong> {
        for writer in &self.writers {
            let writer = writer.lock();
            let mut client = Client::new(self.addresses, writer.group % NODES);
            for (key, last) in writer.keys.iter().filter(|(_, last)| *last > 0) {
                let found = client.ask(&format!("GET {key}\r\n"));
                let value = found.as_deref().and_then(|text| text.parse::<u64>().ok());
                if value.is_none_or(|value| value < *last) {
                    return Err(Wrong(format!("{key} holds {found:?}, acknowledged was {last}")));
                }
            }
        }
        Ok(())
    }
}

/// One connection at a time, to the node that was right last.
struct Client {
    addresses: [SocketAddr; NODES],
    node: usize,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    const fn new(addresses: [SocketAddr; NODES], node: usize) -> Self {
        Self { addresses, node, connection: None }
    }

    /// Sends a command, also to another node as long as nothing was done; answers the reply, or
    /// nothing if the connection was lost or nobody did it.
    fn ask(&mut self, command: &str) -> Option<String> {
        for _ in 0..2 * NODES {
            match self.ask_once(command) {
                Ok(Said::Done(reply)) => return Some(reply),
                Ok(Said::Moved(node)) => self.go_to(node),
                Ok(Said::Refused) => {}
                Err(_) => {
                    self.go_to((self.node + 1) % NODES);
                    return None;
                }
            }
        }
        None
    }

    fn go_to(&mut self, node: usize) {
        self.node = node;
        self.connection = None;
    }

    fn ask_once(&mut self, command: &str) -> io::Result<Said> {
        if self.connection.is_none() {
            let address = self.addresses[self.node];
            let Ok(stream) = TcpStream::connect_timeout(&address, REPLY_WITHIN) else {
                std::thread::sleep(RETRY);
                return Ok(Said::Moved((self.node + 1) % NODES));
            };
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(REPLY_WITHIN))?;
            self.connection = Some(BufReader::new(stream));
        }
        let connection = self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        connection.get_mut().write_all(command.as_bytes())?;
        let line = line(connection)?;
        if let Some(error) = line.strip_prefix('-') {
            return self.refusal(error);
        }
        // Of a string, the first line says how long it is; ours have no ends of lines in them.
        let reply =
            if line.starts_with('$') && line != "$-1" { self::line(connection)? } else { line };
        Ok(Said::Done(reply))
    }

    fn refusal(&self, error: &str) -> io::Result<Said> {
        if error.starts_with("CLUSTERDOWN") {
            return Ok(Said::Refused);
        }
        let to = error.strip_prefix("MOVED ").and_then(|error| error.split(' ').nth(1));
        let node = to.and_then(|to| self.addresses.iter().position(|at| at.to_string() == to));
        node.map(Said::Moved).ok_or_else(|| io::Error::other(error.to_owned()))
    }
}

fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// A number of groups, for lists of them.
pub(crate) fn count(groups: u32) -> usize {
    usize::try_from(groups).expect("groups fit into memory")
}
