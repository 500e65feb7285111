//! The result: a document for programs, and the same in lines for humans.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use engine::Histogram;
use serde::{Deserialize, Serialize};

use super::error::list;
use super::options::Load;
use super::progress::float;
use super::tally::Tally;

/// The version of the document. It rises when a field changes its meaning or goes; fields that are
/// added leave it as it is.
pub(crate) const SCHEMA: u32 = 1;

/// What was measured, and what was held fixed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct BenchReport {
    /// [`SCHEMA`].
    pub(crate) schema: u32,
    /// Who was loaded.
    #[serde(flatten)]
    pub(crate) subject: Subject,
    pub(crate) clients: u32,
    /// Operations that a client sent together.
    pub(crate) pipeline: usize,
    pub(crate) threads: u32,
    pub(crate) payload_bytes: usize,
    pub(crate) keys: u32,
    pub(crate) distribution: String,
    pub(crate) read_share: f64,
    pub(crate) warm_up_seconds: u64,
    /// How long it counted.
    pub(crate) seconds: f64,
    /// Operations that were answered well in that time.
    pub(crate) operations: u64,
    pub(crate) operations_per_second: f64,
    /// How long all of them took.
    pub(crate) latency_us: Option<Latency>,
    pub(crate) reads: u64,
    /// Reads that found no value.
    pub(crate) reads_missing: u64,
    pub(crate) read_latency_us: Option<Latency>,
    pub(crate) writes: u64,
    pub(crate) write_latency_us: Option<Latency>,
    /// Durable commits of all nodes together, each with one sync; absent if they do not tell.
    pub(crate) fsyncs_per_second: Option<f64>,
    /// Entries of a commit: each write is one on every node that has a copy.
    pub(crate) entries_per_fsync: Option<f64>,
    /// How long commits took lately at most, but for one in a hundred, on the slowest node.
    pub(crate) fsync_p99_us: Option<u64>,
    /// CPU time of `cpu_of`, user and system; absent if they do not tell.
    pub(crate) cpu_us_per_operation: Option<f64>,
    /// Whose CPU time that is.
    pub(crate) cpu_of: String,
    /// How often a node said that another one serves the key; such operations were sent there.
    pub(crate) redirects: u64,
    /// By kind, how many operations failed.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// Who was loaded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// `redis` or `engine`.
    pub(crate) target: String,
    /// Name and version.
    pub(crate) server: String,
    pub(crate) nodes: usize,
    /// Absent if it has no groups.
    pub(crate) groups: Option<usize>,
}

/// Quantiles of how long operations took, in microseconds: at most 3% too large, `max` exact.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Latency {
    fn of(histogram: &Histogram) -> Option<Self> {
        let quantile = |per_mille| histogram.quantile(per_mille).map(micros);
        Some(Self {
            p50: quantile(500)?,
            p99: quantile(990)?,
            p999: quantile(999)?,
            max: histogram.max().map(micros)?,
        })
    }
}

/// What the nodes used while it counted.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(crate) struct Used {
    /// User and system.
    pub(crate) cpu: Option<Duration>,
    pub(crate) commits: Option<u64>,
    pub(crate) entries: Option<u64>,
    pub(crate) commit_p99_us: Option<u64>,
}

impl BenchReport {
    /// Whether something was done, and nothing failed.
    pub(crate) fn went_well(&self) -> bool {
        self.errors.is_empty() && self.operations > 0
    }

