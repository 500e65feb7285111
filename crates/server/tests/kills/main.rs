//! Nodes are killed and stopped under load, as processes, and nothing that was acknowledged is lost.
//!
//! Clients do not know what happens; they take down what they ask and what they are told, and
//! `sim::history` says whether one order explains it all. What a kill cannot show is what the
//! operating system would still have written: that belongs to the tests that cut power.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod crowd;
mod faults;
#[path = "../processes/mod.rs"]
mod processes;
mod random;

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use sim::history::{Action, Ending, History, Limits};

use client::{Client, Ended};
use crowd::Crowd;
use faults::Faults;
use processes::cluster::{Cluster, NODES};
use random::Random;

/// How many clients ask all the time.
const CLIENTS: u32 = 24;
/// How often a node is killed alone.
const ROUNDS: usize = 15;
/// How long everything is looked for in the end.
const FINAL_READS_WITHIN: Duration = Duration::from_secs(60);
/// Above the numbers of all other clients.
const LAST_CLIENT_FIRST: u32 = 1_000_000;

/// A seed to try again with, or a new one.
fn seed() -> u64 {
    if let Ok(text) = std::env::var("KILLS_SEED") {
        return text.parse().expect("KILLS_SEED is a number");
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos() & u128::from(u32::MAX)).unwrap()
}

#[test]
fn what_was_acknowledged_survives_kills_and_standstills() {
    let seed = seed();
    println!("again: KILLS_SEED={seed} cargo test -p server --test kills");
    let mut cluster = Cluster::start();
    let crowd = Crowd::new();
    let mut history = live_through_faults(&mut cluster, &crowd, seed);
    history.merge(read_everything(&cluster, &crowd, &keys_of(&history), seed));
    describe(&history);
    let began = Instant::now();
    match history.check(Limits::default()) {
        Ok(checked) => println!("{checked:?} in {} ms", began.elapsed().as_millis()),
        Err(error) => panic!("{error}"),
    }
    cluster.stop();
}

/// Lets clients ask while nodes are killed; gives out what they were told.
fn live_through_faults(cluster: &mut Cluster, crowd: &Crowd, seed: u64) -> History {
    let mut random = Random::new(seed);
    let addresses = cluster.addresses();
    std::thread::scope(|scope| {
        let end = crowd.ends();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                // The impatient leave commands behind that are done later, or never.
                let patience = if number % 2 == 0 { 5_000 } else { 400 };
                let patience = Duration::from_millis(patience);
                let client = Client::new(number, seed, crowd.clock, addresses, patience);
                let choices = random.next();
                scope.spawn(move || crowd.take_part(client, choices))
            })
            .collect();
        let told = History::default();
        let mut faults = Faults { cluster, crowd, random, kills: 0, told, visits: 0 };
        faults.happen(ROUNDS);
        assert!(faults.kills >= ROUNDS + NODES, "only {} kills", faults.kills);
        drop(end);
        let mut history = faults.told;
        clients.into_iter().for_each(|client| history.merge(client.join().unwrap()));
        history
    })
}

fn keys_of(history: &History) -> Vec<String> {
    let keys = history.operations().iter().map(|operation| operation.key.clone());
    keys.collect::<BTreeSet<String>>().into_iter().collect()
}

/// Reads every key that anybody asked for, each from one node or another.
fn read_everything(cluster: &Cluster, crowd: &Crowd, keys: &[String], seed: u64) -> History {
    let addresses = cluster.addresses();
    let began = Instant::now();
    let read = |number: u32| {
        let mut client = Client::new(
            LAST_CLIENT_FIRST + number,
            seed,
            crowd.clock,
            addresses,
            FINAL_READS_WITHIN,
        );
        for (at, key) in keys.iter().enumerate().skip(number as usize).step_by(CLIENTS as usize) {
            // What is refused, or lost with its connection, is asked again.
            while !matches!(
                client.ask(Some(at % NODES), key, Action::Get).ended,
                Ended::Returned(_)
            ) {
                assert!(began.elapsed() < FINAL_READS_WITHIN, "nobody answers for {key}");
            }
        }
        client.history
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || read(number))).collect();
        let mut history = History::default();
        readers.into_iter().for_each(|reader| history.merge(reader.join().unwrap()));
        history
    })
}

fn describe(history: &History) {
    let (mut returned, mut refused, mut open) = (0, 0, 0);
    for operation in history.operations() {
        match operation.ending {
            Ending::Returned { .. } => returned += 1,
            Ending::Refused { .. } => refused += 1,
            Ending::Open => open += 1,
        }
    }
    println!("{returned} operations returned, {refused} were refused, of {open} nobody knows");
}
