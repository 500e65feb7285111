//! The clients that are there all the time, whether they get on, and what they were told in the end.
//!
//! - `client`: one that takes down what it asks and what it is told.
//! - `judgement`: everything is read once more, and one order has to explain it all.
//! - `random`: the seed's stream.
#![allow(dead_code, reason = "each test target uses a part of this")]

pub(crate) mod client;
pub(crate) mod judgement;
pub(crate) mod random;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use routing::{HASH_SLOTS, RoutingTable, hash_slot};
use sim::history::{Action, History};
use types::{NodeId, VShardId};

use crate::processes::cluster::{GROUPS, NODES};
use client::{Client, Clock, Ended};
use random::Random;

/// How many clients ask all the time.
const CLIENTS: u32 = 24;
/// How long it may take at most until writes to all groups are acknowledged again.
const PROGRESS_WITHIN: Duration = Duration::from_secs(30);
/// Keys that everybody is after, so that the checker has something to think about.
pub(crate) const HOT_KEYS: u64 = 6;
/// Keys that are added to.
const SUMS: u64 = 2;
/// Keys over all groups.
const MANY_KEYS: u64 = 3_000;
/// The longest pause between two commands of a client, in microseconds, unless they hurry: the faults
/// take their time, and more commands in between show no more.
const PAUSE_US_MAX: u64 = 10_000;

/// How long clients hurry before something happens.
const RUSH: Duration = Duration::from_millis(150);

/// What all clients of a run share.
pub(crate) struct Crowd {
    pub(crate) clock: Clock,
    table: RoutingTable,
    is_over: Mutex<bool>,
    over: Condvar,
    hurries: AtomicBool,
    /// Of each group, when the latest write was asked that was acknowledged.
    latest: Mutex<Vec<u64>>,
    progress: Condvar,
}

/// A group that no write got into in time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stuck {
    pub(crate) groups: Vec<usize>,
}

impl Crowd {
    pub(crate) fn new() -> Self {
        let nodes: Vec<NodeId> = (1..=NODES as u64).map(NodeId).collect();
        let table = RoutingTable::uniform(HASH_SLOTS, GROUPS, &nodes, NODES).unwrap();
        Self {
            clock: Clock::start(),
            table,
            is_over: Mutex::new(false),
            over: Condvar::new(),
            hurries: AtomicBool::new(false),
            latest: Mutex::new(vec![0; usize::try_from(GROUPS).unwrap()]),
            progress: Condvar::new(),
        }
    }

