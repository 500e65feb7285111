//! Nodes are killed and stopped under load, as processes, and nothing that was acknowledged is lost.
//!
//! Clients do not know what happens; they take down what they ask and what they are told, and
//! `sim::history` says whether one order explains it all. What a kill cannot show is what the
//! operating system would still have written: that belongs to the tests that cut power.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../crowd/mod.rs"]
mod crowd;
mod faults;
#[path = "../processes/mod.rs"]
mod processes;

use sim::history::History;

use crowd::random::{Random, seed};
use crowd::{Crowd, judgement};
use faults::Faults;
use processes::cluster::{Cluster, NODES};

/// How often a node is killed alone.
const ROUNDS: usize = 15;

#[test]
fn what_was_acknowledged_survives_kills_and_standstills() {
    let seed = seed("KILLS_SEED", "kills");
    let mut cluster = Cluster::start();
    let crowd = Crowd::new();
    let history = live_through_faults(&mut cluster, &crowd, seed);
    judgement::expect_one_order(history, &cluster, &crowd, seed);
    cluster.stop();
}

/// Lets clients ask while nodes are killed; gives out what they were told.
fn live_through_faults(cluster: &mut Cluster, crowd: &Crowd, seed: u64) -> History {
    let addresses = cluster.addresses();
    let (random, told) = (Random::new(!seed), History::default());
    let mut faults = Faults { cluster, crowd, random, kills: 0, told, visits: 0 };
    let mut history = crowd.ask_while(addresses, seed, || faults.happen(ROUNDS));
    assert!(faults.kills >= ROUNDS + NODES, "only {} kills", faults.kills);
    history.merge(faults.told);
    history
}
