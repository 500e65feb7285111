//! What a cluster makes of a fixed list of wishes, on a schedule that loses nothing: the same, however
//! its nodes pack what they send. Clients here ask until they are served, so that what is left out of
//! the log was lost by the cluster.

use std::collections::{BTreeMap, BTreeSet};

use types::GroupId;

use super::phases::SETTLE_US;
use super::{World, violation};
use crate::breach::{Breach, Violation, breach};
use crate::class::{Class, Classes};
use crate::client::{Kind, Wish};
use crate::plan::{NodeSet, Plan};
use crate::queue::Event;
use crate::random::Random;

/// How many wishes there are.
const WISHES: u64 = 400;
/// How long clients wait for the first leaders, in microseconds.
const START_US: u64 = 3_000_000;
/// How often one looks whether all is done.
const LOOK_US: u64 = 100_000;

/// Which wish each attempt is for.
#[derive(Debug, Default)]
pub(super) struct Alike(BTreeMap<u64, u64>);

impl Alike {
    pub(super) fn begin(&mut self, attempt: u64, wish: u64) {
        if wish > 0 {
            self.0.insert(attempt, wish);
        }
    }
}

/// The writes that each group committed, in the order of its log, by the number of the wish behind
/// each; one that was asked twice stands where it was committed first.
type Committed = Vec<Vec<u64>>;

/// Runs a list of wishes that a plan's seed draws in plain mode, in which every message travels alone,
/// and in packed mode. Under those faults of the plan that lose nothing the groups commit the same
/// commands; without any, in the same order. Returns how many commands that are.
///
/// # Errors
/// What differs, or the property that did not hold, as whoever ran it should read it.
pub fn compare_modes(plan: &Plan) -> Result<usize, String> {
    let mut commands = 0;
    let lossless = plan.faults.iter().filter(|class| !loses(*class));
    let lossless = lossless.fold(Classes::default(), Classes::with);
    for faults in [lossless, Classes::default()] {
        let commit = |plain| {
            let plan = Plan { faults, plain, heals_quorum_only: false, ..*plan };
            commit_wishes(plan).map_err(|violation| violation.to_string())
        };
        let (mut alone, mut packed) = (commit(NodeSet::ALL)?, commit(NodeSet::NONE)?);
        if faults != Classes::default() {
            alone.iter_mut().chain(&mut packed).for_each(|log| log.sort_unstable());
        }
        if let Some(group) = (0..alone.len()).find(|group| alone[*group] != packed[*group]) {
            return Err(format!(
                "seed {} under {faults:?}: group {} commits {:?} in plain mode, {:?} in packed mode",
                plan.seed,
                group + 1,
                alone[group],
                packed[group]
            ));
        }
        commands += packed.iter().map(Vec::len).sum::<usize>();
    }
    Ok(commands)
}

/// Runs a list of wishes until every one is served.
fn commit_wishes(plan: Plan) -> Result<Committed, Box<Violation>> {
    let mut world = World::new(plan, None);
    world.serve_wishes().map_err(|breach| violation(&world, breach))
}

/// Whether a class of faults loses what was sent, written, asked, or a whole node.
const fn loses(class: Class) -> bool {
    !matches!(
        class,
        Class::Repeat
            | Class::Reorder
            | Class::Delay
            | Class::Pause
            | Class::Slow
            | Class::Skew
            | Class::Starve
            | Class::Stall
            | Class::SlowApply
    )
}

impl World<'_> {
    fn serve_wishes(&mut self) -> Result<Committed, Breach> {
        self.is_patient = true;
        for node in 1..=self.plan.nodes {
            self.plan_event(node, Event::Start { node });
        }
        self.plan_strikes();
        let mut random = Random::stream(self.plan.seed, 4);
        let mut at = START_US;
        for number in 1..=WISHES {
            let group = GroupId(random.within(1, u64::from(self.plan.groups)));
            let key = u16::try_from(random.below(self.plan.keys)).expect("a few keys");
            let kind = if random.one_in(4) { Kind::Read } else { Kind::Write };
            at += random.within(1, 2 * self.plan.operation_us);
            self.plan_event(at, Event::Want(Wish { number, group, key, kind }));
        }
        self.pass(at)?;
        let present = self.heal();
        let end = self.queue.now() + SETTLE_US;
        loop {
            let waiting = self.clients.open().next().map(|(number, attempt)| (number, *attempt));
            let Some((number, attempt)) = waiting else { break };
            if self.queue.now() >= end {
                let what = format!("attempt {number}: {attempt:?}");
                return breach("whoever asks again and again is served", what);
            }
            self.pass(LOOK_US)?;
        }
        self.is_asked = false;
        self.settle(&present)?;
        self.checks.histories.check()?;
        Ok(self.committed())
    }

    /// Somebody wants something: he asks whoever leads.
    pub(super) fn want(&mut self, wish: Wish) {
        let leader = (1..=self.plan.nodes).find(|node| self.leads(*node, wish.group));
        self.attempt(wish, 0, leader);
    }

    fn committed(&self) -> Committed {
        let mut logs: Vec<BTreeMap<_, u64>> =
            self.routing.groups().map(|_| BTreeMap::new()).collect();
        for (attempt, (group, index)) in self.checks.writes.applied_all() {
            let place = usize::try_from(group.0 - 1).expect("at most 64 groups");
            if let Some(wish) = self.alike.0.get(&attempt) {
                logs[place].insert(index, *wish);
            }
        }
        let mut logs: Committed = logs.into_iter().map(|log| log.into_values().collect()).collect();
        for log in &mut logs {
            let mut seen = BTreeSet::new();
            log.retain(|wish| seen.insert(*wish));
        }
        logs
    }
}
