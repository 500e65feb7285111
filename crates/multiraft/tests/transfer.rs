//! Handovers as whoever asks for one sees them: they end, in one way or another.

#![allow(clippy::unwrap_used)] // A test that unwraps fails where it should, helpers included.
#![allow(clippy::wildcard_enum_match_arm)] // What a test does not name is what it does not want.

mod harness;

use harness::loops::{Loops, Outcome};
use multiraft::{Answer, Fitness, Input, LoopLimits, NodeSettings, TransferError};
use types::{GroupId, NodeId, Tick};

const GROUP: GroupId = GroupId(1);

fn started() -> Loops {
    let loops = Loops::started(3, NodeSettings::default(), LoopLimits::default());
    assert_eq!(loops.leader(1), Some(NodeId(1)));
    loops
}

fn transfer(loops: &mut Loops, from: u64, group: u64, to: u64) -> u64 {
    let (group, to) = (GroupId(group), NodeId(to));
    let reply = loops.ask(from, |reply| Input::TransferLeader { group, to, reply });
    loops.settle();
    reply
}

fn answered(answer: Answer) -> Option<Outcome> {
    Some(Outcome::Answered(answer))
}

#[test]
fn leadership_moves_and_no_proposal_is_left_uncertain() {
    let mut loops = started();
    let writes: Vec<u64> = (0..5).map(|_| loops.propose(1, 0, b"before")).collect();
    let read = loops.read(1, 0);
    let moved = transfer(&mut loops, 1, 1, 3);
    assert_eq!(loops.outcome(1, moved), answered(Answer::Transferred));
    assert_eq!(loops.leader(1), Some(NodeId(3)));
    for write in writes {
        assert!(matches!(loops.outcome(1, write), Some(Outcome::Applied(..))));
    }
    assert!(matches!(loops.outcome(1, read), Some(Outcome::Answered(Answer::ReadAt { .. }))));
    let write = loops.propose(3, 0, b"after");
    loops.settle();
    assert!(matches!(loops.outcome(3, write), Some(Outcome::Applied(..))));
    let refused = loops.propose(1, 0, b"at the wrong node");
    loops.settle();
    assert_eq!(loops.outcome(1, refused), answered(Answer::NotLeader { leader: NodeId(3) }));
}

#[test]
fn what_cannot_be_begun_is_refused_by_name() {
    let mut loops = started();
    let mut refused = |from, group, to, error| {
        let reply = transfer(&mut loops, from, group, to);
        assert_eq!(loops.outcome(from, reply), answered(Answer::TransferRefused(error)));
    };
    refused(1, 9, 2, TransferError::UnknownGroup { group: GroupId(9) });
    refused(2, 1, 3, TransferError::NotLeader { leader: Some(NodeId(1)) });
    refused(1, 1, 9, TransferError::NotAMember { node: NodeId(9) });
    let itself = transfer(&mut loops, 1, 1, 1);
    assert_eq!(loops.outcome(1, itself), answered(Answer::Transferred), "it leads already");
    loops.network.isolate(&[NodeId(3)]);
    (0..10).for_each(|_| loops.tick());
    let silent = transfer(&mut loops, 1, 1, 3);
    let error = TransferError::Silent { node: NodeId(3) };
    assert_eq!(loops.outcome(1, silent), answered(Answer::TransferRefused(error)));
    // Two at a time: the second waits for the first to end.
    loops.node(2).holds_writes = true;
    loops.propose(1, 0, b"x");
    let first = transfer(&mut loops, 1, 1, 2);
    assert_eq!(loops.outcome(1, first), None);
    loops.network.isolate(&[]);
    loops.tick();
    loops.tick();
    let second = transfer(&mut loops, 1, 1, 3);
    let error = TransferError::InProgress { to: Some(NodeId(2)) };
    assert_eq!(loops.outcome(1, second), answered(Answer::TransferRefused(error)));
}

#[test]
fn proposals_meanwhile_are_refused_and_succeed_afterwards() {
    let mut loops = started();
    loops.node(2).holds_writes = true;
    loops.propose(1, 0, b"x");
    let moved = transfer(&mut loops, 1, 1, 2);
    let refused = loops.propose(1, 0, b"meanwhile");
    loops.settle();
    let to = Some(NodeId(2));
    assert_eq!(loops.outcome(1, refused), answered(Answer::TransferInProgress { to }));
    let statuses = |loops: &mut Loops, node| loops.node(node).node.multi().group_statuses();
    let shown = |loops: &mut Loops, node| statuses(loops, node)[0].transferee;
    assert_eq!((shown(&mut loops, 1), shown(&mut loops, 2)), (to, None));
    (0..12).for_each(|_| loops.tick());
    let leader = Some(NodeId(1));
    assert_eq!(loops.outcome(1, moved), answered(Answer::TransferFailed { leader }));
    assert_eq!(shown(&mut loops, 1), None);
    let write = loops.propose(1, 0, b"afterwards");
    loops.settle();
    assert!(matches!(loops.outcome(1, write), Some(Outcome::Applied(..))));
}

