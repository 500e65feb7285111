//! What changes a key, and what does not.

use proptest::prelude::*;

use super::*;
use crate::command::{Work, find};
use crate::resp::{Reply, Request};

/// A group with a log and a clock of its own.
struct Bench {
    keyspace: Keyspace,
    index: LogIndex,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        Self { keyspace: Keyspace::new(0..16_384), index: LogIndex::ZERO, now: 1_000 }
    }

    /// Applies an entry with that command; `wait MS` moves the clock.
    fn run(&mut self, line: &str) {
        if let Some(millis) = line.strip_prefix("wait ") {
            self.now += millis.parse::<u64>().unwrap();
            return;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let request = Request::of(&words);
        let Work::Write(parse) = find(request.args()).unwrap().work else { panic!("{line}") };
        self.index = self.index.next();
        self.keyspace.advance(self.index, UnixMillis(self.now));
        let reply = self.keyspace.write(&parse(request.args()).unwrap());
        let is_refused = matches!(&reply, Reply::Error(text) if !text.starts_with("WRONGTYPE"));
        assert!(!is_refused, "{line}: {reply:?}");
    }

    fn run_all(&mut self, lines: &str) {
        lines.split("; ").filter(|line| !line.is_empty()).for_each(|line| self.run(line));
    }

    fn watch(&self) -> Watched<'static> {
        let existed = self.keyspace.exists(b"k", UnixMillis(self.now));
        Watched { key: b"k", since: self.keyspace.applied(), existed }
    }

    /// Whether an entry that is applied next finds the key unchanged.
    fn is_unchanged(&mut self, watched: &Watched<'_>) -> bool {
        self.index = self.index.next();
        self.keyspace.advance(self.index, UnixMillis(self.now));
        self.keyspace.is_unchanged(watched)
    }
}

/// Whether `k` is unchanged by what comes after it was watched.
fn is_unchanged(before: &str, after: &str) -> bool {
    let mut bench = Bench::new();
    bench.run_all(before);
    let watched = bench.watch();
    bench.run_all(after);
    bench.is_unchanged(&watched)
}

#[test]
fn what_sets_changes_or_removes_a_key_changes_it() {
    for after in [
        "SET k v",
        "SET k v KEEPTTL",
        "GETSET k v",
        "GETDEL k",
        "APPEND k x",
        "SETRANGE k 0 x",
        "SETBIT k 1 1",
        "SETBIT k 8 0",
        "MSET x 1 k 2",
        "INCRBYFLOAT k 0",
        "DEL k",
        "DEL k; SET k 1",
        "RENAME k x",
        "RENAME k x; RENAME x k",
        "SET x 1; RENAME x k",
        "SET x 1; COPY x k REPLACE",
        "SET x 1; BITOP OR k x",
        "BITOP OR k none",
        "EXPIRE k 10",
        "EXPIRE k -1",
        "EXPIRE k 10; PERSIST k",
        "GETEX k EX 10",
    ] {
        assert!(!is_unchanged("SET k 1", after), "{after}");
    }
    for after in ["HSET h f 1; RENAME h k", "SET k v", "SET k v; DEL k", "HSET k f v; HDEL k f"] {
        assert!(!is_unchanged("", after), "{after}");
        assert!(!is_unchanged("SET k v; DEL k", after), "{after}");
    }
    for after in ["HSET k f 1", "HDEL k f", "HSETNX k g 1", "HINCRBY k f 0", "HINCRBYFLOAT k f 0"] {
        assert!(!is_unchanged("HSET k f 1", after), "{after}");
    }
}

#[test]
fn what_does_nothing_to_a_key_leaves_it_unchanged() {
    for after in [
        "",
        "SET other v",
        "SET k v NX",
        "SETNX k v",
        "MSETNX x 1 k 2",
        "SETRANGE k 0 ",
        "SETBIT k 1 0",
        "GETEX k",
        "GETEX k PERSIST",
        "PERSIST k",
        "EXPIRE k 10 XX",
        "RENAME k k",
        "SET x 1; RENAMENX x k",
        "COPY k x",
        "COPY none k REPLACE",
        "HSET k f v",
        "HDEL k f",
        "INCR x; DEL x; SET y 1; DEL y",
    ] {
        assert!(is_unchanged("SET k 1", after), "{after}");
    }
    for after in
        ["", "DEL k", "GETDEL k", "HDEL k f", "SET k v XX", "EXPIRE k 10", "SET x 1; DEL x"]
    {
        assert!(is_unchanged("", after), "{after}");
        assert!(is_unchanged("SET k v; DEL k", after), "{after}");
    }
    for after in ["HSETNX k f 2", "HDEL k none", "HDEL k none f2", "APPEND k x"] {
        assert!(is_unchanged("HSET k f 1", after), "{after}");
    }
}

