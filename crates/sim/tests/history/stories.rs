//! Histories whose verdict is known.

use sim::history::Action::{Add, Delete, Get, Set, SetNew};
use sim::history::Outcome::{Declined, Done, Found, Sum};
use sim::history::{Checked, ClientId, History, HistoryError, Limits, Operation};

use crate::writing::{fails, get, history, open, passes, refused, set, told};

/// What no order explains, and what is shown of it.
fn told_of(operations: &[Operation]) -> (String, Vec<String>) {
    let violation = fails(operations);
    let window = violation.window.iter().map(ToString::to_string).collect();
    (violation.unexplained.to_string(), window)
}

#[test]
fn nothing_is_linearizable() {
    assert_eq!(passes(&[]), Checked::default());
}

#[test]
fn one_after_the_other_is_linearizable() {
    passes(&[
        get(1, 0, 0..1),
        told(1, Delete, 2..3, Declined),
        set(1, 1, 4..5),
        told(2, SetNew(9), 6..7, Declined),
        get(2, 1, 8..9),
        told(1, Delete, 10..11, Done),
        get(1, 0, 12..13),
        told(2, SetNew(2), 14..15, Done),
        get(1, 2, 16..17),
    ]);
}

#[test]
fn a_read_beside_a_write_sees_it_or_does_not() {
    passes(&[set(1, 1, 0..1), set(2, 2, 2..9), get(1, 1, 3..4), get(3, 2, 5..6)]);
    passes(&[set(1, 1, 0..1), set(2, 2, 2..9), get(1, 2, 3..6), get(3, 1, 4..5)]);
}

#[test]
fn writes_beside_each_other_happen_in_either_order() {
    for (first, last) in [(1, 2), (2, 1)] {
        passes(&[set(1, 1, 0..9), set(2, 2, 1..8), get(3, first, 2..7), get(3, last, 10..11)]);
    }
}

#[test]
fn a_write_of_unknown_outcome_may_happen_at_once_late_or_never() {
    let unknown = open(1, Set(2), 2);
    let before = set(1, 1, 0..1);
    passes(&[before.clone(), unknown.clone(), get(2, 1, 50..60)]);
    passes(&[before.clone(), unknown.clone(), get(2, 2, 3..4), get(2, 2, 50..60)]);
    passes(&[before, unknown, get(2, 1, 3..4), set(3, 3, 5..6), get(2, 3, 7..8), get(2, 2, 9..10)]);
}

#[test]
fn a_deletion_of_unknown_outcome_may_happen_late() {
    passes(&[set(1, 1, 0..1), open(2, Delete, 2), get(1, 1, 3..4), get(1, 0, 5..6)]);
    let wrong = [set(1, 1, 0..1), open(2, Delete, 2), get(1, 0, 3..4), get(1, 1, 5..6)];
    assert_eq!(told_of(&wrong).0, "client 1 get -> 1");
}

#[test]
fn unread_writes_of_unknown_outcome_explain_what_was_deleted() {
    // Each of the two deletions took something away, and only one value was surely written.
    let operations = [
        set(1, 1, 0..1),
        open(2, Set(2), 2),
        open(3, Set(3), 2),
        told(1, Delete, 3..4, Done),
        told(1, Delete, 5..6, Done),
        told(1, Delete, 7..8, Done),
    ];
    passes(&operations);
    let mut wrong = operations.to_vec();
    wrong.push(told(1, Delete, 9..10, Done));
    assert_eq!(told_of(&wrong).0, "client 1 delete -> done");
}

#[test]
fn sums_tell_their_order() {
    passes(&[
        told(1, Add(1), 0..9, Sum(2)),
        told(2, Add(1), 0..9, Sum(1)),
        open(3, Add(1), 0),
        told(1, Add(5), 10..11, Sum(8)),
        told(1, Get, 12..13, Found(Some(8))),
    ]);
}

