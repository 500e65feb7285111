//! The only encoder and decoder: frames between nodes, log records, control records.
//!
//! It knows bytes and nothing else: not who sends a frame, nor where a record is kept, nor what a
//! command means. All values are drawn byte by byte in `docs/format.md`.
//!
//! - `envelope`, `item`: what is encoded, as values.
//! - `frame`, `message`, `notice`: what nodes send each other.
//! - `record`, `stored_item`: the log's records and their items.
//! - `checkpoint`: the log's checkpoint pages.
//! - `journal`: the records of the newest commits, before they are rows of the log.
//! - `run`: a run of entries, the same bytes in frames and records.
//! - `control`: configurations, and what else is rare and small.
//! - `reader`: fixed little-endian fields off shared bytes.
//!
//! Invariants: a decoder never panics and allocates no more than a small multiple of the bytes it
//! was given, whatever they are; what it accepts it consumed to the last byte; entries are shared
//! and never copied on decode, copied once on encode, and never looked at one by one on encode.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod checkpoint;
mod control;
mod envelope;
mod frame;
mod item;
mod journal;
mod message;
mod notice;
mod reader;
mod record;
mod run;
mod stored_item;
#[cfg(test)]
mod strategies;

pub use checkpoint::{
    Checkpoint, CheckpointState, PAGE_HEADER_BYTES, PAGE_VERSION, PageFault, PageWriter,
    checkpoint_len, read_page,
};
pub use control::{
    CONTROL_BYTES_MAX, CONTROL_VERSION, ControlError, configuration_len, decode_configuration,
    encode_configuration,
};
pub use envelope::Envelope;
pub use frame::{
    FRAME_HEADER_BYTES, FRAME_VERSION, FrameError, FrameFault, FrameLimits, decode_frame,
    encode_frame, messages_within,
};
pub use item::{GroupItem, Item, Restored, WriteBatch};
pub use journal::{
    BLOCK_UNIT_BYTES, Block, JOURNAL_VERSION, JournalHeaderError, block_len, decode_block,
    decode_journal_header, encode_block, encode_journal_header,
};
pub use notice::{
    Notice, NoticeError, ROOM_VERSION, RoomNotice, STORES_MAX, STORES_VERSION, StoresNotice,
    decode_notice, encode_notice, is_notice,
};
pub use reader::Truncated;
pub use record::{
    RECORD_HEADER_BYTES, RECORD_VERSION, RecordError, RecordFault, RecordReader, RecordWriter,
    Sequence, read_item,
};
pub use run::RunError;
pub use stored_item::{item_len, split_item};
