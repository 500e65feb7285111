//! Everything that reads bytes from outside, as functions from bytes that a fuzzer and the tests
//! call alike.
//!
//! Each [`Target`] takes any bytes whatever. It panics only if a property is broken: a parser that
//! panics, that accepts what it would not write, or that reads two ways of cutting the same stream
//! differently. What a refusal says is not looked at, only that it can be printed.
//!
//! A checksum keeps a fuzzer out of all that lies behind it. So targets with checksums read their
//! input twice: as it is, and with every checksum made right.

mod disk;
mod draw;
mod replica;
mod text;
mod wire;

/// One parser.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its fuzz target.
    pub name: &'static str,
    /// Feeds it, and tells whether it accepted anything.
    pub run: fn(&[u8]) -> bool,
    /// Inputs that it accepts, to begin from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many bytes of memory it may hold at a time for an input of that many bytes, by its own
    /// limits; none if it keeps what it is told, as a replica does.
    pub memory_max: Option<fn(usize) -> usize>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    wire::FRAME,
    wire::HELLO,
    wire::NOTICE,
    wire::STREAM,
    replica::STEP,
    disk::BLOCK,
    disk::CONFIGURATION,
    disk::PAGE,
    disk::RECORD,
    text::CONFIG_FILE,
    text::LOG_ENTRY,
    text::REPLY,
    text::REQUEST,
];

/// The one of that name.
///
/// # Panics
/// If there is none: whoever asks has the name from a list of them.
#[must_use]
pub fn target(name: &str) -> &'static Target {
    let found = TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("no parser is called {name}"))
}

/// Whether it was read; whoever refuses can say why.
fn is_read<T>(read: Result<T, impl std::fmt::Display>) -> bool {
    read.inspect_err(|error| assert!(!error.to_string().is_empty())).is_ok()
}
