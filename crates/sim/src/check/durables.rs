//! What a replica takes for durable is on its node's disk: that very entry, and not another one that
//! stood at its place before the log was truncated.

use types::{GroupId, LogIndex};

use crate::breach::{Held, breach};
use crate::stamps::Stamps;

/// A replica whose log is `log`, what is not durable included, counts on everything up to `persisted`.
pub(crate) fn check(
    node: u64,
    group: GroupId,
    persisted: LogIndex,
    disk: Option<&Stamps>,
    log: &Stamps,
) -> Held {
    let on_disk = disk.and_then(|disk| disk.at(persisted));
    if persisted == LogIndex::ZERO || on_disk.is_some() && on_disk == log.at(persisted) {
        return Ok(());
    }
    let wanted = log.at(persisted);
    let what = format!(
        "node {node}, group {group}: counts on {persisted} as {wanted:?}, on its disk is {on_disk:?}"
    );
    breach("what counts as durable is on disk", what)
}

#[cfg(test)]
mod tests {
    use raft_core::{EntryRun, RunBody};
    use types::Term;

    use super::*;

    fn log(terms: &[u64]) -> Stamps {
        let mut stamps = Stamps::default();
        for (first, term) in (1..).zip(terms) {
            let (first, term) = (LogIndex(first), Term(*term));
            stamps.extend(&EntryRun { first, term, body: RunBody::TermStart });
        }
        stamps
    }

    #[test]
    fn another_entry_or_none_at_the_place_is_a_breach() {
        let holds = |persisted, disk: Option<&[u64]>, in_memory: &[u64]| {
            let disk = disk.map(log);
            check(1, GroupId(1), LogIndex(persisted), disk.as_ref(), &log(in_memory)).is_ok()
        };
        assert!(holds(2, Some(&[1, 1]), &[1, 1, 2]) && holds(1, Some(&[1, 1]), &[1, 2]));
        assert!(holds(0, None, &[1]), "nothing is counted on");
        assert!(!holds(2, Some(&[1, 1]), &[1, 2]), "the entry before a truncation is there");
        assert!(!holds(2, Some(&[1]), &[1, 1]) && !holds(1, None, &[1]));
    }
}
