//! A node that must not lead: one switch for all its groups, and nobody waits at it in vain.

#![allow(clippy::unwrap_used)] // A test that unwraps fails where it should, helpers included.
#![allow(clippy::wildcard_enum_match_arm)] // What a test does not name is what it does not want.

mod harness;

use harness::loops::{Loops, Outcome};
use harness::{Node, alive};
use multiraft::{Answer, Fitness, Input, LoopLimits, NodeSettings};
use raft_core::Role;
use types::{GroupId, NodeId, Term};

fn started() -> Loops {
    Loops::started(3, NodeSettings::default(), LoopLimits::default())
}

fn answered(answer: Answer) -> Option<Outcome> {
    Some(Outcome::Answered(answer))
}

fn set_fitness(loops: &mut Loops, id: u64, fitness: Fitness) {
    loops.node(id).inbox.push_back(Input::Fitness(fitness));
    loops.settle();
}

/// Ticks until another node than 1 leads group 1.
fn await_another_leader(loops: &mut Loops) -> NodeId {
    for _ in 0..100 {
        match loops.leader(1) {
            Some(leader) if leader != NodeId(1) => return leader,
            _ => loops.tick(),
        }
    }
    panic!("nobody else leads after 100 ticks");
}

#[test]
fn the_switch_costs_the_groups_that_are_led() {
    let mut node = Node::of_three(1);
    node.win(1);
    node.win(4);
    assert_eq!(node.multi.set_fitness(Fitness::Unfit), 2);
    assert_eq!(node.multi.set_fitness(Fitness::Unfit), 0, "that is no news");
    let ready = node.multi.ready();
    let changed: Vec<(GroupId, Role)> = ready.roles.iter().map(|(g, r)| (*g, r.role)).collect();
    assert_eq!(changed, [(GroupId(1), Role::Follower), (GroupId(4), Role::Follower)]);
    assert_eq!(node.multi.set_fitness(Fitness::Fit), 0, "it leads nothing that had to hear of it");
    assert!(node.multi.ready().is_empty());
}

#[test]
fn a_group_that_came_to_lead_in_this_very_turn_steps_down_too() {
    let mut node = Node::of_three(1);
    node.win(1);
    let status = node.multi.group_status(GroupId(4)).unwrap();
    assert_ne!(status.role, Role::Leader);
    // As `win`, but the vote that decides is not followed by a ready.
    while node.multi.group_status(GroupId(4)).unwrap().role != Role::Candidate
        || node.term(4) == status.term
    {
        node.tick();
        let next_term = Term(node.term(4).0 + 1);
        let granted = raft_core::MessageBody::PreVoteResponse { next_term, granted: true };
        node.hear(2, 4, next_term.0 - 1, granted);
    }
    let vote = raft_core::MessageBody::VoteResponse { granted: true };
    let vote = node.envelope(2, 4, node.term(4).0, vote);
    node.multi.step(NodeId(2), vote).unwrap();
    assert!(node.multi.group_role_is_leader(GroupId(4)));
    node.multi.set_fitness(Fitness::Unfit);
    assert!(!node.multi.group_role_is_leader(GroupId(4)));
}

#[test]
fn groups_added_and_restored_while_unfit_do_not_campaign() {
    for restored in [false, true] {
        let mut node = Node::alone(NodeSettings::default());
        if restored {
            node.restart(NodeSettings::default());
            node.multi.set_fitness(Fitness::Unfit);
        } else {
            node.multi.set_fitness(Fitness::Unfit);
            node.multi.add_group(GroupId(9), &[]).unwrap();
        }
        (0..60).for_each(|_| node.tick());
        let statuses = node.multi.group_statuses();
        assert!(statuses.iter().all(|status| status.role == Role::Follower), "{statuses:#?}");
        node.multi.set_fitness(Fitness::Fit);
        (0..60).for_each(|_| node.tick());
        let statuses = node.multi.group_statuses();
        assert!(statuses.iter().all(|status| status.role == Role::Leader), "{statuses:#?}");
    }
}

#[test]
fn an_unfit_follower_costs_no_more_calls_than_a_fit_one() {
    let mut calls = [0; 2];
    for (fitness, calls) in [Fitness::Fit, Fitness::Unfit].into_iter().zip(&mut calls) {
        let mut node = Node::of_three(2);
        node.multi.set_fitness(fitness);
        for _ in 0..100 {
            for group in 1..=4 {
                node.hear(1, group, 1, harness::heartbeat(0));
            }
            node.tick();
        }
        *calls = node.multi.counters().calls;
    }
    assert_eq!(calls[0], calls[1]);
}

