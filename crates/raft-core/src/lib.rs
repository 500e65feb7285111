//! One Raft group, one replica: decides, and does nothing else.
//!
//! Same inputs, same outputs, on every machine. This crate does not know that other groups exist,
//! nor what a byte on disk, a socket or a clock is; time and chance are inputs. It follows the paper
//! (Ongaro and Ousterhout, extended version) and the dissertation (Ongaro 2014), which the functions
//! cite by section.
//!
//! ```text
//! tick, step, propose, read_index, campaign,          +----------+
//! transfer_leader, set_fitness, report_unreachable -> |          | ----> Ready: a write, messages,
//! persisted, applied, entries_fetched        -------> | RaftNode |       committed runs, reads,
//!                                                     |          |       fetches, the role
//! status, is_quiet, deadline                 <------- +----------+
//! ```
//!
//! **Durability rule.** Whatever promises durability or speaks for a term that is not durable yet
//! stays inside until [`RaftNode::persisted`] reports the write that carries it; whatever stands in
//! [`Ready::messages`] may be sent at once. A caller cannot send too early.
//!
//! **Where to read.** [`RaftNode`] (`raft.rs`) takes the inputs and is the only place that changes a
//! role; `follower.rs`, `candidate.rs` and `leader.rs` hold what belongs to a role and *return* the
//! change they want; `common.rs` holds what all roles share. Below them are small parts that know
//! nothing of roles: the log (`log.rs`, `terms.rs`, `configurations.rs`), writes under way
//! (`writes.rs`), progress of other replicas (`progress.rs`), read rounds (`reads.rs`), and quorum
//! arithmetic ([`quorum`]). [`EntryRun`] is the unit of the log, laid out once (`entry.rs`).
//!
//! **Left out so far**: proposing configuration changes, snapshots, leases.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod candidate;
mod collect;
mod common;
mod configuration;
mod configurations;
mod entry;
mod error;
mod fitness;
mod follower;
mod frozen;
mod holdings;
mod leader;
mod log;
mod message;
mod progress;
pub mod quorum;
mod raft;
mod random;
mod reads;
mod ready;
mod restore;
mod settings;
mod status;
mod terms;
mod transfer;
mod writes;

pub use configuration::{Configuration, ConfigurationError, Replica};
pub use entry::{
    Command, CommandIter, Commands, CommandsBuilder, ENTRY_HEADER_BYTES_MAX,
    ENTRY_HEADER_BYTES_MIN, EntryHeader, EntryRun, KIND_COMMAND, LayoutError, RunBody,
};
pub use error::{HaltReason, NotLeader, ProposeError, RestoreError, StepError};
pub use fitness::Fitness;
pub use frozen::Frozen;
pub use holdings::Holdings;
pub use message::{Message, MessageBody, ReadRound};
pub use progress::ProgressState;
pub use raft::RaftNode;
pub use ready::{
    Fetch, FetchError, FetchFor, HardState, ReadAnswer, ReadId, Ready, Role, RoleChange, Ticket,
    Write,
};
pub use restore::RestoredReplica;
pub use settings::{Limits, RawTiming, Settings, Timing, TimingError};
pub use status::{PeerStatus, Status};
pub use transfer::TransferError;
