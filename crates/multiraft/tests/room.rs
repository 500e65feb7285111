//! Nodes whose disks are low hand over to those that have room, and nothing is begun that a majority
//! could not write.
#![allow(clippy::unwrap_used)] // A test that unwraps fails where it should, helpers included.
#![allow(clippy::wildcard_enum_match_arm)] // What a test does not name is what it does not want.

mod harness;

use harness::loops::{Loops, Outcome};
use multiraft::{Answer, DiskRoom, Fitness, Input, LoopLimits, NodeSettings};
use types::{GroupId, NodeId, Term};

fn started() -> Loops {
    Loops::started(3, NodeSettings::default(), LoopLimits::default())
}

/// Tells node `id` how its disk is, and which others are low.
fn tell(loops: &mut Loops, id: u64, is_low: bool, is_waiting: bool, low_peers: &[u64]) {
    let low_peers = low_peers.iter().copied().map(NodeId).collect();
    let room = DiskRoom { is_low, is_waiting, low_peers };
    loops.node(id).inbox.push_back(Input::DiskRoom(room));
    loops.settle();
}

fn ticks(loops: &mut Loops, count: u64) {
    (0..count).for_each(|_| loops.tick());
}

fn term(loops: &mut Loops) -> Term {
    loops.node(1).node.multi().group_status(GroupId(1)).unwrap().term
}

fn answered(answer: Answer) -> Option<Outcome> {
    Some(Outcome::Answered(answer))
}

/// Proposes at node 1 and lets everything settle.
fn write(loops: &mut Loops) -> Option<Outcome> {
    let reply = loops.propose(1, 0, b"x");
    loops.settle();
    loops.outcome(1, reply)
}

#[test]
fn a_low_leader_hands_over_to_a_node_with_room() {
    for (low, next) in [(&[2][..], 3), (&[3], 2)] {
        let mut loops = started();
        tell(&mut loops, 1, true, false, low);
        ticks(&mut loops, 2);
        assert_eq!(loops.leader(1), Some(NodeId(next)));
    }
}

#[test]
fn a_low_leader_stays_where_nobody_has_room() {
    let mut loops = started();
    let before = term(&mut loops);
    tell(&mut loops, 1, true, false, &[2, 3]);
    ticks(&mut loops, 300);
    assert_eq!((loops.leader(1), term(&mut loops)), (Some(NodeId(1)), before));
    // Until somebody has.
    tell(&mut loops, 1, true, false, &[2]);
    ticks(&mut loops, 2);
    assert_eq!(loops.leader(1), Some(NodeId(3)));
}

#[test]
fn a_low_leader_waits_until_somebody_with_room_is_there() {
    let mut loops = started();
    loops.network.isolate(&[NodeId(3)]);
    ticks(&mut loops, 15);
    tell(&mut loops, 1, true, false, &[2]);
    ticks(&mut loops, 100);
    assert_eq!(loops.leader(1), Some(NodeId(1)));
    loops.network.isolate(&[]);
    // At worst just after an offer that came to nothing, after which the next one is put off.
    for _ in 0..700 {
        if loops.leader(1) == Some(NodeId(3)) {
            return;
        }
        loops.tick();
    }
    panic!("node 3 never leads");
}

#[test]
fn offers_that_come_to_nothing_get_rarer() {
    let mut loops = started();
    let before = term(&mut loops);
    tell(&mut loops, 1, true, false, &[2]);
    // It has room and answers, but is not fit to lead for another reason: it ignores the order.
    loops.node(3).inbox.push_back(Input::Fitness(Fitness::Unfit));
    let (mut offers, mut was_offering) = (0, false);
    for _ in 0..400 {
        loops.tick();
        let status = loops.node(1).node.multi().group_status(GroupId(1)).unwrap();
        let is_offering = status.transferee.is_some();
        offers += u64::from(is_offering && !was_offering);
        was_offering = is_offering;
    }
    // Every 20 ticks it would be 20: 20, 40, 80, 160 ticks later each.
    assert!((4..=6).contains(&offers), "{offers} offers");
    assert_eq!((loops.leader(1), term(&mut loops)), (Some(NodeId(1)), before));
}

