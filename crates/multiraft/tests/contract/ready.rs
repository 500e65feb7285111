//! tick and ready: promises 8 to 13.

use multiraft::NodeSettings;
use raft_core::{Limits, MessageBody, Role};
use types::{GroupId, LogIndex, Term};

use crate::harness::{Node, Stored, append, heartbeat, id, run, table};

#[test]
fn c08_only_groups_with_output_appear() {
    let mut node = Node::alone(NodeSettings::default());
    assert!(node.multi.ready().is_empty());
    node.multi.propose_to_group(GroupId(2), b"a").unwrap();
    node.multi.propose_to_group(GroupId(2), b"b").unwrap();
    node.multi.propose_to_group(GroupId(4), b"c").unwrap();
    let ready = node.turn();
    let (_, batch) = ready.write.as_ref().unwrap();
    let written: Vec<GroupId> = batch.items.iter().map(|item| item.group).collect();
    assert_eq!(written, [GroupId(2), GroupId(4)]);
    assert!(!ready.is_empty() && ready.committed.is_empty() && ready.total_committed() == 0);
    let ready = node.turn();
    let delivered: Vec<GroupId> = ready.committed.iter().map(|(group, _)| *group).collect();
    assert_eq!(delivered, [GroupId(2), GroupId(4)]);
    assert!(!ready.is_empty() && ready.write.is_none() && ready.frames.is_empty());
    assert_eq!(ready.total_committed(), 3);
    let ready = node.turn();
    assert!(ready.is_empty() && ready.total_committed() == 0);
    // A tick at which nothing is due leaves everybody out.
    node.tick();
    node.settle();
    assert!(node.turn().is_empty());
}

#[test]
fn c09_nothing_leaves_that_depends_on_a_write_which_is_not_durable() {
    // Groups 1 and 4 are node 1's to open: both win their pre-votes, and both want to vote.
    let mut node = Node::of_three(1);
    node.holds_writes = true;
    node.tick();
    for group in [1, 4] {
        let body = MessageBody::PreVoteResponse { next_term: Term(1), granted: true };
        node.hear(2, group, 0, body);
        let status = node.multi.group_status(GroupId(group)).unwrap();
        assert_eq!((status.role, status.term), (Role::Candidate, Term(1)));
    }
    let asks = |node: &mut Node, group| {
        let sent = node.take_sent_to(2, group);
        sent.iter().any(|body| matches!(body, MessageBody::Vote { .. }))
    };
    assert!(!asks(&mut node, 1) && !asks(&mut node, 4), "not before term and vote are durable");
    // One write carries group 1's vote, a later one group 4's; the second one fails.
    let ticket = node.disk.release().unwrap();
    node.multi.persisted(ticket).unwrap();
    node.settle();
    assert!(asks(&mut node, 1));
    for _ in 0..100 {
        node.tick();
    }
    assert!(!asks(&mut node, 4), "a failed write yields no vote request, however long it takes");

    // A follower acknowledges what is durable; what was durable before a failure is delivered.
    let mut node = Node::of_three(2);
    node.hear(1, 1, 1, append(id(0, 1), 1, &[run(2, 1, &[b"a", b"b"])]));
    node.take_sent(1);
    node.holds_writes = true;
    node.hear(1, 1, 1, append(id(1, 3), 1, &[run(4, 1, &[b"c"])]));
    node.hear(1, 3, 1, append(id(0, 1), 1, &[run(2, 1, &[b"z"])]));
    let is_ack = |body: &MessageBody| matches!(body, MessageBody::Accepted { .. });
    assert!(!node.take_sent_to(1, 1).iter().any(is_ack), "no acknowledgement before the write");
    assert!(!node.take_sent_to(1, 3).iter().any(is_ack), "nor for another group of the batch");
    assert!(node.commands(1).is_empty());
    node.hear(1, 1, 1, append(id(1, 4), 4, &[]));
    assert_eq!(node.commands(1), [b"a".to_vec(), b"b".to_vec()], "durable and committed: applied");
    for _ in 0..100 {
        node.tick();
    }
    assert_eq!(node.commands(1).len(), 2, "committed and not durable here: not applied");
    assert!(node.commands(3).is_empty());
    assert!(!node.take_sent_to(1, 1).iter().any(is_ack));

    // Alone, too, nothing is applied before it is durable.
    let mut node = Node::alone(NodeSettings::default());
    node.holds_writes = true;
    node.multi.propose_to_group(GroupId(2), b"x").unwrap();
    node.settle();
    assert!(node.commands(2).is_empty());
    node.release_writes();
    node.settle();
    assert_eq!(node.commands(2), [b"x".to_vec()]);
}

