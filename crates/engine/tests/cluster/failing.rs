//! What a node does when something in it breaks: it stops, says why, and leaves nobody waiting.

use bytes::Bytes;
use engine::{EngineState, Failure, ProposeError, ReadError, ShutdownError};
use types::{GroupId, LogIndex, NodeId};

use crate::support::{Cluster, NO_RESULT, PANIC, soon, until};

const GROUP: GroupId = GroupId(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_disk_ends_the_node_and_the_others_go_on() {
    let mut cluster = Cluster::start(3, 3);
    cluster.await_leaders().await;
    let leader = cluster.await_leader(GROUP).await;
    let (id, engine) = (leader.id, leader.engine().clone());
    let vshard = cluster.vshard_of(GROUP);
    leader.disk.fail_sync_in(0);
    let answer = soon("an answer", engine.propose(vshard, Bytes::from_static(b"lost?"))).await;
    // The other two may have committed it before the disk of the first failed.
    assert!(matches!(answer, Ok(_) | Err(ProposeError::Uncertain)), "{answer:?}");
    let failure = soon("the failure", engine.failed()).await;
    assert!(matches!(&failure, Failure::Store { .. }), "{failure}");
    let status = engine.status();
    assert_eq!((status.state, status.failure), (EngineState::Failed, Some(failure.clone())));
    let refused = soon("an answer", engine.propose(vshard, Bytes::new())).await;
    assert_eq!(refused, Err(ProposeError::Stopped));
    assert_eq!(soon("an answer", engine.read(vshard)).await, Err(ReadError::Stopped));
    assert!(cluster.groups().all(|group| engine.leader(group).leader.is_none()));
    for group in cluster.groups() {
        assert_ne!(cluster.write(group, b"without it").await.index.0, 0);
    }
    let ended = soon("shutdown", engine.shutdown()).await;
    assert_eq!(ended, Err(ShutdownError::Failed(failure)));
    cluster.discard(id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_state_machine_ends_the_node_and_hangs_nobody() {
    let mut cluster = Cluster::start(1, 2);
    cluster.await_leaders().await;
    let engine = cluster.nodes[0].engine().clone();
    let writes = ["before", "panic", "after"].map(|command| Bytes::from_static(command.as_bytes()));
    assert_eq!(&writes[1][..], PANIC);
    let vshard = cluster.vshard_of(GROUP);
    let calls = writes.into_iter().map(|command| (vshard, command)).collect();
    for outcome in soon("answers", engine.propose_many(calls)).await {
        assert_eq!(outcome, Err(ProposeError::Uncertain));
    }
    match soon("the failure", engine.failed()).await {
        Failure::StateMachine { group, reason } => {
            assert_eq!(group, GROUP);
            assert!(reason.contains("as the command says"), "{reason}");
        }
        other => panic!("{other}"),
    }
    let other_group = cluster.vshard_of(GroupId(2));
    let refused = soon("an answer", engine.propose(other_group, Bytes::new())).await;
    assert_eq!(refused, Err(ProposeError::Stopped));
    assert!(soon("shutdown", engine.shutdown()).await.is_err());
    cluster.discard(NodeId(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_machine_that_forgets_a_result_is_named() {
    let mut cluster = Cluster::start(1, 1);
    cluster.await_leaders().await;
    let engine = cluster.nodes[0].engine().clone();
    let write = engine.propose(cluster.vshard_of(GROUP), Bytes::from_static(NO_RESULT));
    assert_eq!(soon("an answer", write).await, Err(ProposeError::Uncertain));
    let failure = soon("the failure", engine.failed()).await.to_string();
    assert!(failure.contains("0 results for entries"), "{failure}");
    assert!(failure.ends_with("of group 1, expected 1"), "{failure}");
    assert!(soon("shutdown", engine.shutdown()).await.is_err());
    cluster.discard(NodeId(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_machine_that_claims_what_was_never_applied_is_named() {
    let mut cluster = Cluster::start(1, 1);
    cluster.await_leaders().await;
    let engine = cluster.nodes[0].engine().clone();
    cluster.nodes[0].journal.claim_durable(GROUP, LogIndex(1000));
    let write = engine.propose(cluster.vshard_of(GROUP), Bytes::new());
    assert_eq!(soon("an answer", write).await, Err(ProposeError::Uncertain));
    let failure = soon("the failure", engine.failed()).await.to_string();
    assert!(failure.contains("it claims to hold 1000 durably after entries"), "{failure}");
    assert!(soon("shutdown", engine.shutdown()).await.is_err());
    cluster.discard(NodeId(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_when_the_disk_fails_are_all_answered() {
    let mut cluster = Cluster::start(1, 4);
    cluster.await_leaders().await;
    let node = &cluster.nodes[0];
    let engine = node.engine().clone();
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..20 {
        let (engine, vshard) = (engine.clone(), cluster.vshard_of(GroupId(caller % 4 + 1)));
        calls.spawn(async move {
            loop {
                if let Err(error) = engine.propose(vshard, Bytes::from_static(b"x")).await {
                    return error;
                }
            }
        });
    }
    until("some writes", || node.journal.len() > 50).await;
    node.disk.fail_sync_in(1);
    for answer in soon("all answers", calls.join_all()).await {
        assert!(matches!(answer, ProposeError::Uncertain | ProposeError::Stopped), "{answer:?}");
    }
    until("the budget", || engine.status().proposal_bytes == 0).await;
    assert!(soon("shutdown", engine.shutdown()).await.is_err());
    cluster.discard(NodeId(1));
}
