//! What happens to the network and to the nodes, in the order that a seed draws.
//!
//! Every fault waits for what shows that it was one: what the nodes say of it, or that another node
//! leads. So the counts at the end are of effects.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::connection::Direction;
use crate::crowd::random::Random;
use crate::crowd::{Crowd, HOT_KEYS, hot_key};
use crate::links::Links;
use crate::processes::BOUND;
use crate::processes::cluster::{Cluster, NODES};
use crate::way::Condition;

/// How long a fault lasts that lasts.
const LASTS: Duration = Duration::from_millis(1_200);
/// Longer than a node waits for a sign of life on a connection, which is 5 s.
const SILENCE: Duration = Duration::from_millis(6_500);
/// How often is looked whether the nodes have said something.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How many bits are turned one after the other.
const BITS: usize = 4;
/// The longest delay, in milliseconds: there and back it is half of the shortest election timeout.
const DELAY_MS_MAX: u64 = 120;
/// Less than what passes without a limit, and enough for the hello.
const BYTES_PER_SECOND: u64 = 16_000;

/// What nodes say of what they notice.
const DAMAGED: &str = "the peer sent a damaged frame";
const RESET: &str = "Connection reset by peer";
const CLOSED: &str = "the peer closed the connection";
const SILENT: &str = "nothing came from the peer for 5s";

/// The kinds of faults.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// Bytes take longer, on ways that are drawn.
    Delay,
    /// Fewer bytes pass, on ways that are drawn.
    Throttle,
    /// All connections of two nodes are reset.
    Cut,
    /// A node hears that its peer has closed, which has not.
    HalfClose,
    /// One bit of what one node sends another is turned.
    Damage,
    /// Nothing passes from one node to another, for longer than a connection may be silent.
    OneWay,
    /// Nothing passes between two nodes.
    Apart,
    /// Nothing that a leader sends arrives.
    Mute,
    /// Nothing arrives at a leader.
    Deaf,
    /// A leader stands still.
    Standstill,
    /// A node is killed and started again.
    Kill,
}

/// All of them.
const KINDS: [Kind; 11] = [
    Kind::Delay,
    Kind::Throttle,
    Kind::Cut,
    Kind::HalfClose,
    Kind::Damage,
    Kind::OneWay,
    Kind::Apart,
    Kind::Mute,
    Kind::Deaf,
    Kind::Standstill,
    Kind::Kill,
];

/// How often a kind of fault had its effect.
pub(crate) type Counts = BTreeMap<Kind, u64>;

/// Faults of a running cluster and of what is between its nodes.
pub(crate) struct Faults<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) links: &'a Links,
    pub(crate) crowd: &'a Crowd,
    pub(crate) random: Random,
    pub(crate) counts: Counts,
}

