//! A range of seeds: runs them in processes, adds up what they did, and explains the first violation.
//!
//! The digest of each thousand is told as soon as it is whole, so that a range that ends early, by
//! whatever, can be gone on with from there.

use std::io::{BufRead, BufReader, IsTerminal, PipeReader, Write};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use sim::{Coverage, Outcome};

use super::attempt::{attempt, explain};
use super::bound::shown_by;
use super::commit::commit;
use super::progress::Progress;
use super::worker::Line;
use super::{Arguments, table};

/// One seed in so many is run again, in another process, and has to leave the same trace; odd, so that
/// it meets every kind of storage.
const RERUN_EVERY: u64 = 99;

struct Total {
    progress: Progress,
    passed: u64,
    events: u64,
    simulated_us: u64,
    committed: u64,
    cpu_ns: u64,
    /// Of each seed, to tell the median.
    cpu_each: Vec<u64>,
    coverage: Coverage,
    reruns: u64,
    failed: Vec<u64>,
    /// By process: the first seed of which it has said nothing.
    running: Vec<u64>,
}

impl Total {
    fn of(arguments: &Arguments) -> Self {
        let first = |job| {
            let ahead = (job + arguments.jobs - arguments.from % arguments.jobs) % arguments.jobs;
            arguments.from.saturating_add(ahead)
        };
        let end = arguments.from.saturating_add(arguments.seeds);
        Self {
            progress: Progress::new(arguments.from..end),
            passed: 0,
            events: 0,
            simulated_us: 0,
            committed: 0,
            cpu_ns: 0,
            cpu_each: Vec::new(),
            coverage: Coverage::default(),
            reruns: 0,
            failed: Vec::new(),
            running: (0..arguments.jobs).map(first).collect(),
        }
    }

    /// A process has said what came of a seed.
    fn told(&mut self, seed: u64) {
        let jobs = self.running.len() as u64;
        let job = usize::try_from(seed % jobs).expect("at most 64 processes");
        self.running[job] = seed.saturating_add(jobs);
    }

