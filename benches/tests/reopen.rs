//! The figure `reopen` with a small log: its processes are those of the program itself.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;

/// Built by cargo for this very test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_figures");

#[test]
fn a_log_is_filled_killed_opened_and_checked() {
    // Beside this program, where a disk is more likely than in a folder for short-lived files.
    let folder = Path::new(PROGRAM).parent().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["reopen", "--mib", "2", "--case", "groups=1000 ", "--dir"]).arg(folder);
    let output = command.output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if err.contains("is in memory") {
        return;
    }
    assert!(output.status.success(), "{out}{err}");
    for cache in ["warm", "cold"] {
        let case = format!("\"case\":\"live=2MiB groups=1000 payload=1024 cache={cache}\"");
        let line = out.lines().find(|line| line.contains(&case));
        let line = line.unwrap_or_else(|| panic!("{cache}: {out}{err}"));
        assert!(line.contains("\"runs\":5") && line.contains("\"peer_value\":"), "{line}");
    }
}

#[test]
fn a_part_without_its_words_is_refused() {
    let output = Command::new(PROGRAM).args(["reopen-part", "fill"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("reopen-part is for this program itself"), "{err}");
}
