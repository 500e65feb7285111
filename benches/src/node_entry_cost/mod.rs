//! `node-entry-cost`: the CPU time that one small entry costs all that a node does for its groups,
//! on its leader's node and both followers' together: turns, scheduling, batches, encoding and
//! decoding of frames. No network, no disk, no threads: what remains is what `multiraft` adds to the
//! core, and the core. Compare with `core-entry-cost`, whose rounds are the same.
//!
//! Counting rule: an entry counts when it is a log entry with an index of its own, delivered by all
//! three nodes as committed, its payload read, and its proposer's handle handed back with it on its
//! leader. Afterwards every replica must have delivered exactly the proposed entries in the proposed
//! order, and every handle must have come back.
//!
//! There is no rival: what of this others have, they have inside their servers.

mod cluster;

use crate::arguments::Options;
use crate::figure::{Emit, Wrong};
use crate::report::{Line, Samples};
use crate::workload::PAYLOAD_BYTES;

use cluster::Cluster;

/// What is varied, and how much of it is one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    /// Each with three replicas; their leaders are spread evenly over the nodes.
    groups: u32,
    /// Entries proposed per group and round.
    batch: u32,
    /// Rounds of one run.
    rounds: u32,
}

impl Case {
    const fn new(groups: u32, batch: u32, rounds: u32) -> Self {
        Self { groups, batch, rounds }
    }

    fn name(&self) -> String {
        format!("groups={} batch={} payload={PAYLOAD_BYTES}", self.groups, self.batch)
    }

    /// How many entries a run proposes in all groups together.
    fn entries(&self) -> u64 {
        u64::from(self.groups) * u64::from(self.batch) * u64::from(self.rounds)
    }
}

/// The cases, which never change their meaning; rounds may.
const CASES: [Case; 5] = [
    Case::new(1, 1, 50_000),
    Case::new(1, 64, 10_000),
    Case::new(1_000, 1, 200),
    Case::new(1_000, 16, 40),
    Case::new(10_000, 1, 20),
];

/// Measures every case asked for.
pub(crate) fn measure(options: &Options, emit: &mut Emit<'_>) -> Result<(), Wrong> {
    for case in CASES.iter().filter(|case| case.name().contains(&options.case)) {
        emit(measure_case(*case, options)?);
    }
    Ok(())
}

fn measure_case(case: Case, options: &Options) -> Result<Line, Wrong> {
    let mut cluster = Cluster::start(case)?;
    // Half a run, so that memory, caches and branch predictors are in the state in which they stay.
    cluster.run(case.rounds / 2)?;
    let mut samples = Samples::default();
    for _ in 0..options.runs {
        let start = crate::clock::thread_cpu_time();
        cluster.run(case.rounds)?;
        let took = crate::clock::thread_cpu_time() - start;
        // Exact: a run has far fewer entries than a float tells apart.
        #[expect(clippy::cast_precision_loss, reason = "entries are counted in millions")]
        samples.push(took.as_secs_f64() * 1e6 / case.entries() as f64);
    }
    cluster.verify()?;
    Ok(Line {
        figure: "node-entry-cost",
        case: case.name(),
        unit: "us/entry",
        samples,
        details: Vec::new(),
        peer: None,
        settings: format!(
            "CPU time of the one thread; {} entries a run, half a run to warm up; one NodeLoop per \
             node, all settings default; writes are reported persisted and batches applied in the \
             next turn",
            case.entries()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_delivered_everywhere_voids_the_figure() {
        let mut cluster = Cluster::start(Case::new(5, 3, 1)).unwrap();
        cluster.run(4).unwrap();
        assert_eq!(cluster.verify(), Ok(()));
        cluster.propose();
        let Wrong(wrong) = cluster.verify().unwrap_err();
        assert!(wrong.contains("handles"), "nobody has his result yet: {wrong}");
        cluster.settle().unwrap();
        let Wrong(wrong) = cluster.verify().unwrap_err();
        assert!(wrong.contains("on node"), "followers do not know yet: {wrong}");
        cluster.beat().unwrap();
        assert_eq!(cluster.verify(), Ok(()));
    }

    #[test]
    fn case_names_never_change() {
        let names = CASES.map(|case| case.name());
        let expected = [
            "groups=1 batch=1 payload=16",
            "groups=1 batch=64 payload=16",
            "groups=1000 batch=1 payload=16",
            "groups=1000 batch=16 payload=16",
            "groups=10000 batch=1 payload=16",
        ];
        assert_eq!(names, expected);
    }
}
