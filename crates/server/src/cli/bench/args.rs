//! What may be typed behind `multiraft bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::distribution::Distribution;
use crate::config::Address;

/// `multiraft bench`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    multiraft bench --at 127.0.0.1:7001 --clients 64 --pipeline 16 --seconds 10\n  \
    multiraft bench --read-share 0.9 --distribution zipf --output json\n  \
    multiraft bench --target engine --dir /var/tmp --groups 1000 --clients 256 --pipeline 64")]
pub struct BenchArgs {
    /// Whom to load
    #[arg(short, long, value_enum, default_value_t = TargetName::Redis)]
    pub target: TargetName,
    /// Any node of a multiraft or Redis cluster, or a Redis alone (redis; default 127.0.0.1:7001)
    #[arg(long, value_name = "HOST:PORT", value_parser = crate::cli::args::parse_address)]
    pub at: Option<Address>,
    /// A folder on the disk to measure: the nodes' folders are made there, and removed at the end
    /// (engine)
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How many groups the cluster has, 1 to 16384 (engine; default 16)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub groups: Option<u32>,
    /// How many clients there are; each waits for its replies before it goes on
    #[arg(short, long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub clients: u32,
    /// How many operations a client sends together, all to one node
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub pipeline: u32,
    /// How long values are, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=524_288))]
    pub payload: u32,
    /// Which part of the operations reads, 0 to 1; all keys are written first if it is not 0
    #[arg(short, long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    pub read_share: f64,
    /// How many keys there are: multiraft-bench:0 and so on, which stay in the end
    #[arg(short, long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub keys: u32,
    /// How often which key is used: uniform; zipf or zipf:EXPONENT (0.99); hot or hot:SHARE (0.5),
    /// the part of the operations that one key gets
    #[arg(long, value_name = "NAME", default_value_t = Distribution::Uniform)]
    pub distribution: Distribution,
    /// How long the load runs before anything counts, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub warm_up: u64,
    /// How long it counts, in seconds
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// How many threads the clients share (default: a quarter of the cores, at least 1)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: Option<u32>,
    /// For humans or for programs
    #[arg(short, long, value_enum, default_value_t = BenchOutput::Table)]
    pub output: BenchOutput,
}

/// Whom to load.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum TargetName {
    /// Running nodes, through the Redis protocol.
    Redis,
    /// Three nodes in this process without Redis, with TCP and syncs.
    Engine,
}

/// How the result is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum BenchOutput {
    /// In lines.
    Table,
    /// As one line of JSON with a schema version.
    Json,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "allowed is 0 to 1, such as 0.5".to_owned())
}
