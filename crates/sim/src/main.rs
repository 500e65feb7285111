//! `sim`: runs seeds and says what they did, or what went wrong.
//!
//! A range of seeds is run by processes of its own, `--jobs` of them, which write a line per seed
//! into one pipe; so no seed can disturb another, and one that crashes or does not end is a finding
//! like any other.
#![forbid(unsafe_code)]

mod command;

use std::process::ExitCode;

use clap::Parser;

use command::Arguments;

fn main() -> ExitCode {
    command::run(&Arguments::parse())
}
