//! What clients see: paper section 8; dissertation 6.2 (finding the leader, stepping down) and 6.4
//! (read-only queries).

use raft_core::{
    Command, EntryHeader, MessageBody, NotLeader, ProposeError, ReadAnswer, ReadId, Role, RunBody,
    StepError,
};
use types::{Epoch, LogIndex, Term, VShardId};

use super::{said, said_durably};
use crate::harness::{Cluster, Host, id, log_id, message};

fn answer(id: u64, index: Option<u64>) -> ReadAnswer {
    ReadAnswer { id: ReadId(id), index: index.map(LogIndex) }
}

/// Section 8: a replica that does not lead refuses a client's request and names the leader it heard
/// from last.
#[test]
fn whoever_does_not_lead_names_the_leader() {
    let mut cluster = Cluster::led_by_one(3);
    let leader = Some(id(1));
    assert_eq!(cluster.propose(2, b"x"), Err(ProposeError::NotLeader { leader }));
    assert_eq!(cluster.node(2).read_index(ReadId(1)), Err(NotLeader { leader }));
    let mut cluster = Cluster::new(3);
    let refused = Err(ProposeError::NotLeader { leader: None });
    assert_eq!(cluster.propose(2, b"x"), refused, "there is none yet");
}

/// Section 8 (dissertation 6.3): a client's session and serial number travel with its command to
/// every state machine, which tells retries apart by them.
#[test]
fn session_and_serial_number_reach_every_state_machine() {
    let mut cluster = Cluster::led_by_one(3);
    let header = EntryHeader { routed: Some((VShardId(5), Epoch(6))), session: Some((7, 8)) };
    cluster.node(1).propose(header, b"x").unwrap();
    cluster.tick(2);
    let RunBody::Commands(commands) = &cluster.oracle.committed[2].body else { panic!() };
    let commands: Vec<Command<'_>> = commands.iter().collect();
    assert_eq!(commands, [Command { header, payload: b"x" }]);
    assert!((1..=3).all(|n| cluster.hosts[&n].raft.as_ref().unwrap().applied_index().0 == 3));
}

/// Section 8: a leader begins its term with an entry of its own, by which it learns what is
/// committed.
#[test]
fn a_leader_begins_its_term_with_an_entry_of_its_own() {
    let mut cluster = Cluster::with_logs(2, &[&[1, 2], &[1, 2], &[1, 2]]);
    assert_eq!(cluster.node(1).commit_index(), LogIndex::ZERO, "nothing is known");
    cluster.elect(1);
    let last = cluster.oracle.committed.last().unwrap();
    assert_eq!((last.last_id(), &last.body), (log_id((4, 3)), &RunBody::TermStart));
}

/// 6.2: a leader steps down if an election timeout passes without a round of heartbeats answered by a
/// majority, so that its clients look elsewhere. The half of an even group is no majority, and
/// learners do not count.
#[test]
fn a_leader_without_a_quorum_steps_down_within_an_election_timeout() {
    for (voters, kept) in [(3, 1), (4, 2), (5, 2)] {
        let mut cluster = Cluster::with_learners(voters, 1);
        cluster.elect(1);
        for n in kept + 1..=voters {
            cluster.cut.extend([(n, 1)]);
        }
        let timing = cluster.settings.timing;
        cluster.tick(timing.election_ticks_min() + timing.heartbeat_ticks());
        assert_eq!(cluster.node(1).role(), Role::Follower, "{kept} of {voters}");
        assert_eq!(cluster.node(1).leader(), None);
    }
}

/// 6.2: and it goes on leading as long as a majority answers, itself included.
#[test]
fn a_leader_with_a_bare_quorum_stays() {
    for (voters, kept) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
        let mut cluster = Cluster::led_by_one(voters);
        (kept + 1..=voters).for_each(|n| cluster.isolate(n));
        cluster.tick(200);
        assert_eq!(cluster.node(1).role(), Role::Leader, "{kept} of {voters}");
        assert_eq!(cluster.node(1).term(), Term(1));
    }
}

