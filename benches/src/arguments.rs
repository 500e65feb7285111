//! The command line.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::figure::{FIGURES, Figure};
use crate::reopen;

/// How the program is called.
pub(crate) const USAGE: &str = "\
usage: figures NAME [--case TEXT] [--runs N] [--ours-only] [--dir PATH] [--seconds N]
               [--mib N]
       figures --list

  --case TEXT   only the cases whose name contains TEXT
  --runs N      how many runs a median is taken of, at least 5 (default 5)
  --ours-only   without the rivals, for a profiler; such lines compare with nothing
  --dir PATH    a folder on the disk to measure, for figures that write (default: the system's
                temporary one); what they write there they remove
  --seconds N   how long a run of durable-writes, redis-set and redis-get counts, 1 to 600
                (default 3)
  --mib N       how much live log reopen opens, in MiB, 1 to 65536 (default 1024)

durable-writes prints writes per second of three nodes in one process; beside them the latencies,
the CPU time per write of the whole process (whoever proposes included), entries per sync, and what
was held fixed. Each run checks that all nodes agree on every write. It wants a machine on which
nothing else runs.";

/// The fewest runs that a median may be taken of.
const RUNS_MIN: usize = 5;

/// What to measure of a figure, and how often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    /// Only cases whose name contains this.
    pub(crate) case: String,
    /// How many runs a median is taken of.
    pub(crate) runs: usize,
    /// Whether the rivals run too.
    pub(crate) with_peer: bool,
    /// A folder on the disk to measure.
    pub(crate) dir: PathBuf,
    /// How long a run counts, of a figure whose runs last for a time.
    pub(crate) window: Duration,
    /// How much live log is opened, of a figure that opens one.
    pub(crate) live_mib: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            case: String::new(),
            runs: RUNS_MIN,
            with_peer: true,
            dir: std::env::temp_dir(),
            window: Duration::from_secs(3),
            live_mib: 1024,
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Arguments {
    Help,
    List,
    /// What this program asks of itself, for `reopen`.
    Part(Vec<String>),
    Measure {
        figure: &'static Figure,
        options: Options,
    },
}

/// Why the command line is not understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ArgumentError {
    NoName,
    UnknownFigure { name: String },
    UnknownOption { option: String },
    SecondName { name: String },
    NoValue { option: &'static str },
    Runs { found: String },
    Seconds { found: String },
    Mib { found: String },
}

impl Arguments {
    /// Reads the arguments behind the program's name.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Self, ArgumentError> {
        let mut arguments = arguments.into_iter();
        let mut options = Options::default();
        let mut figure = None;
        while let Some(argument) = arguments.next() {
            let mut value = |option| arguments.next().ok_or(ArgumentError::NoValue { option });
            match argument.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                "--list" => return Ok(Self::List),
                "--ours-only" => options.with_peer = false,
                "--case" => options.case = value("--case")?,
                "--dir" => options.dir = value("--dir")?.into(),
                "--seconds" => options.window = parse_seconds(value("--seconds")?)?,
                "--mib" => options.live_mib = parse_mib(value("--mib")?)?,
                "--runs" => options.runs = parse_runs(value("--runs")?)?,
                reopen::PART => return Ok(Self::Part(arguments.collect())),
                option if option.starts_with('-') => {
                    return Err(ArgumentError::UnknownOption { option: argument });
                }
                _ if figure.is_some() => {
                    return Err(ArgumentError::SecondName { name: argument });
                }
                name => {
                    let found = FIGURES.iter().find(|figure| figure.name == name);
                    figure = Some(found.ok_or(ArgumentError::UnknownFigure { name: argument })?);
                }
            }
        }
        let figure = figure.ok_or(ArgumentError::NoName)?;
        Ok(Self::Measure { figure, options })
    }
}

fn parse_runs(found: String) -> Result<usize, ArgumentError> {
    match found.parse() {
        Ok(runs) if runs >= RUNS_MIN => Ok(runs),
        _ => Err(ArgumentError::Runs { found }),
    }
}

fn parse_seconds(found: String) -> Result<Duration, ArgumentError> {
    match found.parse() {
        Ok(seconds @ 1..=600) => Ok(Duration::from_secs(seconds)),
        Ok(_) | Err(_) => Err(ArgumentError::Seconds { found }),
    }
}

fn parse_mib(found: String) -> Result<u64, ArgumentError> {
    match found.parse() {
        Ok(mib @ 1..=65_536) => Ok(mib),
        Ok(_) | Err(_) => Err(ArgumentError::Mib { found }),
    }
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = || FIGURES.map(|figure| figure.name).join(", ");
        match self {
            Self::NoName => write!(f, "which figure? There are: {}", names()),
            Self::UnknownFigure { name } => {
                write!(f, "there is no figure {name:?}; there are: {}", names())
            }
            Self::UnknownOption { option } => write!(f, "there is no option {option}"),
            Self::SecondName { name } => write!(f, "one figure at a time; {name:?} is too many"),
            Self::NoValue { option } => write!(f, "{option} needs a value"),
            Self::Seconds { found } => {
                write!(f, "--seconds is a number from 1 to 600, not {found:?}")
            }
            Self::Mib { found } => {
                write!(f, "--mib is a number from 1 to 65536, not {found:?}")
            }
            Self::Runs { found } => {
                write!(f, "--runs is a number of at least {RUNS_MIN}, not {found:?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, ArgumentError> {
        Arguments::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn options_stand_before_or_behind_the_name() {
        for line in [
            "core-entry-cost --runs 9 --case batch=64 --dir /d",
            "--dir /d --runs 9 --case batch=64 core-entry-cost",
        ] {
            let Arguments::Measure { figure, options } = parse(line).unwrap() else {
                panic!("{line} does not measure");
            };
            assert_eq!(figure.name, "core-entry-cost");
            let case = "batch=64".to_string();
            let dir = PathBuf::from("/d");
            let expected = Options { case, runs: 9, dir, ..Options::default() };
            assert_eq!(options, expected);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_figures() {
        let error = parse("core").unwrap_err();
        let names = FIGURES.map(|figure| figure.name).join(", ");
        assert_eq!(error.to_string(), format!("there is no figure \"core\"; there are: {names}"));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        assert_eq!(parse("").unwrap_err(), ArgumentError::NoName);
        assert_eq!(parse("--runs").unwrap_err(), ArgumentError::NoValue { option: "--runs" });
        assert_eq!(parse("--runs 4").unwrap_err(), ArgumentError::Runs { found: "4".into() });
        let found = "0".to_string();
        assert_eq!(parse("--seconds 0").unwrap_err(), ArgumentError::Seconds { found });
        let found = "0".to_string();
        assert_eq!(parse("--mib 0").unwrap_err(), ArgumentError::Mib { found });
        let option = "--fast".to_string();
        assert_eq!(parse("--fast").unwrap_err(), ArgumentError::UnknownOption { option });
        let name = "b".to_string();
        assert_eq!(parse("core-entry-cost b").unwrap_err(), ArgumentError::SecondName { name });
    }
}