#[test]
fn c10_committed_entries_are_delivered_once_and_in_order() {
    // The node under test fails if a delivery leaves a gap or repeats an index.
    let tight = Limits { log_cache_bytes_max: 0, apply_bytes_max: 300, ..Limits::default() };
    for limits in [Limits::default(), tight] {
        let mut node = Node::alone(NodeSettings { limits, ..NodeSettings::default() });
        node.holds_applies = true;
        // Several commits between two ticks, nothing reported applied.
        for number in 0..10u8 {
            node.multi.propose_to_group(GroupId(1), &[number; 50]).unwrap();
            node.multi.propose_to_group(GroupId(2), &[number]).unwrap();
            node.settle();
        }
        assert_eq!(node.commit(1), LogIndex(12));
        let delivered = |node: &Node, group| node.delivered[&GroupId(group)].len() as u64;
        let (before, commit) = (delivered(&node, 1), node.commit(1));
        node.tick();
        node.settle();
        assert_eq!(delivered(&node, 1), before, "neither time nor asking again repeats anything");
        // What was held back by the window comes as soon as there is room.
        for _ in 0..20 {
            let index = LogIndex(delivered(&node, 1));
            node.multi.advance_applied(GroupId(1), index).unwrap();
            node.settle();
        }
        assert_eq!(delivered(&node, 1), commit.0);
        let payloads: Vec<u8> = node.commands(1).iter().map(|payload| payload[0]).collect();
        assert_eq!(payloads, (0..10).collect::<Vec<u8>>());
        node.multi.advance_applied(GroupId(1), commit).unwrap();
        node.settle();
        assert_eq!(delivered(&node, 1), commit.0, "a report repeats nothing");
    }
    let mut follower = Node::of_three(2);
    follower.holds_applies = true;
    follower.hear(1, 1, 1, append(id(0, 1), 2, &[run(2, 1, &[b"a", b"b"])]));
    for commit in [2, 3, 3, 2] {
        follower.hear(1, 1, 1, heartbeat(commit));
    }
    follower.hear(1, 1, 1, append(id(0, 1), 3, &[run(2, 1, &[b"a", b"b"])]));
    assert_eq!(follower.commands(1), [b"a".to_vec(), b"b".to_vec()]);
}

#[test]
fn c11_a_single_voter_elects_itself_within_one_election_timeout() {
    for seed in 0..20 {
        let settings = NodeSettings { seed, ..NodeSettings::default() };
        let mut node = Node::new(1, table(1, 4), settings);
        node.multi.add_group(GroupId(1), &[]).unwrap();
        node.multi.add_group(GroupId(900), &[]).unwrap();
        node.settle();
        assert!(!node.multi.group_role_is_leader(GroupId(1)));
        for _ in 0..settings.timing.election_ticks_max() {
            node.tick();
        }
        for group in [1, 900] {
            assert!(node.multi.group_role_is_leader(GroupId(group)));
            let delivered = &node.delivered[&GroupId(group)];
            assert!(delivered.iter().any(|d| d.term == Term(1) && d.entry == Stored::TermStart));
        }
        // So it does again after a restart, at once: nobody else can have been promised anything.
        let no_vote_before = types::Tick(node.multi.now().0 + 1_000);
        node.restart(NodeSettings { no_vote_before, ..settings });
        for _ in 0..settings.timing.election_ticks_max() {
            node.tick();
        }
        assert!(node.multi.group_role_is_leader(GroupId(1)));
        assert_eq!(node.commit(1), node.last(1));
    }
}
