//! The contract: fifty promises of `MultiRaft`, one test each, named by number. What belongs to
//! features that do not exist yet stands in [`NOT_YET`].
#![allow(clippy::unwrap_used)] // A test that unwraps fails where it should, helpers included.
#![allow(clippy::wildcard_enum_match_arm)] // What a test does not name is what it does not want.

mod harness;

#[path = "contract/applied.rs"]
mod applied;
#[path = "contract/doors.rs"]
mod doors;
#[path = "contract/lifecycle.rs"]
mod lifecycle;
#[path = "contract/observe.rs"]
mod observe;
#[path = "contract/propose.rs"]
mod propose;
#[path = "contract/ready.rs"]
mod ready;

/// Promises without a test yet, and what each of them waits for.
const NOT_YET: [(u32, &str); 23] = [
    (5, "joining as a learner"),
    (7, "removing groups"),
    (12, "beats whose size does not depend on the groups"),
    (13, "snapshots"),
    (21, "membership changes"),
    (22, "membership changes"),
    (23, "membership changes"),
    (24, "membership changes"),
    (25, "membership changes"),
    (26, "membership changes"),
    (27, "membership changes"),
    (28, "membership changes"),
    (29, "membership changes"),
    (30, "membership changes"),
    (31, "membership changes"),
    (32, "membership changes"),
    (33, "membership changes"),
    (37, "joining as a learner"),
    (45, "snapshots"),
    (46, "snapshots"),
    (48, "compaction"),
    (49, "the metadata group"),
    (50, "newer generations of a group"),
];

const SOURCES: [&str; 6] = [
    include_str!("contract/applied.rs"),
    include_str!("contract/doors.rs"),
    include_str!("contract/lifecycle.rs"),
    include_str!("contract/observe.rs"),
    include_str!("contract/propose.rs"),
    include_str!("contract/ready.rs"),
];

/// The numbers of the tests: `#[test]`, then `fn c07_...`.
fn tested() -> Vec<u32> {
    let lines: Vec<&str> = SOURCES.iter().flat_map(|source| source.lines()).collect();
    let tests = lines.windows(2).filter(|pair| pair[0] == "#[test]");
    let number = |pair: &[&str]| {
        let name = pair[1].strip_prefix("fn c").expect("a test is named by its promise");
        name[..2].parse().expect("two digits")
    };
    tests.map(number).collect()
}

#[test]
fn every_promise_is_tested_or_listed_once() {
    let mut all = tested();
    all.extend(NOT_YET.iter().map(|(number, _)| *number));
    all.sort_unstable();
    assert_eq!(all, (1..=50).collect::<Vec<u32>>());
}
