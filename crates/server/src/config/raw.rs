//! The file as it may be written, with every default.
//!
//! `node.example.toml` beside the crate's manifest shows all fields; a test holds it to this.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::Problem;
use crate::resp::RequestLimits;

/// A node's configuration file.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// The cluster's name, 1 to 64 letters, digits, `-`, `_` and `.`; the same on all nodes.
    pub cluster_id: String,
    /// This node's number, 1 or more; never given to another folder.
    pub node_id: u64,
    /// Where the node keeps its log; made if it is not there.
    pub data_dir: PathBuf,
    /// Where clients are taken in, `host:port`.
    pub redis_addr: String,
    /// Where other nodes are taken in, `host:port`.
    pub peer_addr: String,
    /// Where clients are told to go for this node, `host:port`; default: what `[[nodes]]` says, or
    /// `redis_addr` if there are no others.
    pub announce_addr: Option<String>,
    /// How many groups share the slots, 1 to 16384; the same on all nodes, and for ever. Default
    /// 16. Too few: load cannot be spread. Too many: every group costs memory and elections.
    #[serde(default = "groups")]
    pub groups: u32,
    /// How a write to the log becomes durable, `"one-phase"` or `"two-phase"`. Default
    /// `"one-phase"`: damage to nothing but the very last write before a crash goes unnoticed, and
    /// that write with it. `"two-phase"`: every write takes about 1.7 times as long.
    #[serde(default)]
    pub commit: RawCommit,
    /// All nodes, this one included; the same on all nodes. May be left out for one node alone.
    #[serde(default)]
    pub nodes: Vec<RawNode>,
    /// How long things take.
    #[serde(default)]
    pub timing: RawTiming,
    /// What may be used.
    #[serde(default)]
    pub limits: RawLimits,
}

const fn groups() -> u32 {
    16
}

/// How a write to the log becomes durable.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawCommit {
    /// Everything at once.
    #[default]
    OnePhase,
    /// What is written, then the mark that it counts.
    TwoPhase,
}

/// One node of the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawNode {
    /// Its number.
    pub id: u64,
    /// Where other nodes reach it, `host:port`.
    pub peer_addr: String,
    /// Where clients reach it, `host:port`.
    pub redis_addr: String,
}

/// How long things take. All nodes should agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTiming {
    /// How long a tick is, milliseconds, 1 to 10000. Default 50. Too small: a busy node loses its
    /// leaders. Too large: it takes long until a dead leader is replaced.
    pub tick_ms: u64,
    /// How often a leader says that it lives, in ticks, 1 or more. Default 2.
    pub heartbeat_ticks: u64,
    /// The shortest time without a leader after which another is elected, in ticks, twice
    /// `heartbeat_ticks` or more. Default 10. Too small: elections while the leader lives; below
    /// three times `heartbeat_ticks` and two, answers to heartbeats cost frames of their own. Too
    /// large: long gaps when it dies.
    pub election_ticks_min: u64,
    /// The longest such time, in ticks, `election_ticks_min` or more. Default 20. Too close to the
    /// minimum: split votes.
    pub election_ticks_max: u64,
    /// How long a command waits for its group to get a leader, milliseconds, 0 to 60000. Default
    /// 2000. Too small: clients see elections. Too large: they give up waiting before we do.
    pub leader_wait_ms: u64,
    /// How long a write to the log may take before the node leaves leading to others until it has
    /// come back, milliseconds, 10 to 600000. Default 1000, twice the shortest election timeout.
    /// Too small: a disk that is only busy costs elections. Too large: clients of the groups that
    /// the node leads wait as long.
    pub disk_stall_ms: u64,
}

impl Default for RawTiming {
    fn default() -> Self {
        Self {
            tick_ms: 50,
            heartbeat_ticks: 2,
            election_ticks_min: 10,
            election_ticks_max: 20,
            leader_wait_ms: 2_000,
            disk_stall_ms: 1_000,
        }
    }
}

