//! Properties: being frozen is invisible, and no message panics a replica.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails loudly, and asks only about the messages it means"
)]

mod harness;

use harness::{Cluster, id, message};
use proptest::prelude::*;
use raft_core::{
    CommandsBuilder, EntryHeader, EntryRun, Fitness, Message, MessageBody, PeerStatus, RaftNode,
    ReadRound, RunBody, Status, Ticket,
};
use types::{LogId, LogIndex, Term, Tick};

#[derive(Clone, Copy, Debug)]
enum Step {
    Propose(u8),
    Read(u64),
    Tick(u64),
    Campaign(u32),
    Restart(u32),
    Fitness(u32, Fitness),
    Transfer(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<u8>().prop_map(Step::Propose),
        2 => (0u64..9).prop_map(Step::Read),
        4 => (1u64..6).prop_map(Step::Tick),
        1 => (1u32..5).prop_map(Step::Campaign),
        1 => (1u32..5).prop_map(Step::Restart),
        1 => (1u32..5).prop_map(Step::Transfer),
        1 => (1u32..5, fitness()).prop_map(|(n, fitness)| Step::Fitness(n, fitness)),
    ]
}

fn fitness() -> impl Strategy<Value = Fitness> {
    prop_oneof![Just(Fitness::Fit), Just(Fitness::Unfit)]
}

fn take(cluster: &mut Cluster, step: Step) {
    match step {
        Step::Propose(byte) => {
            if let Some(leader) = cluster.leader() {
                cluster.propose(leader, &[byte; 20]).ok();
            }
        }
        Step::Read(read) => {
            if let Some(leader) = cluster.leader() {
                cluster.read(leader, read);
            }
        }
        Step::Tick(ticks) => cluster.tick(ticks),
        Step::Campaign(n) => cluster.node(n).campaign(),
        Step::Transfer(n) => {
            if let Some(leader) = cluster.leader() {
                cluster.node(leader).transfer_leader(id(n)).ok();
            }
        }
        Step::Fitness(n, fitness) => cluster.node(n).set_fitness(fitness),
        Step::Restart(n) => {
            cluster.crash(n);
            cluster.restart(n, 10);
        }
    }
    cluster.settle();
}

/// Freezes and thaws whoever is quiet; returns how many were.
fn freeze_the_quiet(cluster: &mut Cluster) -> usize {
    let (now, settings) = (cluster.now, cluster.settings);
    let mut frozen_count = 0;
    for host in cluster.hosts.values_mut() {
        if let Some(frozen) = host.raft.as_ref().and_then(RaftNode::freeze) {
            let thawed = RaftNode::thaw(frozen, settings, now);
            assert!(thawed.is_quiet(), "a thawed replica is quiet");
            host.raft = Some(thawed);
            frozen_count += 1;
        }
    }
    frozen_count
}

