//! redb, used so that every start is a recovery, and one that fails leaves the file as it was.
//!
//! A database that redb closed in good order is not looked at when it is opened again: a page that
//! was damaged meanwhile goes unnoticed, and damage to redb's notes on free pages makes it panic,
//! or give live pages away. One that ends without closing is checked to the last page, which takes
//! as long as any other check would. So this one never ends in any other way: when it is dropped,
//! redb finds that nothing can be written any more. It is also the only way that a power cut knows,
//! and so the one that is tested.
//!
//! redb forgives a write that was only to make room in its cache, and a read that fails may come
//! from anybody. So the first error of any kind ends the database here: from then on nothing is
//! read or written, and no later operation can succeed where an earlier one has failed.
//!
//! While it recovers, redb writes, also to a file that turns out to be beyond recovery. So what it
//! writes is held back until whoever opens the store has found everything in order.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use redb::{
    BackendError, Builder, DatabaseError, StorageBackend, StorageError, TransactionError,
    WriteTransaction,
};

use crate::journal::{BehindJournal, Journal};
use crate::options::{CommitPhases, RawStoreOptions};
use crate::room::Room;
use crate::space::is_full;

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) redb: redb::Database,
    phases: CommitPhases,
    gate: Arc<Gate>,
}

/// What becomes of writes.
#[derive(Debug)]
struct Gate {
    phase: AtomicU8,
    /// What is held back, in order; only in the first phase.
    held: Mutex<Held>,
    /// The first error; set before the phase says so.
    failure: OnceLock<String>,
}

/// Writes are held back, but read as if they were done.
const HELD: u8 = 0;
/// What was held back goes to the backend before the next operation.
const RELEASED: u8 = 1;
/// Writes go to the backend.
const OPEN: u8 = 2;
/// Writes are refused.
const ENDED: u8 = 3;
/// An operation has failed: everything is refused.
const FAILED: u8 = 4;

#[derive(Debug, Default)]
struct Held {
    operations: Vec<Operation>,
    /// The length that the file would have; none if that has not changed.
    len: Option<u64>,
}

#[derive(Debug)]
enum Operation {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
    Sync,
}

impl Database {
    /// Opens what the backend holds, or makes a journal and a database if it is empty. Nothing is
    /// written before [`Database::release`]. With a room, a write that finds none has its reserve.
    pub(crate) fn open(
        backend: impl StorageBackend,
        options: &RawStoreOptions,
        room: Option<Arc<dyn Room>>,
    ) -> Result<(Self, Journal), DatabaseError> {
        let gate =
            Gate { phase: AtomicU8::new(HELD), held: Mutex::default(), failure: OnceLock::new() };
        let gate = Arc::new(gate);
        let file = Arc::new(CrashOnly { backend, gate: Arc::clone(&gate), room });
        let journal = Journal::find(file, options.journal_bytes).map_err(StorageError::from)?;
        let mut builder = Builder::new();
        builder.set_cache_size(options.page_cache_bytes);
        let redb = guarded(|| builder.create_with_backend(BehindJournal::new(&journal)))?;
        Ok((Self { redb, phases: options.commit_phases, gate }, journal))
    }

    /// Begins a transaction that is committed in as many phases as the options say.
    pub(crate) fn begin_write(&self) -> Result<WriteTransaction, TransactionError> {
        let mut transaction = self.redb.begin_write()?;
        transaction.set_two_phase_commit(self.phases == CommitPhases::Two);
        Ok(transaction)
    }

    /// How many bytes are held back.
    pub(crate) fn held_bytes(&self) -> u64 {
        let held = self.gate.held.lock();
        let bytes = held.operations.iter().map(|operation| match operation {
            Operation::Write { bytes, .. } => bytes.len() as u64,
            Operation::SetLen(_) | Operation::Sync => 0,
        });
        bytes.sum()
    }

    /// The database is in order: what was held back is written, in its order and with its syncs,
    /// by the next commit and before anything of it.
    pub(crate) fn release(&self) {
        self.gate.phase.store(RELEASED, Ordering::Release);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.gate.phase.store(ENDED, Ordering::Release);
    }
}

