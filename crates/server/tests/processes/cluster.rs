//! Three nodes in processes of their own.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use tempfile::TempDir;

use super::BOUND;
use super::program::Program;
use super::resp::{Connection, Reply};

/// How many nodes there are.
pub(crate) const NODES: usize = 3;
/// How many groups: every node leads five or six of them.
pub(crate) const GROUPS: u32 = 16;
/// How many lines of each node's log are shown when a test fails.
const TAIL_LINES: usize = 30;

/// Three nodes with folders, logs and addresses of their own, counted from 0. Ends with its
/// processes; the folder stays if the test has failed.
pub(crate) struct Cluster {
    folder: TempDir,
    nodes: [Node; NODES],
}

struct Node {
    config: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    program: Option<Program>,
}

impl Cluster {
    /// Founds a cluster and waits until it serves.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = own_host();
        let nodes = [0, 1, 2].map(|node| Node::write(folder.path(), host, node));
        let mut cluster = Self { folder, nodes };
        for node in 0..NODES {
            cluster.restart(node);
        }
        for node in 0..NODES {
            cluster.wait_until_serving(node);
        }
        cluster
    }

    /// Where clients reach the nodes.
    pub(crate) fn addresses(&self) -> [SocketAddr; NODES] {
        [0, 1, 2].map(|node| self.nodes[node].address)
    }

    /// Starts a node that does not run, and does not wait for it.
    pub(crate) fn restart(&mut self, node: usize) {
        let Node { config, log, program, .. } = &mut self.nodes[node];
        assert!(program.is_none(), "node {node} runs");
        let args = ["serve", "--config", config.to_str().unwrap()];
        *program = Some(Program::start(&args, log));
    }

    /// Waits until a node that was started takes in clients.
    pub(crate) fn wait_until_serving(&self, node: usize) {
        self.program(node).wait_for("serves clients");
    }

    /// Sends SIGKILL to nodes, all at once.
    pub(crate) fn kill(&mut self, nodes: &[usize]) {
        let running = |node: &usize| self.nodes[*node].program.take().expect("a running node");
        Program::kill_all(nodes.iter().map(running).collect());
    }

    /// Stops a node with SIGSTOP.
    pub(crate) fn stand_still(&self, node: usize) {
        self.program(node).stand_still();
    }

    /// Lets a node that stands still go on.
    pub(crate) fn go_on(&self, node: usize) {
        self.program(node).go_on();
    }

    /// Which node leads the group of a key, as soon as there is one.
    pub(crate) fn leader_of(&self, key: &str) -> usize {
        let addresses = self.addresses();
        let began = Instant::now();
        loop {
            for (node, address) in addresses.iter().enumerate() {
                let reply = Connection::open(*address, BOUND)
                    .and_then(|mut connection| connection.ask(&["GET", key], began + BOUND));
                match reply {
                    Ok(Reply::Text(_)) => return node,
                    Ok(_) | Err(_) => assert!(began.elapsed() < BOUND, "{key} has no leader"),
                }
            }
        }
    }

    /// Ends all nodes as an operator would; each has to end well.
    pub(crate) fn stop(mut self) {
        for (node, Node { program, .. }) in self.nodes.iter_mut().enumerate() {
            let (code, _) = program.take().expect("a running node").terminate();
            assert_eq!(code, Some(0), "node {node} did not end well");
        }
    }

    fn program(&self, node: usize) -> &Program {
        self.nodes[node].program.as_ref().expect("a running node")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        self.folder.disable_cleanup(true);
        eprintln!("The nodes' folders, configurations and logs stay in {:?}.", self.folder.path());
        for Node { log, .. } in &self.nodes {
            eprintln!("--- the end of {}", log.display());
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            tail.iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Node {
    /// Writes the configuration of a node.
    fn write(folder: &Path, host: Ipv4Addr, node: usize) -> Self {
        let number = node + 1;
        let data = folder.join(format!("node-{number}"));
        let mut text = format!(
            "cluster_id = \"processes\"\nnode_id = {number}\ndata_dir = {data:?}\n\
             redis_addr = \"{host}:{}\"\npeer_addr = \"{host}:{}\"\ngroups = {GROUPS}\n",
            port(node),
            peer_port(node),
        );
        for other in 0..NODES {
            let (peers, clients) = (peer_port(other), port(other));
            write!(
                text,
                "\n[[nodes]]\nid = {}\npeer_addr = \"{host}:{peers}\"\n\
                 redis_addr = \"{host}:{clients}\"\n",
                other + 1
            )
            .unwrap();
        }
        let config = folder.join(format!("node-{number}.toml"));
        std::fs::write(&config, text).unwrap();
        let log = folder.join(format!("node-{number}.log"));
        let address = SocketAddr::new(IpAddr::V4(host), port(node));
        Self { config, log, address, program: None }
    }
}

fn port(node: usize) -> u16 {
    7_001 + u16::try_from(node).unwrap()
}

fn peer_port(node: usize) -> u16 {
    port(node) + 10_000
}

/// A loopback address that no other test uses: Linux answers for all of 127.0.0.0/8. So nobody takes
/// the port of a node that is down, as may happen to ports of an address that all share.
fn own_host() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |host: &Ipv4Addr| {
        let ports = (0..NODES).flat_map(|node| [port(node), peer_port(node)]);
        ports.into_iter().all(|port| TcpListener::bind((*host, port)).is_ok())
    };
    let own = std::process::id().wrapping_mul(64);
    let mut hosts = (0..64).map(|_| {
        let number = own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        // 127.0.0.0 is everybody's; an address of 0 or 255 at its end may be a network's.
        Ipv4Addr::new(127, number[1] | 1, number[2], number[3].clamp(1, 254))
    });
    hosts.find(is_free).expect("Linux answers for all of 127.0.0.0/8, and somebody left a port")
}
