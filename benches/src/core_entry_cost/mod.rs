//! `core-entry-cost`: the CPU time that one small entry costs the core, for its leader and both
//! followers together. No network, no disk, no encoding: what remains is Raft.
//!
//! Counting rule: an entry counts when it is a log entry with an index of its own, and is delivered
//! by *all three* replicas as committed, its payload read, and reported applied. Afterwards every
//! replica must have delivered exactly the proposed entries in the proposed order, and nothing more.
//!
//! Both sides run through the same loop ([`cluster`]) with the same messages per round: each round
//! proposes `batch` entries to every group, one call each, then goes on until no message is left.
//! Writes are reported persisted at once. A follower learns that a round is committed from the next
//! round's append; the last one from a heartbeat, which is part of what is measured.

mod cluster;
mod ours;
mod raft_rs;

use crate::arguments::Options;
use crate::figure::{Emit, Wrong};
use crate::report::{Line, Peer, Samples};
use crate::workload::PAYLOAD_BYTES;

use cluster::{Cluster, Replica};

/// What is varied, and how much of it is one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    /// Each with three replicas; their leaders are spread evenly over the nodes.
    pub(crate) groups: u32,
    /// Entries proposed per group and round.
    pub(crate) batch: u32,
    /// Rounds of one run: long enough to outlast noise, short enough for both sides to alternate.
    rounds: u32,
}

impl Case {
    const fn new(groups: u32, batch: u32, rounds: u32) -> Self {
        Self { groups, batch, rounds }
    }

    fn name(&self) -> String {
        format!("groups={} batch={} payload={}", self.groups, self.batch, PAYLOAD_BYTES)
    }

    /// How many entries a run proposes in all groups together.
    fn entries(&self) -> u64 {
        u64::from(self.groups) * u64::from(self.batch) * u64::from(self.rounds)
    }
}

/// The cases, which never change their meaning; rounds may.
const CASES: [Case; 5] = [
    Case::new(1, 1, 500_000),
    Case::new(1, 64, 20_000),
    Case::new(1, 1_024, 2_000),
    Case::new(1_000, 1, 384),
    Case::new(1_000, 64, 32),
];

/// Measures every case asked for.
pub(crate) fn measure(options: &Options, emit: &mut Emit<'_>) -> Result<(), Wrong> {
    for case in CASES.iter().filter(|case| case.name().contains(&options.case)) {
        emit(measure_case(*case, options)?);
    }
    Ok(())
}

fn measure_case(case: Case, options: &Options) -> Result<Line, Wrong> {
    let mut ours = Side::new(case, ours::founders(case)?)?;
    let mut theirs =
        if options.with_peer { Some(Side::new(case, raft_rs::founders(case)?)?) } else { None };
    for _ in 0..options.runs {
        ours.run();
        if let Some(theirs) = &mut theirs {
            theirs.run();
        }
    }
    let peer = match theirs {
        Some(theirs) => Some(Peer {
            name: raft_rs::NAME,
            samples: theirs.verified()?,
            details: Vec::new(),
            settings: raft_rs::settings(),
        }),
        None => None,
    };
    Ok(Line {
        figure: "core-entry-cost",
        case: case.name(),
        unit: "us/entry",
        samples: ours.verified()?,
        details: Vec::new(),
        peer,
        settings: format!(
            "CPU time of the one thread; {} entries a run, half a run to warm up; {}",
            case.entries(),
            ours::SETTINGS
        ),
    })
}

/// One side of a comparison: a cluster that stays, and what its runs took.
struct Side<R: Replica> {
    case: Case,
    cluster: Cluster<R>,
    samples: Samples,
}

impl<R: Replica> Side<R> {
    /// Elects the leaders and warms up, so that memory, caches and branch predictors are in the
    /// state in which they stay.
    fn new(case: Case, founders: Vec<[R; cluster::NODES]>) -> Result<Self, Wrong> {
        let mut cluster = Cluster::new(founders, case.batch);
        cluster.elect()?;
        cluster.run(case.rounds / 2);
        Ok(Self { case, cluster, samples: Samples::default() })
    }

    fn run(&mut self) {
        let start = crate::clock::thread_cpu_time();
        self.cluster.run(self.case.rounds);
        let took = crate::clock::thread_cpu_time() - start;
        // Exact: a run has far fewer entries than a float tells apart.
        #[expect(clippy::cast_precision_loss, reason = "entries are counted in millions")]
        self.samples.push(took.as_secs_f64() * 1e6 / self.case.entries() as f64);
    }

    fn verified(self) -> Result<Samples, Wrong> {
        self.cluster.verify()?;
        Ok(self.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Case = Case::new(5, 3, 40);

    #[test]
    fn both_sides_deliver_every_entry_to_every_replica() {
        let mut ours = Side::new(SMALL, ours::founders(SMALL).unwrap()).unwrap();
        let mut theirs = Side::new(SMALL, raft_rs::founders(SMALL).unwrap()).unwrap();
        ours.run();
        theirs.run();
        assert!(ours.verified().unwrap().median() > Some(0.0));
        assert!(theirs.verified().unwrap().median() > Some(0.0));
    }

    #[test]
    fn case_names_never_change() {
        let names = CASES.map(|case| case.name());
        let expected = [
            "groups=1 batch=1 payload=16",
            "groups=1 batch=64 payload=16",
            "groups=1 batch=1024 payload=16",
            "groups=1000 batch=1 payload=16",
            "groups=1000 batch=64 payload=16",
        ];
        assert_eq!(names, expected);
    }
}
