//! A process that runs a part of a range and writes a line per seed.
//!
//! ```text
//! passed SEED TRACE EVENTS SIMULATED_US CPU_NS COUNTS..
//! failed SEED PROPERTY
//! ```

use std::io::Write;
use std::process::ExitCode;

use rustix::time::{ClockId, clock_gettime};
use sim::{Coverage, Outcome};

use super::Arguments;
use super::attempt::attempt;

/// What a process says of a seed.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    /// It passed.
    Passed { seed: u64, outcome: Box<Outcome>, cpu_ns: u64 },
    /// It did not.
    Failed { seed: u64, property: String },
}

impl Line {
    fn print(&self) -> String {
        match self {
            Self::Failed { seed, property } => format!("failed {seed} {property}\n"),
            Self::Passed { seed, outcome, cpu_ns } => {
                let Outcome { trace, events, simulated_us, committed, coverage } = &**outcome;
                let mut line =
                    format!("passed {seed} {trace} {events} {simulated_us} {committed} {cpu_ns}");
                for count in coverage.counts() {
                    line.push_str(&format!(" {count}"));
                }
                line.push('\n');
                line
            }
        }
    }

    /// Reads a line; none if it is not whole.
    pub(crate) fn read(line: &str) -> Option<Self> {
        if let Some(failed) = line.strip_prefix("failed ") {
            let (seed, property) = failed.split_once(' ')?;
            return Some(Self::Failed { seed: seed.parse().ok()?, property: property.to_owned() });
        }
        let mut words = line.strip_prefix("passed ")?.split(' ');
        let mut next = || words.next()?.parse::<u64>().ok();
        let seed = next()?;
        let (trace, events, simulated_us) = (next()?, next()?, next()?);
        let (committed, cpu_ns) = (next()?, next()?);
        let mut coverage = Coverage::default();
        coverage.merge(words.filter_map(|word| word.parse().ok()));
        let outcome = Box::new(Outcome { trace, events, simulated_us, committed, coverage });
        Some(Self::Passed { seed, outcome, cpu_ns })
    }
}

/// Runs every seed of the range whose turn it is for process `number`.
pub(crate) fn run(arguments: &Arguments, number: u64) -> ExitCode {
    let mut out = std::io::stdout();
    let end = arguments.from.saturating_add(arguments.seeds);
    for seed in (arguments.from..end).filter(|seed| seed % arguments.jobs == number) {
        let before = cpu_ns();
        let line = match attempt(arguments.plan(seed), None) {
            Ok(outcome) => {
                Line::Passed { seed, outcome: Box::new(outcome), cpu_ns: cpu_ns() - before }
            }
            Err(violation) => Line::Failed { seed, property: violation.property },
        };
        // One write per line, which a pipe keeps whole. Whoever read it may be gone.
        if out.write_all(line.print().as_bytes()).and_then(|()| out.flush()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What this process has computed so far. Only figures are made of it, no verdict.
pub(crate) fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_written() {
        let mut coverage = Coverage::default();
        coverage.merge([3, 0, 7]);
        let outcome = Box::new(Outcome {
            trace: u64::MAX,
            events: 2,
            simulated_us: 3,
            committed: 4,
            coverage,
        });
        let line = Line::Passed { seed: 9, outcome: outcome.clone(), cpu_ns: 5 }.print();
        let Some(Line::Passed { seed, outcome: read, cpu_ns }) = Line::read(line.trim_end()) else {
            panic!("{line}");
        };
        assert_eq!((seed, read, cpu_ns), (9, outcome, 5));
        let failed = Line::Failed { seed: 4, property: "all is well".to_owned() }.print();
        let Some(Line::Failed { seed: 4, property }) = Line::read(failed.trim_end()) else {
            panic!("{failed}");
        };
        assert_eq!(property, "all is well");
        assert!(Line::read("failed 4").is_none());
        assert!(Line::read("passed 4 1").is_none());
    }
}
