//! Three nodes over real TCP, and a public cluster client library.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::{Commands, ProtocolVersion};
use server::config::Config;
use server::config::raw::{RawCommit, RawConfig, RawLimits, RawNode, RawTiming};
use server::node::{Node, Sockets};
use tokio::runtime::Runtime;

const GROUPS: u32 = 16;
const KEYS: usize = 10_000;
const CLIENTS: usize = 8;
/// No test waits longer for anything.
const BOUND: Duration = Duration::from_secs(60);

/// Three nodes on ports of their own.
struct Cluster {
    runtime: Runtime,
    nodes: Vec<Node>,
    ports: Vec<u16>,
}

impl Cluster {
    /// Starts nodes that keep their data below `folder`, and waits for leaders.
    fn start(folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets: Vec<(TcpListener, TcpListener)> =
            (0..3).map(|_| (listen(), listen())).collect();
        let address = |socket: &TcpListener| socket.local_addr().unwrap().to_string();
        let nodes: Vec<RawNode> = (1..)
            .zip(&sockets)
            .map(|(id, (clients, peers))| RawNode {
                id,
                peer_addr: address(peers),
                redis_addr: address(clients),
            })
            .collect();
        let ports = sockets.iter().map(|(clients, _)| clients.local_addr().unwrap().port());
        let ports = ports.collect();
        let start = async {
            let mut started = Vec::new();
            for (node, (clients, peers)) in nodes.iter().zip(sockets) {
                let config = config(node, &nodes, folder.join(node.id.to_string()));
                let sockets = Sockets { clients, peers: Some(peers) };
                started.push(Node::start(&config, sockets).await.unwrap());
            }
            for node in &started {
                node.led().await;
            }
            started
        };
        let nodes = runtime.block_on(async { tokio::time::timeout(BOUND, start).await.unwrap() });
        Self { runtime, nodes, ports }
    }

    fn stop(self) {
        for node in self.nodes {
            self.runtime.block_on(async {
                tokio::time::timeout(BOUND, node.stop()).await.unwrap().unwrap();
            });
        }
    }

    /// A client that knows one node at first.
    fn client(&self, node: usize, protocol: ProtocolVersion) -> ClusterConnection {
        let url = format!("redis://127.0.0.1:{}", self.ports[node]);
        let client = ClusterClient::builder([url]).use_protocol(protocol).build().unwrap();
        client.get_connection().unwrap()
    }

    /// The leader of every group, once all nodes agree.
    fn leaders(&self) -> BTreeSet<u64> {
        let groups = self.nodes[0].service().topology.table.groups();
        groups.map(|group| self.nodes[0].leader(group).unwrap().0).collect()
    }
}

fn config(node: &RawNode, nodes: &[RawNode], data_dir: PathBuf) -> Config {
    let raw = RawConfig {
        cluster_id: "test".to_owned(),
        node_id: node.id,
        data_dir,
        redis_addr: node.redis_addr.clone(),
        peer_addr: node.peer_addr.clone(),
        announce_addr: None,
        groups: GROUPS,
        commit: RawCommit::default(),
        nodes: nodes.to_vec(),
        timing: RawTiming::default(),
        limits: RawLimits::default(),
    };
    Config::new(raw).unwrap()
}

/// Runs `work` for shares of the keys, on several threads with a connection each.
fn in_parallel(
    cluster: &Cluster,
    node: usize,
    protocol: ProtocolVersion,
    work: impl Fn(&mut ClusterConnection, usize) + Sync,
) {
    std::thread::scope(|scope| {
        for first in 0..CLIENTS {
            let work = &work;
            let mut connection = cluster.client(node, protocol);
            scope.spawn(move || {
                for key in (first..KEYS).step_by(CLIENTS) {
                    work(&mut connection, key);
                }
            });
        }
    });
}

fn read_all_from_every_node(cluster: &Cluster, protocol: ProtocolVersion) {
    for node in 0..3 {
        in_parallel(cluster, node, protocol, |connection, key| {
            let value: String = connection.get(format!("key-{key}")).unwrap();
            assert_eq!(value, format!("value-{key}"));
        });
    }
}

#[test]
fn every_write_is_there_from_every_node_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path());
    assert_eq!(cluster.leaders(), BTreeSet::from([1, 2, 3]), "leaders are spread");
    for (first, protocol) in [(0, ProtocolVersion::RESP2), (1, ProtocolVersion::RESP3)] {
        in_parallel(&cluster, first, protocol, |connection, key| {
            // Each version of the protocol writes its half.
            if key % 2 == first {
                let () = connection.set(format!("key-{key}"), format!("value-{key}")).unwrap();
            }
        });
    }
    read_all_from_every_node(&cluster, ProtocolVersion::RESP2);
    read_all_from_every_node(&cluster, ProtocolVersion::RESP3);
    cluster.stop();

    let cluster = Cluster::start(folder.path());
    read_all_from_every_node(&cluster, ProtocolVersion::RESP3);
    // Replicas hold equal keys once they have applied the same.
    let mut connection = cluster.client(0, ProtocolVersion::RESP2);
    let count: i64 = connection.incr("counter", 41).unwrap();
    assert_eq!(count, 41);
    let count: i64 = connection.incr("counter", 1).unwrap();
    assert_eq!(count, 42);
    wait_for_equal_replicas(&cluster);
    cluster.stop();
}

/// Followers apply a moment later than leaders.
fn wait_for_equal_replicas(cluster: &Cluster) {
    let began = std::time::Instant::now();
    let digests = |node: &Node| -> Vec<u64> {
        let service = node.service();
        let groups = service.topology.table.groups();
        groups.map(|group| service.keyspaces.look(group).unwrap().digest()).collect()
    };
    loop {
        let all: BTreeSet<Vec<u64>> = cluster.nodes.iter().map(digests).collect();
        if all.len() == 1 {
            return;
        }
        assert!(began.elapsed() < BOUND, "replicas differ: {all:x?}");
        std::thread::yield_now();
    }
}
