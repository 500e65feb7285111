//! What a node is told by its operator.
//!
//! The file is parsed, not validated: what comes out of [`Config::load`] fits together, and every
//! error names file, field, value and what is allowed.
//!
//! - [`raw`]: the file as it may be written, with every default.
//! - [`address`]: host and port.
//! - [`error`]: what is wrong with a file; `suggest`: the name that was meant.

pub mod address;
pub mod error;
pub mod raw;
mod suggest;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use routing::{HASH_SLOTS, RoutingTable};
use types::{ClusterId, NodeId};

pub use address::Address;
pub use error::{ConfigError, Problem};
use raw::{RawConfig, RawNode};

use crate::front::{ClientLimits, Member, Topology};

/// How many nodes a cluster may have: each holds a replica of every group, and a group of more
/// than this gains nothing by them.
pub const NODES_MAX: usize = 7;

/// A node's configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who is who: clients' addresses, groups and their slots.
    pub topology: Topology,
    /// Where the node keeps its log.
    pub data_dir: PathBuf,
    /// Where clients are taken in.
    pub redis_addr: Address,
    /// Where other nodes are taken in.
    pub peer_addr: Address,
    /// The other nodes, and where they are reached.
    pub peers: Vec<(NodeId, Address)>,
    /// How a write to the log becomes durable.
    pub commit: raw::RawCommit,
    /// How long things take.
    pub timing: raw::RawTiming,
    /// What may be used.
    pub limits: raw::RawLimits,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names what is wrong; the operator corrects the file.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let wrong = |problem| ConfigError { file: file.to_owned(), problem };
        let text = std::fs::read_to_string(file).map_err(|error| wrong(Problem::Read(error)))?;
        Self::parse(&text).map_err(wrong)
    }

    /// Reads and checks the text of a file.
    ///
    /// # Errors
    /// Names the line that is no TOML, or the first field that is wrong.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Self::new(toml::from_str(text).map_err(|error| Problem::Syntax(Box::new(error)))?)
    }

    /// Checks what stands in a file.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn new(raw: RawConfig) -> Result<Self, Problem> {
        let cluster = ClusterId::new(raw.cluster_id.clone())
            .map_err(|error| Problem::field("cluster_id", &raw.cluster_id, error))?;
        let me = NodeId(at_least_one("node_id", raw.node_id)?);
        if raw.data_dir.as_os_str().is_empty() {
            return Err(Problem::field("data_dir", "", "a folder that the node may write to"));
        }
        let redis_addr = Address::parse("redis_addr", &raw.redis_addr)?;
        let peer_addr = Address::parse("peer_addr", &raw.peer_addr)?;
        let nodes = if raw.nodes.is_empty() { vec![alone(&raw)] } else { raw.nodes.clone() };
        let nodes = parse_nodes(&nodes)?;
        let Some((_, own)) = nodes.get(&me) else {
            let listed: Vec<String> = nodes.keys().map(ToString::to_string).collect();
            let allowed = format!("one of the ids under [[nodes]]: {}", listed.join(", "));
            return Err(Problem::field("node_id", me, allowed));
        };
        if let Some(announce) = &raw.announce_addr {
            let announce = Address::parse("announce_addr", announce)?;
            if announce != *own {
                let allowed = format!(
                    "{own}, the redis_addr of node {me} under [[nodes]]: clients must be told the \
                     same by every node"
                );
                return Err(Problem::field("announce_addr", announce, allowed));
            }
        }
        let table = table(raw.groups, &nodes)?;
        raw.timing.check()?;
        raw.limits.check()?;
        let peers = nodes.iter().filter(|(node, _)| **node != me);
        let peers = peers.map(|(node, (peer, _))| (*node, peer.clone())).collect();
        let members = nodes.into_iter().map(|(node, (peer, redis))| (node, member(&peer, redis)));
        let topology = Topology { cluster, me, members: members.collect(), table };
        let RawConfig { data_dir, commit, timing, limits, .. } = raw;
        Ok(Self { topology, data_dir, redis_addr, peer_addr, peers, commit, timing, limits })
    }

    /// What clients may use.
    pub fn client_limits(&self) -> ClientLimits {
        let (limits, millis) = (&self.limits, Duration::from_millis);
        ClientLimits {
            request: limits.request(),
            clients_max: limits.clients_max,
            pipeline_commands_max: limits.pipeline_commands_max,
            pipeline_bytes_max: limits.request_bytes_max,
            transaction_commands_max: limits.transaction_commands_max,
            transaction_bytes_max: limits.entry_bytes_max,
            watched_keys_max: limits.watched_keys_max,
            reply_bytes_max: limits.reply_bytes_max,
            clients_bytes_max: limits.clients_bytes_max,
            write_timeout: millis(limits.client_write_timeout_ms),
            keepalive: match limits.client_keepalive_s {
                0 => None,
                seconds => Some(Duration::from_secs(seconds)),
            },
            leader_wait: millis(self.timing.leader_wait_ms),
        }
    }
}

/// The node list of a node without others.
fn alone(raw: &RawConfig) -> RawNode {
    let announce = raw.announce_addr.as_ref().unwrap_or(&raw.redis_addr);
    RawNode { id: raw.node_id, peer_addr: raw.peer_addr.clone(), redis_addr: announce.clone() }
}

/// Every node's addresses for peers and for clients.
fn parse_nodes(raw: &[RawNode]) -> Result<BTreeMap<NodeId, (Address, Address)>, Problem> {
    let mut nodes = BTreeMap::new();
    let mut taken: BTreeMap<Address, String> = BTreeMap::new();
    for (at, node) in raw.iter().enumerate() {
        let field = |name| format!("nodes[{at}].{name}");
        let id = NodeId(at_least_one(&field("id"), node.id)?);
        let peer = match raw.len() {
            1 => Address::parse(&field("peer_addr"), &node.peer_addr)?,
            _ => Address::parse_reachable(&field("peer_addr"), &node.peer_addr)?,
        };
        let redis = Address::parse_reachable(&field("redis_addr"), &node.redis_addr)?;
        for (name, address) in [("peer_addr", &peer), ("redis_addr", &redis)] {
            if let Some(other) = taken.insert(address.clone(), field(name)) {
                let allowed = format!("an address of its own, {other} has the same");
                return Err(Problem::field(field(name), address, allowed));
            }
        }
        if nodes.insert(id, (peer, redis)).is_some() {
            return Err(Problem::field(field("id"), id, "an id that no other node has"));
        }
    }
    if nodes.len() > NODES_MAX {
        let allowed = format!(
            "at most {NODES_MAX} nodes: in this version every node holds a replica of every group"
        );
        return Err(Problem::field("nodes", nodes.len(), allowed));
    }
    Ok(nodes)
}

fn table(
    groups: u32,
    nodes: &BTreeMap<NodeId, (Address, Address)>,
) -> Result<RoutingTable, Problem> {
    let ids: Vec<NodeId> = nodes.keys().copied().collect();
    RoutingTable::uniform(HASH_SLOTS, groups, &ids, ids.len())
        .map_err(|_| Problem::field("groups", groups, format!("1 to {HASH_SLOTS}")))
}

fn member(peer: &Address, redis: Address) -> Member {
    Member { host: redis.host, port: redis.port, peer_port: peer.port }
}

fn at_least_one(field: &str, value: u64) -> Result<u64, Problem> {
    if value == 0 { Err(Problem::field(field, 0, "1 or more")) } else { Ok(value) }
}

#[cfg(test)]
mod tests;
