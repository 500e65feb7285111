//! Nodes, from start to signal to end.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;

use engine::{Failure, ShutdownError};
use storage_redb::LOG_FILE;
use thiserror::Error;
use types::NodeId;

use super::signals::Signals;
use crate::config::ConfigError;
use crate::front::join::join_all;
use crate::node::descriptors::TooFew;
use crate::node::{BindError, Node, NodeError};

/// Why `serve` or `demo` ended badly.
#[derive(Debug, Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The process may have too few file descriptors.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// A port cannot be bound.
    #[error("{error}; {advice}")]
    Bind {
        /// Which, and why.
        error: BindError,
        /// What to do.
        advice: String,
    },
    /// A node does not start.
    #[error("node {node} does not start: {error}")]
    Start {
        /// The node.
        node: NodeId,
        /// Why.
        error: NodeError,
    },
    /// A node failed while it ran.
    #[error("node {node} failed: {failure}{advice}")]
    Failed {
        /// The node.
        node: NodeId,
        /// Why.
        failure: Failure,
        /// What to do, if the failure does not say.
        advice: String,
    },
    /// A node did not end well.
    #[error("node {node} did not end well: {error}")]
    Stop {
        /// The node.
        node: NodeId,
        /// Why.
        error: ShutdownError,
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

/// Runs what is to be run on a runtime of its own, and tells how it went.
pub(crate) fn block_on(run: impl Future<Output = Result<(), RunError>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime
        .map_err(|error| RunError::System { doing: "start threads", error })
        .and_then(|runtime| runtime.block_on(run));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("multiraft: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Listens for signals.
///
/// # Errors
/// The system does not let us.
pub(crate) fn signals() -> Result<Signals, RunError> {
    Signals::new().map_err(|error| RunError::System { doing: "listen for signals", error })
}

/// Waits for a signal, or for a node to fail; then ends all nodes. A node that was asked to end, and
/// is alone in its process, first hands over what it leads; of several that end together, nobody
/// would be left to take it. A second signal ends the process at once.
///
/// # Errors
/// What failed first.
pub(crate) async fn until_signal(nodes: Vec<Node>, mut signals: Signals) -> Result<(), RunError> {
    let failed = tokio::select! {
        () = signals.next() => None,
        failed = first_failure(&nodes) => Some(failed),
    };
    tracing::info!("stopping");
    let hands_over = failed.is_none() && nodes.len() == 1;
    let stop = |node: Node| -> Pin<Box<dyn Future<Output = Result<(), RunError>> + Send>> {
        Box::pin(async move {
            let id = node.id();
            if hands_over {
                node.hand_over().await;
            }
            node.stop().await.map_err(|error| RunError::Stop { node: id, error })
        })
    };
    let stopped = tokio::select! {
        stopped = join_all(nodes.into_iter().map(stop).collect()) => stopped,
        () = signals.next() => {
            eprintln!("multiraft: stopped at once; what was acknowledged is durable");
            std::process::exit(1);
        }
    };
    match failed {
        Some(failed) => Err(failed),
        None => stopped.into_iter().collect(),
    }
}

async fn first_failure(nodes: &[Node]) -> RunError {
    let mut failures: Vec<_> = nodes.iter().map(|node| Box::pin(node.failed())).collect();
    std::future::poll_fn(|context| {
        for (node, failure) in nodes.iter().zip(&mut failures) {
            if let std::task::Poll::Ready(failure) = failure.as_mut().poll(context) {
                let advice = advice(&failure, node.data_dir());
                return std::task::Poll::Ready(RunError::Failed {
                    node: node.id(),
                    failure,
                    advice,
                });
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// What the operator does about a failure that does not say so itself.
fn advice(failure: &Failure, data_dir: &Path) -> String {
    match failure {
        Failure::Store { .. } => {
            let log = data_dir.join(LOG_FILE);
            format!(
                "; the log is {}: see to its disk, then start the node again, which checks all that \
                 it finds there",
                log.display()
            )
        }
        Failure::RolledBack { .. }
        | Failure::StateMachine { .. }
        | Failure::Founding { .. }
        | Failure::Thread { .. } => String::new(),
    }
}
