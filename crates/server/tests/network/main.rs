//! Real processes whose network is faulty: nothing that was acknowledged is lost, nothing stale is
//! read, no damaged byte is believed, and all goes on when the network does.
//!
//! The nodes reach each other through us. `links` has the addresses, `connection` carries the bytes,
//! `way` says what becomes of them, and `faults` lets it happen, beside kills and standstills.
//! Clients reach the nodes directly: what they see is the nodes' doing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod connection;
#[path = "../crowd/mod.rs"]
mod crowd;
mod faults;
mod links;
#[path = "../processes/mod.rs"]
mod processes;
mod way;

use crowd::random::{Random, seed};
use crowd::{Crowd, judgement};
use faults::{Counts, Faults};
use links::Links;
use processes::cluster::Cluster;

/// How many faults are drawn beside one of each kind.
const MORE: usize = 12;

#[test]
fn what_was_acknowledged_survives_a_faulty_network() {
    let seed = seed("NETWORK_SEED", "network");
    let mut links = Links::new();
    let mut cluster = Cluster::prepare(|dialer, dialed, own| links.open_door(dialer, dialed, own));
    cluster.found();
    let crowd = Crowd::new();
    let (addresses, random) = (cluster.addresses(), Random::new(!seed));
    let (links, counts) = (&links, Counts::new());
    let mut faults = Faults { cluster: &mut cluster, links, crowd: &crowd, random, counts };
    let history = crowd.ask_while(addresses, seed, || faults.happen(MORE));
    let counts = faults.counts;
    println!("{counts:?}\n{:?}", links.effects);
    assert!(counts.values().all(|count| *count > 0), "a fault without effect: {counts:?}");
    judgement::expect_one_order(history, &cluster, &crowd, seed);
    cluster.stop();
}
