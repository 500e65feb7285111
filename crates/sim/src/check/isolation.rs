//! Isolation: a message names a group, a life of it and two replicas, leaves from the node of the one
//! for the node of the other, and changes nothing anywhere else.

use codec::Envelope;
use raft_core::Configuration;
use types::{Generation, NodeId};

use crate::breach::{Held, breach};

/// A message that leaves `from` for `to`.
pub(crate) fn check(
    from: u64,
    to: NodeId,
    envelope: &Envelope,
    configuration: Option<&Configuration>,
) -> Held {
    let message = &envelope.message;
    let lives_on = |replica, node| {
        configuration.is_none_or(|configuration| {
            configuration.replica(replica).is_some_and(|found| found.node == node)
        })
    };
    let is_right = envelope.generation == Generation(1)
        && lives_on(message.from, NodeId(from))
        && lives_on(message.to, to);
    if is_right {
        return Ok(());
    }
    let what = format!("node {from} sends node {to} {envelope:?} under {configuration:?}");
    breach("messages go where their replicas live", what)
}

/// What a stranger's message left behind: nothing.
pub(crate) fn check_untouched<T: PartialEq + std::fmt::Debug>(
    node: u64,
    envelope: &Envelope,
    before: &T,
    after: &T,
) -> Held {
    if before == after {
        return Ok(());
    }
    let what = format!("node {node}: {envelope:?} made {after:?} of {before:?}");
    breach("strangers change nothing", what)
}
