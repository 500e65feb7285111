//! Three nodes in one process, for a first look.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use types::NodeId;

use super::args::DemoArgs;
use super::run::{self, RunError};
use crate::config::raw::{RawCommit, RawConfig, RawLimits, RawNode, RawTiming};
use crate::config::{Config, ConfigError};
use crate::node::{Node, Sockets, descriptors};

/// How many nodes there are.
pub const NODES: u16 = 3;
/// How many groups share the slots.
const GROUPS: u32 = 16;
/// How far a node's port for other nodes lies above its port for clients.
pub const PEER_PORT_OFFSET: u16 = 10_000;
/// The highest first port whose neighbours are ports, too.
pub const PORT_MAX: u16 = u16::MAX - PEER_PORT_OFFSET - (NODES - 1);
/// How long to wait for leaders before saying what there is.
const LEADERS_WAIT: Duration = Duration::from_secs(15);

/// `multiraft demo`
pub fn run(args: &DemoArgs) -> ExitCode {
    run::block_on(demo(args))
}

async fn demo(args: &DemoArgs) -> Result<(), RunError> {
    let signals = run::signals()?;
    let mut configs = configs(args.port, &args.data)?;
    for config in &mut configs {
        // Fewer than may be are enough here, and no word of it is.
        let clients_max = &mut config.limits.clients_max;
        *clients_max = descriptors::make_room(usize::from(NODES), *clients_max)?;
    }
    // All ports before the first store: a port that is taken leaves nothing behind.
    let mut sockets = Vec::new();
    for config in &configs {
        sockets.push(Sockets::bind(config).map_err(|error| advise(error, args.port))?);
    }
    let mut nodes = Vec::new();
    for (config, sockets) in configs.iter().zip(sockets) {
        match Node::start(config, sockets).await {
            Ok(node) => nodes.push(node),
            Err(error) => {
                let node = config.topology.me;
                for started in nodes {
                    let _ = started.stop().await;
                }
                return Err(RunError::Start { node, error });
            }
        }
    }
    let led = async {
        for node in &nodes {
            node.led().await;
        }
    };
    let is_led = tokio::time::timeout(LEADERS_WAIT, led).await.is_ok();
    print!("{}", describe(&configs, &nodes, args));
    if !is_led {
        println!("Not every group has a leader yet; commands wait for one.\n");
    }
    run::until_signal(nodes, signals).await?;
    println!("\nStopped. The data is in {} and comes back at the next start.", args.data.display());
    Ok(())
}

/// The three nodes' configurations.
fn configs(port: u16, data: &Path) -> Result<Vec<Config>, RunError> {
    let ports = || (0..NODES).map(|offset| port + offset);
    let local = |port: u16| format!("127.0.0.1:{port}");
    let list: Vec<RawNode> = (1..)
        .zip(ports())
        .map(|(id, port)| RawNode {
            id,
            peer_addr: local(port + PEER_PORT_OFFSET),
            redis_addr: local(port),
        })
        .collect();
    let config = |node: &RawNode| {
        Config::new(RawConfig {
            cluster_id: "demo".to_owned(),
            node_id: node.id,
            data_dir: data.join(format!("node-{}", node.id)),
            redis_addr: node.redis_addr.clone(),
            peer_addr: node.peer_addr.clone(),
            announce_addr: None,
            groups: GROUPS,
            commit: RawCommit::default(),
            nodes: list.clone(),
            timing: RawTiming::default(),
            limits: RawLimits::default(),
        })
    };
    let configs: Result<Vec<Config>, _> = list.iter().map(config).collect();
    Ok(configs.map_err(|problem| ConfigError { file: PathBuf::from("(demo)"), problem })?)
}

fn advise(error: crate::node::BindError, port: u16) -> RunError {
    let last = port + NODES - 1;
    let (peer, peer_last) = (port + PEER_PORT_OFFSET, last + PEER_PORT_OFFSET);
    let advice = format!(
        "the demo needs ports {port} to {last} and {peer} to {peer_last}: free them, or choose \
         others with --port"
    );
    RunError::Bind { error, advice }
}

/// What runs, who leads what, and what to type next.
fn describe(configs: &[Config], nodes: &[Node], args: &DemoArgs) -> String {
    let mut text = format!(
        "multiraft demo: {NODES} nodes, {GROUPS} groups, data in {}\n\n{:<6}{:<18}{:<18}{}\n",
        args.data.display(),
        "NODE",
        "CLIENTS",
        "PEERS",
        "LEADS GROUPS",
    );
    for config in configs {
        let me = config.topology.me;
        let (redis, peer) = (config.redis_addr.to_string(), config.peer_addr.to_string());
        let groups = led_by(me, config, nodes);
        writeln!(text, "{:<6}{redis:<18}{peer:<18}{groups}", me.0).expect(ENDLESS);
    }
    let port = args.port;
    let (first, second) = (port, port + 1);
    write!(
        text,
        "\nTry, in another terminal:\n\
         \x20 redis-cli -c -p {first} set greeting hello\n\
         \x20 redis-cli -c -p {second} get greeting\n\
         \x20 redis-benchmark --cluster -p {first} -t set,get -n 100000 -q\n\
         Without Redis's tools:\n\
         \x20 multiraft client -p {first} set greeting hello\n\
         \x20 multiraft client -p {second} get greeting\n\n\
         Ctrl-C stops it; the data stays for the next start. To begin anew, delete {}.\n",
        args.data.display(),
    )
    .expect(ENDLESS);
    text
}

const ENDLESS: &str = "a string takes everything";

/// The numbers of the groups that a node leads.
fn led_by(node: NodeId, config: &Config, nodes: &[Node]) -> String {
    let is_led = |group| nodes.iter().any(|any| any.leader(group) == Some(node));
    let groups = config.topology.table.groups().filter(|group| is_led(*group));
    let groups: Vec<String> = groups.map(|group| group.to_string()).collect();
    if groups.is_empty() { "none".to_owned() } else { groups.join(" ") }
}
