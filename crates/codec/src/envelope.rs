//! A message on its way between two nodes.

use raft_core::Message;
use types::{Generation, GroupId};

/// A message and the life of the group that it belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The group.
    pub group: GroupId,
    /// Which life of the group; a message of another one touches nothing.
    pub generation: Generation,
    /// What one replica says to another.
    pub message: Message,
}