    /// Lets clients ask while something happens to the nodes; gives out what they were told.
    ///
    /// Every other client is impatient: it leaves commands behind that are done later, or never.
    pub(crate) fn ask_while(
        &self,
        addresses: [SocketAddr; NODES],
        seed: u64,
        happens: impl FnOnce(),
    ) -> History {
        let mut random = Random::new(seed);
        std::thread::scope(|scope| {
            let end = self.ends();
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let patience = if number % 2 == 0 { 5_000 } else { 400 };
                    let patience = Duration::from_millis(patience);
                    let client = Client::new(number, seed, self.clock, addresses, patience);
                    let choices = random.next();
                    scope.spawn(move || self.take_part(client, choices))
                })
                .collect();
            happens();
            drop(end);
            let mut history = History::default();
            clients.into_iter().for_each(|client| history.merge(client.join().unwrap()));
            history
        })
    }

    /// Asks one thing after the other until it is over; gives out what it was told.
    fn take_part(&self, mut client: Client, seed: u64) -> History {
        let mut random = Random::new(seed);
        let mut leaders = vec![None; usize::try_from(GROUPS).unwrap()];
        while !self.pause(self.draw_pause(&mut random)) {
            let (key, action) = draw(&mut random, &mut client);
            let group = self.group_of(&key);
            // Now and then somebody else than the leader that it knows of.
            let node = leaders[group].filter(|_| random.below(4) > 0);
            let asked = client.ask(node, &key, action);
            leaders[group] = match asked.ended {
                Ended::Returned(_) => Some(asked.node),
                Ended::Refused | Ended::Open => None,
            };
            if action != Action::Get && leaders[group].is_some() {
                let mut latest = lock(&self.latest);
                latest[group] = latest[group].max(asked.invoked);
                self.progress.notify_all();
            }
        }
        client.history
    }

    fn draw_pause(&self, random: &mut Random) -> Duration {
        let pause = Duration::from_micros(random.below(PAUSE_US_MAX));
        if self.hurries.load(Ordering::Relaxed) { Duration::ZERO } else { pause }
    }

    /// Lets all clients ask without a pause from here on, or with pauses again. Whoever is to lose
    /// something needs something under way.
    fn hurry(&self, hurries: bool) {
        self.hurries.store(hurries, Ordering::Relaxed);
    }

    /// Waits until every group has acknowledged a write that was asked for after `since`; tells how
    /// long that took.
    pub(crate) fn wait_for_progress(
        &self,
        since: u64,
        within: Duration,
    ) -> Result<Duration, Stuck> {
        let began = Instant::now();
        let is_behind = |latest: &mut Vec<u64>| latest.iter().any(|at| *at <= since);
        let waited = self.progress.wait_timeout_while(lock(&self.latest), within, is_behind);
        let (latest, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let groups: Vec<usize> =
            (0..latest.len()).filter(|group| latest[*group] <= since).map(|at| at + 1).collect();
        if groups.is_empty() { Ok(began.elapsed()) } else { Err(Stuck { groups }) }
    }

    /// Fails unless every group acknowledges a write that is asked for from here on.
    pub(crate) fn expect_progress(&self, after: &str) {
        match self.wait_for_progress(self.clock.now(), PROGRESS_WITHIN) {
            Ok(time) => println!("  writes to all groups {} ms after {after}", time.as_millis()),
            Err(stuck) => panic!("no write for {PROGRESS_WITHIN:?} after {after}: {stuck:?}"),
        }
    }

    /// Sees to it that as much as possible is under way when something happens.
    pub(crate) fn rush(&self) {
        self.hurry(true);
        self.pause(RUSH);
        self.hurry(false);
    }

    /// Waits a while; true if it is over.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let waited = self.over.wait_timeout_while(lock(&self.is_over), time, |is_over| !*is_over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Ends it for all clients when it is dropped, also by a panic, so that nobody waits for them.
    fn ends(&self) -> impl Drop + '_ {
        struct End<'a>(&'a Crowd);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                *lock(&self.0.is_over) = true;
                self.0.over.notify_all();
            }
        }
        End(self)
    }

    /// The group of a key, counted from 0.
    fn group_of(&self, key: &str) -> usize {
        let slot = VShardId(u32::from(hash_slot(key.as_bytes())));
        usize::try_from(self.table.group_of(slot).unwrap().0).unwrap() - 1
    }
}

/// The name of a hot key; they begin anew after [`HOT_KEYS`].
pub(crate) fn hot_key(number: u64) -> String {
    format!("hot-{}", number % HOT_KEYS)
}

/// What to do next.
fn draw(random: &mut Random, client: &mut Client) -> (String, Action) {
    let of = |name: &str, number: u64| format!("{name}-{number}");
    match random.below(100) {
        0..50 => {
            let action = match random.below(100) {
                0..50 => Action::Get,
                50..82 => Action::Set(client.new_value()),
                82..91 => Action::SetNew(client.new_value()),
                _ => Action::Delete,
            };
            (hot_key(random.below(HOT_KEYS)), action)
        }
        50..60 => {
            let action = if random.below(2) == 0 { Action::Get } else { Action::Add(1) };
            (of("sum", random.below(SUMS)), action)
        }
        _ => {
            let action = match random.below(10) {
                0..3 => Action::Get,
                _ => Action::Set(client.new_value()),
            };
            (of("many", random.below(MANY_KEYS)), action)
        }
    }
}

/// Whoever panicked while he held the lock has failed the test already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
