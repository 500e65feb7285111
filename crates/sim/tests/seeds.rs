//! A bounded run of the simulator, and its determinism.

use sim::{Class, Classes, Coverage, Effect, Outcome, Plan, compare_modes, run};

fn pass(seed: u64) -> Outcome {
    run(Plan::draw(seed, 4_000), None).unwrap_or_else(|violation| panic!("{violation}"))
}

#[test]
fn a_hundred_seeds_hold_every_property() {
    let mut coverage = Coverage::default();
    for seed in 0..100 {
        let outcome = pass(seed);
        assert!(outcome.coverage.of(Effect::WritesDone) > 0, "seed {seed} acknowledged nothing");
        coverage.merge(outcome.coverage.counts().iter().copied());
    }
    assert!(coverage.of(Effect::Restarts) > 10 && coverage.of(Effect::Uncertain) > 0);
    assert!(coverage.of(Effect::HandoversDone) > 10 && coverage.of(Effect::HandoversTimedOut) > 0);
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    for seed in [3, 17, 42] {
        let once = pass(seed);
        assert_eq!(once, pass(seed));
        assert_ne!(once.trace, pass(seed + 1).trace);
    }
}

#[test]
fn whoever_tells_the_story_does_not_change_it() {
    let mut lines = 0;
    let mut teller = |_| lines += 1;
    let told = run(Plan::draw(5, 2_000), Some(&mut teller)).unwrap();
    assert_eq!(told, run(Plan::draw(5, 2_000), None).unwrap());
    assert!(lines > 2_000);
}

#[test]
fn a_group_serves_while_a_part_of_it_is_cut_off() {
    let shapes = [
        (Class::RingCut, Effect::ServedInRing),
        (Class::HubCut, Effect::ServedAroundHub),
        (Class::ConstrainedCut, Effect::ServedConstrained),
        (Class::ChainCut, Effect::ServedInChain),
    ];
    for (class, effect) in shapes {
        let mut coverage = Coverage::default();
        for seed in 0..8 {
            let faults = Classes::default().with(class);
            let drawn =
                Plan { nodes: 5, groups: 2, replication_factor: 5, ..Plan::draw(seed, 1_000) };
            let outcome = run(Plan { faults, ..drawn }, None);
            let outcome = outcome.unwrap_or_else(|violation| panic!("{violation}"));
            coverage.merge(outcome.coverage.counts().iter().copied());
        }
        assert!(coverage.of(effect) > 0, "{class:?}");
    }
}

#[test]
fn full_disks_are_a_pause() {
    let mut coverage = Coverage::default();
    for seed in 0..24 {
        let faults = Classes::default().with(Class::Full).with(Class::Crash);
        let drawn = Plan { nodes: 5, groups: 2, replication_factor: 3, ..Plan::draw(seed, 3_000) };
        let outcome = run(Plan { faults, ..drawn }, None);
        let outcome = outcome.unwrap_or_else(|violation| panic!("{violation}"));
        coverage.merge(outcome.coverage.counts().iter().copied());
    }
    let effects = [
        Effect::NoRoom,
        Effect::RoomAgain,
        Effect::RefusedFull,
        Effect::RefusedMajority,
        Effect::CommandsRefused,
        Effect::FullHeard,
        Effect::MadeWay,
        Effect::ServedBesideFull,
        Effect::ReadWhileFull,
    ];
    for effect in effects {
        assert!(coverage.of(effect) > 0, "{effect:?}");
    }
}

#[test]
fn plain_and_packed_nodes_commit_the_same() {
    for seed in 0..24 {
        let commands = compare_modes(&Plan::draw(seed, 0)).unwrap_or_else(|what| panic!("{what}"));
        assert!(commands > 400, "seed {seed} committed {commands} commands");
    }
}
