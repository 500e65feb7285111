//! A planted bug: what stands in `mutants/NAME.patch`.
//!
//! ```text
//! One sentence: what is wrong with it.
//! caught-within: 200
//!
//! --- a/crates/raft-core/src/quorum.rs
//! +++ b/crates/raft-core/src/quorum.rs
//! ...
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where they are, from the root.
const FOLDER: &str = "crates/sim/mutants";
/// What stands before the number of seeds.
const WITHIN: &str = "caught-within:";

/// A planted bug.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Patch {
    /// The number of the bug that it is modelled on, and what it does.
    pub(super) name: String,
    /// Within how many seeds it was caught when it was looked at last.
    pub(super) within: u64,
    path: PathBuf,
}

impl Patch {
    /// Reads all of them, sorted by name.
    ///
    /// # Errors
    /// Names the file that cannot be read, or does not say what it has to.
    pub(super) fn all(root: &Path) -> io::Result<Vec<Self>> {
        let mut patches = Vec::new();
        for entry in fs::read_dir(root.join(FOLDER))? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "patch") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let within = read_header(&fs::read_to_string(&path)?)
                    .map_err(|what| io::Error::other(format!("{FOLDER}/{name}.patch {what}")))?;
                patches.push(Self { name, within, path });
            }
        }
        patches.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(patches)
    }

    /// Changes the files of `tree` by it; with `is_trial` it only looks whether it could.
    ///
    /// # Errors
    /// What git has to say.
    pub(super) fn apply(&self, tree: &Path, is_trial: bool) -> Result<(), String> {
        let mut git = Command::new("git");
        // A copy within a repository is no part of it; git would take its files for others.
        git.current_dir(tree).env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree));
        git.arg("apply").args(is_trial.then_some("--check")).arg(&self.path);
        let output = git.output().map_err(|error| format!("git cannot be run: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("does not apply: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// How many seeds a patch says that it takes.
fn read_header(text: &str) -> Result<u64, String> {
    let mut lines = text.lines().take_while(|line| !line.starts_with("--- "));
    if !lines.next().is_some_and(|line| line.ends_with('.')) {
        return Err("does not begin with a sentence that says what it breaks".to_owned());
    }
    let within = lines.find_map(|line| line.strip_prefix(WITHIN));
    within
        .and_then(|within| within.trim().parse().ok())
        .ok_or_else(|| format!("has no line \"{WITHIN} N\", N the seeds that it takes to catch it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
    }

    #[test]
    fn every_patch_applies_to_this_tree_and_says_what_it_breaks() {
        let patches = Patch::all(&root()).unwrap();
        assert!(patches.len() >= 30, "there are {} planted bugs", patches.len());
        let refused: Vec<_> = patches
            .iter()
            .filter_map(|patch| patch.apply(&root(), true).err().map(|what| (&patch.name, what)))
            .collect();
        assert!(refused.is_empty(), "{refused:#?}");
    }

    #[test]
    fn names_begin_with_a_number_and_enough_are_caught_soon() {
        let patches = Patch::all(&root()).unwrap();
        for patch in &patches {
            let (number, words) = patch.name.split_once('-').unwrap();
            assert!(number.len() == 3 && number.parse::<u16>().is_ok(), "{}", patch.name);
            assert!(words.len() > 5 && patch.within <= 5_000, "{}", patch.name);
        }
        assert!(patches.iter().filter(|patch| patch.within <= 200).count() >= 20);
    }

    #[test]
    fn a_patch_without_its_header_is_refused() {
        assert_eq!(read_header("It forgets.\ncaught-within: 12\n\n--- a/x\n"), Ok(12));
        assert!(read_header("It forgets.\n--- a/x\n+caught-within: 12\n").is_err());
        assert!(read_header("caught-within: 12\n--- a/x\n").is_err());
        assert!(read_header("It forgets.\ncaught-within: soon\n").is_err());
    }

    #[test]
    fn a_patch_of_lines_that_are_not_there_does_not_apply() {
        let folder = std::env::temp_dir().join(format!("sim-mutants-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("one.patch");
        fs::write(&path, "--- a/file\n+++ b/file\n@@ -1 +1 @@\n-old\n+new\n").unwrap();
        let patch = Patch { name: "one".to_owned(), within: 1, path };
        fs::write(folder.join("file"), "older\n").unwrap();
        assert!(patch.apply(&folder, true).unwrap_err().contains("does not apply"));
        fs::write(folder.join("file"), "old\n").unwrap();
        patch.apply(&folder, false).unwrap();
        assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "new\n");
        fs::remove_dir_all(&folder).unwrap();
    }
}
