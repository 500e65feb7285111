//! Configurations: paper section 6, dissertation 4.1, 4.2.1 (learners), 4.2.3 (disruptive replicas)
//! and 4.3 (joint consensus). Changes of them cannot be proposed yet; what they do once they are in
//! a log is built.

use std::sync::Arc;

use raft_core::{Configuration, EntryRun, MessageBody, Replica, Role, RunBody};
use types::{LogIndex, Term};

use super::{answer, bodies, said, said_durably};
use crate::harness::{Cluster, append, configuration, id, log_id, message, replica, run};

fn entry(index: u64, term: u64, configuration: &Arc<Configuration>) -> EntryRun {
    let body = RunBody::Configuration(configuration.clone());
    EntryRun { first: LogIndex(index), term: Term(term), body }
}

/// Section 6: a replica uses the newest configuration in its log, committed or not; 4.1: it goes back
/// to the one before when the entry is truncated.
#[test]
fn a_configuration_counts_from_append_until_it_is_truncated() {
    let mut cluster = Cluster::new(3);
    let (old, new) = (configuration(3, 0), configuration(2, 1));
    answer(&mut cluster, 1, 3, 1, append((1, 0), 1, vec![entry(2, 1, &new)]));
    assert_eq!(*cluster.node(3).configuration(), new);
    assert_eq!(cluster.node(3).role(), Role::Learner);
    assert_eq!(cluster.node(3).commit_index(), LogIndex(1), "it is not committed");
    answer(&mut cluster, 2, 3, 2, append((1, 0), 1, vec![run(2, 2, &[b"x"])]));
    assert_eq!(*cluster.node(3).configuration(), old);
    assert_eq!(cluster.node(3).role(), Role::Follower);
}

/// Five voters of which the last two are on their way out: decisions need three of five and two of
/// the first three. The entry that says so is in every log, not committed.
fn joint() -> Cluster {
    let mut cluster = Cluster::new(5);
    let all: Vec<Replica> = (1..=5).map(replica).collect();
    let joint = Arc::new(Configuration::new(all[..3].to_vec(), all, Vec::new()).unwrap());
    for n in 1..=5 {
        cluster.crash(n);
        cluster.host(n).disk.entries.push(entry(2, 1, &joint));
        cluster.host(n).disk.hard_state.term = Term(1);
        cluster.restart(n, 0);
    }
    cluster
}

/// What counts in [`joint`], for sets of replicas that agree with replica 1.
const JOINT: [(&[u32], bool); 5] =
    [(&[2], false), (&[4, 5], false), (&[2, 3], true), (&[2, 4], true), (&[3, 5], true)];

/// Section 6: in a joint configuration an election needs separate majorities of both halves.
#[test]
fn a_joint_configuration_elects_by_both_majorities() {
    for (others, elected) in JOINT {
        let mut cluster = joint();
        super::make_candidate(&mut cluster);
        said_durably(&mut cluster, 1);
        for n in others {
            let granted = MessageBody::VoteResponse { granted: true };
            cluster.node(1).step(message(*n, 1, 2, granted)).unwrap();
        }
        assert_eq!(cluster.node(1).role() == Role::Leader, elected, "1 and {others:?}");
    }
}

/// Section 6: and so does a commit.
#[test]
fn a_joint_configuration_commits_by_both_majorities() {
    for (others, committed) in JOINT {
        let mut cluster = joint();
        cluster.elect(1);
        let at = cluster.propose(1, b"x").unwrap();
        said_durably(&mut cluster, 1);
        for n in others {
            let accepted = MessageBody::Accepted { matched: at.index };
            cluster.node(1).step(message(*n, 1, 2, accepted)).unwrap();
        }
        let is_committed = cluster.node(1).commit_index() == at.index;
        assert_eq!(is_committed, committed, "1 and {others:?}");
    }
}

/// Section 6: if the halves have reached different entries, what both have is committed.
#[test]
fn a_joint_commit_goes_no_further_than_either_half() {
    let mut cluster = joint();
    cluster.elect(1);
    let first = cluster.propose(1, b"x").unwrap();
    let second = cluster.propose(1, b"y").unwrap();
    said_durably(&mut cluster, 1);
    // Two of the incoming three have both; the third of the outgoing five has the first only.
    for (n, matched) in [(2, second.index), (4, first.index)] {
        cluster.node(1).step(message(n, 1, 2, MessageBody::Accepted { matched })).unwrap();
    }
    assert_eq!(cluster.node(1).commit_index(), first.index);
}

/// Section 6 (dissertation 4.1): requests are taken from a leader or candidate that the receiver's
/// configuration does not name: the receiver may be the one who is behind.
#[test]
fn requests_from_outside_the_own_configuration_are_weighed_all_the_same() {
    let mut cluster = Cluster::new(3);
    let vote = MessageBody::Vote { last: log_id((1, 0)), is_ordered: false };
    let granted = MessageBody::VoteResponse { granted: true };
    assert_eq!(bodies(answer(&mut cluster, 9, 2, 1, vote)), [granted]);
    let accepted = MessageBody::Accepted { matched: LogIndex(2) };
    let entries = append((1, 0), 1, vec![run(2, 1, &[b"x"])]);
    assert_eq!(bodies(answer(&mut cluster, 9, 2, 1, entries)), [accepted]);
    assert_eq!(cluster.node(2).leader(), Some(id(9)));
}

/// 4.2.1: learners receive the log, and count neither for votes nor for commits; they do not
/// campaign, whatever they are told and however long they hear nothing.
#[test]
fn learners_receive_the_log_and_never_count() {
    let mut cluster = Cluster::with_learners(2, 2);
    cluster.elect(1);
    assert_eq!(cluster.node(3).role(), Role::Learner);
    assert_eq!(cluster.node(3).deadline(), None, "a learner has nothing to wait for");
    cluster.isolate(2);
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    assert_eq!(cluster.node(3).last_index(), at.index, "learners have it");
    assert!(cluster.node(1).commit_index() < at.index, "one voter of two has it");
    cluster.node(3).campaign();
    cluster.settle();
    assert_eq!(cluster.node(3).role(), Role::Learner);
    cluster.heal();
    cluster.tick(10);
    assert_eq!(cluster.node(1).commit_index(), at.index);
}

/// Section 6, dissertation 4.2.3: a replica that hears from a leader disregards vote requests for the
/// shortest election timeout, and does not enter their term; so does the leader itself. Somebody who
/// does not know that he was removed disturbs nobody.
#[test]
fn whoever_hears_a_leader_disregards_vote_requests() {
    let mut cluster = Cluster::led_by_one(3);
    let vote = MessageBody::Vote { last: log_id((99, 8)), is_ordered: false };
    for n in 1..=2 {
        cluster.node(n).step(message(3, n, 9, vote.clone())).unwrap();
        let is_answer = |m: &raft_core::Message| matches!(m.body, MessageBody::VoteResponse { .. });
        assert!(!said(&mut cluster, n).iter().any(is_answer));
        assert_eq!(cluster.node(n).term(), Term(1));
    }
    // The promise ends with the shortest election timeout, and the request is weighed again.
    let until = cluster.now.after(cluster.settings.timing.election_ticks_min());
    cluster.node(2).tick(until);
    let granted = MessageBody::VoteResponse { granted: true };
    assert!(bodies(answer(&mut cluster, 3, 2, 9, vote)).contains(&granted));
}
