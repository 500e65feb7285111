//! The log writer: the one thread that owns the store and makes things durable.
//!
//! While one commit syncs, the next fills: whatever is queued when it comes back goes into the next
//! one, for all workers together. So a commit carries as much as the disk is slow, and nobody waits
//! for anything but the disk.
//!
//! A full disk is a pause: what finds no room is kept, with all that comes after it, and tried again
//! now and then until it does. Meanwhile the log writer tidies the log up, which may make room, and
//! it looks at the disk when there is nothing to write too, so that everybody knows in time.
//!
//! Invariants: what a worker handed over first is reported to it first; nothing is reported that is
//! not durable; after the first error but a full disk nothing is written or reported any more;
//! whoever watches the disk knows of every call that waits for it, and of every write that waits
//! for room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use codec::{Item, WriteBatch};
use multiraft::{BatchTicket, WriteQueue};
use storage_redb::{Store, StoreError};
use types::NodeId;

use crate::commit_times::{CommitTimes, RecentCommits};
use crate::disk_watch::DiskWatch;
use crate::failure::{Alarm, Failure};
use crate::limits::EngineLimits;
use crate::messages::{Fact, LogJob};
use crate::peer_rooms::RoomTeller;
use crate::peers::Incarnation;
use crate::planted::Planted;
use crate::queue::{Receiver, Sender};
use crate::room_watch::Refused;

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
    entries: AtomicU64,
    times: RecentCommits,
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
            entries: AtomicU64::new(0),
            times: RecentCommits::default(),
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

    /// How many entries they made durable.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// How long they took lately.
    pub(crate) fn commit_times(&self) -> Option<CommitTimes> {
        self.times.times(Instant::now())
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

    /// These batches are durable; their commit began at `began`.
    fn committed(&self, batches: &[WriteBatch], began: Instant) {
        let entries = batches.iter().map(batch_entries).sum();
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries, Ordering::Relaxed);
        let now = Instant::now();
        self.times.record(now, now - began);
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

/// How many new entries a batch carries.
fn batch_entries(batch: &WriteBatch) -> u64 {
    let entries = batch.items.iter().map(|item| match &item.item {
        Item::Append(run) => u64::from(run.count()),
        Item::Create { .. }
        | Item::Truncate { .. }
        | Item::HardState(_)
        | Item::Compact { .. }
        | Item::Moved(_)
        | Item::Remove => 0,
    });
    entries.sum()
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
    /// How often it looks at the disk if nothing is written, and how long it waits at most before
    /// it tries again what found no room.
    pub(crate) look_every: Duration,
    pub(crate) teller: RoomTeller,
}

/// What goes into one commit; its memory serves again.
#[derive(Default)]
struct Filling {
    writes: WriteQueue<Receipt>,
    met: Vec<(NodeId, Incarnation)>,
    /// Why the first of it was not written when it was tried last.
    refused: Option<Refused>,
    must_stop: bool,
}

/// Whose a batch is, how it is reported, and what it counts for while it waits.
struct Receipt {
    worker: usize,
    ticket: BatchTicket,
    bytes: usize,
}

impl Filling {
    fn take(&mut self, job: LogJob) {
        match job {
            LogJob::Write { worker, ticket, batch, bytes } => {
                self.writes.push(batch, Receipt { worker, ticket, bytes });
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
        let mut pause = PAUSE_MIN;
        // What was found when the store was opened may be old already.
        let mut look_at = Instant::now();
        loop {
            let mut next = self.jobs.recv_until(look_at);
            // What comes while this is taken waits for the next commit.
            while let Some(job) = next {
                filling.take(job);
                next = self.jobs.recv_taken();
            }
            let now = Instant::now();
            if now < look_at && filling.refused.is_some() && !filling.must_stop {
                continue;
            }
            let written = if now < look_at { Ok(()) } else { self.look() };
            if let Err(error) = written.and_then(|()| self.write(&mut filling)) {
                return self.alarm.raise(Failure::Store { reason: error.to_string() });
            }
            if filling.must_stop {
                return self.end(&filling);
            }
            if filling.refused.is_some() {
                look_at = Instant::now() + pause.min(self.look_every);
                pause = (2 * pause).min(self.look_every);
            } else {
                pause = PAUSE_MIN;
                look_at = if now < look_at { look_at } else { now + self.look_every };
            }
        }
    }

    /// Looks how much room there is. On a disk that is low it also lets the store delete what is
    /// dead in the log, a part at a time, which is how the log gets smaller when nobody writes.
    fn look(&mut self) -> Result<(), StoreError> {
        self.disk.begin();
        if self.store.look_at_disk()?.is_low {
            match self.store.commit(&[]) {
                Ok(()) | Err(StoreError::DiskFull { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.disk.end();
        Ok(())
    }

    /// Makes durable what was taken, in its order, as far as there is room.
    fn write(&mut self, filling: &mut Filling) -> Result<(), StoreError> {
        let written = self.write_batches(filling).and_then(|()| self.remember_met(filling));
        let refused = match written {
            Ok(()) => None,
            Err(StoreError::DiskFull { needed, free }) => {
                self.disk.end();
                self.disk.room.refused();
                Some(Refused { free_bytes: free, needed_bytes: needed })
            }
            Err(error) => return Err(error),
        };
        filling.refused = refused;
        self.disk.room.found(self.store.disk_space(), refused);
        self.teller.tell(self.disk.room.shortage().is_some());
        self.gauge.set(self.store.log_bytes());
        Ok(())
    }

    fn write_batches(&mut self, filling: &mut Filling) -> Result<(), StoreError> {
        let writes = &mut filling.writes;
        writes.begin();
        while !writes.under_way().is_empty() {
            if self.planted.persisted_before_commit() {
                self.report(writes.receipts());
            }
            self.disk.begin();
            let began = Instant::now();
            match self.store.commit(writes.under_way()) {
                Ok(()) => {}
                Err(StoreError::DiskFull { .. }) if writes.refused() => continue,
                Err(error) => return Err(error),
            }
            self.disk.end();
            self.gauge.committed(writes.under_way(), began);
            if !self.planted.persisted_before_commit() {
                self.report(writes.receipts());
            }
            self.gauge.written(writes.written().map(|receipt| receipt.bytes).sum());
            writes.begin();
        }
        Ok(())
    }

    fn remember_met(&mut self, filling: &mut Filling) -> Result<(), StoreError> {
        while let Some((node, Incarnation { store, boot })) = filling.met.first().copied() {
            self.disk.begin();
            self.store.remember_peer(node, store, boot)?;
            self.disk.end();
            filling.met.remove(0);
            for worker in &self.facts {
                let _ = worker.send(Fact::PeerStore(node, store));
            }
        }
        Ok(())
    }

    /// Tells the workers that what these are for is durable.
    fn report(&self, receipts: &[Receipt]) {
        for Receipt { worker, ticket, .. } in receipts {
            // A worker that has ended does not want to know.
            let _ = self.facts[*worker].send(Fact::Persisted(*ticket));
        }
    }

    /// What still waits for room is given up: nobody was told that it was written, and the workers,
    /// which have ended, have told whoever waited for it that its outcome is unknown.
    fn end(&self, filling: &Filling) {
        let batches = filling.writes.len();
        if batches > 0 {
            tracing::warn!(batches, "the disk is full: what waited for room is not written");
        }
    }
}

/// How long what found no room waits at first; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(20);

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
