//! Replication: windows, conflicts, commits, what is durable when, fetches.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails loudly, and asks only about the messages it means"
)]

mod harness;

use harness::{Cluster, append, message, run};
use raft_core::{FetchFor, MessageBody, ProposeError, Role};
use types::LogIndex;

fn accepted(cluster: &mut Cluster) -> Vec<u64> {
    let messages = cluster.take_messages();
    let matched = messages.into_iter().filter_map(|m| match m.body {
        MessageBody::Accepted { matched } => Some(matched.0),
        _ => None,
    });
    matched.collect()
}

#[test]
fn what_is_proposed_in_a_turn_travels_as_one_run() {
    let mut cluster = Cluster::led_by_one(3);
    for n in 0..10u8 {
        cluster.propose(1, &[n]).unwrap();
    }
    cluster.collect(1);
    let appends: Vec<_> = cluster.take_messages();
    assert_eq!(appends.len(), 2, "one append per follower");
    let MessageBody::Append { runs, .. } = &appends[0].body else { panic!("{appends:?}") };
    assert_eq!((runs.len(), runs[0].count()), (1, 10));
}

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

#[test]
fn the_leaders_own_disk_does_not_count_before_it_is_done() {
    let mut cluster = Cluster::led_by_one(2);
    cluster.host(1).holds_writes = true;
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    assert_eq!(cluster.node(2).last_index(), at.index);
    assert!(cluster.node(1).commit_index() < at.index);
}

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

#[test]
fn the_same_append_twice_costs_no_second_write_and_is_answered_again() {
    let mut cluster = Cluster::led_by_one(3);
    let again = append((2, 1), 2, vec![run(3, 1, &[b"x"])]);
    cluster.node(2).step(message(1, 2, 1, again.clone())).unwrap();
    cluster.collect(2);
    cluster.persist_all(2);
    cluster.collect(2);
    assert_eq!(accepted(&mut cluster), [3]);
    cluster.node(2).step(message(1, 2, 1, again)).unwrap();
    cluster.collect(2);
    assert!(cluster.host(2).writes.is_empty());
    assert_eq!(accepted(&mut cluster), [3]);
}

#[test]
fn a_late_append_removes_no_matching_entries() {
    let mut cluster = Cluster::led_by_one(3);
    let early = append((2, 1), 2, vec![run(3, 1, &[b"x"])]);
    let late = append((3, 1), 2, vec![run(4, 1, &[b"y", b"z"])]);
    cluster.node(2).step(message(1, 2, 1, early.clone())).unwrap();
    cluster.node(2).step(message(1, 2, 1, late)).unwrap();
    cluster.node(2).step(message(1, 2, 1, early)).unwrap();
    assert_eq!(cluster.node(2).last_index(), LogIndex(5));
}

#[test]
fn commit_and_acknowledgement_cover_only_what_was_verified() {
    // 2 has entries 3 and 4 of term 1 that the leader of term 2 never saw.
    let mut cluster = Cluster::led_by_one(3);
    let old = append((2, 1), 2, vec![run(3, 1, &[b"old", b"old"])]);
    cluster.node(2).step(message(1, 2, 1, old)).unwrap();
    cluster.collect(2);
    cluster.persist_all(2);
    cluster.settle();
    cluster.take_messages();
    cluster.node(2).step(message(3, 2, 2, append((2, 1), 9, vec![]))).unwrap();
    cluster.collect(2);
    cluster.persist_all(2);
    cluster.collect(2);
    assert_eq!(accepted(&mut cluster), [2], "entries 3 and 4 are not the leader's");
    assert_eq!(cluster.node(2).commit_index(), LogIndex(2));
}

#[test]
fn a_conflict_is_found_by_terms_and_truncated_only_where_it_begins() {
    let mut cluster = Cluster::led_by_one(3);
    let old = append((2, 1), 2, (3..=40).map(|n| run(n, 1, &[b"old"])).collect());
    cluster.node(3).step(message(1, 3, 1, old)).unwrap();
    cluster.settle();
    // 2 leads term 2 without those entries, and replaces them.
    cluster.crash(1);
    cluster.tick(25);
    let before = cluster.oracle.committed.len();
    let leader = cluster.leader_or_next();
    let mut rounds = 0;
    cluster.propose(leader, b"new").unwrap();
    while cluster.node(5 - leader).last_index() != cluster.node(leader).last_index() {
        cluster.tick(1);
        rounds += 1;
        assert!(rounds < 20, "the logs do not meet");
    }
    assert!(cluster.oracle.committed.len() > before);
}

