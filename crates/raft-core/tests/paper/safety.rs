//! Safety: paper 5.4, figures 3 and 8; dissertation 3.6.

use raft_core::{MessageBody, Role};
use types::{LogIndex, Term};

use super::{answer, bodies, make_candidate, said_durably};
use crate::harness::{Cluster, log_id, message};

/// 5.4.1: a voter denies its vote if its own log is more up to date: of a later term at its end, or
/// of the same term and longer.
#[test]
fn a_voter_refuses_whose_log_is_less_up_to_date() {
    let cases: [(&[u64], (u64, u64), bool); 10] = [
        (&[1], (2, 1), true),
        (&[1], (3, 1), true),
        (&[1, 1], (2, 1), false),
        (&[1], (2, 2), true),
        (&[1, 1], (2, 2), true),
        (&[1, 1, 1], (2, 2), true),
        (&[2], (2, 1), false),
        (&[2], (9, 1), false),
        (&[1, 2], (3, 2), true),
        (&[], (1, 0), true),
    ];
    for (log, last, granted) in cases {
        let mut cluster = Cluster::with_logs(2, &[&[], log, &[]]);
        let vote = MessageBody::Vote { last: log_id(last), is_ordered: false };
        let answers = answer(&mut cluster, 3, 2, 3, vote);
        let expected = MessageBody::VoteResponse { granted };
        assert_eq!(bodies(answers), [expected], "{log:?} is asked by {last:?}");
        assert_eq!(cluster.node(2).term(), Term(3), "the term is entered all the same");
    }
}

/// 5.4.1, 5.4.3: whoever lacks an entry that a majority holds wins no election, whichever majority
/// that is and whoever else may vote; whoever has it can.
#[test]
fn no_majority_elects_who_lacks_a_committed_entry() {
    let majorities = (0..32u32).filter(|holders| holders.count_ones() == 3);
    for holders in majorities {
        for candidate in 1..=5u32 {
            let has = |n: u32| holders & 1 << (n - 1) != 0;
            let logs: Vec<&[u64]> = (1..=5).map(|n| if has(n) { &[1][..] } else { &[] }).collect();
            let mut cluster = Cluster::with_logs(1, &logs);
            cluster.node(candidate).campaign();
            cluster.settle();
            let leads = cluster.node(candidate).role() == Role::Leader;
            assert_eq!(leads, has(candidate), "{candidate} of holders {holders:05b}");
        }
    }
}

/// Figure 8 (c): S1 leads term 4, and its entry of term 2 (index 3 here) is on S1, S2 and S3. S5 has
/// another one of term 3 there. Nothing that S1 sent in term 4 arrived but its questions for votes.
fn figure_8_c() -> Cluster {
    let mut cluster = Cluster::with_logs(3, &[&[1, 2], &[1, 2], &[1, 2], &[1], &[1, 3]]);
    cluster.isolate(5);
    cluster.node(1).campaign();
    for _ in 0..20 {
        for n in 1..=4 {
            while cluster.collect(n) | cluster.persist_all(n) {}
        }
        cluster.network.retain(|m| !matches!(m.body, MessageBody::Append { .. }));
        while cluster.deliver_one() {}
    }
    assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::Leader, Term(4)));
    for n in 2..=3 {
        let accepted = MessageBody::Accepted { matched: LogIndex(3) };
        cluster.node(1).step(message(n, 1, 4, accepted)).unwrap();
    }
    cluster.collect(1);
    cluster.take_messages();
    cluster
}

/// S1 crashes, its promises run out, and S5 asks for votes; also in term 5, after it was told of 4.
fn s5_campaigns(cluster: &mut Cluster) -> Role {
    cluster.crash(1);
    for n in 2..=4 {
        cluster.crash(n);
        cluster.restart(n, 0);
    }
    cluster.heal();
    for _ in 0..2 {
        cluster.node(5).campaign();
        cluster.settle();
    }
    cluster.node(5).role()
}

/// 5.4.2, figure 8 (c) and (d): an entry of an earlier term is not committed because a majority holds
/// it: it may still be overwritten by another leader.
#[test]
fn figure_8_d_an_old_entry_on_a_majority_is_not_committed_and_may_be_overwritten() {
    let mut cluster = figure_8_c();
    assert!(cluster.node(1).commit_index() < LogIndex(3), "on a majority, but of term 2");
    assert_eq!(s5_campaigns(&mut cluster), Role::Leader);
    assert_eq!(cluster.node(5).term(), Term(5));
    cluster.restart(1, 0);
    cluster.tick(10);
    for n in 1..=5 {
        assert_eq!(cluster.host(n).disk.ids()[2], log_id((3, 3)), "S{n}");
    }
    assert_eq!(cluster.oracle.committed[2].term, Term(3));
}

/// 5.4.2, figure 8 (e): once an entry of the leader's own term is on a majority, everything before it
/// is committed with it, and S5 cannot win any more.
#[test]
fn figure_8_e_an_entry_of_the_own_term_commits_the_old_one_with_it() {
    let mut cluster = figure_8_c();
    cluster.tick(8);
    assert_eq!(cluster.node(1).commit_index(), LogIndex(4));
    assert_eq!(cluster.oracle.committed[2].term, Term(2));
    assert_ne!(s5_campaigns(&mut cluster), Role::Leader);
}

/// 5.4.2: only entries of the leader's current term are committed by counting, and they are.
#[test]
fn only_entries_of_the_own_term_are_committed_by_counting() {
    // Behind the founding entry the leader has entries of terms 1 and 2, and its own first at 4. It
    // has just started, so that it knows nothing to be committed.
    for (matched, expected) in [(1, 0), (2, 0), (3, 0), (4, 4)] {
        let mut cluster = Cluster::with_logs(2, &[&[1, 2], &[1, 2], &[1, 2]]);
        make_candidate(&mut cluster);
        said_durably(&mut cluster, 1);
        cluster
            .node(1)
            .step(message(2, 1, 3, MessageBody::VoteResponse { granted: true }))
            .unwrap();
        said_durably(&mut cluster, 1);
        assert_eq!(cluster.node(1).role(), Role::Leader);
        let accepted = MessageBody::Accepted { matched: LogIndex(matched) };
        cluster.node(1).step(message(2, 1, 3, accepted)).unwrap();
        assert_eq!(cluster.node(1).commit_index(), LogIndex(expected), "matched {matched}");
    }
}