    /// What `tally` and `used` come to in `time`.
    pub(crate) fn new(
        subject: Subject,
        load: &Load,
        time: Duration,
        tally: &Tally,
        used: Used,
    ) -> Self {
        let (count, seconds) = (tally.count(), time.as_secs_f64());
        let mut all = tally.reads.clone();
        all.add(&tally.writes);
        let per_commit = |entries: u64| used.commits.and_then(|commits| ratio(entries, commits));
        let cpu = used.cpu.filter(|_| count > 0);
        let is_engine = subject.target == ENGINE;
        Self {
            schema: SCHEMA,
            subject,
            clients: load.clients,
            pipeline: load.pipeline,
            threads: load.threads,
            payload_bytes: load.payload_bytes,
            keys: load.keys,
            distribution: load.distribution.to_string(),
            read_share: load.read_share,
            warm_up_seconds: load.warm_up_seconds,
            seconds: rounded(seconds),
            operations: count,
            operations_per_second: rounded(float(count) / seconds),
            latency_us: Latency::of(&all),
            reads: tally.reads.count(),
            reads_missing: tally.missing,
            read_latency_us: Latency::of(&tally.reads),
            writes: tally.writes.count(),
            write_latency_us: Latency::of(&tally.writes),
            fsyncs_per_second: used.commits.map(|commits| rounded(float(commits) / seconds)),
            entries_per_fsync: used.entries.and_then(per_commit),
            fsync_p99_us: used.commit_p99_us,
            cpu_us_per_operation: cpu.map(|cpu| rounded(cpu.as_secs_f64() * 1e6 / float(count))),
            cpu_of: if is_engine { PROCESS } else { SERVERS }.to_owned(),
            redirects: tally.redirects,
            errors: tally.errors.clone(),
        }
    }

    /// In lines, for humans.
    pub(crate) fn lines(&self) -> String {
        let Subject { target, server, nodes, groups } = &self.subject;
        let groups = groups.map(|groups| format!(", {groups} groups")).unwrap_or_default();
        let mut out = String::new();
        let mut put = |name: &str, value: String| {
            writeln!(out, "{name:<20}{value}").expect("a string takes everything");
        };
        put(
            target,
            format!("{server}, {nodes} {}{groups}", if *nodes == 1 { "node" } else { "nodes" }),
        );
        put(
            "load",
            format!(
                "{} clients, threads {}, pipeline {}, payload {} bytes, {} keys {}, reads {}",
                self.clients,
                self.threads,
                self.pipeline,
                self.payload_bytes,
                self.keys,
                self.distribution,
                self.read_share
            ),
        );
        put("time", format!("{:.1} s after {} s", self.seconds, self.warm_up_seconds));
        put("operations/s", format!("{:.0}", self.operations_per_second));
        put("latency", latency(self.latency_us));
        if self.reads > 0 && self.writes > 0 {
            put("  of reads", latency(self.read_latency_us));
            put("  of writes", latency(self.write_latency_us));
        }
        if self.reads_missing > 0 {
            put("reads of nothing", self.reads_missing.to_string());
        }
        put(
            "fsyncs/s",
            known(self.fsyncs_per_second.map(|it| format!("{it:.0}, all nodes together"))),
        );
        put("entries per fsync", known(self.entries_per_fsync.map(|it| format!("{it:.1}"))));
        put(
            "fsync p99",
            known(self.fsync_p99_us.map(|it| format!("{it} us, of the slowest node"))),
        );
        let cpu = self.cpu_us_per_operation.map(|it| format!("{it:.2} us, of the {}", self.cpu_of));
        put("CPU per operation", known(cpu));
        put("redirects", self.redirects.to_string());
        put("errors", list(&self.errors));
        out
    }
}

/// The targets by name.
pub(crate) const REDIS: &str = "redis";
pub(crate) const ENGINE: &str = "engine";
const SERVERS: &str = "servers";
const PROCESS: &str = "process, clients included";

fn latency(latency: Option<Latency>) -> String {
    known(latency.map(|Latency { p50, p99, p999, max }| {
        format!("p50 {p50:.0} us, p99 {p99:.0} us, p99.9 {p999:.0} us, max {max:.0} us")
    }))
}

fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| "not told".to_owned())
}

fn micros(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e6)
}

fn ratio(of: u64, to: u64) -> Option<f64> {
    (to > 0).then(|| rounded(float(of) / float(to)))
}