#[test]
fn a_late_completion_of_an_overwritten_tail_vouches_for_nothing() {
    // Catalogue R44 (etcd-io/raft#8): W1 writes (3, term 1), W2 overwrites it by term 2, W3 brings
    // (3, term 1) back under term 3. Only W1 completes.
    let mut cluster = Cluster::led_by_one(5);
    cluster.host(2).holds_writes = true;
    let term_one = || vec![run(3, 1, &[b"one"])];
    cluster.node(2).step(message(1, 2, 1, append((2, 1), 2, term_one()))).unwrap();
    cluster.collect(2);
    cluster.node(2).step(message(3, 2, 2, append((2, 1), 2, vec![run(3, 2, &[b"two"])]))).unwrap();
    cluster.collect(2);
    cluster.node(2).step(message(4, 2, 3, append((2, 1), 2, term_one()))).unwrap();
    cluster.collect(2);
    assert_eq!(cluster.host(2).writes.len(), 3);
    cluster.take_messages();
    cluster.persist_one(2);
    cluster.collect(2);
    assert!(accepted(&mut cluster).iter().all(|matched| *matched < 3));
    cluster.persist_one(2);
    cluster.collect(2);
    assert!(accepted(&mut cluster).iter().all(|matched| *matched < 3), "the disk holds term 2");
    cluster.persist_one(2);
    cluster.collect(2);
    assert_eq!(accepted(&mut cluster).last(), Some(&3));
}

#[test]
fn entries_of_an_earlier_term_are_not_committed_by_counting() {
    // Paper figure 8: the leader of term 2 knows an entry of term 1 to be on a majority; it is
    // committed only together with an entry of term 2.
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(1);
    let old = cluster.propose(1, b"old").unwrap();
    cluster.settle();
    cluster.crash(1);
    cluster.restart(1, 0);
    cluster.crash(3);
    cluster.tick(10);
    cluster.heal();
    cluster.elect_without_appends(1);
    let term = cluster.node(1).term().0;
    let ack = |matched| message(2, 1, term, MessageBody::Accepted { matched });
    cluster.node(1).step(ack(old.index)).unwrap();
    assert!(cluster.node(1).commit_index() < old.index, "on 1 and 2, but of term 1");
    cluster.node(1).step(ack(old.index.next())).unwrap();
    assert_eq!(cluster.node(1).commit_index(), old.index.next());
}

#[test]
fn old_and_false_acknowledgements_commit_nothing() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(1);
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    let ack = |matched| MessageBody::Accepted { matched };
    cluster.node(1).step(message(2, 1, 0, ack(at.index))).unwrap();
    assert!(cluster.node(1).commit_index() < at.index, "an acknowledgement of an older term");
    assert!(cluster.node(1).step(message(2, 1, 1, ack(LogIndex(99)))).is_err());
    assert!(cluster.node(1).commit_index() < at.index);
}

#[test]
fn the_window_bounds_what_is_under_way() {
    let mut cluster = Cluster::led_by_one(3);
    for n in 0..20u8 {
        cluster.propose(1, &[n; 400]).unwrap_or_else(|error| panic!("{n}: {error}"));
        cluster.collect(1);
        if n == 10 {
            break;
        }
    }
    let to_two = cluster.network.iter().filter(|m| m.to == harness::id(2)).count();
    assert_eq!(to_two, 4, "inflight_appends_max");
    cluster.settle();
    assert_eq!(cluster.node(2).last_index(), cluster.node(1).last_index());
}

#[test]
fn too_much_uncommitted_is_refused_and_taken_again_later() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(1);
    let refused = loop {
        match cluster.propose(1, &[0; 1000]) {
            Ok(_) => {
                cluster.collect(1);
            }
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, ProposeError::Overloaded { budget: "uncommitted_bytes_max" });
    let last = cluster.node(1).last_index();
    assert!(matches!(cluster.propose(1, &[0; 2000]), Err(ProposeError::TooLarge { .. })));
    assert_eq!(cluster.node(1).last_index(), last, "a refused proposal leaves no entry");
    cluster.heal();
    cluster.tick(8);
    cluster.propose(1, &[0; 1000]).unwrap();
}

#[test]
fn a_lost_append_is_sent_again() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.propose(1, b"x").unwrap();
    cluster.collect(1);
    cluster.network.clear();
    cluster.tick(8);
    for n in 1..=3 {
        assert_eq!(cluster.node(n).commit_index(), LogIndex(3));
    }
}