/// What may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Bytes of one key or value, 1024 or more. Default 524288. Too large: one value delays all
    /// others behind it.
    pub value_bytes_max: usize,
    /// Bytes of one log entry, more than `value_bytes_max`. Default 1048576.
    pub entry_bytes_max: usize,
    /// Bytes of one message between nodes, more than `entry_bytes_max`. Default 2097152.
    pub message_bytes_max: usize,
    /// Bytes of one frame between nodes, more than `message_bytes_max`. Default 4194304. All nodes
    /// must agree.
    pub frame_bytes_max: usize,
    /// Bytes that wait for one other node, more than `frame_bytes_max`. Default 67108864. Too
    /// small: frames are dropped in bursts. Too large: a node that stalls costs memory.
    pub peer_queue_bytes_max: usize,
    /// Bytes of the node's log, 1048576 or more. Default 8589934592. Writes are refused beyond it.
    pub log_bytes_max: u64,
    /// Bytes of memory for the log's pages, 1048576 or more. Default 67108864.
    pub log_cache_bytes: usize,
    /// Bytes free on the disk below which no writes are taken in, and bytes of the file that is given
    /// up for what makes room again; 0 for neither, else 4194304 to 1099511627776. Default 67108864.
    /// Too small: what is under way may find no room, and the node stands still until somebody makes
    /// some. 0: a full disk ends the node.
    pub disk_reserve_bytes: u64,
    /// Bytes of one whole command, more than `value_bytes_max`. Default 1048576.
    pub request_bytes_max: usize,
    /// Arguments of one command, 3 to 1048576. Default 65536.
    pub request_args_max: usize,
    /// Bytes of one reply, more than `value_bytes_max`. Default 67108864. A larger one becomes an
    /// error.
    pub reply_bytes_max: usize,
    /// Connections of clients, 1 or more. Default 10000.
    pub clients_max: usize,
    /// Bytes of memory that all clients together may hold, at least four times `reply_bytes_max` and
    /// `request_bytes_max` together. Default 536870912. Who holds most is disconnected then.
    pub clients_bytes_max: usize,
    /// Commands of one connection that are worked on at a time, 1 or more. Default 1024.
    pub pipeline_commands_max: usize,
    /// Commands between MULTI and EXEC, 1 or more. Default 1024. Together with the watched keys they
    /// must fit into `entry_bytes_max` besides. Too large: a client that queues and waits costs
    /// memory, and a group stands still while a long transaction is applied.
    pub transaction_commands_max: usize,
    /// Keys that one connection watches, 1 or more. Default 1024.
    pub watched_keys_max: usize,
    /// How long a client may take none of its replies before it is disconnected, milliseconds, 1 or
    /// more. Default 30000.
    pub client_write_timeout_ms: u64,
    /// How long a client may be silent before it is asked whether it is still there, seconds, 0 to
    /// 32767. Default 300. 0: never.
    pub client_keepalive_s: u64,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            value_bytes_max: 512 << 10,
            entry_bytes_max: 1 << 20,
            message_bytes_max: 2 << 20,
            frame_bytes_max: 4 << 20,
            peer_queue_bytes_max: 64 << 20,
            log_bytes_max: 8 << 30,
            log_cache_bytes: 64 << 20,
            disk_reserve_bytes: 64 << 20,
            request_bytes_max: 1 << 20,
            request_args_max: 65_536,
            reply_bytes_max: 64 << 20,
            clients_max: 10_000,
            clients_bytes_max: 512 << 20,
            pipeline_commands_max: 1_024,
            transaction_commands_max: 1_024,
            watched_keys_max: 1_024,
            client_write_timeout_ms: 30_000,
            client_keepalive_s: 300,
        }
    }
}

impl RawTiming {
    /// Whether each is in its range; whether they fit together, raft-core says.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let range = |name: &str, value: u64, least: u64, most: u64| {
            let allowed = format!("{least} to {most}");
            let in_range = (least..=most).contains(&value);
            in_range.then_some(()).ok_or_else(|| timing(name, value, allowed))
        };
        range("tick_ms", self.tick_ms, 1, 10_000)?;
        range("leader_wait_ms", self.leader_wait_ms, 0, 60_000)?;
        range("disk_stall_ms", self.disk_stall_ms, 10, 600_000)?;
        range("heartbeat_ticks", self.heartbeat_ticks, 1, 1_000)?;
        if self.election_ticks_min < 2 * self.heartbeat_ticks {
            let allowed = format!("{} or more: twice heartbeat_ticks", 2 * self.heartbeat_ticks);
            return Err(timing("election_ticks_min", self.election_ticks_min, allowed));
        }
        range("election_ticks_max", self.election_ticks_max, self.election_ticks_min, 100_000)
    }
}

fn timing(name: &str, value: u64, allowed: String) -> Problem {
    Problem::field(format!("timing.{name}"), value, allowed)
}

