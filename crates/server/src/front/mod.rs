//! What a node says to its clients.
//!
//! ```text
//! listener -> connection -> batch -> replication (writes, permits to read) -> keyspaces (reads)
//!                                 \-> talk, clients, cluster, commands, info (answered at once)
//! ```
//!
//! - [`listener`], `connection`: one task per client, bytes in and out.
//! - `batch`: the commands of one pipeline, as much of them at once as their keys allow. `wave`: how
//!   those that may be done at once are done.
//! - `stats`: what INFO tells of commands; `refusal`: what clients are told whose writes were not
//!   acknowledged.
//! - `plan`: which commands of a pipeline have to wait for which. `few`: a map for one key, mostly.
//! - [`replication`]: what the engine does for us, as a boundary that tests can stand behind.
//! - [`service`]: what all connections of a node share; [`topology`]: who is who in the cluster.
//! - [`survey`]: commands that look at several groups; [`operate`]: those for operators. `sweep`:
//!   clearing away what has expired.
//! - `transaction`: what a connection queues and watches.
//! - [`talk`], [`clients`], [`cluster`], [`commands`], [`info`]: commands that are answered at once.

#[cfg(test)]
mod allocation_tests;
mod batch;
pub mod clients;
pub mod cluster;
pub mod commands;
mod connection;
#[cfg(test)]
pub(crate) mod fake;
mod few;
pub mod info;
pub(crate) mod join;
pub mod listener;
pub mod operate;
mod plan;
mod refusal;
pub mod replication;
pub mod service;
mod stats;
#[cfg(test)]
mod stats_tests;
pub mod survey;
pub(crate) mod sweep;
pub mod talk;
#[cfg(test)]
mod talk_tests;
pub mod topology;
pub(crate) mod transaction;
#[cfg(test)]
mod transaction_tests;
mod wave;

pub use clients::{Client, Clients};
pub use listener::Listener;
pub use replication::{LeaderView, ReadError, Replication, WriteError};
pub use service::{Ask, ClientLimits, Service, Session};
pub use topology::{Member, Topology};
