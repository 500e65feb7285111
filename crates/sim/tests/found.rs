//! Seeds that found something, each with what it was. What a seed draws changes with the simulator, so
//! that a plan which is left as it was found says more than a seed alone.

use sim::{Plan, run};

#[test]
fn a_machine_is_not_read_more_entries_than_it_has_room_for() {
    // A fetch for the state machine asked for apply_bytes_max, however much was being applied.
    let found = [(2, 20_000), (12, 8_000)];
    for (seed, events_max) in found {
        run(Plan::draw(seed, events_max), None).unwrap_or_else(|violation| panic!("{violation}"));
    }
}