impl RawLimits {
    /// Whether they fit together: a value fits into an entry, an entry into a message, a message
    /// into a frame, and a frame into the queue.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let at_least = |name: &str, value: u64, least: u64, why: &str| {
            let allowed = || format!("{least} or more{why}");
            let field = || format!("limits.{name}");
            if value >= least { Ok(()) } else { Err(Problem::field(field(), value, allowed())) }
        };
        let size =
            |name: &str, value: usize, least: usize| at_least(name, value as u64, least as u64, "");
        let above = |name: &str, value: usize, inner: (&str, usize)| {
            // What surrounds the smaller one on the way.
            let least = inner.1 as u64 + SURROUNDINGS_BYTES;
            let why = format!(": it must hold {} and what surrounds it", inner.0);
            at_least(name, value as u64, least, &why)
        };
        let value = ("value_bytes_max", self.value_bytes_max);
        let entry = ("entry_bytes_max", self.entry_bytes_max);
        let message = ("message_bytes_max", self.message_bytes_max);
        let frame = ("frame_bytes_max", self.frame_bytes_max);
        size("value_bytes_max", self.value_bytes_max, 1_024)?;
        above("entry_bytes_max", self.entry_bytes_max, value)?;
        above("message_bytes_max", self.message_bytes_max, entry)?;
        above("frame_bytes_max", self.frame_bytes_max, message)?;
        above("peer_queue_bytes_max", self.peer_queue_bytes_max, frame)?;
        above("request_bytes_max", self.request_bytes_max, value)?;
        above("reply_bytes_max", self.reply_bytes_max, value)?;
        at_least("log_bytes_max", self.log_bytes_max, 1 << 20, "")?;
        size("log_cache_bytes", self.log_cache_bytes, 1 << 20)?;
        size("request_args_max", self.request_args_max, 3)?;
        size("clients_max", self.clients_max, 1)?;
        size("pipeline_commands_max", self.pipeline_commands_max, 1)?;
        size("transaction_commands_max", self.transaction_commands_max, 1)?;
        size("watched_keys_max", self.watched_keys_max, 1)?;
        at_least("client_write_timeout_ms", self.client_write_timeout_ms, 1, "")?;
        // A client alone with all it may have at a time: replies, one more that exceeds their measure,
        // and the buffer that they are sent from.
        let one_client = self.reply_bytes_max.saturating_add(self.request_bytes_max);
        let why = ": four times reply_bytes_max and request_bytes_max together";
        let least = (one_client as u64).saturating_mul(4);
        at_least("clients_bytes_max", self.clients_bytes_max as u64, least, why)?;
        if self.client_keepalive_s > KEEPALIVE_S_MAX {
            let found = self.client_keepalive_s;
            let allowed = format!("0 to {KEEPALIVE_S_MAX}");
            return Err(Problem::field("limits.client_keepalive_s", found, allowed));
        }
        if self.frame_bytes_max > 1 << 30 {
            let found = self.frame_bytes_max;
            return Err(Problem::field("limits.frame_bytes_max", found, "1073741824 or less"));
        }
        if self.disk_reserve_bytes != 0 && !RESERVE_BYTES.contains(&self.disk_reserve_bytes) {
            let (least, most) = (RESERVE_BYTES.start(), RESERVE_BYTES.end());
            let allowed = format!("0, or {least} to {most}");
            let found = self.disk_reserve_bytes;
            return Err(Problem::field("limits.disk_reserve_bytes", found, allowed));
        }
        if self.request_args_max > 1 << 20 {
            let found = self.request_args_max;
            return Err(Problem::field("limits.request_args_max", found, "1048576 or less"));
        }
        Ok(())
    }

    /// What one request may be.
    pub(crate) const fn request(&self) -> RequestLimits {
        RequestLimits {
            args_max: self.request_args_max,
            arg_bytes_max: self.value_bytes_max,
            line_bytes_max: 64 << 10,
            request_bytes_max: self.request_bytes_max,
        }
    }
}

/// What may surround a value in an entry, an entry in a message and so on: keys, headers and
/// lengths. Generous, since it decides only what is refused at start.
const SURROUNDINGS_BYTES: u64 = 1024;

/// The longest silence that Linux takes.
const KEEPALIVE_S_MAX: u64 = 32_767;

/// What a reserve may be, in bytes.
const RESERVE_BYTES: RangeInclusive<u64> = 4 << 20..=1 << 40;
