//! The server: a sharded, strongly consistent key-value store for Redis Cluster clients.
//!
//! ```text
//! client -> front (connections) -> engine (one Raft group per range of slots) -> data (keys)
//! ```
//!
//! - [`resp`]: the Redis serialization protocol.
//! - [`command`]: the table of commands.
//! - [`data`]: what a log entry holds, and what applying it does.
//! - [`front`]: what a node says to its clients.
//! - [`config`]: what a node is told by its operator.
//! - [`node`]: one node, running.
//! - [`report`]: how a node and its groups are; `cpu`: what the process has used.
//! - [`log`]: what is logged.
//! - [`cli`]: what a human types.
//!
//! Invariant: every write is a Raft entry, acknowledged after it is durable on a majority and
//! applied; every read is linearizable. This crate does not know how that is done.

pub mod cli;
pub mod command;
pub mod config;
mod cpu;
pub mod data;
pub mod front;
pub mod log;
pub mod node;
pub mod report;
pub mod resp;

/// The version of Redis whose behaviour we follow. Clients choose by it what they send.
pub const REDIS_VERSION: &str = "7.0.15";
