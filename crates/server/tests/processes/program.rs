//! One process of the program, and its log.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::BOUND;

/// Built by cargo for the test that this is part of.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_multiraft");

/// The program, running; killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    output: Receiver<String>,
}

impl Program {
    /// Starts the program. What it prints and what it logs are both appended to `log`.
    pub(crate) fn start(args: &[&str], log: &Path) -> Self {
        Self::start_in(&[], args, log)
    }

    /// Starts the program with these variables in its environment, beside those of the test.
    pub(crate) fn start_in(
        environment: &[(OsString, OsString)],
        args: &[&str],
        log: &Path,
    ) -> Self {
        let mut command = Command::new(PROGRAM);
        command.envs(environment.iter().cloned());
        Self::spawn(command.args(args), log)
    }

    /// Starts the program with a limit on its file descriptors, as `ulimit -n` takes it.
    pub(crate) fn start_within(descriptors: &str, args: &[&str], log: &Path) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {descriptors} || exit; exec \"$0\" \"$@\"");
        Self::spawn(command.args(["-c", &script, PROGRAM]).args(args), log)
    }

    fn spawn(command: &mut Command, log: &Path) -> Self {
        let append = || OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(append());
        let mut child = command.spawn().unwrap();
        let output = lines(child.stdout.take().unwrap(), append());
        Self { child, output }
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of its output that contains `text`; not of its log.
    pub(crate) fn wait_for(&self, text: &str) {
        let began = Instant::now();
        let mut seen = Vec::new();
        loop {
            match self.output.recv_timeout(BOUND.saturating_sub(began.elapsed())) {
                Ok(line) if line.contains(text) => return,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no {text:?} in {seen:?}: {error}"),
            }
        }
    }

    /// Waits for its end, which nobody asked for; answers the exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Sends SIGKILL to all of them, and returns when they are gone. None waits for another's end:
    /// that would give it time to write what it has in memory. Fails if one has ended by itself.
    pub(crate) fn kill_all(mut programs: Vec<Self>) {
        for program in &mut programs {
            let end = program.child.try_wait().unwrap();
            assert_eq!(end, None, "the process ended before it was killed");
        }
        programs.iter_mut().for_each(|program| program.child.kill().unwrap());
        for mut program in programs {
            program.child.wait().unwrap();
        }
    }

    /// Sends SIGSTOP: the process stands still until [`Program::go_on`].
    pub(crate) fn stand_still(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends SIGCONT.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends SIGTERM.
    pub(crate) fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGTERM and waits for the end; answers the exit code and the rest of the output.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        self.signal(Signal::TERM);
        let began = Instant::now();
        let mut rest = Vec::new();
        // The output is closed when the process is gone.
        while let Ok(line) = self.output.recv_timeout(BOUND.saturating_sub(began.elapsed())) {
            rest.push(line);
        }
        assert!(began.elapsed() < BOUND, "it does not end; it said {rest:?}");
        (self.child.wait().unwrap().code(), rest.join("\n"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of an output as they come, which are copied to a log; ends when the output is closed.
fn lines(output: ChildStdout, mut log: File) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = writeln!(log, "{line}");
            // The log is kept even if nobody listens any more.
            let _ = sender.send(line);
        }
    });
    receiver
}
