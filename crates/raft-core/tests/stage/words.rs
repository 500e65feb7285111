//! The words of the scripts' traces: how messages, entries, writes and roles read.

use raft_core::{
    Commands, Configuration, EntryRun, Fetch, FetchFor, HardState, Message, MessageBody,
    ProgressState, ReadAnswer, ReadRound, Replica, Role, RoleChange, RunBody, Status, Write,
};
use types::{LogId, LogIndex, ReplicaId};

/// The most commands of a run that are shown one by one.
const COMMANDS_SHOWN_MAX: usize = 4;

/// The entry at `index` of `term`: `index@term`.
pub(crate) fn id(id: LogId) -> String {
    format!("{}@{}", id.index, id.term)
}

fn span(first: LogIndex, last: LogIndex) -> String {
    if first == last { first.to_string() } else { format!("{first}..{last}") }
}

fn names(ids: impl Iterator<Item = ReplicaId>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
}

fn ids(replicas: &[Replica]) -> String {
    names(replicas.iter().map(|replica| replica.id))
}

pub(crate) fn configuration(configuration: &Configuration) -> String {
    let mut text = format!("voters {}", ids(configuration.incoming()));
    if !configuration.learners().is_empty() {
        text += &format!(", learners {}", ids(configuration.learners()));
    }
    text
}

/// A payload without the dots that fill it up, and its length if there are any.
fn payload(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = text.trim_end_matches('.');
    if shown.len() == text.len() { text.into() } else { format!("{shown}({} B)", bytes.len()) }
}

/// Entries in log order; those of one term that follow each other are shown together.
pub(crate) fn entries<'a>(runs: impl IntoIterator<Item = &'a EntryRun>) -> String {
    let mut parts: Vec<(LogIndex, LogId, Vec<String>)> = Vec::new();
    for run in runs {
        let words: Vec<String> = match &run.body {
            RunBody::Commands(commands) => {
                Commands::iter(commands).map(|command| payload(command.payload)).collect()
            }
            RunBody::TermStart => vec!["start".into()],
            RunBody::Configuration(members) => vec![configuration(members)],
        };
        let joins = |end: LogId| end.term == run.term && end.index.next() == run.first;
        match parts.last_mut() {
            Some((_, end, shown)) if joins(*end) && matches!(run.body, RunBody::Commands(_)) => {
                *end = run.last_id();
                shown.extend(words);
            }
            _ => parts.push((run.first, run.last_id(), words)),
        }
    }
    let shown = parts.into_iter().map(|(first, end, mut words)| {
        let place = format!("{}@{}", span(first, end.index), end.term);
        if words.len() > COMMANDS_SHOWN_MAX {
            words = vec![words[0].clone(), "..".into(), words[words.len() - 1].clone()];
        }
        if words.iter().all(|word| word.is_empty() || word == "..") {
            return place;
        }
        format!("{place} {}", words.join(" "))
    });
    shown.collect::<Vec<_>>().join(", ")
}

pub(crate) fn hard_state(state: HardState) -> String {
    match state.vote {
        Some(vote) => format!("t{}, vote for {vote}", state.term),
        None => format!("t{}, no vote", state.term),
    }
}

/// A write of a replica whose log, written or about to be, ended at `end` before.
pub(crate) fn write(write: &Write, end: LogIndex) -> String {
    let mut parts: Vec<String> = write.hard_state.map(hard_state).into_iter().collect();
    if let Some(first) = write.runs.first().map(|run| run.first) {
        let replaced =
            if first <= end { format!(" instead of {}", span(first, end)) } else { String::new() };
        parts.push(entries(&write.runs) + &replaced);
    }
    format!("writes #{}: {}", write.ticket.0, parts.join("; "))
}

/// What sort of message it is, in one word; scripts choose messages by it.
pub(crate) fn kind(body: &MessageBody) -> &'static str {
    match body {
        MessageBody::PreVote { .. } => "pre-vote",
        MessageBody::PreVoteResponse { .. } => "pre-vote-answer",
        MessageBody::Vote { .. } => "vote",
        MessageBody::VoteResponse { .. } => "vote-answer",
        MessageBody::Append { .. } => "append",
        MessageBody::Accepted { .. } => "accepted",
        MessageBody::Rejected { .. } => "rejected",
        MessageBody::Heartbeat { .. } => "heartbeat",
        MessageBody::HeartbeatResponse { .. } => "heartbeat-answer",
        MessageBody::TimeoutNow => "order",
    }
}

