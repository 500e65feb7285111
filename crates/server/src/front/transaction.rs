//! MULTI, EXEC, DISCARD, WATCH and UNWATCH: what a connection queues and watches, and how it becomes
//! one entry of the log.
//!
//! Commands on keys are done by that entry, reads too, so that nothing comes between them. Commands
//! that need no key are answered when EXEC is read, and their replies put in between.
//!
//! A watched key is remembered as of a place in the log (`data::watched`), so that a change of
//! leader does not matter: whoever applies the entry decides by the log alone.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use types::LogIndex;

use super::service::{Ask, Place, Service, Session};
use crate::command::{Command, Flags, Transaction, Work, find, slot_of};
use crate::data::entry::{arguments_len, encode_transaction, watched_len};
use crate::data::watched::Watched;
use crate::data::{CommandError, Keyspace, UnixMillis};
use crate::resp::{Args, Protocol, Reply, Request, decode};

/// Bytes of a transaction's entry that are there without any command or key.
const ENTRY_BYTES: usize = 32;
/// Commands that end a conversation are done at once within a transaction, too.
const NEVER_QUEUED: [&str; 2] = ["quit", "reset"];

/// What a connection has queued and watches.
#[derive(Default, Debug)]
pub(crate) struct Multi {
    queue: Option<Queue>,
    watches: Vec<Arc<Watch>>,
}

/// Between MULTI and EXEC.
#[derive(Default, Debug)]
struct Queue {
    requests: Vec<Request>,
    bytes: usize,
    /// Whether something could not be queued, so that nothing is to be done.
    is_spoiled: bool,
}

/// The keys of one WATCH.
#[derive(Debug)]
pub(crate) struct Watch {
    request: Request,
    slot: u16,
    seen: OnceLock<Seen>,
}

/// What was found when they were looked at.
#[derive(Debug)]
struct Seen {
    since: LogIndex,
    /// Of each key, whether it existed.
    existed: Vec<bool>,
}

/// What EXEC has to do, taken off the connection.
#[derive(Debug)]
pub(crate) struct Exec {
    protocol: Protocol,
    watches: Vec<Arc<Watch>>,
    /// In the order in which they were queued.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    /// To be done by the entry.
    Entry(Request),
    /// Answered already.
    Answered(Reply),
}

/// What a command of this file comes to.
pub(crate) enum Outcome {
    /// Nothing more is to be done.
    Answer(Reply),
    /// The keys have to be looked at.
    Watch(Arc<Watch>),
    /// An entry has to be proposed for that slot.
    Exec(u16, Exec),
}

impl Multi {
    /// Forgets everything.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Forgets watches that came to nothing. Their replies have told the client so by now, which
    /// watches again or goes on without, as with Redis. Within one pipeline it could not, and EXEC
    /// takes such keys for changed.
    pub(crate) fn begin_batch(&mut self) {
        self.watches.retain(|watch| watch.seen.get().is_some());
    }

    /// Takes note that a request was refused before it could be queued.
    fn refused(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.is_spoiled = true;
        }
    }

    /// How many bytes of memory it holds, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_watched() + self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    fn keys_watched(&self) -> usize {
        self.watches.iter().map(|watch| watch.keys().len()).sum()
    }

    fn bytes_watched(&self) -> usize {
        let keys = self.watches.iter().flat_map(|watch| watch.keys());
        keys.map(watched_len).sum()
    }
}

impl Watch {
    /// The slot of its keys.
    pub(crate) const fn slot(&self) -> u16 {
        self.slot
    }

    /// Looks at the keys, with a permit to read.
    pub(crate) fn look(&self, keyspace: &Keyspace, now: UnixMillis) -> Reply {
        let existed = self.keys().map(|key| keyspace.exists(key, now)).collect();
        // Looked at once: a watch belongs to one job of one pipeline.
        let _ = self.seen.set(Seen { since: keyspace.applied(), existed });
        Reply::OK
    }

    fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.request.args().from(1)
    }

    /// The keys as an entry says them; nothing if they could not be looked at.
    fn watched(&self) -> Option<impl Iterator<Item = Watched<'_>>> {
        let Seen { since, existed } = self.seen.get()?;
        let watched =
            |(key, existed): (_, &bool)| Watched { key, since: *since, existed: *existed };
        Some(self.keys().zip(existed).map(watched))
    }
}

impl Exec {
    /// The entry that does it; nothing if a watched key could not be looked at.
    pub(crate) fn encode(&self, now: UnixMillis) -> Option<Bytes> {
        let mut watched = Vec::new();
        for watch in &self.watches {
            watched.extend(watch.watched()?);
        }
        let requests: Vec<&Request> = self.steps.iter().filter_map(Step::request).collect();
        let commands = requests.iter().map(|request| request.args());
        Some(encode_transaction(now, self.protocol, &watched, commands))
    }

