//! Makes a violation smaller: fewer classes of faults, fewer events.

use sim::{Plan, Violation};

use super::attempt::attempt;

/// How many runs that may take.
const RUNS_MAX: u32 = 120;

/// Finds a plan of the same seed that breaks the same property with less.
pub(crate) fn shrink(violation: &Violation) -> Violation {
    let mut smallest = violation.clone();
    let mut runs = 0;
    let mut try_plan = |plan: Plan, smallest: &mut Violation| {
        runs += 1;
        if runs > RUNS_MAX {
            return;
        }
        let Err(found) = attempt(plan, None) else { return };
        if found.property == smallest.property {
            *smallest = *found;
        }
    };
    for class in violation.plan.faults.iter() {
        let faults = smallest.plan.faults.without(class);
        try_plan(Plan { faults, ..smallest.plan }, &mut smallest);
    }
    let mut step = smallest.plan.events_max / 2;
    while step > 100 {
        let events_max = smallest.plan.events_max - step;
        try_plan(Plan { events_max, ..smallest.plan }, &mut smallest);
        step /= 2;
    }
    smallest
}

/// The options that run a plan again.
pub(crate) fn options(plan: &Plan) -> String {
    let drawn = Plan::draw(plan.seed, plan.events_max).faults;
    let left_out = drawn.iter().filter(|class| !plan.faults.contains(*class));
    let left_out: Vec<String> = left_out.map(|class| class.name()).collect();
    let mut options = format!("--seed {} --events {}", plan.seed, plan.events_max);
    if !left_out.is_empty() {
        options.push_str(" --without ");
        options.push_str(&left_out.join(","));
    }
    options
}
