//! Both kinds of link keep the same promises.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use transport::conformance::{Fabric, check_all};
use transport::{Events, Hello, InProcess, Limits, Link, StartError, Transport, TransportConfig};
use types::NodeId;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tcp_conforms() {
    check_all(Tcp::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_process_conforms() {
    check_all(|nodes| Hub { hub: InProcess::new(&Handle::current()), nodes: nodes.to_vec() }).await;
}

struct Tcp {
    addresses: BTreeMap<NodeId, SocketAddr>,
    /// Bound from the beginning, so that each port is the test's own.
    listeners: Mutex<BTreeMap<NodeId, TcpListener>>,
}

impl Tcp {
    fn new(nodes: &[NodeId]) -> Self {
        let bound = |node: &NodeId| (*node, TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let listeners: BTreeMap<_, _> = nodes.iter().map(bound).collect();
        let addresses = listeners
            .iter()
            .map(|(node, l)| (*node, l.local_addr().expect("it is bound")))
            .collect();
        Self { addresses, listeners: Mutex::new(listeners) }
    }
}

impl Fabric for Tcp {
    fn start(
        &self,
        hello: Hello,
        limits: Limits,
        events: Arc<dyn Events>,
    ) -> Result<Box<dyn Link>, StartError> {
        let first = self.listeners.lock().remove(&hello.node);
        let listener = first
            .unwrap_or_else(|| TcpListener::bind(self.addresses[&hello.node]).expect("free again"));
        let peers = self
            .addresses
            .iter()
            .filter(|(node, _)| **node != hello.node)
            .map(|(node, address)| (*node, address.to_string()))
            .collect();
        let config = TransportConfig { hello, listener, peers, limits };
        Ok(Box::new(Transport::start(&Handle::current(), config, events)?))
    }
}

struct Hub {
    hub: InProcess,
    nodes: Vec<NodeId>,
}

impl Fabric for Hub {
    fn start(
        &self,
        hello: Hello,
        limits: Limits,
        events: Arc<dyn Events>,
    ) -> Result<Box<dyn Link>, StartError> {
        let peers: Vec<_> = self.nodes.iter().copied().filter(|n| *n != hello.node).collect();
        Ok(Box::new(self.hub.join(hello, peers, limits, events)?))
    }
}
