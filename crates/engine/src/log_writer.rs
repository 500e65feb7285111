//! The log writer: the one thread that owns the store and makes things durable.
//!
//! While one commit syncs, the next fills: whatever is queued when it comes back goes into the next
//! one, for all workers together. So a commit carries as much as the disk is slow, and nobody waits
//! for anything but the disk.
//!
//! Invariants: what a worker handed over first is reported to it first; nothing is reported that is
//! not durable; after the first error nothing is written or reported any more; whoever watches the
//! disk knows of every call that waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use codec::{Item, WriteBatch};
use multiraft::BatchTicket;
use storage_redb::{Store, StoreError};
use types::NodeId;

use crate::disk_watch::DiskWatch;
use crate::failure::{Alarm, Failure};
use crate::limits::EngineLimits;
use crate::messages::{Fact, LogJob};
use crate::peers::Incarnation;
use crate::planted::Planted;
use crate::queue::{Receiver, Sender};

/// How large the log is and how much waits to be written, for the doors.
#[derive(Debug)]
pub(crate) struct LogGauge {
    bytes: AtomicU64,
    bytes_max: u64,
    bytes_warn: u64,
    has_warned: AtomicBool,
    queued_bytes: AtomicUsize,
    queued_bytes_max: usize,
    commits: AtomicU64,
}

impl LogGauge {
    pub(crate) fn new(bytes: u64, limits: &EngineLimits) -> Self {
        let gauge = Self {
            bytes: AtomicU64::new(0),
            bytes_max: limits.raw().log_bytes_max,
            bytes_warn: limits.log_bytes_warn(),
            has_warned: AtomicBool::new(false),
            queued_bytes: AtomicUsize::new(0),
            queued_bytes_max: limits.raw().log_queue_bytes_max,
            commits: AtomicU64::new(0),
        };
        gauge.set(bytes);
        gauge
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many durable commits there were.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Whether the log has reached its limit.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes() >= self.bytes_max
    }

    /// Whether more waits to be written than may.
    pub(crate) fn is_behind(&self) -> bool {
        self.queued_bytes.load(Ordering::Relaxed) >= self.queued_bytes_max
    }

    /// A batch waits to be written.
    pub(crate) fn queue(&self, bytes: usize) {
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn written(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        let is_high = bytes >= self.bytes_warn;
        if is_high != self.has_warned.swap(is_high, Ordering::Relaxed) && is_high {
            let max = self.bytes_max;
            tracing::warn!(bytes, max, "the log is nearly full: writes are refused at its limit");
        }
    }
}

/// What a batch counts for while it waits to be written.
pub(crate) fn batch_bytes(batch: &WriteBatch) -> usize {
    let bytes = batch.items.iter().map(|item| match &item.item {
        Item::Append(run) | Item::Moved(run) => run.cost(),
        Item::Create { .. }
        | Item::Truncate { .. }
        | Item::HardState(_)
        | Item::Compact { .. }
        | Item::Remove => 0,
    });
    bytes.sum()
}

/// What the log writer owns.
pub(crate) struct LogWriter {
    pub(crate) store: Store,
    pub(crate) jobs: Receiver<LogJob>,
    /// By worker.
    pub(crate) facts: Vec<Sender<Fact>>,
    pub(crate) gauge: Arc<LogGauge>,
    pub(crate) disk: Arc<DiskWatch>,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) planted: Planted,
}

/// What goes into one commit; its memory serves again.
#[derive(Default)]
struct Filling {
    batches: Vec<WriteBatch>,
    /// Of each batch: whose it is, and how it is reported.
    tickets: Vec<(usize, BatchTicket)>,
    bytes: usize,
    met: Vec<(NodeId, Incarnation)>,
    must_stop: bool,
}

impl Filling {
    fn take(&mut self, job: LogJob) {
        match job {
            LogJob::Write { worker, ticket, batch, bytes } => {
                self.bytes += bytes;
                self.batches.push(batch);
                self.tickets.push((worker, ticket));
            }
            LogJob::Remember(node, incarnation) => self.met.push((node, incarnation)),
            LogJob::Stop => self.must_stop = true,
        }
    }
}

impl LogWriter {
    /// Writes until it is told to stop or the store fails.
    pub(crate) fn run(mut self) {
        let mut filling = Filling::default();
        loop {
            let mut next = Some(self.jobs.recv());
            // What comes while this is taken waits for the next commit.
            while let Some(job) = next {
                filling.take(job);
                next = self.jobs.recv_taken();
            }
            if let Err(error) = self.write(&mut filling) {
                return self.alarm.raise(Failure::Store { reason: error.to_string() });
            }
            if filling.must_stop {
                return;
            }
        }
    }

    fn write(&mut self, filling: &mut Filling) -> Result<(), StoreError> {
        if !filling.batches.is_empty() {
            if self.planted.persisted_before_commit() {
                self.report(filling);
            }
            self.disk.begin();
            self.store.commit(&filling.batches)?;
            self.disk.end();
            self.gauge.commits.fetch_add(1, Ordering::Relaxed);
            self.report(filling);
            filling.batches.clear();
            self.gauge.written(std::mem::take(&mut filling.bytes));
        }
        for (node, Incarnation { store, boot }) in filling.met.drain(..) {
            self.disk.begin();
            self.store.remember_peer(node, store, boot)?;
            self.disk.end();
            for worker in &self.facts {
                let _ = worker.send(Fact::PeerStore(node, store));
            }
        }
        self.gauge.set(self.store.log_bytes());
        Ok(())
    }

    /// Tells the workers that their batches are durable.
    fn report(&self, filling: &mut Filling) {
        for (worker, ticket) in filling.tickets.drain(..) {
            // A worker that has ended does not want to know.
            let _ = self.facts[worker].send(Fact::Persisted(ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawEngineLimits;

    #[test]
    fn the_gauge_is_full_at_its_limit_and_warns_once_before() {
        let mib = 1 << 20;
        let raw = RawEngineLimits { log_bytes_max: 10 * mib, ..RawEngineLimits::default() };
        let gauge = LogGauge::new(mib, &EngineLimits::new(raw).unwrap());
        assert!(!gauge.is_full() && !gauge.has_warned.load(Ordering::Relaxed));
        gauge.set(8 * mib);
        assert!(!gauge.is_full() && gauge.has_warned.load(Ordering::Relaxed));
        gauge.set(10 * mib);
        assert!(gauge.is_full());
        gauge.set(mib);
        assert!(!gauge.has_warned.load(Ordering::Relaxed));
    }

    #[test]
    fn the_gauge_is_behind_until_enough_is_written() {
        let limits = EngineLimits::default();
        let gauge = LogGauge::new(0, &limits);
        gauge.queue(limits.raw().log_queue_bytes_max - 1);
        assert!(!gauge.is_behind());
        gauge.queue(1);
        assert!(gauge.is_behind());
        gauge.written(1);
        assert!(!gauge.is_behind());
    }
}