    /// Counts a seed that passed, and tells the digests that are whole by it.
    fn add(&mut self, seed: u64, outcome: &Outcome, cpu_ns: u64) {
        self.passed += 1;
        self.events += outcome.events;
        self.simulated_us += outcome.simulated_us;
        self.committed += outcome.committed;
        self.cpu_ns += cpu_ns;
        self.cpu_each.push(cpu_ns);
        self.coverage.merge(outcome.coverage.counts().iter().copied());
        for (first, digest) in self.progress.add(seed, outcome.trace) {
            println!("digest of seeds from {first}: {digest:016x}");
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let (mut children, reader) = match start(arguments) {
        Ok(started) => started,
        Err(error) => {
            eprintln!("the processes that run seeds cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut total = Total::of(arguments);
    let dead = collect(arguments, &mut children, reader, &mut total);
    for child in &mut children {
        // After a violation the others are of no more use; whoever has ended does not mind.
        if !total.failed.is_empty() {
            let _ = child.kill();
        }
        let _ = child.wait();
    }
    if let Some(seed) = total.failed.iter().min() {
        fail(arguments, *seed);
    } else if let Some((job, status)) = dead {
        name(arguments, total.running[job], status);
    } else if total.passed == arguments.seeds {
        report(arguments, &mut total);
        return ExitCode::SUCCESS;
    } else {
        eprintln!("a process died");
    }
    go_on(arguments, &total);
    ExitCode::FAILURE
}

/// Says how far a range came that ended early, and what does the rest of it.
fn go_on(arguments: &Arguments, total: &Total) {
    let (from, seeds) = total.progress.left();
    let rest = Arguments { from, seeds, ..arguments.clone() };
    let options = options(&rest).join(" ");
    eprintln!(
        "{} of {} seeds passed; from the first thousand without a digest on:",
        total.passed, arguments.seeds
    );
    eprintln!("cargo run --release -p sim -- {options}");
}

/// Starts the processes; all of them write into the pipe that is read here.
fn start(arguments: &Arguments) -> std::io::Result<(Vec<Child>, PipeReader)> {
    let (reader, writer) = std::io::pipe()?;
    let program = std::env::current_exe()?;
    let mut children = Vec::new();
    for number in 0..arguments.jobs {
        let mut command = Command::new(&program);
        command.args(options(arguments)).arg("--worker").arg(number.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::from(writer.try_clone()?));
        children.push(command.spawn()?);
    }
    Ok((children, reader))
}

fn options(arguments: &Arguments) -> Vec<String> {
    let numbers = [
        ("--seeds", arguments.seeds),
        ("--from", arguments.from),
        ("--jobs", arguments.jobs),
        ("--events", arguments.events),
    ];
    let mut options: Vec<String> =
        numbers.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]).collect();
    for class in &arguments.without {
        options.extend(["--without".to_owned(), class.name()]);
    }
    options
}

/// Adds up what the processes say until all have ended, or a seed has failed. When one ends before its
/// time it names that, and ends the others; what it had said by then is read too.
fn collect(
    arguments: &Arguments,
    children: &mut [Child],
    reader: PipeReader,
    total: &mut Total,
) -> Option<(usize, ExitStatus)> {
    let is_shown = std::io::stderr().is_terminal();
    let mut dead = None;
    for line in BufReader::new(reader).lines() {
        let Ok(line) = line else { break };
        take(arguments, &line, total);
        if !total.failed.is_empty() {
            break;
        }
        if dead.is_none() {
            dead = find_dead(children, Child::try_wait);
            if dead.is_some() {
                children.iter_mut().for_each(|child| drop(child.kill()));
            }
        }
        if is_shown {
            show(arguments, total);
        }
    }
    if is_shown {
        eprintln!();
    }
    if !total.failed.is_empty() {
        return None;
    }
    dead.or_else(|| find_dead(children, |child| child.wait().map(Some)))
}

fn take(arguments: &Arguments, line: &str, total: &mut Total) {
    match Line::read(line) {
        Some(Line::Passed { seed, outcome, cpu_ns }) => {
            total.told(seed);
            total.add(seed, &outcome, cpu_ns);
            if seed % RERUN_EVERY == 0 && !is_repeated(arguments, seed, &outcome, total) {
                eprintln!("seed {seed} left another trace when it was run again");
                total.failed.push(seed);
            }
        }
        Some(Line::Failed { seed, .. }) => total.failed.push(seed),
        None => eprintln!("a process wrote {line:?}"),
    }
}

/// The first process that has ended, and not as it should.
fn find_dead(
    children: &mut [Child],
    look: impl Fn(&mut Child) -> std::io::Result<Option<ExitStatus>>,
) -> Option<(usize, ExitStatus)> {
    let mut ends = children.iter_mut().map(look).enumerate();
    ends.find_map(|(job, end)| Some((job, end.ok().flatten().filter(|end| !end.success())?)))
}

/// Names the seed that a process ran when it ended. It is not run here, where it would end this one.
fn name(arguments: &Arguments, seed: u64, status: ExitStatus) {
    eprintln!("seed {seed}: {} ({status})", shown_by(status));
    let events = arguments.events;
    let mut options = format!("--seed {seed} --events {events} --trace");
    for class in &arguments.without {
        options.push_str(&format!(" --without {}", class.name()));
    }
    eprintln!("\nagain, at commit {}: cargo run --release -p sim -- {options}", commit());
}

/// Runs a seed again, in this process; whether it leaves the same trace.
fn is_repeated(arguments: &Arguments, seed: u64, outcome: &Outcome, total: &mut Total) -> bool {
    total.reruns += 1;
    attempt(arguments.plan(seed), None).is_ok_and(|again| again == *outcome)
}

fn show(arguments: &Arguments, total: &Total) {
    const WIDTH: u64 = 40;
    let done = total.passed * WIDTH / arguments.seeds.max(1);
    let bar: String = (0..WIDTH).map(|place| if place < done { '=' } else { ' ' }).collect();
    let rate = rate(total);
    eprint!("\r[{bar}] {}/{} seeds, {rate} h per CPU-minute ", total.passed, arguments.seeds);
    let _ = std::io::stderr().flush();
}

/// Simulated cluster-hours per CPU-minute.
fn rate(total: &Total) -> u64 {
    let cpu_ms = (total.cpu_ns / 1_000_000).max(1);
    total.simulated_us / 60_000 / cpu_ms
}

fn report(arguments: &Arguments, total: &mut Total) {
    total.cpu_each.sort_unstable();
    let median_us = total.cpu_each.get(total.cpu_each.len() / 2).map_or(0, |ns| ns / 1_000);
    let last = arguments.from.saturating_add(arguments.seeds).saturating_sub(1);
    println!(
        "{} seeds passed, {} to {last}; {} of them run again with the same trace",
        total.passed, arguments.from, total.reruns
    );
    println!(
        "{} events, {} s simulated, {} entries committed, {} ms of CPU, median {median_us} us",
        total.events,
        total.simulated_us / 1_000_000,
        total.committed,
        total.cpu_ns / 1_000_000
    );
    println!("{} simulated cluster-hours per CPU-minute", rate(total));
    table::print(&total.coverage);
}

fn fail(arguments: &Arguments, seed: u64) {
    match attempt(arguments.plan(seed), None) {
        Err(violation) => {
            eprintln!("{violation}");
            explain(&violation);
        }
        Ok(_) => eprintln!("seed {seed} failed, and passes when it is run again"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// Processes that do what the shell is told, in the place of those that run seeds.
    fn shells(stories: [&str; 2]) -> (Vec<Child>, PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        let start = |story| {
            let mut shell = Command::new("sh");
            shell.args(["-c", story]).stdout(writer.try_clone().unwrap()).spawn().unwrap()
        };
        (stories.map(start).into(), reader)
    }

    #[test]
    fn a_seed_that_does_not_end_is_named_and_the_other_processes_are_ended() {
        let arguments =
            Arguments::parse_from(["sim", "--from", "1", "--seeds", "9", "--jobs", "2"]);
        let mut total = Total::of(&arguments);
        assert_eq!(total.running, [2, 1]);
        let endless = "ulimit -S -t 1; echo passed 2 1 1 1 1 1; while :; do :; done";
        let others = "i=0; while [ $((i += 1)) -lt 3000000 ]; do echo passed 1 1 1 1 1 1; done";
        let (mut children, reader) = shells([endless, others]);
        let dead = collect(&arguments, &mut children, reader, &mut total);
        assert!(!children[1].wait().unwrap().success());
        let dead = dead.map(|(job, status)| (job, shown_by(status)));
        assert_eq!(dead, Some((0, "a seed does not end")));
        assert_eq!(total.running, [4, 3]);
    }
}
