//! What a folder is on: where files are in memory, a sync costs nothing and every figure is wrong.

use std::path::Path;

use crate::cli::bench::error::BenchError;

/// Refuses a folder whose files are in memory.
///
/// # Errors
/// [`BenchError::InMemory`] names the file system.
#[cfg(target_os = "linux")]
pub(crate) fn refuse_memory(dir: &Path) -> Result<(), BenchError> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // What is laid over something else writes to its upper folder.
    let upper = dir.canonicalize().ok().and_then(|dir| upper_folder(&mounts, &dir));
    for at in [Some(dir), upper.as_deref()].into_iter().flatten() {
        // What cannot be looked at is told by whoever uses it, or is another system's.
        let Ok(found) = rustix::fs::statfs(at) else { continue };
        let kind = IN_MEMORY.iter().find(|(magic, _)| *magic == i128::from(found.f_type));
        if let Some((_, kind)) = kind {
            return Err(BenchError::InMemory { dir: dir.to_owned(), kind });
        }
    }
    Ok(())
}

/// Elsewhere whoever measures has to know.
#[cfg(not(target_os = "linux"))]
pub(crate) fn refuse_memory(_dir: &Path) -> Result<(), BenchError> {
    Ok(())
}

/// What file systems in memory call themselves, as in Linux's `magic.h`.
#[cfg(target_os = "linux")]
const IN_MEMORY: [(i128, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];

/// Where an overlay, in which a folder is, keeps what is written; nothing if it is in no overlay.
/// `mounts` is as in `/proc/self/mountinfo`.
#[cfg(target_os = "linux")]
fn upper_folder(mounts: &str, dir: &Path) -> Option<std::path::PathBuf> {
    let mounted = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let at = before.split(' ').nth(4)?;
        dir.starts_with(at).then_some((at, after))
    });
    // Of several at one place the last one is seen.
    let (_, seen) = mounted.max_by_key(|(at, _)| at.len())?;
    let options = seen.strip_prefix("overlay ")?.split(' ').nth(1)?;
    options.split(',').find_map(|option| option.strip_prefix("upperdir=")).map(Into::into)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_memory_is_refused() {
        let error = refuse_memory(Path::new("/dev/shm")).unwrap_err().to_string();
        let expected = "--dir /dev/shm is in memory (tmpfs), where a sync costs nothing: name a folder \
                        on the disk to measure";
        assert_eq!(error, expected);
        refuse_memory(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        refuse_memory(Path::new("/nowhere/at/all")).unwrap();
    }

    #[test]
    fn the_folder_below_an_overlay_is_found() {
        let mounts = "22 1 0:21 / / rw - overlay overlay rw,lowerdir=/a,upperdir=/run/up,workdir=/w\n\
                      23 22 8:1 / /disk rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                      24 23 0:9 / /disk/over rw - overlay none rw,upperdir=/first\n\
                      25 24 0:9 / /disk/over rw - overlay none rw,upperdir=/last\n";
        for (dir, expected) in [
            ("/home/me", Some("/run/up")),
            ("/disk/me", None),
            ("/disk/over/me", Some("/last")),
            ("/diskette", Some("/run/up")),
        ] {
            let upper = upper_folder(mounts, Path::new(dir));
            assert_eq!(upper.as_deref(), expected.map(Path::new), "{dir}");
        }
    }
}
