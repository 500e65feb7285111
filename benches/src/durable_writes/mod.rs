//! `durable-writes`: how many writes a cluster of three nodes takes, each on the disks of a majority.
//!
//! Counting rule: a write counts when it is one log entry with an index of its own, durable on a
//! majority, applied on its leader, and its result has reached its proposer, all within the window.
//! Proposers wait: as many writes are in flight as the case says, over all groups together, spread
//! evenly over them; whoever has his result proposes the next. Afterwards every state machine of
//! every group must hold exactly the entries that proposers were told of, at the places that they
//! were told, in the same order on all three nodes; else the figure is void.
//!
//! Both sides start anew for each run, in new folders on the same disk, warm up under load, and run
//! alternately; leaders are spread evenly over the nodes on both. What differs speaks for the rival:
//! its nodes have no network, encode nothing, and propose on the very threads on which they run
//! (`raft_rs`). CPU time is that of the whole process: three nodes and whoever proposes.
//!
//! All threads of all nodes share the cores of one machine, and all nodes its one disk. On a machine
//! where anything else runs, the syncs wait for it, and the figure measures that.

mod ours;
mod raft_rs;
mod tally;
mod window;

use std::path::Path;
use std::time::Duration;

use crate::arguments::Options;
use crate::disk::{Scratch, refuse_memory};
use crate::figure::{Emit, Wrong};
use crate::report::{Details, Line, Peer, Samples};
use crate::workload::PAYLOAD_BYTES;
use tally::{Hash, NODES};
use window::{Latencies, Times, Took};

/// How long anything beside the load may take before the figure is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than the files of a run take, so that the first one does not pay for memory that the
/// machine has never used.
const TOUCHED_BYTES: u64 = 1 << 30;

/// What is varied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    /// Each with three replicas.
    groups: u32,
    /// Writes in flight, over all groups.
    in_flight: u32,
}

impl Case {
    const fn new(groups: u32, in_flight: u32) -> Self {
        Self { groups, in_flight }
    }

    fn name(&self) -> String {
        format!("groups={} inflight={} payload={PAYLOAD_BYTES}", self.groups, self.in_flight)
    }
}

/// The cases, which never change their meaning.
const CASES: [Case; 5] = [
    Case::new(48, 4_096),
    Case::new(1_000, 16_000),
    Case::new(10_000, 10_000),
    Case::new(1, 256),
    Case::new(1, 1),
];

/// How it went.
#[derive(Debug)]
pub(crate) struct Run {
    took: Took,
    /// Durable commits of all nodes within the window, each with one sync.
    syncs: u64,
    latencies: Latencies,
    /// How many groups each node leads.
    leaders: [usize; NODES],
    /// What all nodes agree on in the end.
    hash: Hash,
}

/// One side of the comparison.
type Side = fn(Case, Times, &Path) -> Result<Run, Wrong>;

/// Measures every case asked for.
pub(crate) fn measure(options: &Options, emit: &mut Emit<'_>) -> Result<(), Wrong> {
    refuse_memory(&options.dir)?;
    Scratch::new(&options.dir)?.touch_memory(TOUCHED_BYTES)?;
    for case in CASES.iter().filter(|case| case.name().contains(&options.case)) {
        emit(measure_case(*case, options)?);
    }
    Ok(())
}

fn measure_case(case: Case, options: &Options) -> Result<Line, Wrong> {
    let times = Times { warm_up: Duration::from_secs(1), open: options.window };
    let (mut ours, mut theirs) = (Results::default(), Results::default());
    for _ in 0..options.runs {
        ours.run(ours::run, case, times, &options.dir)?;
        if options.with_peer {
            theirs.run(raft_rs::run, case, times, &options.dir)?;
        }
    }
    let peer = options.with_peer.then(|| Peer {
        name: raft_rs::NAME,
        settings: format!("{}; {}", raft_rs::settings(), theirs.witness()),
        details: theirs.details,
        samples: theirs.writes_per_s,
    });
    Ok(Line {
        figure: "durable-writes",
        case: case.name(),
        unit: "writes/s",
        settings: format!(
            "3 nodes in one process, each with a folder and syncs of its own in {}; window {:?} \
             after {:?} under load; CPU time of the whole process; {}; {}",
            options.dir.display(),
            times.open,
            times.warm_up,
            ours::settings(),
            ours.witness()
        ),
        samples: ours.writes_per_s,
        details: ours.details,
        peer,
    })
}

