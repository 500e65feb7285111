//! Three nodes in this process, without Redis: what the engine alone takes.
//!
//! - [`nodes`]: the nodes. [`machine`]: their state. [`client`]: one client. [`medium`]: what their
//!   folders are on.

mod client;
mod machine;
mod medium;
mod nodes;

use std::path::Path;
use std::sync::Arc;

use self::client::Client;
use self::nodes::{NODES, Nodes};
use super::error::BenchError;
use super::keys::Keys;
use super::measure::measure;
use super::options::Load;
use super::report::{BenchReport, ENGINE, Subject, Used};
use crate::cpu::CpuTime;

/// Loads nodes of its own.
///
/// # Errors
/// They do not start, or fail.
pub(crate) fn run(dir: &Path, groups: u32, load: &Load) -> Result<BenchReport, BenchError> {
    medium::refuse_memory(dir)?;
    let nodes = Nodes::start(dir, groups)?;
    let shared: Arc<[_]> = nodes.nodes.clone().into();
    let keys = Arc::new(Keys::new(load.keys));
    let client = |_| Client::new(Arc::clone(&shared), Arc::clone(&keys), load.payload_bytes);
    let links = (0..load.clients).map(client).collect();
    let edge = || (CpuTime::of_this_process().total(), nodes.statuses());
    let measured = measure(links, &keys, load, edge);
    // Clones of the engines are to be gone before these end.
    drop(shared);
    nodes.end()?;
    let measured = measured?;
    let ((cpu_before, before), (cpu_after, after)) = (&measured.before, &measured.after);
    let sum = |statuses: &[::engine::EngineStatus], of: fn(&::engine::EngineStatus) -> u64| {
        statuses.iter().map(of).sum::<u64>()
    };
    let grown = |of: fn(&::engine::EngineStatus) -> u64| sum(after, of) - sum(before, of);
    let p99 =
        after.iter().filter_map(|status| status.log_commit_times).map(|times| times.p99).max();
    let used = Used {
        cpu: Some(*cpu_after - *cpu_before),
        commits: Some(grown(|status| status.log_commits)),
        entries: Some(grown(|status| status.log_entries)),
        commit_p99_us: p99.map(|p99| u64::try_from(p99.as_micros()).unwrap_or(u64::MAX)),
    };
    let server = format!("multiraft {}", env!("CARGO_PKG_VERSION"));
    let groups = usize::try_from(groups).ok();
    let subject = Subject { target: ENGINE.to_owned(), server, nodes: NODES, groups };
    Ok(BenchReport::new(subject, load, measured.time, &measured.tally, used))
}
