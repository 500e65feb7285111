//! What the tests that concern several crates stand on.
//!
//! The tests themselves are the files beside this folder, one `[[test]]` each; what more than one
//! of them needs, or what deserves tests of its own, is here.
//!
//! - [`parsers`]: everything that reads bytes from outside, for the tests and for fuzzers.
//! - [`tidy`]: the rules of the house, as functions from texts to complaints.
#![forbid(unsafe_code)]

pub mod parsers;
pub mod tidy;
