//! [`Transport`]: links over TCP.

use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use types::NodeId;

use crate::counters::LinkCounters;
use crate::events::Events;
use crate::hello::Hello;
use crate::incoming::keep_accepting;
use crate::limits::Limits;
use crate::link::{Class, Link, StartError, Stopped, unique_peers};
use crate::local::Local;
use crate::outgoing::keep_dialing;
use crate::tasks::Tasks;

/// What a [`Transport`] is made of.
#[derive(Debug)]
pub struct TransportConfig {
    /// Who this node is.
    pub hello: Hello,
    /// Where peers reach this node; bound by the caller, who thereby can tell why it could not be.
    pub listener: TcpListener,
    /// The other nodes, and where this one reaches each: `host:port`, looked up at each attempt.
    pub peers: Vec<(NodeId, String)>,
    /// What it may take.
    pub limits: Limits,
}

/// This node's links to its peers over TCP.
///
/// Each node dials each peer, and a connection carries only the frames of the node that dialed it;
/// acknowledgements come back. So nobody has to agree on who dials, a wrong address is noticed by
/// the node that has it, and a broken direction heals by itself. (One shared connection would save
/// a socket per pair, and cost rules for which of two survives.) A dead peer is noticed because each
/// end of each connection sends something four times a second; after `idle_timeout` without a byte
/// it is closed.
///
/// Dropping it begins a shutdown.
pub struct Transport {
    local: Arc<Local>,
}

impl Transport {
    /// Starts listening and dialing on the runtime of `handle`, which needs its I/O and time
    /// drivers; may be called from any thread.
    ///
    /// # Errors
    /// An impossible list of peers, or a listener that the runtime cannot take.
    pub fn start(
        handle: &Handle,
        config: TransportConfig,
        events: Arc<dyn Events>,
    ) -> Result<Self, StartError> {
        let TransportConfig { hello, listener, peers, limits } = config;
        let addresses = unique_peers(hello.node, peers)?;
        let listener = {
            let _inside = handle.enter();
            listener
                .set_nonblocking(true)
                .and_then(|()| tokio::net::TcpListener::from_std(listener))
                .map_err(StartError::Listener)?
        };
        let tasks = Tasks::new(handle.clone());
        let local = Local::new(hello, limits, addresses.keys().copied(), events, tasks);
        local.tasks.spawn(keep_accepting(Arc::clone(&local), listener));
        for (node, address) in addresses {
            let peer = Arc::clone(&local.peers[&node]);
            local.tasks.spawn(keep_dialing(Arc::clone(&local), peer, address));
        }
        Ok(Self { local })
    }
}

impl Link for Transport {
    fn send(&self, to: NodeId, body: Bytes, class: Class) {
        self.local.send(to, body, class);
    }

    fn counters(&self) -> LinkCounters {
        self.local.counters()
    }

    fn shutdown(&self) -> Stopped {
        self.local.shutdown()
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        drop(self.local.shutdown());
    }
}

#[cfg(test)]
mod tests;
