//! The storm: power cuts on clusters of three engines, one after another, while clients write and
//! read. Several clusters at once, because most of a cut's time is spent waiting for an election.
//!
//! A round waits for a random moment, cuts one, two or all three machines, and switches them on
//! again one by one; on the way some lose their power once more, at one of the first operations of
//! their disks, and some that had kept it lose it now. The round ends when every group has
//! acknowledged new writes. After some rounds the cluster is left in peace, its states are compared
//! with each other and with what the clients were told, and a new one with empty disks takes its
//! place.
//!
//! The engine is not deterministic: its threads run as they like. A seed gives the same throws, not
//! the same story; so a violation tells what happened last.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use types::NodeId;

use crate::clients::{Client, Shared};
use crate::cluster::{Bug, Cluster, NODES, Seat};
use crate::dice::Dice;
use crate::report::{Report, Violation};

/// How long anything may take: progress after a cut, an answer, an end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A storm to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The seed of the first cluster; others follow it.
    pub(crate) seed: u64,
    /// How many clusters there are at once.
    pub(crate) lanes: u64,
    /// How many cuts there are at least, of all clusters together.
    pub(crate) cuts_min: u64,
    /// How many rounds a cluster lives through.
    pub(crate) rounds: u64,
    /// Whether some of the state machines are saved now and then, or none.
    pub(crate) saves: bool,
    /// What is wrong on purpose.
    pub(crate) bug: Option<Bug>,
}

/// Every group acknowledges so many writes before a round ends.
const PROGRESS: u64 = 3;
/// A round's moment is when so many writes more are acknowledged,
const MOMENT_WRITES: u64 = 150;
/// or when so many milliseconds have passed, whichever it is.
const MOMENT_MILLIS: u64 = 25;
/// A cut that waits for an operation of the disk strikes at one of so many,
const OPERATIONS_MAX: u64 = 14;
/// or at one of so many syncs,
const SYNCS_MAX: u64 = 4;
/// or after so long in any case: a machine that cannot reach a quorum may not write at all.
const STRIKE_MAX: Duration = Duration::from_millis(30);
/// A machine that is switched on is trapped once in so many times, at most so often in a round, at
/// one of so many operations of its disk: opening takes a few dozen.
const TRAPPED_ONE_IN: u64 = 3;
const TRAPS_MAX: u64 = 3;
const TRAP_OPERATIONS: u64 = 60;
/// A machine that has kept its power loses it, while another has none, once in so many times.
const STRUCK_MEANWHILE_ONE_IN: u64 = 10;
/// A writer more or less changes nothing; several make batches of writes of different clients.
const WRITERS: u64 = 2;

/// Lets a storm run.
///
/// # Errors
/// The first violation found. Engines that still run then end by themselves.
pub(crate) async fn run(plan: Plan) -> Result<Report, Box<Violation>> {
    let start = Instant::now();
    let cuts = Arc::new(AtomicU64::new(0));
    let mut lanes: JoinSet<Result<Report, Box<Violation>>> = JoinSet::new();
    for lane in 0..plan.lanes {
        let cuts = cuts.clone();
        lanes.spawn(async move {
            let mut report = Report::default();
            let mut seed = plan.seed + lane;
            while cuts.load(Ordering::Relaxed) < plan.cuts_min {
                report.add(&one_cluster(plan, seed, &cuts).await?);
                seed += plan.lanes;
            }
            Ok(report)
        });
    }
    let mut report = Report::default();
    while let Some(lane) = lanes.join_next().await {
        report.add(&lane.unwrap()?);
    }
    report.elapsed = start.elapsed();
    Ok(report)
}

/// One cluster, from its founding to its settlement.
async fn one_cluster(plan: Plan, seed: u64, cuts: &AtomicU64) -> Result<Report, Box<Violation>> {
    let mut dice = Dice::new(seed);
    let cluster = Cluster::new(dice.fork(), plan.bug, plan.saves);
    let mut storm = Storm { cluster, dice, report: Report::default(), cuts, traps_left: 0 };
    let result = storm.run(plan).await;
    let Storm { cluster, report, .. } = &storm;
    result.map(|()| *report).map_err(|what| {
        Box::new(Violation { seed, what, report: *report, events: cluster.ledger.events() })
    })
}

/// A storm over one cluster.
struct Storm<'a> {
    cluster: Cluster,
    dice: Dice,
    report: Report,
    /// All clusters' cuts so far.
    cuts: &'a AtomicU64,
    traps_left: u64,
}

