//! Engines in one process: linked by `transport::InProcess`, on simulated disks, without a port or
//! a file. Every wait is for a condition, and bounded.
#![allow(clippy::unwrap_used)] // A test that unwraps fails where it should, helpers included.
#![allow(clippy::wildcard_enum_match_arm)] // What a test does not name is what it does not want.

mod ending;
mod failing;
mod full;
mod identities;
mod overload;
mod serving;
mod stalled;
mod starting;
mod storm;
mod support;
mod transfer;
