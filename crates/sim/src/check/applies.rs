//! State-machine safety: what is applied is committed, in order, and the same on every node, over all
//! restarts (paper 5.4.3).

use raft_core::EntryRun;
use types::{GroupId, LogIndex};

use crate::breach::{Held, breach};
use crate::check::commits::Commits;
use crate::machine::Machine;

/// Before a run is applied.
pub(crate) fn check_order(node: u64, group: GroupId, machine: &Machine, run: &EntryRun) -> Held {
    if run.first == machine.applied.next() {
        return Ok(());
    }
    let what = format!("node {node}, group {group}: {} after {}", run.first, machine.applied);
    breach("entries are applied in order", what)
}

/// After it was applied: equal hashes at equal indexes.
pub(crate) fn check_equal(node: u64, group: GroupId, machine: &Machine, commits: &Commits) -> Held {
    if commits.at(group, machine.applied) == Some(machine.stamp) {
        return Ok(());
    }
    let (applied, last) = (machine.applied, commits.last(group));
    let what = format!(
        "node {node}, group {group}: at {applied} it has {:?}, committed up to {last} is {:?}",
        machine.stamp,
        commits.at(group, applied)
    );
    breach("machines apply what is committed", what)
}

/// What was delivered and is not applied stays within its limit, but for one entry.
pub(crate) fn check_room(
    node: u64,
    group: GroupId,
    waiting: usize,
    largest: usize,
    bytes_max: usize,
) -> Held {
    if waiting <= bytes_max + largest {
        return Ok(());
    }
    let what = format!("node {node}, group {group}: {waiting} bytes, at most {bytes_max}");
    breach("deliveries stay within their limit", what)
}

/// A replica that was committed up to `index` never replaces an entry up to there.
pub(crate) fn check_kept(node: u64, group: GroupId, run: &EntryRun, committed: LogIndex) -> Held {
    if run.first > committed {
        return Ok(());
    }
    let what = format!("node {node}, group {group}: {} up to {committed}", run.first);
    breach("what is committed is not replaced", what)
}
