//! Log replication: paper 5.3, figures 2 and 7; dissertation 3.5.

use raft_core::{MessageBody, Role};
use types::{LogIndex, Term};

use super::{answer, bodies, exchange, said, said_durably};
use crate::harness::{Cluster, append, id, log_id, message, run};

/// 5.3: a leader appends a command to its log as a new entry, and sends it to every other replica in
/// parallel.
#[test]
fn a_command_becomes_an_entry_and_goes_to_everybody_in_parallel() {
    let mut cluster = Cluster::with_learners(3, 1);
    cluster.elect(1);
    let at = cluster.propose(1, b"x").unwrap();
    assert_eq!(at, log_id((3, 1)));
    let expected = append((2, 1), 2, vec![run(3, 1, &[b"x"])]);
    let messages = said(&mut cluster, 1);
    assert_eq!(messages, [2, 3, 4].map(|n| message(1, n, 1, expected.clone())));
}

/// 5.3: an entry is committed once the leader that made it has it on a majority of the replicas; its
/// own disk counts, a learner does not.
#[test]
fn an_entry_commits_when_a_majority_of_the_voters_holds_it() {
    for voters in 1..=5u32 {
        let learner = voters + 1;
        for holders in 0..1u32 << (voters - 1) {
            let mut cluster = Cluster::with_learners(voters, 1);
            cluster.elect(1);
            let at = cluster.propose(1, b"x").unwrap();
            said_durably(&mut cluster, 1);
            let accepted = || MessageBody::Accepted { matched: at.index };
            cluster.node(1).step(message(learner, 1, 1, accepted())).unwrap();
            for n in (2..=voters).filter(|n| holders & 1 << (n - 2) != 0) {
                cluster.node(1).step(message(n, 1, 1, accepted())).unwrap();
            }
            let count = holders.count_ones() + 1;
            let is_committed = cluster.node(1).commit_index() == at.index;
            assert_eq!(is_committed, 2 * count > voters, "{count} of {voters}");
        }
    }
}

/// 5.3: a commit covers all entries before it in the leader's log, also those that earlier leaders
/// made.
#[test]
fn a_commit_covers_what_earlier_leaders_left_behind() {
    for log in [&[][..], &[2], &[1, 2], &[1, 1, 2]] {
        let mut cluster = Cluster::with_logs(2, &[log, &[], &[]]);
        cluster.elect(1);
        let committed: Vec<Term> =
            cluster.oracle.committed.iter().map(|entry| entry.term).collect();
        let founding = std::iter::once(&0);
        let expected: Vec<Term> = founding.chain(log).chain([&3]).map(|term| Term(*term)).collect();
        assert_eq!(committed, expected);
        assert_eq!(cluster.node(1).applied_index().0, expected.len() as u64);
    }
}

/// 5.3: the leader tells its highest committed index in later messages, heartbeats included, and a
/// follower that learns of it applies the entry.
#[test]
fn the_commit_index_travels_with_later_messages() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(3);
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    assert_eq!(cluster.node(1).commit_index(), at.index);
    assert!(cluster.node(2).commit_index() < at.index, "nothing was said since");

    cluster.propose(1, b"y").unwrap();
    let appends = said(&mut cluster, 1);
    let to_two = appends.into_iter().find(|m| m.to == id(2)).unwrap();
    assert!(matches!(to_two.body, MessageBody::Append { commit, .. } if commit == at.index));
    cluster.deliver(to_two).unwrap();
    assert_eq!(cluster.node(2).commit_index(), at.index);
    cluster.settle();

    let beat = cluster.node(1).deadline().unwrap();
    cluster.node(1).tick(beat);
    let commits: Vec<(u32, u64)> = said(&mut cluster, 1)
        .into_iter()
        .filter_map(|m| match m.body {
            MessageBody::Heartbeat { commit, .. } => Some((m.to.0, commit.0)),
            _ => None,
        })
        .collect();
    assert_eq!(commits, [(2, 4), (3, 2)], "no further than the receiver is known to match");
}

