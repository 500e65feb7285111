//! Which node serves which slot, as far as the clients were told.
//!
//! Invariant: places are given once and never change; which place a slot has changes whenever a node
//! says so.

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use routing::HASH_SLOTS;

use crate::cli::bench::error::BenchError;
use crate::cli::client::{self, ClientError, Patience};
use crate::config::Address;
use crate::resp::Reply;

/// Shared by all clients.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// By slot, the place of the node that serves it.
    slots: Vec<AtomicU16>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By place.
    nodes: Vec<Address>,
    /// When some node was asked last who serves what.
    asked: Instant,
}

/// Between two questions who serves what.
const ASK_INTERVAL: Duration = Duration::from_millis(200);
/// A node that takes longer is taken for one that does not answer.
pub(crate) const PATIENCE: Patience =
    Patience { connect: Duration::from_secs(2), reply: Duration::from_secs(5) };
/// What Redis answers that is no cluster.
const ALONE: &str = "cluster support disabled";

impl Cluster {
    /// Asks a node who serves what.
    ///
    /// # Errors
    /// Nobody answers there, or not as a server that could be loaded.
    pub(crate) fn learn(at: &Address) -> Result<Self, BenchError> {
        let reply = ask(at, &["CLUSTER", "SLOTS"])?;
        if matches!(&reply, Reply::Error(text) if text.contains(ALONE)) {
            return Ok(Self::new(vec![at.clone()]));
        }
        let refused = |answer: String, advice| {
            let at = at.clone();
            Err(BenchError::Refused { at, question: "CLUSTER SLOTS", answer, advice })
        };
        if let Reply::Error(text) = reply {
            return refused(text.into_owned(), "let it answer, or name another with --at");
        }
        let Some(ranges) = parse(&reply, at).filter(|ranges| !ranges.is_empty()) else {
            let answer = format!("{reply:?}").chars().take(ANSWER_CHARS_MAX).collect();
            return refused(answer, "it is no cluster that serves slots: found it first");
        };
        // The node that was asked has a place only if it serves something.
        let cluster = Self::new(Vec::new());
        cluster.take(&ranges);
        Ok(cluster)
    }

    /// One whose first node, if it has any, serves everything.
    pub(crate) fn new(nodes: Vec<Address>) -> Self {
        let slots = (0..HASH_SLOTS).map(|_| AtomicU16::new(0)).collect();
        Self { slots, state: Mutex::new(State { nodes, asked: Instant::now() }) }
    }

    /// The place of the node that serves a slot.
    pub(crate) fn place(&self, slot: u16) -> usize {
        self.slots.get(usize::from(slot)).map_or(0, |place| place.load(Ordering::Relaxed).into())
    }

    /// Where the node of a place is.
    pub(crate) fn address(&self, place: usize) -> Option<Address> {
        self.state.lock().nodes.get(place).cloned()
    }

    /// All nodes that were ever named.
    pub(crate) fn nodes(&self) -> Vec<Address> {
        self.state.lock().nodes.clone()
    }

    /// A node says that another one serves a slot; the host is that of `by` if none is named.
    pub(crate) fn moved(&self, slot: u16, to: &str, by: usize) {
        let to = match (to.strip_prefix(':'), self.address(by)) {
            (Some(port), Some(Address { host, .. })) => {
                port.parse().ok().map(|port| Address { host, port })
            }
            _ => Address::parse("it", to).ok(),
        };
        if let Some(to) = to {
            let mut state = self.state.lock();
            let place = state.place(&to);
            self.put(slot..=slot, place);
        }
    }

    /// A node is gone: asks the others who serves what, unless somebody did so a moment ago. Blocks
    /// the thread meanwhile.
    pub(crate) fn learn_again(&self, gone: usize) {
        let nodes = {
            let mut state = self.state.lock();
            if state.asked.elapsed() < ASK_INTERVAL {
                return;
            }
            state.asked = Instant::now();
            state.nodes.clone()
        };
        let others = nodes.iter().enumerate().filter(|(place, _)| *place != gone);
        for (_, at) in others {
            let reply = ask(at, &["CLUSTER", "SLOTS"]).ok();
            if let Some(ranges) = reply.and_then(|reply| parse(&reply, at)) {
                return self.take(&ranges);
            }
        }
    }

    fn take(&self, ranges: &[Range]) {
        let mut state = self.state.lock();
        for Range { first, last, node } in ranges {
            let place = state.place(node);
            self.put(*first..=*last, place);
        }
    }

    fn put(&self, slots: std::ops::RangeInclusive<u16>, place: u16) {
        let slots = slots.filter_map(|slot| self.slots.get(usize::from(slot)));
        slots.for_each(|slot| slot.store(place, Ordering::Relaxed));
    }
}

impl State {
    /// The node's place, a new one if it has none; the first one's if there are too many.
    fn place(&mut self, node: &Address) -> u16 {
        let known = self.nodes.iter().position(|known| known == node);
        let place = known.unwrap_or(self.nodes.len());
        let Ok(place) = u16::try_from(place) else { return 0 };
        if known.is_none() {
            self.nodes.push(node.clone());
        }
        place
    }
}

