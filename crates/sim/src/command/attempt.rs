//! One run, whose panics are violations like any other.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::process::ExitCode;
use std::rc::Rc;

use sim::{Outcome, Plan, Teller, Violation, run};

use super::bound::Bound;
use super::commit::commit;
use super::shrink;
use super::table;

/// Runs a plan; an assertion of the engine that fails is a violation of its own. A run that does not
/// end ends the process.
pub(crate) fn attempt(plan: Plan, teller: Option<Teller<'_>>) -> Result<Outcome, Box<Violation>> {
    thread_local! {
        static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    }
    set_hook(Box::new(|info| {
        PANIC.with(|panic| *panic.borrow_mut() = Some(info.to_string()));
    }));
    let _bound = Bound::of(&plan);
    // The world is dropped with the panic, and nothing else is shared with it.
    let result = catch_unwind(AssertUnwindSafe(|| run(plan, teller)));
    let _ = std::panic::take_hook();
    result.unwrap_or_else(|_| {
        let what = PANIC.with(|panic| panic.borrow_mut().take()).unwrap_or_default();
        let place = what.lines().next().unwrap_or_default().to_owned();
        let property = format!("assertions hold ({place})");
        let what = what.replace('\n', " ");
        Err(Box::new(Violation { plan, at_us: 0, events: 0, property, what }))
    })
}

/// Runs one seed, tells its story if that is wanted, and says what came of it.
pub(crate) fn run_one(plan: &Plan, is_told: bool) -> ExitCode {
    let mut teller = |line: String| println!("{line}");
    if is_told {
        println!("{plan:#?}");
    }
    match attempt(*plan, is_told.then_some(&mut teller as Teller<'_>)) {
        Ok(outcome) => {
            println!(
                "seed {} passed, trace {:016x}, {} events, {} s simulated, {} entries committed",
                plan.seed,
                outcome.trace,
                outcome.events,
                outcome.simulated_us / 1_000_000,
                outcome.committed
            );
            if is_told {
                table::print(&outcome.coverage);
            }
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("{violation}");
            if !is_told {
                explain(&violation);
            }
            ExitCode::FAILURE
        }
    }
}

/// Shows the last events before a violation, of a run as small as shows it.
pub(crate) fn explain(violation: &Violation) {
    const TAIL_LINES: usize = 40;
    let small = shrink::shrink(violation);
    let lines = Rc::new(RefCell::new(std::collections::VecDeque::new()));
    let tail = lines.clone();
    let mut teller = move |line: String| {
        let mut tail = tail.borrow_mut();
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    };
    let again = attempt(small.plan, Some(&mut teller));
    eprintln!("\nas small as it gets:");
    lines.borrow().iter().for_each(|line| eprintln!("  {line}"));
    match again {
        Ok(_) => eprintln!("it did not happen again: the run is not deterministic"),
        Err(again) => eprintln!("{again}"),
    }
    let options = shrink::options(&small.plan);
    eprintln!("\nagain, at commit {}: cargo run --release -p sim -- {options}", commit());
}
