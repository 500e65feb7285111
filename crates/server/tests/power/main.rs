//! The power of real nodes is cut, as processes: what their disks had not synced is lost, what they
//! have acknowledged is not. And a disk that lies about its syncs is found out by the same test.
//!
//! A kill alone loses nothing that the system was told to write; `disk` and `layer.c` take that away.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../crowd/mod.rs"]
mod crowd;
mod disk;
#[path = "../processes/mod.rs"]
mod processes;

use std::time::Duration;

use sim::history::HistoryError;

use crowd::random::{Random, seed};
use crowd::{Crowd, HOT_KEYS, hot_key, judgement};
use disk::{Disk, Lost, compile_layer};
use processes::cluster::{Cluster, NODES};

/// How often the power is cut, of one node or of all.
const ROUNDS: usize = 9;
/// How long after its start a node may lose its power again, in milliseconds.
const RECOVERY_MS_MAX: u64 = 300;
/// How many cuts of a node, of at least 18, have to take something.
const WITH_LOSS_MIN: usize = 6;
/// How many of ten changes that were not synced a cut takes back.
const TENTHS: [u64; 3] = [10, 5, 1];

/// Nodes over disks that lose what is not synced.
struct Power<'a> {
    cluster: &'a mut Cluster,
    disks: &'a [Disk; NODES],
    crowd: &'a Crowd,
    random: Random,
    /// What each cut of a node has taken.
    cuts: Vec<Lost>,
}

impl<'a> Power<'a> {
    fn of(cluster: &'a mut Cluster, disks: &'a [Disk; NODES], crowd: &'a Crowd, seed: u64) -> Self {
        Self { cluster, disks, crowd, random: Random::new(!seed), cuts: Vec::new() }
    }

    /// Cuts the power of one node, of two or of all, and now and then again while they recover.
    fn fail_often(&mut self) {
        self.crowd.expect_progress("the start");
        for round in 1..=ROUNDS {
            let nodes = self.draw_nodes(round);
            let again = self.random.below(3) == 0;
            println!("{round}: the power of {nodes:?} is cut, again: {again}");
            self.crowd.rush();
            self.cut(&nodes);
            if again {
                let while_they_recover = self.random.below(RECOVERY_MS_MAX);
                self.crowd.pause(Duration::from_millis(while_they_recover));
                self.cut(&nodes);
            }
            nodes.iter().for_each(|node| self.cluster.wait_until_serving(*node));
            self.crowd.expect_progress("the power came back");
        }
    }

    /// All nodes every third time, else one that leads, or two.
    fn draw_nodes(&mut self, round: usize) -> Vec<usize> {
        let leader = self.cluster.leader_of(&hot_key(self.random.below(HOT_KEYS)));
        match round % 3 {
            0 => (0..NODES).collect(),
            1 => vec![leader],
            _ => vec![leader, (leader + 1) % NODES],
        }
    }

    /// Kills nodes at once, takes back what their disks had not synced, and starts them again.
    fn cut(&mut self, nodes: &[usize]) {
        self.cluster.kill(nodes);
        let tenths = TENTHS[self.random.place(TENTHS.len())];
        for node in nodes {
            let lost = self.disks[*node].lose_unsynced(&mut self.random, tenths);
            println!("  node {} lost {lost:?}", node + 1);
            self.cuts.push(lost);
        }
        nodes.iter().for_each(|node| self.cluster.restart(*node));
    }
}

/// A cluster that serves, over disks that lose what is not synced.
fn cluster_over_disks() -> (Cluster, [Disk; NODES]) {
    let mut cluster = Cluster::prepare(|_, _, address| address);
    let library = compile_layer(cluster.folder());
    let disks = [0, 1, 2].map(|node| Disk::below(&mut cluster, node, &library));
    cluster.found();
    (cluster, disks)
}

#[test]
fn what_was_acknowledged_survives_power_cuts_of_processes() {
    let seed = seed("POWER_SEED", "power");
    let (mut cluster, disks) = cluster_over_disks();
    let crowd = Crowd::new();
    let addresses = cluster.addresses();
    let mut power = Power::of(&mut cluster, &disks, &crowd, seed);
    let history = crowd.ask_while(addresses, seed, || power.fail_often());
    let cuts = power.cuts;
    let with_loss = cuts.iter().filter(|lost| lost.sectors > 0).count();
    println!("{} cuts, {with_loss} of them with a loss", cuts.len());
    assert!(cuts.len() >= 2 * ROUNDS && with_loss >= WITH_LOSS_MIN, "{cuts:?}");
    judgement::expect_one_order(history, &cluster, &crowd, seed);
    cluster.stop();
}

#[test]
fn disks_that_lie_about_their_syncs_are_found_out() {
    let seed = seed("POWER_SEED", "power");
    let (mut cluster, disks) = cluster_over_disks();
    let crowd = Crowd::new();
    let addresses = cluster.addresses();
    let mut power = Power::of(&mut cluster, &disks, &crowd, seed);
    let history = crowd.ask_while(addresses, seed, || {
        crowd.expect_progress("the start");
        disks.iter().for_each(Disk::begin_to_lie);
        crowd.rush();
        crowd.expect_progress("the disks began to lie");
        power.cluster.kill(&[0, 1, 2]);
        for (node, disk) in disks.iter().enumerate() {
            let lost = disk.lose_unsynced(&mut power.random, 10);
            assert!(lost.sectors > 0, "node {} lost nothing", node + 1);
            disk.end_lying();
            power.cluster.restart(node);
        }
        (0..NODES).for_each(|node| power.cluster.wait_until_serving(node));
        crowd.expect_progress("the power came back");
    });
    match judgement::judge(history, &cluster, &crowd, seed) {
        Err(HistoryError::NotLinearizable(violation)) => println!("found out: {violation}"),
        other => panic!("acknowledged writes were lost, and it is {other:?}"),
    }
    cluster.stop();
}
