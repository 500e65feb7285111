//! Why there is no result.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use thiserror::Error;

use crate::config::Address;

/// Why there is no result, and what to do.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    /// What was typed contradicts itself.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers there, or not as a server does.
    #[error("{reason}; is a node running there? --at HOST:PORT names another, a node's redis_addr")]
    Unreachable {
        /// What happened.
        reason: String,
    },
    /// A server does not answer a question as it should.
    #[error("{at} answers {question} with {answer:?}: {advice}")]
    Refused {
        /// Which.
        at: Address,
        /// What it was asked.
        question: &'static str,
        /// What it says.
        answer: String,
        /// What to do.
        advice: &'static str,
    },
    /// Some groups do not serve.
    #[error(
        "{leaderless} of {groups} groups have no leader within {waited} s: `multiraft status --addr \
         {at}` says why"
    )]
    Leaderless {
        /// How many.
        leaderless: usize,
        /// Of how many.
        groups: usize,
        /// How long it was waited for, in seconds.
        waited: u64,
        /// Who says so.
        at: Address,
    },
    /// Not all keys could be written before.
    #[error("not all keys could be written before the load: {}", list(.0))]
    Fill(BTreeMap<String, u64>),
    /// The folder for the nodes cannot be used.
    #[error("--dir {}: {error}; name a folder on the disk to measure that you may write to", .dir.display())]
    Folder {
        /// Which.
        dir: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The folder for the nodes is in memory.
    #[error(
        "--dir {} is in memory ({kind}), where a sync costs nothing: name a folder on the disk to \
         measure",
        .dir.display()
    )]
    InMemory {
        /// Which.
        dir: PathBuf,
        /// What the file system is called.
        kind: &'static str,
    },
    /// The nodes in this process do not work.
    #[error("the nodes in this process: {reason}")]
    Engine {
        /// Why not.
        reason: String,
    },
    /// The system refuses what every process needs.
    #[error("cannot {doing}: {error}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

impl BenchError {
    /// 1 when something failed, 2 when what was typed makes no sense, 3 when the cluster is sick.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Leaderless { .. } => ExitCode::from(crate::cli::status::UNHEALTHY),
            Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::Fill(_)
            | Self::Folder { .. }
            | Self::InMemory { .. }
            | Self::Engine { .. }
            | Self::System { .. } => ExitCode::FAILURE,
        }
    }
}

/// Kinds of errors with their numbers, most frequent first.
pub(crate) fn list(errors: &BTreeMap<String, u64>) -> String {
    let mut errors: Vec<(&String, &u64)> = errors.iter().collect();
    errors.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let words: Vec<String> = errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_tell_by_the_exit_code_who_is_to_do_something() {
        let at = Address { host: "h".to_owned(), port: 1 };
        let leaderless = BenchError::Leaderless { leaderless: 1, groups: 4, waited: 5, at };
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        for (error, code) in [
            (BenchError::Usage(String::new()), 2),
            (leaderless, 3),
            (BenchError::Unreachable { reason: String::new() }, 1),
            (BenchError::Fill(BTreeMap::new()), 1),
            (BenchError::Engine { reason: String::new() }, 1),
            (BenchError::System { doing: "start threads", error }, 1),
        ] {
            assert_eq!(error.exit_code(), ExitCode::from(code), "{error:?}");
        }
    }
}