    /// The reply that the entry's result means.
    pub(crate) fn reply(&self, result: &Bytes) -> Reply {
        let is_whole = self.steps.iter().all(|step| step.request().is_some());
        // Null, an error, or nothing to put in between.
        if is_whole || result.first() != Some(&b'*') || result.starts_with(b"*-") {
            return Reply::Encoded(result.clone());
        }
        self.put_between(result).unwrap_or_else(|| {
            Reply::error("ERR the result of an applied transaction is malformed")
        })
    }

    /// The commands that its entry did, with their replies, if it was applied.
    pub(crate) fn each_done(&self, reply: &Reply, mut done: impl FnMut(&'static Command, &Reply)) {
        let mut tell = |step: &Step, reply: &Reply| {
            let command = step.request().and_then(|request| find(request.args()).ok());
            command.into_iter().for_each(|command| done(command, reply));
        };
        match reply {
            Reply::Array(replies) => {
                self.steps.iter().zip(replies).for_each(|(step, reply)| tell(step, reply));
            }
            Reply::Encoded(result) => {
                let first = result.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                let mut rest = result.slice(first..);
                for step in &self.steps {
                    let Ok(Some((reply, len))) = decode(&rest) else { return };
                    tell(step, &reply);
                    rest = rest.slice(len..);
                }
            }
            Reply::Status(_)
            | Reply::Error(_)
            | Reply::Integer(_)
            | Reply::Bulk(_)
            | Reply::Null
            | Reply::NullArray
            | Reply::Set(_)
            | Reply::Map(_)
            | Reply::Pairs(_)
            | Reply::Double(_)
            | Reply::Boolean(_)
            | Reply::Verbatim(_) => {}
        }
    }

    fn put_between(&self, result: &Bytes) -> Option<Reply> {
        let mut rest = result.slice(result.iter().position(|byte| *byte == b'\n')? + 1..);
        let mut replies = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            replies.push(match step {
                Step::Answered(reply) => reply.clone(),
                Step::Entry(_) => {
                    let (_, len) = decode(&rest).ok()??;
                    Reply::Encoded(rest.split_to(len))
                }
            });
        }
        rest.is_empty().then_some(Reply::Array(replies))
    }
}

impl Step {
    const fn request(&self) -> Option<&Request> {
        match self {
            Self::Entry(request) => Some(request),
            Self::Answered(_) => None,
        }
    }
}

/// Whether a command is to be queued rather than done.
pub(crate) fn is_queued(session: &Session, command: &Command) -> bool {
    let is_done = match command.work {
        Work::Transaction(part) => part != Transaction::Unwatch,
        Work::Write(_) | Work::Read(_) | Work::Survey(_) | Work::Talk(_) | Work::Subcommand => {
            NEVER_QUEUED.contains(&command.name)
        }
    };
    session.multi.queue.is_some() && !is_done
}

/// What a client is told of a request that names no command, or has too many or too few arguments.
pub(crate) fn refused(session: &mut Session, args: Args<'_>, error: CommandError) -> Reply {
    if !args.at(0).eq_ignore_ascii_case(b"exec") {
        session.multi.refused();
        return error.into();
    }
    session.multi.reset();
    let text = error.to_string();
    let reason = text.strip_prefix("ERR ").unwrap_or(&text).to_owned();
    CommandError::ExecRefused { reason }.into()
}

/// Queues a request whose arguments are as many as they should be.
///
/// # Errors
/// Why not; nothing of the transaction will be done then.
pub(crate) fn queue(
    service: &Service,
    session: &mut Session,
    command: &Command,
    request: &Request,
) -> Result<Reply, Reply> {
    let queued = push(service, &mut session.multi, command, request);
    if queued.is_err() {
        session.multi.refused();
    }
    queued.map(|()| Reply::Status("QUEUED".into()))
}

fn push(
    service: &Service,
    multi: &mut Multi,
    command: &Command,
    request: &Request,
) -> Result<(), Reply> {
    let limits = &service.limits;
    let watched = multi.bytes_watched();
    let queue = multi.queue.as_mut().expect("only a connection with a queue queues");
    if command.flags.has(Flags::NO_MULTI) {
        return Err(CommandError::NotInMulti.into());
    }
    if let Some(slot) = slot_of(command, request.args())?
        && let Place::Elsewhere(node) = service.place(service.topology.group_of(slot))
        && let Some(moved) = service.moved(slot, node)
    {
        return Err(moved);
    }
    // Nothing of it will be done: what still comes is checked, and costs nothing.
    if queue.is_spoiled {
        return Ok(());
    }
    let commands_max = limits.transaction_commands_max;
    if queue.requests.len() >= commands_max {
        return Err(CommandError::TooManyQueued { commands_max }.into());
    }
    let bytes = queue.bytes + arguments_len(request.args());
    let bytes_max = limits.transaction_bytes_max;
    if ENTRY_BYTES + watched + bytes > bytes_max {
        return Err(CommandError::QueueTooLarge { bytes_max }.into());
    }
    queue.bytes = bytes;
    queue.requests.push(request.detached());
    Ok(())
}