/// Whether it is a heartbeat, or an answer to one, that belongs to no read.
pub(crate) fn is_beat(message: &Message) -> bool {
    matches!(
        message.body,
        MessageBody::Heartbeat { round: None, .. } | MessageBody::HeartbeatResponse { round: None }
    )
}

fn yes(granted: bool) -> &'static str {
    if granted { "yes" } else { "no" }
}

fn of_round(round: Option<ReadRound>) -> String {
    round.map_or(String::new(), |round| format!(", round {}", round.0))
}

pub(crate) fn message(message: &Message) -> String {
    let what = match &message.body {
        MessageBody::PreVote { next_term, last } => {
            format!("pre-vote for t{next_term}? log ends at {}", id(*last))
        }
        MessageBody::PreVoteResponse { next_term, granted } => {
            format!("pre-vote for t{next_term}: {}", yes(*granted))
        }
        MessageBody::Vote { last, is_ordered } => {
            let ordered = if *is_ordered { "ordered " } else { "" };
            format!("{ordered}vote? log ends at {}", id(*last))
        }
        MessageBody::VoteResponse { granted } => format!("vote: {}", yes(*granted)),
        MessageBody::Append { prev, commit, runs } if runs.is_empty() => {
            format!("append nothing after {}, commit {commit}", id(*prev))
        }
        MessageBody::Append { prev, commit, runs } => {
            format!("append {} after {}, commit {commit}", entries(runs), id(*prev))
        }
        MessageBody::Accepted { matched } => format!("accepted up to {matched}"),
        MessageBody::Rejected { prev, hint } => {
            format!("rejected after {prev}, look at {}", id(*hint))
        }
        MessageBody::Heartbeat { commit, round } => {
            format!("heartbeat, commit {commit}{}", of_round(*round))
        }
        MessageBody::HeartbeatResponse { round } => format!("heartbeat answer{}", of_round(*round)),
        MessageBody::TimeoutNow => "campaign now".into(),
    };
    format!("{} -> {} t{}: {what}", message.from, message.to, message.term)
}

pub(crate) fn role(change: RoleChange) -> String {
    let leader = change.leader.map_or("nobody".into(), |leader| leader.to_string());
    let what = match change.role {
        Role::Follower => format!("follows {leader}"),
        Role::Learner => format!("learns from {leader}"),
        Role::PreCandidate => "asks for pre-votes".into(),
        Role::Candidate => "asks for votes".into(),
        Role::Leader => "leads".into(),
    };
    format!("{what} in t{}", change.term)
}

pub(crate) fn answer(answer: ReadAnswer) -> String {
    match answer.index {
        Some(index) => format!("answers read {} at {index}", answer.id.0),
        None => format!("fails read {}", answer.id.0),
    }
}

pub(crate) fn fetch(fetch: Fetch) -> String {
    let whom = match fetch.purpose {
        FetchFor::Apply => "its state machine".into(),
        FetchFor::Replica(replica) => replica.to_string(),
    };
    format!("fetches {} for {whom}", span(fetch.first, fetch.last))
}

pub(crate) fn status(status: &Status) -> String {
    let vote = status.vote.map_or("no vote".into(), |vote| format!("vote for {vote}"));
    let change = RoleChange { role: status.role, term: status.term, leader: status.leader };
    let role = if status.halted.is_some() { "has halted".into() } else { role(change) };
    let mut text = format!(
        "{} {role}, {vote}; log ends at {}, durable {}, commit {}, applied {}",
        status.replica,
        id(status.last),
        status.persisted,
        status.committed,
        status.applied
    );
    for peer in &status.peers {
        let state = match peer.state {
            ProgressState::Probe => "probed at",
            ProgressState::Replicate => "next",
            ProgressState::Behind => "behind, at",
        };
        text += &format!("; {} has {}, {state} {}", peer.replica, peer.matched, peer.next);
    }
    text
}
