//! Running nodes, through the Redis protocol: of a multiraft or Redis cluster, or a Redis alone.
//!
//! - [`cluster`]: who serves which slot. [`client`]: one client. [`replies`]: what it is told.
//! - [`servers`]: what the servers say of themselves.

mod client;
mod cluster;
mod replies;
#[cfg(test)]
mod scripted;
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
        wait_for_leaders(&servers, at, groups, LEADERS_WAIT_SECONDS)?;
    }
    let cluster = Arc::new(Cluster::learn(at)?);
    let keys = Arc::new(Keys::new(load.keys));
    let client = |_| Client::new(Arc::clone(&cluster), Arc::clone(&keys), load.payload_bytes);
    let links = (0..load.clients).map(client).collect();
    let measured = measure(links, &keys, load, || servers.edge())?;
    let used = measured.before.until(&measured.after);
    Ok(BenchReport::new(servers.subject, load, measured.time, &measured.tally, used))
}

/// Waits until all groups have leaders; `waited` is in seconds.
///
/// # Errors
/// Some group has none for longer.
fn wait_for_leaders(
    servers: &Servers,
    at: &Address,
    groups: usize,
    waited: u64,
) -> Result<(), BenchError> {
    let began = Instant::now();
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

#[cfg(test)]
mod tests {
    use super::scripted::{bulk, node};
    use super::*;
    use crate::report::{Counts, Report, SCHEMA};

    /// How a node of four groups is, so many of which have a leader.
    fn status(with_leader: usize) -> String {
        let report = Report {
            schema: SCHEMA,
            cluster: "bench".to_owned(),
            node: 1,
            nodes: Vec::new(),
            counts: Counts { total: 4, with_leader, ..Counts::default() },
            offset: 0,
            groups: Vec::new(),
        };
        bulk(&serde_json::to_string(&report).unwrap())
    }

    /// A node that is looked at so often, and is gone afterwards.
    fn servers(with_leader: &[usize]) -> (Servers, Address) {
        let mut answers = vec![bulk("multiraft_version:0.1.0\r\n"), status(0)];
        answers.extend(with_leader.iter().map(|count| status(*count)));
        let at = node(answers);
        (Servers::ask(&at, &Cluster::new(Vec::new())).unwrap(), at)
    }

    #[test]
    fn the_load_waits_until_all_groups_have_leaders() {
        let (servers, at) = servers(&[0, 3, 4]);
        wait_for_leaders(&servers, &at, 4, 3600).unwrap();
        // It looked until all had one: the node has nothing more to say.
        servers.leaderless(&at).unwrap_err();
    }

    #[test]
    fn groups_without_leaders_are_waited_for_only_so_long() {
        let (servers, at) = servers(&[3]);
        let error = wait_for_leaders(&servers, &at, 4, 0).unwrap_err().to_string();
        assert!(error.starts_with("1 of 4 groups have no leader within 0 s"), "{error}");
    }
}