#[test]
fn at_equal_times_operations_are_concurrent() {
    passes(&[set(1, 1, 0..5), get(2, 0, 5..6)]);
    fails(&[set(1, 1, 0..5), get(2, 0, 6..6)]);
}

#[test]
fn a_stale_read_is_found() {
    let operations = [set(1, 1, 0..1), set(1, 2, 2..3), get(3, 2, 3..6), get(2, 1, 4..5)];
    let (what, shown) = told_of(&operations);
    assert_eq!(what, "client 2 get -> 1");
    assert_eq!(shown, ["client 1 set 2 -> done", "client 2 get -> 1"]);
}

#[test]
fn a_lost_write_is_found() {
    let violation = fails(&[set(1, 1, 0..1), get(2, 1, 2..3), get(2, 0, 4..5)]);
    assert_eq!(violation.unexplained.to_string(), "client 2 get -> nothing");
    assert_eq!(violation.window.len(), 2);
    assert_eq!(violation.prefix_length, 2);
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    let violation = fails(&[set(1, 1, 0..1), get(2, 7, 2..3)]);
    assert_eq!(violation.unexplained.to_string(), "client 2 get -> 7");
    assert_eq!(violation.hint.as_deref(), Some("Nobody ever wrote 7."));
}

#[test]
fn a_value_from_the_future_is_found() {
    let violation = fails(&[get(2, 7, 2..3), set(1, 7, 4..5)]);
    assert_eq!(violation.unexplained.to_string(), "client 2 get -> 7");
    let hint = "Of 7 there is only: client 1 set 7 -> done, and began later.";
    assert_eq!(violation.hint.as_deref(), Some(hint));
}

#[test]
fn a_refused_write_that_shows_up_is_found() {
    let violation = fails(&[set(1, 1, 0..1), refused(1, Set(7), 2..3), get(2, 7, 4..5)]);
    assert_eq!(violation.unexplained.to_string(), "client 2 get -> 7");
    let hint = "Of 7 there is only: client 1 set 7 -> refused.";
    assert_eq!(violation.hint.as_deref(), Some(hint));
}

#[test]
fn a_declined_write_that_shows_up_is_found() {
    let operations = [told(1, SetNew(7), 0..1, Declined), get(2, 7, 4..5)];
    // It declined because of a value that nobody wrote.
    assert_eq!(told_of(&operations).0, "client 1 set-new 7 -> declined");
    let operations = [set(1, 1, 0..1), told(1, SetNew(7), 2..3, Declined), get(2, 7, 4..5)];
    assert_eq!(told_of(&operations).0, "client 2 get -> 7");
}

#[test]
fn a_write_that_happens_again_is_found() {
    let (what, shown) = told_of(&[
        set(1, 1, 0..1),
        get(3, 1, 2..3),
        set(2, 2, 4..5),
        get(3, 2, 6..7),
        get(3, 1, 8..9),
    ]);
    assert_eq!(what, "client 3 get -> 1");
    assert_eq!(shown, ["client 3 get -> 2", "client 3 get -> 1"]);
}

#[test]
fn a_sum_that_was_added_twice_is_found() {
    let operations = [told(1, Add(1), 0..1, Sum(1)), told(2, Add(1), 2..3, Sum(3))];
    assert_eq!(told_of(&operations).0, "client 2 add 1 -> 3");
}

#[test]
fn reads_that_go_back_are_found() {
    // While the second write is under way, it is seen and then not.
    let operations = [set(1, 1, 0..1), set(2, 2, 2..9), get(3, 2, 3..4), get(4, 1, 5..6)];
    let (what, shown) = told_of(&operations);
    assert_eq!(what, "client 4 get -> 1");
    assert_eq!(shown, ["client 2 set 2 -> done", "client 3 get -> 2", "client 4 get -> 1"]);
}

