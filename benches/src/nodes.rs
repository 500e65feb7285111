//! Three nodes in processes of their own.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::disk::wrong;
use crate::figure::Wrong;

/// How long a node may take for anything before the figure is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many nodes there are.
pub(crate) const NODES: usize = 3;

/// The times of a node, all by default, and what they allow at best.
pub(crate) const TIMING: &str = "tick 50 ms, heartbeats every 100 ms, election timeout drawn from \
     500 to 1000 ms: no earlier than 400 ms after the kill can another leader be elected; the \
     earlier of two draws is 617 ms after it on average";

/// How often a node that starts is asked whether it serves.
const POLL: Duration = Duration::from_millis(5);

/// The nodes, counted from 0; killed when they are dropped.
pub(crate) struct Nodes {
    program: PathBuf,
    folder: PathBuf,
    addresses: [SocketAddr; NODES],
    running: [Option<Child>; NODES],
}

impl Nodes {
    /// Founds a cluster in a new folder and waits until it serves.
    pub(crate) fn start(program: &Path, folder: &Path, groups: u32) -> Result<Self, Wrong> {
        let host = own_host()?;
        fs::create_dir_all(folder).map_err(wrong("make a folder"))?;
        for node in 0..NODES {
            let text = configuration(folder, host, groups, node);
            fs::write(config(folder, node), text).map_err(wrong("write a configuration"))?;
        }
        let addresses = [0, 1, 2].map(|node| SocketAddr::from((host, port(node))));
        let (program, folder) = (program.to_owned(), folder.to_owned());
        let mut nodes = Self { program, folder, addresses, running: [None, None, None] };
        (0..NODES).try_for_each(|node| nodes.restart(node))?;
        (0..NODES).try_for_each(|node| nodes.wait_until_serving(node))?;
        Ok(nodes)
    }

    /// Where clients reach them.
    pub(crate) const fn addresses(&self) -> [SocketAddr; NODES] {
        self.addresses
    }

    /// Sends SIGKILL, and returns when the process is gone.
    pub(crate) fn kill(&mut self, node: usize) -> Result<(), Wrong> {
        let Some(mut child) = self.running[node].take() else { return Ok(()) };
        child.kill().and_then(|()| child.wait()).map_err(wrong("kill a node"))?;
        Ok(())
    }

    /// Starts a node that does not run, and does not wait for it.
    pub(crate) fn restart(&mut self, node: usize) -> Result<(), Wrong> {
        let log = OpenOptions::new().create(true).append(true).open(self.log(node));
        let log = log.map_err(wrong("open a log"))?;
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(config(&self.folder, node));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.running[node] = Some(command.spawn().map_err(wrong("start a node"))?);
        Ok(())
    }

    /// Waits until a node that was started takes in clients.
    pub(crate) fn wait_until_serving(&mut self, node: usize) -> Result<(), Wrong> {
        let began = Instant::now();
        while !answers(self.addresses[node]) {
            let child = self.running[node].as_mut();
            let has_ended = child.is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if has_ended || began.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.log(node)).unwrap_or_default();
                let end: Vec<&str> = log.lines().rev().take(5).collect();
                return Err(Wrong(format!("node {} does not serve: {end:#?}", node + 1)));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn log(&self, node: usize) -> PathBuf {
        self.folder.join(format!("node-{}.log", node + 1))
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for mut child in self.running.iter_mut().filter_map(Option::take) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The server's program, beside this one.
pub(crate) fn program() -> Result<PathBuf, Wrong> {
    let own = std::env::current_exe().map_err(|error| Wrong(format!("who am I: {error}")))?;
    let program = own.with_file_name("multiraft");
    if program.is_file() {
        return Ok(program);
    }
    let profile = if cfg!(debug_assertions) { "" } else { "--release " };
    let program = program.display();
    Err(Wrong(format!("{program} is not there: build it by `cargo build {profile}-p server`")))
}

/// Whether a server says that it is there.
pub(crate) fn answers(address: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\n")?;
        let mut reply = [0; 7];
        stream.read_exact(&mut reply)?;
        Ok(&reply == b"+PONG\r\n")
    };
    ask().unwrap_or(false)
}

fn config(folder: &Path, node: usize) -> PathBuf {
    folder.join(format!("node-{}.toml", node + 1))
}

fn configuration(folder: &Path, host: Ipv4Addr, groups: u32, node: usize) -> String {
    let number = node + 1;
    let data = folder.join(format!("node-{number}"));
    let mut text = format!(
        "cluster_id = \"figures\"\nnode_id = {number}\ndata_dir = {data:?}\n\
         redis_addr = \"{host}:{}\"\npeer_addr = \"{host}:{}\"\ngroups = {groups}\n",
        port(node),
        peer_port(node),
    );
    for other in 0..NODES {
        let (id, peers, clients) = (other + 1, peer_port(other), port(other));
        let written = write!(
            text,
            "\n[[nodes]]\nid = {id}\npeer_addr = \"{host}:{peers}\"\n\
             redis_addr = \"{host}:{clients}\"\n"
        );
        written.expect("a string takes everything");
    }
    text
}

const PORTS: [u16; NODES] = [7_001, 7_002, 7_003];

const fn port(node: usize) -> u16 {
    PORTS[node]
}

const fn peer_port(node: usize) -> u16 {
    PORTS[node] + 10_000
}

/// A loopback address that nobody else uses: Linux answers for all of 127.0.0.0/8. So nobody takes
/// the port of a node while it is down.
pub(crate) fn own_host() -> Result<Ipv4Addr, Wrong> {
    let own = std::process::id().to_be_bytes();
    let mut hosts = (1..=200).map(|last| Ipv4Addr::new(127, own[2] | 1, own[3], last));
    let is_free = |host: &Ipv4Addr| {
        let mut ports = (0..NODES).flat_map(|node| [port(node), peer_port(node)]);
        ports.all(|port| TcpListener::bind((*host, port)).is_ok())
    };
    let found = hosts.find(is_free);
    found.ok_or_else(|| Wrong("no loopback address has ports 7001 to 7003 free".to_owned()))
}
