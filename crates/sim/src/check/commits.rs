//! What is committed is on the disks of a quorum, and is the same for everybody.
//!
//! The quorum is counted anew, from the disks and the configuration on them, each time that any
//! replica's commit index passes all others', for both halves of a configuration; and it has to last:
//! nobody who lacks it could be elected by what is on the disks (paper 5.4.2, figure 8).

use raft_core::{Configuration, Replica};
use types::{GroupId, LogId, LogIndex, Term};

use super::{group_place, of_groups};
use crate::breach::{Held, breach};
use crate::plan::Plan;
use crate::stamps::{Stamp, Stamps};

/// One group's committed log, from index 1.
#[derive(Clone, Debug, Default)]
struct Committed {
    log: Stamps,
    /// The first index that was committed in each term, rising.
    terms: Vec<(LogIndex, Term)>,
}

#[derive(Debug)]
pub(crate) struct Commits {
    groups: Vec<Committed>,
}

impl Commits {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { groups: of_groups(plan, Committed::default()) }
    }

    /// The last entry known to be committed.
    pub(crate) fn last(&self, group: GroupId) -> LogIndex {
        self.groups[group_place(group)].log.last()
    }

    pub(crate) fn at(&self, group: GroupId, index: LogIndex) -> Option<Stamp> {
        self.groups[group_place(group)].log.at(index)
    }

    /// How many entries are committed, all groups together.
    pub(crate) fn total(&self) -> u64 {
        self.groups.iter().map(|group| group.log.last().0).sum()
    }

    /// A replica in `term` with this log says that everything up to `index` is committed; `on_disk`
    /// gives the log on the disk of a replica. Returns how many entries of earlier terms are committed
    /// by it.
    pub(crate) fn commit<'a>(
        &mut self,
        who: (u64, GroupId, Term),
        index: LogIndex,
        log: &Stamps,
        configuration: Option<&Configuration>,
        on_disk: impl Fn(Replica) -> Option<&'a Stamps>,
    ) -> Result<u64, crate::breach::Breach> {
        let (node, group, term) = who;
        let committed = &mut self.groups[group_place(group)];
        let Some(stamp) = log.at(index) else {
            let what = format!("node {node}, group {group}: {index} after {}", log.last());
            return breach("commit indexes lie within the log", what);
        };
        let known = committed.log.last();
        if index <= known {
            if committed.log.at(index) == Some(stamp) {
                return Ok(0);
            }
            let what = format!(
                "node {node}, group {group}: {stamp:?} at {index}, others have {:?}",
                committed.log.at(index)
            );
            return breach("what is committed is the same for all", what);
        }
        if log.at(known) != committed.log.at(known) {
            let what = format!("node {node}, group {group}: another entry at {known}");
            return breach("what is committed is the same for all", what);
        }
        // The first entry is the same on all founders, and committed by being founded.
        if index > LogIndex(1) {
            check_quorum(who, (index, stamp), configuration, &on_disk)?;
            check_lasting(who, (index, stamp), configuration, on_disk)?;
        }
        committed.terms.push((known.next(), term));
        let new = log.after(known).iter().take(usize::try_from(index.0 - known.0).unwrap_or(0));
        let mut of_old_terms = 0;
        for stamp in new {
            of_old_terms += u64::from(stamp.term < term);
            committed.log.push(*stamp);
        }
        Ok(of_old_terms)
    }

    /// The last entry that was committed in a term before `term`; what a leader of `term` must have.
    pub(crate) fn before_term(&self, group: GroupId, term: Term) -> Option<(LogIndex, Stamp)> {
        let committed = &self.groups[group_place(group)];
        let next = committed.terms.iter().find(|(_, of)| *of >= term);
        let index = next.map_or(committed.log.last(), |(first, _)| first.prev());
        committed.log.at(index).map(|stamp| (index, stamp))
    }
}

fn check_quorum<'a>(
    (node, group, term): (u64, GroupId, Term),
    (index, stamp): (LogIndex, Stamp),
    configuration: Option<&Configuration>,
    on_disk: &impl Fn(Replica) -> Option<&'a Stamps>,
) -> Held {
    let Some(configuration) = configuration else {
        let what = format!("node {node}, group {group}: {index} without a configuration");
        return breach("what is committed is on a quorum", what);
    };
    let holds = |replica| on_disk(replica).and_then(|log| log.at(index)) == Some(stamp);
    let half_holds = |half: &[Replica]| {
        let count = half.iter().filter(|replica| holds(**replica)).count();
        half.is_empty() || count * 2 > half.len()
    };
    if half_holds(configuration.incoming()) && half_holds(configuration.outgoing()) {
        return Ok(());
    }
    let what = format!("node {node}, group {group}, term {term}: {index} of term {}", stamp.term);
    breach("what is committed is on a quorum", what)
}

