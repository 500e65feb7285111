//! The bytes of one message in a frame.
//!
//! ```text
//! group u64 | generation u32 | from u32 | to u32 | term u64 | kind u8 | body
//! ```
//! The bodies by kind are drawn in `docs/format.md`. Heartbeats and answers to them that carry no
//! read round have no kind: each has a section of a frame to itself, with all but kind and round.

use alloc::vec::Vec;

use bytes::BufMut;
use raft_core::{EntryRun, Message, MessageBody, ReadRound};
use types::{Generation, GroupId, LogId, LogIndex, ReplicaId, Term};

use crate::envelope::Envelope;
use crate::frame::{FrameFault, FrameLimits};
use crate::reader::{Reader, Truncated};
use crate::run::{self, RUN_HEADER_BYTES};

/// Bytes of what all messages begin with: group, generation, from, to, term.
const ADDRESS_BYTES: usize = 8 + 4 + 4 + 4 + 8;
/// Bytes of a heartbeat without round: address and commit.
pub(crate) const HEARTBEAT_BYTES: usize = ADDRESS_BYTES + 8;
/// Bytes of an answer to one: the address says it all.
pub(crate) const HEARTBEAT_RESPONSE_BYTES: usize = ADDRESS_BYTES;
/// Bytes of the shortest message with a kind, the order to campaign: the kind says it all.
pub(crate) const MESSAGE_BYTES_MIN: usize = ADDRESS_BYTES + 1;

const KIND_PRE_VOTE: u8 = 1;
const KIND_PRE_VOTE_RESPONSE: u8 = 2;
const KIND_VOTE: u8 = 3;
const KIND_VOTE_RESPONSE: u8 = 4;
const KIND_APPEND: u8 = 5;
const KIND_ACCEPTED: u8 = 6;
const KIND_REJECTED: u8 = 7;
const KIND_HEARTBEAT: u8 = 8;
const KIND_HEARTBEAT_RESPONSE: u8 = 9;
const KIND_TIMEOUT_NOW: u8 = 10;

/// The part of a frame in which a message stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Section {
    /// Heartbeats without round.
    Heartbeats,
    /// Answers to heartbeats, without round.
    HeartbeatResponses,
    /// Everything else.
    Messages,
}

/// Where a message stands.
pub(crate) fn section(body: &MessageBody) -> Section {
    match body {
        MessageBody::Heartbeat { round: None, .. } => Section::Heartbeats,
        MessageBody::HeartbeatResponse { round: None } => Section::HeartbeatResponses,
        MessageBody::PreVote { .. }
        | MessageBody::PreVoteResponse { .. }
        | MessageBody::Vote { .. }
        | MessageBody::VoteResponse { .. }
        | MessageBody::Append { .. }
        | MessageBody::Accepted { .. }
        | MessageBody::Rejected { .. }
        | MessageBody::Heartbeat { .. }
        | MessageBody::HeartbeatResponse { .. }
        | MessageBody::TimeoutNow => Section::Messages,
    }
}

/// How many bytes a message takes in its section. Costs nothing per entry.
pub(crate) fn message_len(body: &MessageBody) -> usize {
    let body = match body {
        MessageBody::Heartbeat { round: None, .. } => return HEARTBEAT_BYTES,
        MessageBody::HeartbeatResponse { round: None } => return HEARTBEAT_RESPONSE_BYTES,
        MessageBody::PreVote { .. } => 8 + 16,
        MessageBody::PreVoteResponse { .. } => 8 + 1,
        MessageBody::Vote { .. } => 16 + 1,
        MessageBody::VoteResponse { .. } => 1,
        MessageBody::Append { runs, .. } => {
            16 + 8 + 4 + runs.iter().map(run::run_len).sum::<usize>()
        }
        MessageBody::Accepted { .. } => 8,
        MessageBody::Rejected { .. } => 8 + 16,
        MessageBody::Heartbeat { round: Some(_), .. } => 8 + 8,
        MessageBody::HeartbeatResponse { round: Some(_) } => 8,
        MessageBody::TimeoutNow => 0,
    };
    ADDRESS_BYTES + 1 + body
}

/// Appends a message as its section wants it: [`message_len`] bytes.
pub(crate) fn put_message(out: &mut Vec<u8>, envelope: &Envelope) {
    let Envelope { group, generation, message } = envelope;
    out.put_u64_le(group.0);
    out.put_u32_le(generation.0);
    out.put_u32_le(message.from.0);
    out.put_u32_le(message.to.0);
    out.put_u64_le(message.term.0);
    match &message.body {
        MessageBody::Heartbeat { commit, round: None } => out.put_u64_le(commit.0),
        MessageBody::HeartbeatResponse { round: None } => {}
        MessageBody::PreVote { next_term, last } => {
            out.put_u8(KIND_PRE_VOTE);
            out.put_u64_le(next_term.0);
            put_log_id(out, *last);
        }
        MessageBody::PreVoteResponse { next_term, granted } => {
            out.put_u8(KIND_PRE_VOTE_RESPONSE);
            out.put_u64_le(next_term.0);
            out.put_u8(u8::from(*granted));
        }
        MessageBody::Vote { last, is_ordered } => {
            out.put_u8(KIND_VOTE);
            put_log_id(out, *last);
            out.put_u8(u8::from(*is_ordered));
        }
        MessageBody::VoteResponse { granted } => {
            out.put_u8(KIND_VOTE_RESPONSE);
            out.put_u8(u8::from(*granted));
        }
        MessageBody::Append { prev, commit, runs } => {
            out.put_u8(KIND_APPEND);
            put_log_id(out, *prev);
            out.put_u64_le(commit.0);
            out.put_u32_le(u32::try_from(runs.len()).expect("appends have far fewer runs"));
            for run in runs {
                run::put_run(out, run);
            }
        }
        MessageBody::Accepted { matched } => {
            out.put_u8(KIND_ACCEPTED);
            out.put_u64_le(matched.0);
        }
        MessageBody::Rejected { prev, hint } => {
            out.put_u8(KIND_REJECTED);
            out.put_u64_le(prev.0);
            put_log_id(out, *hint);
        }
        MessageBody::Heartbeat { commit, round: Some(round) } => {
            out.put_u8(KIND_HEARTBEAT);
            out.put_u64_le(commit.0);
            out.put_u64_le(round.0);
        }
        MessageBody::HeartbeatResponse { round: Some(round) } => {
            out.put_u8(KIND_HEARTBEAT_RESPONSE);
            out.put_u64_le(round.0);
        }
        MessageBody::TimeoutNow => out.put_u8(KIND_TIMEOUT_NOW),
    }
}

