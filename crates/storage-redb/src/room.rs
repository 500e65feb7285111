//! Where the room on the disk is asked for, and where the reserve is kept.
//!
//! The reserve is a file beside the log that holds nothing but room: it is really allocated, and
//! when the disk is full it is removed, so that what must still be written can be.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::StorageBackend;

/// The name of the reserve in the data folder.
const RESERVE_FILE: &str = "reserve";

/// What a store is opened on: a backend of redb, and what else there is to ask of a disk.
pub trait Disk: StorageBackend {
    /// Sees to it that what is read from now on is what the disk holds: syncs what was written, by
    /// whomever, and drops what the system keeps in memory of it. After a failed sync the system
    /// shows pages that never reached the disk, and a second sync of them succeeds. A backend that
    /// is no file has nothing to drop, and only syncs.
    ///
    /// # Errors
    /// The disk has failed.
    fn settle(&self) -> io::Result<()> {
        self.sync_data()
    }

    /// Who knows about the room; none if nobody does: then a full disk is met as a failed write.
    fn room(&self) -> Option<Arc<dyn Room>> {
        None
    }
}

/// Somebody who knows how much room a store's disk has, and keeps the reserve on it.
pub trait Room: fmt::Debug + Send + Sync {
    /// Looks how much room there is.
    ///
    /// # Errors
    /// The disk has failed.
    fn look(&self) -> io::Result<Found>;

    /// Makes the reserve exactly that large, whatever it was: really allocated, so that giving it
    /// up gives that much room.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] or [`io::ErrorKind::QuotaExceeded`]: there was no room for
    /// it, and there is no reserve. Anything else: the disk has failed.
    fn make_reserve(&self, bytes: u64) -> io::Result<()>;

    /// Gives the reserve up: once this returns, its room may be written to.
    ///
    /// # Errors
    /// The disk has failed.
    fn give_up_reserve(&self) -> io::Result<()>;
}

/// What a look at the disk found.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// Bytes that the disk still gives to anybody who writes.
    pub free_bytes: u64,
    /// How long the log's file is.
    pub file_len: u64,
    /// Bytes that the file has taken of the disk: less than its length if it has holes.
    pub file_bytes: u64,
    /// Bytes that the reserve holds; 0 if there is none.
    pub reserve_bytes: u64,
}

/// The room of a data folder.
#[derive(Debug)]
pub(crate) struct FolderRoom {
    folder: PathBuf,
    /// None while the log is being made.
    log: Option<File>,
}

impl FolderRoom {
    pub(crate) fn new(folder: &Path, log: Option<File>) -> Self {
        Self { folder: folder.to_owned(), log }
    }

    fn reserve_path(&self) -> PathBuf {
        self.folder.join(RESERVE_FILE)
    }
}