#[test]
fn an_unreachable_replica_is_probed_not_flooded() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.propose(1, b"x").unwrap();
    cluster.collect(1);
    cluster.network.retain(|m| m.to != harness::id(2));
    cluster.node(1).report_unreachable(harness::id(2));
    for _ in 0..5 {
        cluster.propose(1, b"y").unwrap();
        cluster.collect(1);
    }
    assert_eq!(cluster.network.iter().filter(|m| m.to == harness::id(2)).count(), 0);
    cluster.tick(8);
    assert_eq!(cluster.node(2).last_index(), cluster.node(1).last_index());
}

#[test]
fn a_replica_far_behind_is_served_from_disk() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(3);
    for n in 0..60u8 {
        cluster.propose(1, &[n; 100]).unwrap();
        cluster.settle();
    }
    cluster.heal();
    cluster.tick(30);
    assert_eq!(cluster.node(3).commit_index(), cluster.node(1).commit_index());
    cluster.tick(2);
    cluster.assert_all_equal();
}

#[test]
fn a_restarted_group_delivers_its_log_again_from_disk() {
    let mut cluster = Cluster::led_by_one(1);
    for n in 0..30u8 {
        cluster.propose(1, &[n; 100]).unwrap();
        cluster.settle();
    }
    let end = cluster.node(1).commit_index();
    let before = cluster.oracle.deliveries;
    cluster.crash(1);
    cluster.restart(1, 0);
    cluster.tick(25);
    assert_eq!(cluster.node(1).applied_index(), end.next(), "and its new term's first entry");
    assert_eq!(cluster.oracle.deliveries - before, end.0 + 1);
}

#[test]
fn a_log_that_cannot_be_read_halts_its_replica_and_no_other() {
    let mut cluster = Cluster::led_by_one(3);
    let node = cluster.node(1);
    node.entries_fetched(FetchFor::Apply, Err(raft_core::FetchError::Damaged));
    assert!(node.is_halted() && node.ready().is_none() && node.deadline().is_none());
    assert!(matches!(cluster.propose(1, b"x"), Err(ProposeError::NotLeader { .. })));
    let new = cluster.tick_until_leader();
    assert_ne!(new, 1);
}

#[test]
fn the_commit_index_reaches_idle_followers_with_the_next_beat() {
    let mut cluster = Cluster::led_by_one(3);
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    assert!(cluster.node(2).commit_index() < at.index);
    cluster.tick(2);
    assert_eq!(cluster.node(2).applied_index(), at.index);
    assert!(cluster.node(1).is_quiet() && cluster.node(2).is_quiet());
}

#[test]
fn a_follower_restarted_under_an_idle_leader_learns_the_commit_index() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.propose(1, b"x").unwrap();
    cluster.tick(4);
    cluster.crash(3);
    cluster.restart(3, 10);
    assert_eq!(cluster.node(3).commit_index(), LogIndex::ZERO);
    cluster.tick(4);
    assert_eq!(cluster.node(3).applied_index(), LogIndex(3));
}

#[test]
fn appends_that_no_leader_sends_are_refused_and_change_nothing() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.tick(2);
    let status = cluster.node(2).status();
    let gap = append((2, 1), 2, vec![run(4, 1, &[b"x"])]);
    let falling = append((2, 1), 2, vec![run(3, 1, &[b"x"]), run(4, 0, &[b"y"])]);
    let future = append((2, 1), 2, vec![run(3, 5, &[b"x"])]);
    let rewrites = append((1, 0), 2, vec![run(2, 0, &[b"x"])]);
    let huge = append((u64::MAX, 1), 2, vec![]);
    for body in [gap, falling, future, rewrites, huge] {
        let refused = cluster.node(2).step(message(1, 2, 1, body.clone()));
        assert!(refused.is_err(), "{body:?} was taken");
    }
    assert_eq!(cluster.node(2).status(), status);
    assert_eq!(cluster.node(2).role(), Role::Follower);
}

impl Cluster {
    /// Makes replica `n` leader, but loses every append it sends.
    fn elect_without_appends(&mut self, n: u32) {
        self.node(n).campaign();
        for _ in 0..20 {
            for host in 1..=2 {
                self.collect(host);
                self.persist_all(host);
            }
            self.network.retain(|m| !matches!(m.body, MessageBody::Append { .. }));
            while self.deliver_one() {}
        }
        assert_eq!(self.node(n).role(), Role::Leader);
    }

    /// The leader if there is one, else whoever is next.
    fn leader_or_next(&mut self) -> u32 {
        self.leader().unwrap_or_else(|| self.tick_until_leader())
    }
}
