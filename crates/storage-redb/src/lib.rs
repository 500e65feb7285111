//! The durable log of a node: all its Raft groups in one file, most of which is redb's.
//!
//! It makes batches of changes durable, one commit each whatever the number of groups, and
//! gives them back: all groups when it is opened, entries when they are asked for. It does not know
//! why a change is made, what an entry means, or that other nodes exist; time is nothing to it.
//!
//! ```text
//! commit(batches) -> check on copies -> pack into records -> ONE block of the journal -> ledger
//!                                        or, with all that is pending, ONE redb commit -> ledger
//! open            -> checkpoints -> records in order, the journal's last -> ledger -> Restored
//! fetch(requests) -> ledger: where? -> pending, or rows -> entries
//! ```
//!
//! The file is a journal, and behind it redb's with four tables (`docs/format.md`): `records`,
//! rising sequence number to a value with changes of many groups; `checkpoints`, pages with what
//! groups are but for their entries; `meta` and `peers`. A record is written once and deleted
//! whole: once nothing in it is live and every group with a change in it has a checkpoint that
//! contains the change. A small one is in the journal before it is a row: *pending*, until many
//! become rows together.
//!
//! # What goes wrong, and who hears of it
//!
//! - *The power or the process goes.* Nobody hears of it: all that was acknowledged is there, and
//!   of what was under way all or nothing.
//! - *A write, sync or read fails*, or the disk cannot say how much room it has. The caller hears
//!   it at once ([`StoreError::Disk`], [`ReadError::Poisoned`]), and so does every later call,
//!   whatever the disk says then.
//! - *There is no room* for a commit ([`StoreError::DiskFull`]) or an opening
//!   ([`OpenError::DiskFull`]). Known before anything is written; the store goes on.
//! - *A page in use is damaged.* Found by the next opening ([`OpenError::Damaged`]), which leaves
//!   the file as it is; or before, when a record is read ([`ReadError::Damaged`] for that group and
//!   index), while all others go on.
//! - *The very last commit before an unclean stop is damaged*, and nothing else. Found by the next
//!   opening with [`CommitPhases::Two`]. Never with [`CommitPhases::One`]: it cannot be told from a
//!   commit that was never finished, and is taken back as one.
//! - *The folder is not ours*, or not open to us: an [`OpenError`] of its own, with names and
//!   advice.
//!
//! Every opening is a recovery that reads and checks all of the file, after syncing it and dropping
//! what the system has in memory of it: after a failed sync that is not what the disk holds. An end
//! in good order writes a commit that changes nothing, so that what is the very last commit then
//! has nothing in it that could be lost.
//!
//! A full disk is a pause. Below [`RawStoreOptions::disk_reserve_bytes`] of room it is low
//! ([`Store::disk_space`]), and the owner makes no new work; commits still go through, and the
//! reserve, a file that holds nothing but room, is given up for them; what has entries leaves half
//! of it to what has none. Once enough was released it goes on: the log's file gives nothing back
//! to the disk, but is written again.
//!
//! # Parts
//!
//! - `store`: [`Store`], the writer. `staging`, `outline`, `shape`: the rules that changes obey.
//! - `packer`: changes into records. `moving`: live entries out of mostly dead ones.
//! - `ledger`: what is durable, in memory. `runs`, `records`: where entries lie, and which records
//!   are still needed. `pages`: which checkpoint pages are.
//! - `reader`: [`Reader`]. `shared`, `cache`: what it has in common with the store.
//! - `open`, `folder`, `database`, `meta`, `replay`: opening. `options`, `error`: limits and mistakes.
//! - `journal`: where small commits are durable before they are rows.
//! - `space`: whether there is room on the disk, and the reserve. `room`: where that is asked.
//!   `need`: how much a commit may take.
//! - `sim_disk` (feature `sim-disk`): a disk in memory that loses power on demand.
//!
//! Left out: snapshots.
#![forbid(unsafe_code)]

mod cache;
mod database;
mod error;
mod folder;
mod journal;
mod ledger;
mod meta;
mod moving;
mod need;
mod open;
mod options;
mod outline;
mod packer;
mod pages;
mod reader;
mod records;
mod replay;
mod room;
mod runs;
mod shape;
mod shared;
#[cfg(any(test, feature = "sim-disk"))]
pub mod sim_disk;
mod space;
mod staging;
mod store;

pub use error::{Misuse, MisuseFault, OpenError, ReadError, StoreError};
pub use folder::LOG_FILE;
pub use options::{CommitPhases, Identity, OptionsError, RawStoreOptions, StoreOptions};
pub use reader::{FetchRequest, Reader};
/// What a [`Disk`] reads and writes with: redb's trait, of the very version that the store uses.
pub use redb::StorageBackend;
pub use room::{Disk, Found, Room};
pub use space::DiskSpace;
pub use store::{Store, StoreCounters};
