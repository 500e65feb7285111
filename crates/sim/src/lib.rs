//! A whole cluster on one thread, driven by one seed.
//!
//! The simulator runs the real raft-core, codec, routing and multiraft: each node is a
//! [`multiraft::NodeLoop`], the very turn that the engine's threads drive. Time, network, disks,
//! clients and faults are its own. Messages cross as encoded bytes; writes become durable late; a
//! power cut keeps some prefix of what was not reported durable. The verdict is a function of the
//! commit, the seed and the options.
//!
//! ```text
//! events by virtual time --> node: NodeLoop::turn --> write --> disk --> written later
//!                                                 --> frames -> network -> delivered later, or not
//!                                                 --> apply --> machine -> applied later
//!                      checks look at every frame, every delivery, every answer
//! ```
//!
//! Where to read: [`run`] and `world.rs` for the loop, `plan.rs` for what a seed draws, `node.rs` for
//! one node, `network.rs`, `disk.rs` and `client.rs` for what surrounds it, `check/` for one property
//! per file. [`history`] checks what clients saw, of the simulator or of anything else.
#![forbid(unsafe_code)]

mod check;
mod client;
mod disk;
pub mod history;
mod network;
mod node;
mod plan;
mod random;
mod world;

pub use plan::Plan;
pub use world::{Outcome, Violation, run};
