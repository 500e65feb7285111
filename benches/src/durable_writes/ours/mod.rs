//! Our side: three engines in this process, each with a folder, a store, a log writer and syncs of
//! its own, and TCP on loopback between them.

mod load;
mod machine;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use engine::{Engine, RoutingTable};
use raft_core::{RawTiming, Timing};
use storage_redb::{Identity, Store, StoreOptions};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use types::{ClusterId, NodeId};

use super::tally::{Machine, NODES, Outcome, Told};
use super::window::{Times, Window};
use super::{Case, PATIENCE, Run, shares};
use crate::figure::Wrong;
use load::{CALL_WRITES_MAX, Report, keep_in_flight, led_by};
use machine::{Machines, position};

/// Threads that carry the frames of all three nodes, and on which nothing else runs.
const NETWORK_THREADS: usize = 2;

/// What is held fixed on our side.
pub(crate) fn settings() -> String {
    format!(
        "per node 1 worker, 1 apply worker, 1 log writer; ticks of 50 ms, a heartbeat every 2, \
         election timeouts of {ELECTION_TICKS_MIN} or more, all limits default; \
         {NETWORK_THREADS} threads for the TCP of all nodes on loopback; proposed by propose_many \
         from one thread per node, at most {CALL_WRITES_MAX} writes a call, whose CPU time counts; \
         nothing is released, so that the log grows"
    )
}

/// Starts a cluster in `folder`, loads it, and says how it went once everything agrees.
pub(crate) fn run(case: Case, times: Times, folder: &Path) -> Result<Run, Wrong> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(NETWORK_THREADS)
        .enable_all()
        .build()
        .map_err(|error| Wrong(format!("no runtime: {error}")))?;
    let cluster = Cluster::start(&runtime, case, folder)?;
    let run = cluster.run(case, times);
    let end = cluster.end(&runtime);
    run.and_then(|run| end.map(|()| run))
}

struct Node {
    engine: Engine,
    machines: Machines,
}

struct Cluster {
    table: RoutingTable,
    nodes: [Node; NODES],
}

impl Cluster {
    /// Starts three new nodes, and waits until each group has the leader that it is to have.
    fn start(runtime: &Runtime, case: Case, folder: &Path) -> Result<Self, Wrong> {
        let wrong = |error: &dyn std::fmt::Display| Wrong(format!("our nodes: {error}"));
        let ids = [1, 2, 3].map(NodeId);
        let vshards = case.groups.max(VSHARDS);
        let table = RoutingTable::uniform(vshards, case.groups, &ids, NODES);
        let table = table.map_err(|error| wrong(&error))?;
        let listen = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listeners = ids.iter().map(listen).collect::<Result<Vec<_>, _>>();
        let listeners = listeners.map_err(|error| wrong(&error))?;
        let addresses =
            listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>();
        let addresses = addresses.map_err(|error| wrong(&error))?;
        let mut nodes = Vec::with_capacity(NODES);
        for (node, listener) in ids.into_iter().zip(listeners) {
            let cluster = ClusterId::new("figures").map_err(|error| wrong(&error))?;
            let identity = Identity { cluster: cluster.clone(), node };
            let folder = folder.join(format!("node-{node}"));
            let opened = Store::open(&folder, &identity, StoreOptions::default());
            let (store, restored) = opened.map_err(|error| wrong(&error))?;
            let machines = Machines::new(case.groups);
            let others = ids.into_iter().zip(&addresses).filter(|(id, _)| *id != node);
            let engine = Engine::builder()
                .cluster(cluster)
                .node(node)
                .store(store, restored)
                .routing(table.clone())
                .listener(listener)
                .peers(others.map(|(id, address)| (id, address.to_string())).collect())
                .timing(timing()?)
                .workers(1)
                .apply_workers(1)
                .state_machine(machines.clone())
                .start(runtime.handle())
                .map_err(|error| wrong(&error))?;
            nodes.push(Node { engine, machines });
        }
        let nodes = nodes.try_into().map_err(|_| Wrong("not three nodes".into()))?;
        let cluster = Self { table, nodes };
        cluster.await_leaders(runtime)?;
        Ok(cluster)
    }

