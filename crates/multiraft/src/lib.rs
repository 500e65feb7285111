//! Many Raft groups on one node: schedules them, batches their writes, merges their frames.
//!
//! ```text
//! tick, step, handle_*, propose, read_index      +-----------+
//! add_group, restore_group, set_peer_store ----> |           | ----> MultiRaftReady: one write and
//! persisted, advance_applied, entries_fetched -> | MultiRaft |       one frame per node for all
//! set_fitness ---------------------------------> |           |       groups, committed runs, reads,
//! group_statuses, leader_for_vshard, ..  <------ +-----------+       fetches, roles
//! ```
//!
//! [`MultiRaft`] is the sole owner of its groups' replicas. It holds no lock, starts no thread, reads
//! no clock, and knows neither keys nor files; whoever owns it persists, sends and applies. A group
//! without anything to do costs nothing: a ready visits groups that had an input, a tick visits those
//! whose deadline is due.
//!
//! [`NodeLoop`] is the turn around it: takes inputs, steps, collects, and knows when whoever waits is
//! answered. The engine's threads and the simulator drive the very same one.
//!
//! **Where to read.** `multiraft.rs` mounts groups, moves time and gathers; `doors.rs` takes messages,
//! `propose.rs` commands, `transfer.rs` handovers, `questions.rs` answers. Below them: `groups.rs`
//! (who has something to do), `calendar.rs` (when), `outbox.rs` (frames and beats), `batches.rs`
//! (writes under way), `spec.rs` (entry 1), `fitness.rs` (whether to lead), `room.rs` and `stuck.rs`
//! (full disks). `node_loop.rs`, `turn.rs`, `waiting.rs` and `foundings.rs` (when a group is founded)
//! are the turn; `write_queue.rs` is what its owner keeps between it and a disk.
//!
//! **One turn.** [`MultiRaft::tick`] first if time moved, then the other inputs, then
//! [`MultiRaft::ready`]. Inputs that come before the tick are taken as of the tick before.
//!
//! ```
//! use multiraft::{MultiRaft, NodeSettings};
//! use routing::RoutingTable;
//! use types::{GroupId, NodeId, StoreId, Tick, VShardId};
//!
//! // One node, one group of 64 vshards, no disk and no network.
//! let node = NodeId(1);
//! let table = RoutingTable::uniform(64, 1, &[node], 1)?;
//! let mut multi = MultiRaft::new(node, StoreId(7), table, NodeSettings::default());
//! multi.add_group(GroupId(1), &[])?;
//! let mut turn = |multi: &mut MultiRaft| {
//!     let ready = multi.ready();
//!     if let Some((ticket, _batch)) = ready.write {
//!         multi.persisted(ticket).expect("batches are reported in order");
//!     }
//!     for (group, runs) in ready.committed {
//!         let last = runs.last().expect("never empty").last();
//!         multi.advance_applied(group, last).expect("it is mounted");
//!     }
//! };
//! turn(&mut multi);
//! multi.tick(Tick(1));
//! turn(&mut multi);
//! let (group, index) = multi.propose(VShardId(5), b"hello")?;
//! turn(&mut multi);
//! assert_eq!(multi.commit_index_for(group), Some(index));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Left out so far**: membership changes, snapshots, removing groups, hibernation; names that
//! belong to them are absent.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod batches;
mod calendar;
mod counters;
mod doors;
mod error;
mod fitness;
mod foundings;
mod groups;
mod holdings;
mod multiraft;
mod node_loop;
mod outbox;
mod propose;
mod questions;
mod ready;
mod room;
mod settings;
mod spec;
mod stuck;
mod transfer;
mod turn;
mod waiting;
mod write_queue;

pub use counters::Counters;
pub use error::{
    AddGroupError, LookupError, ProposeError, ReadError, StepError, StoreConflict, TicketError,
    UnknownGroup,
};
pub use holdings::{NodeHoldings, Waits};
pub use multiraft::MultiRaft;
pub use node_loop::{LoopLimits, NodeLoop};
pub use questions::{Cursors, GroupStatus};
pub use raft_core::{Fitness, HaltReason, Holdings};
pub use ready::{BatchTicket, LeaderView, MultiRaftReady, OutFrame, RoleChange};
pub use room::{DiskRoom, brings_commands};
pub use settings::NodeSettings;
pub use spec::GroupSpec;
pub use transfer::TransferError;
pub use turn::{Answer, ApplyBatch, Input, Proposal, Turn};
pub use write_queue::WriteQueue;
