//! What the system has in memory of a file: all of it, or nothing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::disk::wrong;
use crate::figure::Wrong;

/// How much is read at once.
const BLOCK_BYTES: usize = 1 << 20;
/// In how many places it is looked whether a file is in memory.
const PLACES: u64 = 64;

/// What the system has in memory of the log's file when it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PageCache {
    /// All of it.
    Warm,
    /// Nothing of it.
    Cold,
}

impl PageCache {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }

    /// How that was brought about, and what it is worth.
    pub(crate) const fn how(self) -> &'static str {
        match self {
            Self::Warm => {
                "the whole file was read just before; opening drops it from the system's memory all \
                 the same, as after a failed sync that is not what the disk holds"
            }
            Self::Cold => {
                "the file was synced and its pages dropped by posix_fadvise, and looked for in 64 \
                 places; what a host beneath a virtual machine has of it remains"
            }
        }
    }

    /// Brings it about.
    ///
    /// # Errors
    /// The system does not forget the file, or cannot tell.
    pub(crate) fn prepare(self, path: &Path) -> Result<(), Wrong> {
        match self {
            Self::Warm => read_through(path).map(drop),
            Self::Cold => {
                let file = File::open(path).map_err(wrong("open the log"))?;
                file.sync_all().map_err(wrong("sync the log"))?;
                forget(&file).map_err(wrong("drop the log's pages"))?;
                let left = places_in_memory(&file).map_err(wrong("look for the log's pages"))?;
                if left > 0 {
                    let what =
                        format!("{left} of about {PLACES} places of the log are still in memory");
                    return Err(Wrong(what));
                }
                Ok(())
            }
        }
    }
}

/// Reads a file, but for its holes, from beginning to end and says what that took.
pub(crate) fn read_through(path: &Path) -> Result<Duration, Wrong> {
    let mut block = vec![0; BLOCK_BYTES];
    let start = Instant::now();
    let mut read = || -> io::Result<()> {
        let mut file = File::open(path)?;
        for stretch in stretches(&file)? {
            file.seek(SeekFrom::Start(stretch.start))?;
            let mut left = (&file).take(stretch.end - stretch.start);
            while left.read(&mut block)? > 0 {}
        }
        Ok(())
    };
    read().map_err(wrong("read the log"))?;
    Ok(start.elapsed())
}

/// Where a file is no hole: what was never written takes no room, and reading it no time.
#[cfg(target_os = "linux")]
fn stretches(file: &File) -> io::Result<Vec<Range<u64>>> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    let mut stretches = Vec::new();
    let mut end = 0;
    loop {
        let start = match seek(file, SeekFrom::Data(end)) {
            Ok(start) => start,
            // There is none behind.
            Err(Errno::NXIO) => return Ok(stretches),
            Err(error) => return Err(error.into()),
        };
        end = seek(file, SeekFrom::Hole(start))?;
        stretches.push(start..end);
    }
}

#[cfg(target_os = "linux")]
fn forget(file: &File) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};
    Ok(fadvise(file, 0, None, Advice::DontNeed)?)
}

/// In how many of about [`PLACES`] places, evenly spread, the file is in memory.
#[cfg(target_os = "linux")]
fn places_in_memory(file: &File) -> io::Result<usize> {
    use rustix::fs::{Advice, fadvise};
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    // Else each look would bring more than a page of it back.
    fadvise(file, 0, None, Advice::Random)?;
    let stretches = stretches(file)?;
    let bytes: u64 = stretches.iter().map(|stretch| stretch.end - stretch.start).sum();
    let step = usize::try_from(bytes / PLACES).unwrap_or(usize::MAX).max(1);
    let mut found = 0;
    for place in stretches.into_iter().flat_map(|stretch| stretch.step_by(step)) {
        let mut byte = [0];
        let mut buffers = [io::IoSliceMut::new(&mut byte)];
        match preadv2(file, &mut buffers, place, ReadWriteFlags::NOWAIT) {
            Ok(read) => found += read,
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

#[cfg(not(target_os = "linux"))]
fn stretches(file: &File) -> io::Result<Vec<Range<u64>>> {
    Ok(vec![0..file.metadata()?.len()])
}

#[cfg(not(target_os = "linux"))]
fn forget(_file: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn places_in_memory(_file: &File) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::disk::{Scratch, refuse_memory};

    #[test]
    fn a_file_is_in_memory_when_warm_and_not_when_cold() {
        // Beside this program, where a disk is more likely than in a folder for short-lived files.
        let program = std::env::current_exe().unwrap();
        let scratch = Scratch::new(program.parent().unwrap()).unwrap();
        let path = scratch.path("file");
        std::fs::write(&path, vec![7; 4 << 20]).unwrap();
        if refuse_memory(&path).is_err() {
            return;
        }
        PageCache::Warm.prepare(&path).unwrap();
        assert!(places_in_memory(&File::open(&path).unwrap()).unwrap() >= 64);
        // It looks by itself; looking again would find what that has brought back.
        PageCache::Cold.prepare(&path).unwrap();
    }
}
