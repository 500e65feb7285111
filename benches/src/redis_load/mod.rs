//! `redis-set` and `redis-get`: operations through the Redis protocol, beside a single redis-server.
//!
//! Ours: three `multiraft serve` processes, every write on the disks of a majority before its reply.
//! Theirs: one `redis-server` with `appendonly yes` and `appendfsync always`: one copy on one disk.
//! So ours does three times the work, and what it is measured by is what one pays for that.
//!
//! Both sides are loaded by the same `multiraft bench`, start anew for each run in new folders on the
//! same disk, and run alternately, each first in every other round; whoever does not run is not there.
//! Reads are of keys that were all written before.
//!
//! Counting rule: an operation counts when its reply came within the window and was no error; any
//! error, and any read that finds nothing, voids the figure. The processes that were loaded must have
//! counted at least as many commands, and of ours each write must be an entry of at least two logs.
//!
//! All processes and the clients share the cores of one machine, and all nodes its one disk.

mod generator;
mod server;

use std::net::SocketAddr;
use std::path::Path;

use self::generator::{Found, KEYS, Kind, PAYLOAD_BYTES, WARM_UP_SECONDS};
use self::server::RedisServer;
use crate::arguments::Options;
use crate::disk::{Scratch, refuse_memory};
use crate::figure::{Emit, Wrong};
use crate::nodes::{Nodes, program};
use crate::report::{Details, Line, Peer, Samples};

/// How many clients there are, in all cases.
const CLIENTS: u32 = 64;
/// How many groups our nodes have: what the server has by default.
const GROUPS: u32 = 16;
/// Operations that a client sends together, one case each; the cases never change their meaning.
const PIPELINES: [u32; 2] = [1, 16];

fn case_name(pipeline: u32) -> String {
    format!("clients={CLIENTS} pipeline={pipeline} payload={PAYLOAD_BYTES}")
}

/// Measures `redis-set`.
pub(crate) fn measure_set(options: &Options, emit: &mut Emit<'_>) -> Result<(), Wrong> {
    measure(Kind::Set, options, emit)
}

/// Measures `redis-get`.
pub(crate) fn measure_get(options: &Options, emit: &mut Emit<'_>) -> Result<(), Wrong> {
    measure(Kind::Get, options, emit)
}

fn measure(kind: Kind, options: &Options, emit: &mut Emit<'_>) -> Result<(), Wrong> {
    refuse_memory(&options.dir)?;
    let program = program()?;
    // Before the first run: who lacks it is told at once.
    let version = if options.with_peer { Some(server::version()?) } else { None };
    for pipeline in PIPELINES.into_iter().filter(|it| case_name(*it).contains(&options.case)) {
        emit(measure_case(kind, pipeline, &program, version.as_deref(), options)?);
    }
    Ok(())
}

fn measure_case(
    kind: Kind,
    pipeline: u32,
    program: &Path,
    version: Option<&str>,
    options: &Options,
) -> Result<Line, Wrong> {
    let (mut ours, mut theirs) = (Results::default(), Results::default());
    let load = |at: &[SocketAddr]| {
        let found = generator::run(program, at, kind, pipeline, options.window)?;
        server::check_commands(at, &found)?;
        Ok(found)
    };
    for round in 0..options.runs {
        let mut run_ours = || ours.push(with_ours(program, &options.dir, load)?);
        let mut run_theirs = || match version {
            Some(_) => theirs.push(with_redis(&options.dir, load)?),
            None => Ok(()),
        };
        if round % 2 == 0 {
            run_ours()?;
            run_theirs()?;
        } else {
            run_theirs()?;
            run_ours()?;
        }
    }
    let window = options.window;
    let dir = options.dir.display();
    let peer = version.map(|version| Peer {
        name: "redis-server",
        settings: format!("{version}; {}", server::SETTINGS),
        details: theirs.details,
        samples: theirs.per_second,
    });
    Ok(Line {
        figure: kind.figure(),
        case: case_name(pipeline),
        unit: "operations/s",
        samples: ours.per_second,
        details: ours.details,
        peer,
        settings: format!(
            "3 processes, a folder and syncs of its own for each in {dir}; {GROUPS} groups, all \
             settings default; loaded by `multiraft bench` on the same machine, 1 thread, {KEYS} keys \
             drawn uniformly; window {window:?} after {WARM_UP_SECONDS} s under load; CPU time of the \
             nodes without the clients"
        ),
    })
}

/// Founds a cluster, loads it, and ends it.
fn with_ours(
    program: &Path,
    dir: &Path,
    load: impl Fn(&[SocketAddr]) -> Result<Found, Wrong>,
) -> Result<Found, Wrong> {
    let scratch = Scratch::new(dir)?;
    let nodes = Nodes::start(program, &scratch.path("nodes"), GROUPS)?;
    let found = load(&nodes.addresses())?;
    found.check_entries()?;
    Ok(found)
}

/// Starts a redis-server, loads it, and ends it.
fn with_redis(
    dir: &Path,
    load: impl Fn(&[SocketAddr]) -> Result<Found, Wrong>,
) -> Result<Found, Wrong> {
    let scratch = Scratch::new(dir)?;
    let server = RedisServer::start(&scratch.path("redis"))?;
    load(&[server.address()])
}

/// The runs of one side.
#[derive(Default)]
struct Results {
    per_second: Samples,
    details: Details,
}

impl Results {
    fn push(&mut self, found: Found) -> Result<(), Wrong> {
        self.per_second.push(found.per_second()?);
        for (name, value) in found.details() {
            match self.details.iter_mut().find(|(known, _)| *known == name) {
                Some((_, samples)) => samples.push(value),
                None => {
                    let mut samples = Samples::default();
                    samples.push(value);
                    self.details.push((name, samples));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_names_never_change() {
        let expected = ["clients=64 pipeline=1 payload=16", "clients=64 pipeline=16 payload=16"];
        assert_eq!(PIPELINES.map(case_name), expected);
    }
}
