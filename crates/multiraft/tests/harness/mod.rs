//! What the tests share. Nothing here uses the crate under test to decide what is right.
#![allow(dead_code, unused_imports)] // Each test binary uses a part of it.

pub(crate) mod cluster;
pub(crate) mod disk;
pub(crate) mod entries;
pub(crate) mod loops;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod random;

pub(crate) use cluster::{Cluster, table};
pub(crate) use disk::{Stored, StoredGroup};
pub(crate) use entries::{accepted, alive, append, heartbeat, id, run, vote, voted};
pub(crate) use node::{Delivered, Node, nodes, store_of};
pub(crate) use random::Random;