#[test]
fn a_key_that_expires_changes_for_whoever_saw_it_alive() {
    // Whether somebody has cleared it away makes no difference.
    assert!(is_unchanged("SET k v PX 10", "wait 9"));
    assert!(!is_unchanged("SET k v PX 10", "wait 10"));
    assert!(!is_unchanged("SET k v PX 10", "wait 10; SET x 1"));
    assert!(!is_unchanged("SET k v PX 10", "wait 10; SET k v"));
    assert!(is_unchanged("SET k v PX 10; wait 10", ""));
    assert!(is_unchanged("SET k v PX 10; wait 10", "SET x 1"));
    assert!(is_unchanged("SET k v PX 10; wait 10", "DEL k"));
    assert!(!is_unchanged("SET k v PX 10; wait 10", "SET k v"));
    assert!(!is_unchanged("SET k v PX 10; wait 10", "SET k v; DEL k"));
    // It came and went while nobody looked.
    assert!(!is_unchanged("", "SET k v PX 10; wait 10"));
    assert!(!is_unchanged("", "SET k v PX 10; wait 10; SET x 1"));
}

#[test]
fn when_too_much_was_removed_a_missing_key_counts_as_changed() {
    let churn = |times: usize| {
        let mut bench = Bench::new();
        let watched = bench.watch();
        for _ in 0..times {
            bench.run_all("SET x 1; DEL x");
        }
        bench.is_unchanged(&watched)
    };
    assert!(churn(REMOVALS_MAX));
    assert!(!churn(REMOVALS_MAX + 1));
    // What was forgotten before it was watched does not matter.
    let mut bench = Bench::new();
    for _ in 0..=REMOVALS_MAX {
        bench.run_all("SET x 1; DEL x");
    }
    let watched = bench.watch();
    assert!(bench.is_unchanged(&watched));
    // Nor does it to a key that exists.
    let mut bench = Bench::new();
    bench.run("SET k 1");
    let watched = bench.watch();
    for _ in 0..=REMOVALS_MAX {
        bench.run_all("SET x 1; DEL x");
    }
    assert!(bench.is_unchanged(&watched));
}

/// Commands over a few keys, some of which do nothing.
fn command() -> impl Strategy<Value = String> {
    prop_oneof![
        "SET [kx] [12]",
        "SET [kx] 1 (NX|XX|PX 2)",
        "DEL [kx]",
        "GETDEL [kx]",
        "PERSIST [kx]",
        "PEXPIRE [kx] [13] (NX|XX|GT|LT)",
        "RENAMENX [kx] [kx]",
        "COPY x k( REPLACE)?",
        "HSET [kx] f [12]",
        "HDEL [kx] f",
        "wait [012]",
    ]
}

proptest! {
    #[test]
    fn no_change_passes_unseen(
        before in prop::collection::vec(command(), 0..8),
        after in prop::collection::vec(command(), 0..8),
    ) {
        let run = |bench: &mut Bench, line: &String| {
            // A key may not be there to be renamed, or to be copied to itself.
            if !line.starts_with("RENAME") || bench.keyspace.exists(&line.as_bytes()[9..10], UnixMillis(bench.now)) {
                bench.run(line);
            }
        };
        let mut bench = Bench::new();
        before.iter().for_each(|line| run(&mut bench, line));
        let watched = bench.watch();
        let dump = |bench: &Bench| {
            let entry = bench.keyspace.find(b"k", UnixMillis(bench.now));
            entry.map(|entry| (entry.value.clone(), entry.deadline))
        };
        let then = dump(&bench);
        let mut differed = false;
        for line in &after {
            run(&mut bench, line);
            differed |= dump(&bench) != then;
        }
        let is_unchanged = bench.is_unchanged(&watched);
        prop_assert!(!differed || !is_unchanged);
    }
}
