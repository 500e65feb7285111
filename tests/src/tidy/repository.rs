//! The files that the rules are about.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One text file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its path from the root, with `/` on every platform.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// The endings of the files that are ours to write; lock files and data are not.
const ENDINGS: [&str; 6] = [".rs", ".c", ".toml", ".md", ".script", "justfile"];

/// The root of the repository that this crate was built in.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("this crate is a folder of the root").to_path_buf()
}

/// Reads all text files under `root`, sorted by path, but for hidden folders (`.ci` apart) and
/// those that are marked as caches, as cargo marks its output.
///
/// # Errors
/// Names the file or folder that cannot be read.
pub fn read(root: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    read_folder(root, "", &mut files)?;
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    let name_it = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    if folder.join("CACHEDIR.TAG").exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(|error| name_it(folder, error))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = format!("{prefix}{name}");
        if kind.is_dir() && (path == ".ci" || !name.starts_with('.')) {
            read_folder(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() && is_ours(&path) {
            let text = fs::read_to_string(entry.path());
            let text = text.map_err(|error| name_it(&entry.path(), error))?;
            files.push(File { path, text });
        }
    }
    Ok(())
}

fn is_ours(path: &str) -> bool {
    path.starts_with(".ci/") || ENDINGS.iter().any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_found() {
        let files = read(&root()).unwrap();
        let has = |path: &str| files.iter().any(|file| file.path == path);
        assert!(has("Cargo.toml") && has(".ci/run") && has("crates/types/src/lib.rs"));
        assert!(has("tests/src/tidy/repository.rs"));
        assert!(has("crates/raft-core/tests/scripts/a_leader_is_elected.script"));
        assert!(!files.iter().any(|file| file.path.starts_with("target/")));
        assert!(!has("Cargo.lock"));
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_named() {
        let nowhere = root().join("no-such-folder");
        assert!(read(&nowhere).unwrap_err().to_string().contains("no-such-folder"));
    }
}
