//! `sim`: runs seeds and says what they did, or what went wrong.
#![forbid(unsafe_code)]

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser;
use sim::{Outcome, Plan, run};

/// Runs a whole cluster on one thread, once per seed, and checks it.
#[derive(Parser)]
#[command(name = "sim", version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this one seed only.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// After how many events faults end and the cluster has to recover.
    #[arg(long, default_value_t = 20_000)]
    events: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (from, seeds) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    let mut total = Outcome::default();
    for seed in from..from.saturating_add(seeds) {
        let plan = Plan::draw(seed, arguments.events);
        match catch_unwind(|| run(plan)) {
            Ok(Ok(outcome)) => add(&mut total, &outcome),
            Ok(Err(violation)) => {
                eprintln!("{violation}");
                return failed(seed, arguments.events);
            }
            Err(_) => {
                eprintln!("{plan:?}");
                return failed(seed, arguments.events);
            }
        }
    }
    report(seeds, &total);
    ExitCode::SUCCESS
}

fn failed(seed: u64, events: u64) -> ExitCode {
    eprintln!("again: cargo run --release -p sim -- --seed {seed} --events {events}");
    ExitCode::FAILURE
}

fn add(total: &mut Outcome, outcome: &Outcome) {
    total.trace = total.trace.rotate_left(1) ^ outcome.trace;
    total.simulated_us += outcome.simulated_us;
    total.terms += outcome.terms;
    total.committed += outcome.committed;
    total.writes += outcome.writes;
    total.reads += outcome.reads;
    total.uncertain += outcome.uncertain;
    total.refused += outcome.refused;
    total.lost += outcome.lost;
    total.repeated += outcome.repeated;
    total.restarts += outcome.restarts;
    total.torn += outcome.torn;
    total.pauses += outcome.pauses;
    total.partitions += outcome.partitions;
}

fn report(seeds: u64, total: &Outcome) {
    println!("{seeds} seeds passed, trace {:016x}", total.trace);
    let rows = [
        ("simulated seconds", total.simulated_us / 1_000_000),
        ("leaders elected", total.terms),
        ("entries committed", total.committed),
        ("writes acknowledged", total.writes),
        ("reads served", total.reads),
        ("writes uncertain", total.uncertain),
        ("operations refused", total.refused),
        ("frames lost", total.lost),
        ("frames repeated", total.repeated),
        ("restarts after power cuts", total.restarts),
        ("power cuts within writes", total.torn),
        ("pauses", total.pauses),
        ("partitions", total.partitions),
    ];
    for (what, count) in rows {
        let mark = if count == 0 { "  <- never happened" } else { "" };
        println!("{what:>26} {count:>12}{mark}");
    }
}
