//! Handing groups to other nodes while clients write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use engine::{ProposeError, TransferError, TransferRefusal};
use types::{GroupId, NodeId};

use crate::support::{Cluster, soon, until};

const GROUP: GroupId = GroupId(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_round_under_load_and_no_outcome_is_unknown() {
    let cluster = Cluster::start(3, 1);
    cluster.await_leaders().await;
    let vshard = cluster.vshard_of(GROUP);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for node in &cluster.nodes {
        // One writer at each node: whoever leads has one.
        let (engine, is_over) = (node.engine().clone(), is_over.clone());
        writers.spawn(async move {
            let (mut acknowledged, mut uncertain) = (0, 0);
            while !is_over.load(Ordering::Relaxed) {
                let writes = vec![(vshard, Bytes::from_static(b"x")); 20];
                for outcome in engine.propose_many(writes).await {
                    match outcome {
                        Ok(_) => acknowledged += 1,
                        Err(
                            ProposeError::NotLeader { .. }
                            | ProposeError::NoLeader
                            | ProposeError::TransferInProgress { .. },
                        ) => tokio::task::yield_now().await,
                        Err(ProposeError::Uncertain) => uncertain += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            (acknowledged, uncertain)
        });
    }
    let term = || cluster.nodes.iter().map(|node| node.engine().leader(GROUP).term.0).max();
    let (first_term, mut attempts) = (term().unwrap(), 0);
    for round in 0..15u64 {
        let before = cluster.nodes[0].journal.len();
        until("writes", || cluster.nodes[0].journal.len() > before + 20).await;
        let mut to = None;
        soon("the handover", async {
            loop {
                let leader = cluster.await_leader(GROUP).await;
                let to = *to.get_or_insert(NodeId((leader.id.0 + round % 2) % 3 + 1));
                attempts += 1;
                match leader.engine().transfer_leader(GROUP, to).await {
                    Ok(()) => break,
                    // On a busy machine it may not keep up for a moment, or lose an election.
                    Err(TransferError::Refused(_) | TransferError::Failed { .. }) => {
                        tokio::task::yield_now().await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await;
    }
    is_over.store(true, Ordering::Relaxed);
    let told = soon("the writers", writers.join_all()).await;
    let acknowledged: usize = told.iter().map(|(acknowledged, _)| acknowledged).sum();
    let uncertain: usize = told.iter().map(|(_, uncertain)| uncertain).sum();
    let is_as_planned = attempts == 15 && term() == Some(first_term + 15);
    assert!(uncertain == 0 || !is_as_planned, "{uncertain} outcomes are unknown");
    until("all nodes", || {
        let held = |journal: usize| journal >= acknowledged && journal <= acknowledged + uncertain;
        cluster.nodes.iter().all(|node| held(node.journal.len()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_that_is_refused_says_why() {
    let cluster = Cluster::start(3, 1);
    let leader = cluster.await_leader(GROUP).await;
    let other = cluster.nodes.iter().find(|node| node.id != leader.id).unwrap();
    let refused = |error| Err(TransferError::Refused(error));
    until("the leader to be known", || other.engine().leader(GROUP).leader.is_some()).await;
    let moved = soon("an answer", other.engine().transfer_leader(GROUP, other.id)).await;
    assert_eq!(moved, refused(TransferRefusal::NotLeader { leader: Some(leader.id) }));
    let moved = soon("an answer", leader.engine().transfer_leader(GroupId(9), other.id)).await;
    assert_eq!(moved, refused(TransferRefusal::UnknownGroup { group: GroupId(9) }));
    let moved = soon("an answer", leader.engine().transfer_leader(GROUP, NodeId(9))).await;
    assert_eq!(moved, refused(TransferRefusal::NotAMember { node: NodeId(9) }));
    let moved = soon("an answer", leader.engine().transfer_leader(GROUP, leader.id)).await;
    assert_eq!(moved, Ok(()), "it leads already");
    soon("the end", leader.engine().shutdown()).await.unwrap();
    let moved = soon("an answer", leader.engine().transfer_leader(GROUP, other.id)).await;
    assert_eq!(moved, Err(TransferError::Stopped));
}
