//! The data folder: who may use it, and how its file comes to be.
//!
//! The file is made under another name, synced, renamed, and the folder synced: a power cut leaves
//! either no log or a whole one, never one that does not open. The lock is a file of its own, so
//! that two processes cannot both be making the log.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// The name of a store's log in its folder.
pub const LOG_FILE: &str = "log.redb";
/// What the log is called until it is whole.
const NEW_LOG_FILE: &str = "log.redb.new";
/// The file that is locked by whoever has the folder open; it is empty and stays.
const LOCK_FILE: &str = "lock";

/// A folder that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if there is none, and takes its lock.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        if !path.exists() {
            create_folder(path)?;
        }
        if !path.is_dir() {
            return Err(OpenError::NotAFolder { path: path.to_owned() });
        }
        check_rights(path)?;
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(unreadable(&lock_path, "open"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::AlreadyOpen { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(unreadable(&lock_path, "lock")(error)),
        }
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the log.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.path.join(LOG_FILE)
    }

    /// Whether there is a log.
    pub(crate) fn has_log(&self) -> Result<bool, OpenError> {
        let path = self.log_path();
        path.try_exists().map_err(unreadable(&path, "look for"))
    }

    /// Makes the log: `fill` writes it to the path that it is given, whole, or fails.
    pub(crate) fn create_log(
        &self,
        fill: impl FnOnce(&Path) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let new = self.path.join(NEW_LOG_FILE);
        match std::fs::remove_file(&new) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&new, "remove")(error)),
        }
        fill(&new)?;
        let file = open_file(&new)?;
        file.sync_all().map_err(unreadable(&new, "sync"))?;
        std::fs::rename(&new, self.log_path()).map_err(unreadable(&new, "rename"))?;
        sync_folder(&self.path)
    }

    /// Opens the log, after making sure that what will be read is what the disk holds: everything
    /// written is synced, and the pages that the system has in memory are dropped. After a failed
    /// sync the system shows pages that never reached the disk.
    pub(crate) fn open_log(&self) -> Result<File, OpenError> {
        let path = self.log_path();
        let file = open_file(&path)?;
        file.sync_all().map_err(unreadable(&path, "sync"))?;
        drop_cached_pages(&file).map_err(unreadable(&path, "drop the cached pages of"))?;
        Ok(file)
    }
}