const ANSWER_CHARS_MAX: usize = 200;

/// Asks one node one question.
///
/// # Errors
/// Nobody answers there in time.
pub(crate) fn ask(at: &Address, words: &[&str]) -> Result<Reply, BenchError> {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    client::ask_once(&at.host, at.port, &words, PATIENCE).map_err(|error| {
        let reason = match error {
            ClientError::Connect { address, error } => {
                format!("cannot connect to {address}: {error}")
            }
            ClientError::Lost { .. }
            | ClientError::Reply { .. }
            | ClientError::Redirects { .. } => error.to_string(),
        };
        BenchError::Unreachable { reason }
    })
}

/// Slots, both ends included, and who serves them.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Range {
    first: u16,
    last: u16,
    node: Address,
}

/// Reads the answer to CLUSTER SLOTS; a node without a host is on that of the one that answers.
fn parse(reply: &Reply, by: &Address) -> Option<Vec<Range>> {
    items(reply)?.iter().map(|range| parse_range(range, by)).collect()
}

fn parse_range(range: &Reply, by: &Address) -> Option<Range> {
    let parts = items(range)?;
    let (first, last, node) = (integer(parts.first()?)?, integer(parts.get(1)?)?, parts.get(2)?);
    let node = items(node)?;
    let mut host = by.host.clone();
    if let Reply::Bulk(named) = node.first()?
        && !named.is_empty()
    {
        host = String::from_utf8_lossy(named).into_owned();
    }
    Some(Range { first, last, node: Address { host, port: integer(node.get(1)?)? } })
}

fn items(reply: &Reply) -> Option<&[Reply]> {
    if let Reply::Array(items) = reply { Some(items) } else { None }
}

fn integer(reply: &Reply) -> Option<u16> {
    if let Reply::Integer(number) = reply { u16::try_from(*number).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::redis::scripted::node;

    fn at(port: u16) -> Address {
        Address { host: "10.0.0.1".to_owned(), port }
    }

    fn cluster() -> Cluster {
        let cluster = Cluster::new(Vec::new());
        let node = |host: Reply, port| Reply::Array(vec![host, Reply::Integer(port)]);
        let range = |first, last, node| {
            Reply::Array(vec![Reply::Integer(first), Reply::Integer(last), node])
        };
        let reply = Reply::Array(vec![
            range(0, 99, node(Reply::text("10.0.0.1"), 1)),
            range(100, 199, node(Reply::text(""), 2)),
            range(200, 16_383, node(Reply::text("10.0.0.1"), 1)),
        ]);
        cluster.take(&parse(&reply, &at(7)).unwrap());
        cluster
    }

    #[test]
    fn slots_have_the_places_that_a_node_says() {
        let cluster = cluster();
        assert_eq!(cluster.nodes(), [at(1), at(2)]);
        let places = [0, 99, 100, 199, 200, 16_383].map(|slot| cluster.place(slot));
        assert_eq!(places, [0, 0, 1, 1, 0, 0]);
        assert_eq!((cluster.address(1), cluster.address(2)), (Some(at(2)), None));
    }

    #[test]
    fn a_redirect_moves_one_slot_to_a_known_or_new_place() {
        let cluster = cluster();
        cluster.moved(5, "10.0.0.1:2", 0);
        cluster.moved(6, ":3", 0);
        cluster.moved(7, "nonsense", 0);
        assert_eq!([4, 5, 6, 7].map(|slot| cluster.place(slot)), [0, 1, 2, 0]);
        assert_eq!(cluster.address(2), Some(at(3)));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for reply in [Reply::Null, Reply::Array(vec![Reply::Integer(1)])] {
            assert_eq!(parse(&reply, &at(7)), None);
        }
    }

    #[test]
    fn whoever_does_not_tell_who_serves_what_is_refused_with_what_to_do() {
        for (reply, said) in [
            ("-NOAUTH no\r\n", r#"with "NOAUTH no": let it answer, or name another with --at"#),
            ("$-1\r\n", r#"with "Null": it is no cluster that serves slots: found it first"#),
            ("*0\r\n", r#"with "Array([])": it is no cluster that serves slots: found it first"#),
        ] {
            let at = node([reply.to_owned()]);
            let error = Cluster::learn(&at).unwrap_err().to_string();
            assert_eq!(error, format!("{at} answers CLUSTER SLOTS {said}"));
        }
    }

    #[test]
    fn a_redis_alone_serves_all_slots() {
        let at = node(["-ERR This instance has cluster support disabled\r\n".to_owned()]);
        let cluster = Cluster::learn(&at).unwrap();
        let places = [0, 16_383].map(|slot| cluster.address(cluster.place(slot)));
        assert_eq!(places, [Some(at.clone()), Some(at)]);
    }
}
