//! Crashes of followers and candidates, and what must survive them: paper 5.5 and figure 2;
//! dissertation 3.7 and 3.8.

use raft_core::{MessageBody, Role};
use types::{LogIndex, Term};

use super::{answer, bodies};
use crate::harness::{Cluster, append, id, log_id, run};

/// 5.5: a leader asks a follower that crashed again and again, until it comes back and has
/// everything; 5.3: that the client was answered long ago changes nothing.
#[test]
fn a_leader_retries_until_a_crashed_follower_has_everything() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.crash(3);
    let at = cluster.propose(1, b"x").unwrap();
    cluster.tick(300);
    assert_eq!(cluster.node(1).applied_index(), at.index);
    cluster.restart(3, 10);
    cluster.tick(8);
    assert_eq!(cluster.node(3).applied_index(), at.index);
    assert_eq!(cluster.node(1).term(), Term(1));
}

/// 5.5: requests are idempotent. An append that a follower has already costs no write, changes no
/// log, and is acknowledged again, because the first answer may be lost.
#[test]
fn an_append_taken_twice_is_written_once_and_answered_twice() {
    let mut cluster = Cluster::led_by_one(3);
    let again = || append((2, 1), 2, vec![run(3, 1, &[b"x"])]);
    let accepted = [MessageBody::Accepted { matched: LogIndex(3) }];
    assert_eq!(bodies(answer(&mut cluster, 1, 2, 1, again())), accepted);
    let log = cluster.host(2).disk.ids();
    cluster.host(2).holds_writes = true;
    cluster.node(2).step(crate::harness::message(1, 2, 1, again())).unwrap();
    cluster.collect(2);
    assert!(cluster.host(2).writes.is_empty());
    assert_eq!(bodies(cluster.take_messages()), accepted);
    assert_eq!(cluster.host(2).disk.ids(), log);
}

/// 5.5: the same for vote requests.
#[test]
fn a_vote_request_taken_twice_is_answered_twice_the_same_way() {
    let mut cluster = Cluster::new(3);
    for _ in 0..2 {
        let vote = MessageBody::Vote { last: log_id((1, 0)), is_ordered: false };
        let granted = MessageBody::VoteResponse { granted: true };
        assert_eq!(bodies(answer(&mut cluster, 1, 2, 1, vote)), [granted]);
    }
}

/// Figure 2, dissertation 3.8: current term, vote and log survive a crash; so no second vote is
/// given in that term, and no entry is missing.
#[test]
fn term_vote_and_log_survive_a_crash() {
    let mut cluster = Cluster::new(3);
    let vote = |index| MessageBody::Vote { last: log_id((index, 0)), is_ordered: false };
    answer(&mut cluster, 2, 3, 4, append((1, 0), 1, vec![run(2, 3, &[b"x"])]));
    let longer = MessageBody::Vote { last: log_id((2, 3)), is_ordered: false };
    cluster.crash(3);
    cluster.restart(3, 0);
    answer(&mut cluster, 1, 3, 5, longer);
    cluster.crash(3);
    cluster.restart(3, 0);
    let status = cluster.node(3).status();
    assert_eq!((status.term, status.vote, status.last), (Term(5), Some(id(1)), log_id((2, 3))));
    let refused = MessageBody::VoteResponse { granted: false };
    assert_eq!(bodies(answer(&mut cluster, 2, 3, 5, vote(9))), [refused]);
}

/// Dissertation 3.8: the commit index may be lost, and is learned again from the leader.
#[test]
fn a_lost_commit_index_is_learned_again() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.propose(1, b"x").unwrap();
    cluster.tick(4);
    cluster.crash(3);
    cluster.restart(3, 10);
    assert_eq!(cluster.node(3).commit_index(), LogIndex::ZERO);
    cluster.tick(4);
    assert_eq!(cluster.node(3).applied_index(), LogIndex(3));
}

/// Dissertation 3.8: the applied index is as durable as the state machine. What a durable one has
/// applied is not applied again, and what a volatile one has lost is.
#[test]
fn a_durable_state_machine_gets_only_what_is_new() {
    for (applied, expected) in [(0, vec![1, 2, 3]), (2, vec![3]), (3, vec![])] {
        let mut cluster = Cluster::led_by_one(3);
        cluster.propose(1, b"x").unwrap();
        cluster.tick(4);
        cluster.crash(3);
        let now = cluster.now;
        cluster.restart_at(3, now, 10, LogIndex(applied));
        let heartbeat = MessageBody::Heartbeat { commit: LogIndex(3), round: None };
        answer(&mut cluster, 1, 3, 1, heartbeat);
        // Old entries come from the disk, which answers within `collect`.
        let indexes: Vec<u64> =
            cluster.host(3).to_apply.iter().flat_map(|r| r.first.0..=r.last().0).collect();
        assert_eq!(indexes, expected, "durably applied: {applied}");
        assert_eq!(cluster.node(3).role(), Role::Follower);
    }
}
