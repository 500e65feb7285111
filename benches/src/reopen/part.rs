//! What processes of their own do, since they are killed: one fills a log, others open it.
//!
//! Each says what it has come to in one line of its output, and then goes on, or waits, until it is
//! killed; whoever loses the process that started it ends by itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use codec::{Restored, WriteBatch};
use storage_redb::{FetchRequest, Identity, Store, StoreOptions};
use types::{ClusterId, GroupId, LogIndex, NodeId};

use crate::clock::process_cpu_time;
use crate::disk::wrong;
use crate::figure::Wrong;

use super::contents::{Contents, PAYLOAD_BYTES_MIN};

/// The first argument of such a process.
pub(crate) const PART: &str = "reopen-part";

/// A log of so many bytes is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full {
    /// Commits of entries that were acknowledged before it was.
    pub(crate) commits: u64,
    /// Bytes of all records, all of them live.
    pub(crate) live_bytes: u64,
}

/// What an opening took.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Opened {
    pub(crate) open_s: f64,
    /// The first commit after it.
    pub(crate) commit_s: f64,
    /// CPU time of both, of all threads.
    pub(crate) cpu_s: f64,
    /// The most memory that the process ever had, in bytes; 0 where the system does not tell.
    pub(crate) memory_bytes: u64,
    /// Entries in the log.
    pub(crate) entries: u64,
}

/// A part under way; killed in the end.
pub(crate) struct Part {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Part {
    /// Fills a new log in the folder.
    pub(crate) fn fill(dir: &Path, contents: Contents, live_bytes: u64) -> Result<Self, Wrong> {
        Self::start("fill", dir, contents, live_bytes)
    }

    /// Opens the log, which must have every entry of those commits; reads and checks all of it
    /// afterwards if it is to be `checked`.
    pub(crate) fn open(
        dir: &Path,
        contents: Contents,
        commits: u64,
        checked: bool,
    ) -> Result<Self, Wrong> {
        Self::start(if checked { "open-and-check" } else { "open" }, dir, contents, commits)
    }

