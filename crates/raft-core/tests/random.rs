//! Random schedules: loss, repetition, reordering, partitions, slow disks, power cuts, restarts.
//! Safety is checked by the harness's oracle throughout; then everything heals and must make
//! progress. A failure names its seed.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails loudly, and asks only about the messages it means"
)]

mod harness;

use harness::Cluster;
use raft_core::{Fitness, RaftNode, Role};

/// About two seconds of a debug build.
const SEEDS: u64 = 1_500;

/// SplitMix64, as in the crate under test but not from it.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

struct Schedule {
    chance: Chance,
    cluster: Cluster,
    replicas: u32,
    voters: u32,
    proposed: u64,
    reads: u64,
    transfers: u64,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let voters = 1 + u32::try_from(chance.below(5)).unwrap();
        let learners = u32::try_from(chance.below(2)).unwrap();
        let cluster = Cluster::with_learners(voters, learners);
        Self {
            chance,
            cluster,
            replicas: voters + learners,
            voters,
            proposed: 0,
            reads: 0,
            transfers: 0,
        }
    }

    fn any(&mut self) -> u32 {
        1 + u32::try_from(self.chance.below(u64::from(self.replicas))).unwrap()
    }

    fn is_up(&mut self, n: u32) -> bool {
        self.cluster.host(n).raft.is_some()
    }

    fn step(&mut self) {
        let n = self.any();
        match self.chance.below(100) {
            0..=39 => (0..self.chance.below(8)).for_each(|_| self.deliver()),
            40..=56 => {
                self.cluster.collect(n);
            }
            57..=73 => {
                self.cluster.persist_one(n);
            }
            74..=79 => {
                self.cluster.apply_all(n);
            }
            80..=84 => self.pass_time(),
            85..=95 => self.propose(n),
            96 => self.read(n),
            97 => self.freeze_and_thaw(n),
            _ => self.disturb(n),
        }
        let in_order = |host: &harness::Host| {
            host.raft.as_ref().is_none_or(|raft| raft.applied_index() <= raft.commit_index())
        };
        assert!(self.cluster.hosts.values().all(in_order));
        // These disks lose nothing that they reported written.
        let halted = |host: &harness::Host| host.raft.as_ref().and_then(RaftNode::halted);
        assert_eq!(self.cluster.hosts.values().find_map(halted), None);
        let strives = |raft: &RaftNode| {
            matches!(raft.role(), Role::Leader | Role::Candidate | Role::PreCandidate)
        };
        let is_as_told = |host: &harness::Host| {
            let unfit = host.raft.as_ref().filter(|raft| raft.fitness() == Fitness::Unfit);
            unfit.is_none_or(|raft| !strives(raft))
        };
        assert!(self.cluster.hosts.values().all(is_as_told), "an unfit replica leads or tries to");
    }

    fn disturb(&mut self, n: u32) {
        match self.chance.below(18) {
            0..=1 => self.cut(n),
            2..=7 => self.cluster.heal(),
            8..=9 if self.is_up(n) => self.cluster.crash(n),
            10..=13 if !self.is_up(n) => self.cluster.restart(n, 10),
            14 if self.is_up(n) => self.cluster.node(n).campaign(),
            15 if self.is_up(n) => self.change_fitness(n),
            16..=17 => self.transfer(n),
            _ => {}
        }
    }

    fn deliver(&mut self) {
        let network = &mut self.cluster.network;
        if network.is_empty() {
            return;
        }
        let place = usize::try_from(self.chance.below(network.len() as u64)).unwrap();
        // Mostly the oldest, sometimes any: reordering.
        let place = if self.chance.one_in(4) { place } else { 0 };
        let message = network.remove(place).unwrap();
        if self.chance.one_in(12) {
            network.push_back(message.clone());
        }
        if !self.chance.one_in(10) {
            self.cluster.deliver(message).ok();
        }
        self.cluster.network.truncate(2_000);
    }

    fn pass_time(&mut self) {
        self.cluster.now = self.cluster.now.after(1);
        let now = self.cluster.now;
        for host in self.cluster.hosts.values_mut() {
            // A node's clock may stand still for a while.
            if let Some(raft) = host.raft.as_mut().filter(|_| !self.chance.one_in(6)) {
                raft.tick(now);
            }
        }
    }

    fn propose(&mut self, n: u32) {
        let leader = self.cluster.leader().unwrap_or(n);
        if self.is_up(leader) {
            self.proposed += 1;
            let length = usize::try_from(self.chance.below(300)).unwrap();
            let mut payload = self.proposed.to_le_bytes().to_vec();
            payload.resize(8 + length, 0);
            self.cluster.propose(leader, &payload).ok();
        }
    }

    fn read(&mut self, n: u32) {
        self.reads += 1;
        let read = raft_core::ReadId(self.reads);
        if let Some(raft) = self.cluster.host(n).raft.as_mut() {
            raft.read_index(read).ok();
        }
    }

    fn cut(&mut self, n: u32) {
        let other = self.any();
        match self.chance.below(3) {
            0 => self.cluster.isolate(n),
            1 => self.cluster.cut.push((n, other)),
            _ => self.cluster.cut.extend([(n, other), (other, n)]),
        }
    }

    fn transfer(&mut self, to: u32) {
        if let Some(leader) = self.cluster.leader() {
            let begun = self.cluster.node(leader).transfer_leader(harness::id(to));
            self.transfers += u64::from(begun.is_ok());
        }
    }

    fn change_fitness(&mut self, n: u32) {
        let fitness = if self.chance.one_in(3) { Fitness::Unfit } else { Fitness::Fit };
        self.cluster.node(n).set_fitness(fitness);
    }

    fn freeze_and_thaw(&mut self, n: u32) {
        let (now, settings) = (self.cluster.now, self.cluster.settings);
        let host = self.cluster.host(n);
        if let Some(frozen) = host.raft.as_ref().and_then(RaftNode::freeze) {
            host.raft = Some(RaftNode::thaw(frozen, settings, now));
        }
    }

    /// Everything works again: there must be a leader, a fresh write, and equal replicas.
    fn heal(&mut self) {
        self.cluster.heal();
        for n in 1..=self.replicas {
            if !self.is_up(n) {
                self.cluster.restart(n, 10);
            }
            self.cluster.node(n).set_fitness(Fitness::Fit);
        }
        self.cluster.settle();
        let leader = self.cluster.tick_until_leader();
        self.cluster.tick(15);
        let leader = self.cluster.leader().unwrap_or(leader);
        let at = self.cluster.propose(leader, b"after").unwrap();
        self.cluster.tick(30);
        for n in 1..=self.replicas {
            let applied = self.cluster.node(n).applied_index();
            assert!(applied >= at.index, "replica {n} applied {applied} of {}", at.index);
        }
        self.cluster.assert_all_equal();
        let leads = |n: &u32| self.cluster.hosts[n].raft.as_ref().unwrap().role() == Role::Leader;
        assert_eq!((1..=self.voters).filter(leads).count(), 1);
    }
}

/// Runs one seed; returns how many entries were committed while faults were on, the last term, and
/// how many handovers were begun.
fn run(seed: u64) -> (usize, u64, u64) {
    let mut schedule = Schedule::new(seed);
    for _ in 0..4_000 {
        schedule.step();
    }
    let committed = schedule.cluster.oracle.committed.len();
    schedule.heal();
    let leader = schedule.cluster.leader().unwrap();
    (committed, schedule.cluster.node(leader).term().0, schedule.transfers)
}

#[test]
fn random_schedules_are_safe_and_heal() {
    let (mut committed, mut terms, mut transfers) = (0, 0, 0);
    for seed in 0..SEEDS {
        let outcome = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|failure| {
            eprintln!("seed {seed} failed");
            std::panic::resume_unwind(failure)
        });
        committed += outcome.0;
        terms += outcome.1;
        transfers += outcome.2;
    }
    println!("{committed} entries committed under faults, {terms} terms, {transfers} handovers");
    assert!(
        committed as u64 > SEEDS * 30 && terms > SEEDS * 3 && transfers > SEEDS,
        "the schedules are too tame to find anything"
    );
}
