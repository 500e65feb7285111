//! The log writer: the one thread that owns the store and makes things durable.
//!
//! While one commit syncs, the next fills: whatever is queued when it comes back goes into the next
//! one, for all workers together. So a commit carries as much as the disk is slow, and nobody waits
//! for anything but the disk. Where many write at a time it first lets those run who are about to
//! bring something (ADR 0015).
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
use std::thread;
use std::time::{Duration, Instant};

use multiraft::{BatchTicket, WriteQueue};
use storage_redb::{Store, StoreError};
use types::NodeId;

use crate::disk_watch::DiskWatch;
use crate::failure::{Alarm, Failure};
use crate::log_gauge::LogGauge;
use crate::messages::{Fact, LogJob};
use crate::peer_rooms::RoomTeller;
use crate::peers::Incarnation;
use crate::planted::Planted;
use crate::queue::{Knock, Receiver, Sender};
use crate::room_watch::Refused;

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
            let first = self.jobs.recv_until(look_at);
            if self.take_all(first, &mut filling) {
                self.gather(&mut filling);
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

    /// Takes `first` and what came before it was received; what comes meanwhile waits. Whether there
    /// was anything.
    fn take_all(&mut self, first: Option<LogJob>, filling: &mut Filling) -> bool {
        let has_come = first.is_some();
        let mut next = first;
        while let Some(job) = next {
            filling.take(job);
            next = self.jobs.recv_taken();
        }
        has_come
    }

    /// Where many write at a time: lets others run as long as they bring something for this commit.
    fn gather(&mut self, filling: &mut Filling) {
        for _ in 0..GATHERINGS_MAX {
            if !self.gauge.is_crowded() || filling.must_stop {
                return;
            }
            thread::yield_now();
            let next = self.jobs.try_recv();
            if !self.take_all(next, filling) {
                return;
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
                drop(report(&self.facts, writes.receipts()));
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
                drop(report(&self.facts, writes.receipts()));
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

    /// What still waits for room is given up: nobody was told that it was written, and the workers,
    /// which have ended, have told whoever waited for it that its outcome is unknown.
    fn end(&self, filling: &Filling) {
        let batches = filling.writes.len();
        if batches > 0 {
            tracing::warn!(batches, "the disk is full: what waited for room is not written");
        }
    }
}

/// Tells the workers that what these are for is durable. They are woken when what this returns is
/// dropped: one who has handed over several batches has one turn for all of them.
#[must_use]
fn report(workers: &[Sender<Fact>], receipts: &[Receipt]) -> Vec<Knock<Fact>> {
    let sent = receipts.iter().map(|Receipt { worker, ticket, .. }| {
        workers[*worker].send_quietly(Fact::Persisted(*ticket))
    });
    // A worker that has ended does not want to know.
    sent.filter_map(Result::ok).flatten().collect()
}

/// How often the log writer lets others run before a commit, as long as they bring something. Under a
/// steady load that is where it stops.
const GATHERINGS_MAX: u32 = 4;

/// How long what found no room waits at first; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::queue;

    #[test]
    fn a_worker_is_woken_once_for_all_that_a_commit_made_durable() {
        let (workers, mut ends): (Vec<_>, Vec<_>) = (0..3).map(|_| queue()).unzip();
        drop(ends.pop());
        let handed_over = [(1, 5), (0, 3), (1, 6), (2, 9), (1, 7)];
        let receipts = handed_over.map(|(worker, ticket)| {
            let ticket = BatchTicket(ticket);
            Receipt { worker, ticket, bytes: 0 }
        });
        let knocks = report(&workers, &receipts);
        assert_eq!(knocks.len(), 2, "one for each worker that there is");
        let mut tickets = |worker: usize| -> Vec<u64> {
            let facts = std::iter::from_fn(|| ends[worker].try_recv());
            let tickets = facts.map(|fact| {
                let Fact::Persisted(BatchTicket(ticket)) = fact else { panic!("{fact:?}") };
                ticket
            });
            tickets.collect()
        };
        assert_eq!((tickets(0), tickets(1)), (vec![3], vec![5, 6, 7]));
    }
}
