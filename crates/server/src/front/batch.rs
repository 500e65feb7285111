//! The commands of one pipeline, as much of them at once as their keys allow.
//!
//! [`Batch::plan`] looks at all requests, answers at once what it can, and sorts the rest into
//! waves. [`Batch::round`] then does one wave as far as it gets: writes and reads for groups that
//! this node leads are done, those for groups led elsewhere are redirected, and those for groups
//! without a leader stay parked for the next round. Between rounds the connection sends whatever
//! replies are complete from the front.
//!
//! Of what replies hold in memory there is a measure: beyond [`ClientLimits::reply_bytes_max`] reads
//! wait until replies before them are sent.
//!
//! [`ClientLimits::reply_bytes_max`]: super::service::ClientLimits::reply_bytes_max
//!
//! A write that may have been appended is never tried again. One that was certainly not, is; but
//! not after a later write of its slot went through, because that would undo it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use super::few::Few;
use super::plan::{Access, Planner};
use super::refusal::{no_leader, write_refusal};
use super::replication::{Promise, ReadError, WriteError};
use super::service::{Ask, Place, Service, Session};
use super::stats::{Call, Tally};
use super::survey;
use super::transaction::{self, Outcome};
use super::wave::{Home, Job, Task, read_all, survey_all, write_all};
use crate::command::{Command, Work, find, find_named, slot_of};
use crate::data::CommandError;
use crate::resp::{Args, Protocol, Reply, Request};

/// How often parked commands look for a leader even if nobody says that one has changed: a leader
/// may become fresh again without changing.
const PARKED_POLL: Duration = Duration::from_millis(25);

/// The commands of one pipeline.
pub(crate) struct Batch {
    service: Arc<Service>,
    /// One for each request, in order; those sent are gone.
    replies: VecDeque<Answer>,
    /// How many replies are gone.
    sent: usize,
    /// What the requests hold in memory; they are often pieces of one buffer, and count until the end.
    request_bytes: usize,
    /// What the replies hold in memory that are not gone.
    reply_bytes: usize,
    /// Commands of the current wave that have no reply yet; while planning, all of the first.
    current: Vec<Job>,
    /// Commands that wait for earlier waves.
    later: VecDeque<Vec<Job>>,
    /// Set once commands are parked: until when they wait.
    parked_until: Option<Instant>,
    /// Set once commands are parked: comes true when a leader has changed since the last look.
    leaders_changed: Option<Promise<()>>,
    /// What INFO will tell of the commands.
    tally: Tally,
}

/// The reply to one request, once there is one.
struct Answer {
    command: Option<&'static Command>,
    protocol: Protocol,
    reply: Option<Reply>,
    /// What the reply holds in memory.
    bytes: usize,
}

/// What becomes of a request.
enum Step {
    /// It is answered.
    Answer(Reply),
    /// It needs a group, or several.
    Job(Task, Access),
}

impl Batch {
    /// Looks at requests in order and answers what needs no group. Stops after a request that closes
    /// the connection, and once the replies hold as much as they may; those that are left need a batch
    /// of their own.
    pub(crate) fn plan(
        service: &Arc<Service>,
        session: &mut Session,
        requests: impl IntoIterator<Item = Request>,
    ) -> Self {
        let requests = requests.into_iter();
        let (count, _) = requests.size_hint();
        let mut batch = Self {
            service: Arc::clone(service),
            replies: VecDeque::with_capacity(count),
            sent: 0,
            request_bytes: 0,
            reply_bytes: 0,
            current: Vec::with_capacity(count),
            later: VecDeque::new(),
            parked_until: None,
            leaders_changed: None,
            tally: Tally::begin(session.client.id),
        };
        session.multi.begin_batch();
        let mut planner = Planner::default();
        let mut last = None;
        for request in requests {
            last = batch.add(session, &mut planner, request).or(last);
            if session.is_closing || batch.room() == 0 {
                break;
            }
        }
        if let Some(name) = last {
            session.client.asked(name, session.protocol);
        }
        batch.tally.hand_over(service);
        batch
    }