/// A status without the times at which peers were heard: those start anew when a leader thaws.
fn comparable(cluster: &Cluster) -> Vec<Status> {
    let running = cluster.hosts.values().filter_map(|host| host.raft.as_ref());
    running
        .map(|raft| {
            let mut status = raft.status();
            for peer in &mut status.peers {
                *peer = PeerStatus { heard_at: Tick(0), ..*peer };
            }
            status
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn freezing_is_invisible_within_a_term(steps in prop::collection::vec(step(), 1..40)) {
        let mut plain = Cluster::with_learners(3, 1);
        let mut frozen = Cluster::with_learners(3, 1);
        for cluster in [&mut plain, &mut frozen] {
            cluster.elect(1);
            cluster.tick(2);
        }
        let count = freeze_the_quiet(&mut frozen);
        prop_assert_eq!(count, 4, "everybody is quiet after a beat");
        for step in steps {
            take(&mut plain, step);
            take(&mut frozen, step);
            prop_assert_eq!(comparable(&plain), comparable(&frozen), "after {:?}", step);
            for (one, other) in plain.hosts.values().zip(frozen.hosts.values()) {
                prop_assert_eq!(&one.reads, &other.reads);
                prop_assert_eq!(&one.disk.entries, &other.disk.entries);
                prop_assert_eq!(one.disk.hard_state, other.disk.hard_state);
            }
            freeze_the_quiet(&mut frozen);
        }
    }
}

fn log_id() -> impl Strategy<Value = LogId> {
    let index = prop_oneof![0u64..12, Just(u64::MAX), any::<u64>()];
    let term = prop_oneof![0u64..6, any::<u64>()];
    (term, index).prop_map(|(term, index)| LogId::new(Term(term), LogIndex(index)))
}

fn run() -> impl Strategy<Value = EntryRun> {
    let body = prop_oneof![
        1 => Just(RunBody::TermStart),
        1 => (1u32..4, 0u32..3)
            .prop_map(|(v, l)| RunBody::Configuration(harness::configuration(v, l))),
        3 => (1u8..4).prop_map(|count| {
            let mut builder = CommandsBuilder::default();
            (0..count).for_each(|n| builder.push(EntryHeader::default(), &[n]));
            RunBody::Commands(builder.take().unwrap())
        }),
    ];
    (log_id(), body).prop_map(|(id, body)| EntryRun { first: id.index, term: id.term, body })
}

/// Appends that could be real, so that they get past the door: contiguous runs of one term.
fn plausible_append() -> impl Strategy<Value = MessageBody> {
    (0u64..8, 0u64..4, 0u64..12, prop::collection::vec((run(), 0u64..2), 0..4)).prop_map(
        |(index, term, commit, parts)| {
            let prev = LogId::new(Term(term), LogIndex(index));
            let (mut next, mut term) = (prev.index.next(), prev.term);
            let mut runs = Vec::new();
            for (mut run, rise) in parts {
                term = Term(term.0 + rise);
                (run.first, run.term) = (next, term);
                next = run.last().next();
                runs.push(run);
            }
            MessageBody::Append { prev, commit: LogIndex(commit), runs }
        },
    )
}

fn body() -> impl Strategy<Value = MessageBody> {
    let round = || prop::option::of((0u64..5).prop_map(ReadRound));
    let index = || prop_oneof![(0u64..12), any::<u64>()].prop_map(LogIndex);
    prop_oneof![
        (0u64..9, log_id())
            .prop_map(|(term, last)| MessageBody::PreVote { next_term: Term(term), last }),
        (0u64..9, any::<bool>()).prop_map(|(term, granted)| MessageBody::PreVoteResponse {
            next_term: Term(term),
            granted
        }),
        (log_id(), any::<bool>())
            .prop_map(|(last, is_ordered)| MessageBody::Vote { last, is_ordered }),
        Just(MessageBody::TimeoutNow),
        any::<bool>().prop_map(|granted| MessageBody::VoteResponse { granted }),
        (log_id(), index(), prop::collection::vec(run(), 0..3))
            .prop_map(|(prev, commit, runs)| MessageBody::Append { prev, commit, runs }),
        plausible_append(),
        index().prop_map(|matched| MessageBody::Accepted { matched }),
        (index(), log_id()).prop_map(|(prev, hint)| MessageBody::Rejected { prev, hint }),
        (index(), round()).prop_map(|(commit, round)| MessageBody::Heartbeat { commit, round }),
        round().prop_map(|round| MessageBody::HeartbeatResponse { round }),
    ]
}

fn any_message() -> impl Strategy<Value = Message> {
    let term = prop_oneof![8 => 0u64..7, 1 => any::<u64>()];
    (0u32..6, 0u32..5, term, body())
        .prop_map(|(from, to, term, body)| message(from, to, term, body))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Wrong messages are refused or taken; whatever happens, the replica still answers.
    #[test]
    fn no_message_panics_a_replica(
        messages in prop::collection::vec((any_message(), 0u64..3), 1..60),
        leads in any::<bool>(),
    ) {
        let mut cluster = Cluster::new(3);
        if leads {
            cluster.elect(1);
        }
        let mut now = cluster.now;
        let raft = cluster.node(1);
        let mut ticket = 0;
        for (mut message, ticks) in messages {
            now = now.after(ticks);
            raft.tick(now);
            if message.to.0 != 0 {
                message.to = id(1);
            }
            let before = raft.status();
            if raft.step(message).is_err() {
                let after = raft.status();
                prop_assert_eq!(before.last, after.last, "a refused message changed the log");
            }
            if let Some(ready) = raft.ready() {
                ticket = ready.write.map_or(ticket, |write| write.ticket.0);
                if let Some(run) = ready.committed.last() {
                    raft.applied(run.last());
                }
                for fetch in ready.fetches {
                    let first = fetch.first;
                    let error = raft_core::FetchError::Compacted { first };
                    raft.entries_fetched(fetch.purpose, Err(error));
                }
            }
            raft.persisted(Ticket(ticket));
        }
    }
}