/// Whoever lacks a committed entry is outvoted: those who would vote for him by their logs, himself
/// included, are no quorum.
fn check_lasting<'a>(
    (node, group, term): (u64, GroupId, Term),
    (index, stamp): (LogIndex, Stamp),
    configuration: Option<&Configuration>,
    on_disk: impl Fn(Replica) -> Option<&'a Stamps>,
) -> Held {
    let Some(configuration) = configuration else { return Ok(()) };
    let holds = |replica| on_disk(replica).and_then(|log| log.at(index)) == Some(stamp);
    let last_of = |replica| on_disk(replica).map_or(LogId::ZERO, Stamps::last_id);
    let halves = [configuration.incoming(), configuration.outgoing()];
    let lacking = halves.into_iter().flatten().filter(|replica| !holds(**replica));
    for candidate in lacking {
        let last = last_of(*candidate);
        let wins = |half: &[Replica]| {
            let votes = half.iter().filter(|voter| last_of(**voter) <= last).count();
            half.is_empty() || votes * 2 > half.len()
        };
        if wins(halves[0]) && wins(halves[1]) {
            let what = format!(
                "node {node}, group {group}, term {term}: {index} of term {}, without which node {} \
                 may be elected with {last:?}",
                stamp.term, candidate.node
            );
            return breach("what is committed lasts", what);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use raft_core::{EntryRun, RunBody};
    use types::{NodeId, ReplicaId, StoreId};

    use super::*;

    fn log(terms: &[u64]) -> Stamps {
        let mut log = Stamps::default();
        for (first, term) in (1..).zip(terms) {
            let (first, term) = (LogIndex(first), Term(*term));
            log.extend(&EntryRun { first, term, body: RunBody::TermStart });
        }
        log
    }

    fn three() -> Configuration {
        let replica = |n: u32| {
            let (node, store) = (NodeId(n.into()), StoreId(n.into()));
            Replica { id: ReplicaId(n), node, store }
        };
        Configuration::new([1, 2, 3].map(replica).to_vec(), Vec::new(), Vec::new()).unwrap()
    }

    fn commit(
        commits: &mut Commits,
        index: u64,
        log: &Stamps,
        holders: u64,
    ) -> Result<u64, String> {
        let who = (1, GroupId(1), log.at(log.last()).unwrap().term);
        let on_disk = |replica: Replica| (replica.node.0 <= holders).then_some(log);
        let result = commits.commit(who, LogIndex(index), log, Some(&three()), on_disk);
        result.map_err(|breach| breach.property.to_owned())
    }

    #[test]
    fn an_entry_on_one_disk_of_three_is_not_committed() {
        let mut commits = Commits::new(&Plan::draw(1, 1));
        assert_eq!(commit(&mut commits, 2, &log(&[0, 1]), 2), Ok(1));
        let wrong = commit(&mut commits, 3, &log(&[0, 1, 1]), 1);
        assert_eq!(wrong, Err("what is committed is on a quorum".to_owned()));
    }

    #[test]
    fn an_entry_that_somebody_may_be_elected_without_is_not_committed() {
        let commit = |third: &[u64]| {
            let mut commits = Commits::new(&Plan::draw(1, 1));
            let (who, ours, third) = ((1, GroupId(1), Term(4)), log(&[0, 2]), log(third));
            let on_disk = |replica: Replica| Some(if replica.node.0 < 3 { &ours } else { &third });
            let result = commits.commit(who, LogIndex(2), &ours, Some(&three()), on_disk);
            result.map_err(|breach| breach.property)
        };
        assert_eq!(commit(&[0]), Ok(2));
        assert_eq!(commit(&[0, 1, 1]), Ok(2), "longer, and of an earlier term");
        assert_eq!(commit(&[0, 3]), Err("what is committed lasts"), "figure 8");
    }

    #[test]
    fn two_histories_are_not_both_committed() {
        let mut commits = Commits::new(&Plan::draw(1, 1));
        commit(&mut commits, 2, &log(&[0, 1]), 3).unwrap();
        let wrong = commit(&mut commits, 3, &log(&[0, 2, 2]), 3);
        assert_eq!(wrong, Err("what is committed is the same for all".to_owned()));
    }

    #[test]
    fn a_leader_answers_for_what_was_committed_before_its_term() {
        let mut commits = Commits::new(&Plan::draw(1, 1));
        commit(&mut commits, 2, &log(&[0, 1]), 3).unwrap();
        commit(&mut commits, 3, &log(&[0, 1, 4]), 3).unwrap();
        let before = |term| commits.before_term(GroupId(1), Term(term)).map(|(index, _)| index);
        assert_eq!(before(4), Some(LogIndex(2)));
        assert_eq!(before(5), Some(LogIndex(3)));
        assert_eq!(before(1), Some(LogIndex(0)));
    }
}
