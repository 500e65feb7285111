//! The replicated data: what a log entry holds, and what applying it does.
//!
//! Everything that changes data is a function of the log alone: the leader stamps its clock into
//! the entry, the group's time never falls, and nothing here looks at a clock, a random number or
//! the order of a hash map.
//!
//! - [`entry`]: the layout of a log entry's payload.
//! - [`mod@write`] and [`set`]: commands that change something, parsed.
//! - [`read`]: commands that only look.
//! - [`keyspace`]: the keys of one group, their expiry, and what commands do to them.
//! - [`chain`]: keys that share one place.
//! - [`scan`] and [`glob`]: walking keys in pieces, and patterns to choose them by.
//! - [`machine`]: where the log meets the keys.
//! - [`error`]: what clients are told, in Redis's words.

pub mod chain;
pub mod entry;
pub mod error;
pub mod glob;
pub mod keyspace;
pub mod machine;
pub mod read;
pub mod scan;
pub mod set;
pub mod write;

pub use error::CommandError;
pub use keyspace::{Keyspace, UnixMillis};
pub use machine::{Applier, Keyspaces};
pub use read::Read;
pub use write::Write;