impl Faults<'_> {
    /// Lets every kind of fault happen, and so many more that are drawn. After each, everything is
    /// healed, and every group has to get on.
    pub(crate) fn happen(&mut self, more: usize) {
        self.crowd.expect_progress("the start");
        let mut kinds = KINDS.to_vec();
        // The silence takes long: it happens once.
        let drawn: Vec<Kind> = KINDS.into_iter().filter(|kind| *kind != Kind::OneWay).collect();
        kinds.extend((0..more).map(|_| drawn[self.random.place(drawn.len())]));
        for place in (1..kinds.len()).rev() {
            kinds.swap(place, self.random.place(place + 1));
        }
        for kind in kinds {
            let began = Instant::now();
            let effects = self.happen_once(kind);
            println!("{kind:?}: {effects} effects in {} ms", began.elapsed().as_millis());
            *self.counts.entry(kind).or_default() += effects;
            self.links.heal();
            self.crowd.expect_progress("it was healed");
        }
    }

    /// Lets a fault happen; tells how many effects it had.
    fn happen_once(&mut self, kind: Kind) -> u64 {
        match kind {
            Kind::Delay => self.delay(),
            Kind::Throttle => self.throttle(),
            Kind::Cut => self.cut(),
            Kind::HalfClose => self.half_close(),
            Kind::Damage => self.damage(),
            Kind::OneWay => self.silence_one_way(),
            Kind::Apart => self.keep_apart(),
            Kind::Mute => self.silence_a_leader(true),
            Kind::Deaf => self.silence_a_leader(false),
            Kind::Standstill => self.stand_still(),
            Kind::Kill => self.kill(),
        }
    }

    fn delay(&mut self) -> u64 {
        let count = || self.links.effects.pieces_delayed.load(Ordering::Relaxed);
        let before = count();
        let time = Duration::from_millis(1 + self.random.below(DELAY_MS_MAX));
        self.last(Condition::Delayed(time));
        count() - before
    }

    fn throttle(&mut self) -> u64 {
        let count = || self.links.effects.pieces_throttled.load(Ordering::Relaxed);
        let before = count();
        self.last(Condition::Throttled { bytes_per_second: BYTES_PER_SECOND });
        count() - before
    }

    /// Lets some ways be in a condition for a while, in the middle of which connections may be cut.
    fn last(&mut self, condition: Condition) {
        let (from, to) = (self.draw_some(), self.draw_some());
        self.links.set(&from, &to, condition);
        self.crowd.pause(LASTS / 2);
        if self.random.below(2) == 0 {
            let (one, other) = self.draw_two();
            self.links.cut(one, other);
        }
        self.crowd.pause(LASTS / 2);
    }

    fn cut(&mut self) -> u64 {
        let (one, other) = self.draw_two();
        self.crowd.rush();
        let links = self.links;
        self.expect_said(RESET, || assert!(links.cut(one, other) > 0, "nothing to be cut"))
    }

    fn half_close(&mut self) -> u64 {
        let (dialer, dialed) = self.draw_two();
        let direction = if self.random.below(2) == 0 { Direction::Forth } else { Direction::Back };
        let links = self.links;
        self.expect_said(CLOSED, || {
            assert!(links.half_close(dialer, dialed, direction) > 0, "nothing to be closed");
        })
    }

    /// Damages bits: of each a node has to say so, and the connection has to end.
    fn damage(&mut self) -> u64 {
        let mut effects = 0;
        for _ in 0..BITS {
            let (from, to) = self.draw_two();
            let (choice, way) = (self.random.next(), self.links.way(from, to));
            effects += self.expect_said(DAMAGED, || way.damage(choice));
            self.wait_until("a damaged connection ends", || way.has_ended_what_was_damaged());
        }
        effects
    }

    /// Who cannot hear one other node hears the third: all groups get on meanwhile.
    fn silence_one_way(&mut self) -> u64 {
        let (from, to) = self.draw_two();
        let links = self.links;
        self.expect_said(SILENT, || {
            links.set(&[from], &[to], Condition::Held);
            self.crowd.pause(SILENCE);
            self.crowd.expect_progress("one way was closed, which it still is");
        })
    }

    fn keep_apart(&mut self) -> u64 {
        let (one, other) = self.draw_two();
        let count = || self.links.effects.bytes_held.load(Ordering::Relaxed);
        let before = count();
        self.links.set(&[one, other], &[one, other], Condition::Held);
        self.crowd.pause(LASTS);
        self.crowd.expect_progress("two nodes were parted, which they still are");
        count() - before
    }

    /// Lets nothing out of a leader, or nothing in, until another node leads.
    fn silence_a_leader(&mut self, is_mute: bool) -> u64 {
        let (key, leader, others) = self.draw_leader();
        let (from, to) = match is_mute {
            true => (vec![leader], others.clone()),
            false => (others.clone(), vec![leader]),
        };
        self.links.set(&from, &to, Condition::Held);
        let next = self.cluster.leader_among(&others, &key);
        println!("  node {} leads, and not node {}", next + 1, leader + 1);
        1
    }

    fn stand_still(&mut self) -> u64 {
        let (key, leader, others) = self.draw_leader();
        self.crowd.rush();
        self.cluster.stand_still(leader);
        let next = self.cluster.leader_among(&others, &key);
        println!("  node {} leads, and not node {}", next + 1, leader + 1);
        self.crowd.pause(LASTS);
        self.cluster.go_on(leader);
        1
    }

    /// Kills a node, now and then while it hears nothing; it has to serve again.
    fn kill(&mut self) -> u64 {
        let node = self.random.place(NODES);
        let others: Vec<usize> = (0..NODES).filter(|other| *other != node).collect();
        if self.random.below(2) == 0 {
            self.links.set(&others, &[node], Condition::Held);
            self.crowd.pause(LASTS / 4);
        }
        self.crowd.rush();
        self.cluster.kill(&[node]);
        self.links.heal();
        self.cluster.restart(node);
        self.cluster.wait_until_serving(node);
        1
    }

    /// Does something, and waits until the nodes have said a text more often than before; tells how
    /// much more often.
    fn expect_said(&self, text: &str, act: impl FnOnce()) -> u64 {
        let count = || {
            let logs = (0..NODES).map(|node| self.cluster.log(node));
            logs.map(|log| said(&log, text)).sum::<usize>()
        };
        let before = count();
        act();
        self.wait_until(text, || count() > before);
        u64::try_from(count() - before).unwrap()
    }

    fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < BOUND, "waited in vain: {what:?}");
            self.crowd.pause(LOOK_AGAIN);
        }
    }

    /// A hot key, the node that leads its group, and the other nodes.
    fn draw_leader(&mut self) -> (String, usize, Vec<usize>) {
        let key = hot_key(self.random.below(HOT_KEYS));
        let leader = self.cluster.leader_of(&key);
        (key, leader, (0..NODES).filter(|node| *node != leader).collect())
    }

    fn draw_two(&mut self) -> (usize, usize) {
        let one = self.random.place(NODES);
        (one, (one + 1 + self.random.place(NODES - 1)) % NODES)
    }

    /// Two nodes or all of them: between any two such choices there is a way.
    fn draw_some(&mut self) -> Vec<usize> {
        let without = self.random.place(NODES + 1);
        (0..NODES).filter(|node| *node != without).collect()
    }
}

/// How many lines have the text.
fn said(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}
