//! The only encoder and decoder: frames between nodes, log records, control records.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
mod envelope;
mod item;
pub use envelope::Envelope;
pub use item::{GroupItem, Item, Restored, WriteBatch};
