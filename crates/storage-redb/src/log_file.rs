//! The log's file as redb uses it, with zeros written ahead of redb.
//!
//! redb makes the file longer by a hole, and fills that page by page. A page of a hole has no place
//! on the disk, and whoever syncs the first write to it has the file's inode to write beside the
//! page, and to wait for. A log that grows would pay that with every commit. So zeros are written
//! where redb will write soon, a good piece at a time, and the next sync writes the inode for all of
//! them (ADR 0016). A hole reads as zeros, so that nobody can read a difference, now or after a
//! crash.
//!
//! Invariant: from `Ahead::tail` to the file's end nothing was ever written but zeros.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;
use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend, StorageError};

use crate::space::is_full;

/// How much is written ahead at a time.
const STEP_BYTES: u64 = 1 << 20;
/// How close to the end of that redb may come before there is more.
const MARGIN_BYTES: u64 = STEP_BYTES / 4;
/// Nothing is written ahead while the disk has less room than this: there it is for what must be
/// written.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// The log's file.
#[derive(Debug)]
pub(crate) struct LogFile {
    backend: FileBackend,
    file: File,
    free_bytes_min: u64,
    /// Held while anything is written, so that no zero ever comes after what it would undo.
    ahead: Mutex<Ahead>,
}

/// How far the file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ahead {
    len: u64,
    /// Where the hole at the file's end begins.
    tail: u64,
    /// A write that ends behind this makes the tail move on; none does if there is no hole.
    due: Option<u64>,
}

impl LogFile {
    /// # Errors
    /// The file cannot be asked how long it is.
    pub(crate) fn new(file: File) -> Result<Self, DatabaseError> {
        Self::with_free(file, FREE_BYTES_MIN)
    }

    fn with_free(file: File, free_bytes_min: u64) -> Result<Self, DatabaseError> {
        let own = file.try_clone().map_err(StorageError::Io)?;
        let len = own.metadata().map_err(StorageError::Io)?.len();
        let ahead = Ahead::new(len, find_tail(&own, len));
        let backend = FileBackend::new(file)?;
        Ok(Self { backend, file: own, free_bytes_min, ahead: Mutex::new(ahead) })
    }

    /// Writes zeros where the hole begins, if the disk has plenty of room.
    fn write_ahead(&self, ahead: &mut Ahead) -> io::Result<()> {
        let end = ahead.len.min(ahead.tail + STEP_BYTES);
        // If there is no room now, there may be when redb has come that far.
        ahead.due = Some(end);
        if !self.has_plenty()? {
            return Ok(());
        }
        let mut at = ahead.tail;
        while at < end {
            let len = usize::try_from(end - at).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            match self.file.write_all_at(&ZEROS[..len], at) {
                Ok(()) => at += len as u64,
                // Others were quicker, or have a quota: redb may still find what it needs.
                Err(error) if is_full(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        *ahead = Ahead::new(ahead.len, end);
        Ok(())
    }

    /// Whether there is more than enough room on the file's disk.
    fn has_plenty(&self) -> io::Result<bool> {
        let disk = rustix::fs::fstatvfs(&self.file)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize) >= self.free_bytes_min)
    }
}

impl Ahead {
    fn new(len: u64, tail: u64) -> Self {
        let due = (tail < len).then(|| tail.saturating_sub(MARGIN_BYTES));
        Self { len, tail, due }
    }

    /// Takes note of a write; whether it is time to write ahead.
    fn written(&mut self, end: u64) -> bool {
        self.tail = self.tail.max(end);
        self.due.is_some_and(|due| end > due)
    }
}

/// What is written ahead, a page at a time: what is written at once Linux keeps together in memory,
/// and then counts all of it as written whenever a page of it is.
const ZEROS: &[u8] = &[0; 4096];

/// Where the hole at the end of a file begins; its end if nobody can tell.
#[cfg(target_os = "linux")]
fn find_tail(file: &File, len: u64) -> u64 {
    use rustix::fs::{SeekFrom, seek};
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        match seek(file, SeekFrom::Data(middle)) {
            Err(rustix::io::Errno::NXIO) => high = middle,
            Ok(_) | Err(_) => low = middle + 1,
        }
    }
    low
}

#[cfg(not(target_os = "linux"))]
fn find_tail(_: &File, len: u64) -> u64 {
    len
}

