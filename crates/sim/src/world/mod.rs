//! A run: the nodes, what surrounds them, and the loop that lets one event happen after the other.
//!
//! `turns.rs` gives events to nodes and carries out what they want; `frames.rs` sends, `clients.rs`
//! asks and is answered, `strikes.rs` lets faults happen, `ailments.rs` and `coups.rs` more of them,
//! those of `coups.rs` being what leaders fall by; `handovers.rs` moves leaders, `rooms.rs` is about full
//! disks; `deaths.rs` ends and starts nodes, `phases.rs` leads through the run, `partial.rs` and
//! `shortage.rs` through what is demanded while a part of the cluster is cut off or has no room; `alike.rs` asks the same of clusters that should not differ.

mod ailments;
mod alike;
mod clients;
mod coups;
mod deaths;
mod frames;
mod handovers;
mod partial;
mod phases;
mod rooms;
mod shortage;
mod strikes;
mod turns;

use std::collections::BTreeMap;

use multiraft::Input;
use routing::RoutingTable;
use types::{GroupId, NodeId, Term};

use self::handovers::Handovers;
use crate::breach::{Breach, Held, Violation, breach};
use crate::check::Checks;
use crate::class::Class;
use crate::client::Clients;
use crate::effect::{Coverage, Effect};
use crate::network::Network;
use crate::node::{Node, TICK_US};
use crate::plan::Plan;
use crate::queue::{Event, Queue};
use crate::random::{Random, mix};

pub use alike::compare_modes;

const VSHARDS: u32 = 1_024;

/// What a run did, for coverage and for telling runs apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Folds every event; equal for equal commit, seed and options.
    pub trace: u64,
    /// How many events happened.
    pub events: u64,
    /// Virtual time, in microseconds.
    pub simulated_us: u64,
    /// Entries committed, all groups together.
    pub committed: u64,
    /// What came of faults.
    pub coverage: Coverage,
}

/// Takes the lines of a run's story.
pub type Teller<'a> = &'a mut dyn FnMut(String);

/// Runs one seed to its end: faults for `plan.events_max` events, then everything heals and must make
/// progress. Each event is told to `teller`, if there is one, as a line.
///
/// # Errors
/// A property did not hold; the violation says which.
///
/// # Panics
/// If an assertion of the engine fails, which is a violation too.
pub fn run(plan: Plan, teller: Option<Teller<'_>>) -> Result<Outcome, Box<Violation>> {
    let mut world = World::new(plan, teller);
    match world.live() {
        Ok(()) => Ok(world.outcome()),
        Err(breach) => Err(violation(&world, breach)),
    }
}

fn violation(world: &World<'_>, Breach { property, what }: Breach) -> Box<Violation> {
    let (plan, at_us, events) = (world.plan, world.queue.now(), world.events);
    Box::new(Violation { plan, at_us, events, property: property.to_owned(), what })
}

struct World<'a> {
    plan: Plan,
    /// Latencies, phases and jitter.
    random: Random,
    /// By class.
    strikes: Vec<Random>,
    queue: Queue,
    routing: RoutingTable,
    nodes: Vec<Node>,
    network: Network,
    clients: Clients,
    client_random: Random,
    handovers: Handovers,
    /// The nodes that were told to take over groups from full ones.
    heirs: BTreeMap<GroupId, u64>,
    checks: Checks,
    coverage: Coverage,
    teller: Option<Teller<'a>>,
    /// Whether faults are over.
    is_calm: bool,
    /// Whether clients ask.
    is_asked: bool,
    /// Whether they ask until they are served.
    is_patient: bool,
    alike: alike::Alike,
    /// The node that dies again and again, and how often it still will.
    storm: (u64, u64),
    trace: u64,
    events: u64,
    /// What the next turn takes, and the groups that it concerns.
    inputs: Vec<Input<u64>>,
    touched: Vec<GroupId>,
    /// What leaders say in it: of which group and term, and until when that binds.
    heard: Vec<(GroupId, Term, u64)>,
    /// Whether it is told that something is durable, so that it may say what it kept until then.
    is_freed: bool,
}

impl<'a> World<'a> {
    fn new(plan: Plan, teller: Option<Teller<'a>>) -> Self {
        let mut random = Random::stream(plan.seed, 1);
        let ids: Vec<NodeId> = (1..=plan.nodes).map(NodeId).collect();
        let routing = RoutingTable::uniform(VSHARDS, plan.groups, &ids, plan.replication_factor)
            .expect("a plan is a legal table");
        let node = |number| {
            let rate = random.within(80, 120);
            let rate = if plan.has(Class::Skew) { rate } else { 100 };
            Node::new(number, TICK_US * rate / 100, &plan)
        };
        let nodes = (1..=plan.nodes).map(node).collect();
        let strikes = (0..Class::ALL.len() as u64).map(|of| Random::stream(plan.seed, 100 + of));
        Self {
            plan,
            random,
            strikes: strikes.collect(),
            queue: Queue::default(),
            routing,
            nodes,
            network: Network::new(&plan),
            clients: Clients::default(),
            client_random: Random::stream(plan.seed, 3),
            handovers: Handovers::default(),
            heirs: BTreeMap::new(),
            checks: Checks::new(&plan),
            coverage: Coverage::default(),
            teller,
            is_calm: false,
            is_asked: true,
            is_patient: false,
            alike: alike::Alike::default(),
            storm: (0, 0),
            trace: 0,
            events: 0,
            inputs: Vec::new(),
            touched: Vec::new(),
            heard: Vec::new(),
            is_freed: false,
        }
    }

    fn outcome(&self) -> Outcome {
        let groups = self.routing.groups();
        let ends = groups.filter_map(|group| {
            let commits = &self.checks.commits;
            commits.at(group, commits.last(group)).map(|stamp| stamp.prefix)
        });
        Outcome {
            trace: ends.fold(self.trace, |trace, end| mix(trace ^ end)),
            events: self.events,
            simulated_us: self.queue.now(),
            committed: self.checks.commits.total(),
            coverage: self.coverage,
        }
    }

    fn next_event(&mut self) -> Held {
        let Some((order, event)) = self.queue.next() else {
            return breach("time goes on", "nothing is planned any more");
        };
        self.events += 1;
        self.trace = mix(self.trace ^ self.queue.now() ^ order.rotate_left(32));
        if self.teller.is_some() {
            let line = event.to_string();
            self.tell(|| line);
        }
        self.handle(event)
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.queue.now();
        if let Some(teller) = &mut self.teller {
            teller(format!("{:>6}.{:06} {}", now / 1_000_000, now % 1_000_000, line()));
        }
    }

    fn plan_event(&mut self, after_us: u64, event: Event) {
        self.queue.plan(after_us, event);
    }

    fn node(&mut self, number: u64) -> &mut Node {
        let place = usize::try_from(number - 1).expect("a node of the plan");
        &mut self.nodes[place]
    }

    fn node_ref(&self, number: u64) -> &Node {
        let place = usize::try_from(number - 1).expect("a node of the plan");
        &self.nodes[place]
    }

    /// Whether faults of a class happen now.
    fn has(&self, class: Class) -> bool {
        !self.is_calm && self.plan.has(class)
    }

    fn count(&mut self, effect: Effect) {
        self.coverage.count(effect);
    }
}
