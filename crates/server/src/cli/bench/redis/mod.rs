//! Running nodes, through the Redis protocol: of a multiraft or Redis cluster, or a Redis alone.
//!
//! - [`cluster`]: who serves which slot. [`client`]: one client. [`replies`]: what it is told.
//! - [`servers`]: what the servers say of themselves.

mod client;
mod cluster;
mod replies;
mod servers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::client::Client;
use self::cluster::Cluster;
use self::servers::Servers;
use super::error::BenchError;
use super::keys::Keys;
use super::measure::measure;
use super::options::{Load, enough_keys};
use super::report::BenchReport;
use crate::config::Address;

/// How long groups may be without a leader before it is given up, in seconds.
const LEADERS_WAIT_SECONDS: u64 = 5;
/// How often it is asked whether they have one.
const POLL: Duration = Duration::from_millis(100);

/// Loads running nodes.
///
/// # Errors
/// Nobody answers there, or the cluster does not serve.
pub(crate) fn run(at: &Address, load: &Load) -> Result<BenchReport, BenchError> {
    let servers = Servers::ask(at, &Cluster::learn(at)?)?;
    if let Some(groups) = servers.subject.groups {
        enough_keys(load.keys, groups)?;
        wait_for_leaders(&servers, at, groups)?;
    }
    let cluster = Arc::new(Cluster::learn(at)?);
    let keys = Arc::new(Keys::new(load.keys));
    let client = |_| Client::new(Arc::clone(&cluster), Arc::clone(&keys), load.payload_bytes);
    let links = (0..load.clients).map(client).collect();
    let measured = measure(links, &keys, load, || servers.edge())?;
    let used = measured.before.until(&measured.after);
    Ok(BenchReport::new(servers.subject, load, measured.time, &measured.tally, used))
}

/// # Errors
/// Some group has none for too long.
fn wait_for_leaders(servers: &Servers, at: &Address, groups: usize) -> Result<(), BenchError> {
    let began = Instant::now();
    let waited = LEADERS_WAIT_SECONDS;
    loop {
        let leaderless = servers.leaderless(at)?;
        if leaderless == 0 {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(waited) {
            return Err(BenchError::Leaderless { leaderless, groups, waited, at: at.clone() });
        }
        std::thread::sleep(POLL);
    }
}
