//! Who proposes: a thread per node, with callers that wait for the answer to each call.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use engine::Engine;
use tokio::task::JoinSet;
use types::{GroupId, VShardId};

use crate::durable_writes::tally::Told;
use crate::durable_writes::window::{Latencies, Window};
use crate::figure::Wrong;
use crate::workload::{PAYLOAD_BYTES, payload};

/// How many writes a call proposes at most. Each is an entry with an answer of its own.
pub(crate) const CALL_WRITES_MAX: usize = 64;

/// What the callers of a node saw.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) latencies: Latencies,
    /// By group, of those groups that were written to.
    pub(crate) told: Vec<(GroupId, Told)>,
}

/// One caller: proposes to the same groups over and over, a call at a time.
struct Caller {
    engine: Engine,
    window: Arc<Window>,
    /// The group of each write of a call, and a vshard of it.
    targets: Vec<(GroupId, VShardId)>,
    /// Distinguishes its payloads from those of all others.
    number: u64,
}

/// Keeps `in_flight` writes in flight to the groups that the engine's node leads, spread evenly
/// over them, until the window closes; blocks the thread meanwhile.
///
/// # Errors
/// A write was refused, or its outcome is unknown: the cluster was not left alone.
pub(crate) fn keep_in_flight(
    engine: &Engine,
    window: &Arc<Window>,
    groups: &[GroupId],
    in_flight: usize,
) -> Result<Report, Wrong> {
    let table = engine.routing();
    let target = |group: &GroupId| (*group, VShardId(table.vshards_of(*group).start));
    let targets: Vec<_> = groups.iter().map(target).cycle().take(in_flight).collect();
    let calls = in_flight.div_ceil(CALL_WRITES_MAX).max(1);
    let callers = targets.chunks(in_flight.div_ceil(calls).max(1)).zip(0..);
    // No timers, no sockets: what wakes this thread is the answer, as any other thread.
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| Wrong(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let mut running = JoinSet::new();
        for (targets, number) in callers {
            let caller = Caller {
                engine: engine.clone(),
                window: Arc::clone(window),
                targets: targets.to_vec(),
                number: engine.node_id().0 << 32 | number,
            };
            running.spawn(caller.run());
        }
        let mut all = Report::default();
        while let Some(report) = running.join_next().await {
            let report = report.map_err(|error| Wrong(format!("a caller died: {error}")))?;
            let mut report = report?;
            all.latencies.append(&mut report.latencies);
            all.told.append(&mut report.told);
        }
        Ok(all)
    })
}

impl Caller {
    async fn run(self) -> Result<Report, Wrong> {
        let told = self.targets.iter().map(|(group, _)| (*group, Told::default())).collect();
        let mut report = Report { told, ..Report::default() };
        let count = self.targets.len() as u64;
        let mut number = 0;
        while !self.window.is_closed() {
            let payloads = self.payloads(number);
            number += count;
            let start = Instant::now();
            let outcomes = self.engine.propose_many(self.writes(&payloads)).await;
            let took = start.elapsed();
            let payloads = payloads.chunks(PAYLOAD_BYTES);
            for ((outcome, payload), (group, told)) in
                outcomes.into_iter().zip(payloads).zip(&mut report.told)
            {
                let applied = outcome.map_err(|error| Wrong(format!("group {group}: {error}")))?;
                if applied.group != *group {
                    let found = applied.group;
                    return Err(Wrong(format!("group {found} took a write of group {group}")));
                }
                told.applied(applied.index.0, payload);
            }
            if self.window.is_open() {
                report.latencies.push(took, count);
            }
        }
        Ok(report)
    }

    /// The payloads of a call, one behind the other, as a connection's buffer holds them.
    fn payloads(&self, number: u64) -> Bytes {
        let mut buffer = BytesMut::with_capacity(self.targets.len() * PAYLOAD_BYTES);
        (number..).take(self.targets.len()).for_each(|number| {
            buffer.extend_from_slice(&payload(self.number, number));
        });
        buffer.freeze()
    }

    fn writes(&self, payloads: &Bytes) -> Vec<(VShardId, Bytes)> {
        let slice = |(at, (_, vshard)): (usize, &(GroupId, VShardId))| {
            let start = at * PAYLOAD_BYTES;
            (*vshard, payloads.slice(start..start + PAYLOAD_BYTES))
        };
        self.targets.iter().enumerate().map(slice).collect()
    }
}

/// The groups that each node leads, by its place in `nodes`.
pub(crate) fn led_by(table: &engine::RoutingTable) -> Vec<Vec<GroupId>> {
    let mut led = vec![Vec::new(); table.nodes().len()];
    for group in table.groups() {
        let leader =
            table.preferred(group).and_then(|node| table.nodes().binary_search(&node).ok());
        if let Some(led) = leader.and_then(|place| led.get_mut(place)) {
            led.push(group);
        }
    }
    led
}
