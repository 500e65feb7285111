//! The replicated data: what a log entry holds, and what applying it does.
//!
//! Everything that changes data is a function of the log alone: the leader stamps its clock into
//! the entry, the group's time never falls, and nothing here looks at a clock, a random number or
//! the order of a hash map.
//!
//! - [`entry`]: the layout of a log entry's payload.
//! - [`mod@write`] and [`read`]: commands that change something and commands that only look, parsed.
//! - [`keys`], [`strings`] with [`set`], [`bits`], [`hashes`] with [`hash_walk`]: the commands by what
//!   they are about, parsed and done. [`time`]: times as clients give them. [`dice`]: chance.
//! - [`keyspace`]: the keys of one group, and their expiry. [`value`]: what a key holds.
//! - [`chain`]: keys that share one place, by their hash in `sip`. [`watched`]: whether keys are still what they were.
//! - [`extended`]: floating-point numbers as Redis counts in them, `big`: the long numbers behind.
//! - [`scan`] and [`glob`]: walking keys in pieces, and patterns to choose them by.
//! - [`machine`]: where the log meets the keys.
//! - [`error`]: what clients are told, in Redis's words.

mod big;
pub mod bits;
pub mod chain;
pub mod dice;
pub mod entry;
pub mod error;
pub mod extended;
mod fields;
pub mod glob;
pub mod hash_walk;
pub mod hashes;
pub mod keys;
pub mod keyspace;
pub mod machine;
pub mod read;
pub mod scan;
pub mod set;
mod sip;
pub mod strings;
pub mod time;
pub mod value;
pub mod watched;
pub mod write;

pub use error::CommandError;
pub use keyspace::{Keyspace, UnixMillis};
pub use machine::{Applier, Keyspaces};
pub use read::Read;
pub use write::Write;
