//! What came of faults, as a table.

use sim::Coverage;

pub(crate) fn print(coverage: &Coverage) {
    for (what, count) in coverage.rows() {
        let mark = if count == 0 { "  <- never happened" } else { "" };
        println!("{what:>50} {count:>12}{mark}");
    }
}
