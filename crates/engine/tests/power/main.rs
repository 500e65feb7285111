//! Power loss of whole engines: three of them, on simulated disks, linked within the process. What
//! was acknowledged is never lost, what nobody made never appears, whatever moment the power goes
//! at, for one, two or all three machines.
//!
//! The same storm over an engine or disks that are wrong on purpose has to find that out.
//! `POWER_SEED=n cargo test -p engine --test power` begins with another seed, `POWER_CUTS=n` takes
//! more or fewer cuts.
#![allow(clippy::unwrap_used, reason = "this is all test code, in functions that are no tests")]

mod clients;
mod cluster;
mod dice;
mod ledger;
mod life;
mod report;
mod storm;
mod witness;

use engine::PlantedBug;

use crate::cluster::Bug;
use crate::report::{Report, Violation};
use crate::storm::{Plan, run};

/// How many cuts the engine has to live through.
const CUTS_MIN: u64 = 1_000;
/// Within how many cuts what is wrong has to be found.
const CUTS_TO_FIND_A_BUG: u64 = 150;

fn plan() -> Plan {
    let number = |name, otherwise| {
        std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let (seed, cuts_min) = (number("POWER_SEED", 1), number("POWER_CUTS", CUTS_MIN));
    Plan { seed, lanes: 6, cuts_min, rounds: 12, saves: true, bug: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_acknowledged_is_lost_whenever_the_power_goes() {
    let plan = plan();
    let report = run(plan).await.unwrap_or_else(|violation| panic!("{violation}"));
    println!("{report:#?}");
    assert!(report.cuts_total() >= plan.cuts_min);
    assert_everything_happened(&report);
}

#[track_caller]
fn assert_everything_happened(report: &Report) {
    let happened = [
        report.cuts[0],
        report.cuts[1],
        report.cuts[2],
        report.cuts_in_opening,
        report.cuts_after_opening,
        report.cuts_while_others_are_down,
        report.cuts_at_operations,
        report.cuts_at_syncs,
        report.states_restored,
        report.clusters,
    ];
    assert!(happened.iter().all(|count| *count >= 5), "{happened:?}");
    let writes = report.writes;
    let cuts = report.cuts_total();
    assert!(writes.acknowledged > 10 * cuts && report.reads > cuts, "{report:?}");
    assert!(writes.kept_in_flight > 50 && writes.lost_in_flight > 50, "{writes:?}");
    assert!(writes.refused > 5, "{writes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_write_reported_persisted_before_its_commit_is_found() {
    let violation = find(Bug::Engine(PlantedBug::PersistedBeforeCommit)).await;
    println!("{violation}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_without_its_round_is_found() {
    let violation = find(Bug::Engine(PlantedBug::ReadWithoutRound)).await;
    assert!(violation.what.contains("a read at node"), "{violation}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disks_that_have_not_synced_are_found() {
    let violation = find(Bug::LyingDisks).await;
    println!("{violation}");
}

/// The violation that a planted bug leads to.
async fn find(bug: Bug) -> Box<Violation> {
    let plan = Plan { bug: Some(bug), cuts_min: CUTS_TO_FIND_A_BUG, saves: false, ..plan() };
    match run(plan).await {
        Err(violation) => violation,
        Ok(report) => panic!("{bug:?} was not found: {report:?}"),
    }
}
