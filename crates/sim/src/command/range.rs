//! A range of seeds: runs them in processes, adds up what they did, and explains the first violation.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, IsTerminal, PipeReader, Write};
use std::process::{Child, Command, ExitCode, Stdio};

use sim::{Coverage, Outcome};

use super::attempt::{attempt, explain};
use super::worker::Line;
use super::{Arguments, table};

/// One seed in so many is run again, in another process, and has to leave the same trace; odd, so that
/// it meets every kind of storage.
const RERUN_EVERY: u64 = 99;
/// How many seeds a digest stands for.
const DIGEST_SEEDS: u64 = 1_000;

#[derive(Default)]
struct Total {
    passed: u64,
    events: u64,
    simulated_us: u64,
    committed: u64,
    cpu_ns: u64,
    /// Of each seed, to tell the median.
    cpu_each: Vec<u64>,
    coverage: Coverage,
    digests: BTreeMap<u64, u64>,
    reruns: u64,
    failed: Vec<u64>,
}

impl Total {
    fn add(&mut self, seed: u64, outcome: &Outcome, cpu_ns: u64) {
        self.passed += 1;
        self.events += outcome.events;
        self.simulated_us += outcome.simulated_us;
        self.committed += outcome.committed;
        self.cpu_ns += cpu_ns;
        self.cpu_each.push(cpu_ns);
        self.coverage.merge(outcome.coverage.counts().iter().copied());
        // The order in which processes report does not matter to a sum.
        let digest = self.digests.entry(seed / DIGEST_SEEDS).or_default();
        *digest =
            digest.wrapping_add(outcome.trace.rotate_left(u32::try_from(seed % 64).unwrap_or(0)));
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
    let mut total = Total::default();
    collect(arguments, reader, &mut total);
    for child in &mut children {
        // After a violation the others are of no more use; whoever has ended does not mind.
        if !total.failed.is_empty() {
            let _ = child.kill();
        }
        let _ = child.wait();
    }
    if let Some(seed) = total.failed.iter().min() {
        return fail(arguments, *seed);
    }
    if total.passed != arguments.seeds {
        eprintln!("{} of {} seeds were run: a process died", total.passed, arguments.seeds);
        return ExitCode::FAILURE;
    }
    report(arguments, &mut total);
    ExitCode::SUCCESS
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

fn collect(arguments: &Arguments, reader: PipeReader, total: &mut Total) {
    let is_shown = std::io::stderr().is_terminal();
    for line in BufReader::new(reader).lines() {
        let Ok(line) = line else { break };
        match Line::read(&line) {
            Some(Line::Passed { seed, outcome, cpu_ns }) => {
                total.add(seed, &outcome, cpu_ns);
                if seed % RERUN_EVERY == 0 && !is_repeated(arguments, seed, &outcome, total) {
                    eprintln!("seed {seed} left another trace when it was run again");
                    total.failed.push(seed);
                }
            }
            Some(Line::Failed { seed, .. }) => total.failed.push(seed),
            None => eprintln!("a process wrote {line:?}"),
        }
        if !total.failed.is_empty() {
            break;
        }
        if is_shown {
            show(arguments, total);
        }
    }
    if is_shown {
        eprintln!();
    }
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
    for (block, digest) in &total.digests {
        println!("digest of seeds from {}: {digest:016x}", block * DIGEST_SEEDS);
    }
    table::print(&total.coverage);
}

fn fail(arguments: &Arguments, seed: u64) -> ExitCode {
    match attempt(arguments.plan(seed), None) {
        Err(violation) => {
            eprintln!("{violation}");
            explain(&violation);
        }
        Ok(_) => eprintln!("seed {seed} failed, and passes when it is run again"),
    }
    ExitCode::FAILURE
}
