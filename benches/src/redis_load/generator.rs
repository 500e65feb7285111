//! The clients: `multiraft bench` as a process, and what it says.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::CLIENTS;
use crate::disk::wrong;
use crate::figure::Wrong;

/// How many keys there are.
pub(crate) const KEYS: u64 = 100_000;
/// How long values are.
pub(crate) const PAYLOAD_BYTES: u32 = 16;
/// How long the load runs before it counts.
pub(crate) const WARM_UP_SECONDS: u64 = 1;
/// The schema of what the generator says.
const SCHEMA: u64 = 1;

/// What the clients ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Set,
    Get,
}

impl Kind {
    pub(crate) const fn figure(self) -> &'static str {
        match self {
            Self::Set => "redis-set",
            Self::Get => "redis-get",
        }
    }

    const fn read_share(self) -> &'static str {
        match self {
            Self::Set => "0",
            Self::Get => "1",
        }
    }
}

/// What the generator found in one run.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Found {
    kind: Kind,
    report: Value,
}

/// Loads whoever is at the first address.
///
/// # Errors
/// The generator failed, or an operation did.
pub(crate) fn run(
    program: &Path,
    at: &[SocketAddr],
    kind: Kind,
    pipeline: u32,
    window: Duration,
) -> Result<Found, Wrong> {
    let first = at.first().ok_or_else(|| Wrong("there is nobody to load".to_owned()))?;
    let text = |number: u64| number.to_string();
    let mut command = Command::new(program);
    command.args(["bench", "--output", "json", "--threads", "1", "--at", &first.to_string()]);
    command.args(["--clients", &text(CLIENTS.into()), "--pipeline", &text(pipeline.into())]);
    command.args(["--payload", &text(PAYLOAD_BYTES.into()), "--keys", &text(KEYS)]);
    command.args(["--warm-up", &text(WARM_UP_SECONDS), "--seconds", &text(window.as_secs())]);
    command.args(["--read-share", kind.read_share()]);
    let output = command.stdin(Stdio::null()).output().map_err(wrong("start multiraft bench"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(Wrong(format!("multiraft bench: {}: {error}{said}", output.status)));
    }
    Found::parse(kind, &said)
}

impl Found {
    /// Reads what the generator says.
    ///
    /// # Errors
    /// It says something else, or that something failed.
    fn parse(kind: Kind, text: &str) -> Result<Self, Wrong> {
        let report: Value = serde_json::from_str(text)
            .map_err(|error| Wrong(format!("multiraft bench says {text:?}: {error}")))?;
        let is_right = report["schema"] == SCHEMA
            && report["errors"].as_object().is_some_and(serde_json::Map::is_empty)
            && report["reads_missing"] == 0;
        if !is_right {
            return Err(Wrong(format!(
                "expected schema {SCHEMA}, no errors and no read of nothing: {text}"
            )));
        }
        Ok(Self { kind, report })
    }

    /// Operations per second.
    ///
    /// # Errors
    /// There were none.
    pub(crate) fn per_second(&self) -> Result<f64, Wrong> {
        let found = self.number("operations_per_second").filter(|per_second| *per_second > 0.0);
        found.ok_or_else(|| Wrong(format!("no operation was done: {}", self.report)))
    }

    /// How many operations counted.
    pub(crate) fn operations(&self) -> u64 {
        self.report["operations"].as_u64().unwrap_or(0)
    }

    /// What stands beside that.
    pub(crate) fn details(&self) -> Vec<(&'static str, f64)> {
        let latency = |name: &str| self.report["latency_us"][name].as_f64();
        let details = [
            ("p50_us", latency("p50")),
            ("p99_us", latency("p99")),
            ("p999_us", latency("p999")),
            ("cpu_us_per_operation", self.number("cpu_us_per_operation")),
            ("syncs_per_s", self.number("fsyncs_per_second")),
            ("entries_per_sync", self.number("entries_per_fsync")),
        ];
        details.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Every write is in the logs of a majority of three nodes at least.
    ///
    /// # Errors
    /// There were fewer entries than that.
    pub(crate) fn check_entries(&self) -> Result<(), Wrong> {
        let syncs = self.number("fsyncs_per_second").unwrap_or(0.0);
        let entries = syncs * self.number("entries_per_fsync").unwrap_or(0.0);
        let writes = match self.kind {
            Kind::Set => self.per_second()?,
            Kind::Get => 0.0,
        };
        if entries < writes * COPIES_MIN {
            return Err(Wrong(format!(
                "{writes:.0} writes per second are {entries:.0} entries: {}",
                self.report
            )));
        }
        Ok(())
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.report[name].as_f64()
    }
}

/// A majority of three, less what was under way at the edges of the window.
const COPIES_MIN: f64 = 1.9;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"schema":1,"operations":10,"operations_per_second":5.0,"latency_us":{"p50":1.0,"p99":2.0,"p999":3.0},"reads_missing":0,"fsyncs_per_second":2.0,"entries_per_fsync":7.5,"cpu_us_per_operation":null,"errors":{}}"#;

    #[test]
    fn what_the_generator_says_becomes_a_figure() {
        let found = Found::parse(Kind::Set, GOOD).unwrap();
        assert_eq!((found.per_second(), found.operations()), (Ok(5.0), 10));
        let names: Vec<&str> = found.details().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["p50_us", "p99_us", "p999_us", "syncs_per_s", "entries_per_sync"]);
        assert_eq!(found.check_entries(), Ok(()));
    }

    #[test]
    fn errors_and_reads_of_nothing_void_the_figure() {
        for (good, bad) in [
            (r#""errors":{}"#, r#""errors":{"MOVED":1}"#),
            (r#""reads_missing":0"#, r#""reads_missing":1"#),
            (r#""schema":1"#, r#""schema":2"#),
        ] {
            let error = Found::parse(Kind::Get, &GOOD.replace(good, bad)).unwrap_err();
            assert!(error.0.contains("expected schema 1, no errors"), "{error}");
        }
        assert!(Found::parse(Kind::Get, "hello").is_err());
    }

    #[test]
    fn writes_that_are_no_entries_void_the_figure() {
        let text = GOOD.replace("7.5", "4.0");
        let error = Found::parse(Kind::Set, &text).unwrap().check_entries().unwrap_err();
        assert!(error.0.starts_with("5 writes per second are 8 entries"), "{error}");
        assert_eq!(Found::parse(Kind::Get, &text).unwrap().check_entries(), Ok(()));
    }
}
