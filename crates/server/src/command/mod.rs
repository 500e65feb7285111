//! Which commands there are: a table with one row each.
//!
//! Everything about a command that can be said as data stands in its row: what clients ask for by
//! COMMAND, what is checked before it runs, where its keys are, and which function does it.
//!
//! - [`spec`]: what a row says.
//! - [`table`]: the rows. `arguments`, `syntax`: what they take, for people who type.
//! - [`mod@find`]: from a request to its row, with the checks that are the same for all.

pub(crate) mod arguments;
pub mod find;
pub mod spec;
pub(crate) mod syntax;
pub mod table;

pub use find::{find, find_named, find_row, slot_of};
pub use spec::{Command, Flags, Group, Keys, Survey, Transaction, Work};
pub use table::COMMANDS;
