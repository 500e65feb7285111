//! The rules of the house: what no compiler checks, and what would rot if nobody did.
//!
//! Every rule is a function from texts to complaints, one string each: which file breaks it, what
//! was found, what was expected. None means that the rule holds. `tests/tidy.rs` applies them to
//! this repository; the unit tests beside the functions show that each of them can fail.
//!
//! - [`house`]: the crates, who may import whom, and what is allowed where.
//! - [`manifests`]: rules about `Cargo.toml` files.
//! - [`sources`]: rules about the lines of files.
//! - [`papers`]: rules about ARCHITECTURE.md and README.md.
//! - [`repository`]: reads the files.

pub mod house;
pub mod manifests;
pub mod papers;
pub mod repository;
pub mod sources;
