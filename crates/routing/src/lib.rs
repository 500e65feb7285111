//! From a key to the nodes that hold it: key -> vshard -> group -> replicas.
//!
//! ```text
//! key --hash_slot--> slot (= vshard in a table of 16,384) --group_of--> group --replicas_of--> nodes
//! ```
//!
//! A [`RoutingTable`] is a value with an epoch: a newer one replaces an older one, never the
//! reverse, and nothing here is shared or locked. This crate does not know Raft: the first of a
//! group's replicas is who should lead it first, not who does. It reads no clock and draws no
//! random number, so that every node computes the same table from the same configuration.
//!
//! - [`RoutingTable`]: the table, its lookups, its epoch and its digest (`table`).
//! - [`RoutingTable::uniform`]: the table of a cluster whose nodes are all alike (`uniform`).
//! - [`RoutingError`]: why something is no table (`error`).
//! - [`hash_slot`]: the slot of a key, as Redis Cluster defines it (`slot`).
//!
//! Left out: weights, racks, and moving vshards between groups.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
mod slot;
mod table;
mod uniform;

pub use error::RoutingError;
pub use slot::{HASH_SLOTS, hash_slot};
pub use table::{Placement, REPLICAS_MAX, RoutingTable, VSHARDS_MAX};