/// Reads a message of `section`.
pub(crate) fn read_message(
    reader: &mut Reader<'_>,
    section: Section,
    limits: &FrameLimits,
) -> Result<Envelope, FrameFault> {
    let group = GroupId(reader.u64()?);
    let generation = Generation(reader.u32()?);
    let from = ReplicaId(reader.u32()?);
    let to = ReplicaId(reader.u32()?);
    let term = Term(reader.u64()?);
    let body = match section {
        Section::Heartbeats => {
            MessageBody::Heartbeat { commit: LogIndex(reader.u64()?), round: None }
        }
        Section::HeartbeatResponses => MessageBody::HeartbeatResponse { round: None },
        Section::Messages => read_body(reader, limits)?,
    };
    Ok(Envelope { group, generation, message: Message { from, to, term, body } })
}

/// Reads a kind and what belongs to it.
fn read_body(reader: &mut Reader<'_>, limits: &FrameLimits) -> Result<MessageBody, FrameFault> {
    Ok(match reader.u8()? {
        KIND_PRE_VOTE => {
            let next_term = Term(reader.u64()?);
            MessageBody::PreVote { next_term, last: read_log_id(reader)? }
        }
        KIND_PRE_VOTE_RESPONSE => {
            let next_term = Term(reader.u64()?);
            MessageBody::PreVoteResponse { next_term, granted: read_flag(reader)? }
        }
        KIND_VOTE => {
            let last = read_log_id(reader)?;
            MessageBody::Vote { last, is_ordered: read_flag(reader)? }
        }
        KIND_VOTE_RESPONSE => MessageBody::VoteResponse { granted: read_flag(reader)? },
        KIND_APPEND => {
            let prev = read_log_id(reader)?;
            let commit = LogIndex(reader.u64()?);
            MessageBody::Append { prev, commit, runs: read_runs(reader, prev, limits)? }
        }
        KIND_ACCEPTED => MessageBody::Accepted { matched: LogIndex(reader.u64()?) },
        KIND_REJECTED => {
            let prev = LogIndex(reader.u64()?);
            MessageBody::Rejected { prev, hint: read_log_id(reader)? }
        }
        KIND_HEARTBEAT => {
            let commit = LogIndex(reader.u64()?);
            MessageBody::Heartbeat { commit, round: Some(ReadRound(reader.u64()?)) }
        }
        KIND_HEARTBEAT_RESPONSE => {
            MessageBody::HeartbeatResponse { round: Some(ReadRound(reader.u64()?)) }
        }
        KIND_TIMEOUT_NOW => MessageBody::TimeoutNow,
        found => return Err(FrameFault::MessageKind { found }),
    })
}

/// Reads an append's runs, which must follow `prev` and each other: indexes without a gap, terms
/// never falling.
fn read_runs(
    reader: &mut Reader<'_>,
    prev: LogId,
    limits: &FrameLimits,
) -> Result<Vec<EntryRun>, FrameFault> {
    let found = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    if found > limits.runs_max {
        return Err(FrameFault::TooManyRuns { found, runs_max: limits.runs_max });
    }
    let wanted = found.saturating_mul(RUN_HEADER_BYTES);
    if wanted > reader.remaining() {
        let (offset, found) = (reader.offset(), reader.remaining());
        return Err(Truncated { offset, wanted, found }.into());
    }
    let mut runs = Vec::with_capacity(found);
    let mut last = prev;
    let mut bytes_left = limits.entries_bytes_max;
    for _ in 0..found {
        let start = reader.offset();
        let run = run::read_run(reader, bytes_left)?;
        bytes_left -= reader.offset() - start - RUN_HEADER_BYTES;
        if run.first != last.index.next() {
            let expected = last.index.next();
            return Err(FrameFault::Gap { expected, found: run.first });
        }
        if run.term < last.term {
            return Err(FrameFault::TermFalls { before: last.term, found: run.term });
        }
        last = run.last_id();
        runs.push(run);
    }
    Ok(runs)
}

fn put_log_id(out: &mut Vec<u8>, id: LogId) {
    out.put_u64_le(id.index.0);
    out.put_u64_le(id.term.0);
}

fn read_log_id(reader: &mut Reader<'_>) -> Result<LogId, Truncated> {
    let index = LogIndex(reader.u64()?);
    Ok(LogId::new(Term(reader.u64()?), index))
}

fn read_flag(reader: &mut Reader<'_>) -> Result<bool, FrameFault> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(FrameFault::Flag { found }),
    }
}
