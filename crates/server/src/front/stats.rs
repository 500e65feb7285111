//! What INFO tells of commands and errors: how often each command was done, how long callers waited
//! for it, how often it failed or was refused, and how often clients were told each kind of error.
//!
//! It must cost next to nothing. So a pipeline counts by itself ([`Tally`]) and hands over what it has
//! counted whenever it has got replies together: one look at the clock, and two additions for each
//! kind of command, to numbers that few other connections add to.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::service::Service;
use crate::command::{COMMANDS, Command};
use crate::resp::Reply;

/// Into how many parts the counts are split, so that connections seldom meet in one.
const SHARDS: usize = 8;
/// How many kinds of commands a pipeline counts before it has to look at the clock.
const KINDS: usize = 4;
/// The first words of all errors, in order.
const CODES: [&str; 10] = [
    "CLUSTERDOWN",
    "CROSSSLOT",
    "ERR",
    "EXECABORT",
    "MISCONF",
    "MOVED",
    "NOPROTO",
    "OVERLOADED",
    "UNCERTAIN",
    "WRONGTYPE",
];
/// Those that say that nothing was even tried.
const REFUSALS: [&str; 5] = ["CLUSTERDOWN", "CROSSSLOT", "MISCONF", "MOVED", "OVERLOADED"];

/// The counts of a node, since its start or the last reset.
#[derive(Debug)]
pub(crate) struct Stats {
    /// Every row of the table, subcommands too, by where it is in memory.
    rows: Vec<&'static Command>,
    /// In each shard, one for each row.
    shards: Vec<Vec<Counts>>,
    errors: [AtomicU64; CODES.len()],
}

/// What happened to one command.
#[derive(Default, Debug)]
struct Counts {
    calls: AtomicU64,
    micros: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

/// The same, added up.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Sums {
    /// How often it was done, whatever came of it.
    pub(crate) calls: u64,
    /// How long callers waited for that, in microseconds.
    pub(crate) micros: u64,
    /// How often it was done and came to an error.
    pub(crate) failed: u64,
    /// How often it was not even tried.
    pub(crate) refused: u64,
}

impl Stats {
    /// Nothing has happened.
    pub(crate) fn new() -> Self {
        let all = COMMANDS.iter().flat_map(|row| std::iter::once(row).chain(row.subcommands));
        let mut rows: Vec<&'static Command> = all.collect();
        rows.sort_unstable_by_key(|row| address(row));
        let shard = || rows.iter().map(|_| Counts::default()).collect();
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Self { rows, shards, errors: Default::default() }
    }