    fn await_leaders(&self, runtime: &Runtime) -> Result<(), Wrong> {
        let all_led = async {
            for node in &self.nodes {
                let mut watch = node.engine.watch_leaders();
                while !watch.iter().all(|(group, view)| {
                    view.leader == self.table.preferred(group) && view.is_fresh
                }) {
                    watch.changed().await;
                }
            }
        };
        let led = runtime.block_on(async { timeout(PATIENCE, all_led).await });
        led.map_err(|_| Wrong(format!("leaders are not spread evenly within {PATIENCE:?}")))
    }

    fn run(&self, case: Case, times: Times) -> Result<Run, Wrong> {
        let window = Arc::new(Window::default());
        let led = led_by(&self.table);
        let leaders = [0, 1, 2].map(|place| led.get(place).map_or(0, Vec::len));
        let shares = shares(leaders, case.in_flight);
        thread::scope(|scope| {
            let mut callers = Vec::new();
            for ((node, groups), in_flight) in self.nodes.iter().zip(&led).zip(shares) {
                let window = &window;
                let body = move || keep_in_flight(&node.engine, window, groups, in_flight);
                let name = format!("load-{}", node.engine.node_id());
                let thread = thread::Builder::new().name(name).spawn_scoped(scope, body);
                callers.push(thread.map_err(|error| Wrong(format!("no thread: {error}")))?);
            }
            let (took, before, after) = window.pass(times, || self.commits());
            let mut all = Report::default();
            for caller in callers {
                let report = caller.join().map_err(|_| Wrong("the load panicked".into()))?;
                let mut report = report?;
                all.latencies.append(&mut report.latencies);
                all.told.append(&mut report.told);
            }
            let outcome = self.settled(&all, case)?;
            let (hash, syncs) = (outcome.verify()?, after - before);
            Ok(Run { took, syncs, latencies: all.latencies, leaders, hash })
        })
    }

    /// Durable commits of all three nodes so far; each is one sync.
    fn commits(&self) -> u64 {
        self.nodes.iter().map(|node| node.engine.status().log_commits).sum()
    }

    /// Waits until every node has applied as much as proposers were told of.
    fn settled(&self, all: &Report, case: Case) -> Result<Outcome, Wrong> {
        let mut told = vec![Told::default(); case.groups as usize];
        for (group, of_group) in &all.told {
            told[position(*group)].add(*of_group);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let machines = self.nodes.each_ref().map(|node| node.machines.look());
            let has_all = |node: &Vec<Machine>| {
                node.iter().zip(&told).all(|(machine, told)| machine.count() >= told.count())
            };
            if machines.iter().all(has_all) || Instant::now() > deadline {
                return Ok(Outcome { told, machines });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(&self, runtime: &Runtime) -> Result<(), Wrong> {
        for node in &self.nodes {
            let ended = runtime.block_on(node.engine.shutdown());
            ended.map_err(|error| Wrong(format!("a node did not end well: {error}")))?;
        }
        Ok(())
    }
}

/// Longer than the default, so that a machine that is busy elsewhere for a moment costs no election,
/// which would void the run; nothing in the way of a write depends on it.
fn timing() -> Result<Timing, Wrong> {
    Timing::new(RawTiming {
        election_ticks_min: ELECTION_TICKS_MIN,
        election_ticks_max: 2 * ELECTION_TICKS_MIN,
        ..RawTiming::default()
    })
    .map_err(|error| Wrong(format!("our timing: {error}")))
}

/// Of 50 ms each.
const ELECTION_TICKS_MIN: u64 = 100;

/// As many as Redis Cluster has slots, so that looking up a group costs what it costs there.
const VSHARDS: u32 = 16_384;
