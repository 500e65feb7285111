//! A bounded run of the simulator, and its determinism.

use sim::{Outcome, Plan, run};

fn pass(seed: u64) -> Outcome {
    run(Plan::draw(seed, 4_000)).unwrap_or_else(|violation| panic!("{violation}"))
}

#[test]
fn a_hundred_seeds_hold_every_property() {
    let mut restarts = 0;
    let mut uncertain = 0;
    for seed in 0..100 {
        let outcome = pass(seed);
        restarts += outcome.restarts;
        uncertain += outcome.uncertain;
        assert!(outcome.writes > 0, "seed {seed} acknowledged nothing");
    }
    assert!(restarts > 10 && uncertain > 0, "{restarts} restarts, {uncertain} uncertain writes");
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    for seed in [3, 17, 42] {
        let once = pass(seed);
        assert_eq!(once, pass(seed));
        assert_ne!(once.trace, pass(seed + 1).trace);
    }
}