/// Lets redb read pages that it does not check: once a file is open it checks none, and before that
/// it reads a few too early. It panics at what makes no sense to it, and that is damage.
pub(crate) fn guarded<T, E: From<StorageError>>(
    read: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    // Nobody uses again what was left half done: the database is dropped, or poisoned.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        Err(StorageError::Corrupted(format!("redb cannot make sense of it: {text}")).into())
    })
}

/// A backend behind the gate.
struct CrashOnly<B> {
    backend: B,
    gate: Arc<Gate>,
    /// Who has a reserve; none if nobody.
    room: Option<Arc<dyn Room>>,
}

impl<B: StorageBackend> CrashOnly<B> {
    /// Does an operation, or holds it back.
    fn pass(&self, operation: Operation) -> Result<(), io::Error> {
        match self.gate.phase.load(Ordering::Acquire) {
            HELD => {
                let mut held = self.gate.held.lock();
                match &operation {
                    Operation::SetLen(len) => held.len = Some(*len),
                    Operation::Write { .. } | Operation::Sync => {}
                }
                held.operations.push(operation);
                return Ok(());
            }
            RELEASED => self.catch_up()?,
            OPEN => {}
            ENDED => return Err(io::Error::other("the database ends without being closed")),
            _ => return Err(self.failed_before()),
        }
        self.perform(&operation)
    }

    fn failed_before(&self) -> io::Error {
        let first = self.gate.failure.get().map_or("", String::as_str);
        io::Error::other(format!("an earlier operation has failed: {first}"))
    }

    /// Ends the database if that is an error.
    fn note<T>(&self, outcome: Result<T, io::Error>) -> Result<T, io::Error> {
        if let Err(error) = &outcome {
            // The first one is what matters; later ones follow from it.
            let _ = self.gate.failure.set(error.to_string());
            self.gate.phase.store(FAILED, Ordering::Release);
        }
        outcome
    }

    /// Writes what was held back.
    fn catch_up(&self) -> Result<(), io::Error> {
        let mut held = self.gate.held.lock();
        for operation in &held.operations {
            self.perform(operation)?;
        }
        *held = Held::default();
        self.gate.phase.store(OPEN, Ordering::Release);
        Ok(())
    }

    fn perform(&self, operation: &Operation) -> Result<(), io::Error> {
        self.note(match operation {
            Operation::Write { offset, bytes } => {
                self.with_reserve(|| self.backend.write(*offset, bytes))
            }
            Operation::SetLen(len) => self.with_reserve(|| self.backend.set_len(*len)),
            Operation::Sync => self.backend.sync_data(),
        })
    }

    /// Does an operation once more with the reserve given up, if it found no room: others may take
    /// what was there when a commit asked. Not for syncs: of one that failed nobody knows what it
    /// wrote, and the next one forgets it.
    fn with_reserve(&self, operate: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match (operate(), &self.room) {
            (Err(error), Some(room)) if is_full(&error) => {
                room.give_up_reserve()?;
                operate()
            }
            (outcome, _) => outcome,
        }
    }

    /// Reads from the backend what is there, and puts on it what was held back.
    fn read_held(&self, held: &Held, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let stored = self.backend.len()?.saturating_sub(offset);
        let stored = usize::try_from(stored).unwrap_or(usize::MAX).min(out.len());
        if stored > 0 {
            self.backend.read(offset, &mut out[..stored])?;
        }
        out[stored..].fill(0);
        for operation in &held.operations {
            let Operation::Write { offset: at, bytes } = operation else { continue };
            overlay(out, offset, bytes, *at);
        }
        Ok(())
    }
}

impl<B: fmt::Debug> fmt::Debug for CrashOnly<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backend.fmt(f)
    }
}

