//! Log matching: two entries of the same index and term are the same, and so is all before them
//! (paper 5.3). Looked at when an entry is handed over to be written, by whichever replica.

use std::collections::BTreeMap;

use raft_core::EntryRun;
use types::{GroupId, LogIndex, Term};

use super::{Replicas, group_place, of_groups};
use crate::breach::{Breach, Held, breach};
use crate::plan::Plan;
use crate::stamps::{Stamp, Stamps};

/// Every entry that any replica ever had, by index and term.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The first one seen at each index.
    first: Stamps,
    /// Those of other terms.
    others: BTreeMap<(LogIndex, Term), u64>,
}

impl Seen {
    /// Whether it is the one that was seen before under that index and term, if any.
    fn agrees(&mut self, index: LogIndex, stamp: Stamp) -> bool {
        match self.first.at(index) {
            None => {
                self.first.push(stamp);
                true
            }
            Some(first) if first.term == stamp.term => first.prefix == stamp.prefix,
            Some(_) => {
                let first = self.others.entry((index, stamp.term)).or_insert(stamp.prefix);
                *first == stamp.prefix
            }
        }
    }
}

/// The logs of all replicas, what is not yet durable included.
#[derive(Debug)]
pub(crate) struct Logs {
    seen: Vec<Seen>,
    logs: Replicas<Stamps>,
}

impl Logs {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            seen: of_groups(plan, Seen::default()),
            logs: Replicas::new(plan, Stamps::default()),
        }
    }

    /// The log of a replica.
    pub(crate) fn of(&self, node: u64, group: GroupId) -> &Stamps {
        self.logs.of(node, group)
    }

    /// A replica appends a run; returns how many entries that discards.
    pub(crate) fn append(
        &mut self,
        node: u64,
        group: GroupId,
        run: &EntryRun,
    ) -> Result<u64, Breach> {
        let log = self.logs.of_mut(node, group);
        let last = log.last();
        if run.first > last.next() || run.first == LogIndex::ZERO {
            let what = format!("node {node}, group {group}: {} after {last}", run.first);
            return breach("logs have no gaps", what);
        }
        let discarded = last.next().0 - run.first.0;
        if discarded > 0 {
            log.truncate(run.first);
        }
        let before = log.last();
        let term = log.at(before).unwrap_or(Stamp::START).term;
        if run.term < term {
            let what = format!("node {node}, group {group}: {} after {term}", run.term);
            return breach("terms in a log never fall", what);
        }
        log.extend(run);
        let mut index = before;
        for stamp in log.after(before) {
            index = index.next();
            if !self.seen[group_place(group)].agrees(index, *stamp) {
                let what = format!("node {node}, group {group}: {index} of term {}", stamp.term);
                return breach("logs match", what);
            }
        }
        Ok(discarded)
    }

    /// A replica comes back with what is durable.
    pub(crate) fn restart(&mut self, node: u64, group: GroupId, durable: &Stamps) {
        *self.logs.of_mut(node, group) = durable.clone();
    }

    /// A replica is gone with its disk.
    pub(crate) fn forget(&mut self, node: u64, group: GroupId) {
        *self.logs.of_mut(node, group) = Stamps::default();
    }

    /// A leader has everything that was committed before its term (paper 5.4.3): compares its log
    /// with what is committed, as far as that happened in earlier terms.
    pub(crate) fn check_complete(
        &self,
        node: u64,
        group: GroupId,
        term: Term,
        committed: Option<(LogIndex, Stamp)>,
    ) -> Held {
        let Some((index, stamp)) = committed else { return Ok(()) };
        if self.of(node, group).at(index) == Some(stamp) {
            return Ok(());
        }
        let last = self.of(node, group).last();
        let what = format!(
            "node {node} leads group {group} in term {term} without the committed {index} of \
             {stamp:?}, its log ends at {last}"
        );
        breach("leaders have all that is committed", what)
    }
}

#[cfg(test)]
mod tests {
    use raft_core::RunBody;

    use super::*;

    fn run(first: u64, term: u64) -> EntryRun {
        EntryRun { first: LogIndex(first), term: Term(term), body: RunBody::TermStart }
    }

    #[test]
    fn different_histories_under_one_index_and_term_are_a_breach() {
        let mut logs = Logs::new(&Plan::draw(1, 1));
        let group = GroupId(1);
        for node in [1, 2] {
            logs.append(node, group, &run(1, node)).unwrap();
        }
        logs.append(1, group, &run(2, 3)).unwrap();
        let wrong = logs.append(2, group, &run(2, 3)).unwrap_err();
        assert_eq!(wrong.property, "logs match");
    }

    #[test]
    fn gaps_and_falling_terms_are_breaches() {
        let mut logs = Logs::new(&Plan::draw(1, 1));
        let group = GroupId(1);
        assert!(logs.append(1, group, &run(2, 1)).is_err());
        assert_eq!(logs.append(1, group, &run(1, 2)), Ok(0));
        assert!(logs.append(1, group, &run(2, 1)).is_err());
        assert_eq!(logs.append(1, group, &run(1, 3)), Ok(1));
    }
}
