//! Every message with every extreme value, to a replica in every role: what is refused changes
//! nothing, what is taken keeps the log in order, and nothing panics. (`properties.rs` sends random
//! ones in a row.)
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails loudly, and asks only about the messages it means"
)]

mod harness;

use harness::{Cluster, append, hard_state, id, log_id, message, run};
use raft_core::{EntryRun, Message, MessageBody, RaftNode, ReadRound, Role, RunBody};
use types::{LogIndex, Term, Tick};

/// Small ones around what the replica has, and those at which arithmetic or the door's bound ends.
const VALUES: [u64; 8] = [0, 1, 2, 3, u64::MAX / 2 - 1, u64::MAX / 2, u64::MAX - 1, u64::MAX];

/// Replica 1 in `role`, of three voters and a learner, which is replica 4.
fn replica_in(role: Role) -> (Cluster, u32) {
    let mut cluster = Cluster::with_learners(3, 1);
    cluster.elect(2);
    cluster.tick(2);
    // Unbound, so that votes and campaigns are weighed.
    let n = if role == Role::Learner { 4 } else { 1 };
    cluster.crash(n);
    cluster.host(n).disk.hard_state = hard_state(1, None);
    let now = cluster.now;
    cluster.restart_at(n, now, 0, LogIndex(2));
    if !matches!(role, Role::Follower | Role::Learner) {
        cluster.node(n).campaign();
    }
    let granted = |body| message(3, 1, 1, body);
    if matches!(role, Role::Candidate | Role::Leader) {
        let yes = MessageBody::PreVoteResponse { next_term: Term(2), granted: true };
        cluster.node(n).step(granted(yes)).unwrap();
    }
    if role == Role::Leader {
        cluster.collect(n);
        cluster.persist_all(n);
        let yes = message(3, 1, 2, MessageBody::VoteResponse { granted: true });
        cluster.node(n).step(yes).unwrap();
    }
    assert_eq!(cluster.node(n).role(), role);
    cluster.collect(n);
    (cluster, n)
}

fn log_ids() -> impl Iterator<Item = (u64, u64)> {
    VALUES.into_iter().flat_map(|index| VALUES.into_iter().map(move |term| (index, term)))
}

/// Runs behind an entry: none, one that could be real, and ones with gaps or terms out of range.
fn runs_behind((index, term): (u64, u64)) -> Vec<Vec<EntryRun>> {
    let next = index.saturating_add(1);
    let start = EntryRun {
        first: LogIndex(next),
        term: Term(term),
        body: RunBody::Configuration(harness::configuration(2, 1)),
    };
    vec![
        vec![],
        vec![run(next, term, &[b"a", b"b"])],
        vec![start],
        vec![run(u64::MAX, term, &[b"a"])],
        vec![run(next, u64::MAX, &[b"a"])],
    ]
}

fn bodies() -> Vec<MessageBody> {
    let mut bodies = vec![MessageBody::TimeoutNow];
    for granted in [false, true] {
        bodies.push(MessageBody::VoteResponse { granted });
        let next_terms = VALUES.map(Term);
        bodies.extend(
            next_terms.map(|next_term| MessageBody::PreVoteResponse { next_term, granted }),
        );
    }
    for id in log_ids() {
        let last = log_id(id);
        bodies.extend([false, true].map(|is_ordered| MessageBody::Vote { last, is_ordered }));
        bodies.extend(VALUES.map(|next| MessageBody::PreVote { next_term: Term(next), last }));
        bodies
            .extend(VALUES.map(|prev| MessageBody::Rejected { prev: LogIndex(prev), hint: last }));
        for commit in [0, 3, u64::MAX] {
            bodies.extend(runs_behind(id).into_iter().map(|runs| append(id, commit, runs)));
        }
    }
    let rounds = [None, Some(ReadRound(0)), Some(ReadRound(1)), Some(ReadRound(u64::MAX))];
    bodies.extend(rounds.map(|round| MessageBody::HeartbeatResponse { round }));
    for value in VALUES.map(LogIndex) {
        bodies.push(MessageBody::Accepted { matched: value });
        bodies.extend(rounds.map(|round| MessageBody::Heartbeat { commit: value, round }));
    }
    bodies
}

/// What a voter says who agrees to everything.
fn agreement(asked: &Message) -> Option<Message> {
    let body = match &asked.body {
        MessageBody::PreVote { next_term, .. } => {
            MessageBody::PreVoteResponse { next_term: *next_term, granted: true }
        }
        MessageBody::Vote { .. } => MessageBody::VoteResponse { granted: true },
        MessageBody::Append { prev, runs, .. } => {
            let matched = runs.last().map_or(prev.index, EntryRun::last);
            MessageBody::Accepted { matched }
        }
        _ => return None,
    };
    Some(Message { from: asked.to, to: asked.from, term: asked.term, body })
}

/// Lets the replica do what it wants, with a peer that agrees to everything, and time pass up to its
/// next deadline and beyond.
fn live_on(raft: &mut RaftNode, now: Tick) {
    let mut now = now;
    for _ in 0..3 {
        while let Some(ready) = raft.ready() {
            if let Some(write) = ready.write {
                raft.persisted(write.ticket);
            }
            if let Some(run) = ready.committed.last() {
                raft.applied(run.last());
            }
            for answer in ready.messages.iter().filter(|m| m.to == id(3)).filter_map(agreement) {
                raft.step(answer).ok();
            }
        }
        now = raft.deadline().map_or(now, |due| due.max(now)).after(1);
        raft.tick(now);
        raft.campaign();
    }
}

fn check(role: Role, from: u32, term: u64, body: MessageBody) {
    let (mut cluster, n) = replica_in(role);
    let now = cluster.now;
    let raft = cluster.node(n);
    let before = raft.status();
    let message = message(from, n, term, body);
    let refused = raft.step(message.clone());
    let after = raft.status();
    let context = format!("{role:?} took {message:?}: {refused:?}");
    assert!(after.term >= before.term && after.committed >= before.committed, "{context}");
    assert!(after.last.term <= after.term, "{context}");
    assert!(after.peers.iter().all(|peer| peer.matched <= after.last.index), "{context}");
    if refused.is_err() {
        assert_eq!((after.last, after.committed), (before.last, before.committed), "{context}");
        // At most the term that it spoke for was entered, with what belongs to it.
        assert!(after.vote == before.vote || after.term > before.term, "{context}");
    }
    live_on(raft, now);
    assert!(raft.commit_index() <= raft.last_index(), "{context}");
}

fn check_all(role: Role) {
    let bodies = bodies();
    for body in &bodies {
        for term in VALUES {
            check(role, 3, term, body.clone());
        }
        // From nobody it knows, and from itself.
        for from in [9, 1, 4] {
            check(role, from, 2, body.clone());
        }
    }
}

#[test]
fn a_follower_takes_any_message() {
    check_all(Role::Follower);
}

#[test]
fn a_pre_candidate_takes_any_message() {
    check_all(Role::PreCandidate);
}

#[test]
fn a_candidate_takes_any_message() {
    check_all(Role::Candidate);
}

#[test]
fn a_leader_takes_any_message() {
    check_all(Role::Leader);
}

#[test]
fn a_learner_takes_any_message() {
    check_all(Role::Learner);
}