    /// The commands to which something has happened, by name.
    pub(crate) fn commands(&self) -> Vec<(&'static str, Sums)> {
        let sums = |(at, row): (usize, &&'static Command)| (row.name, self.sum(at));
        let all = self.rows.iter().enumerate().map(sums);
        let mut used: Vec<_> = all.filter(|(_, sums)| *sums != Sums::default()).collect();
        used.sort_unstable_by_key(|(name, _)| *name);
        used
    }

    /// The errors that clients were told, by their first word, and how often.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.errors.iter().map(|count| count.load(Ordering::Relaxed));
        CODES.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// Begins anew. What is counted meanwhile may be lost or not.
    pub(crate) fn reset(&self) {
        for counts in self.shards.iter().flatten() {
            for count in [&counts.calls, &counts.micros, &counts.failed, &counts.refused] {
                count.store(0, Ordering::Relaxed);
            }
        }
        self.errors.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// Counts an error that a client was told.
    pub(crate) fn told(&self, code: &[u8]) {
        let place = CODES.binary_search_by(|it| it.as_bytes().cmp(code));
        debug_assert!(place.is_ok(), "{:?} is not among the codes", code.escape_ascii());
        if let Ok(at) = place {
            self.errors[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sum(&self, at: usize) -> Sums {
        self.shards.iter().fold(Sums::default(), |sums, shard| {
            let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let counts = &shard[at];
            Sums {
                calls: sums.calls.saturating_add(of(&counts.calls)),
                micros: sums.micros.saturating_add(of(&counts.micros)),
                failed: sums.failed.saturating_add(of(&counts.failed)),
                refused: sums.refused.saturating_add(of(&counts.refused)),
            }
        })
    }

    fn add(&self, shard: usize, command: &'static Command, sums: Sums) {
        let found = self.rows.binary_search_by_key(&address(command), |row| address(row));
        let counts = &self.shards[shard][found.expect("every command is a row")];
        let each = [
            (&counts.calls, sums.calls),
            (&counts.micros, sums.micros),
            (&counts.failed, sums.failed),
            (&counts.refused, sums.refused),
        ];
        for (count, more) in each.into_iter().filter(|(_, more)| *more > 0) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }
}

fn address(command: &'static Command) -> usize {
    std::ptr::from_ref(command).addr()
}

/// What one pipeline has counted and not handed over.
#[derive(Debug)]
pub(crate) struct Tally {
    shard: usize,
    began: Instant,
    replies: u64,
    errors: u64,
    kinds: [Option<Kind>; KINDS],
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    command: &'static Command,
    sums: Sums,
}

/// How far a command got that is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    /// It was tried, unless it was sent elsewhere.
    Tried,
    /// It was put off, or refused if the reply is an error.
    NotTried,
}

impl Tally {
    /// A pipeline of the client with that number begins.
    pub(crate) fn begin(client: u64) -> Self {
        let shard = usize::try_from(client % SHARDS as u64).unwrap_or_default();
        Self { shard, began: Instant::now(), replies: 0, errors: 0, kinds: [None; KINDS] }
    }

    /// Counts a reply; of a request that names no command, nothing but that there was one.
    pub(crate) fn replied(
        &mut self,
        service: &Service,
        command: Option<&'static Command>,
        call: Call,
        reply: &Reply,
    ) {
        self.replies += 1;
        self.count(service, command, call, reply);
    }

    /// Counts a command whose reply is a part of another one.
    pub(crate) fn count(
        &mut self,
        service: &Service,
        command: Option<&'static Command>,
        call: Call,
        reply: &Reply,
    ) {
        let code = reply.error_code();
        if let Some(code) = code {
            self.errors += 1;
            service.stats.told(code);
        }
        let is_refused = match (call, code) {
            (Call::NotTried, None) => return,
            (Call::NotTried, Some(_)) => true,
            (Call::Tried, code) => {
                code.is_some_and(|code| REFUSALS.iter().any(|it| it.as_bytes() == code))
            }
        };
        let Some(command) = command else { return };
        let sums = self.sums_of(service, command);
        if is_refused {
            sums.refused += 1;
        } else {
            sums.calls += 1;
            sums.failed += u64::from(code.is_some());
        }
    }

    fn sums_of(&mut self, service: &Service, command: &'static Command) -> &mut Sums {
        let is_its =
            |kind: &Option<Kind>| kind.is_none_or(|kind| std::ptr::eq(kind.command, command));
        let at = self.kinds.iter().position(is_its).unwrap_or_else(|| {
            self.hand_over(service);
            0
        });
        &mut self.kinds[at].get_or_insert(Kind { command, sums: Sums::default() }).sums
    }

    /// Adds what was counted to the node's counts. Whoever was answered since the last time has waited
    /// from the beginning until now.
    pub(crate) fn hand_over(&mut self, service: &Service) {
        if self.replies == 0 && self.kinds[0].is_none() {
            return;
        }
        let micros = self.began.elapsed().as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        for Kind { command, mut sums } in self.kinds.iter_mut().map_while(Option::take) {
            sums.micros = sums.calls.saturating_mul(micros);
            service.stats.add(self.shard, command, sums);
        }
        service.counters.commands.fetch_add(self.replies, Ordering::Relaxed);
        if self.errors > 0 {
            service.counters.errors.fetch_add(self.errors, Ordering::Relaxed);
        }
        (self.replies, self.errors) = (0, 0);
    }
}
