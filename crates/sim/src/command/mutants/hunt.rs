//! Looks for the first seed on which another build of the simulator finds something.

use std::io::{BufRead, BufReader, PipeReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::command::bound::shown_by;
use crate::command::worker::Line;

/// What came of a hunt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Prey {
    /// A property did not hold on this seed, and on none before.
    Caught {
        /// The seed.
        seed: u64,
        /// The property.
        property: String,
    },
    /// All seeds passed.
    Escaped,
}

/// Runs `program` on the seeds from 0 up to `seeds` in `jobs` processes, until one fails. A process
/// that ends amid a seed has failed there: an abort, or a seed that does not end.
///
/// # Errors
/// It cannot be run, or waited for.
pub(super) fn hunt(program: &Path, seeds: u64, jobs: u64) -> Result<Prey, String> {
    let (reader, children) = start(program, seeds, jobs)?;
    follow(reader, children, seeds)
}

/// Follows processes, one for each job, until it is known which seed fails first.
fn follow(reader: PipeReader, children: Vec<Child>, seeds: u64) -> Result<Prey, String> {
    let mut hunt = Hunt::new(seeds, children.len() as u64);
    hunt.follow(reader);
    let end = |mut child: Child| {
        // Whoever has ended does not mind.
        let _ = child.kill();
        child.wait()
    };
    let ends: Result<Vec<ExitStatus>, std::io::Error> = children.into_iter().map(end).collect();
    let ends = ends.map_err(|error| format!("the processes cannot be waited for: {error}"))?;
    Ok(hunt.prey(|job| shown_by(ends[job])))
}

fn start(program: &Path, seeds: u64, jobs: u64) -> Result<(PipeReader, Vec<Child>), String> {
    let failed = |error: std::io::Error| format!("{} cannot be run: {error}", program.display());
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let mut children = Vec::new();
    for number in 0..jobs {
        let mut command = Command::new(program);
        let options = [("--seeds", seeds), ("--jobs", jobs), ("--worker", number)];
        for (option, value) in options {
            command.arg(option).arg(value.to_string());
        }
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command.stdout(Stdio::from(writer.try_clone().map_err(failed)?));
        children.push(command.spawn().map_err(failed)?);
    }
    Ok((reader, children))
}

/// A hunt under way.
struct Hunt {
    seeds: u64,
    jobs: u64,
    /// By process: the seed that it runs.
    running: Vec<u64>,
    first: Option<(u64, String)>,
}

impl Hunt {
    fn new(seeds: u64, jobs: u64) -> Self {
        Self { seeds, jobs, running: (0..jobs).collect(), first: None }
    }

    /// Reads until no line can matter any more.
    fn follow(&mut self, reader: PipeReader) {
        let mut lines = BufReader::new(reader).lines();
        while !self.is_over()
            && let Some(Ok(line)) = lines.next()
        {
            self.take(&line);
        }
    }

    /// What came of it; `shown_by` tells what a process has shown that ended before its time.
    fn prey(self, shown_by: impl Fn(usize) -> &'static str) -> Prey {
        let dead = self.running.iter().copied().enumerate();
        let dead = dead.filter(|(_, seed)| *seed < self.seeds).min_by_key(|(_, seed)| *seed);
        let dead = dead.filter(|_| !self.is_over());
        match (self.first, dead) {
            (Some((seed, property)), None) => Prey::Caught { seed, property },
            (Some((seed, property)), Some((_, dead))) if seed < dead => {
                Prey::Caught { seed, property }
            }
            (_, Some((job, seed))) => Prey::Caught { seed, property: shown_by(job).to_owned() },
            (None, None) => Prey::Escaped,
        }
    }

    /// Whether no earlier seed than the first that failed is still being run.
    fn is_over(&self) -> bool {
        let end = self.first.as_ref().map_or(self.seeds, |(seed, _)| *seed);
        self.running.iter().all(|running| *running >= end)
    }

    fn take(&mut self, line: &str) {
        let (seed, found) = match Line::read(line) {
            Some(Line::Passed { seed, .. }) => (seed, None),
            Some(Line::Failed { seed, property }) => (seed, Some(property)),
            None => return,
        };
        let job = usize::try_from(seed % self.jobs).expect("a few processes");
        self.running[job] = seed + self.jobs;
        if let Some(property) = found
            && self.first.as_ref().is_none_or(|(first, _)| seed < *first)
        {
            self.first = Some((seed, property));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn follow(lines: &str, seeds: u64, jobs: u64) -> Prey {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(lines.as_bytes()).unwrap();
        drop(writer);
        let mut hunt = Hunt::new(seeds, jobs);
        hunt.follow(reader);
        hunt.prey(|_| "a process died")
    }

    fn caught(seed: u64, property: &str) -> Prey {
        Prey::Caught { seed, property: property.to_owned() }
    }

    #[test]
    fn the_first_seed_counts_whoever_reports_first() {
        let lines = "failed 3 b is b\npassed 0 1 1 1 1 1\nfailed 2 a is a\n";
        assert_eq!(follow(lines, 9, 2), caught(2, "a is a"));
    }

    #[test]
    fn a_process_that_dies_is_caught_at_its_seed() {
        assert_eq!(follow("passed 0 1 1 1 1 1\n", 9, 1), caught(1, "a process died"));
        assert_eq!(follow("failed 4 a\npassed 1 1 1 1 1 1\n", 9, 2), caught(3, "a process died"));
        let lines = "passed 0 1 1 1 1 1\npassed 1 1 1 1 1 1\n";
        assert_eq!(follow(lines, 2, 1), Prey::Escaped);
    }

    #[test]
    fn a_seed_that_does_not_end_is_caught_there() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut shell = Command::new("sh");
        let story = "ulimit -S -t 1; echo passed 0 1 1 1 1 1; while :; do :; done";
        let child = shell.args(["-c", story]).stdout(writer).spawn().unwrap();
        // It holds the other end of the pipe.
        drop(shell);
        let prey = super::follow(reader, vec![child], 9);
        assert_eq!(prey, Ok(caught(1, "a seed does not end")));
    }
}
