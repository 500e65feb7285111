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

#[cfg(test)]
mod tests {
    use raft_core::{Message, MessageBody, Replica};
    use types::{GroupId, ReplicaId, StoreId, Term};

    use super::*;

    fn configuration() -> Configuration {
        let replica = |n: u32| {
            let (node, store) = (NodeId(u64::from(n) + 10), StoreId(n.into()));
            Replica { id: ReplicaId(n), node, store }
        };
        Configuration::new([1, 2].map(replica).to_vec(), Vec::new(), Vec::new()).unwrap()
    }

    fn envelope(from: u32, to: u32, generation: u32) -> Envelope {
        let body = MessageBody::VoteResponse { granted: false };
        let message = Message { from: ReplicaId(from), to: ReplicaId(to), term: Term(1), body };
        Envelope { group: GroupId(1), generation: Generation(generation), message }
    }

    #[test]
    fn messages_leave_and_go_where_their_replicas_live_and_nowhere_else() {
        let configuration = configuration();
        let check = |from, to, envelope: Envelope| {
            check(from, NodeId(to), &envelope, Some(&configuration)).is_ok()
        };
        assert!(check(11, 12, envelope(1, 2, 1)));
        assert!(!check(11, 12, envelope(1, 2, 2)), "another life of the group");
        assert!(!check(12, 12, envelope(1, 2, 1)), "not its sender's node");
        assert!(!check(11, 11, envelope(1, 2, 1)), "not its receiver's node");
        assert!(!check(11, 12, envelope(1, 3, 1)), "to nobody");
    }

    #[test]
    fn a_stranger_that_changes_something_is_a_breach() {
        assert!(check_untouched(1, &envelope(1, 2, 1), &(3, "a"), &(3, "a")).is_ok());
        assert!(check_untouched(1, &envelope(1, 2, 1), &(3, "a"), &(4, "a")).is_err());
    }
}