impl<B: StorageBackend> StorageBackend for CrashOnly<B> {
    fn len(&self) -> Result<u64, io::Error> {
        if self.gate.phase.load(Ordering::Acquire) < OPEN
            && let Some(len) = self.gate.held.lock().len
        {
            return Ok(len);
        }
        self.note(self.backend.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let phase = self.gate.phase.load(Ordering::Acquire);
        if phase == FAILED {
            return Err(self.failed_before());
        }
        if phase < OPEN {
            let held = self.gate.held.lock();
            if !held.operations.is_empty() {
                return self.note(self.read_held(&held, offset, out));
            }
        }
        self.note(self.backend.read(offset, out))
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.pass(Operation::SetLen(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.pass(Operation::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        if self.gate.phase.load(Ordering::Acquire) == OPEN {
            return self.note(self.with_reserve(|| self.backend.write(offset, data)));
        }
        self.pass(Operation::Write { offset, bytes: data.to_vec() })
    }

    fn close(&self) -> Result<(), io::Error> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}

/// Copies the part of `bytes`, written at `at`, that lies within what is read from `offset` on.
fn overlay(out: &mut [u8], offset: u64, bytes: &[u8], at: u64) {
    let end = (offset + out.len() as u64).min(at + bytes.len() as u64);
    let start = offset.max(at);
    if start >= end {
        return;
    }
    let len = usize::try_from(end - start).expect("not longer than what is read");
    let into = usize::try_from(start - offset).expect("within what is read");
    let from = usize::try_from(start - at).expect("within what was written");
    out[into..into + len].copy_from_slice(&bytes[from..from + len]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Disk;
    use crate::sim_disk::SimDisk;

    fn open_gate(disk: &SimDisk) -> CrashOnly<SimDisk> {
        let gate =
            Gate { phase: AtomicU8::new(OPEN), held: Mutex::default(), failure: OnceLock::new() };
        CrashOnly { backend: disk.clone(), gate: Arc::new(gate), room: disk.room() }
    }

    #[test]
    fn what_finds_its_room_taken_by_others_has_the_reserve() {
        let disk = SimDisk::new();
        let room = disk.room().unwrap();
        room.make_reserve(4096).unwrap();
        let gate = open_gate(&disk);
        gate.set_len(512).unwrap();
        disk.leave_free(0);
        gate.set_len(1024).unwrap();
        gate.write(512, &[1; 512]).unwrap();
        gate.sync_data().unwrap();
        assert_eq!(room.look().unwrap().reserve_bytes, 0);
        let error = gate.write(1024, &[1; 8192]).unwrap_err();
        assert!(is_full(&error), "{error}");
        assert!(gate.write(0, b"no").is_err());
    }

    #[test]
    fn after_the_first_error_nothing_is_read_or_written() {
        let strikes: [fn(&SimDisk); 3] = [
            |disk| disk.fail_write_in(0),
            |disk| disk.fail_sync_in(0),
            |disk| disk.fail_read_in(0),
        ];
        for (number, strike) in strikes.into_iter().enumerate() {
            let disk = SimDisk::new();
            let gate = open_gate(&disk);
            gate.write(0, b"before").unwrap();
            gate.sync_data().unwrap();
            strike(&disk);
            let first = match number {
                0 => gate.write(0, b"no"),
                1 => gate.sync_data(),
                _ => gate.read(0, &mut [0]),
            };
            let first = first.unwrap_err().to_string();
            let before = disk.counters();
            let refused =
                [gate.write(0, b"no"), gate.sync_data(), gate.set_len(9), gate.read(0, &mut [0])];
            for refused in refused {
                let text = refused.unwrap_err().to_string();
                assert!(text.contains("an earlier operation") && text.contains(&first), "{text}");
            }
            assert_eq!(disk.counters(), before, "nothing reached the disk, which works again");
        }
    }

    #[test]
    fn a_panic_over_what_was_read_is_damage() {
        for panic in [|| panic!("page {} of what", 7), || panic!("no page")] as [fn() -> (); 2] {
            let read = guarded(|| {
                panic();
                Ok::<(), StorageError>(())
            });
            let Err(StorageError::Corrupted(what)) = read else { panic!("{read:?}") };
            assert!(what.contains("redb cannot make sense of it: ") && what.contains("page"));
        }
    }
}