#[test]
fn whoever_waits_at_a_node_that_becomes_unfit_is_told_at_once() {
    let mut loops = started();
    loops.node(1).holds_applies = true;
    let applied = loops.propose(1, 0, b"handed to the state machine");
    loops.settle();
    let applying = loops.read(1, 0);
    loops.settle();
    loops.network.isolate(&[NodeId(1)]);
    let write = loops.propose(1, 0, b"nobody else has it");
    let confirming = loops.read(1, 0);
    loops.settle();
    for waits in [applying, write, confirming] {
        assert_eq!(loops.outcome(1, waits), None);
    }
    set_fitness(&mut loops, 1, Fitness::Unfit);
    assert!(matches!(loops.outcome(1, applied), Some(Outcome::Applied(..))));
    assert_eq!(loops.outcome(1, write), answered(Answer::Uncertain));
    assert_eq!(loops.outcome(1, applying), answered(Answer::NoLeader));
    assert_eq!(loops.outcome(1, confirming), answered(Answer::NoLeader));
    loops.node(1).holds_applies = false;
    loops.node(1).release_applies();
    loops.settle();
    assert_eq!(loops.node(1).node.in_flight_bytes(), 0);
}

#[test]
fn a_read_confirmed_in_the_turn_of_the_switch_does_not_wait_for_the_disk() {
    let mut loops = started();
    loops.node(1).holds_applies = true;
    loops.propose(1, 0, b"handed to the state machine");
    loops.settle();
    let read = loops.read(1, 0);
    let (frames, _) = loops.node(1).turn();
    for frame in frames.into_iter().filter(|frame| frame.to == NodeId(2)) {
        let messages = codec::decode_frame(&frame.bytes, &codec::FrameLimits::default()).unwrap();
        loops.node(2).inbox.push_back(Input::Messages { from: NodeId(1), messages });
    }
    let (frames, _) = loops.node(2).turn();
    for frame in frames.into_iter().filter(|frame| frame.to == NodeId(1)) {
        let messages = codec::decode_frame(&frame.bytes, &codec::FrameLimits::default()).unwrap();
        assert!(messages.iter().any(|envelope| envelope.message.body != alive()));
        loops.node(1).inbox.push_back(Input::Messages { from: NodeId(2), messages });
    }
    set_fitness(&mut loops, 1, Fitness::Unfit);
    assert_eq!(loops.outcome(1, read), answered(Answer::NoLeader));
}

#[test]
fn the_others_go_on_while_a_leader_s_disk_stands_still() {
    let mut loops = started();
    loops.node(1).holds_writes = true;
    let write = loops.propose(1, 0, b"on two disks of three");
    loops.settle();
    let read = loops.read(1, 0);
    loops.settle();
    assert_eq!((loops.outcome(1, write), loops.outcome(1, read)), (None, None));
    set_fitness(&mut loops, 1, Fitness::Unfit);
    assert_eq!(loops.outcome(1, write), answered(Answer::Uncertain));
    assert_eq!(loops.outcome(1, read), answered(Answer::NoLeader));
    let leader = await_another_leader(&mut loops);
    let write = loops.propose(leader.0, 0, b"without it");
    loops.tick();
    assert!(matches!(loops.outcome(leader.0, write), Some(Outcome::Applied(..))));
    let read = loops.read(1, 0);
    loops.settle();
    assert_eq!(loops.outcome(1, read), answered(Answer::NotLeader { leader }));
    // The disk is back: the node has everything, and may lead again.
    loops.node(1).holds_writes = false;
    set_fitness(&mut loops, 1, Fitness::Fit);
    (0..4).for_each(|_| loops.tick());
    let commits =
        loops.nodes.values().map(|looper| looper.node.multi().commit_index_for(GroupId(1)));
    let commits: Vec<_> = commits.collect();
    assert!(commits.iter().all(|commit| *commit == commits[0]), "{commits:?}");
    let rival = [2, 3].map(NodeId).into_iter().find(|id| *id != leader).unwrap();
    set_fitness(&mut loops, rival.0, Fitness::Unfit);
    loops.network.isolate(&[leader]);
    for _ in 0..100 {
        loops.tick();
    }
    assert_eq!(loops.leader(1), Some(NodeId(1)));
}
