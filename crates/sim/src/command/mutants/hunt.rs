//! Looks for the first seed on which another build of the simulator finds something.

use std::io::{PipeReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::command::worker::Line;

/// How long a seed may take; they take milliseconds.
const SEED_SECONDS_MAX: i64 = 120;

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

/// Runs `program` on the seeds from 0 up to `seeds` in `jobs` processes, until one fails.
///
/// # Errors
/// It cannot be run, or hangs.
pub(super) fn hunt(program: &Path, seeds: u64, jobs: u64) -> Result<Prey, String> {
    let (mut reader, children) = start(program, seeds, jobs)?;
    let result = Hunt::new(seeds, jobs).follow(&mut reader);
    for mut child in children {
        // Whoever has ended does not mind.
        let _ = child.kill();
        let _ = child.wait();
    }
    result
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

    fn follow(mut self, reader: &mut PipeReader) -> Result<Prey, String> {
        let mut text = Vec::new();
        while !self.is_over() && self.read(reader, &mut text)? {
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                self.take(&String::from_utf8_lossy(&line));
            }
        }
        // A process that ended before its time was ended by the seed that it ran.
        let dead = self.running.iter().copied().filter(|seed| *seed < self.seeds).min();
        let dead = dead.filter(|_| !self.is_over());
        match (self.first, dead) {
            (Some((seed, _)), Some(dead)) if dead < seed => Ok(died(dead)),
            (None, Some(dead)) => Ok(died(dead)),
            (Some((seed, property)), _) => Ok(Prey::Caught { seed, property }),
            (None, None) => Ok(Prey::Escaped),
        }
    }

    /// Whether no earlier seed than the first that failed is still being run.
    fn is_over(&self) -> bool {
        let end = self.first.as_ref().map_or(self.seeds, |(seed, _)| *seed);
        self.running.iter().all(|running| *running >= end)
    }

    /// Reads what there is, once there is something; false at the end.
    fn read(&self, reader: &mut PipeReader, text: &mut Vec<u8>) -> Result<bool, String> {
        let failed = |error: std::io::Error| format!("the pipe cannot be read: {error}");
        let patience = Timespec { tv_sec: SEED_SECONDS_MAX, tv_nsec: 0 };
        let mut waits = [PollFd::new(&*reader, PollFlags::IN)];
        if poll(&mut waits, Some(&patience)).map_err(|error| failed(error.into()))? == 0 {
            let running = &self.running;
            return Err(format!("hangs: no seed of {running:?} ends in {SEED_SECONDS_MAX} s"));
        }
        let mut bytes = [0; 16_384];
        let read = reader.read(&mut bytes).map_err(failed)?;
        text.extend_from_slice(&bytes[..read]);
        Ok(read > 0)
    }

    fn take(&mut self, line: &str) {
        let (seed, found) = match Line::read(line.trim_end()) {
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

fn died(seed: u64) -> Prey {
    Prey::Caught { seed, property: "a process died".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn follow(lines: &str, seeds: u64, jobs: u64) -> Prey {
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(lines.as_bytes()).unwrap();
        drop(writer);
        Hunt::new(seeds, jobs).follow(&mut reader).unwrap()
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
}
