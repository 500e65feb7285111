//! Clients that write all the time, while nodes are cut off, stopped and broken one after another, and
//! disks fill up.
//! In the end every node holds the same, everything acknowledged is in it, and nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::{Engine, EngineLimits, Health, ProposeError, RawEngineLimits};
use parking_lot::Mutex;
use types::{GroupId, LogIndex, NodeId, VShardId};

use crate::support::{Cluster, Node, soon, until};

const ROUNDS: u64 = 18;

/// What the writers share with the storm.
#[derive(Default)]
struct Shared {
    engines: Mutex<BTreeMap<NodeId, Engine>>,
    acknowledged: BTreeMap<GroupId, AtomicU64>,
    is_over: AtomicBool,
}

/// What one writer was told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeMap<LogIndex, Vec<u8>>,
    uncertain: BTreeSet<Vec<u8>>,
}

/// Writes to one group, each command once, until it is over.
async fn write(shared: Arc<Shared>, group: GroupId, vshard: VShardId) -> Told {
    let mut told = Told::default();
    let mut pause = tokio::time::interval(Duration::from_millis(1));
    for number in 0u64.. {
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        pause.tick().await;
        let leads = |engine: &&Engine| engine.leader(group).is_self;
        let Some(leader) = shared.engines.lock().values().find(leads).cloned() else { continue };
        let commands: Vec<Bytes> =
            (0..5).map(|part| Bytes::from(format!("{group}-{number}-{part}"))).collect();
        let writes = commands.iter().map(|command| (vshard, command.clone())).collect();
        let outcomes = soon("an answer", leader.propose_many(writes)).await;
        for (command, outcome) in commands.iter().zip(outcomes) {
            match outcome {
                Ok(applied) => {
                    assert!(applied.result.ends_with(command));
                    let before = told.acknowledged.insert(applied.index, command.to_vec());
                    assert_eq!(before, None, "two commands at {}", applied.index);
                    shared.acknowledged[&group].fetch_add(1, Ordering::Relaxed);
                }
                Err(ProposeError::Uncertain) => {
                    told.uncertain.insert(command.to_vec());
                }
                Err(
                    ProposeError::NotLeader { .. }
                    | ProposeError::NoLeader
                    | ProposeError::TransferInProgress { .. }
                    | ProposeError::DiskFull { .. }
                    | ProposeError::MajorityFull
                    | ProposeError::Stopped,
                ) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    told
}

/// Breaks something, waits until the clients get on all the same, and repairs it.
async fn strike(cluster: &mut Cluster, shared: &Shared, round: u64) {
    let victim = NodeId((round + round / 6) % 3 + 1);
    let others: Vec<NodeId> = (1..=3).map(NodeId).filter(|id| *id != victim).collect();
    // Of each group: those that had their leader on the victim need another one.
    let progress = async || {
        let count = || shared.acknowledged.values().map(|count| count.load(Ordering::Relaxed));
        let goals: Vec<u64> = count().map(|count| count + 20).collect();
        until("progress", || count().zip(&goals).all(|(count, goal)| count >= *goal)).await;
    };
    match round % 6 {
        0 => {
            cluster.hub.cut(victim, others[0]);
            progress().await;
            cluster.hub.heal(victim, others[0]);
        }
        1 => {
            others.iter().for_each(|other| cluster.hub.cut(victim, *other));
            progress().await;
            others.iter().for_each(|other| cluster.hub.heal(victim, *other));
        }
        2 => {
            shared.engines.lock().remove(&victim);
            cluster.stop(victim).await;
            progress().await;
            cluster.run(victim).unwrap();
        }
        3 => {
            cluster.node(victim).disk.leave_free(0);
            progress().await;
            cluster.node(victim).disk.unlimit();
        }
        4 => {
            cluster.fill_disks().await;
            cluster.nodes.iter().for_each(|node| node.disk.unlimit());
        }
        _ => {
            cluster.node(victim).disk.fail_sync_in(round % 5);
            // It may lead every group: the clients' writes are what breaks it.
            soon("the failure", cluster.node(victim).engine().failed()).await;
            shared.engines.lock().remove(&victim);
            progress().await;
            cluster.bury(victim).await;
            cluster.run(victim).unwrap();
        }
    }
    shared.engines.lock().insert(victim, cluster.node(victim).engine().clone());
    progress().await;
    let has_room = |node: &Node| {
        let status = node.engine().status();
        status.health == Health::Healthy && status.peers_low.is_empty()
    };
    until("room", || cluster.nodes.iter().all(has_room)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_storm() {
    let mut raw = RawEngineLimits { disk_look_ms: 50, ..RawEngineLimits::default() };
    raw.group.log_cache_bytes_max = 4 << 10;
    let mut cluster = Cluster::start_with(3, 5, EngineLimits::new(raw).unwrap());
    cluster.await_leaders().await;
    let acknowledged = cluster.groups().map(|group| (group, AtomicU64::new(0))).collect();
    let shared = Arc::new(Shared { acknowledged, ..Shared::default() });
    for node in &cluster.nodes {
        shared.engines.lock().insert(node.id, node.engine().clone());
    }
    let mut writers = BTreeMap::new();
    for group in cluster.groups() {
        let writer = write(shared.clone(), group, cluster.vshard_of(group));
        writers.insert(group, tokio::spawn(writer));
    }
    for round in 0..ROUNDS {
        strike(&mut cluster, &shared, round).await;
    }
    shared.is_over.store(true, Ordering::Relaxed);
    for (group, writer) in writers {
        let told = soon("the writer", writer).await.unwrap();
        // Brings the commit index of everything before it to every node.
        let last = cluster.write(group, b"last").await;
        let journal_of = |id: u64| cluster.node(NodeId(id)).journal.of(group);
        let ends = |journal: &[Vec<u8>]| journal.last().is_some_and(|command| command == b"last");
        until("every node", || (1..=3).all(|id| ends(&journal_of(id)))).await;
        let journal = journal_of(1);
        assert!(journal == journal_of(2) && journal == journal_of(3), "group {group} differs");
        let held: BTreeSet<&Vec<u8>> = journal.iter().collect();
        for (index, command) in &told.acknowledged {
            assert!(*index < last.index);
            assert!(held.contains(command), "group {group} has lost {index}");
        }
        let known = told.acknowledged.values().chain(&told.uncertain);
        let known: BTreeSet<&Vec<u8>> = known.collect();
        let strangers = held.iter().filter(|held| ***held != b"last" && !known.contains(**held));
        assert_eq!(strangers.count(), 0, "refused commands of group {group} were applied");
        let twice = journal.len() - held.len();
        let lasts = journal.iter().filter(|command| *command == b"last").count();
        assert_eq!(twice, lasts - 1, "group {group} has applied a command twice");
    }
}
