//! The command line.

mod attempt;
mod bound;
mod commit;
mod equivalence;
mod mutants;
mod progress;
mod range;
mod shrink;
mod speed;
mod table;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sim::{Class, Plan};

/// Runs whole clusters on one thread, one per seed, under faults, and checks them.
#[derive(Parser, Clone, Debug)]
#[command(name = "sim", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 200)]
    pub(crate) seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    pub(crate) from: u64,
    /// How many processes run them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) jobs: u64,
    /// After how many events faults end and the cluster has to recover.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) events: u64,
    /// Run this one seed only.
    #[arg(long, conflicts_with_all = ["seeds", "from", "jobs"])]
    pub(crate) seed: Option<u64>,
    /// Tell the story of that seed.
    #[arg(long, requires = "seed")]
    pub(crate) trace: bool,
    /// Classes of faults to leave out, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = parse_class)]
    pub(crate) without: Vec<Class>,
    /// Measure two fixed clusters, each for so many simulated minutes.
    #[arg(long, value_name = "MINUTES", num_args = 0..=1, default_missing_value = "60")]
    pub(crate) speed: Option<u64>,
    /// Run each seed's list of wishes in plain and in packed mode, on schedules that lose nothing, and
    /// compare what the groups commit.
    #[arg(long, conflicts_with_all = ["seed", "jobs", "speed"])]
    pub(crate) equivalence: bool,
    /// Run a part of a range and write a line per seed; for the command's own use.
    #[arg(long, hide = true)]
    worker: Option<u64>,
}

/// What else there is to do.
#[derive(Subcommand, Clone, Debug)]
enum Action {
    Mutants(mutants::Arguments),
}

impl Arguments {
    /// What a seed runs under these options.
    pub(crate) fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::draw(seed, self.events);
        for class in &self.without {
            plan.faults = plan.faults.without(*class);
        }
        plan
    }
}

fn parse_class(name: &str) -> Result<Class, String> {
    Class::named(name).ok_or_else(|| {
        let names: Vec<String> = Class::ALL.iter().map(|class| class.name()).collect();
        format!("no class of faults; there are {}", names.join(", "))
    })
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    if let Some(Action::Mutants(arguments)) = &arguments.action {
        return mutants::run(arguments);
    }
    if let Some(minutes) = arguments.speed {
        return speed::run(minutes);
    }
    if arguments.equivalence {
        return equivalence::run(arguments);
    }
    if let Some(seed) = arguments.seed {
        return attempt::run_one(&arguments.plan(seed), arguments.trace);
    }
    match arguments.worker {
        Some(number) => worker::run(arguments, number),
        None => range::run(arguments),
    }
}
