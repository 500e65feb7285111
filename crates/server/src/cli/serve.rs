//! One node in a process of its own.

use std::process::ExitCode;

use super::args::ServeArgs;
use super::machine;
use super::run::{self, RunError};
use crate::config::{Config, ConfigError};
use crate::node::{Node, Sockets, descriptors};

/// `multiraft serve`
pub fn run(args: &ServeArgs) -> ExitCode {
    run::block_on(serve(args))
}

async fn serve(args: &ServeArgs) -> Result<(), RunError> {
    let mut config = Config::load(&args.config)?;
    let fitting = descriptors::make_room(1, config.limits.clients_max)?;
    if fitting < config.limits.clients_max {
        tracing::warn!(
            clients_max = config.limits.clients_max,
            fitting,
            "fewer clients than clients_max fit in the file descriptors that the process may have: \
             allow more (ulimit -n, LimitNOFILE=) or lower clients_max"
        );
        config.limits.clients_max = fitting;
    }
    let sockets = Sockets::bind(&config).map_err(|error| {
        let field = error.role.field();
        let file = args.config.display();
        let advice = if error.is_taken() {
            format!("stop that process, or change {field} in {file}")
        } else {
            format!("correct {field} in {file}")
        };
        RunError::Bind { error, advice }
    })?;
    machine::check_folder(&config.data_dir)
        .map_err(|problem| ConfigError { file: args.config.clone(), problem })?;
    machine::warn_of_clock(&config.data_dir);
    let signals = run::signals()?;
    let id = config.topology.me;
    let start = Node::start(&config, sockets).await;
    let node = start.map_err(|error| RunError::Start { node: id, error })?;
    println!(
        "multiraft node {id} of cluster {} serves clients on {}{}; data in {}",
        config.topology.cluster,
        config.redis_addr,
        if config.peers.is_empty() {
            " alone".to_owned()
        } else {
            format!(", other nodes on {}", config.peer_addr)
        },
        config.data_dir.display(),
    );
    run::until_signal(vec![node], signals).await
}
