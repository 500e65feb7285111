//! Measures the engine beside its rivals: `figures NAME` prints one JSON line per case.
//!
//! ```text
//! cargo run --release -p benches --bin figures -- core-entry-cost
//! cargo run --release -p benches --bin figures -- log-commit --dir FOLDER_ON_THE_DISK
//! cargo run --release -p benches --bin figures -- durable-writes --dir FOLDER_ON_THE_DISK
//! cargo build --release -p server && cargo run --release -p benches --bin figures -- kill-gap
//! cargo run --release -p benches --bin figures -- reopen --dir FOLDER_ON_THE_DISK
//! cargo build --release -p server && cargo run --release -p benches --bin figures -- redis-set
//! cargo run --release -p benches --bin figures -- --list
//! ```
//!
//! Rules of every figure: medians of several runs; a rival that is a crate runs alternately in the
//! same invocation, with its settings in the line; what is counted is checked afterwards, exactly;
//! a name or a case never changes its meaning, a new meaning gets a new name. On a shared machine
//! the wall clock measures the neighbours, so figures count CPU time wherever one thread does all.
//!
//! - `arguments`: the command line; `figure`: the list of figures; `report`: medians and JSON.
//! - `clock`: CPU time of this thread and of all. `disk`: a folder on the disk that is measured.
//! - `nodes`: three nodes in processes of their own.
//! - `workload`: what is proposed, and a state machine that reads it.
//! - `core_entry_cost`: what an entry costs in the core, for all three replicas together.
//! - `node_entry_cost`: what an entry costs a node's groups together, for all three replicas.
//! - `log_commit`: what a durable commit of the log takes.
//! - `durable_writes`: how many writes three nodes take, with disks, network and all.
//! - `kill_gap`: how long writes wait when a leader is killed.
//! - `redis_load`: operations through the Redis protocol, beside a redis-server.
//! - `reopen`: how long a log takes to open again after its process was killed.
#![forbid(unsafe_code)]

mod arguments;
mod clock;
mod core_entry_cost;
mod disk;
mod durable_writes;
mod figure;
mod kill_gap;
mod log_commit;
mod node_entry_cost;
mod nodes;
mod redis_load;
mod reopen;
mod report;
mod workload;

use std::process::ExitCode;

use arguments::{Arguments, USAGE};
use figure::FIGURES;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("figures: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match arguments {
        Arguments::Help => println!("{USAGE}"),
        Arguments::List => {
            for figure in FIGURES {
                println!("{:<20}{}", figure.name, figure.about);
            }
        }
        Arguments::Part(arguments) => {
            if let Err(wrong) = reopen::play(&arguments) {
                eprintln!("figures: {wrong}");
                return ExitCode::FAILURE;
            }
        }
        Arguments::Measure { figure, options } => {
            if let Err(wrong) = (figure.measure)(&options, &mut |line| println!("{line}")) {
                eprintln!("figures: {} does not count: {wrong}", figure.name);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
