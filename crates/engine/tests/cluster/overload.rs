//! What a node says when it is given more than it may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use engine::{EngineLimits, ProposeError, RawEngineLimits, ReadError};
use parking_lot::Mutex;
use raft_core::Limits;
use tokio::runtime::Handle;
use transport::{Class, Link, LinkCounters, Stopped};
use types::{GroupId, NodeId};

use crate::support::{Cluster, Journal, builder, open, soon, table, until};

const GROUP: GroupId = GroupId(1);

fn limits(change: impl FnOnce(&mut RawEngineLimits)) -> EngineLimits {
    let mut raw = RawEngineLimits::default();
    raw.group = Limits { entry_bytes_max: 4 << 10, ..raw.group };
    change(&mut raw);
    EngineLimits::new(raw).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_bytes_under_way_are_refused_until_there_is_room() {
    let cluster = Cluster::start_with(1, 1, limits(|raw| raw.proposal_bytes_max = 10 << 10));
    cluster.await_leaders().await;
    let (journal, engine) = (&cluster.nodes[0].journal, cluster.nodes[0].engine());
    let vshard = cluster.vshard_of(GROUP);
    journal.hold();
    let three_kib = Bytes::from(vec![1; 3 << 10]);
    let calls = vec![(vshard, three_kib.clone()); 5];
    let held = tokio::spawn({
        let engine = engine.clone();
        async move { engine.propose_many(calls).await }
    });
    until("the call", || engine.status().proposal_bytes > 0).await;
    let budget = "proposal_bytes_max";
    let refused = soon("an answer", engine.propose(vshard, three_kib)).await;
    assert_eq!(refused, Err(ProposeError::Overloaded { budget }));
    journal.release();
    let outcomes = soon("the call", held).await.unwrap();
    let expected = [true, true, true, false, false];
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), expected);
    assert_eq!(outcomes[4], Err(ProposeError::Overloaded { budget }));
    let again = engine.propose(vshard, Bytes::from(vec![2; 3 << 10]));
    soon("a write", again).await.unwrap();
    assert_eq!(engine.status().proposal_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_beyond_their_budget_are_refused() {
    let cluster = Cluster::start_with(1, 1, limits(|raw| raw.reads_max = 1));
    cluster.await_leaders().await;
    let (journal, engine) = (&cluster.nodes[0].journal, cluster.nodes[0].engine());
    let vshard = cluster.vshard_of(GROUP);
    // A read waits for what is committed before it to be applied.
    journal.hold();
    let write = tokio::spawn({
        let engine = engine.clone();
        async move { engine.propose(vshard, Bytes::new()).await }
    });
    until("the commit", || journal.stands_still()).await;
    let first = tokio::spawn({
        let engine = engine.clone();
        async move { engine.read(vshard).await }
    });
    until("the first read", || engine.status().reads == 1).await;
    let second = soon("an answer", engine.read(vshard)).await;
    assert_eq!(second, Err(ReadError::Overloaded { budget: "reads_max" }));
    journal.release();
    let written = soon("the write", write).await.unwrap().unwrap();
    let read = soon("the first read", first).await.unwrap().unwrap();
    assert!(read.index >= written.index);
    assert_eq!(engine.status().reads, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_refuses_writes_and_still_allows_reads() {
    let cluster = Cluster::start_with(1, 2, limits(|raw| raw.log_bytes_max = 1 << 20));
    cluster.await_leaders().await;
    let engine = cluster.nodes[0].engine();
    let vshard = cluster.vshard_of(GROUP);
    let refused = soon("the limit", async {
        loop {
            let calls = vec![(vshard, Bytes::from(vec![7; 3 << 10])); 20];
            let mut outcomes = engine.propose_many(calls).await;
            if let Some(Err(error)) = outcomes.pop() {
                return error;
            }
        }
    })
    .await;
    assert_eq!(refused, ProposeError::Overloaded { budget: "log" });
    assert!(engine.status().log_bytes >= 1 << 20);
    soon("a read", engine.read(vshard)).await.unwrap();
    let direct = soon("an answer", engine.propose_to_group(GROUP, Bytes::new())).await;
    assert_eq!(direct, Err(ProposeError::Overloaded { budget: "log" }));
}

/// A link whose sender stands still until the other end of `open` is dropped.
struct Stuck {
    open: Mutex<Receiver<()>>,
    is_stuck: Arc<AtomicBool>,
}

impl Link for Stuck {
    fn send(&self, _to: NodeId, _body: Bytes, _class: Class) {
        self.is_stuck.store(true, Ordering::Relaxed);
        // Nothing is ever sent: it ends with an error, when the test lets go.
        let _ = self.open.lock().recv();
    }

    fn counters(&self) -> LinkCounters {
        LinkCounters::default()
    }

    fn shutdown(&self) -> Stopped {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stands_still_fills_its_inbox_and_nothing_else() {
    // Two nodes have met and founded the group; then one of them comes back to a link that hangs.
    let mut cluster = Cluster::start(2, 1);
    cluster.await_leaders().await;
    cluster.stop(NodeId(1)).await;
    let (hold, open_end) = sync_channel(0);
    let (store, restored) = open(&cluster.nodes[0].disk, NodeId(1));
    let is_stuck = Arc::new(AtomicBool::new(false));
    let link = Stuck { open: Mutex::new(open_end), is_stuck: is_stuck.clone() };
    let engine = builder(NodeId(1), &table(2, 1))
        .store(store, restored)
        .limits(limits(|raw| raw.inbox_calls_max = 3))
        .workers(1)
        .link(|_| Ok(Arc::new(link)))
        .state_machine(Journal::default())
        .start(&Handle::current())
        .unwrap();
    let vshard = cluster.vshard_of(GROUP);
    // It asks for votes, and its frame does not get out.
    until("the worker to be stuck", || is_stuck.load(Ordering::Relaxed)).await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let engine = engine.clone();
        waiting.spawn(async move { engine.propose(vshard, Bytes::new()).await });
    }
    let full = Err(ProposeError::Overloaded { budget: "inbox" });
    // Three have found room and wait; the fourth is answered.
    assert_eq!(soon("an answer", waiting.join_next()).await.unwrap().unwrap(), full);
    let many = soon("answers", engine.propose_many(vec![(vshard, Bytes::new()); 2])).await;
    assert_eq!(many, [full.clone(), full.clone()]);
    assert_eq!(
        soon("an answer", engine.read(vshard)).await,
        Err(ReadError::Overloaded { budget: "inbox" })
    );
    drop(hold);
    for answer in soon("all answers", waiting.join_all()).await {
        assert_eq!(answer, Err(ProposeError::NoLeader));
    }
    soon("shutdown", engine.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_go_away_leave_nothing_behind() {
    let cluster = Cluster::start(1, 1);
    cluster.await_leaders().await;
    let (journal, engine) = (&cluster.nodes[0].journal, cluster.nodes[0].engine());
    let vshard = cluster.vshard_of(GROUP);
    journal.hold();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let engine = engine.clone();
        calls.spawn(async move {
            let many = vec![(vshard, Bytes::from_static(b"many")); 3];
            let (_, _) = tokio::join!(
                engine.propose(vshard, Bytes::from_static(b"one")),
                engine.propose_many(many)
            );
        });
    }
    // 64 bytes charged for each command, and its own.
    let all = 10 * (67 + 3 * 68);
    until("the calls", || engine.status().proposal_bytes == all).await;
    calls.shutdown().await;
    assert_eq!(engine.status().proposal_bytes, all, "they are still under way");
    journal.release();
    until("the budget", || engine.status().proposal_bytes == 0).await;
    assert_eq!(journal.len(), 40);
}
