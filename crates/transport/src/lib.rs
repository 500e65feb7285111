//! Moves byte frames between the nodes of a cluster.
//!
//! It does not know what a frame means, what a group is or what is on disk: bytes go in on one node
//! and come out on another, or are reported dropped. It may lose, repeat and reorder; it never
//! alters, and never blocks its caller. Who may connect to whom is settled by a hello in both
//! directions; there is no encryption and no authentication here yet, so peer ports belong into a
//! private network.
//!
//! ```text
//! send -> outbox (bounded; beats before data) -> outgoing: one dialed connection per peer ~~>
//!                          |  full, broken, not connected                                    |
//!                          v                                                                 v
//!           reports -> Events::dropped                Events::frame <- incoming: accepted connections
//! ```
//!
//! - [`link`](Link): what every kind of link promises; [`events`](Events): what it tells its node.
//! - `local`, `peer`, `outbox`, `reports`, `tasks`: the state behind a link, whatever carries it.
//! - `hello`, `refusal`, `handshake`, `told`: who talks to whom, and why not.
//! - `frame`, `connection`: bytes on a connection.
//! - `tcp`, `outgoing`, `incoming`, `backoff`: [`Transport`], over TCP.
//! - `in_process`: [`InProcess`], for tests of what is built on a link.
//! - [`conformance`]: what both promise, as tests that any implementation can run.
//!
//! Everything runs as tasks on the runtime that the caller hands in. Of time only timers are used.
#![forbid(unsafe_code)]

mod backoff;
pub mod conformance;
mod connection;
mod counters;
mod events;
mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod hello;
mod in_process;
mod incoming;
mod limits;
mod link;
mod local;
mod outbox;
mod outgoing;
mod peer;
mod recorder;
mod refusal;
mod reports;
mod tasks;
mod tcp;
mod told;

pub use counters::{LinkCounters, PeerCounters};
pub use events::Events;
pub use hello::{Hello, PROTOCOL_VERSION, REASON_BYTES_MAX};
pub use in_process::{InProcess, InProcessLink};
pub use limits::{Limits, LimitsError, RawLimits};
pub use link::{Class, Link, StartError, Stopped};
pub use tcp::{Transport, TransportConfig};
