//! The command in processes of its own: the same seeds leave the same traces there.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use sim::{Plan, run};

/// The lines that tell the digests of a range.
fn digests(options: &[&str]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    let out = command.args(["--events", "2000"]).args(options).output().expect("sim runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let lines = String::from_utf8_lossy(&out.stdout);
    lines.lines().filter(|line| line.starts_with("digest")).map(str::to_owned).collect()
}

#[test]
fn a_range_has_the_same_digests_however_many_processes_run_it() {
    // A range across the border of two digests.
    let alone = digests(&["--from", "990", "--seeds", "20"]);
    assert_eq!(alone.len(), 2);
    assert_eq!(digests(&["--from", "990", "--seeds", "20", "--jobs", "3"]), alone);
}

#[test]
fn a_range_that_is_resumed_has_the_digest_of_the_whole() {
    let rest = digests(&["--from", "1000", "--seeds", "10"]);
    assert_eq!(digests(&["--from", "990", "--seeds", "20"]).get(1), rest.first());
}

#[test]
fn a_digest_is_of_the_traces_that_another_process_leaves() {
    let mut digest = 0_u64;
    for seed in 0..10 {
        let outcome = run(Plan::draw(seed, 2_000), None).expect("the seed passes");
        digest = digest.wrapping_add(outcome.trace.rotate_left(u32::try_from(seed).unwrap()));
    }
    let told = digests(&["--seeds", "10"]);
    assert_eq!(told, [format!("digest of seeds from 0: {digest:016x}")]);
}

#[test]
fn a_range_that_is_ended_has_told_the_digests_of_whole_thousands() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(["--events", "2000", "--from", "995", "--seeds", "6000", "--jobs", "2"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("sim runs");
    // The digest of five seeds comes at once, though the output is no terminal.
    let mut first = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    out.read_line(&mut first).expect("a line");
    assert!(child.try_wait().expect("it can be looked at").is_none(), "not only at its end");
    child.kill().expect("it runs still");
    child.wait().expect("it ends");
    assert_eq!(digests(&["--from", "995", "--seeds", "5"]), [first.trim_end()]);
}