impl StorageBackend for LogFile {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut ahead = self.ahead.lock();
        self.backend.set_len(len)?;
        *ahead = Ahead::new(len, ahead.tail.min(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut ahead = self.ahead.lock();
        if ahead.written(offset + data.len() as u64) {
            self.write_ahead(&mut ahead)?;
        }
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn open(path: &Path, free_bytes_min: u64) -> LogFile {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        LogFile::with_free(file.unwrap(), free_bytes_min).unwrap()
    }

    fn taken_bytes(file: &LogFile) -> u64 {
        file.file.metadata().unwrap().blocks() * 512
    }

    #[test]
    fn what_is_written_next_has_its_place_already() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(&dir.path().join("log"), 0);
        file.set_len(4 * STEP_BYTES).unwrap();
        file.write(0, &[7; 4096]).unwrap();
        let taken = taken_bytes(&file);
        assert!((STEP_BYTES..2 * STEP_BYTES).contains(&taken), "{taken}");
        let margin = STEP_BYTES - MARGIN_BYTES;
        file.write(margin, &[7; 4096]).unwrap();
        assert_eq!(taken_bytes(&file), taken, "as long as it is not close to the end of that");
        file.write(margin + 4096, &[7; 4096]).unwrap();
        assert!(taken_bytes(&file) >= 2 * STEP_BYTES);
        file.write(3 * STEP_BYTES, &[7; 4096]).unwrap();
        assert_eq!(file.ahead.lock().due, None, "there is no hole any more");
        file.set_len(5 * STEP_BYTES).unwrap();
        file.write(4 * STEP_BYTES - 4096, &[7; 4096]).unwrap();
        assert_eq!(*file.ahead.lock(), Ahead::new(5 * STEP_BYTES, 5 * STEP_BYTES));
    }

    #[test]
    fn a_disk_without_plenty_of_room_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(&dir.path().join("log"), u64::MAX);
        file.set_len(4 * STEP_BYTES).unwrap();
        file.write(8192, &[7; 4096]).unwrap();
        assert!(taken_bytes(&file) < STEP_BYTES / 2);
        assert_eq!(file.ahead.lock().due, Some(12_288 + STEP_BYTES), "it asks again later");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_opening_finds_where_the_hole_begins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = open(&path, u64::MAX);
        assert_eq!(*file.ahead.lock(), Ahead { len: 0, tail: 0, due: None });
        file.set_len(4 * STEP_BYTES).unwrap();
        file.write(STEP_BYTES, &[7; 4096]).unwrap();
        file.sync_data().unwrap();
        drop(file);
        let file = open(&path, 0);
        // A file system may keep more than a page together.
        let tail = file.ahead.lock().tail;
        assert!((STEP_BYTES + 4096..STEP_BYTES + 65_536).contains(&tail), "{tail}");
        file.write(0, &[7; 4096]).unwrap();
        assert_eq!(file.ahead.lock().tail, tail, "nothing comes close to it");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write {
            offset: usize,
            len: usize,
            byte: u8,
        },
        /// That far beyond where the last write ended, and then a little before that.
        Approach {
            gap: usize,
            byte: u8,
        },
        SetLen(usize),
        /// And then a write close to where the last one ended.
        Reopen,
    }

    const LEN_MAX: usize = 5 << 20;

    fn step() -> impl Strategy<Value = Step> {
        let write = (0..LEN_MAX, 1..20_000_usize, 1..=u8::MAX);
        prop_oneof![
            8 => write.prop_map(|(offset, len, byte)| Step::Write { offset, len, byte }),
            8 => (0..400_000_usize, 1..=u8::MAX).prop_map(|(gap, byte)| Step::Approach { gap, byte }),
            2 => (0..LEN_MAX).prop_map(Step::SetLen),
            1 => Just(Step::Reopen),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn it_reads_as_if_nothing_were_written_ahead(steps in prop::collection::vec(step(), 1..40)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let mut file = open(&path, 0);
            let mut expected: Vec<u8> = Vec::new();
            let mut end = 0;
            for step in steps {
                let writes = match step {
                    Step::Write { offset, len, byte } => vec![(offset, len, byte)],
                    Step::Approach { gap, byte } => {
                        vec![(end + gap, 4096, byte), ((end + gap).saturating_sub(9000), 4096, byte)]
                    }
                    Step::SetLen(len) => {
                        file.set_len(len as u64).unwrap();
                        expected.resize(len, 0);
                        vec![]
                    }
                    Step::Reopen => {
                        drop(file);
                        file = open(&path, 0);
                        vec![(end.saturating_sub(9000), 4096, 7)]
                    }
                };
                for (offset, len, byte) in writes {
                    // As redb does: never beyond the end.
                    let len = len.min(expected.len().saturating_sub(offset));
                    if len > 0 {
                        file.write(offset as u64, &vec![byte; len]).unwrap();
                        expected[offset..][..len].fill(byte);
                        end = offset + len;
                    }
                }
            }
            let mut found = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
            file.read(0, &mut found).unwrap();
            prop_assert!(found == expected);
        }
    }
}
