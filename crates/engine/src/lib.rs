//! The runtime of a node: threads, a clock, and the wiring of everything below it.
//!
//! An [`Engine`] hosts the groups that a routing table places on its node, each with a replica of
//! its log and a state machine that the user brings. It replicates what is proposed to them, and
//! answers once a command is durable on a majority and applied. It does not know what a command
//! means, and it decides nothing: the turn of a node is `multiraft`'s, down to who is answered when;
//! this crate runs it on threads.
//!
//! ```
//! # use bytes::Bytes;
//! # use engine::{ApplyEntries, Engine, Group, GroupSpec, OpenError, RoutingTable, StateMachine};
//! # use storage_redb::{Identity, Store, StoreOptions};
//! # use types::{ClusterId, LogIndex, NodeId, VShardId};
//! /// Counts the commands of each group.
//! struct Counting;
//! struct Count(u64);
//!
//! impl StateMachine for Counting {
//!     type Group = Count;
//!     fn open(&self, _: &GroupSpec) -> Result<(Count, LogIndex), OpenError> {
//!         Ok((Count(0), LogIndex::ZERO)) // In memory: it comes back from the log.
//!     }
//! }
//!
//! impl Group for Count {
//!     fn apply(&mut self, entries: &ApplyEntries) -> Vec<Bytes> {
//!         let count = |_| {
//!             self.0 += 1;
//!             Bytes::from(self.0.to_string())
//!         };
//!         entries.iter().map(count).collect()
//!     }
//!     fn durable_applied(&self) -> LogIndex {
//!         LogIndex::ZERO
//!     }
//! }
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let (cluster, node) = (ClusterId::new("counters")?, NodeId(1));
//! let identity = Identity { cluster: cluster.clone(), node };
//! let (store, restored) = Store::open(folder, &identity, StoreOptions::default())?;
//! let engine = Engine::builder()
//!     .cluster(cluster)
//!     .node(node)
//!     .store(store, restored)
//!     .routing(RoutingTable::uniform(1024, 16, &[node], 1)?)
//!     .state_machine(Counting)
//!     .start(&tokio::runtime::Handle::current())?;
//!
//! let vshard = VShardId(7);
//! let mut leaders = engine.watch_leaders();
//! while !leaders.iter().all(|(_, view)| view.is_self) {
//!     leaders.changed().await; // This node is alone, so that it will lead every group.
//! }
//! assert_eq!(engine.propose(vshard, Bytes::new()).await?.result, "1");
//! let writes = vec![(vshard, Bytes::new()), (vshard, Bytes::new())];
//! assert_eq!(engine.propose_many(writes).await[1].as_ref().unwrap().result, "3");
//! engine.read(vshard).await?; // Whoever reads the state now sees all three.
//! engine.shutdown().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # One way of data
//!
//! ```text
//! propose -> [inbox] -> worker: NodeLoop::turn                                            [last]
//!     write   -> log writer: ONE durable commit for all workers -> Persisted -> worker    [persisted]
//!     frames  -> link: ONE frame per peer ~~> its door -> its worker ~~> back -> worker   [committed]
//!     batches -> apply worker: Group::apply -> the proposers are answered
//!                                           -> Applied -> worker                          [applied]
//! ```
//!
//! Two facts come back on the hot path, *persisted* and *applied*. A worker waits for nothing but its
//! queues and the next tick, so that disk, network and state machines never hold up a heartbeat.
//! Nothing waits in order to fill a batch either: while the log writer syncs, its queue fills, and
//! everything in it is the next commit; while a worker is busy, its inbox fills, and everything in
//! it is the next turn. The busier, the larger.
//!
//! # Threads
//!
//! | Thread | Owns | Number |
//! |---|---|---|
//! | worker | one `NodeLoop`: the groups that hash to it | half of the cores |
//! | log writer | the store | 1 |
//! | apply worker | the state machines of its groups | as many as workers |
//! | log reader | a reader of the store, for entries that are no longer in memory | 1 |
//! | the caller's runtime | the link's tasks, which decode frames | his choice |
//!
//! # Who is answered, and when
//!
//! Every caller is answered, whatever happens: what holds his reply either settles it or drops it,
//! and the drop answers too. [`ProposeError`] and [`ReadError`] say what to do next; only
//! [`ProposeError::Uncertain`] leaves it open whether a command takes effect. [`Engine::propose_many`]
//! shares one reply between many commands; it is how to write fast. Each door has a limit in
//! [`EngineLimits`], and says which one is reached.
//!
//! # When something breaks
//!
//! A disk that fails, a store that lacks what it had reported durable, a state machine that panics or
//! breaks its contract, and a panic in the engine fail the whole engine: the workers stop, so that it
//! leads, votes and acknowledges nothing any more, callers are answered, and [`Engine::failed`] says
//! why. It cannot be revived; the process exits and the others go on.
//!
//! A disk that does not answer is no failure: it may come back. But whoever leads without a disk is
//! in the way of those who have one. A write that takes longer than `disk_stall_ms` makes the node
//! step down from all its groups; it votes and acknowledges once its disk permits, and may lead again
//! when the write has come back. [`EngineStatus::health`] and the log say so.
//!
//! Neither is a full disk. From the moment it is nearly full, commands are refused with
//! [`ProposeError::DiskFull`]; reads go on. The node tells its peers, and hands its groups to those
//! that have room; where nobody has, leaders stay where they are. A leader with room refuses commands
//! with [`ProposeError::MajorityFull`] if too few others have any. A write that finds no room is kept, with what comes after
//! it, and tried again until it does: nothing that it carries is reported durable before. Entries of
//! peers are turned away meanwhile, so that votes are not held up behind them, and the peers repeat
//! them.
//!
//! # Identities
//!
//! A peer is remembered in the store by its store and boot once both sides have accepted each other;
//! another store under a known node id is refused, and so is an older boot. A group is founded once all
//! its members have met and told each other that they know the same stores; those who wait ask each
//! other by notices, beside the frames. A store that was in use casts no vote until the promises of its
//! last run have run out.
//!
//! # Where to read
//!
//! - `engine`, `call`, `budget`, `error`: the callers' side. `leaders`, `status`: what can be asked.
//! - `builder`, `start`, `wiring`: how it begins. `shutdown`, `failure`, `threads`: how it ends.
//! - `worker`, `inbox`, `messages`: the turn on a thread. `log_writer`, `apply`, `log_reader`: whom
//!   it hands things to. `door`, `peers`: where the link comes in.
//! - `state_machine`: what a user brings. `disk_watch`, `room_watch`: how the disk is; `log_gauge`: how
//!   the log is; `commit_times`, `histogram`: how long it takes. `limits`, `clock`, `assignment`: what
//!   all rely on.
//! - `planted`: bugs on purpose, for the tests that have to find them; in no other build.
//!
//! Left out so far: guards on calls, membership changes, splits, snapshots.
#![forbid(unsafe_code)]

