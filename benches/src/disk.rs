//! A place on the disk that is measured.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::figure::Wrong;

/// What a file system that keeps files in memory calls itself (`TMPFS_MAGIC` of Linux).
#[cfg(target_os = "linux")]
const IN_MEMORY: i128 = 0x0102_1994;
/// How much is written at once where only the amount counts.
const BLOCK_BYTES: usize = 1 << 20;

/// A folder of its own, removed in the end.
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes one in `dir`.
    pub(crate) fn new(dir: &Path) -> Result<Self, Wrong> {
        let dir = tempfile::Builder::new().prefix("figures-").tempdir_in(dir);
        Ok(Self { dir: dir.map_err(wrong("make a folder"))? })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Fills and removes a file of `bytes` bytes. Memory that a virtual machine has not used yet
    /// comes from its host page by page, at several times the cost of using it again: who comes
    /// first would pay for both sides.
    pub(crate) fn touch_memory(&self, bytes: u64) -> Result<(), Wrong> {
        let path = self.path("touched");
        let fill = || -> io::Result<()> {
            let mut file = File::create(&path)?;
            let block = vec![0x5a; BLOCK_BYTES];
            for _ in 0..bytes.div_ceil(BLOCK_BYTES as u64) {
                file.write_all(&block)?;
            }
            file.sync_all()?;
            fs::remove_file(&path)
        };
        fill().map_err(wrong("touch memory"))
    }
}

/// Refuses a folder whose files are in memory, where a sync is none.
#[cfg(target_os = "linux")]
pub(crate) fn refuse_memory(dir: &Path) -> Result<(), Wrong> {
    let found = rustix::fs::statfs(dir).map_err(|error| wrong("look at")(error.into()))?;
    if i128::from(found.f_type) == IN_MEMORY {
        let dir = dir.display();
        return Err(Wrong(format!("{dir} is in memory: name a folder on a disk with --dir")));
    }
    Ok(())
}

/// Elsewhere whoever measures has to know.
#[cfg(not(target_os = "linux"))]
pub(crate) fn refuse_memory(_dir: &Path) -> Result<(), Wrong> {
    Ok(())
}

/// How many bytes this process has had written to a disk so far, the pages of files that wait for
/// it included; none where the system does not tell.
pub(crate) fn written_bytes() -> Option<u64> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

/// Says what could not be done.
pub(crate) fn wrong(doing: &str) -> impl FnOnce(io::Error) -> Wrong + '_ {
    move |error| Wrong(format!("cannot {doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_folder_is_gone_in_the_end() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        scratch.touch_memory(3).unwrap();
        let path = scratch.path("x");
        File::create(&path).unwrap();
        drop(scratch);
        assert!(!path.parent().unwrap().exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_in_memory_is_refused() {
        let error = refuse_memory(Path::new("/dev/shm")).unwrap_err();
        assert!(error.0.contains("is in memory"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_written_is_counted() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        let before = written_bytes().unwrap();
        scratch.touch_memory(4 << 20).unwrap();
        assert!(written_bytes().unwrap() >= before + (4 << 20));
    }
}