/// 5.3, figure 2: once a follower learns that an entry is committed, it applies it, in log order,
/// and not what lies behind.
#[test]
fn a_follower_applies_what_is_committed_in_log_order() {
    for (commit, expected) in [(2, vec![]), (3, vec![3]), (4, vec![3, 4]), (9, vec![3, 4])] {
        let mut cluster = Cluster::led_by_one(3);
        cluster.tick(2);
        cluster.host(2).to_apply.clear();
        let runs = vec![run(3, 1, &[b"a"]), run(4, 1, &[b"b"])];
        answer(&mut cluster, 1, 2, 1, append((2, 1), commit, runs));
        let indexes: Vec<u64> =
            cluster.host(2).to_apply.iter().flat_map(|r| r.first.0..=r.last().0).collect();
        assert_eq!(indexes, expected, "commit {commit}");
    }
}

/// Figure 2, receiver's step 5: the commit index is the leader's, but not beyond the last entry that
/// came with it: what lies behind may differ from the leader's log. The same holds for what is
/// acknowledged.
#[test]
fn commit_and_acknowledgement_cover_only_what_was_verified() {
    // 2 has entries 3 and 4 of term 1 that the leader of term 2 never saw.
    let mut cluster = Cluster::led_by_one(3);
    answer(&mut cluster, 1, 2, 1, append((2, 1), 2, vec![run(3, 1, &[b"old", b"old"])]));
    let answers = answer(&mut cluster, 3, 2, 2, append((2, 1), 9, vec![]));
    assert_eq!(bodies(answers), [MessageBody::Accepted { matched: LogIndex(2) }]);
    assert_eq!(cluster.node(2).commit_index(), LogIndex(2));
}

/// 5.3, figure 2: a follower without an entry of that index and term before the new ones refuses
/// them.
///
/// Deviation: the refusal names the last entry at or before it whose term is no later, as in the
/// optimisation that ends 5.3.
#[test]
fn a_follower_without_the_entry_before_refuses_and_says_where_to_look() {
    let accepted = |index| MessageBody::Accepted { matched: LogIndex(index) };
    let rejected = |prev, hint| MessageBody::Rejected { prev: LogIndex(prev), hint: log_id(hint) };
    let cases = [
        ((1, 0), accepted(1)),
        ((2, 1), accepted(2)),
        ((3, 2), accepted(3)),
        ((3, 1), rejected(3, (2, 1))),
        ((3, 3), rejected(3, (2, 1))),
        ((2, 2), rejected(2, (1, 0))),
        ((4, 2), rejected(4, (3, 2))),
        ((9, 4), rejected(9, (3, 2))),
        ((9, 1), rejected(9, (2, 1))),
    ];
    for (prev, expected) in cases {
        let mut cluster = Cluster::with_logs(2, &[&[], &[1, 2], &[]]);
        let before = cluster.host(2).disk.ids();
        let answers = answer(&mut cluster, 1, 2, 5, append(prev, 0, vec![]));
        assert_eq!(bodies(answers), [expected], "after {prev:?}");
        assert_eq!(cluster.host(2).disk.ids(), before);
    }
}

/// Figure 2, receiver's steps 3 and 4: an entry that conflicts with a new one is deleted with all
/// behind it; entries that are there already stay, and so does what lies behind them.
#[test]
fn conflicting_entries_are_replaced_and_matching_ones_stay() {
    let entry = |index, term| run(index, term, &[b""]);
    let cases = [
        ((3, 2), vec![entry(4, 3)], vec![0, 1, 2, 3]),
        ((2, 1), vec![entry(3, 3), entry(4, 4)], vec![0, 1, 3, 4]),
        ((1, 0), vec![entry(2, 1)], vec![0, 1, 2]),
        ((1, 0), vec![entry(2, 1), entry(3, 2), entry(4, 2)], vec![0, 1, 2, 2]),
        ((1, 0), vec![entry(2, 1), entry(3, 4)], vec![0, 1, 4]),
        ((1, 0), vec![entry(2, 3)], vec![0, 3]),
    ];
    for (prev, runs, expected) in cases {
        let mut cluster = Cluster::with_logs(2, &[&[], &[1, 2], &[]]);
        answer(&mut cluster, 1, 2, 5, append(prev, 1, runs.clone()));
        let terms: Vec<u64> = cluster.host(2).disk.ids().iter().map(|id| id.term.0).collect();
        assert_eq!(terms, expected, "after {prev:?} came {runs:?}");
    }
}