#[test]
fn everybody_who_waits_is_told_and_only_so_many_may() {
    let limits = LoopLimits { transfers_max: 2, ..LoopLimits::default() };
    let mut loops = Loops::started(3, NodeSettings::default(), limits);
    loops.node(2).holds_writes = true;
    loops.propose(1, 0, b"x");
    let waiting = [transfer(&mut loops, 1, 1, 2), transfer(&mut loops, 1, 1, 2)];
    let refused = transfer(&mut loops, 1, 1, 2);
    let overloaded = Answer::Overloaded { budget: "transfers_max" };
    assert_eq!(loops.outcome(1, refused), answered(overloaded));
    loops.node(2).holds_writes = false;
    loops.tick();
    for reply in waiting {
        assert_eq!(loops.outcome(1, reply), answered(Answer::Transferred));
    }
    // There is room again.
    let back = transfer(&mut loops, 2, 1, 1);
    assert_eq!(loops.outcome(2, back), answered(Answer::Transferred));
}

#[test]
fn a_handover_to_another_node_in_the_turn_in_which_one_ends_does_not_keep_its_caller() {
    let mut loops = started();
    loops.node(2).holds_writes = true;
    loops.propose(1, 0, b"x");
    let first = transfer(&mut loops, 1, 1, 2);
    (0..9).for_each(|_| loops.tick());
    assert_eq!(loops.outcome(1, first), None);
    // The tick that ends the first, and the second, in one turn; the order to 3 gets lost.
    loops.now += 3;
    let ended = Input::Tick(Tick(loops.now));
    loops.node(1).inbox.push_back(ended);
    loops.network.isolate(&[NodeId(1)]);
    let second = transfer(&mut loops, 1, 1, 3);
    let failed = answered(Answer::TransferFailed { leader: Some(NodeId(1)) });
    assert_eq!((loops.outcome(1, first), loops.outcome(1, second)), (failed, None));
}

#[test]
fn whoever_waits_is_told_if_another_is_elected_or_nobody() {
    // Node 1 must not lead any more; somebody else is elected than the one that was asked for.
    let mut loops = started();
    loops.node(2).holds_writes = true;
    loops.propose(1, 0, b"x");
    let moved = transfer(&mut loops, 1, 1, 2);
    for node in [1, 2] {
        loops.node(node).inbox.push_back(Input::Fitness(Fitness::Unfit));
    }
    loops.node(2).holds_writes = false;
    (0..30).for_each(|_| loops.tick());
    let leader = Some(NodeId(3));
    assert_eq!(loops.outcome(1, moved), answered(Answer::TransferFailed { leader }));

    let mut loops = started();
    loops.node(2).holds_writes = true;
    loops.propose(1, 0, b"x");
    let moved = transfer(&mut loops, 1, 1, 2);
    loops.network.isolate(&[NodeId(1)]);
    for _ in 0..60 {
        loops.tick();
    }
    assert_eq!(loops.outcome(1, moved), answered(Answer::TransferFailed { leader: None }));
}

#[test]
fn a_loop_that_stops_leaves_nobody_waiting() {
    let mut loops = started();
    loops.node(2).holds_writes = true;
    loops.propose(1, 0, b"x");
    let moved = transfer(&mut loops, 1, 1, 2);
    assert_eq!(loops.outcome(1, moved), None);
    let node = loops.nodes.remove(&NodeId(1)).unwrap();
    let outcomes = node.stop();
    assert_eq!(outcomes[&moved], Outcome::Answered(Answer::TransferFailed { leader: None }));
}

#[test]
fn a_handover_travels_with_the_turn_and_not_with_the_beat() {
    let mut loops = started();
    let now = Tick(loops.now);
    transfer(&mut loops, 1, 1, 2);
    assert_eq!(loops.leader(1), Some(NodeId(2)));
    assert_eq!(loops.node(2).node.multi().now(), now, "no time has passed");
    assert_eq!(loops.node(2).node.multi().transferee(GROUP), Ok(None));
}
