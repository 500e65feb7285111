//! How fast the simulator is: two fixed clusters with all faults and all checks.

use std::process::ExitCode;

use sim::{Classes, Plan, Storage};

use super::attempt::attempt;
use super::worker::cpu_ns;

/// Nodes, groups, client operations per simulated second.
const PROFILES: [(u64, u32, u64); 2] = [(3, 1, 10), (5, 64, 32)];

pub(crate) fn run(minutes: u64) -> ExitCode {
    for (nodes, groups, operations) in PROFILES {
        let plan = profile(nodes, groups, operations);
        // Events are what a run is measured in; a first run tells how many a minute has.
        let sample = Plan { events_max: 100_000, ..plan };
        let Ok(first) = attempt(sample, None) else { return failed(&sample) };
        let wanted = first.events.saturating_mul(minutes * 60_000_000) / first.simulated_us.max(1);
        let plan = Plan { events_max: wanted, ..plan };
        let before = cpu_ns();
        let Ok(outcome) = attempt(plan, None) else { return failed(&plan) };
        let cpu_ms = ((cpu_ns() - before) / 1_000_000).max(1);
        let hours_x10 = outcome.simulated_us / 6_000 / cpu_ms;
        let effects: u64 = outcome.coverage.counts().iter().take(sim::FAULT_EFFECTS).sum();
        println!(
            "{nodes} nodes x {groups} groups x {operations} operations/s: {}.{} cluster-hours per \
             CPU-minute; {} s simulated, {} events, {} effects of faults per 10 s",
            hours_x10 / 10,
            hours_x10 % 10,
            outcome.simulated_us / 1_000_000,
            outcome.events,
            effects * 10_000_000 / outcome.simulated_us.max(1)
        );
    }
    ExitCode::SUCCESS
}

fn failed(plan: &Plan) -> ExitCode {
    eprintln!("the cluster broke: {plan:?}");
    ExitCode::FAILURE
}

/// A cluster with every fault on, at the default rate.
fn profile(nodes: u64, groups: u32, operations: u64) -> Plan {
    let drawn = Plan::draw(0, 0);
    Plan {
        nodes,
        groups,
        replication_factor: usize::try_from(nodes).unwrap_or(usize::MAX),
        faults: Classes::all(),
        frame_odds: 100,
        transit_us_max: 500,
        election_ticks: 10,
        operation_us: 1_000_000 / operations,
        storage: Storage::Model,
        heals_quorum_only: false,
        learners: 0,
        ..drawn
    }
}
