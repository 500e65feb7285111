//! Seeds that found something, each with what it was. What a seed draws changes with the simulator, so
//! that a plan which is left as it was found says more than a seed alone.

use sim::{Class, Classes, Effect, NodeSet, Plan, run};

#[test]
fn a_machine_is_not_read_more_entries_than_it_has_room_for() {
    // A fetch for the state machine asked for apply_bytes_max, however much was being applied.
    let found = [(2, 20_000), (12, 8_000)];
    for (seed, events_max) in found {
        run(Plan::draw(seed, events_max), None).unwrap_or_else(|violation| panic!("{violation}"));
    }
}

#[test]
fn a_replica_that_cannot_read_its_log_lets_go_of_what_it_would_have_said() {
    // Three messages lay ready when it halted, and nobody collected them any more.
    let (seed, events_max) = (2_006_738, 5_000);
    run(Plan::draw(seed, events_max), None).unwrap_or_else(|violation| panic!("{violation}"));
}

#[test]
fn nobody_is_deposed_without_a_fault_at_the_shortest_legal_election_timeout() {
    // Answers to heartbeats waited for the next beat of whoever gave them, and came too late for a
    // leader whose patience was two heartbeat intervals: both nodes led in turn, for ever.
    let tight = Plan {
        nodes: 2,
        groups: 1,
        replication_factor: 2,
        faults: Classes::default().with(Class::Skew),
        transit_us_max: 20_000,
        plain: NodeSet::NONE,
        election_ticks: 4,
        operation_us: 100_000,
        heals_quorum_only: false,
        ..Plan::draw(0, 10_000)
    };
    for seed in 0..10 {
        let outcome = run(Plan { seed, ..tight }, None);
        let outcome = outcome.unwrap_or_else(|violation| panic!("{violation}"));
        assert_eq!(outcome.coverage.of(Effect::Elections), 1, "seed {seed}");
    }
}

#[test]
fn nobody_waits_for_a_majority_that_is_half_full_and_half_gone() {
    // Two of five voters were away, two more were full, and the leader told nobody.
    let faults = Classes::default().with(Class::Full);
    for seed in 0..8 {
        let drawn = Plan { nodes: 5, groups: 2, replication_factor: 5, ..Plan::draw(seed, 1_000) };
        let found = Plan { faults, heals_quorum_only: true, ..drawn };
        run(found, None).unwrap_or_else(|violation| panic!("{violation}"));
    }
}

#[test]
fn members_found_a_group_together_or_wait() {
    // Each founded for itself, as it had met the others; one lost its disk in between, and what the
    // others wrote first named different stores. This seed fails where nobody asks the others.
    run(Plan::draw(312, 20_000), None).unwrap_or_else(|violation| panic!("{violation}"));
}
