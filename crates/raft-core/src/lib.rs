//! One Raft group, one replica: decides, and does nothing else.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
mod configuration;
mod entry;
mod message;
mod ready;
mod restore;
pub use configuration::{Configuration, ConfigurationError, Replica};
pub use entry::{
    Command, CommandIter, Commands, CommandsBuilder, ENTRY_HEADER_BYTES_MAX,
    ENTRY_HEADER_BYTES_MIN, EntryHeader, EntryRun, KIND_COMMAND, LayoutError, RunBody,
};
pub use message::{Message, MessageBody, ReadRound};
pub use ready::*;
pub use restore::RestoredReplica;
