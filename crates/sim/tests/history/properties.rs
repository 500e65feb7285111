//! Random histories: those made from an order pass, those broken on purpose do not, and small ones
//! get the verdict of the definition.

use proptest::collection::vec;
use proptest::prelude::*;
use sim::history::{Action, Ending, Operation, Outcome};

use crate::brute::is_linearizable;
use crate::writing::{KEY, fails, get, history, passes, set, told};

/// What a client does and how, before it is known what it will be told.
#[derive(Clone, Copy, Debug)]
struct Ask {
    client: u32,
    kind: u32,
    /// How long after its last operation it begins, when it takes effect, and when it returns.
    pause: u64,
    work: u64,
    way_back: u64,
    /// What becomes of it: mostly it returns.
    fate: u32,
}

fn ask(clients: u32, kinds: u32) -> impl Strategy<Value = Ask> {
    let times = (0..6_u64, 0..20_u64, 0..20_u64);
    (0..clients, 0..kinds, times, 0..16_u32).prop_map(
        |(client, kind, (pause, work, way_back), fate)| Ask {
            client,
            kind,
            pause,
            work,
            way_back,
            fate,
        },
    )
}

/// The kinds of a register with unique values; with sums behind them.
const REGISTER: u32 = 8;
const WITH_SUMS: u32 = 10;

/// What a machine would tell, that does each operation at one moment of its own.
fn linearized(asks: &[Ask]) -> Vec<Operation> {
    // (moment, operation, what the fate of it is)
    let mut clock = std::collections::BTreeMap::new();
    let mut planned: Vec<(u64, u64, Operation, u32)> = Vec::new();
    for (number, ask) in (1_u64..).zip(asks) {
        let action = match ask.kind {
            0..=2 => Action::Get,
            3..=5 => Action::Set(number),
            6 => Action::SetNew(number),
            7 => Action::Delete,
            _ => Action::Add(number % 3),
        };
        let now = clock.entry(ask.client).or_insert(0_u64);
        let invoked = *now + ask.pause;
        let moment = invoked + ask.work;
        let back = moment + ask.way_back;
        *now = back + 1;
        let client = sim::history::ClientId(ask.client);
        let ending = Ending::Returned { at: back, outcome: Outcome::Done };
        let operation = Operation { client, key: KEY.to_owned(), action, invoked, ending };
        planned.push((moment, number, operation, ask.fate));
    }
    planned.sort_by_key(|(moment, number, ..)| (*moment, *number));
    let mut state = None;
    let tell = |(_, _, mut operation, fate): (u64, u64, Operation, u32)| {
        let Ending::Returned { at, .. } = operation.ending else { return operation };
        // 13: refused. 14: unknown, and never done. 15: unknown, and done all the same.
        if fate < 13 || fate == 15 {
            let (after, outcome) = done(state, operation.action);
            state = after;
            operation.ending = Ending::Returned { at, outcome };
        }
        match fate {
            13 => operation.ending = Ending::Refused { at },
            14 | 15 => operation.ending = Ending::Open,
            _ => {}
        }
        operation
    };
    planned.into_iter().map(tell).collect()
}

fn done(state: Option<u64>, action: Action) -> (Option<u64>, Outcome) {
    match action {
        Action::Get => (state, Outcome::Found(state)),
        Action::Set(value) => (Some(value), Outcome::Done),
        Action::SetNew(value) if state.is_none() => (Some(value), Outcome::Done),
        Action::Delete if state.is_some() => (None, Outcome::Done),
        Action::SetNew(_) | Action::Delete => (state, Outcome::Declined),
        Action::Add(count) => {
            let sum = state.unwrap_or(0) + count;
            (Some(sum), Outcome::Sum(sum))
        }
    }
}

/// Gives one operation that returned another outcome.
fn tell_otherwise(operations: &mut [Operation], which: usize, value: u64) {
    let returned: Vec<usize> = (0..operations.len())
        .filter(|at| matches!(operations[*at].ending, Ending::Returned { .. }))
        .collect();
    let Some(at) = returned.get(which % returned.len().max(1)) else { return };
    let operation = &mut operations[*at];
    let Ending::Returned { at, outcome } = operation.ending else { return };
    let outcome = match (operation.action, outcome) {
        (Action::Get, _) => Outcome::Found((value > 0).then_some(value)),
        (Action::Add(_), _) => Outcome::Sum(value),
        (Action::SetNew(_) | Action::Delete, Outcome::Done) => Outcome::Declined,
        (Action::SetNew(_) | Action::Delete | Action::Set(_), _) => Outcome::Done,
    };
    operation.ending = Ending::Returned { at, outcome };
}

/// A history of a register with unique values that stays long: `clients` at a time.
fn long(count: u64, clients: u64) -> Vec<Operation> {
    // A fixed stream: SplitMix64.
    let mut seed = 7_u64;
    let mut draw = move |below: u64| {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    };
    let asks: Vec<Ask> = (0..count)
        .map(|_| Ask {
            client: u32::try_from(draw(clients)).unwrap(),
            // Few of those that tell whether there is a value: they are what is hard.
            kind: u32::try_from(if draw(10) == 0 { 6 + draw(2) } else { draw(6) }).unwrap(),
            pause: draw(6),
            work: draw(20),
            // Now and then somebody waits long for his answer.
            way_back: if draw(200) == 0 { 1_000 } else { draw(20) },
            fate: if draw(40) == 0 { 13 + u32::try_from(draw(3)).unwrap() } else { 0 },
        })
        .collect();
    linearized(&asks)
}

