//! The durability rule: no message leaves before what it promises is on its sender's disk, and none
//! calls committed what is not.

use codec::Envelope;
use raft_core::MessageBody;
use types::LogIndex;

use crate::breach::{Held, breach};
use crate::check::commits::Commits;
use crate::disk::{GroupOnDisk, Image};

pub(crate) fn check(node: u64, envelope: &Envelope, disk: &Image, commits: &Commits) -> Held {
    let message = &envelope.message;
    let on_disk = disk.group(envelope.group);
    let hard_state = on_disk.map(|group| group.hard_state).unwrap_or_default();
    let last = on_disk.map(GroupOnDisk::last).unwrap_or_default();
    let votes_for = |replica| {
        hard_state.term > message.term
            || (hard_state.term == message.term && hard_state.vote == Some(replica))
    };
    let speaks_for_its_term = message.term <= hard_state.term;
    let is_kept = match message.body {
        // Changes nobody's term, and promises nothing.
        MessageBody::PreVote { .. } | MessageBody::PreVoteResponse { .. } => true,
        MessageBody::Accepted { matched } => speaks_for_its_term && matched <= last,
        MessageBody::Vote { .. } => speaks_for_its_term && votes_for(message.from),
        MessageBody::VoteResponse { granted: true } => speaks_for_its_term && votes_for(message.to),
        MessageBody::VoteResponse { granted: false }
        | MessageBody::Append { .. }
        | MessageBody::Rejected { .. }
        | MessageBody::Heartbeat { .. }
        | MessageBody::HeartbeatResponse { .. }
        | MessageBody::TimeoutNow => speaks_for_its_term,
    };
    if !is_kept {
        let what = format!(
            "node {node}, group {}: {message:?} leaves with {hard_state:?} and {last} on disk",
            envelope.group
        );
        return breach("no message leaves before what it promises is durable", what);
    }
    let known = commits.last(envelope.group);
    match commit_of(&message.body) {
        Some(commit) if commit > known => {
            let what = format!("node {node}, group {}: {commit} after {known}", envelope.group);
            breach("no message calls committed what is not", what)
        }
        Some(_) | None => Ok(()),
    }
}

const fn commit_of(body: &MessageBody) -> Option<LogIndex> {
    match body {
        MessageBody::Append { commit, .. } | MessageBody::Heartbeat { commit, .. } => Some(*commit),
        MessageBody::PreVote { .. }
        | MessageBody::PreVoteResponse { .. }
        | MessageBody::Vote { .. }
        | MessageBody::VoteResponse { .. }
        | MessageBody::Accepted { .. }
        | MessageBody::Rejected { .. }
        | MessageBody::HeartbeatResponse { .. }
        | MessageBody::TimeoutNow => None,
    }
}
