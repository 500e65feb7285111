//! The server: a sharded, strongly consistent key-value store for Redis Cluster clients.
//!
//! - [`resp`]: the Redis serialization protocol.
//! - [`data`]: what a log entry holds, and what applying it does.

pub mod data;
pub mod resp;