/// 6.4, section 8: a read is answered with the commit index at which it was asked, after a majority
/// has confirmed that the leader still leads.
#[test]
fn a_read_is_answered_with_the_commit_index_after_a_round() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.propose(1, b"x").unwrap();
    cluster.settle();
    cluster.read(1, 7);
    cluster.collect(1);
    assert!(cluster.host(1).reads.is_empty(), "nobody has confirmed yet");
    cluster.settle();
    assert_eq!(cluster.host(1).reads, [answer(7, Some(3))]);
}

/// 6.4: only a majority of voters confirms.
#[test]
fn a_read_round_needs_a_majority_of_voters() {
    let mut cluster = Cluster::with_learners(5, 1);
    cluster.elect(1);
    cluster.read(1, 1);
    cluster.collect(1);
    let round = cluster.take_messages().into_iter().find_map(|m| match m.body {
        MessageBody::Heartbeat { round, .. } => round,
        _ => None,
    });
    assert!(round.is_some());
    let stranger = message(9, 1, 1, MessageBody::HeartbeatResponse { round });
    assert_eq!(cluster.node(1).step(stranger), Err(StepError::UnknownSender { from: id(9) }));
    for (n, is_enough) in [(6, false), (2, false), (2, false), (3, true)] {
        let confirms = MessageBody::HeartbeatResponse { round };
        cluster.node(1).step(message(n, 1, 1, confirms)).unwrap();
        cluster.collect(1);
        assert_eq!(!cluster.host(1).reads.is_empty(), is_enough, "replica {n} confirmed");
    }
}

/// 6.4: reads that wait share one round of heartbeats.
#[test]
fn reads_asked_together_share_one_round() {
    let mut cluster = Cluster::led_by_one(3);
    (1..=50).for_each(|read| cluster.read(1, read));
    let sent = said(&mut cluster, 1);
    assert_eq!(sent.len(), 2, "one heartbeat to each: {sent:?}");
    cluster.network.extend(sent);
    cluster.settle();
    assert_eq!(cluster.host(1).reads.len(), 50);
}

/// 6.4: no heartbeats are needed where the leader is a majority by itself.
#[test]
fn a_single_voter_confirms_itself() {
    let mut cluster = Cluster::led_by_one(1);
    cluster.read(1, 1);
    cluster.settle();
    assert_eq!(cluster.host(1).reads, [answer(1, Some(2))]);
}

/// 6.4, section 8: a leader serves no read before an entry of its own term is committed: until then
/// it may not know what its predecessors committed.
#[test]
fn no_read_is_served_before_an_entry_of_the_own_term_is_committed() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.propose(1, b"x").unwrap();
    cluster.settle();
    assert_eq!(cluster.node(2).commit_index(), LogIndex(2), "2 does not know of the commit of 3");
    cluster.crash(1);
    for n in 2..=3 {
        cluster.crash(n);
        cluster.restart(n, 0);
    }
    // Votes become durable, the new leader's own entry does not.
    cluster.node(2).campaign();
    let carries_entries = |host: &Host| host.writes.front().is_some_and(|w| !w.runs.is_empty());
    for _ in 0..20 {
        for n in 2..=3 {
            while cluster.collect(n)
                || (!carries_entries(cluster.host(n)) && cluster.persist_one(n))
            {}
        }
        while cluster.deliver_one() {}
    }
    assert_eq!(cluster.node(2).role(), Role::Leader);
    cluster.read(2, 1);
    cluster.collect(2);
    while cluster.deliver_one() {}
    for n in 2..=3 {
        cluster.collect(n);
    }
    assert!(cluster.host(2).reads.is_empty());
    cluster.settle();
    assert_eq!(cluster.host(2).reads, [answer(1, Some(4))], "3 of the old, 4 of the own term");
}

/// 6.4, section 8: a leader that has been deposed without knowing it serves no read, however many of
/// its old followers it still hears of from before.
#[test]
fn a_leader_that_was_deposed_serves_no_read() {
    let mut cluster = Cluster::led_by_one(3);
    cluster.isolate(1);
    cluster.read(1, 1);
    cluster.tick(15);
    assert_eq!(cluster.host(1).reads, [answer(1, None)]);
    assert!(cluster.node(1).read_index(ReadId(2)).is_err());
    said_durably(&mut cluster, 1);
    assert_eq!(cluster.host(1).reads.len(), 1, "it is answered once");
}
