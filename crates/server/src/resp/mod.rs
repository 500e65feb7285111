//! The Redis serialization protocol, versions 2 and 3, from both ends.
//!
//! - [`request`]: what a client asks: arguments as places in the bytes that were received.
//! - [`parser`]: takes requests out of a stream, however it is cut.
//! - [`inline`]: requests typed by hand, with quotes.
//! - [`reply`]: what is answered, and how either version writes it.
//! - [`decoder`]: reads replies back; the `client` command and stored results need it.
//! - [`number`]: integers exactly as Redis reads and writes them.

pub mod decoder;
pub mod inline;
pub mod number;
pub mod parser;
pub mod reply;
pub mod request;

pub use decoder::{DecodeError, decode};
pub use parser::{Parser, ProtocolError, RequestLimits};
pub use reply::{Protocol, Reply};
pub use request::{Args, Request, Span};
