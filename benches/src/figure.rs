//! The figures that can be measured.

use std::fmt;

use crate::arguments::Options;
use crate::core_entry_cost;
use crate::durable_writes;
use crate::kill_gap;
use crate::log_commit;
use crate::node_entry_cost;
use crate::redis_load;
use crate::reopen;
use crate::report::Line;

/// Something that is measured in several cases.
#[derive(Debug)]
pub(crate) struct Figure {
    /// What it is called on the command line and in its lines.
    pub(crate) name: &'static str,
    /// What is measured, in one line.
    pub(crate) about: &'static str,
    /// Measures it, handing out a line as soon as its case is done.
    pub(crate) measure: fn(&Options, &mut Emit<'_>) -> Result<(), Wrong>,
}

/// Takes the lines as they come.
pub(crate) type Emit<'a> = dyn FnMut(Line) + 'a;

/// All figures. A name never changes its meaning.
pub(crate) const FIGURES: [Figure; 8] = [
    Figure {
        name: "core-entry-cost",
        about: "CPU time per entry in raft-core, three replicas on one thread, beside raft-rs",
        measure: core_entry_cost::measure,
    },
    Figure {
        name: "node-entry-cost",
        about: "CPU time per entry in multiraft, three nodes on one thread, frames encoded",
        measure: node_entry_cost::measure,
    },
    Figure {
        name: "log-commit",
        about: "entries made durable by one commit after the other, beside an append-only file",
        measure: log_commit::measure,
    },
    Figure {
        name: "durable-writes",
        about: "writes per second that three nodes take, durable and applied, beside raft-rs",
        measure: durable_writes::measure,
    },
    Figure {
        name: "kill-gap",
        about: "how long writes wait when a leader is killed, of three processes",
        measure: kill_gap::measure,
    },
    Figure {
        name: "reopen",
        about: "how long 1 GiB of live log takes to open after a kill, beside reading its file",
        measure: reopen::measure,
    },
    Figure {
        name: "redis-set",
        about: "SET per second that three processes take, synced, beside one redis-server",
        measure: redis_load::measure_set,
    },
    Figure {
        name: "redis-get",
        about: "GET per second that three processes take, linearizable, beside one redis-server",
        measure: redis_load::measure_get,
    },
];

/// Why what was measured is not what was to be measured; the figure is void.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
