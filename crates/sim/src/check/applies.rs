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

#[cfg(test)]
mod tests {
    use raft_core::{CommandsBuilder, EntryHeader, RunBody};
    use types::Term;

    use super::*;
    use crate::plan::Plan;
    use crate::stamps::Stamps;

    const GROUP: GroupId = GroupId(1);

    fn run(first: u64, payload: &[u8]) -> EntryRun {
        let mut builder = CommandsBuilder::default();
        builder.push(EntryHeader::default(), payload);
        let body = RunBody::Commands(builder.take().unwrap());
        EntryRun { first: LogIndex(first), term: Term(1), body }
    }

    #[test]
    fn an_entry_left_out_or_applied_again_is_a_breach() {
        let mut machine = Machine::new(1);
        assert!(check_order(1, GROUP, &machine, &run(1, b"a")).is_ok());
        machine.apply(&run(1, b"a"), |_, _| ());
        assert!(check_order(1, GROUP, &machine, &run(2, b"b")).is_ok());
        assert!(check_order(1, GROUP, &machine, &run(1, b"a")).is_err());
        assert!(check_order(1, GROUP, &machine, &run(3, b"c")).is_err());
    }

    #[test]
    fn a_machine_that_applied_something_else_than_is_committed_is_a_breach() {
        let mut log = Stamps::default();
        log.extend(&run(1, b"a"));
        let mut commits = Commits::new(&Plan::draw(1, 1));
        commits.commit((1, GROUP, Term(1)), LogIndex(1), &log, None, |_| None).unwrap();
        let (mut right, mut wrong, mut early) = (Machine::new(1), Machine::new(1), Machine::new(1));
        right.apply(&run(1, b"a"), |_, _| ());
        wrong.apply(&run(1, b"x"), |_, _| ());
        early.apply(&run(1, b"a"), |_, _| ());
        early.apply(&run(2, b"b"), |_, _| ());
        assert!(check_equal(1, GROUP, &right, &commits).is_ok());
        assert!(check_equal(1, GROUP, &wrong, &commits).is_err());
        assert!(check_equal(1, GROUP, &early, &commits).is_err(), "2 is not committed");
    }

    #[test]
    fn deliveries_may_go_over_their_limit_by_one_entry() {
        assert!(check_room(1, GROUP, 130, 30, 100).is_ok());
        assert!(check_room(1, GROUP, 131, 30, 100).is_err());
    }

    #[test]
    fn replacing_what_is_committed_is_a_breach() {
        assert!(check_kept(1, GROUP, &run(5, b"a"), LogIndex(4)).is_ok());
        assert!(check_kept(1, GROUP, &run(5, b"a"), LogIndex(5)).is_err());
    }
}
