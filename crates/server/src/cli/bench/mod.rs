//! `multiraft bench`: a load generator, through the Redis protocol or in this process.
//!
//! ```text
//! threads of clients --batches--> link: redis (running nodes) or engine (three nodes in here)
//!        ^ window: writing, warm-up, counting, over            |
//!        +---------------- replies: tally --> report <---------+ what the nodes used
//! ```
//!
//! A closed loop: a client sends a batch, waits for all replies, and sends the next. So latency is
//! that of so many clients, and not of a rate. All of a batch goes to one node, as cluster clients
//! have to split their pipelines.
//!
//! - [`args`], `options`: what may be typed, and what it means as a whole.
//! - [`distribution`], `keys`: which key comes next.
//! - `load`, `window`, `measure`: the clients, and when what they are told counts.
//! - `redis`, `engine`: whom they load.
//! - `tally`, `report`: what came of it. `progress`: how far it is. `error`: why there is
//!   no result.

pub mod args;
pub mod distribution;
mod engine;
mod error;
mod keys;
mod load;
mod measure;
mod options;
mod progress;
mod redis;
mod report;
mod tally;
mod window;

use std::io::{self, Write};
use std::process::ExitCode;

use self::args::{BenchArgs, BenchOutput};
use self::error::BenchError;
use self::options::Target;
use self::report::BenchReport;

/// `multiraft bench`
pub fn run(args: &BenchArgs) -> ExitCode {
    match bench(args) {
        Ok(report) => {
            let text = match args.output {
                BenchOutput::Table => report.lines(),
                BenchOutput::Json => {
                    serde_json::to_string(&report).expect("numbers and strings are all JSON has")
                        + "\n"
                }
            };
            let printed = io::stdout().write_all(text.as_bytes());
            // What was counted stands, and whoever runs this by a script is to know of errors.
            if report.went_well() && printed.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("multiraft: {error}");
            error.exit_code()
        }
    }
}

fn bench(args: &BenchArgs) -> Result<BenchReport, BenchError> {
    let (target, load) = options::check(args)?;
    match target {
        Target::Redis { at } => redis::run(&at, &load),
        Target::Engine { dir, groups } => engine::run(&dir, groups, &load),
    }
}
