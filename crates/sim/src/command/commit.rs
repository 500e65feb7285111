//! Which commit the verdicts are of.

use std::process::Command;

/// The short hash of the commit that the sources are at, with `-dirty` behind it if they have
/// changed since; "unknown" without git or its folder.
pub(crate) fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
    git.args(["--abbrev=12", "--exclude=*"]);
    let told = git.output().ok().filter(|output| output.status.success());
    let told = told.and_then(|output| String::from_utf8(output.stdout).ok());
    told.map_or_else(|| "unknown".to_owned(), |told| told.trim().to_owned())
}
