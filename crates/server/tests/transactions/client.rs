//! Who moves it: clients that know of each transaction what became of it, or that nobody knows.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::bank::{Bank, End, Told, numbers};
use crate::processes::cluster::NODES;
use crate::processes::resp::{Connection, Reply};
use crate::{BANKS, CLIENTS, TOTAL};

/// How long a client waits for a reply; then it does not know what became of its command.
const PATIENCE: Duration = Duration::from_secs(5);
/// Errors after which a command was certainly not done, as docs/redis.md has them.
const REFUSALS: [&str; 4] = ["EXECABORT", "CLUSTERDOWN", "TRYAGAIN", "OVERLOADED"];

/// A client that never sends a transaction twice.
pub(crate) struct Client {
    number: u64,
    addresses: [SocketAddr; NODES],
    connections: [Option<Connection>; NODES],
    /// Which node it asks about each bank.
    leaders: [usize; BANKS],
    pub(crate) told: Vec<Told>,
}

impl Client {
    pub(crate) fn new(number: u64, addresses: [SocketAddr; NODES]) -> Self {
        let connections = [const { None }; NODES];
        Self { number, addresses, connections, leaders: [0; BANKS], told: Vec::new() }
    }

    /// Every client goes through the banks in the same order, so that several are in one at a time.
    pub(crate) fn work(&mut self, banks: &[Bank], is_over: &AtomicBool) {
        for at in 0_u64.. {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let bank = usize::try_from(at).unwrap() % BANKS;
            let number = at * CLIENTS + self.number;
            let amount = i64::try_from(number % 7).unwrap() - 3;
            let end = self.transact(bank, &banks[bank], number, amount);
            if end == End::Done {
                banks[bank].done.fetch_add(1, Ordering::Relaxed);
            }
            self.told.push(Told { bank, number, amount, end });
        }
    }

    /// Moves an amount at the node that is taken for the leader; notes who is, if that is not so.
    fn transact(&mut self, number: usize, bank: &Bank, id: u64, amount: i64) -> End {
        let node = self.leaders[number];
        let transaction = Transaction { bank, id, amount, watches: id.is_multiple_of(2) };
        let connection = match self.connections[node].take() {
            Some(connection) => Ok(connection),
            None => Connection::open(self.addresses[node], PATIENCE),
        };
        let reply = connection.map_err(before).and_then(|mut connection| {
            let reply = transaction.run(&mut connection)?;
            self.connections[node] = Some(connection);
            Ok(reply)
        });
        let elsewhere = (node + 1) % NODES;
        match reply {
            Ok(Reply::Items(items)) if items.is_empty() && transaction.watches => End::Declined,
            Ok(Reply::Items(items)) => {
                transaction.check(items);
                End::Done
            }
            Ok(Reply::Error(error)) => {
                let code = error.split(' ').next().unwrap_or_default();
                let to = error.rsplit(' ').next().unwrap_or_default();
                match code {
                    "MOVED" => {
                        let leader = self.addresses.iter().position(|it| it.to_string() == to);
                        self.leaders[number] = leader.expect("the address of a node");
                        End::Refused
                    }
                    "UNCERTAIN" => End::Unknown,
                    _ if REFUSALS.contains(&code) => End::Refused,
                    _ => panic!("a transaction is answered by {error:?}"),
                }
            }
            Ok(reply) => panic!("a transaction is answered by {reply:?}"),
            Err(Broken::Before) => {
                self.leaders[number] = elsewhere;
                End::Refused
            }
            Err(Broken::After(error)) => {
                println!("no reply to EXEC: {error}");
                self.leaders[number] = elsewhere;
                End::Unknown
            }
        }
    }
}

/// A connection is gone: before EXEC was sent, or since.
enum Broken {
    Before,
    After(io::Error),
}

fn before(_: io::Error) -> Broken {
    Broken::Before
}

/// One movement of an amount.
struct Transaction<'a> {
    bank: &'a Bank,
    id: u64,
    amount: i64,
    /// Whether it computes the balances itself, from what it has read under WATCH.
    watches: bool,
}

impl Transaction<'_> {
    /// Gives out what EXEC is answered, or the error of the command before that could not be done.
    fn run(&self, connection: &mut Connection) -> Result<Reply, Broken> {
        let deadline = Instant::now() + PATIENCE;
        let (a, b, out, into) =
            (self.bank.a(), self.bank.b(), self.bank.key("out"), self.bank.key("in"));
        let mut say = |words: &[&str]| connection.ask(words, deadline);
        let (id, amount) = (self.id.to_string(), self.amount.to_string());
        let change = if self.watches { "SET" } else { "INCRBY" };
        let (from, to) = match self.changes(&mut say)? {
            Ok(changes) => changes,
            Err(error) => return Ok(error),
        };
        let queued: [&[&str]; 5] = [
            &[change, &a, &from],
            &["HINCRBY", &out, &id, &amount],
            &[change, &b, &to],
            &["HINCRBY", &into, &id, &amount],
            &["MGET", &a, &b],
        ];
        say(&["MULTI"]).map_err(before)?;
        let mut refusal = None;
        for words in queued {
            let reply = say(words).map_err(before)?;
            if matches!(reply, Reply::Error(_)) {
                refusal = refusal.or(Some(reply));
            }
        }
        let reply = say(&["EXEC"]).map_err(Broken::After)?;
        let is_aborted = matches!(&reply, Reply::Error(error) if error.starts_with("EXECABORT"));
        assert_eq!(refusal.is_some(), is_aborted, "{refusal:?}, and EXEC: {reply:?}");
        // Why it was aborted is what the first command was told that could not be queued.
        Ok(refusal.unwrap_or(reply))
    }

    /// What both accounts are changed by, or to; or the error that kept it from being computed.
    fn changes(
        &self,
        mut say: impl FnMut(&[&str]) -> io::Result<Reply>,
    ) -> Result<Result<(String, String), Reply>, Broken> {
        if !self.watches {
            return Ok(Ok(((-self.amount).to_string(), self.amount.to_string())));
        }
        let (a, b) = (self.bank.a(), self.bank.b());
        for words in [["WATCH", &a, &b], ["MGET", &a, &b]] {
            match say(&words).map_err(before)? {
                Reply::Status(_) => {}
                Reply::Items(balances) => {
                    let balances = numbers(Reply::Items(balances));
                    self.check_total(&balances);
                    let changed = (balances[0] - self.amount, balances[1] + self.amount);
                    return Ok(Ok((changed.0.to_string(), changed.1.to_string())));
                }
                refusal @ (Reply::Error(_) | Reply::Integer(_) | Reply::Text(_)) => {
                    say(&["UNWATCH"]).map_err(before)?;
                    return Ok(Err(refusal));
                }
            }
        }
        panic!("MGET is answered by a status")
    }

    fn check_total(&self, balances: &[i64]) {
        assert_eq!(balances.iter().sum::<i64>(), TOTAL, "{} was seen by half", self.bank.name);
    }

    /// Whether all commands were done, and together.
    fn check(&self, mut items: Vec<Reply>) {
        assert_eq!(items.len(), 5, "{items:?}");
        self.check_total(&numbers(items.pop().unwrap()));
        for ledger in [1, 3] {
            assert_eq!(items[ledger], Reply::Integer(self.amount), "{} is in it twice", self.id);
        }
    }
}
