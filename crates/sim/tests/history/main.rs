//! The checker of histories, checked: on stories whose verdict is known, and against a checker that
//! simply tries every order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brute;
mod properties;
mod stories;
mod writing;