/// To a thousandth: more digits would say more than is known.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::tally::Done;

    fn report() -> BenchReport {
        let load = Load {
            clients: 64,
            pipeline: 16,
            payload_bytes: 3,
            read_share: 0.5,
            keys: 100,
            distribution: "zipf".parse().unwrap(),
            threads: 1,
            warm_up_seconds: 2,
            seconds: 10,
        };
        let mut tally = Tally::default();
        let took = Duration::from_nanos(60);
        tally.done(Done { reads: 1_000, missing: 3, writes: 3_000 }, took);
        tally.failed("UNCERTAIN", 7);
        tally.failed("MOVED", 8);
        let used = Used {
            cpu: Some(Duration::from_millis(20)),
            commits: Some(900),
            entries: Some(9_000),
            commit_p99_us: Some(777),
        };
        let subject = Subject {
            target: "redis".to_owned(),
            server: "multiraft 0.1.0".to_owned(),
            nodes: 3,
            groups: Some(16),
        };
        BenchReport::new(subject, &load, Duration::from_secs(2), &tally, used)
    }

    #[test]
    fn a_run_went_well_that_did_something_without_an_error() {
        let mut report = report();
        assert!(!report.went_well(), "{:?}", report.errors);
        report.errors.clear();
        assert!(report.went_well());
        report.operations = 0;
        assert!(!report.went_well());
    }

    #[test]
    fn rates_are_what_was_counted_by_what_it_took() {
        let report = report();
        assert_eq!((report.operations, report.operations_per_second), (4_000, 2_000.0));
        assert_eq!((report.fsyncs_per_second, report.entries_per_fsync), (Some(450.0), Some(10.0)));
        assert_eq!(report.cpu_us_per_operation, Some(5.0));
        assert_eq!(
            report.latency_us,
            Some(Latency { p50: 0.06, p99: 0.06, p999: 0.06, max: 0.06 })
        );
    }

    #[test]
    fn what_nobody_tells_is_absent() {
        let mut report = report();
        let nothing = BenchReport::new(
            report.subject.clone(),
            &Load {
                clients: 1,
                pipeline: 1,
                payload_bytes: 0,
                read_share: 0.0,
                keys: 1,
                distribution: "uniform".parse().unwrap(),
                threads: 1,
                warm_up_seconds: 0,
                seconds: 1,
            },
            Duration::from_secs(1),
            &Tally::default(),
            Used {
                cpu: Some(Duration::from_secs(1)),
                commits: Some(0),
                entries: Some(0),
                commit_p99_us: None,
            },
        );
        let derived = (nothing.latency_us, nothing.cpu_us_per_operation, nothing.entries_per_fsync);
        assert_eq!(derived, (None, None, None));
        report.fsyncs_per_second = None;
        assert!(report.lines().contains("fsyncs/s            not told\n"), "{}", report.lines());
    }

    #[test]
    fn the_document_reads_back_as_written() {
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(
            text,
            r#"{"schema":1,"target":"redis","server":"multiraft 0.1.0","nodes":3,"groups":16,"clients":64,"pipeline":16,"threads":1,"payload_bytes":3,"keys":100,"distribution":"zipf:0.99","read_share":0.5,"warm_up_seconds":2,"seconds":2.0,"operations":4000,"operations_per_second":2000.0,"latency_us":{"p50":0.06,"p99":0.06,"p999":0.06,"max":0.06},"reads":1000,"reads_missing":3,"read_latency_us":{"p50":0.06,"p99":0.06,"p999":0.06,"max":0.06},"writes":3000,"write_latency_us":{"p50":0.06,"p99":0.06,"p999":0.06,"max":0.06},"fsyncs_per_second":450.0,"entries_per_fsync":10.0,"fsync_p99_us":777,"cpu_us_per_operation":5.0,"cpu_of":"servers","redirects":0,"errors":{"MOVED":8,"UNCERTAIN":7}}"#
        );
        assert_eq!(serde_json::from_str::<BenchReport>(&text).unwrap(), report());
    }

    #[test]
    fn humans_get_the_same_in_lines() {
        let lines = report().lines();
        for line in [
            "redis               multiraft 0.1.0, 3 nodes, 16 groups",
            "operations/s        2000",
            "reads of nothing    3",
            "CPU per operation   5.00 us, of the servers",
            "errors              8 MOVED, 7 UNCERTAIN",
        ] {
            assert!(lines.lines().any(|found| found == line), "{line} in\n{lines}");
        }
    }
}