impl Room for FolderRoom {
    fn look(&self) -> io::Result<Found> {
        let disk = rustix::fs::statvfs(&self.folder)?;
        let (file_len, file_bytes) = match &self.log {
            Some(log) => extent(log)?,
            None => (0, 0),
        };
        let reserve_bytes = match std::fs::metadata(self.reserve_path()) {
            Ok(reserve) => taken_bytes(&reserve),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        // Not what only root may have: that is kept for getting out of trouble by hand.
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(Found { free_bytes, file_len, file_bytes, reserve_bytes })
    }

    fn make_reserve(&self, bytes: u64) -> io::Result<()> {
        let path = self.reserve_path();
        let options = OpenOptions::new().create(true).truncate(true).write(true).clone();
        let made = options.open(&path).and_then(|file| allocate(&file, bytes));
        if made.is_err() {
            // A part of it would be worth nothing; what went wrong is worth more than whether the
            // part could be removed.
            let _ = std::fs::remove_file(&path);
        }
        made
    }

    fn give_up_reserve(&self) -> io::Result<()> {
        match std::fs::remove_file(self.reserve_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // A journaling file system does not use the blocks again before it has written down that
        // they are free.
        File::open(&self.folder)?.sync_all()
    }
}

/// How long a file is, and what it has taken of the disk.
fn extent(file: &File) -> io::Result<(u64, u64)> {
    #[cfg(target_os = "linux")]
    if let Some(extent) = extent_without_times(file) {
        return Ok(extent);
    }
    let file = file.metadata()?;
    Ok((file.len(), taken_bytes(&file)))
}

/// The same, without asking for the file's times; none if the system or its sandbox does not know
/// the call, or the file system not the answer.
///
/// Who has seen when a file was changed is promised to see it change: the next write then notes the
/// exact time, and the next sync has the inode to write beside the pages, and to wait for. A file
/// that keeps its length and is not looked at gets a new time once in a tick of the clock, however
/// often it is synced.
#[cfg(target_os = "linux")]
fn extent_without_times(file: &File) -> Option<(u64, u64)> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let wanted = StatxFlags::SIZE | StatxFlags::BLOCKS;
    let found = statx(file, c"", AtFlags::EMPTY_PATH, wanted).ok()?;
    let is_whole = StatxFlags::from_bits_retain(found.stx_mask).contains(wanted);
    is_whole.then_some((found.stx_size, found.stx_blocks * BLOCK_BYTES))
}

/// What a file has taken of the disk: less than its length if it has holes.
fn taken_bytes(file: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.blocks() * BLOCK_BYTES
}

/// Takes room for a file of that length.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        allocated => return Ok(allocated?),
    }
    fill(file, bytes)
}

/// Takes room by writing, where there is no call for it: bytes that no file system makes smaller.
fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    use std::io::Write;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    let mut left = bytes;
    while left > 0 {
        chunk.clear();
        let len = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        while chunk.len() < len {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&chunk[..len])?;
        left -= len as u64;
    }
    file.sync_all()
}

/// The unit in which every system counts what a file has taken, whatever its own blocks are.
const BLOCK_BYTES: u64 = 512;
/// How much [`fill`] writes at a time.
const CHUNK_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve_in(folder: &Path) -> Metadata {
        std::fs::metadata(folder.join(RESERVE_FILE)).unwrap()
    }

    #[test]
    fn the_reserve_is_really_allocated_and_gone_when_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let room = FolderRoom::new(dir.path(), None);
        assert_eq!(room.look().unwrap().reserve_bytes, 0);
        for bytes in [1 << 20, 3 << 20, 2 << 20] {
            room.make_reserve(bytes).unwrap();
            assert_eq!(reserve_in(dir.path()).len(), bytes);
            let found = room.look().unwrap();
            assert!((bytes..bytes + 65536).contains(&found.reserve_bytes), "{found:?}");
        }
        room.give_up_reserve().unwrap();
        assert_eq!(room.look().unwrap().reserve_bytes, 0);
        room.give_up_reserve().unwrap();
    }

    #[test]
    fn a_reserve_that_cannot_be_made_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RESERVE_FILE);
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        FolderRoom::new(dir.path(), None).make_reserve(1 << 20).unwrap_err();
        assert!(path.symlink_metadata().is_err());
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert_eq!(fill(&full, 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn room_taken_by_writing_is_taken_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("filled");
        let file = File::create(&path).unwrap();
        fill(&file, 200_000).unwrap();
        let filled = std::fs::metadata(&path).unwrap();
        assert_eq!(filled.len(), 200_000);
        assert!(taken_bytes(&filled) >= 200_000);
    }

    #[test]
    fn the_log_is_as_long_as_its_file_and_takes_less_if_that_has_holes() {
        use std::os::unix::fs::FileExt;
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("log")).unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_at(&[7; 4096], 1 << 19).unwrap();
        file.sync_all().unwrap();
        let extent = (file.metadata().unwrap().len(), taken_bytes(&file.metadata().unwrap()));
        let room = FolderRoom::new(dir.path(), Some(file));
        let found = room.look().unwrap();
        assert_eq!((found.file_len, found.file_bytes), extent);
        assert!(extent.0 == 1 << 20 && (4096..1 << 20).contains(&extent.1), "{extent:?}");
    }
}
