//! The server: a sharded, strongly consistent key-value store for Redis Cluster clients.
//!
//! - [`resp`]: the Redis serialization protocol.

pub mod resp;
