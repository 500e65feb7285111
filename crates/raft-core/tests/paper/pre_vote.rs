//! Pre-vote: dissertation 9.6.

use raft_core::{MessageBody, Role};
use types::{LogIndex, Term};

use super::{answer, bodies, said_durably};
use crate::harness::{Cluster, id, log_id, message};

fn pre_vote(next_term: u64, last: (u64, u64)) -> MessageBody {
    MessageBody::PreVote { next_term: Term(next_term), last: log_id(last) }
}

fn response(next_term: u64, granted: bool) -> MessageBody {
    MessageBody::PreVoteResponse { next_term: Term(next_term), granted }
}

/// 9.6: a replica increments its term only after a majority said that it would vote for it.
#[test]
fn a_term_begins_only_after_a_majority_of_pre_votes() {
    let mut cluster = Cluster::new(5);
    cluster.node(1).campaign();
    let asked = bodies(said_durably(&mut cluster, 1));
    assert_eq!(asked, vec![pre_vote(1, (1, 0)); 4]);
    for (n, role, term) in
        [(2, Role::PreCandidate, 0), (2, Role::PreCandidate, 0), (3, Role::Candidate, 1)]
    {
        cluster.node(1).step(message(n, 1, 0, response(1, true))).unwrap();
        assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (role, Term(term)));
    }
}

/// 9.6: a partitioned replica cannot raise its term, and so disturbs nobody when it returns.
#[test]
fn an_isolated_replica_that_returns_deposes_nobody() {
    let mut cluster = Cluster::led_by_one(3);
    let term = cluster.node(1).term();
    cluster.isolate(3);
    cluster.tick(2_000);
    assert_eq!(cluster.node(3).term(), term, "pre-votes moved its term");
    cluster.heal();
    cluster.tick(50);
    assert_eq!((cluster.leader(), cluster.node(1).term()), (Some(1), term));
    assert_eq!(cluster.node(3).leader(), Some(id(1)));
}

/// 9.6: whoever answers a pre-vote promises nothing: term, vote and election timeout are as they
/// were, nothing is written, and the next who asks is told the same.
#[test]
fn a_pre_vote_changes_nothing_at_who_answers_it() {
    let mut cluster = Cluster::new(4);
    let before = (cluster.node(2).status(), cluster.node(2).deadline());
    for asking in [1, 3, 4] {
        cluster.node(2).step(message(asking, 2, 0, pre_vote(1, (1, 0)))).unwrap();
        cluster.collect(2);
        assert!(cluster.host(2).writes.is_empty());
        assert_eq!(bodies(cluster.take_messages()), [response(1, true)]);
    }
    assert_eq!((cluster.node(2).status(), cluster.node(2).deadline()), before);
}

/// 9.6: a pre-vote is granted if the term asked for is newer and the log is up to date.
#[test]
fn a_pre_vote_is_granted_where_a_vote_would_be() {
    let cases = [
        (&[1, 2][..], 3, (3, 2), true),
        (&[1, 2], 3, (2, 2), false),
        (&[1, 2], 3, (9, 1), false),
        (&[1], 3, (2, 1), true),
        (&[1], 2, (2, 1), false),
    ];
    for (log, next_term, last, granted) in cases {
        let mut cluster = Cluster::with_logs(2, &[&[], log, &[]]);
        let answers = answer(&mut cluster, 1, 2, next_term - 1, pre_vote(next_term, last));
        let expected = response(next_term, granted);
        assert_eq!(bodies(answers), [expected], "{log:?} is asked for {next_term} by {last:?}");
    }
}

/// 9.6: nor is one granted while a leader lives: by a follower that hears it, and by the leader.
#[test]
fn nobody_grants_a_pre_vote_while_a_leader_lives() {
    let mut cluster = Cluster::led_by_one(3);
    for n in 1..=2 {
        let answers = answer(&mut cluster, 3, n, 8, pre_vote(9, (99, 8)));
        assert!(bodies(answers).contains(&response(9, false)), "replica {n}");
    }
    let until = cluster.now.after(cluster.settings.timing.election_ticks_min());
    cluster.node(2).tick(until);
    let answers = answer(&mut cluster, 3, 2, 8, pre_vote(9, (99, 8)));
    assert!(bodies(answers).contains(&response(9, true)), "its promise has run out");
    assert_eq!(cluster.node(2).term(), Term(1));
}

/// 9.6: granted pre-votes for another term than the one asked for belong to another question.
#[test]
fn an_answer_to_another_question_is_not_counted() {
    let mut cluster = Cluster::new(3);
    cluster.node(1).campaign();
    cluster.node(1).step(message(2, 1, 0, response(2, true))).unwrap();
    assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::PreCandidate, Term(0)));
    // And a granted vote is no pre-vote.
    cluster.node(1).step(message(2, 1, 0, MessageBody::VoteResponse { granted: true })).unwrap();
    assert_eq!(cluster.node(1).role(), Role::PreCandidate);
    // A leader of the same term ends the question.
    let beat = MessageBody::Heartbeat { commit: LogIndex(1), round: None };
    cluster.node(1).step(message(2, 1, 0, beat)).unwrap();
    cluster.node(1).step(message(3, 1, 0, response(1, true))).unwrap();
    assert_eq!(cluster.node(1).role(), Role::Follower);
}