#[test]
fn a_write_of_unknown_outcome_that_is_seen_and_then_not_is_found() {
    let operations =
        [set(1, 1, 0..1), open(2, Set(2), 2), get(3, 1, 3..4), get(3, 2, 5..6), get(4, 1, 7..8)];
    assert_eq!(told_of(&operations).0, "client 4 get -> 1");
}

#[test]
fn a_deleted_value_that_is_back_is_found() {
    let operations = [set(1, 1, 0..1), told(2, Delete, 2..3, Done), get(3, 1, 4..5)];
    let (what, shown) = told_of(&operations);
    assert_eq!(what, "client 3 get -> 1");
    assert_eq!(shown, ["client 2 delete -> done", "client 3 get -> 1"]);
}

#[test]
fn keys_are_checked_apart() {
    let mut history = History::default();
    for (key, value) in [("a", None), ("b", Some(1))] {
        let write = history.invoke(ClientId(1), key, Set(1), 0);
        history.returned(write, Done, 1);
        let read = history.invoke(ClientId(2), key, Get, 2);
        history.returned(read, Found(value), 3);
    }
    let Err(HistoryError::NotLinearizable(violation)) = history.check(Limits::default()) else {
        panic!("a lost write passes");
    };
    assert_eq!((&violation.key[..], violation.operations), ("a", 2));
}

/// Sums of unknown outcome that differ: which of them happened is hard to tell.
fn hard(count: u64) -> Vec<Operation> {
    let mut operations: Vec<Operation> = (0..count).map(|n| open(1, Add(1 << n), 0)).collect();
    operations.push(told(2, Add(1), 1..2, Sum(1 << count)));
    operations.push(told(2, Add(1), 3..4, Sum(1)));
    operations
}

#[test]
fn a_limit_that_is_reached_is_an_error_that_names_it() {
    let history = history(&hard(16));
    let (steps_max, memory_bytes_max) = (1_000, 10_000);
    let steps = Limits { steps_max, ..Limits::default() };
    let memory = Limits { memory_bytes_max, ..Limits::default() };
    for (limits, name, reached) in
        [(steps, "steps_max", 1_000), (memory, "memory_bytes_max", 10_000)]
    {
        let error = history.check(limits).unwrap_err();
        let expected = HistoryError::Undecided {
            key: "k".into(),
            operations: 18,
            limit: name,
            value: reached,
        };
        assert_eq!(error, expected);
    }
    fails(&hard(8));
}

#[test]
fn a_violation_counts_more_than_an_earlier_key_that_was_not_decided() {
    let mut all = history(&hard(16));
    let read = all.invoke(ClientId(1), "z", Get, 0);
    all.returned(read, Found(Some(5)), 1);
    let error = all.check(Limits { steps_max: 1_000, ..Limits::default() }).unwrap_err();
    assert!(matches!(error, HistoryError::NotLinearizable(found) if found.key == "z"));
}

#[test]
fn a_report_shows_what_happened() {
    let operations = [
        set(1, 1, 100..110),
        open(2, Set(2), 120),
        get(3, 1, 130..140),
        set(1, 3, 150..180),
        get(3, 3, 160..170),
        get(4, 1, 165..190),
        get(5, 1, 200..210),
    ];
    let report = fails(&operations).to_string();
    let expected = "\
key \"k\": its 7 operations are not linearizable
No order explains this one and all that returned before it: client 5 get -> 1
These 3 show it, where there is any value at first:
  client 1 set 3 -> done  |===========================|                     150..180
  client 3 get -> 3                |========|                               160..170
  client 5 get -> 1                                            |=========|  200..210 <- not explained
The longest order has 5 operations; it ends with
  client 1 set 1 -> done, then there is 1
  client 3 get -> 1, then there is 1
  client 4 get -> 1, then there is 1
  client 1 set 3 -> done, then there is 3
  client 3 get -> 3, then there is 3
";
    assert_eq!(report, expected, "\n{report}");
}
