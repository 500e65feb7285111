//! The words that every crate shares: identities, terms, indexes and ticks.
//!
//! This crate decides nothing. It holds newtypes, so that a group id is never taken for a node id,
//! and the few combinations that are too common to repeat (`LogId`). It imports nothing of ours.
//!
//! - `ids`: who is who (nodes, stores, groups, replicas, vshards).
//! - `log`: where something is in a log (term, index, both).
//! - `time`: the node's own count of time.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

/// Declares a public newtype over an unsigned integer with the derives and formatting all share.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

mod ids;
mod log;
mod time;

pub use ids::{
    BootId, ClusterId, ClusterIdError, Epoch, Generation, GroupId, NodeId, ReplicaId, StoreId,
    VShardId,
};
pub use log::{LogId, LogIndex, Term};
pub use time::Tick;
