//! `multiraft status`: how a cluster is, asked of all its nodes.
//!
//! - [`merge`]: from what each node says to one view.
//! - [`table`]: the view for humans.

pub mod merge;
pub mod table;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;

use self::merge::{Answer, View};
use super::args::{Output, StatusArgs};
use super::client::{self, Patience};
use crate::config::Address;
use crate::report::{Level, Report, SCHEMA};
use crate::resp::Reply;

/// The exit code of a cluster that does not serve all its clients, or that has lost a node.
pub const UNHEALTHY: u8 = 3;
/// Between two looks of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// A node that takes longer is taken for one that does not answer.
const PATIENCE: Patience =
    Patience { connect: Duration::from_secs(2), reply: Duration::from_secs(5) };

/// `multiraft status`
pub fn run(args: &StatusArgs) -> ExitCode {
    loop {
        let (text, code) = match look(args) {
            Ok(view) => {
                let code = if view.level == Level::Sick {
                    ExitCode::from(UNHEALTHY)
                } else {
                    ExitCode::SUCCESS
                };
                (print(&view, args), code)
            }
            // While it is watched, a node that is gone may come back.
            Err(error) if args.watch => (format!("multiraft: {error}\n"), ExitCode::FAILURE),
            Err(error) => {
                eprintln!("multiraft: {error}");
                return ExitCode::FAILURE;
            }
        };
        let mut out = io::stdout();
        let clear = if args.watch && out.is_terminal() { "\x1b[2J\x1b[H" } else { "" };
        // A reader that has left wants nothing more.
        if write!(out, "{clear}{text}").and_then(|()| out.flush()).is_err() {
            return ExitCode::FAILURE;
        }
        if !args.watch {
            return code;
        }
        std::thread::sleep(WATCH_INTERVAL);
    }
}

fn print(view: &View, args: &StatusArgs) -> String {
    match args.output {
        Output::Table => table::print(view, false),
        Output::Wide => table::print(view, true),
        Output::Json => {
            let text = serde_json::to_string(view).expect("numbers and strings are all JSON has");
            text + "\n"
        }
    }
}

/// Asks the node that was named, then all others that it knows of at once.
///
/// # Errors
/// The first one does not answer, or not with a status.
fn look(args: &StatusArgs) -> Result<View, String> {
    let Address { host, port } = &args.addr;
    let first = ask(host, *port, args.groups)?;
    let others: Vec<(u64, String, u16)> = first
        .nodes
        .iter()
        .filter(|node| node.id != first.node)
        .map(|node| (node.id, node.host.clone(), node.port))
        .collect();
    let answers = std::thread::scope(|scope| {
        let ask = |(id, host, port): (u64, String, u16)| {
            scope.spawn(move || Answer { node: id, report: ask(&host, port, args.groups) })
        };
        let threads: Vec<_> = others.into_iter().map(ask).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    Ok(merge::merge(first, answers, args.groups))
}

/// The version alone: whatever else a later one holds.
#[derive(Deserialize)]
struct Version {
    schema: u32,
}

fn ask(host: &str, port: u16, groups: usize) -> Result<Report, String> {
    let words = ["MULTIRAFT", "STATUS", "LIMIT", &groups.to_string()].map(str::to_owned);
    let reply =
        client::ask_once(host, port, &words, PATIENCE).map_err(|error| error.to_string())?;
    if let Reply::Bulk(text) = &reply {
        return parse(text).map_err(|error| format!("{host}:{port}: {error}"));
    }
    if let Reply::Error(text) = &reply {
        return Err(format!("{host}:{port} refuses: {text}"));
    }
    Err(format!("{host}:{port} answers {reply:?}, expected a status"))
}

pub(crate) fn parse(text: &[u8]) -> Result<Report, String> {
    let Version { schema } = serde_json::from_slice(text)
        .map_err(|error| format!("its answer is no status: {error}"))?;
    if schema != SCHEMA {
        return Err(format!(
            "its status has schema {schema}, expected {SCHEMA}: run the same release here and there"
        ));
    }
    serde_json::from_slice(text).map_err(|error| format!("its answer is no status: {error}"))
}

#[cfg(test)]
mod tests;
