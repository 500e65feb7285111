//! Plain against packed: whether the groups of a cluster commit the same.

use std::process::ExitCode;

use sim::compare_modes;

use super::Arguments;

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let end = arguments.from.saturating_add(arguments.seeds);
    let mut commands = 0;
    for seed in arguments.from..end {
        match compare_modes(&arguments.plan(seed)) {
            Ok(committed) => commands += committed,
            Err(difference) => {
                eprintln!("{difference}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{} seeds from {}, each in plain and in packed mode: the same {commands} commands",
        arguments.seeds, arguments.from
    );
    ExitCode::SUCCESS
}