mod apply;
mod assignment;
mod budget;
mod builder;
mod call;
mod clock;
mod commit_times;
mod disk_watch;
mod door;
mod engine;
mod error;
mod failure;
mod histogram;
mod inbox;
mod leaders;
mod limits;
mod log_gauge;
mod log_reader;
mod log_writer;
mod messages;
mod peer_rooms;
mod peers;
mod planted;
mod queue;
mod room_watch;
mod shutdown;
mod start;
mod state_machine;
mod status;
mod threads;
mod wiring;
mod worker;

pub use builder::{EngineBuilder, LinkRequest};
pub use call::{Applied, ReadPermit};
pub use commit_times::CommitTimes;
pub use disk_watch::Health;
pub use engine::Engine;
pub use error::{ProposeError, ReadError, TransferError};
pub use failure::{EngineState, Failure};
pub use histogram::Histogram;
pub use leaders::LeaderWatch;
pub use limits::{EngineLimits, LimitsError, RawEngineLimits};
pub use multiraft::TransferError as TransferRefusal;
pub use multiraft::{GroupSpec, GroupStatus, HaltReason, LeaderView, RoleChange};
#[cfg(feature = "planted-bugs")]
#[doc(hidden)]
pub use planted::PlantedBug;
pub use routing::RoutingTable;
pub use shutdown::ShutdownError;
pub use start::StartError;
pub use state_machine::{AppliedEntry, ApplyEntries, Group, OpenError, StateMachine};
pub use status::EngineStatus;
pub use transport::{LinkCounters, PeerCounters};
