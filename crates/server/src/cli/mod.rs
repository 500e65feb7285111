//! The `multiraft` command.
//!
//! - [`args`]: what may be typed.
//! - [`demo`]: three nodes in one process; [`serve`]: one in a process of its own; [`run`]: what both
//!   have in common.
//! - [`client`]: one command to a running node; [`mod@format`]: replies for humans.
//! - [`status`]: how a cluster is; [`mod@bench`]: how much it takes; [`config`]: whether a file is
//!   right; `machine`: whether a machine suits it.
//!
//! Exit codes: 0 when all went well, 1 when something failed, 2 when what was typed makes no sense,
//! 3 when a cluster was looked at and is sick.

pub mod args;
pub mod bench;
pub mod client;
pub mod config;
pub mod demo;
pub mod format;
mod machine;
pub mod run;
pub mod serve;
mod signals;
pub mod status;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let default = match cli.command {
        Command::Serve(_) => "info",
        Command::Demo(_)
        | Command::Client(_)
        | Command::Status(_)
        | Command::Bench(_)
        | Command::Config(_) => "warn",
    };
    let log = cli.log.as_deref().unwrap_or(default);
    match log.parse() {
        Ok(filter) => crate::log::start(filter),
        Err(error) => {
            eprintln!("multiraft: --log {log:?}: {error}");
            return ExitCode::from(2);
        }
    }
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Client(args) => client::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Config(args) => config::run(&args),
    }
}
