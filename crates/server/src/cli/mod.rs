//! The `multiraft` command.
//!
//! - [`args`]: what may be typed.
//! - [`client`]: one command to a running node; [`mod@format`]: replies for humans.
//!
//! Exit codes: 0 when all went well, 1 when something failed, 2 when what was typed makes no sense.

pub mod args;
pub mod client;
pub mod format;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let default = match cli.command {
        Command::Client(_) => "warn",
    };
    let log = cli.log.as_deref().unwrap_or(default);
    match EnvFilter::try_new(log) {
        Ok(filter) => {
            let log = tracing_subscriber::fmt().with_env_filter(filter);
            log.with_writer(std::io::stderr).init();
        }
        Err(error) => {
            eprintln!(
                "multiraft: --log {log:?}: {error}; allowed is off, error, warn, info, debug or trace"
            );
            return ExitCode::from(2);
        }
    }
    match cli.command {
        Command::Client(args) => client::run(&args),
    }
}
