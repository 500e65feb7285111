//! What clients did and were told, and whether one order explains it.
//!
//! A [`History`] takes down every operation of every client: when it was invoked, and when it
//! returned and with what. [`History::check`] then looks, key by key, for an order of the operations
//! that a single machine could have done them in: each takes effect at one moment between its
//! invocation and its return, and every outcome is what that order makes it. If there is one, the
//! history is linearizable; if not, something was lost, stale, or done twice.
//!
//! An operation ends in one of three ways. *Returned*: it took effect, with that outcome.
//! *Refused*: it did not, and never will; a value of it that is seen is a violation. *Open*: nobody
//! knows; if it writes, it may take effect at any time after its invocation or never, and if it only
//! reads, it says nothing and is left out.
//!
//! ```text
//! invoke, returned, refused --> History --> operations of one key
//!    narrow: whoever's value is seen has taken effect by then --> items
//!    search: Wing & Gong's search with Lowe's memory           --> an order, or where it got stuck
//!    certificate: the order is gone through once more          --> passed
//!    window, report: the fewest operations that still fail     --> Violation
//! ```
//!
//! Keys are independent of each other, and linearizability is local, so that each is checked alone.
//! Values should be unique among the writes of a key: the checker does not need it to be right, but
//! to be quick and to find much.
//!
//! Everything is a function of the history: times are numbers that the recorder was given, the only
//! bounds are counted ones, and one that is reached is an error, never a pass.
//!
//! Sources: Wing and Gong, "Testing and Verifying Concurrent Objects", 1993; Lowe, "Testing for
//! Linearizability", 2017.

mod certificate;
mod model;
mod narrow;
mod operation;
mod reached;
mod record;
mod report;
mod search;
mod stock;
mod verdict;
mod waiting;
mod window;

pub use operation::{Action, ClientId, Ending, Operation, Outcome};
pub use record::{History, OperationId};
pub use report::Violation;
pub use verdict::{Checked, HistoryError, Limits};