/// Asks the system to forget what it has in memory of a file.
#[cfg(target_os = "linux")]
fn drop_cached_pages(file: &File) -> io::Result<()> {
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

/// Asks the same of the first `bytes` bytes. What was read at once the system keeps in pieces of
/// many pages, and counts all of a piece as written whenever a page of it is.
#[cfg(target_os = "linux")]
pub(crate) fn drop_first_pages(file: &File, bytes: u64) -> io::Result<()> {
    let Some(bytes) = std::num::NonZeroU64::new(bytes) else { return Ok(()) };
    rustix::fs::fadvise(file, 0, Some(bytes), rustix::fs::Advice::DontNeed)?;
    Ok(())
}

/// Elsewhere nobody counts like that, or tells.
#[cfg(not(target_os = "linux"))]
pub(crate) fn drop_first_pages(_file: &File, _bytes: u64) -> io::Result<()> {
    Ok(())
}

/// Elsewhere there is no such question; what was synced is what is read, unless a sync failed
/// before.
#[cfg(not(target_os = "linux"))]
fn drop_cached_pages(_file: &File) -> io::Result<()> {
    Ok(())
}

fn create_folder(path: &Path) -> Result<(), OpenError> {
    std::fs::create_dir_all(path).map_err(unreadable(path, "create"))?;
    // The folder's own name must survive too, and those of the folders made on the way.
    let path = path.canonicalize().map_err(unreadable(path, "find"))?;
    path.ancestors().skip(1).take(FOLDERS_SYNCED_MAX).try_for_each(|folder| {
        // Folders further up are older than this call, and may be closed to us.
        match sync_folder(folder) {
            Err(OpenError::Forbidden { .. }) => Ok(()),
            synced => synced,
        }
    })
}

/// How many folders above a new one are synced: those that were made with it, in any sane case.
const FOLDERS_SYNCED_MAX: usize = 3;

fn sync_folder(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(unreadable(path, "sync"))
}

/// Makes an empty file that is not there yet.
pub(crate) fn create_file(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    options.open(path).map_err(unreadable(path, "create"))
}

fn open_file(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new().read(true).write(true).open(path).map_err(unreadable(path, "open"))
}

/// Files come and go in the folder while the store is open: the reserve does. So it has to be open
/// to us even if every file is there.
fn check_rights(path: &Path) -> Result<(), OpenError> {
    use rustix::fs::{Access, access};
    let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    access(path, all).map_err(|error| unreadable(path, "write to")(error.into()))
}

/// Sorts the system's reasons by what the operator can do about them.
fn unreadable(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| {
        if source.kind() == io::ErrorKind::ReadOnlyFilesystem {
            OpenError::ReadOnly { path, doing }
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            OpenError::Forbidden { path, doing, source }
        } else {
            OpenError::Unreadable { path, doing, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the file's bytes the system has in memory; none if it does not tell.
    #[cfg(target_os = "linux")]
    fn cached_bytes(file: &File, len: usize) -> Option<usize> {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        let mut bytes = vec![0; len];
        let mut buffers = [io::IoSliceMut::new(&mut bytes)];
        match preadv2(file, &mut buffers, 0, ReadWriteFlags::NOWAIT) {
            Ok(read) => Some(read),
            Err(Errno::AGAIN) => Some(0),
            Err(_) => None,
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_opened_log_is_read_from_the_disk_and_not_from_memory() {
        // Beside this program, where a disk is more likely than in a folder for short-lived files.
        let program = std::env::current_exe().unwrap();
        let dir = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        std::fs::write(folder.log_path(), vec![7; 100_000]).unwrap();
        let file = open_file(&folder.log_path()).unwrap();
        let before = cached_bytes(&file, 100_000);
        let opened = folder.open_log().unwrap();
        // A file system that is all memory, or does not tell, has no part in this.
        let statfs = rustix::fs::statfs(dir.path()).unwrap();
        if before == Some(100_000) && statfs.f_type != TMPFS {
            assert_eq!(cached_bytes(&opened, 100_000), Some(0));
            std::fs::read(folder.log_path()).unwrap();
            drop_first_pages(&opened, 65_536).unwrap();
            assert_eq!(cached_bytes(&opened, 65_536), Some(0), "the first ones alone");
        }
    }

    #[test]
    fn a_log_has_its_name_only_once_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let cut_short = folder.create_log(|path| {
            std::fs::write(path, b"half").unwrap();
            Err(OpenError::NotAFolder { path: path.to_owned() })
        });
        assert!(cut_short.is_err() && !folder.has_log().unwrap());
        let made = folder.create_log(|path| {
            assert!(!path.exists(), "what is half made is gone");
            std::fs::write(path, b"whole").unwrap();
            assert!(!folder.has_log().unwrap());
            Ok(())
        });
        made.unwrap();
        assert_eq!(std::fs::read(folder.log_path()).unwrap(), b"whole");
    }

    /// The mark of a file system in memory.
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;

    #[test]
    fn reasons_are_told_apart_by_what_can_be_done_about_them() {
        let path = Path::new("/data/log.redb");
        let of = |error: rustix::io::Errno| unreadable(path, "open")(error.into()).to_string();
        let text = of(rustix::io::Errno::ROFS);
        assert!(
            text.contains("open /data/log.redb") && text.contains("read-only: mount"),
            "{text}"
        );
        let text = of(rustix::io::Errno::ACCESS);
        assert!(text.contains("may not open /data/log.redb (Permission denied"), "{text}");
        assert!(text.contains("let its user read and write"), "{text}");
        assert!(of(rustix::io::Errno::PERM).contains("let its user"));
        assert!(of(rustix::io::Errno::IO).starts_with("cannot open /data/log.redb: "));
    }
}
