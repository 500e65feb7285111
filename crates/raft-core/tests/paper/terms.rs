//! Terms: paper 5.1, dissertation 3.3.

use raft_core::{MessageBody, Role};
use types::{LogIndex, Term};

use super::{answer, make_candidate, said_durably};
use crate::harness::{Cluster, append, id, log_id, message, run};

fn heartbeat() -> MessageBody {
    MessageBody::Heartbeat { commit: LogIndex(0), round: None }
}

/// Three voters, of which the first is in `role`, and nobody is bound to a leader but by leading.
fn first_in(role: Role) -> Cluster {
    let mut cluster = Cluster::new(3);
    match role {
        Role::Leader => cluster.elect(1),
        Role::Candidate => make_candidate(&mut cluster),
        Role::PreCandidate => cluster.node(1).campaign(),
        Role::Follower | Role::Learner => {}
    }
    assert_eq!(cluster.node(1).role(), role);
    cluster
}

/// 5.1: whoever sees a larger term takes it over, and a candidate or leader whose term is out of
/// date becomes a follower at once.
///
/// Deviation: a pre-vote and a granted pre-vote speak of a term to come and move nobody
/// (`pre_vote.rs`); a vote request is not weighed by a leader (`membership.rs`).
#[test]
fn a_newer_term_in_any_message_is_entered_and_ends_every_role() {
    let bodies = [
        append((1, 0), 1, vec![]),
        heartbeat(),
        MessageBody::Accepted { matched: LogIndex(1) },
        MessageBody::Rejected { prev: LogIndex(1), hint: log_id((0, 0)) },
        MessageBody::HeartbeatResponse { round: None },
        MessageBody::VoteResponse { granted: true },
        MessageBody::VoteResponse { granted: false },
        MessageBody::PreVoteResponse { next_term: Term(8), granted: false },
        MessageBody::Vote { last: log_id((0, 0)), is_ordered: false },
    ];
    for role in [Role::Follower, Role::PreCandidate, Role::Candidate, Role::Leader] {
        for body in &bodies {
            if role == Role::Leader && matches!(body, MessageBody::Vote { .. }) {
                continue;
            }
            let mut cluster = first_in(role);
            cluster.node(1).step(message(2, 1, 7, body.clone())).unwrap();
            let status = cluster.node(1).status();
            assert_eq!((status.role, status.term), (Role::Follower, Term(7)), "{role:?} {body:?}");
            let is_from_leader =
                matches!(body, MessageBody::Append { .. } | MessageBody::Heartbeat { .. });
            assert_eq!(status.leader, is_from_leader.then_some(id(2)), "{role:?} {body:?}");
        }
    }
}

/// 5.1: a request with an older term is rejected; figure 2: the answer carries the newer term, so
/// that whoever asked steps down.
///
/// Deviation: an append is refused by a heartbeat answer, which says as much and nothing of the log.
#[test]
fn a_request_of_an_older_term_changes_nothing_and_is_answered_with_the_newer() {
    let refused = MessageBody::VoteResponse { granted: false };
    let outdated = MessageBody::HeartbeatResponse { round: None };
    let requests = [
        (append((1, 0), 1, vec![run(2, 4, &[b"old"])]), outdated.clone()),
        (heartbeat(), outdated),
        (MessageBody::Vote { last: log_id((9, 4)), is_ordered: false }, refused),
    ];
    for (request, expected) in requests {
        let mut cluster = Cluster::new(3);
        answer(&mut cluster, 3, 2, 5, heartbeat());
        let before = cluster.node(2).status();
        let answers = answer(&mut cluster, 1, 2, 4, request);
        assert_eq!(answers, [message(2, 1, 5, expected)]);
        assert_eq!(cluster.node(2).status(), before);
    }
}

/// 5.1: replicas exchange their current terms whenever they communicate. So what waited for a write
/// while its term went by is not said any more.
#[test]
fn nothing_is_said_for_a_term_that_is_over() {
    let mut cluster = Cluster::new(3);
    make_candidate(&mut cluster);
    cluster.collect(1);
    cluster.take_messages();
    assert_eq!(cluster.host(1).writes.len(), 1, "the candidate's term and vote are under way");
    cluster.node(1).step(message(2, 1, 5, heartbeat())).unwrap();
    let messages = said_durably(&mut cluster, 1);
    assert_eq!(messages, [message(1, 2, 5, MessageBody::HeartbeatResponse { round: None })]);
}
