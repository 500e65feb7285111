//! The durability rule: no message leaves before what it promises is on its sender's disk.

use codec::Envelope;
use raft_core::MessageBody;

use crate::disk::Disk;

pub(crate) fn check(envelope: &Envelope, disk: &Disk) -> Result<(), String> {
    let message = &envelope.message;
    if matches!(message.body, MessageBody::PreVote { .. } | MessageBody::PreVoteResponse { .. }) {
        return Ok(());
    }
    let on_disk = disk.group(envelope.group);
    let hard_state = on_disk.map(|group| group.hard_state).unwrap_or_default();
    let last = on_disk.map(crate::disk::GroupOnDisk::last).unwrap_or_default();
    let kept = message.term <= hard_state.term
        && match message.body {
            MessageBody::Accepted { matched } => matched <= last,
            MessageBody::Vote { .. } => {
                hard_state.term > message.term || hard_state.vote == Some(message.from)
            }
            MessageBody::VoteResponse { granted: true } => {
                hard_state.term > message.term || hard_state.vote == Some(message.to)
            }
            MessageBody::PreVote { .. }
            | MessageBody::PreVoteResponse { .. }
            | MessageBody::VoteResponse { granted: false }
            | MessageBody::Append { .. }
            | MessageBody::Rejected { .. }
            | MessageBody::Heartbeat { .. }
            | MessageBody::HeartbeatResponse { .. } => true,
        };
    if kept {
        return Ok(());
    }
    Err(format!(
        "{message:?} of group {} leaves with {hard_state:?} and {last} on disk",
        envelope.group
    ))
}
