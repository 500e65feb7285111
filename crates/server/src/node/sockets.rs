//! The ports, bound before anything else is touched: a port that is taken is the most frequent
//! mistake, and should cost nothing.

use std::fmt;
use std::io;
use std::net::TcpListener;

use thiserror::Error;

use crate::config::{Address, Config};

/// Who is taken in at a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Clients: `redis_addr`.
    Clients,
    /// Other nodes: `peer_addr`.
    Peers,
}

impl Role {
    /// The field of the configuration that says where.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Clients => "redis_addr",
            Self::Peers => "peer_addr",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clients => "clients",
            Self::Peers => "other nodes",
        })
    }
}

/// A port that cannot be bound.
#[derive(Debug, Error)]
#[error("cannot listen for {role} on {address}: {}", reason(.error))]
pub struct BindError {
    /// Who was to be taken in.
    pub role: Role,
    /// Where.
    pub address: Address,
    /// Why not.
    pub error: io::Error,
}

impl BindError {
    /// Whether somebody else has the port.
    pub fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        "another process has the port".to_owned()
    } else {
        error.to_string()
    }
}

/// A node's ports.
#[derive(Debug)]
pub struct Sockets {
    /// For clients.
    pub clients: TcpListener,
    /// For other nodes; none if there are none.
    pub peers: Option<TcpListener>,
}

impl Sockets {
    /// Binds a node's ports.
    ///
    /// # Errors
    /// Names the port that cannot be bound; the others are free again.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let clients = bind(Role::Clients, &config.redis_addr)?;
        let is_alone = config.peers.is_empty();
        let peers = if is_alone { None } else { Some(bind(Role::Peers, &config.peer_addr)?) };
        Ok(Self { clients, peers })
    }
}

fn bind(role: Role, address: &Address) -> Result<TcpListener, BindError> {
    TcpListener::bind((&address.host[..], address.port)).map_err(|error| BindError {
        role,
        address: address.clone(),
        error,
    })
}
