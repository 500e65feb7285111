//! A replica that is told not to lead: steps down without a write, campaigns no more, and still
//! votes and acknowledges.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails loudly, and asks only about the messages it means"
)]

mod harness;

use harness::{Cluster, id};
use raft_core::{Fitness, ProposeError, RaftNode, ReadAnswer, ReadId, Role};
use types::Term;

#[test]
fn an_unfit_leader_steps_down_at_once_and_without_a_write() {
    let mut cluster = Cluster::led_by_one(3);
    let term = cluster.node(1).term();
    cluster.read(1, 7);
    cluster.node(1).set_fitness(Fitness::Unfit);
    let leader = &cluster.hosts[&1].raft.as_ref().unwrap();
    assert_eq!((leader.role(), leader.term(), leader.leader()), (Role::Follower, term, None));
    let refused = cluster.propose(1, b"x");
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: None }));
    assert!(cluster.node(1).read_index(ReadId(8)).is_err());
    cluster.collect(1);
    assert_eq!(cluster.host(1).reads, [ReadAnswer { id: ReadId(7), index: None }]);
    assert!(cluster.host(1).writes.is_empty(), "nothing is written for it");
    cluster.tick(30);
    let next = cluster.leader().unwrap();
    assert_ne!(next, 1);
    assert_eq!(cluster.node(1).leader(), Some(id(next)), "it follows whoever leads now");
}

#[test]
fn what_an_unfit_leader_had_proposed_is_decided_by_the_next_one() {
    let mut cluster = Cluster::led_by_one(3);
    let at = cluster.propose(1, b"on two disks, not on its own").unwrap();
    cluster.host(1).holds_writes = true;
    cluster.settle();
    cluster.node(1).set_fitness(Fitness::Unfit);
    cluster.tick_until_leader();
    cluster.tick(4);
    let next = cluster.leader().unwrap();
    assert!(cluster.node(next).commit_index() > at.index);
    assert!(cluster.node(1).applied_index() < at.index, "its own disk has not answered");
    cluster.host(1).holds_writes = false;
    cluster.tick(4);
    cluster.assert_all_equal();
}

#[test]
fn an_unfit_replica_never_campaigns_until_it_is_fit_again() {
    for n in [1, 3] {
        let mut cluster = Cluster::new(n);
        (1..=n).for_each(|n| cluster.node(n).set_fitness(Fitness::Unfit));
        cluster.node(1).campaign();
        for _ in 0..200 {
            cluster.tick(1);
            let now = cluster.now;
            assert!((1..=n).all(|n| cluster.node(n).deadline().unwrap() > now), "due all the time");
        }
        assert!((1..=n).all(|n| cluster.node(n).role() == Role::Follower));
        assert!((1..=n).all(|n| cluster.node(n).term() == Term(0)));
        cluster.node(1).set_fitness(Fitness::Fit);
        assert_eq!(cluster.tick_until_leader(), 1);
    }
}

#[test]
fn an_unfit_candidate_gives_up_and_late_votes_do_not_help_it() {
    for ballot in [Role::PreCandidate, Role::Candidate] {
        let mut cluster = Cluster::new(3);
        cluster.node(1).campaign();
        if ballot == Role::Candidate {
            cluster.host(1).holds_writes = true;
            cluster.settle();
        }
        assert_eq!(cluster.node(1).role(), ballot);
        cluster.node(1).set_fitness(Fitness::Unfit);
        assert_eq!(cluster.node(1).role(), Role::Follower);
        cluster.host(1).holds_writes = false;
        cluster.settle();
        assert_eq!(cluster.node(1).role(), Role::Follower);
    }
}

#[test]
fn an_unfit_replica_votes_and_acknowledges_as_its_disk_permits() {
    let mut cluster = Cluster::new(3);
    cluster.node(2).set_fitness(Fitness::Unfit);
    cluster.isolate(3);
    cluster.host(2).holds_writes = true;
    cluster.node(1).campaign();
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Candidate, "the pre-vote promised nothing");
    cluster.host(2).holds_writes = false;
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Leader);
    let at = cluster.propose(1, b"x").unwrap();
    cluster.settle();
    assert_eq!(cluster.node(1).commit_index(), at.index, "with the unfit one's disk");
}

#[test]
fn a_frozen_replica_stays_as_unfit_as_it_was() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.tick(2);
    cluster.node(2).set_fitness(Fitness::Unfit);
    let frozen = cluster.node(2).freeze().unwrap();
    let thawed = RaftNode::thaw(frozen, cluster.settings, cluster.now);
    assert_eq!(thawed.fitness(), Fitness::Unfit);
}