/// Does one of the commands that this file is about.
///
/// # Errors
/// What is wrong.
pub(crate) fn step(
    service: &Service,
    session: &mut Session,
    part: Transaction,
    request: &Request,
) -> Result<Outcome, CommandError> {
    let multi = &mut session.multi;
    match part {
        Transaction::Multi => match multi.queue {
            Some(_) => Err(CommandError::NestedMulti),
            None => {
                multi.queue = Some(Queue::default());
                Ok(Outcome::Answer(Reply::OK))
            }
        },
        Transaction::Discard => match multi.queue {
            None => Err(CommandError::WithoutMulti { command: "DISCARD" }),
            Some(_) => {
                multi.reset();
                Ok(Outcome::Answer(Reply::OK))
            }
        },
        Transaction::Unwatch => {
            multi.watches.clear();
            Ok(Outcome::Answer(Reply::OK))
        }
        Transaction::Watch => watch(service, multi, request),
        Transaction::Exec => exec(service, session),
    }
}

fn watch(service: &Service, multi: &mut Multi, request: &Request) -> Result<Outcome, CommandError> {
    if multi.queue.is_some() {
        return Err(CommandError::WatchInMulti);
    }
    let args = request.args();
    let slot = slot_of(find(args)?, args)?.ok_or(CommandError::Syntax)?;
    let keys_max = service.limits.watched_keys_max;
    if multi.keys_watched() + args.from(1).len() > keys_max {
        return Err(CommandError::TooManyWatched { keys_max });
    }
    let bytes_max = service.limits.transaction_bytes_max;
    let bytes = multi.bytes_watched() + args.from(1).map(watched_len).sum::<usize>();
    if ENTRY_BYTES + bytes > bytes_max {
        return Err(CommandError::QueueTooLarge { bytes_max });
    }
    let watch = Arc::new(Watch { request: request.detached(), slot, seen: OnceLock::new() });
    multi.watches.push(Arc::clone(&watch));
    Ok(Outcome::Watch(watch))
}

fn exec(service: &Service, session: &mut Session) -> Result<Outcome, CommandError> {
    let Multi { queue, watches } = std::mem::take(&mut session.multi);
    let Some(Queue { requests, is_spoiled, .. }) = queue else {
        session.multi.watches = watches;
        return Err(CommandError::WithoutMulti { command: "EXEC" });
    };
    let slot = common_slot(&requests, &watches)?;
    if is_spoiled {
        return Err(CommandError::ExecAbort);
    }
    let step = |request: Request| match answer_at_once(service, session, request.args()) {
        Some(reply) => Step::Answered(reply),
        None => Step::Entry(request),
    };
    let steps = requests.into_iter().map(step).collect();
    let exec = Exec { protocol: session.protocol, watches, steps };
    match slot {
        Some(slot) => Ok(Outcome::Exec(slot, exec)),
        // Nothing but answers.
        None => Ok(Outcome::Answer(exec.reply(&Bytes::from_static(b"*0\r\n")))),
    }
}

/// The slot of all keys, watched ones too; none if there are no keys.
fn common_slot(requests: &[Request], watches: &[Arc<Watch>]) -> Result<Option<u16>, CommandError> {
    let mut common = None;
    let queued = requests.iter().map(|request| slot_of(find(request.args())?, request.args()));
    let watched = watches.iter().map(|watch| Ok(Some(watch.slot)));
    for slot in queued.chain(watched) {
        let slot = slot?;
        if slot.is_some() && common.is_some() && slot != common {
            return Err(CommandError::CrossSlot);
        }
        common = common.or(slot);
    }
    Ok(common)
}

/// The reply of a command that needs no key.
fn answer_at_once(service: &Service, session: &mut Session, args: Args<'_>) -> Option<Reply> {
    let command = match find(args) {
        Ok(command) => command,
        Err(error) => return Some(error.into()),
    };
    match command.work {
        Work::Talk(talk) => Some(talk(&mut Ask { service, session }, args)),
        // UNWATCH: EXEC has forgotten the watches already.
        Work::Transaction(_) => Some(Reply::OK),
        Work::Write(_) | Work::Read(_) | Work::Survey(_) | Work::Subcommand => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::fake;
    use crate::front::service::ClientLimits;

    #[test]
    fn what_is_kept_does_not_hold_on_to_what_was_received_with_it() {
        let (service, _fake) = fake::service(ClientLimits::default());
        let (mut session, _seat) = fake::session(&service);
        let watched = Request::of(&["WATCH", "k"]);
        step(&service, &mut session, Transaction::Watch, &watched).map(|_| ()).unwrap();
        let multi = Request::of(&["MULTI"]);
        step(&service, &mut session, Transaction::Multi, &multi).map(|_| ()).unwrap();
        let set = Request::of(&["SET", "k", "v"]);
        queue(&service, &mut session, find(set.args()).unwrap(), &set).unwrap();
        let name = |request: &Request| request.args().at(0).as_ptr();
        assert_ne!(name(&session.multi.watches[0].request), name(&watched));
        assert_ne!(name(&session.multi.queue.unwrap().requests[0]), name(&set));
    }
}
