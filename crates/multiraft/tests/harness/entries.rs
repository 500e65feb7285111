//! Entries and messages as a correct peer lays them out.

use raft_core::{CommandsBuilder, EntryHeader, EntryRun, MessageBody, RunBody};
use types::{LogId, LogIndex, Term};

pub(crate) fn id(term: u64, index: u64) -> LogId {
    LogId::new(Term(term), LogIndex(index))
}

/// Commands of one term from index `first` on.
pub(crate) fn run(first: u64, term: u64, payloads: &[&[u8]]) -> EntryRun {
    let mut builder = CommandsBuilder::default();
    for payload in payloads {
        builder.push(EntryHeader::default(), payload);
    }
    let body = RunBody::Commands(builder.take().unwrap());
    EntryRun { first: LogIndex(first), term: Term(term), body }
}

pub(crate) fn append(prev: LogId, commit: u64, runs: &[EntryRun]) -> MessageBody {
    MessageBody::Append { prev, commit: LogIndex(commit), runs: runs.to_vec() }
}

pub(crate) fn accepted(matched: u64) -> MessageBody {
    MessageBody::Accepted { matched: LogIndex(matched) }
}

pub(crate) fn heartbeat(commit: u64) -> MessageBody {
    MessageBody::Heartbeat { commit: LogIndex(commit), round: None }
}

pub(crate) fn alive() -> MessageBody {
    MessageBody::HeartbeatResponse { round: None }
}

pub(crate) fn vote(last: LogId) -> MessageBody {
    MessageBody::Vote { last, is_ordered: false }
}

pub(crate) fn voted(granted: bool) -> MessageBody {
    MessageBody::VoteResponse { granted }
}
