//! One wave of a pipeline's commands, done at once.
//!
//! All writes are proposed together, and all reads of one group share one permit. Writes and reads
//! of a wave do not depend on each other (`plan`), and so run side by side. What becomes of a command
//! that could not be done is for the caller to decide: nothing is tried twice here.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use types::{GroupId, VShardId};

use super::few::Few;
use super::join::join_all;
use super::replication::{ReadError, WriteError};
use super::service::Service;
use super::survey;
use super::transaction::{Exec, Watch};
use crate::command::Survey;
use crate::data::read::ParseRead;
use crate::data::{UnixMillis, entry};
use crate::resp::{Reply, Request, decode};

/// A command that needs a group, or several.
pub(crate) struct Job {
    /// Which request of the batch it is.
    pub(crate) position: usize,
    pub(crate) request: Request,
    pub(crate) task: Task,
}

/// What is to be done for it.
pub(crate) enum Task {
    Write(Home),
    Exec(Home, Box<Exec>),
    Read(Home, ParseRead),
    Watch(Home, Arc<Watch>),
    Survey(Survey),
}

/// Where a command's keys are.
#[derive(Clone, Copy)]
pub(crate) struct Home {
    pub(crate) slot: u16,
    pub(crate) group: GroupId,
}

impl Task {
    /// Where its keys are; nothing if it looks at several groups.
    pub(crate) const fn home(&self) -> Option<Home> {
        match self {
            Self::Write(home)
            | Self::Exec(home, _)
            | Self::Read(home, _)
            | Self::Watch(home, _) => Some(*home),
            Self::Survey(_) => None,
        }
    }
}

/// The reply in a result. Most are the same in both versions of the protocol and pass as they are.
fn reply_of(result: &Bytes) -> Reply {
    if let Some(b'+' | b'-' | b':' | b'$') = result.first() {
        return Reply::Encoded(result.clone());
    }
    match decode(result) {
        Ok(Some((reply, _))) => reply,
        Ok(None) | Err(_) => Reply::error("ERR the result of an applied command is malformed"),
    }
}

/// Proposes all writes together, each with the node's clock in it, and tells the reply of each.
pub(crate) async fn write_all(service: &Service, jobs: &[Job]) -> Vec<Result<Reply, WriteError>> {
    if jobs.is_empty() {
        return Vec::new();
    }
    let now = service.now();
    let mut memory = BytesMut::with_capacity(jobs.iter().map(command_len).sum());
    let mut writes = Vec::with_capacity(jobs.len());
    let mut unproposed = Vec::new();
    for job in jobs {
        match write_of(job, now, &mut memory) {
            Some(write) => writes.push(write),
            None => unproposed.push(job.position),
        }
    }
    let proposed = (!writes.is_empty()).then(|| service.replication.propose_many(writes));
    let results = match proposed {
        Some(results) => results.await,
        None => Vec::new(),
    };
    let mut results = results.into_iter();
    let mut unproposed = unproposed.into_iter().peekable();
    let reply = |job: &Job| {
        if unproposed.next_if_eq(&job.position).is_some() {
            // A watched key could not be looked at, and so counts as changed.
            return Ok(Reply::NullArray);
        }
        // What came of a write that nobody speaks of is unknown.
        let result = results.next().unwrap_or(Err(WriteError::Uncertain))?;
        Ok(match &job.task {
            Task::Exec(_, exec) => exec.reply(&result),
            Task::Write(_) | Task::Read(..) | Task::Watch(..) | Task::Survey(_) => {
                reply_of(&result)
            }
        })
    };
    jobs.iter().map(reply).collect()
}

/// The entry that a write is to become, and where; that of a single command as a piece of `memory`.
/// Nothing if it is not to be done.
fn write_of(job: &Job, now: UnixMillis, memory: &mut BytesMut) -> Option<(VShardId, Bytes)> {
    let vshard = VShardId(u32::from(job.task.home()?.slot));
    let payload = match &job.task {
        Task::Exec(_, exec) => exec.encode(now)?,
        Task::Write(_) | Task::Read(..) | Task::Watch(..) | Task::Survey(_) => {
            entry::encode_into(memory, now, job.request.args())
        }
    };
    Some((vshard, payload))
}

/// How much memory its payload takes of what all share.
fn command_len(job: &Job) -> usize {
    match &job.task {
        Task::Exec(..) => 0,
        Task::Write(_) | Task::Read(..) | Task::Watch(..) | Task::Survey(_) => {
            entry::command_len(job.request.args())
        }
    }
}

/// Asks for one permit per group, then reads from the first on, as long as there is room.
pub(crate) async fn read_all(
    service: &Service,
    jobs: &[Job],
    room: &mut usize,
) -> Vec<Result<Reply, ReadError>> {
    if *room == 0 {
        return Vec::new();
    }
    let mut asked = Vec::new();
    let mut permit_of = Few::default();
    for job in jobs {
        if let Some(home) = job.task.home() {
            permit_of.get_or_insert_with(home.group, || {
                let vshard = service.topology.first_vshard(home.group);
                asked.push(service.replication.read(vshard));
                asked.len() - 1
            });
        }
    }
    let permits = join_all(asked).await;
    let now = service.now();
    let read = |job: &Job| {
        let Home { group, .. } = job.task.home().ok_or(ReadError::NotLeader)?;
        permits[permit_of.get(group).ok_or(ReadError::NotLeader)?]?;
        let keyspace = service.keyspaces.look(group).ok_or(ReadError::NotLeader)?;
        match &job.task {
            Task::Read(_, parse) => Ok(match parse(job.request.args()) {
                Ok(read) => keyspace.read(&read, now, service.dice()),
                Err(error) => error.into(),
            }),
            Task::Watch(_, watch) => Ok(watch.look(&keyspace, now)),
            Task::Write(_) | Task::Exec(..) | Task::Survey(_) => Err(ReadError::NotLeader),
        }
    };
    let mut replies = Vec::with_capacity(jobs.len());
    for job in jobs {
        if *room == 0 {
            break;
        }
        let reply = read(job);
        *room = room.saturating_sub(reply.as_ref().map_or(0, Reply::cost));
        replies.push(reply);
    }
    replies
}

/// Answers one survey after the other, as long as there is room.
pub(crate) async fn survey_all(service: &Service, jobs: &[Job], room: &mut usize) -> Vec<Reply> {
    let mut replies = Vec::with_capacity(jobs.len());
    for job in jobs {
        if let Task::Survey(survey) = job.task
            && *room > 0
        {
            let reply = survey::answer(service, survey, job.request.args()).await;
            *room = room.saturating_sub(reply.cost());
            replies.push(reply);
        }
    }
    replies
}