/// 5.3: a late append, overtaken by a longer one, takes nothing away from a follower.
#[test]
fn a_late_append_removes_no_matching_entries() {
    let mut cluster = Cluster::led_by_one(3);
    let early = append((2, 1), 2, vec![run(3, 1, &[b"x"])]);
    let late = append((3, 1), 2, vec![run(4, 1, &[b"y", b"z"])]);
    for body in [early.clone(), late, early] {
        cluster.node(2).step(message(1, 2, 1, body)).unwrap();
    }
    assert_eq!(cluster.node(2).last_index(), LogIndex(5));
}

/// The log of figure 7's leader of term 8, behind the founding entry.
const FIGURE_7: [u64; 10] = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];

/// Elects the leader of figure 7 beside a follower with `log` and one without any entry. Both must
/// end with the leader's log, of which nothing was lost. Returns how often the follower refused.
fn brought_in_line(log: &[u64]) -> usize {
    let mut cluster = Cluster::with_logs(7, &[&FIGURE_7, log, &[]]);
    let before = cluster.host(1).disk.ids();
    cluster.node(1).campaign();
    let mut refusals = 0;
    exchange(&mut cluster, |message| {
        let is_refusal = matches!(message.body, MessageBody::Rejected { .. });
        refusals += usize::from(is_refusal && message.from == id(2));
    });
    assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::Leader, Term(8)));
    let logs: Vec<_> = (1..=3).map(|n| cluster.host(n).disk.ids()).collect();
    assert_eq!(logs[1], logs[0]);
    assert_eq!(logs[2], logs[0]);
    // Figure 3, leader append-only: its own entries are those it had, and its first of term 8.
    assert_eq!(logs[0].split_last(), Some((&log_id((12, 8)), &before[..])));
    refusals
}

/// 5.3, figure 7: whatever a follower's log lacks or has too much, the leader makes it the same as
/// its own. (a) lacks one entry.
#[test]
fn figure_7_a_an_entry_is_missing() {
    assert_eq!(brought_in_line(&FIGURE_7[..9]), 1);
}

/// Figure 7 (b): many entries are missing.
#[test]
fn figure_7_b_many_entries_are_missing() {
    assert_eq!(brought_in_line(&[1, 1, 1, 4]), 1);
}

/// Figure 7 (c): an entry too many, of the leader's last term.
#[test]
fn figure_7_c_an_uncommitted_entry_is_too_many() {
    let log = [&FIGURE_7[..], &[6]].concat();
    assert_eq!(brought_in_line(&log), 0);
}

/// Figure 7 (d): entries too many, of a term that the leader's log does not have.
#[test]
fn figure_7_d_entries_of_a_later_term_are_too_many() {
    let log = [&FIGURE_7[..], &[7, 7]].concat();
    assert_eq!(brought_in_line(&log), 0);
}

/// Figure 7 (e): some entries are missing, and others too many.
#[test]
fn figure_7_e_entries_are_missing_and_others_too_many() {
    assert_eq!(brought_in_line(&[1, 1, 1, 4, 4, 4, 4]), 1);
}

/// Figure 7 (f): a leader of terms 2 and 3 that crashed each time before it committed anything.
#[test]
fn figure_7_f_two_terms_were_never_committed() {
    assert_eq!(brought_in_line(&[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]), 1);
}

/// End of 5.3: one refusal for each term that conflicts, not one for each entry.
#[test]
fn a_refusal_skips_a_whole_term() {
    let terms = |of: [u64; 4]| of.iter().flat_map(|term| [*term; 30]).collect::<Vec<u64>>();
    let (ours, theirs) = (terms([1, 4, 6, 8]), terms([1, 3, 5, 7]));
    let mut cluster = Cluster::with_logs(8, &[&ours, &theirs, &[]]);
    cluster.node(1).campaign();
    let mut refusals = 0;
    exchange(&mut cluster, |message| {
        let is_refusal = matches!(message.body, MessageBody::Rejected { .. });
        refusals += usize::from(is_refusal && message.from == id(2));
    });
    assert!((2..=4).contains(&refusals), "{refusals} for three terms of 30 entries");
    assert_eq!(cluster.host(2).disk.ids(), cluster.host(1).disk.ids());
}
