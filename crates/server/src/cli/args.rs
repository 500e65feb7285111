//! What may be typed.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::bench::args::BenchArgs;
use super::demo::PORT_MAX;
use crate::config::Address;
use crate::front::operate::LIMIT_MAX;

/// A sharded, strongly consistent key-value store for Redis Cluster clients.
#[derive(Debug, Parser)]
#[command(
    name = "multiraft",
    version,
    about = "A sharded, strongly consistent key-value store that speaks the Redis Cluster protocol",
    after_help = "Try it:\n  multiraft demo\n  multiraft client set greeting hello    (in another terminal)"
)]
pub struct Cli {
    /// How much is logged to stderr: off, error, warn, info, debug or trace
    ///
    /// By default `info` for serve and `warn` for the others. Parts may differ, as in
    /// `info,engine=debug`. `MULTIRAFT LOG` changes it while a node runs.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run three nodes in this process, for a first look.
    ///
    /// They talk to each other over TCP and keep their data in folders of their own; a second start
    /// finds it again. Ctrl-C ends them.
    Demo(DemoArgs),
    /// Run one node of a cluster.
    ///
    /// Ctrl-C or SIGTERM ends it: clients finish what they have begun. A second one ends it at once.
    Serve(ServeArgs),
    /// Send one command to a node and print its reply; follows redirects.
    ///
    /// Prints as redis-cli does: for humans on a terminal, bare otherwise. Exits with 1 if the
    /// reply is an error.
    Client(ClientArgs),
    /// Show how a cluster is: its nodes, and its groups, worst first.
    ///
    /// Asks the node that is named, and through it all others. Exits with 0 if all is well, 1 if the
    /// node does not answer, and 3 if the cluster is sick: a node is gone, or a group serves nobody.
    Status(StatusArgs),
    /// Load a cluster, and tell how many operations it takes and how long they take.
    ///
    /// Through the Redis protocol, of a Redis too for comparison, or in this process without it.
    /// Exits with 0 if no operation failed, 1 if some did, and 3 if the cluster has groups without
    /// a leader.
    Bench(BenchArgs),
    /// Look at a node's configuration.
    Config(ConfigArgs),
}

/// `multiraft demo`
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// The first node's port for clients; the others take the next two. For each other, nodes use
    /// the ports 10000 above.
    #[arg(short, long, default_value_t = 7001, value_parser = clap::value_parser!(u16).range(1..=i64::from(PORT_MAX)))]
    pub port: u16,
    /// Where the nodes keep their data: in node-1, node-2 and node-3 below it.
    #[arg(short, long, default_value = "./multiraft-demo", value_name = "DIR")]
    pub data: PathBuf,
}

/// `multiraft serve`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The file says who the node is, where it listens and keeps its data, and who the \
                  others are; `multiraft config example` prints one with every field explained."
)]
pub struct ServeArgs {
    /// The node's configuration.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

/// `multiraft client`
#[derive(Clone, Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "Examples:\n  multiraft client set greeting hello\n  multiraft client -p 7002 get greeting"
)]
pub struct ClientArgs {
    /// The node's port for clients.
    #[arg(short, long, default_value_t = 7001)]
    pub port: u16,
    /// The node's host.
    #[arg(short = 'h', long, default_value = "127.0.0.1")]
    pub host: String,
    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    pub help: Option<bool>,
    /// The command and its arguments, as Redis has them.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub words: Vec<String>,
}

/// `multiraft config`
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with a configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a node would start with it, and with which values.
    ///
    /// Exits with 0 if it would, and with 1 if not: then file, field, value and what is allowed are
    /// named. Nothing is started. Folder, ports, file descriptors and clock are looked at on this
    /// machine, and the clocks of those other nodes that run.
    Check {
        /// The file.
        file: PathBuf,
        /// Look at the file alone: it is for another machine, or its node runs.
        #[arg(long)]
        file_only: bool,
    },
    /// Print an example: every field with its unit, default and range, and what breaks if it is too
    /// small or too large.
    ///
    /// `multiraft config example > node.toml` is a good beginning. It is of a cluster of three nodes
    /// on this machine.
    Example,
}

/// `multiraft status`
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Any node, where it takes clients in.
    #[arg(short, long, value_name = "HOST:PORT", default_value = "127.0.0.1:7001", value_parser = parse_address)]
    pub addr: Address,
    /// For humans, for programs, or for humans with more columns.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// How many groups are shown, the worst ones.
    #[arg(short, long, value_name = "N", default_value_t = 20, value_parser = parse_groups)]
    pub groups: usize,
    /// Look again each second, until Ctrl-C.
    #[arg(short, long)]
    pub watch: bool,
}

/// How something is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Output {
    /// In columns.
    Table,
    /// As one line of JSON with a schema version.
    Json,
    /// In more columns.
    Wide,
}

pub(crate) fn parse_address(text: &str) -> Result<Address, String> {
    Address::parse("it", text).map_err(|error| error.to_string())
}

fn parse_groups(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=LIMIT_MAX).contains(number));
    number.ok_or_else(|| format!("allowed is 1 to {LIMIT_MAX}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_client_command_may_hold_hyphens() {
        let words = ["multiraft", "client", "-p", "1", "-h", "x", "EXPIRE", "k", "-1"];
        let Command::Client(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not a client");
        };
        assert_eq!((args.port, &args.host[..]), (1, "x"));
        assert_eq!(args.words, ["EXPIRE", "k", "-1"]);
    }
}
