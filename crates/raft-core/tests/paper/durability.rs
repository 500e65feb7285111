//! What is durable before something is said, and what need not be: paper figure 2 ("before
//! responding"), dissertation 3.8 and 10.2.1.

use raft_core::{MessageBody, Role};
use types::{LogIndex, Term};

use super::{bodies, make_candidate, said};
use crate::harness::{Cluster, append, id, log_id, message, run};

/// Gives `body` from replica 1 in term 1 to replica 2. It must say nothing before its write is
/// durable; returns what it says then.
fn said_only_durably(body: MessageBody) -> Vec<MessageBody> {
    let mut cluster = Cluster::new(3);
    cluster.node(2).step(message(1, 2, 1, body)).unwrap();
    assert_eq!(said(&mut cluster, 2), [], "the term is not durable");
    assert!(cluster.persist_all(2), "there was something to write");
    bodies(said(&mut cluster, 2))
}

/// Figure 2: term, vote and log are on stable storage before a request is answered.
#[test]
fn no_answer_leaves_before_what_it_says_is_durable() {
    let vote = MessageBody::Vote { last: log_id((1, 0)), is_ordered: false };
    assert_eq!(said_only_durably(vote), [MessageBody::VoteResponse { granted: true }]);

    let entries = append((1, 0), 1, vec![run(2, 1, &[b"x"])]);
    assert_eq!(said_only_durably(entries), [MessageBody::Accepted { matched: LogIndex(2) }]);

    // What promises nothing still speaks for a term that is news.
    let outdated = MessageBody::Vote { last: log_id((0, 0)), is_ordered: false };
    assert_eq!(said_only_durably(outdated), [MessageBody::VoteResponse { granted: false }]);

    let gap = append((5, 1), 1, vec![]);
    let hint = log_id((1, 0));
    assert_eq!(said_only_durably(gap), [MessageBody::Rejected { prev: LogIndex(5), hint }]);

    let beat = MessageBody::Heartbeat { commit: LogIndex(1), round: None };
    assert_eq!(said_only_durably(beat), [MessageBody::HeartbeatResponse { round: None }]);
}

/// Figure 2: a candidate's term and own vote are durable before it asks anybody.
#[test]
fn no_vote_request_leaves_before_the_own_vote_is_durable() {
    let mut cluster = Cluster::new(3);
    make_candidate(&mut cluster);
    let is_vote = |body: &MessageBody| matches!(body, MessageBody::Vote { .. });
    assert!(!bodies(said(&mut cluster, 1)).iter().any(is_vote));
    cluster.persist_all(1);
    assert_eq!(bodies(said(&mut cluster, 1)).iter().filter(|body| is_vote(body)).count(), 2);
}

/// Figure 2: nor does a candidate count its own vote before.
#[test]
fn a_single_voter_elects_itself_once_its_vote_is_durable() {
    let mut cluster = Cluster::new(1);
    cluster.host(1).holds_writes = true;
    cluster.node(1).campaign();
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Candidate);
    cluster.host(1).holds_writes = false;
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Leader);
    assert_eq!(cluster.node(1).commit_index(), LogIndex(2), "configuration and own first entry");
}

/// 10.2.1: a leader writes its log in parallel with the replication to its followers, and an entry
/// may be committed before the leader's own disk has it. It is applied only once it does, because a
/// crash must not leave a state machine ahead of its log.
#[test]
fn the_leader_sends_before_its_own_disk_is_done_and_commits_by_the_others() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.host(1).holds_writes = true;
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    assert_eq!(cluster.node(1).commit_index(), at.index, "2 and 3 hold it durably");
    assert_eq!(cluster.node(1).delivered_index(), at.index.prev(), "not durable here");
    cluster.persist_all(1);
    cluster.settle();
    assert_eq!(cluster.node(1).applied_index(), at.index);
}

/// 10.2.1: until its own disk is done, the leader does not count itself.
#[test]
fn the_leaders_own_disk_does_not_count_before_it_is_done() {
    let mut cluster = Cluster::led_by_one(2);
    cluster.host(1).holds_writes = true;
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    assert_eq!(cluster.node(2).last_index(), at.index);
    assert!(cluster.node(1).commit_index() < at.index);
    cluster.persist_all(1);
    assert_eq!(cluster.node(1).commit_index(), at.index);
}

/// Figure 2: followers' disks count once they are done, each for itself.
#[test]
fn no_acknowledgement_leaves_before_the_entries_are_durable() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.host(2).holds_writes = true;
    cluster.host(3).holds_writes = true;
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    assert!(cluster.node(1).commit_index() < at.index);
    cluster.persist_all(2);
    cluster.settle();
    assert_eq!(cluster.node(1).commit_index(), at.index);
}

/// 10.2.1 lets a leader send entries that it has not written; its term is another matter: it has
/// been durable since it asked for votes.
#[test]
fn a_leaders_first_append_speaks_for_a_durable_term_and_an_entry_that_is_not() {
    let mut cluster = Cluster::new(3);
    cluster.node(1).campaign();
    cluster.settle();
    assert_eq!(cluster.host(1).disk.hard_state.term, Term(1));
    cluster.host(1).holds_writes = true;
    cluster.propose(1, b"x").unwrap();
    cluster.collect(1);
    let sent = cluster.take_messages();
    assert!(sent.iter().any(|m| m.to == id(2) && matches!(m.body, MessageBody::Append { .. })));
    assert!(cluster.host(1).disk.last() < cluster.node(1).last_index());
}