    /// Adds one request; tells the name of its command if there is one.
    fn add(
        &mut self,
        session: &mut Session,
        planner: &mut Planner,
        request: Request,
    ) -> Option<&'static str> {
        self.request_bytes += request.cost();
        let found = find(request.args());
        let name = found.as_ref().ok().map(|command| command.name);
        let command = found.as_ref().ok().copied().or_else(|| find_named(request.args()).ok());
        let (step, call) = match found {
            Err(error) => {
                (Err(transaction::refused(session, request.args(), error)), Call::NotTried)
            }
            Ok(command) if transaction::is_queued(session, command) => {
                let queued = transaction::queue(&self.service, session, command, &request);
                (queued.map(Step::Answer), Call::NotTried)
            }
            Ok(command) => (self.step(session, command, &request), Call::Tried),
        };
        let position = self.sent + self.replies.len();
        // HELLO's own reply is already in the version that it asks for.
        let protocol = session.protocol;
        let mut answer = Answer { command, protocol, reply: None, bytes: 0 };
        match step {
            Err(reply) | Ok(Step::Answer(reply)) => {
                answer.bytes = reply.cost();
                self.reply_bytes += answer.bytes;
                answer.reply = Some(reply);
            }
            Ok(Step::Job(task, access)) => {
                let wave = planner.wave(access);
                while self.later.len() < wave {
                    self.later.push_back(Vec::new());
                }
                let jobs = match wave.checked_sub(1) {
                    None => &mut self.current,
                    Some(at) => &mut self.later[at],
                };
                jobs.push(Job { position, request, task });
            }
        }
        if let Some(reply) = &answer.reply {
            self.tally.replied(&self.service, command, call, reply);
        }
        self.replies.push_back(answer);
        name
    }

    /// What becomes of a command of the table that has enough arguments.
    fn step(
        &self,
        session: &mut Session,
        command: &'static Command,
        request: &Request,
    ) -> Result<Step, Reply> {
        let service = &*self.service;
        let args = request.args();
        let slot = slot_of(command, args)?;
        match command.work {
            Work::Talk(talk) => {
                session.client.asked(command.name, session.protocol);
                Ok(Step::Answer(talk(&mut Ask { service, session }, args)))
            }
            Work::Transaction(part) => {
                let outcome = transaction::step(service, session, part, request)?;
                Ok(match outcome {
                    Outcome::Answer(reply) => Step::Answer(reply),
                    Outcome::Watch(watch) => {
                        let home = self.home(watch.slot());
                        Step::Job(Task::Watch(home, watch), Access::Read(home.slot))
                    }
                    Outcome::Exec(slot, exec) => {
                        let home = self.home(slot);
                        Step::Job(Task::Exec(home, Box::new(exec)), Access::Write(slot))
                    }
                })
            }
            Work::Write(_) | Work::Read(_) | Work::Survey(_) | Work::Subcommand => {
                let (task, access) = self.task(command, slot, args)?;
                Ok(Step::Job(task, access))
            }
        }
    }

    /// What is to be done for a command whose arguments are right.
    fn task(
        &self,
        command: &Command,
        slot: Option<u16>,
        args: Args<'_>,
    ) -> Result<(Task, Access), CommandError> {
        let home = slot.map(|slot| self.home(slot));
        match (command.work, home) {
            (Work::Write(parse), Some(home)) => {
                // What would be refused when applied, must not cost a log entry.
                parse(args)?;
                Ok((Task::Write(home), Access::Write(home.slot)))
            }
            (Work::Read(parse), Some(home)) => {
                parse(args)?;
                Ok((Task::Read(home, parse), Access::Read(home.slot)))
            }
            (Work::Survey(survey), _) => Ok((Task::Survey(survey), Access::Survey)),
            (
                Work::Write(_)
                | Work::Read(_)
                | Work::Talk(_)
                | Work::Transaction(_)
                | Work::Subcommand,
                _,
            ) => Err(CommandError::Arity { command: command.name.to_owned() }),
        }
    }

    fn home(&self, slot: u16) -> Home {
        Home { slot, group: self.service.topology.group_of(slot) }
    }

    /// How many bytes of memory the requests hold, and the replies that are not gone.
    pub(crate) const fn bytes(&self) -> usize {
        self.request_bytes + self.reply_bytes
    }

    /// How many more bytes replies may hold before they have to be sent.
    fn room(&self) -> usize {
        self.service.limits.reply_bytes_max.saturating_sub(self.reply_bytes)
    }

    /// Whether everything is answered and sent.
    pub(crate) fn is_done(&self) -> bool {
        self.replies.is_empty()
    }

    /// Appends replies that are complete from the front, until `out` has `bytes_max` or more;
    /// answers whether more could be sent at once.
    pub(crate) fn drain(&mut self, out: &mut BytesMut, bytes_max: usize) -> bool {
        while let Some(Answer { reply: Some(reply), protocol, bytes, .. }) = self.replies.front() {
            if out.len() >= bytes_max {
                return true;
            }
            if out.is_empty() {
                out.reserve(self.reply_bytes.min(bytes_max));
            }
            reply.encode(*protocol, out);
            self.reply_bytes -= bytes;
            self.replies.pop_front();
            self.sent += 1;
        }
        false
    }

    /// Does one wave as far as it gets. To be called until [`Batch::is_done`].
    pub(crate) async fn round(&mut self) {
        while self.current.is_empty() {
            match self.later.pop_front() {
                Some(wave) => self.current = wave,
                None => return,
            }
        }
        let ready = self.sort_by_place();
        // Who waits for a leader may hold up the replies of all others: then they get no more room.
        let room = if self.current.is_empty() { self.room().max(1) } else { self.room() };
        let postponed = self.attempt(ready, room).await;
        let has_progressed = room > 0 && !postponed.is_empty();
        let is_parked = !self.current.is_empty() && !has_progressed;
        self.current.extend(postponed);
        self.current.sort_unstable_by_key(|job| job.position);
        self.tally.hand_over(&self.service);
        if is_parked {
            self.park().await;
        }
    }

    /// Redirects what belongs elsewhere, keeps what belongs nowhere, and gives out what can be
    /// done here.
    fn sort_by_place(&mut self) -> Vec<Job> {
        let mut places = Few::default();
        let service = Arc::clone(&self.service);
        let mut place = |group| places.get_or_insert_with(group, || service.place(group));
        let mut ready = std::mem::take(&mut self.current);
        let others = take_if(&mut ready, |task| {
            task.home().is_some_and(|home| place(home.group) != Place::Here)
        });
        for job in others {
            let moved = job.task.home().and_then(|Home { slot, group }| match place(group) {
                Place::Elsewhere(node) => self.service.moved(slot, node),
                Place::Here | Place::Nowhere => None,
            });
            match moved {
                Some(moved) => self.answer(job.position, moved),
                None => self.current.push(job),
            }
        }
        ready
    }

    /// Does all jobs at once; those that were certainly not done come back into `current`. Gives out
    /// reads and surveys for whose replies there was no room: it ends with the reply that exceeds it.
    async fn attempt(&mut self, mut jobs: Vec<Job>, room: usize) -> Vec<Job> {
        let writes = take_if(&mut jobs, |task| matches!(task, Task::Write(_) | Task::Exec(..)));
        let mut reads = take_if(&mut jobs, |task| matches!(task, Task::Read(..) | Task::Watch(..)));
        let mut surveys = jobs;
        let service = Arc::clone(&self.service);
        let look = async {
            let mut room = room;
            let read = read_all(&service, &reads, &mut room).await;
            (read, survey_all(&service, &surveys, &mut room).await)
        };
        let (written, (read, surveyed)) = tokio::join!(write_all(&service, &writes), look);
        self.settle_writes(writes, written);
        let (unread, unsurveyed) = (reads.split_off(read.len()), surveys.split_off(surveyed.len()));
        for (job, result) in reads.into_iter().zip(read) {
            match result {
                Ok(reply) => self.answer(job.position, reply),
                Err(ReadError::NotLeader) => self.current.push(job),
                Err(error) => self.answer(job.position, survey::refusal(error)),
            }
        }
        for (job, reply) in surveys.into_iter().zip(surveyed) {
            self.answer(job.position, reply);
        }
        unread.into_iter().chain(unsurveyed).collect()
    }

    fn settle_writes(&mut self, jobs: Vec<Job>, results: Vec<Result<Reply, WriteError>>) {
        // From the last to the first, so that it is known of each what became of later ones.
        let mut gone_through = Few::default();
        for (job, result) in jobs.into_iter().zip(results).rev() {
            let slot = job.task.home().map(|home| home.slot);
            let reply = match result {
                Err(WriteError::NotLeader) if gone_through.get(slot).is_none() => {
                    self.current.push(job);
                    continue;
                }
                Err(error) => {
                    if error == WriteError::Uncertain {
                        gone_through.insert(slot, ());
                    }
                    write_refusal(error)
                }
                Ok(reply) => {
                    gone_through.insert(slot, ());
                    reply
                }
            };
            if let Task::Exec(_, exec) = &job.task {
                exec.each_done(&reply, |command, reply| {
                    self.tally.count(&self.service, Some(command), Call::Tried, reply);
                });
            }
            self.answer(job.position, reply);
        }
    }

    /// Waits until a leader changes or a little while has passed; refuses what has waited for too
    /// long. The first time it does not wait: only a look after changes are told of misses none.
    async fn park(&mut self) {
        let now = Instant::now();
        let until = *self.parked_until.get_or_insert(now + self.service.limits.leader_wait);
        if now >= until {
            for job in std::mem::take(&mut self.current) {
                self.answer(job.position, no_leader());
            }
            self.tally.hand_over(&self.service);
            return;
        }
        if let Some(changed) = self.leaders_changed.take() {
            let poll = until.min(now + PARKED_POLL);
            let _ = tokio::time::timeout_at(poll, changed).await;
        }
        self.leaders_changed = Some(self.service.replication.leaders_changed());
    }

    fn answer(&mut self, position: usize, reply: Reply) {
        let bytes_max = self.service.limits.reply_bytes_max;
        let reply = if reply.cost() > bytes_max {
            Reply::error(format!("ERR the reply is larger than reply_bytes_max = {bytes_max}"))
        } else {
            reply
        };
        let answer = position.checked_sub(self.sent).and_then(|at| self.replies.get_mut(at));
        let answer = answer.expect("only what is not answered yet has a job");
        self.tally.replied(&self.service, answer.command, Call::Tried, &reply);
        answer.bytes = reply.cost();
        self.reply_bytes += answer.bytes;
        answer.reply = Some(reply);
    }
}

/// Takes the jobs with such a task out of others, all in order. A wave is mostly of one kind, and
/// passes as it is.
fn take_if(jobs: &mut Vec<Job>, mut is_such: impl FnMut(&Task) -> bool) -> Vec<Job> {
    if jobs.iter().all(|job| is_such(&job.task)) {
        return std::mem::take(jobs);
    }
    jobs.extract_if(.., |job| is_such(&job.task)).collect()
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
