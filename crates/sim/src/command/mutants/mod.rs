//! The mutation gate: puts known bugs in, and shows after how many seeds each is caught. A bug that
//! nothing catches is a gap in the plans, the faults or the checks, and is closed there: nothing
//! here, nor in what is checked, knows of any single bug.

mod copy;
mod hunt;
mod patch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rustix::time::{ClockId, clock_gettime};

use super::commit::commit;
use copy::Copy;
use hunt::{Prey, hunt};
use patch::Patch;

/// How many bugs a commit chooses, and within how many seeds they have to be known to be caught.
const CHOSEN: usize = 3;
const CHOSEN_WITHIN: u64 = 200;

/// Puts known bugs into a copy of the tree, one at a time, and shows after how many seeds each is
/// caught.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Only those whose names begin so.
    names: Vec<String>,
    /// Only look whether all of them still apply.
    #[arg(long)]
    check: bool,
    /// Three that are caught soon, another three with each commit.
    #[arg(long, conflicts_with = "names")]
    of_commit: bool,
    /// On how many seeds a bug may pass.
    #[arg(long, default_value_t = 5_000)]
    seeds: u64,
    /// How many processes run them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let root = root();
    let patches = Patch::all(&root).map_err(|error| error.to_string());
    let chosen = patches.and_then(|patches| choose(arguments, patches));
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::FAILURE;
        }
    };
    let all_caught =
        if arguments.check { check(&root, &chosen) } else { hunt_all(arguments, &root, &chosen) };
    if all_caught { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.join("../..");
    root.canonicalize().unwrap_or(root)
}

fn choose(arguments: &Arguments, patches: Vec<Patch>) -> Result<Vec<Patch>, String> {
    if arguments.of_commit {
        return of_commit(&commit(), patches);
    }
    let is_named = |patch: &Patch, name: &String| patch.name.starts_with(name.as_str());
    let unknown = |name: &&String| !patches.iter().any(|patch| is_named(patch, name));
    if let Some(name) = arguments.names.iter().find(unknown) {
        return Err(format!("no planted bug begins with {name:?}"));
    }
    let is_chosen = |patch: &Patch| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| is_named(patch, name))
    };
    Ok(patches.into_iter().filter(is_chosen).collect())
}

/// Chooses by the hash of a commit, so that whoever looks at it again chooses the same.
fn of_commit(commit: &str, mut patches: Vec<Patch>) -> Result<Vec<Patch>, String> {
    let hash: String = commit.chars().take_while(char::is_ascii_hexdigit).collect();
    let Ok(hash) = u64::from_str_radix(&hash, 16) else {
        return Err(format!("the commit is {commit}, expected a hash: is this a git checkout?"));
    };
    patches.retain(|patch| patch.within <= CHOSEN_WITHIN);
    let mut left = hash;
    let mut chosen = Vec::new();
    while chosen.len() < CHOSEN && !patches.is_empty() {
        let count = patches.len() as u64;
        let place = usize::try_from(left % count).expect("below the count");
        left /= count;
        chosen.push(patches.remove(place));
    }
    Ok(chosen)
}

fn check(root: &Path, patches: &[Patch]) -> bool {
    let mut all_apply = true;
    for patch in patches {
        if let Err(what) = patch.apply(root, true) {
            eprintln!("{}: {what}", patch.name);
            all_apply = false;
        }
    }
    println!("{} planted bugs were looked at", patches.len());
    all_apply
}

fn hunt_all(arguments: &Arguments, root: &Path, patches: &[Patch]) -> bool {
    let copy = Copy::of(root);
    let mut all_caught = true;
    println!("{:<56} {:>6} {:>6}  {:>5}  caught by", "planted bug", "seeds", "known", "s");
    for patch in patches {
        let before = seconds();
        let prey =
            copy.build(patch).and_then(|program| hunt(&program, arguments.seeds, arguments.jobs));
        let took = seconds() - before;
        let (name, known) = (&patch.name, patch.within);
        match prey {
            Ok(Prey::Caught { seed, property }) => {
                println!("{name:<56} {:>6} {known:>6}  {took:>5}  {property}", seed + 1);
            }
            Ok(Prey::Escaped) => {
                println!("{name:<56} {:>6} {known:>6}  {took:>5}  NOTHING", "-");
                all_caught = false;
            }
            Err(what) => {
                println!("{name:<56} {:>6} {known:>6}  {took:>5}  {what}", "-");
                all_caught = false;
            }
        }
    }
    all_caught
}

/// A clock, for nothing but the table.
fn seconds() -> i64 {
    clock_gettime(ClockId::Monotonic).tv_sec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_chooses_three_that_are_caught_soon_and_always_the_same() {
        let patches = || Patch::all(&root()).unwrap();
        let chosen = of_commit("e70301e7b0c1-dirty", patches()).unwrap();
        assert_eq!(chosen.len(), CHOSEN);
        assert!(chosen.iter().all(|patch| patch.within <= CHOSEN_WITHIN));
        assert_eq!(of_commit("e70301e7b0c1", patches()), Ok(chosen.clone()));
        assert_ne!(of_commit("e70301e7b0c2", patches()), Ok(chosen));
        assert!(of_commit("unknown", patches()).unwrap_err().contains("expected a hash"));
    }
}