    fn start(role: &str, dir: &Path, contents: Contents, number: u64) -> Result<Self, Wrong> {
        let own = std::env::current_exe().map_err(wrong("find this program"))?;
        let Contents { groups, payload_bytes } = contents;
        let mut command = Command::new(own);
        command.args([PART, role]).arg(dir);
        command.args([groups, payload_bytes as u64, number].map(|number| number.to_string()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(wrong("start a process"))?;
        let lines = BufReader::new(child.stdout.take().expect("its output is piped"));
        Ok(Self { child, lines })
    }

    /// Waits until the log is full.
    pub(crate) fn full(&mut self) -> Result<Full, Wrong> {
        let [commits, live_bytes] = self.numbers("full")?;
        Ok(Full { commits: whole(commits), live_bytes: whole(live_bytes) })
    }

    /// Waits until the log is open.
    pub(crate) fn opened(&mut self) -> Result<Opened, Wrong> {
        let [open_s, commit_s, cpu_s, memory, entries] = self.numbers("opened")?;
        let (memory_bytes, entries) = (whole(memory), whole(entries));
        Ok(Opened { open_s, commit_s, cpu_s, memory_bytes, entries })
    }

    /// Waits until everything is read and checked.
    pub(crate) fn checked(&mut self) -> Result<(), Wrong> {
        self.numbers("checked").map(|[]| ())
    }

    /// Sends SIGKILL, and returns when the process is gone.
    pub(crate) fn kill(mut self) -> Result<(), Wrong> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(wrong("kill a process"))?;
        Ok(())
    }

    /// The numbers of the next line, which says `what`.
    fn numbers<const N: usize>(&mut self, what: &str) -> Result<[f64; N], Wrong> {
        let mut line = String::new();
        self.lines.read_line(&mut line).map_err(wrong("hear of a process"))?;
        let mut words = line.split_whitespace();
        let is_right = words.next() == Some(what);
        let numbers: Vec<f64> = words.map_while(|word| word.parse().ok()).collect();
        let numbers = <[f64; N]>::try_from(numbers).ok().filter(|_| is_right);
        numbers.ok_or_else(|| Wrong(format!("{what}: a process said {line:?} and no more")))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A count that was printed whole.
fn whole(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
    let number = number as u64;
    number
}

/// Plays the part that the arguments behind [`PART`] name, until it is killed.
///
/// # Errors
/// What went wrong; the caller says so and ends.
pub(crate) fn play(arguments: &[String]) -> Result<(), Wrong> {
    let [role, dir, groups, payload_bytes, number] = arguments else {
        return Err(Wrong(format!("{PART} is for this program itself")));
    };
    let parse = |text: &String| {
        text.parse::<u64>().map_err(|error| Wrong(format!("{PART}: {text:?}: {error}")))
    };
    let payload_bytes = usize::try_from(parse(payload_bytes)?).ok();
    let payload_bytes = payload_bytes.filter(|bytes| *bytes >= PAYLOAD_BYTES_MIN);
    let payload_bytes = payload_bytes.ok_or_else(|| Wrong("payloads are too small".into()))?;
    let contents = Contents { groups: parse(groups)?, payload_bytes };
    end_when_alone();
    let (dir, number) = (Path::new(dir), parse(number)?);
    match role.as_str() {
        "fill" => fill(dir, contents, number),
        "open" => open(dir, contents, number, false),
        "open-and-check" => open(dir, contents, number, true),
        role => Err(Wrong(format!("{PART}: there is no part {role:?}"))),
    }
}

/// Ends this process when the one that started it has ended.
fn end_when_alone() {
    std::thread::spawn(|| {
        // Nothing is ever said: it returns when the other side is closed.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
}

fn say(line: &str) -> Result<(), Wrong> {
    let mut output = std::io::stdout();
    writeln!(output, "{line}").and_then(|()| output.flush()).map_err(wrong("say so"))
}

/// Commits until the log is full, says so, and goes on: whoever kills it does so amid a commit.
fn fill(dir: &Path, contents: Contents, live_bytes: u64) -> Result<(), Wrong> {
    let (mut store, _) = open_store(dir)?;
    let mut commit = |batch: WriteBatch| -> Result<u64, Wrong> {
        store.commit(&[batch]).map_err(|error| Wrong(error.to_string()))?;
        Ok(store.counters().record_bytes_written)
    };
    commit(contents.create())?;
    let mut is_full = false;
    for number in 0_u64.. {
        let written = commit(contents.batch(number))?;
        if written >= live_bytes && !is_full {
            is_full = true;
            say(&format!("full {} {written}", number + 1))?;
        }
    }
    Ok(())
}

fn open(dir: &Path, contents: Contents, commits: u64, checked: bool) -> Result<(), Wrong> {
    let cpu = process_cpu_time();
    let start = Instant::now();
    let (mut store, restored) = open_store(dir)?;
    let open_s = start.elapsed().as_secs_f64();
    let first = restored.first().ok_or_else(|| Wrong("the log is empty".into()))?;
    let next = contents.entry(first.group, first.replica.last.next());
    let committed = store.commit(&[WriteBatch { items: vec![next] }]);
    let commit_s = start.elapsed().as_secs_f64() - open_s;
    let cpu_s = (process_cpu_time() - cpu).as_secs_f64();
    committed.map_err(|error| Wrong(error.to_string()))?;
    let entries: u64 = restored.iter().map(|restored| restored.replica.last.0).sum();
    check_ends(contents, commits, &restored)?;
    let memory_bytes = memory_bytes_max().unwrap_or(0);
    say(&format!("opened {open_s} {commit_s} {cpu_s} {memory_bytes} {entries}"))?;
    if checked {
        check_entries(&store, contents, &restored)?;
        say("checked")?;
    }
    loop {
        std::thread::park();
    }
}

fn open_store(dir: &Path) -> Result<(Store, Vec<Restored>), Wrong> {
    let cluster = ClusterId::new("figures").map_err(|error| Wrong(error.to_string()))?;
    let identity = Identity { cluster, node: NodeId(1) };
    let opened = Store::open(dir, &identity, StoreOptions::default());
    opened.map_err(|error| Wrong(error.to_string()))
}

/// Every group is there, with no fewer entries than were acknowledged.
fn check_ends(contents: Contents, commits: u64, restored: &[Restored]) -> Result<(), Wrong> {
    let groups = restored.iter().map(|restored| restored.group);
    if !groups.eq((1..=contents.groups).map(GroupId)) {
        return Err(Wrong(format!("{} groups are there again", restored.len())));
    }
    for Restored { group, replica, .. } in restored {
        let (found, expected) = (replica.last, contents.last(*group, commits));
        if found < expected {
            return Err(Wrong(format!("group {group} ends at {found}, acknowledged: {expected}")));
        }
    }
    Ok(())
}

/// Every entry can be read, and is what was appended.
fn check_entries(store: &Store, contents: Contents, restored: &[Restored]) -> Result<(), Wrong> {
    let reader = store.reader();
    for Restored { group, replica, .. } in restored {
        let (group, first, bytes_max) = (*group, LogIndex(1), usize::MAX);
        let answers = reader.fetch(&[FetchRequest { group, first, last: replica.last, bytes_max }]);
        let runs = answers.into_iter().flatten().flatten();
        let end = runs.map(Some).try_fold(first, |next, run| contents.check(group, next, &run?));
        if end != Some(replica.last.next()) {
            return Err(Wrong(format!("group {group} has not what it was given")));
        }
    }
    Ok(())
}

/// The most memory that this process ever had; none where the system does not tell.
fn memory_bytes_max() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
