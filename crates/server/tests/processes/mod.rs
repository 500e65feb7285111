//! The program as processes of its own, and clients that speak to it over plain sockets.
//!
//! - `program`: one process; `cluster`: three nodes with folders, ports and logs; `site`: nodes whose
//!   folders and logs are looked into.
//! - `resp`: what a client sends and receives. It shares no code with the server, so that an error in
//!   the server's own reader or writer does not hide itself.
#![allow(dead_code, reason = "each test target uses a part of this")]

pub(crate) mod cluster;
pub(crate) mod program;
pub(crate) mod resp;
pub(crate) mod site;

use std::time::Duration;

/// No test waits longer for anything.
pub(crate) const BOUND: Duration = Duration::from_secs(60);
