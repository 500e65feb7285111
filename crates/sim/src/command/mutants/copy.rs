//! A copy of the tree that planted bugs are put into, with a build folder of its own.
//!
//! Both stay, so that a bug costs no more than the crates that it touches: a file is written only if
//! it differs from what is there, and the compiler goes by that.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::patch::Patch;

/// How it is built: as `release`, for the same verdicts in less time from change to verdict.
const PROFILE: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "true"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
];

/// The copy.
#[derive(Debug)]
pub(super) struct Copy {
    root: PathBuf,
    tree: PathBuf,
    build: PathBuf,
}

impl Copy {
    /// The one of the repository at `root`.
    pub(super) fn of(root: &Path) -> Self {
        let folder = root.join("target/mutants");
        Self { root: root.to_owned(), tree: folder.join("tree"), build: folder.join("build") }
    }

    /// Makes the copy equal to what it is a copy of, then wrong by `patch`, and builds the simulator;
    /// returns where that is.
    ///
    /// # Errors
    /// What cannot be read or written, does not apply or does not compile.
    pub(super) fn build(&self, patch: &Patch) -> Result<PathBuf, String> {
        self.refresh().map_err(|error| format!("the tree cannot be copied: {error}"))?;
        patch.apply(&self.tree, false)?;
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--quiet", "--release", "--locked", "-p", "sim"]);
        cargo.current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.build).envs(PROFILE);
        let output = cargo.output().map_err(|error| format!("cargo cannot be run: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("does not compile:\n{}", said.trim()));
        }
        Ok(self.build.join("release/sim"))
    }

    /// Copies what differs, and removes what is no longer there.
    fn refresh(&self) -> io::Result<()> {
        let files = self.files()?;
        for file in &files {
            let (from, to) = (self.root.join(file), self.tree.join(file));
            let bytes = fs::read(from)?;
            if fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            fs::create_dir_all(to.parent().unwrap_or(&self.tree))?;
            fs::write(&to, bytes)?;
        }
        self.remove_others(&self.tree, &files)
    }

    fn remove_others(&self, folder: &Path, files: &BTreeSet<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.remove_others(&path, files)?;
            } else if path.strip_prefix(&self.tree).is_ok_and(|file| !files.contains(file)) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// What belongs to the tree: all that git tracks or would, as far as it is there.
    fn files(&self) -> io::Result<BTreeSet<PathBuf>> {
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let output = git.current_dir(&self.root).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(format!("git does not list its files: {said}")));
        }
        let names = String::from_utf8(output.stdout).map_err(io::Error::other)?;
        let files = names.split_terminator('\0').map(PathBuf::from);
        Ok(files.filter(|file| self.root.join(file).is_file()).collect())
    }
}
