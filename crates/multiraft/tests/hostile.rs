//! Whatever other nodes say, and in whatever order, a node takes it or refuses it by name.

#![allow(clippy::unwrap_used)] // A test that unwraps fails where it should, helpers included.
#![allow(clippy::wildcard_enum_match_arm)] // What a test does not name is what it does not want.

mod harness;

use codec::Envelope;
use harness::{Node, run};
use proptest::prelude::*;
use raft_core::{EntryRun, Message, MessageBody, ReadId, ReadRound, RunBody};
use types::{Generation, GroupId, LogId, LogIndex, NodeId, ReplicaId, Term};

#[derive(Clone, Debug)]
enum Event {
    Says(u64, Envelope),
    Tick(u64),
    Propose(u64),
    Read(u64),
    HoldWrites(bool),
    Turn,
}

/// Mostly small, so that messages meet what is there; now and then as large as it gets.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..7u64, 1 => Just(u64::MAX), 1 => Just(u64::MAX / 2)]
}

fn index() -> impl Strategy<Value = LogIndex> {
    number().prop_map(LogIndex)
}

/// A beat that commits beyond the log halts its replica, and nothing more is tried with it: seldom.
fn beat_commit() -> impl Strategy<Value = LogIndex> {
    prop_oneof![20 => (0..2u64).prop_map(LogIndex), 1 => index()]
}

fn log_id() -> impl Strategy<Value = LogId> {
    (number(), number()).prop_map(|(term, index)| LogId::new(Term(term), LogIndex(index)))
}

fn runs(prev: LogId) -> impl Strategy<Value = Vec<EntryRun>> {
    // Most appends follow `prev` without a gap, as a decoded frame's do; some do not.
    let one = (0..3u64, 1..4usize, 0..9u8);
    prop::collection::vec(one, 0..4).prop_map(move |shapes| {
        let (mut next, mut term) = (prev.index.next().0, prev.term.0);
        let mut all = Vec::new();
        for (terms_on, count, kind) in shapes {
            term = term.saturating_add(terms_on);
            let first = if kind == 8 { next.saturating_add(1) } else { next };
            let one = if kind == 0 {
                EntryRun { first: LogIndex(first), term: Term(term), body: RunBody::TermStart }
            } else {
                run(first, term, &vec![&b"x"[..]; count])
            };
            next = one.last().next().0;
            all.push(one);
        }
        all
    })
}

fn body() -> impl Strategy<Value = MessageBody> {
    let round = || prop::option::of(number().prop_map(ReadRound));
    prop_oneof![
        (number(), log_id())
            .prop_map(|(term, last)| MessageBody::PreVote { next_term: Term(term), last }),
        (number(), any::<bool>()).prop_map(|(term, granted)| {
            MessageBody::PreVoteResponse { next_term: Term(term), granted }
        }),
        (log_id(), any::<bool>())
            .prop_map(|(last, is_ordered)| MessageBody::Vote { last, is_ordered }),
        Just(MessageBody::TimeoutNow),
        any::<bool>().prop_map(|granted| MessageBody::VoteResponse { granted }),
        (log_id(), index()).prop_flat_map(|(prev, commit)| {
            runs(prev).prop_map(move |runs| MessageBody::Append { prev, commit, runs })
        }),
        index().prop_map(|matched| MessageBody::Accepted { matched }),
        (index(), log_id()).prop_map(|(prev, hint)| MessageBody::Rejected { prev, hint }),
        (beat_commit(), round())
            .prop_map(|(commit, round)| MessageBody::Heartbeat { commit, round }),
        round().prop_map(|round| MessageBody::HeartbeatResponse { round }),
    ]
}

fn envelope() -> impl Strategy<Value = (u64, Envelope)> {
    let group = prop_oneof![9 => Just(1u64), 1 => 0..6u64];
    let generation = prop_oneof![30 => Just(1u32), 1 => 0..3u32];
    let to = prop_oneof![30 => Just(1u32), 1 => 0..5u32];
    (group, generation, 1..5u32, to, number(), body(), 0..30u8).prop_map(
        |(group, generation, from, to, term, body, stray)| {
            let message =
                Message { from: ReplicaId(from), to: ReplicaId(to), term: Term(term), body };
            let generation = Generation(generation);
            let node = if stray == 0 { 1 + u64::from(from) % 4 } else { u64::from(from) };
            (node, Envelope { group: GroupId(group), generation, message })
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => envelope().prop_map(|(from, envelope)| Event::Says(from, envelope)),
        2 => (1..25u64).prop_map(Event::Tick),
        1 => (1..3u64).prop_map(Event::Propose),
        1 => (1..3u64).prop_map(Event::Read),
        1 => any::<bool>().prop_map(Event::HoldWrites),
        3 => Just(Event::Turn),
    ]
}

fn live_through(events: Vec<Event>) {
    let mut node = Node::of_three(1);
    for event in events {
        match event {
            Event::Says(from, envelope) => {
                // Taken or refused: the property is that the node lives, and its disk and its state
                // machine, which check what they are given, accept what follows.
                let _ = node.multi.step(NodeId(from), envelope);
            }
            Event::Tick(ticks) => node.tick_to(node.multi.now().0 + ticks),
            Event::Propose(group) => {
                let _ = node.multi.propose_to_group(GroupId(group), b"mine");
            }
            Event::Read(group) => {
                let _ = node.multi.read_index(GroupId(group), ReadId(1));
            }
            Event::HoldWrites(holds) => {
                node.holds_writes = holds;
                if !holds {
                    node.release_writes();
                }
            }
            Event::Turn => node.settle(),
        }
    }
    node.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_conversation_breaks_a_node(events in prop::collection::vec(event(), 1..80)) {
        live_through(events);
    }
}