#[test]
fn a_long_history_takes_a_few_steps_per_operation() {
    let operations = long(20_000, 12);
    let open = operations.iter().filter(|operation| operation.ending == Ending::Open).count();
    assert!(open > 300, "only {open} outcomes are unknown");
    let checked = passes(&operations);
    assert!(checked.steps < 40_000, "{checked:?}");
}

#[test]
fn one_stale_read_in_a_long_history_is_found_quickly_and_shown_briefly() {
    let mut operations = long(5_000, 12);
    let (first, second) = (1_000_001, 1_000_002);
    let end = operations.iter().filter_map(|operation| match operation.ending {
        Ending::Returned { at, .. } => Some(at),
        Ending::Open | Ending::Refused { .. } => None,
    });
    let end = end.max().unwrap();
    // Beside everything else, and far from its end.
    let middle = end / 2;
    operations.push(set(90, first, middle..middle + 5));
    operations.push(set(90, second, middle + 10..middle + 15));
    operations.push(get(91, second, middle + 16..middle + 17));
    operations.push(get(91, first, middle + 20..middle + 25));
    let violation = fails(&operations);
    assert!(violation.window.len() < 12, "{violation}");
    let shown: Vec<String> = violation.window.iter().map(ToString::to_string).collect();
    assert!(shown.contains(&format!("client 91 get -> {first}")), "{violation}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_comes_from_an_order_passes(asks in vec(ask(6, REGISTER), 0..120)) {
        passes(&linearized(&asks));
    }

    #[test]
    fn what_comes_from_an_order_passes_with_sums(asks in vec(ask(4, WITH_SUMS), 0..40)) {
        passes(&linearized(&asks));
    }

    #[test]
    fn keys_without_an_order_of_reads_fail(
        asks in vec(ask(5, REGISTER), 0..60), from in 0..400_u64, client in 0..5_u32
    ) {
        // Whatever else happens: of two writes that follow each other, the first is read at last.
        let mut operations = linearized(&asks);
        operations.push(set(70, 5_000, from..from + 1));
        operations.push(set(70, 5_001, from + 2..from + 3));
        operations.push(get(70 + client, 5_000, from + 4..from + 5));
        let violation = fails(&operations);
        prop_assert!(!violation.window.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn small_histories_get_the_verdict_of_the_definition(
        asks in vec(ask(4, WITH_SUMS), 0..8),
        lies in vec((0..8_usize, 0..8_u64), 0..3),
        shared in prop::option::of(1..4_u64),
    ) {
        let mut operations = linearized(&asks);
        for (which, value) in lies {
            tell_otherwise(&mut operations, which, value);
        }
        // Values need not be unique.
        if let Some(values) = shared {
            for operation in &mut operations {
                if let Action::Set(value) | Action::SetNew(value) = &mut operation.action {
                    *value = *value % values + 1;
                }
            }
        }
        let found = history(&operations).check(sim::history::Limits::default());
        prop_assert_eq!(found.is_ok(), is_linearizable(&operations), "{:?}", operations);
    }

    #[test]
    fn what_is_shown_of_a_violation_is_one(
        asks in vec(ask(4, REGISTER), 1..10), lies in vec((0..8_usize, 0..8_u64), 1..4)
    ) {
        let mut operations = linearized(&asks);
        for (which, value) in lies {
            tell_otherwise(&mut operations, which, value);
        }
        if is_linearizable(&operations) {
            return Ok(());
        }
        let violation = fails(&operations);
        prop_assert!(violation.window.contains(&violation.unexplained));
        // Whatever there was before, nothing explains what is shown.
        let before = violation.window.iter().filter_map(|operation| match operation.ending {
            Ending::Returned { outcome: Outcome::Found(Some(value)), .. } => Some(Some(value)),
            Ending::Returned { .. } | Ending::Open | Ending::Refused { .. } => None,
        });
        for value in before.chain([None, Some(99)]).filter(|value| violation.has_past || value.is_none()) {
            let mut shown = violation.window.clone();
            shift(&mut shown);
            let first = value.map(|value| told(80, Action::Set(value), 0..0, Outcome::Done));
            shown.extend(first);
            prop_assert!(!is_linearizable(&shown), "{:?}", shown);
        }
        // What returned before has an order.
        let end = ended(&violation.unexplained).unwrap();
        let earlier: Vec<Operation> = operations
            .iter()
            .filter(|operation| operation.invoked < end)
            .map(|operation| match ended(operation) {
                Some(at) if at >= end => Operation { ending: Ending::Open, ..operation.clone() },
                Some(_) | None => operation.clone(),
            })
            .collect();
        prop_assert!(is_linearizable(&earlier), "{:?}", earlier);
    }
}

/// Makes room for something before everything else.
fn shift(operations: &mut [Operation]) {
    for operation in operations {
        operation.invoked += 1;
        if let Ending::Returned { at, .. } | Ending::Refused { at } = &mut operation.ending {
            *at += 1;
        }
    }
}

fn ended(operation: &Operation) -> Option<u64> {
    match operation.ending {
        Ending::Returned { at, .. } => Some(at),
        Ending::Open | Ending::Refused { .. } => None,
    }
}