#[test]
fn proposals_that_a_majority_could_not_write_are_refused() {
    let mut loops = started();
    tell(&mut loops, 1, false, false, &[2]);
    assert!(matches!(write(&mut loops), Some(Outcome::Applied(..))));
    tell(&mut loops, 1, false, false, &[2, 3]);
    assert_eq!(write(&mut loops), answered(Answer::MajorityFull));
    let read = loops.read(1, 0);
    loops.settle();
    assert!(matches!(loops.outcome(1, read), Some(Outcome::Answered(Answer::ReadAt { .. }))));
    // This node is one of them too.
    tell(&mut loops, 1, true, false, &[3]);
    assert_eq!(write(&mut loops), answered(Answer::MajorityFull));
    // Who does not lead says who does, whatever he knows of disks.
    tell(&mut loops, 2, false, false, &[1, 3]);
    let leader = loops.leader(1).unwrap();
    let reply = loops.propose(2, 0, b"x");
    loops.settle();
    if leader != NodeId(2) {
        assert_eq!(loops.outcome(2, reply), answered(Answer::NotLeader { leader }));
    }
    tell(&mut loops, 1, false, false, &[]);
    tell(&mut loops, 2, false, false, &[]);
}

#[test]
fn a_silent_node_and_a_full_one_leave_no_majority_of_three() {
    let mut loops = started();
    [2, 3].iter().for_each(|id| loops.node(*id).holds_writes = true);
    let held = loops.propose(1, 0, b"held");
    loops.settle();
    loops.network.isolate(&[NodeId(3)]);
    ticks(&mut loops, 15);
    assert!(loops.leader(1) == Some(NodeId(1)) && loops.outcome(1, held).is_none());
    tell(&mut loops, 1, false, false, &[2]);
    assert_eq!(write(&mut loops), answered(Answer::MajorityFull));
    ticks(&mut loops, 63);
    assert_eq!(loops.outcome(1, held), answered(Answer::Uncertain));
    // With room at the other it goes on, although one is silent still.
    loops.node(2).holds_writes = false;
    tell(&mut loops, 1, false, false, &[]);
    ticks(&mut loops, 10);
    assert!(matches!(write(&mut loops), Some(Outcome::Applied(..))));
}

#[test]
fn whoever_waits_for_room_is_told_after_a_while_and_the_leader_stays() {
    let mut loops = started();
    [1, 2, 3].iter().for_each(|id| loops.node(*id).holds_writes = true);
    let held = loops.propose(1, 0, b"held");
    loops.settle();
    tell(&mut loops, 1, true, true, &[2, 3]);
    ticks(&mut loops, 59);
    assert_eq!(loops.outcome(1, held), None, "it may still work out");
    ticks(&mut loops, 3);
    assert_eq!(loops.outcome(1, held), answered(Answer::Uncertain));
    assert_eq!((loops.leader(1), loops.node(1).node.in_flight_bytes()), (Some(NodeId(1)), 0));
}

#[test]
fn reads_that_wait_for_what_has_no_room_here_are_sent_to_the_next_leader() {
    let mut loops = started();
    loops.node(1).holds_writes = true;
    let held = loops.propose(1, 0, b"committed by the others");
    loops.settle();
    let read = loops.read(1, 0);
    loops.settle();
    assert_eq!(loops.outcome(1, read), None, "it has to see what is not durable here");
    tell(&mut loops, 1, true, true, &[2]);
    ticks(&mut loops, 12);
    assert_eq!(loops.leader(1), Some(NodeId(3)));
    let gone = [Answer::NotLeader { leader: NodeId(3) }, Answer::NoLeader].map(answered);
    assert!(gone.contains(&loops.outcome(1, read)), "{:?}", loops.outcome(1, read));
    assert_eq!(loops.outcome(1, held), answered(Answer::Uncertain));
}
