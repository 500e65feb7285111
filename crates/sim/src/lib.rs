//! A whole cluster on one thread, driven by one seed.
//!
//! The simulator runs the real raft-core, codec, routing and multiraft: each node is a
//! [`multiraft::NodeLoop`], the very turn that the engine's threads drive. Time, network, disks,
//! clients and faults are its own. Messages cross as encoded bytes; writes become durable late; a
//! power cut keeps some prefix of what was not reported durable. On one seed in sixteen the logs are
//! in storage-redb, on a disk that is simulated. The verdict is a function of the commit, the seed
//! and the options.
//!
//! ```text
//! events by virtual time --> node: NodeLoop::turn --> write --> disk --> synced later
//!                                                 --> frames -> network -> delivered later, or not
//!                                                 --> apply --> machine -> applied later
//!                                                 --> fetch --> disk --> fetched later
//!                      checks look at every write, frame, delivery, answer, and at every replica
//!                      that an event concerned
//! ```
//!
//! Where to read: [`run`] and `world/` for the loop; `plan.rs` for what a seed draws, `class.rs` for
//! the menu of faults, `effect.rs` for what came of them; `node.rs` for one node, `network.rs`,
//! `disk.rs`, `real.rs`, `room.rs`, `machine.rs` and `client.rs` for what surrounds it; `check/` for
//! one property per file, which see logs through `stamps.rs`. [`history`] checks what clients saw, of the
//! simulator or of anything else.
//!
//! **Left out**: compaction and snapshots, changes of membership, hibernation, which the engine does
//! not have yet; the transport, which tests of its own look at.
#![forbid(unsafe_code)]

mod breach;
mod check;
mod class;
mod client;
mod disk;
mod effect;
pub mod history;
mod machine;
mod network;
mod node;
mod partition;
mod plan;
mod queue;
mod random;
mod real;
mod room;
mod stamps;
mod story;
mod world;

pub use breach::Violation;
pub use class::{Class, Classes};
pub use effect::{Coverage, Effect, FAULT_EFFECTS};
pub use plan::{NodeSet, Plan, Storage};
pub use world::{Outcome, Teller, compare_modes, run};
