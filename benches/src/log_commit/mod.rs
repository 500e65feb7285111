//! `log-commit`: how many entries per second one writer makes durable, one commit after the other,
//! each with one small entry of every group, beside a bare file that is appended to.
//!
//! Counting rule: an entry counts when the call that wrote it has returned, synced, as a log entry
//! with an index of its own. Afterwards both logs are read back from their files: every entry that
//! was not released must be there, the payload that was appended, and nothing else.
//!
//! Both sides get the same batches, which are built outside of the time that counts; what counts is
//! the call that makes one durable, from its beginning to its return, encoding included. Ours also
//! releases what is 64 commits old, deletes it from its file, and writes the checkpoints that takes.
//! Before the first run ours commits until its file has not grown for a while, and memory that the
//! rival's file will take was used once. Then both take turns.

mod append_file;
mod ours;
mod workload;

use std::time::{Duration, Instant};

use codec::WriteBatch;
use types::LogId;

use crate::arguments::Options;
use crate::clock::thread_cpu_time;
use crate::disk::{self, Scratch};
use crate::figure::{Emit, Wrong};
use crate::report::{Details, Line, Peer, Samples};

use append_file::AppendFile;
use ours::Ours;
use workload::{LIVE_COMMITS, PAYLOAD_BYTES, Workload};

/// What is varied.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Each has one entry in every commit.
    groups: u64,
}

/// The cases, which never change their meaning.
const CASES: [Case; 3] = [Case { groups: 1 }, Case { groups: 64 }, Case { groups: 1024 }];

/// Commits of one run: long enough to outlast noise, short enough for both sides to alternate.
const COMMITS: u64 = 2000;
/// Commits after which it is looked whether a file has grown.
const WARM_COMMITS: u64 = 512;
/// So many looks in a row must find that it has not.
const WARM_STILL: usize = 4;
/// A file that still grows after so many looks never stops.
const WARM_LOOKS_MAX: usize = 64;

impl Case {
    fn name(self) -> String {
        format!("groups={} payload={PAYLOAD_BYTES}", self.groups)
    }
}

/// Something that makes batches durable.
trait Log {
    /// Makes the batch durable, and lets go of what was released, of all groups.
    fn commit(&mut self, batch: &WriteBatch, released: Option<LogId>) -> Result<(), Wrong>;

    /// What it has written so far.
    fn written(&self) -> Written;

    /// How long its file is.
    fn file_bytes(&self) -> Result<u64, Wrong>;

    /// Reads back whether it holds what it should.
    fn verify(self, workload: &Workload) -> Result<(), Wrong>;
}

/// What a log has written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Written {
    commits: u64,
    /// Bytes of encoded items, without what holds them together.
    item_bytes: u64,
}

/// Measures every case asked for.
pub(crate) fn measure(options: &Options, emit: &mut Emit<'_>) -> Result<(), Wrong> {
    disk::refuse_memory(&options.dir)?;
    for case in CASES.iter().filter(|case| case.name().contains(&options.case)) {
        emit(measure_case(*case, COMMITS, options)?);
    }
    Ok(())
}

fn measure_case(case: Case, commits: u64, options: &Options) -> Result<Line, Wrong> {
    let scratch = Scratch::new(&options.dir)?;
    let workload = Workload::new(case.groups);
    let mut ours = Side::new(Ours::new(&scratch, &workload)?, workload);
    ours.commit_until_still()?;
    let mut theirs = None;
    if options.with_peer {
        let mut side = Side::new(AppendFile::new(&scratch)?, Workload::new(case.groups));
        side.commit(WARM_COMMITS)?;
        let runs = options.runs as u64;
        let commit_bytes = side.log.file_bytes()? / WARM_COMMITS;
        scratch.touch_memory(commit_bytes.max(4096) * commits * runs)?;
        theirs = Some(side);
    }
    for _ in 0..options.runs {
        let written = ours.run(commits)?;
        if let Some(theirs) = &mut theirs {
            let theirs_written = theirs.run(commits)?;
            if theirs_written != written {
                let what = format!("ours wrote {written:?} and the rival {theirs_written:?}");
                return Err(Wrong(what));
            }
        }
    }
    let (samples, details) = ours.verified()?;
    let peer = match theirs {
        Some(theirs) => {
            let (samples, details) = theirs.verified()?;
            let (name, settings) = (append_file::NAME, append_file::SETTINGS.into());
            Some(Peer { name, samples, details, settings })
        }
        None => None,
    };
    Ok(Line {
        figure: "log-commit",
        case: case.name(),
        unit: "entries/s",
        samples,
        details,
        peer,
        settings: format!(
            "{commits} commits a run, one after the other from one thread; each appends an entry of \
             {PAYLOAD_BYTES} bytes to every group and releases what is {LIVE_COMMITS} commits old; the \
             file has stopped growing; {}",
            ours::SETTINGS
        ),
    })
}

