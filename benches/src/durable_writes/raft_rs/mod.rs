//! The rival: raft-rs (crate `raft`) at its best, on a store like ours.
//!
//! A thread per node; all groups of a node share one durable redb commit per round, which holds one
//! packed value. Leaders send before they write. Messages go through channels as they are, all that
//! a round has for a node at once. What a node proposes it proposes itself, all of a group in one
//! message. While it is loaded, nothing ticks, so that its heartbeats cost nothing.

mod group;
mod log;
mod node;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;

use super::tally::{NODES, Outcome, Told};
use super::window::{Latencies, Times};
use super::{Case, PATIENCE, Run, shares};
use crate::figure::Wrong;
use group::Group;
use log::{Log, ROUNDS_KEPT};
use node::{Board, Node, Round};

/// What it is called in the lines.
pub(crate) const NAME: &str = "raft-rs 0.7 skip_bcast_commit batch_append, packed redb record";

/// What is held fixed on its side.
pub(crate) fn settings() -> String {
    format!(
        "a thread per node, which proposes too, all of a group in one message; messages unencoded \
         over channels; one redb value per node and round, the one of {ROUNDS_KEPT} rounds ago \
         deleted in the same commit; no ticks under load; max_size_per_msg 1 MiB, \
         max_inflight_msgs 256, MemStorage compacted every 128 entries, all else default"
    )
}

/// Starts a cluster in `folder`, loads it, and says how it went once everything agrees.
pub(crate) fn run(case: Case, times: Times, folder: &Path) -> Result<Run, Wrong> {
    let board = Arc::new(Board::default());
    let nodes = found(case, folder, &board)?;
    let leaders = [0, 1, 2].map(|place| nodes.get(place).map_or(0, |node| node.to_lead.len()));
    let mut threads = Vec::new();
    for node in nodes {
        let name = format!("rival-{}", node.place + 1);
        let thread = thread::Builder::new().name(name).spawn(|| node.run());
        threads.push(thread.map_err(|error| Wrong(format!("no thread: {error}")))?);
    }
    let led = wait(|| board.led.load(Ordering::Acquire) == u64::from(case.groups));
    board.may_propose.store(led, Ordering::Release);
    let commits = || board.commits.load(Ordering::Relaxed);
    let (took, before, after) = board.window.pass(times, commits);
    let is_settled = || {
        let has_closed = board.closed.load(Ordering::Acquire) == NODES;
        let proposed = board.proposed.load(Ordering::Acquire);
        let has_all = |applied: &AtomicU64| applied.load(Ordering::Acquire) == proposed;
        has_closed && board.applied.iter().all(has_all)
    };
    // What is not settled in time shows in the comparison.
    wait(is_settled);
    board.is_over.store(true, Ordering::Release);
    let mut nodes = Vec::new();
    for thread in threads {
        nodes.push(thread.join().map_err(|_| Wrong("a node of the rival panicked".into()))??);
    }
    if !led {
        return Err(Wrong(format!("the rival's groups have no leaders within {PATIENCE:?}")));
    }
    let (outcome, latencies) = outcome(case, nodes)?;
    Ok(Run { took, syncs: after - before, latencies, leaders, hash: outcome.verify()? })
}

fn found(case: Case, folder: &Path, board: &Arc<Board>) -> Result<Vec<Node>, Wrong> {
    let groups = case.groups as usize;
    let (outboxes, inboxes): (Vec<_>, Vec<_>) = (0..NODES).map(|_| unbounded()).unzip();
    let to_lead = |place: usize| (place..groups).step_by(NODES).collect::<Vec<_>>();
    let leaders = [0, 1, 2].map(|place| to_lead(place).len());
    let shares = shares(leaders, case.in_flight);
    let mut nodes = Vec::new();
    for (place, inbox) in inboxes.into_iter().enumerate() {
        let led = to_lead(place);
        let mut in_flight = vec![0; groups];
        for (number, group) in led.iter().enumerate() {
            // The first ones take what cannot be divided.
            in_flight[*group] = (shares[place] + led.len() - 1 - number) / led.len();
        }
        let found = |(group, in_flight): (usize, usize)| {
            Group::found(group as u64, place as u64 + 1, in_flight)
        };
        let founded: raft::Result<Vec<Group>> =
            in_flight.into_iter().enumerate().map(found).collect();
        nodes.push(Node {
            place,
            groups: founded.map_err(|error| Wrong(error.to_string()))?,
            to_lead: led,
            log: Log::create(&folder.join(format!("rival-{}", place + 1)))?,
            inbox,
            outboxes: [0, 1, 2].map(|other: usize| outboxes[other].clone()),
            board: Arc::clone(board),
            latencies: Latencies::default(),
            has_closed: false,
            round: Round::new(groups),
        });
    }
    Ok(nodes)
}

/// Waits until `holds`, within bounds; whether it does.
fn wait(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

fn outcome(case: Case, nodes: Vec<Node>) -> Result<(Outcome, Latencies), Wrong> {
    let mut told = vec![Told::default(); case.groups as usize];
    let mut latencies = Latencies::default();
    let mut machines = Vec::new();
    for mut node in nodes {
        latencies.append(&mut node.latencies);
        told.iter_mut().zip(&node.groups).for_each(|(told, group)| told.add(group.told));
        machines.push(node.groups.iter().map(|group| group.machine).collect());
    }
    let machines = machines.try_into().map_err(|_| Wrong("not three nodes".into()))?;
    Ok((Outcome { told, machines }, latencies))
}
