//! What happens to the nodes, in the order that a seed draws.

use std::time::Duration;

use sim::history::{Action, History};

use crate::crowd::client::{Client, Ended};
use crate::crowd::random::Random;
use crate::crowd::{Crowd, HOT_KEYS, hot_key};
use crate::processes::cluster::{Cluster, NODES};

/// How long a leader stands still.
const STANDSTILL: Duration = Duration::from_secs(3);
/// How long a node goes on alone: less than it would lead without hearing from others.
const ALONE: Duration = Duration::from_millis(300);
/// How long after its start a node may be killed again, in milliseconds.
const RECOVERY_MS_MAX: u64 = 300;
/// How many clients there are who know no other node than the one that something happens to: two for
/// each hot key.
const VISITORS: u32 = 12;
/// Above the numbers of all other clients.
const VISITOR_FIRST: u32 = 1_000;

/// Faults of a running cluster.
pub(crate) struct Faults<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) crowd: &'a Crowd,
    pub(crate) random: Random,
    /// How many processes were killed.
    pub(crate) kills: usize,
    /// What visitors were told.
    pub(crate) told: History,
    /// How many visits there were.
    pub(crate) visits: u32,
}

impl Faults<'_> {
    /// Kills single nodes, and in between all of them; leaves nodes alone, and lets them stand still.
    pub(crate) fn happen(&mut self, rounds: usize) {
        self.crowd.expect_progress("the start");
        for round in 1..=rounds {
            self.kill_one(round);
            match round % 5 {
                0 => self.kill_all(),
                1 => self.kill_who_is_alone(),
                3 => self.let_a_leader_stand_still(),
                _ => {}
            }
        }
    }

    /// Kills a node and starts it again: once the others have gone on without it, or at once, or
    /// again while it recovers. Every other time or so it is one that leads: who has just come back
    /// leads nothing.
    fn kill_one(&mut self, round: usize) {
        let mut node = self.random.place(NODES);
        if self.random.below(2) == 0 {
            node = self.leader_of_a_hot_key();
        }
        let way = self.random.below(3);
        println!("{round}: node {} is killed, way {way}", node + 1);
        self.crowd.rush();
        self.kill(&[node]);
        if way == 0 {
            self.crowd.expect_progress("the kill of a node");
        }
        self.cluster.restart(node);
        if way == 2 {
            let while_it_recovers = Duration::from_millis(self.random.below(RECOVERY_MS_MAX));
            self.crowd.pause(while_it_recovers);
            self.kill(&[node]);
            self.cluster.restart(node);
        }
        self.cluster.wait_until_serving(node);
        self.crowd.expect_progress("the start of a node");
    }

    /// Kills all nodes at once: what only their memory knows is lost.
    fn kill_all(&mut self) {
        println!("all nodes are killed");
        self.crowd.rush();
        self.kill(&[0, 1, 2]);
        for node in 0..NODES {
            self.cluster.restart(node);
        }
        for node in 0..NODES {
            self.cluster.wait_until_serving(node);
        }
        self.crowd.expect_progress("the kill of all nodes");
    }

    /// Stops two nodes, lets visitors write to the third, and kills it before the two go on: what it
    /// has acknowledged alone is lost.
    fn kill_who_is_alone(&mut self) {
        let node = self.leader_of_a_hot_key();
        println!("node {} is left alone and killed", node + 1);
        let others = (0..NODES).filter(|other| *other != node);
        others.clone().for_each(|other| self.cluster.stand_still(other));
        let clock = self.crowd.clock;
        let until = clock.now() + u64::try_from(ALONE.as_nanos()).unwrap();
        let visit = self.visit(ALONE);
        self.told.merge(visit.pay(|visitor, first_key| {
            while clock.now() < until {
                let value = visitor.new_value();
                visitor.ask(Some(node), &hot_key(first_key), Action::Set(value));
            }
        }));
        self.kill(&[node]);
        others.for_each(|other| self.cluster.go_on(other));
        self.crowd.expect_progress("the kill of a node that was alone");
        self.cluster.restart(node);
        self.cluster.wait_until_serving(node);
    }

    /// Stops a leader until long after another one was elected; meanwhile visitors ask it what that
    /// other one has overwritten.
    fn let_a_leader_stand_still(&mut self) {
        let node = self.leader_of_a_hot_key();
        println!("node {} stands still", node + 1);
        self.crowd.rush();
        let began = self.crowd.clock.now();
        self.cluster.stand_still(node);
        let progress = self.crowd.wait_for_progress(began, STANDSTILL);
        let visit = self.visit(2 * STANDSTILL);
        let told = std::thread::scope(|scope| {
            let told = scope.spawn(move || {
                visit.pay(|visitor, first_key| {
                    let keys = (first_key..first_key + HOT_KEYS).map(hot_key);
                    let mut ends = keys.map(|key| visitor.ask(Some(node), &key, Action::Get).ended);
                    // Whoever has lost his connection asks no more.
                    ends.all(|ended| ended != Ended::Open);
                })
            });
            let passed = Duration::from_nanos(self.crowd.clock.now() - began);
            self.crowd.pause(STANDSTILL.saturating_sub(passed));
            self.cluster.go_on(node);
            told.join().unwrap()
        });
        self.told.merge(told);
        println!("  the others went on: {progress:?}");
        self.crowd.expect_progress("a leader's standstill");
    }

    fn leader_of_a_hot_key(&mut self) -> usize {
        let number = self.random.below(HOT_KEYS);
        self.cluster.leader_of(&hot_key(number))
    }

    fn kill(&mut self, nodes: &[usize]) {
        self.cluster.kill(nodes);
        self.kills += nodes.len();
    }

    fn visit(&mut self, patience: Duration) -> Visit {
        let first = VISITOR_FIRST + self.visits * VISITORS;
        self.visits += 1;
        let seed = self.random.next();
        let (clock, addresses) = (self.crowd.clock, self.cluster.addresses());
        let client = |number| Client::new(first + number, seed, clock, addresses, patience);
        Visit { visitors: (0..VISITORS).map(client).collect() }
    }
}

/// Clients who know no other node than the one that something happens to.
struct Visit {
    visitors: Vec<Client>,
}

impl Visit {
    /// Lets each act, with a hot key to begin with; gives out what they were told.
    fn pay(self, act: impl Fn(&mut Client, u64) + Sync) -> History {
        std::thread::scope(|scope| {
            let visit = |(first_key, mut visitor): (u64, Client)| {
                let act = &act;
                scope.spawn(move || {
                    act(&mut visitor, first_key);
                    visitor.history
                })
            };
            let visits: Vec<_> = (0..).zip(self.visitors).map(visit).collect();
            let mut told = History::default();
            visits.into_iter().for_each(|visit| told.merge(visit.join().unwrap()));
            told
        })
    }
}
