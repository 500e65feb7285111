//! Why a node does not talk to another: each cause with its own words, naming found and expected.
//! The same text is read on both sides, so it names the nodes instead of saying "this" and "other".

use std::fmt;

use types::{BootId, ClusterId, NodeId, StoreId};

use crate::hello::{Hello, PROTOCOL_VERSION};

/// Why a hello is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The peer speaks another version of the protocol.
    Protocol { own: NodeId, found: u16 },
    /// It belongs to another cluster.
    Cluster { node: NodeId, found: ClusterId, own: NodeId, expected: ClusterId },
    /// It calls itself as this node does.
    OwnNode { own: NodeId, same_store: bool },
    /// Another node than the one that was dialed answered.
    Node { found: NodeId, expected: NodeId, address: String, own: NodeId },
    /// It is no peer of this node.
    Stranger { found: NodeId, own: NodeId, peers: Vec<NodeId> },
    /// Something that must be configured alike is not.
    Digest { node: NodeId, found: u64, own: NodeId, expected: u64 },
    /// A later opening of the same store was here already.
    OlderBoot { node: NodeId, store: StoreId, found: BootId, newest: BootId, own: NodeId },
    /// The engine's word.
    Judged { reason: String },
    /// Its first message makes no sense.
    Malformed { own: NodeId, reason: String },
}

/// Which node should be at the other end, for the side that dialed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) node: NodeId,
    pub(crate) address: &'a str,
}

/// Judges a hello by what needs no memory.
///
/// **Shape**: `peers` are those of `own`; `expected` is given by the side that dialed.
/// **Errors**: the first cause in the order from "not us at all" to "configured differently".
pub(crate) fn check(
    own: &Hello,
    peers: impl IntoIterator<Item = NodeId>,
    hello: &Hello,
    expected: Option<Expected<'_>>,
) -> Result<(), Refusal> {
    let (node, me) = (hello.node, own.node);
    if hello.cluster != own.cluster {
        let (found, expected) = (hello.cluster.clone(), own.cluster.clone());
        return Err(Refusal::Cluster { node, found, own: me, expected });
    }
    if node == me {
        return Err(Refusal::OwnNode { own: me, same_store: hello.store == own.store });
    }
    if let Some(Expected { node: expected, address }) = expected
        && expected != node
    {
        let address = address.to_owned();
        return Err(Refusal::Node { found: node, expected, address, own: me });
    }
    let peers: Vec<NodeId> = peers.into_iter().collect();
    if !peers.contains(&node) {
        return Err(Refusal::Stranger { found: node, own: me, peers });
    }
    if hello.digest != own.digest {
        let (found, expected) = (hello.digest, own.digest);
        return Err(Refusal::Digest { node, found, own: me, expected });
    }
    Ok(())
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol { own, found } => write!(
                f,
                "the peer speaks protocol version {found}, node {own} expects {PROTOCOL_VERSION}: \
                 run the same release on both"
            ),
            Self::Cluster { node, found, own, expected } => write!(
                f,
                "node {node} belongs to cluster '{found}', node {own} expects '{expected}'"
            ),
            Self::OwnNode { own, same_store: true } => {
                write!(f, "node {own} met itself: one of its peer addresses is its own")
            }
            Self::OwnNode { own, same_store: false } => write!(
                f,
                "two nodes call themselves node {own}: each node of a cluster has its own id"
            ),
            Self::Node { found, expected, address, own } => write!(
                f,
                "node {found} answered at {address}, where node {own} expects node {expected}"
            ),
            Self::Stranger { found, own, peers } => {
                write!(f, "node {found} is no peer of node {own}, which expects one of nodes")?;
                peers
                    .iter()
                    .enumerate()
                    .try_for_each(|(i, peer)| write!(f, "{} {peer}", if i == 0 { "" } else { "," }))
            }
            Self::Digest { node, found, own, expected } => write!(
                f,
                "node {node} has configuration digest {found:016x}, node {own} expects \
                 {expected:016x}: vshards, groups and voters must be configured alike on all nodes"
            ),
            Self::OlderBoot { node, store, found, newest, own } => write!(
                f,
                "node {node} runs on an older copy of its store {store}: restore the newest one, or \
                 remove its replicas and add new ones (found boot {found}, node {own} has met boot \
                 {newest})"
            ),
            Self::Judged { reason } => f.write_str(reason),
            Self::Malformed { own, reason } => write!(f, "node {own} got {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_own_words() {
        let own = hello(1);
        let at = |node| Some(Expected { node: NodeId(node), address: "db2:17002" });
        let refused = |peer: &Hello, expected| {
            let peers = [NodeId(2), NodeId(3)];
            check(&own, peers, peer, expected).unwrap_err().to_string()
        };
        assert_eq!(check(&own, [NodeId(2)], &hello(2), at(2)), Ok(()));
        let mut other = hello(2);
        other.cluster = ClusterId::new("test").unwrap();
        assert_eq!(
            refused(&other, None),
            "node 2 belongs to cluster 'test', node 1 expects 'prod'"
        );
        assert_eq!(
            refused(&hello(1), at(2)),
            "node 1 met itself: one of its peer addresses is its own"
        );
        let mut other = hello(1);
        other.store = StoreId(9);
        assert_eq!(
            refused(&other, None),
            "two nodes call themselves node 1: each node of a cluster has its own id"
        );
        assert_eq!(
            refused(&hello(3), at(2)),
            "node 3 answered at db2:17002, where node 1 expects node 2"
        );
        assert_eq!(
            refused(&hello(4), None),
            "node 4 is no peer of node 1, which expects one of nodes 2, 3"
        );
        let mut other = hello(2);
        other.digest = 0xabc;
        assert_eq!(
            refused(&other, at(2)),
            "node 2 has configuration digest 0000000000000abc, node 1 expects 0000000000000007: \
             vshards, groups and voters must be configured alike on all nodes"
        );
    }

    fn hello(node: u64) -> Hello {
        Hello {
            cluster: ClusterId::new("prod").unwrap(),
            node: NodeId(node),
            store: StoreId(u128::from(node)),
            boot: BootId(1),
            digest: 7,
        }
    }
}