/// One side of a comparison: a log that stays, and what its runs took.
struct Side<L> {
    log: L,
    workload: Workload,
    rates: Samples,
    p50_us: Samples,
    p99_us: Samples,
    cpu_us_per_entry: Samples,
    disk_bytes_per_commit: Samples,
}

impl<L: Log> Side<L> {
    fn new(log: L, workload: Workload) -> Self {
        Self {
            log,
            workload,
            rates: Samples::default(),
            p50_us: Samples::default(),
            p99_us: Samples::default(),
            cpu_us_per_entry: Samples::default(),
            disk_bytes_per_commit: Samples::default(),
        }
    }

    /// Commits so many times; returns what each commit took, and the CPU time of all of them.
    fn commit(&mut self, commits: u64) -> Result<(Vec<Duration>, Duration), Wrong> {
        let mut took = Vec::new();
        let mut cpu = Duration::ZERO;
        for _ in 0..commits {
            self.workload.advance();
            let released = self.workload.released();
            let cpu_start = thread_cpu_time();
            let start = Instant::now();
            self.log.commit(self.workload.batch(), released)?;
            took.push(start.elapsed());
            cpu += thread_cpu_time() - cpu_start;
        }
        Ok((took, cpu))
    }

    /// Commits until the file has its final size and everything in it was written once.
    fn commit_until_still(&mut self) -> Result<(), Wrong> {
        let (mut still, mut bytes) = (0, 0);
        for _ in 0..WARM_LOOKS_MAX {
            self.commit(WARM_COMMITS)?;
            let now = self.log.file_bytes()?;
            still = if now == bytes { still + 1 } else { 0 };
            bytes = now;
            if still == WARM_STILL {
                return Ok(());
            }
        }
        Err(Wrong(format!("the file never stops growing; it has {bytes} bytes")))
    }

    /// One run; returns what it wrote.
    fn run(&mut self, commits: u64) -> Result<Written, Wrong> {
        let before = self.log.written();
        let disk_before = disk::written_bytes();
        let (took, cpu) = self.commit(commits)?;
        let disk_after = disk::written_bytes();
        let after = self.log.written();
        // Exact: counts of a run are far smaller than what a float tells apart.
        #[expect(clippy::cast_precision_loss, reason = "counts of one run")]
        let count = |count: u64| count as f64;
        let entries = count(commits * self.workload.groups().count() as u64);
        self.rates.push(entries / took.iter().sum::<Duration>().as_secs_f64());
        self.cpu_us_per_entry.push(cpu.as_secs_f64() * 1e6 / entries);
        if let Some((before, after)) = disk_before.zip(disk_after) {
            self.disk_bytes_per_commit.push(count(after - before) / count(commits));
        }
        let mut latencies = Samples::default();
        took.iter().for_each(|took| latencies.push(took.as_secs_f64() * 1e6));
        latencies.percentile(50).into_iter().for_each(|p50| self.p50_us.push(p50));
        latencies.percentile(99).into_iter().for_each(|p99| self.p99_us.push(p99));
        Ok(Written {
            commits: after.commits - before.commits,
            item_bytes: after.item_bytes - before.item_bytes,
        })
    }

    fn verified(self) -> Result<(Samples, Details), Wrong> {
        self.log.verify(&self.workload)?;
        let details = vec![
            ("commit_p50_us", self.p50_us),
            ("commit_p99_us", self.p99_us),
            ("cpu_us_per_entry", self.cpu_us_per_entry),
            ("disk_bytes_per_commit", self.disk_bytes_per_commit),
        ];
        Ok((self.rates, details))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(runs: usize) -> Options {
        Options { runs, ..Options::default() }
    }

    #[test]
    fn both_sides_write_the_same_items_and_hold_them() {
        let line = measure_case(Case { groups: 70 }, 100, &options(2)).unwrap();
        let peer = line.peer.unwrap();
        assert!(line.samples.median() > Some(0.0) && peer.samples.median() > Some(0.0));
        assert_eq!(line.details.len(), peer.details.len());
    }

    #[test]
    fn a_log_that_lost_an_entry_voids_the_figure() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        let mut ours = Side::new(Ours::new(&scratch, &Workload::new(3)).unwrap(), Workload::new(3));
        let mut theirs = Side::new(AppendFile::new(&scratch).unwrap(), Workload::new(3));
        ours.commit(70).unwrap();
        theirs.commit(70).unwrap();
        // Both sides' batches go on, but are not written.
        ours.workload.advance();
        theirs.workload.advance();
        assert!(ours.verified().is_err());
        assert!(theirs.verified().is_err());
    }

    #[test]
    fn case_names_never_change() {
        let names = CASES.map(Case::name);
        assert_eq!(
            names,
            ["groups=1 payload=16", "groups=64 payload=16", "groups=1024 payload=16"]
        );
    }
}
