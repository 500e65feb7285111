//! redb, used so that every start is a recovery, and one that fails leaves the file as it was.
//!
//! A database that redb closed in good order is not looked at when it is opened again: a page that
//! was damaged meanwhile goes unnoticed, and damage to redb's notes on free pages makes it panic,
//! or give live pages away. One that ends without closing is checked to the last page, which takes
//! as long as any other check would. So this one never ends in any other way: when it is dropped,
//! redb finds that nothing can be written any more. It is also the only way that a power cut knows,
//! and so the one that is tested.
//!
//! While it recovers, redb writes, also to a file that turns out to be beyond recovery. So what it
//! writes is held back until whoever opens the store has found everything in order.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use redb::{BackendError, Builder, DatabaseError, StorageBackend};

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) redb: redb::Database,
    gate: Arc<Gate>,
}

/// What becomes of writes.
#[derive(Debug)]
struct Gate {
    phase: AtomicU8,
    /// What is held back, in order; only in the first phase.
    held: Mutex<Held>,
}

/// Writes are held back, but read as if they were done.
const HELD: u8 = 0;
/// What was held back goes to the backend before the next operation.
const RELEASED: u8 = 1;
/// Writes go to the backend.
const OPEN: u8 = 2;
/// Writes are refused.
const ENDED: u8 = 3;

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
    /// Opens what the backend holds, or makes a database if it is empty. Nothing is written before
    /// [`Database::release`].
    pub(crate) fn open(
        backend: impl StorageBackend,
        cache_bytes: usize,
    ) -> Result<Self, DatabaseError> {
        let gate = Gate { phase: AtomicU8::new(HELD), held: Mutex::default() };
        let gate = Arc::new(gate);
        let backend = CrashOnly { backend, gate: Arc::clone(&gate) };
        let redb = Builder::new().set_cache_size(cache_bytes).create_with_backend(backend)?;
        Ok(Self { redb, gate })
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

/// A backend behind the gate.
struct CrashOnly<B> {
    backend: B,
    gate: Arc<Gate>,
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
            _ => return Err(io::Error::other("the database ends without being closed")),
        }
        self.perform(&operation)
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
        match operation {
            Operation::Write { offset, bytes } => self.backend.write(*offset, bytes),
            Operation::SetLen(len) => self.backend.set_len(*len),
            Operation::Sync => self.backend.sync_data(),
        }
    }

    /// Reads from the backend what is there, and puts on it what was held back.
    fn read_held(&self, held: &Held, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let stored = self.backend.len()?.saturating_sub(offset);
        let stored = usize::try_from(stored).unwrap_or(usize::MAX).min(out.len());
        self.backend.read(offset, &mut out[..stored])?;
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
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        if self.gate.phase.load(Ordering::Acquire) < OPEN {
            let held = self.gate.held.lock();
            if !held.operations.is_empty() {
                return self.read_held(&held, offset, out);
            }
        }
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.pass(Operation::SetLen(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.pass(Operation::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        if self.gate.phase.load(Ordering::Acquire) == OPEN {
            return self.backend.write(offset, data);
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