/// The clients of a cluster, and how they are told that it is over.
struct Clients {
    tasks: JoinSet<Result<(), String>>,
    shared: Arc<Shared>,
}

impl Storm<'_> {
    async fn run(&mut self, plan: Plan) -> Result<(), String> {
        let clients = self.start_clients();
        self.recover(NODES.into()).await?;
        for _ in 0..plan.rounds {
            if self.cuts.load(Ordering::Relaxed) >= plan.cuts_min {
                break;
            }
            self.moment().await;
            let struck = self.strike().await;
            self.recover(struck).await?;
        }
        self.settle(clients).await
    }

    /// Counts a cut of so many machines.
    fn count(&mut self, machines: usize) {
        self.report.cuts[machines - 1] += 1;
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }

    fn start_clients(&mut self) -> Clients {
        let (mut tasks, shared) = (JoinSet::new(), Arc::new(Shared::default()));
        for group in self.cluster.groups() {
            for _ in 0..WRITERS {
                let client = Client::new(&self.cluster, group, self.dice.fork());
                tasks.spawn(client.write(shared.clone()));
            }
            let client = Client::new(&self.cluster, group, self.dice.fork());
            tasks.spawn(client.read(shared.clone()));
        }
        Clients { tasks, shared }
    }

    /// Waits for a moment to strike.
    async fn moment(&mut self) {
        let writes = self.dice.below(MOMENT_WRITES);
        let within = Duration::from_millis(self.dice.below(MOMENT_MILLIS));
        let mut acknowledged = self.cluster.ledger.acknowledgements();
        let goal = *acknowledged.borrow() + writes;
        // Whichever comes first.
        let _ = timeout(within, acknowledged.wait_for(|count| *count >= goal)).await;
    }

    /// Cuts the power of one, two or three machines, now or at an operation of their disks; returns
    /// which.
    async fn strike(&mut self) -> BTreeSet<NodeId> {
        let mut nodes = NODES;
        self.dice.shuffle(&mut nodes);
        let count = *self.dice.pick(&[1, 1, 2, 2, 3]);
        let seats: Vec<Arc<Seat>> =
            nodes[..count].iter().filter_map(|node| self.cluster.seat(*node)).collect();
        self.count(count);
        match self.dice.below(3) {
            0 => {}
            1 => {
                self.report.cuts_at_operations += 1;
                for seat in &seats {
                    seat.life.platter().cut_power_in(self.dice.below(OPERATIONS_MAX));
                }
                self.await_dark(&seats).await;
            }
            _ => {
                self.report.cuts_at_syncs += 1;
                for seat in &seats {
                    seat.life.platter().cut_power_in_syncs(self.dice.below(SYNCS_MAX));
                }
                self.await_dark(&seats).await;
            }
        }
        for seat in &seats {
            seat.life.cut();
            self.cluster.throw_away(seat.life.node);
        }
        nodes[..count].iter().copied().collect()
    }

    /// Waits until the disks' operations have cut the power; not for ever.
    async fn await_dark(&self, seats: &[Arc<Seat>]) {
        let all = async {
            for seat in seats {
                seat.life.off().await;
            }
        };
        // Those that are still on are cut by hand.
        let _ = timeout(STRIKE_MAX, all).await;
    }

    /// Switches the machines in `dark` on again, in any order, whatever strikes meanwhile; then waits
    /// for progress.
    async fn recover(&mut self, mut dark: BTreeSet<NodeId>) -> Result<(), String> {
        self.traps_left = TRAPS_MAX;
        let deadline = Instant::now() + PATIENCE;
        let mut looks = interval(Duration::from_millis(1));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut goals: Option<Vec<u64>> = None;
        loop {
            looks.tick().await;
            self.cluster.check()?;
            self.find_trapped(&mut dark);
            if !dark.is_empty() {
                self.switch_one_on(&mut dark).await?;
                goals = None;
                continue;
            }
            let counts = self.acknowledged();
            let goals =
                goals.get_or_insert_with(|| counts.iter().map(|count| count + PROGRESS).collect());
            if counts.iter().zip(&*goals).all(|(count, goal)| count >= goal) {
                self.disarm();
                self.find_trapped(&mut dark);
                if dark.is_empty() {
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                self.cluster.note_all().await;
                return Err(format!("no progress in {PATIENCE:?}: {counts:?}, expected {goals:?}"));
            }
        }
    }

    /// How many writes each group has acknowledged.
    fn acknowledged(&self) -> Vec<u64> {
        let ledger = &self.cluster.ledger;
        self.cluster.groups().map(|group| ledger.acknowledged_of(group)).collect()
    }

    /// Tries to switch on one of the machines in `dark`, now or a moment later.
    async fn switch_one_on(&mut self, dark: &mut BTreeSet<NodeId>) -> Result<(), String> {
        let nodes: Vec<NodeId> = dark.iter().copied().collect();
        let node = *self.dice.pick(&nodes);
        if self.dice.one_in(2) {
            self.moment().await;
        }
        self.strike_meanwhile(dark);
        let is_trapped = self.traps_left > 0 && self.dice.one_in(TRAPPED_ONE_IN);
        let trap = is_trapped.then(|| self.dice.below(TRAP_OPERATIONS));
        self.traps_left -= u64::from(is_trapped);
        self.report.states_restored += self.cluster.saved_of(node);
        if self.cluster.switch_on(node, trap).await? {
            dark.remove(&node);
        } else {
            self.count(1);
            self.report.cuts_in_opening += 1;
        }
        Ok(())
    }

    /// Finds the machines that met a trap after they were started.
    fn find_trapped(&mut self, dark: &mut BTreeSet<NodeId>) {
        for node in NODES {
            if let Some(seat) = self.cluster.seat(node)
                && seat.life.platter().is_dark()
            {
                // The disk goes first, and takes the machine along.
                seat.life.cut();
                self.cluster.throw_away(node);
                self.count(1);
                self.report.cuts_after_opening += 1;
                dark.insert(node);
            }
        }
    }

    /// Now and then another machine loses its power while some are without.
    fn strike_meanwhile(&mut self, dark: &mut BTreeSet<NodeId>) {
        if self.traps_left == 0 || !self.dice.one_in(STRUCK_MEANWHILE_ONE_IN) {
            return;
        }
        let node = *self.dice.pick(&NODES);
        if let Some(seat) = self.cluster.seat(node) {
            self.traps_left -= 1;
            seat.life.cut();
            self.cluster.throw_away(node);
            self.count(1);
            self.report.cuts_while_others_are_down += 1;
            dark.insert(node);
        }
    }

    /// Takes back traps that nobody has met; after it none strikes any more.
    fn disarm(&self) {
        for seat in NODES.iter().filter_map(|node| self.cluster.seat(*node)) {
            seat.life.platter().keep_power();
        }
    }

    /// Ends the clients, waits until all replicas hold the same, and compares it with what the
    /// clients were told.
    async fn settle(&mut self, clients: Clients) -> Result<(), String> {
        let Clients { mut tasks, shared } = clients;
        shared.is_over.store(true, Ordering::Relaxed);
        while let Some(client) = tasks.join_next().await {
            client.unwrap()?;
        }
        self.report.reads += shared.reads.load(Ordering::Relaxed);
        for group in self.cluster.groups() {
            // Commits everything before it, and is the last write of the group.
            Client::new(&self.cluster, group, self.dice.fork()).write_one().await?;
        }
        let seats: Vec<Arc<Seat>> =
            NODES.iter().filter_map(|node| self.cluster.seat(*node)).collect();
        let ledger = self.cluster.ledger.clone();
        let groups: Vec<_> = self.cluster.groups().collect();
        let has_all = |seat: &Arc<Seat>| {
            groups
                .iter()
                .all(|group| seat.witness.applied(*group) >= ledger.acknowledged_last(*group))
        };
        let mut looks = interval(Duration::from_millis(1));
        let deadline = Instant::now() + PATIENCE;
        while !seats.iter().all(has_all) {
            looks.tick().await;
            self.cluster.check()?;
            if Instant::now() > deadline {
                self.cluster.note_all().await;
                return Err(format!("not all replicas hold the last writes within {PATIENCE:?}"));
            }
        }
        assert_eq!(seats.len(), NODES.len(), "all machines have power");
        for group in groups {
            let states: Vec<_> = seats.iter().map(|seat| seat.witness.state(group)).collect();
            self.report.writes.add(&ledger.settle(group, &states)?);
        }
        self.report.clusters += 1;
        drop(seats);
        self.cluster.end().await?;
        self.cluster.check()
    }
}
