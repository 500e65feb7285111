//! Three nodes in processes of their own.

use std::ffi::OsString;
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
    data: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    environment: Vec<(OsString, OsString)>,
    program: Option<Program>,
}

impl Cluster {
    /// Founds a cluster and waits until it serves.
    pub(crate) fn start() -> Self {
        let mut cluster = Self::prepare(|_, _, address| address);
        cluster.found();
        cluster
    }

    /// Writes the configurations of nodes that do not run yet. `route` says where a node reaches
    /// another: it is given both and the other's own address.
    pub(crate) fn prepare(mut route: impl FnMut(usize, usize, SocketAddr) -> SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = own_host();
        let nodes = [0, 1, 2].map(|node| {
            let peers = [0, 1, 2].map(|other| {
                let address = SocketAddr::new(IpAddr::V4(host), peer_port(other));
                if other == node { address } else { route(node, other, address) }
            });
            Node::write(folder.path(), host, node, peers)
        });
        Self { folder, nodes }
    }

    /// Starts all nodes for the first time and waits until they serve.
    pub(crate) fn found(&mut self) {
        for node in 0..NODES {
            self.restart(node);
        }
        for node in 0..NODES {
            self.wait_until_serving(node);
        }
    }

    /// Sets a variable of the environment of a node, for all of its starts from here on.
    pub(crate) fn set_environment(&mut self, node: usize, name: &str, value: impl Into<OsString>) {
        self.nodes[node].environment.push((name.into(), value.into()));
    }

    /// The data folder of a node.
    pub(crate) fn data(&self, node: usize) -> &Path {
        &self.nodes[node].data
    }

    /// A folder that is there as long as the cluster.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What a node has written to its log so far, in all of its lives.
    pub(crate) fn log(&self, node: usize) -> String {
        let bytes = std::fs::read(&self.nodes[node].log).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where clients reach the nodes.
    pub(crate) fn addresses(&self) -> [SocketAddr; NODES] {
        [0, 1, 2].map(|node| self.nodes[node].address)
    }

    /// Starts a node that does not run, and does not wait for it.
    pub(crate) fn restart(&mut self, node: usize) {
        let Node { config, log, program, environment, .. } = &mut self.nodes[node];
        assert!(program.is_none(), "node {node} runs");
        let args = ["serve", "--config", config.to_str().unwrap()];
        *program = Some(Program::start_in(environment, &args, log));
    }

    /// Waits until a node that was started takes in clients.
    pub(crate) fn wait_until_serving(&self, node: usize) {
        self.program(node).wait_for("serves clients");
    }

    /// Sends SIGKILL to nodes, all at once. Fails if one has ended by itself.
    pub(crate) fn kill(&mut self, nodes: &[usize]) {
        let running = |node: &usize| self.nodes[*node].program.take().expect("a running node");
        Program::kill_all(nodes.iter().map(running).collect());
    }

    /// Asks a node to end, with SIGTERM, and does not wait for it.
    pub(crate) fn ask_to_end(&self, node: usize) {
        self.program(node).ask_to_end();
    }

    /// Asks a node to end and waits until it has; answers its exit code.
    pub(crate) fn terminate(&mut self, node: usize) -> Option<i32> {
        self.nodes[node].program.take().expect("a running node").terminate().0
    }

    /// Waits for the end of a node that was asked to; answers its exit code.
    pub(crate) fn ended(&mut self, node: usize) -> Option<i32> {
        self.nodes[node].program.take().expect("a running node").ended()
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
        self.leader_among(&[0, 1, 2], key)
    }

    /// Which of these nodes leads the group of a key, as soon as one of them does. The others are not
    /// asked.
    pub(crate) fn leader_among(&self, nodes: &[usize], key: &str) -> usize {
        let began = Instant::now();
        loop {
            for node in nodes.iter().copied() {
                let reply = Connection::open(self.nodes[node].address, BOUND)
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
    fn write(folder: &Path, host: Ipv4Addr, node: usize, peers: [SocketAddr; NODES]) -> Self {
        let number = node + 1;
        let data = folder.join(format!("node-{number}"));
        let mut text = format!(
            "cluster_id = \"processes\"\nnode_id = {number}\ndata_dir = {data:?}\n\
             redis_addr = \"{host}:{}\"\npeer_addr = \"{host}:{}\"\ngroups = {GROUPS}\n",
            port(node),
            peer_port(node),
        );
        for (other, address) in peers.iter().enumerate() {
            write!(
                text,
                "\n[[nodes]]\nid = {}\npeer_addr = \"{address}\"\n\
                 redis_addr = \"{host}:{}\"\n",
                other + 1,
                port(other),
            )
            .unwrap();
        }
        let config = folder.join(format!("node-{number}.toml"));
        std::fs::write(&config, text).unwrap();
        let log = folder.join(format!("node-{number}.log"));
        let address = SocketAddr::new(IpAddr::V4(host), port(node));
        Self { config, data, log, address, environment: Vec::new(), program: None }
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
pub(crate) fn own_host() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |host: &Ipv4Addr| {
        let ports = (0..NODES).flat_map(|node| [port(node), peer_port(node)]);
        ports.into_iter().all(|port| TcpListener::bind((*host, port)).is_ok())
    };
    let own = std::process::id().wrapping_mul(64);
    let numbers = (0..64).map(|_| own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)));
    let mut hosts = numbers.filter_map(|number| {
        let number = number.to_be_bytes();
        // 127.0.0.0 is everybody's; an address of 0 or 255 at its end may be a network's. Two numbers
        // must not become one address: both would find it free, and then meet there.
        let is_host = (1..=254).contains(&number[3]);
        is_host.then(|| Ipv4Addr::new(127, number[1] | 1, number[2], number[3]))
    });
    hosts.find(is_free).expect("Linux answers for all of 127.0.0.0/8, and somebody left a port")
}
