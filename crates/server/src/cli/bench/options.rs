//! What was typed, checked as a whole.

use std::path::PathBuf;

use super::args::{BenchArgs, TargetName};
use super::distribution::Distribution;
use super::error::BenchError;
use crate::config::Address;

/// Whom to load.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Target {
    /// Running nodes.
    Redis {
        /// One of them.
        at: Address,
    },
    /// Three nodes in this process.
    Engine {
        /// Where their folders are made.
        dir: PathBuf,
        /// How many groups they have.
        groups: u32,
    },
}

/// What the load is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Load {
    pub(crate) clients: u32,
    /// Operations that a client sends together.
    pub(crate) pipeline: usize,
    pub(crate) payload_bytes: usize,
    /// Which part of the operations reads, 0 to 1.
    pub(crate) read_share: f64,
    pub(crate) keys: u32,
    pub(crate) distribution: Distribution,
    pub(crate) threads: u32,
    pub(crate) warm_up_seconds: u64,
    pub(crate) seconds: u64,
}

impl Load {
    /// How many keys a client writes at once that are written before anything else.
    pub(crate) fn fill_at_once(&self) -> u32 {
        let fit = BATCH_BYTES_MAX / self.payload_bytes.max(1);
        u32::try_from(fit).unwrap_or(u32::MAX).clamp(1, FILL_MAX)
    }
}

/// What a client may have under way: beyond, a server reads no further until it has answered.
const BATCH_BYTES_MAX: usize = 1 << 20;
const FILL_MAX: u32 = 256;
const GROUPS: u32 = 16;
/// Where the demo's first node is, and a node of the example file.
const AT: (&str, u16) = ("127.0.0.1", 7001);

/// Whom to load, and how.
///
/// # Errors
/// [`BenchError::Usage`] names what contradicts what, and what is allowed.
pub(crate) fn check(args: &BenchArgs) -> Result<(Target, Load), BenchError> {
    let usage = |text: String| Err(BenchError::Usage(text));
    let target = match args.target {
        TargetName::Redis => match (&args.dir, args.groups) {
            (Some(_), _) => {
                return usage("--dir is for --target engine; servers have their own".to_owned());
            }
            (None, Some(_)) => {
                return usage("--groups is for --target engine; running nodes have as many as `groups` in their files says".to_owned());
            }
            (None, None) => {
                let (host, port) = AT;
                let at = args.at.clone();
                Target::Redis { at: at.unwrap_or_else(|| Address { host: host.to_owned(), port }) }
            }
        },
        TargetName::Engine => match (&args.at, &args.dir) {
            (Some(_), _) => {
                return usage(
                    "--at is for --target redis; --target engine runs its own nodes".to_owned(),
                );
            }
            (None, None) => {
                return usage(
                    "--target engine needs --dir DIR, a folder on the disk to measure".to_owned(),
                );
            }
            (None, Some(dir)) => {
                Target::Engine { dir: dir.clone(), groups: args.groups.unwrap_or(GROUPS) }
            }
        },
    };
    let (pipeline, payload_bytes) = (args.pipeline as usize, args.payload as usize);
    if pipeline.saturating_mul(payload_bytes) > BATCH_BYTES_MAX {
        return usage(format!(
            "--pipeline {pipeline} times --payload {payload_bytes} is {} bytes under way per client, \
             allowed is {BATCH_BYTES_MAX}",
            pipeline * payload_bytes
        ));
    }
    if let Target::Engine { groups, .. } = target {
        enough_keys(args.keys, groups as usize)?;
    }
    let threads = args.threads.unwrap_or_else(default_threads);
    if threads > args.clients {
        return usage(format!("--threads {threads} is more than --clients {}", args.clients));
    }
    let load = Load {
        clients: args.clients,
        pipeline,
        payload_bytes,
        read_share: args.read_share,
        keys: args.keys,
        distribution: args.distribution,
        threads,
        warm_up_seconds: args.warm_up,
        seconds: args.seconds,
    };
    Ok((target, load))
}

/// Refuses fewer keys than groups, of which some would get no load.
///
/// # Errors
/// [`BenchError::Usage`] says how many are needed.
pub(crate) fn enough_keys(keys: u32, groups: usize) -> Result<(), BenchError> {
    if keys as usize >= groups {
        return Ok(());
    }
    Err(BenchError::Usage(format!(
        "--keys {keys} is less than the {groups} groups, some of which would get no load: give at \
         least {groups}; --distribution hot:1 sends everything to one key"
    )))
}

/// A quarter of the cores: the clients have few, and the nodes may be on the same machine.
fn default_threads() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores / 4).unwrap_or(1).clamp(1, THREADS_MAX)
}

const THREADS_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn checked(line: &str) -> Result<(Target, Load), String> {
        let words = ["multiraft", "bench"].into_iter().chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        let Command::Bench(args) = cli.command else { panic!("not a bench") };
        check(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let (target, load) = checked("--threads 1").unwrap();
        assert_eq!(
            target,
            Target::Redis { at: Address { host: "127.0.0.1".to_owned(), port: 7001 } }
        );
        assert_eq!((load.clients, load.pipeline, load.payload_bytes), (64, 1, 64));
        let (target, _) = checked("--target engine --dir /d").unwrap();
        assert_eq!(target, Target::Engine { dir: "/d".into(), groups: 16 });
    }

    #[test]
    fn nonsense_is_refused_with_what_is_allowed() {
        for (line, said) in [
            ("--dir /d", "--dir is for --target engine"),
            ("--groups 3", "--groups is for --target engine"),
            ("--target engine", "needs --dir DIR"),
            ("--target engine --dir /d --at h:1", "--at is for --target redis"),
            ("--target engine --dir /d --groups 9 --keys 8", "give at least 9"),
            (
                "--pipeline 1024 --payload 1025",
                "is 1049600 bytes under way per client, allowed is 1048576",
            ),
            ("--clients 1 --threads 2", "--threads 2 is more than --clients 1"),
            ("--clients 0", "0 is not in 1..=10000"),
            ("--read-share 1.5", "allowed is 0 to 1"),
            ("--at nowhere", "host:port"),
            ("--distribution zipf:9", "allowed is uniform, zipf"),
            ("--seconds 0", "0 is not in 1..=3600"),
        ] {
            let error = checked(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn what_is_written_before_is_sent_in_pieces_of_bounded_size() {
        let at_once = |line| checked(line).unwrap().1.fill_at_once();
        assert_eq!(at_once("--payload 0"), 256);
        assert_eq!(at_once("--payload 524288"), 2);
    }
}