/// The runs of one side.
#[derive(Default)]
struct Results {
    writes_per_s: Samples,
    details: Details,
    leaders: [usize; NODES],
    /// Of the last run.
    hash: Option<Hash>,
}

impl Results {
    fn run(&mut self, side: Side, case: Case, times: Times, dir: &Path) -> Result<(), Wrong> {
        let scratch = Scratch::new(dir)?;
        let mut run = side(case, times, &scratch.path("nodes"))?;
        let writes = run.latencies.writes();
        let Some([p50, p99]) = run.latencies.quantiles([500, 990]) else {
            return Err(Wrong(format!("{}: no write within {:?}", case.name(), times.open)));
        };
        // Exact: a run has far fewer writes than a float tells apart.
        #[expect(clippy::cast_precision_loss, reason = "writes are counted in millions")]
        let (writes, syncs) = (writes as f64, run.syncs as f64);
        let wall = run.took.wall.as_secs_f64();
        self.writes_per_s.push(writes / wall);
        self.detail("p50_us", p50);
        self.detail("p99_us", p99);
        self.detail("cpu_us_per_write", run.took.cpu.as_secs_f64() * 1e6 / writes);
        if let Some(switches) = run.took.switches {
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
            self.detail("switches_per_write", switches as f64 / writes);
        }
        // Every write is in three logs.
        self.detail("entries_per_sync", writes * 3.0 / syncs);
        self.detail("syncs_per_s_and_node", syncs / 3.0 / wall);
        self.leaders = run.leaders;
        self.hash = Some(run.hash);
        Ok(())
    }

    fn detail(&mut self, name: &'static str, value: f64) {
        match self.details.iter_mut().find(|(known, _)| *known == name) {
            Some((_, samples)) => samples.push(value),
            None => {
                let mut samples = Samples::default();
                samples.push(value);
                self.details.push((name, samples));
            }
        }
    }

    /// What was verified after each run.
    fn witness(&self) -> String {
        let [one, two, three] = self.leaders;
        let hash = self.hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
        format!(
            "leaders per node {one}/{two}/{three}; state hash equal on all nodes, last run {hash}"
        )
    }
}

/// The part of the writes in flight that is proposed on each node, by how many groups it leads.
fn shares(leaders: [usize; NODES], in_flight: u32) -> [usize; NODES] {
    let groups: usize = leaders.iter().sum();
    let in_flight = in_flight as usize;
    let (mut led, mut given) = (0, 0);
    leaders.map(|leads| {
        led += leads;
        let up_to = in_flight * led / groups.max(1);
        let share = up_to - given;
        given = up_to;
        share
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is needed to see whether a side works.
    fn small(side: Side, case: Case) -> Run {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        let times = Times { warm_up: Duration::ZERO, open: Duration::from_millis(200) };
        side(case, times, &scratch.path("nodes")).unwrap()
    }

    #[test]
    fn both_sides_answer_every_write_and_agree_on_it() {
        for side in [ours::run, raft_rs::run] {
            for case in [Case::new(7, 100), Case::new(1, 1)] {
                let run = small(side, case);
                assert!(run.latencies.writes() > 0 && run.syncs > 0, "{case:?}");
                assert_eq!(run.leaders.iter().sum::<usize>(), case.groups as usize);
            }
        }
    }

    #[test]
    fn leaders_are_spread_evenly_and_writes_with_them() {
        for side in [ours::run, raft_rs::run] {
            assert_eq!(small(side, Case::new(8, 16)).leaders, [3, 3, 2]);
        }
        assert_eq!(shares([3, 3, 2], 16), [6, 6, 4]);
        assert_eq!(shares([1, 0, 0], 256), [256, 0, 0]);
        assert_eq!(shares([16, 16, 16], 4096).iter().sum::<usize>(), 4096);
    }

    #[test]
    fn case_names_never_change() {
        let names = CASES.map(|case| case.name());
        let expected = [
            "groups=48 inflight=4096 payload=16",
            "groups=1000 inflight=16000 payload=16",
            "groups=10000 inflight=10000 payload=16",
            "groups=1 inflight=256 payload=16",
            "groups=1 inflight=1 payload=16",
        ];
        assert_eq!(names, expected);
    }
}
