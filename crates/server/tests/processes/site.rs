//! Nodes in processes of their own, whose folders and logs a test looks into: any number of them,
//! with few groups and short elections.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use super::BOUND;
use super::program::PROGRAM;

/// Whoever is refused tries again; so often a refusal is waited for.
pub(crate) const ATTEMPTS: usize = 3;

/// The nodes of a test: their ports, and folders for their files and data.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    /// By node: for clients and for peers.
    pub(crate) ports: Vec<(u16, u16)>,
}

/// A running `multiraft serve`; killed at the end.
pub(crate) struct Node {
    child: Child,
    port: u16,
    pub(crate) log: Arc<Log>,
}

/// What a process has written to stderr so far.
#[derive(Default)]
pub(crate) struct Log {
    state: Mutex<(Vec<String>, bool)>,
    grown: Condvar,
}

impl Site {
    /// Ports that are free at the moment; somebody may take one before a node does.
    pub(crate) fn of(nodes: usize) -> Self {
        let listeners: Vec<TcpListener> =
            (0..2 * nodes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let ports = listeners.chunks(2).map(|pair| (port(&pair[0]), port(&pair[1]))).collect();
        Self { folder: tempfile::tempdir().unwrap(), ports }
    }

    pub(crate) fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("data-{node}"))
    }

    /// Starts a node of a cluster by that name with that many groups.
    pub(crate) fn start_in(&self, node: usize, cluster: &str, groups: usize) -> Node {
        let (redis, peer) = self.ports[node - 1];
        let nodes = self.ports.iter().zip(1..).map(|((redis, peer), id)| {
            format!(
                "[[nodes]]\nid = {id}\npeer_addr = \"127.0.0.1:{peer}\"\n\
                 redis_addr = \"127.0.0.1:{redis}\"\n"
            )
        });
        let text = format!(
            "cluster_id = \"{cluster}\"\nnode_id = {node}\ndata_dir = {:?}\ngroups = {groups}\n\
             redis_addr = \"127.0.0.1:{redis}\"\npeer_addr = \"127.0.0.1:{peer}\"\n{}\
             [timing]\ntick_ms = 20\n",
            self.data(node),
            nodes.collect::<String>()
        );
        let file = self.folder.path().join(format!("node-{node}.toml"));
        fs::write(&file, text).unwrap();
        Node::start(&file, redis)
    }

    pub(crate) fn start(&self, node: usize) -> Node {
        self.start_in(node, "refusals", 4)
    }

    /// Copies a node's data folder; the node does not run.
    pub(crate) fn back_up(&self, node: usize) -> PathBuf {
        let backup = self.folder.path().join(format!("backup-{node}"));
        copy_folder(&self.data(node), &backup);
        backup
    }

    /// Puts a copy in the place of the node's data folder.
    pub(crate) fn put_back(&self, node: usize, backup: &Path) {
        fs::remove_dir_all(self.data(node)).unwrap();
        copy_folder(backup, &self.data(node));
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

impl Node {
    fn start(file: &Path, port: u16) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["--log", "info,transport=debug", "serve", "--config"]).arg(file);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, log) = (BufReader::new(child.stderr.take().unwrap()), Arc::<Log>::default());
        let writer = log.clone();
        thread::spawn(move || {
            lines.lines().map_while(Result::ok).for_each(|line| writer.add(line));
            writer.close();
        });
        Self { child, port, log }
    }

    /// Sends one command, and again until somebody leads the group and its reply is `expected`.
    pub(crate) fn until_reply(&self, words: &[&str], expected: &str) {
        let began = Instant::now();
        loop {
            let reply = self.reply(words);
            if reply == expected {
                return;
            }
            assert!(began.elapsed() < BOUND, "{words:?}: {reply}, expected {expected}");
        }
    }

    /// What one command brings: its reply, or why there is none.
    pub(crate) fn reply(&self, words: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new(PROGRAM).args(["client", "-p", &port]).args(words).output();
        let output = output.unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).trim_end().to_owned()
    }

    /// Waits until the process has ended; gives its exit code and all that it has said.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (Option<i32>, Vec<String>) {
        let lines = self.log.whole();
        (self.child.wait().unwrap().code(), lines)
    }

    /// Lets its disk fail: from now on every write of the process to a file does. It has hold of
    /// files that must not become larger than nothing.
    #[cfg(target_os = "linux")]
    pub(crate) fn fail_disk(&self) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let nothing = Rlimit { current: Some(0), maximum: Some(0) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, nothing).unwrap();
    }

    /// Kills the process, as a machine that dies would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until connections were refused several times for what the log says once.
    #[track_caller]
    pub(crate) fn assert_told_once(&self, reason: &str) {
        let told = |lines: &[String], how: &str| {
            lines.iter().filter(|line| line.contains(how) && line.contains(reason)).count()
        };
        let lines = self.log.until(reason, |lines| {
            told(lines, "WARN") > 0 && told(lines, "connection refused again") >= ATTEMPTS
        });
        assert_eq!(told(&lines, "WARN"), 1, "{reason}: {lines:#?}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn add(&self, line: String) {
        self.state.lock().unwrap().0.push(line);
        self.grown.notify_all();
    }

    fn close(&self) {
        self.state.lock().unwrap().1 = true;
        self.grown.notify_all();
    }

    /// Waits until the lines are enough; the process goes on.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let waits = |state: &mut (Vec<String>, bool)| !is_enough(&state.0) && !state.1;
        let (state, _) = self.grown.wait_timeout_while(state, BOUND, waits).unwrap();
        assert!(is_enough(&state.0), "{what}: waited in vain: {:#?}", state.0);
        state.0.clone()
    }

    /// Waits until the process has closed it, and gives all of it.
    pub(crate) fn whole(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let (state, _) = self.grown.wait_timeout_while(state, BOUND, |state| !state.1).unwrap();
        assert!(state.1, "the process does not end: {:#?}", state.0);
        state.0.clone()
    }
}
