//! A client that takes down what it asks and what it is told.
//!
//! It follows redirects, and asks elsewhere if nobody takes its connection: then nothing was sent. But
//! once a command is out, it never sends it again. Whether a command took effect is told by
//! `docs/redis.md`: after some errors it certainly did not, after `UNCERTAIN`, a lost connection or no
//! reply in time nobody knows. An error that is not in that document is a failure of the test.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sim::history::{Action, ClientId, History, Outcome};

use super::random::Random;
use crate::processes::cluster::NODES;
use crate::processes::resp::{Connection, Reply};

/// How often one command asks another node.
const HOPS_MAX: usize = 12;
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Errors after which the command was certainly not done.
const REFUSALS: [&str; 6] =
    ["CLUSTERDOWN", "TRYAGAIN", "LOADING", "MASTERDOWN", "OVERLOADED", "MISCONF"];

/// The time that all histories of a run are taken down by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap()
    }
}

/// One client, of the first node that it asks.
pub(crate) struct Client {
    id: ClientId,
    clock: Clock,
    addresses: [SocketAddr; NODES],
    connections: [Option<Connection>; NODES],
    /// How long it waits for a reply.
    patience: Duration,
    random: Random,
    values: u64,
    pub(crate) history: History,
}

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    Returned(Outcome),
    Refused,
    /// Nobody knows.
    Open,
}

/// What a reply, or none, says about a command.
enum Answer {
    Outcome(Outcome),
    /// Another node is to be asked; this one did nothing.
    Elsewhere(Option<usize>),
    Refused,
    Unknown,
}

impl Client {
    pub(crate) fn new(
        number: u32,
        seed: u64,
        clock: Clock,
        addresses: [SocketAddr; NODES],
        patience: Duration,
    ) -> Self {
        Self {
            id: ClientId(number),
            clock,
            addresses,
            connections: [const { None }; NODES],
            patience,
            random: Random::new(seed ^ u64::from(number) << 32),
            values: 0,
            history: History::default(),
        }
    }

    /// A value that nobody else writes anywhere.
    pub(crate) fn new_value(&mut self) -> u64 {
        self.values += 1;
        (u64::from(self.id.0) + 1) * 1_000_000_000 + self.values
    }

    /// Asks a node, or any; tells when, and what became of it. Also tells which node answered last.
    pub(crate) fn ask(&mut self, node: Option<usize>, key: &str, action: Action) -> Asked {
        let invoked = self.clock.now();
        let id = self.history.invoke(self.id, key, action, invoked);
        let mut node = node.unwrap_or_else(|| self.random.place(NODES));
        let mut ended = Ended::Refused;
        for _ in 0..HOPS_MAX {
            match self.ask_once(node, key, action) {
                Answer::Elsewhere(next) => {
                    node = next.unwrap_or_else(|| self.random.place(NODES));
                    continue;
                }
                Answer::Outcome(outcome) => ended = Ended::Returned(outcome),
                Answer::Refused => {}
                Answer::Unknown => ended = Ended::Open,
            }
            break;
        }
        let at = self.clock.now();
        match ended {
            Ended::Returned(outcome) => self.history.returned(id, outcome, at),
            Ended::Refused => self.history.refused(id, at),
            Ended::Open => {}
        }
        Asked { invoked, ended, node }
    }

    fn ask_once(&mut self, node: usize, key: &str, action: Action) -> Answer {
        let connection = match self.connections[node].take() {
            Some(connection) => Ok(connection),
            None => Connection::open(self.addresses[node], CONNECT_WITHIN),
        };
        let Ok(mut connection) = connection else { return Answer::Elsewhere(None) };
        let words = words(key, action);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Ok(reply) = connection.ask(&words, Instant::now() + self.patience) else {
            return Answer::Unknown;
        };
        self.connections[node] = Some(connection);
        if let Reply::Error(error) = &reply {
            return self.refusal(error, action);
        }
        let outcome = outcome(action, &reply);
        Answer::Outcome(outcome.unwrap_or_else(|| panic!("{action} is answered by {reply:?}")))
    }

    fn refusal(&self, error: &str, action: Action) -> Answer {
        let code = error.split(' ').next().unwrap_or_default();
        match code {
            "MOVED" => {
                let to = error.rsplit(' ').next().unwrap_or_default();
                let node = self.addresses.iter().position(|address| address.to_string() == to);
                assert!(node.is_some(), "no node is at the address of {error:?}");
                Answer::Elsewhere(node)
            }
            "UNCERTAIN" => Answer::Unknown,
            code if REFUSALS.contains(&code) => Answer::Refused,
            _ => panic!("{action} is answered by {error:?}, which docs/redis.md does not have"),
        }
    }
}

/// What was asked, in the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) invoked: u64,
    pub(crate) ended: Ended,
    /// Who was asked last.
    pub(crate) node: usize,
}

/// The command for an action.
fn words(key: &str, action: Action) -> Vec<String> {
    let key = key.to_owned();
    match action {
        Action::Get => vec!["GET".to_owned(), key],
        Action::Set(value) => vec!["SET".to_owned(), key, value.to_string()],
        Action::SetNew(value) => {
            vec!["SET".to_owned(), key, value.to_string(), "NX".to_owned()]
        }
        Action::Delete => vec!["DEL".to_owned(), key],
        Action::Add(count) => vec!["INCRBY".to_owned(), key, count.to_string()],
    }
}

/// What a reply says; none if it is no reply to that.
fn outcome(action: Action, reply: &Reply) -> Option<Outcome> {
    match (action, reply) {
        (Action::Get, Reply::Text(None)) => Some(Outcome::Found(None)),
        (Action::Get, Reply::Text(Some(text))) => Some(Outcome::Found(Some(text.parse().ok()?))),
        (Action::Set(_) | Action::SetNew(_), Reply::Status(status)) if status == "OK" => {
            Some(Outcome::Done)
        }
        (Action::SetNew(_), Reply::Text(None)) | (Action::Delete, Reply::Integer(0)) => {
            Some(Outcome::Declined)
        }
        (Action::Delete, Reply::Integer(1)) => Some(Outcome::Done),
        (Action::Add(_), Reply::Integer(sum)) => Some(Outcome::Sum(u64::try_from(*sum).ok()?)),
        (_, _) => None,
    }
}
