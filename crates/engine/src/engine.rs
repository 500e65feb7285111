//! The engine as its users hold it: where calls come in.
//!
//! Invariants: a call that is not refused at the door is in exactly one worker's queue; what is
//! refused at the door was not begun.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use multiraft::{GroupStatus, LeaderView, Proposal};
use parking_lot::Mutex;
use raft_core::EntryHeader;
use routing::RoutingTable;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use transport::Link;
use types::{BootId, GroupId, LogIndex, NodeId, StoreId, VShardId};

use crate::assignment::thread_of;
use crate::budget::Budget;
use crate::builder::EngineBuilder;
use crate::call::{Applied, Call, Outcome, ReadPermit, Reply};
use crate::disk_watch::DiskWatch;
use crate::door::DoorCounts;
use crate::failure::{Alarm, Failure};
use crate::inbox::WorkerDoor;
use crate::leaders::{LeaderWatch, Leaders};
use crate::limits::{ENTRY_CHARGE, EngineLimits};
use crate::log_gauge::LogGauge;
use crate::messages::{ApplyJob, Fact, LogJob, ReadJob, Request};
use crate::peer_rooms::PeerRooms;
use crate::peers::Peers;
use crate::planted::Planted;
use crate::queue::{Knock, Sender, Unsent};
use crate::room_watch::Shortage;
use crate::shutdown::{ShutdownError, ShutdownLimits, Threads};
use crate::{ProposeError, ReadError, TransferError};

/// One node of a cluster, running. Clones are cheap and are the same node.
///
/// Ends by [`Engine::shutdown`]; if all clones are dropped without it, the threads end by
/// themselves, a little later.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

/// What all clones share. The threads do not hold it, so that it is dropped with the last clone.
pub(crate) struct Inner {
    pub(crate) node: NodeId,
    pub(crate) store: StoreId,
    pub(crate) boot: BootId,
    pub(crate) routing: RoutingTable,
    pub(crate) limits: EngineLimits,
    pub(crate) shutdown_limits: ShutdownLimits,
    pub(crate) planted: Planted,
    pub(crate) workers: Vec<WorkerDoor>,
    pub(crate) log: Sender<LogJob>,
    pub(crate) appliers: Vec<Sender<ApplyJob>>,
    pub(crate) reader: Sender<ReadJob>,
    pub(crate) link: Arc<dyn Link>,
    pub(crate) leaders: Arc<Leaders>,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) gauge: Arc<LogGauge>,
    pub(crate) disk: Arc<DiskWatch>,
    pub(crate) peer_rooms: Arc<PeerRooms>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) counts: Arc<DoorCounts>,
    pub(crate) proposals: Arc<Budget>,
    pub(crate) reads: Arc<Budget>,
    pub(crate) threads: Mutex<Threads>,
    pub(crate) handle: Handle,
    /// One at a time asks all workers for statuses, so that they never pile up there.
    pub(crate) status_turn: tokio::sync::Mutex<()>,
    pub(crate) is_ending: AtomicBool,
    pub(crate) ended: watch::Sender<Option<Result<(), ShutdownError>>>,
}

impl Engine {
    /// Puts an engine together.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::new()
    }

    /// Proposes a command to the group of `vshard`, and waits until it is durable on a majority and
    /// applied here.
    ///
    /// **Effects**: one log entry, which carries the vshard and the routing epoch. Whoever drops
    /// the future goes without the answer; the command takes effect all the same.
    ///
    /// # Errors
    /// See [`ProposeError`]: redirect, retry later, give up, or outcome unknown.
    pub async fn propose(&self, vshard: VShardId, data: Bytes) -> Result<Applied, ProposeError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let group = inner.group_of(vshard).ok_or(ProposeError::UnknownVShard { vshard })?;
        let routed = Some((vshard, inner.routing.epoch()));
        inner.check_size(&EntryHeader { routed, session: None }, &data)?;
        inner.check_room(group)?;
        let (reply, answer) = inner.one(&data)?;
        inner.ask(group, Request::Propose(Proposal { vshard, data, reply })).await?;
        // An answer that never comes was lost after the command was taken.
        answer.await.unwrap_or(Err(ProposeError::Uncertain))
    }

    /// As [`Engine::propose`] for each of `writes`, with one wait for all of them: far cheaper than
    /// as many calls. The outcomes stand in the order of the writes; one that is refused does not
    /// stop the others. Writes to one group are appended in their order, nothing holds between
    /// groups.
    pub async fn propose_many(
        &self,
        mut writes: Vec<(VShardId, Bytes)>,
    ) -> Vec<Result<Applied, ProposeError>> {
        // One alone needs no list of outcomes, and none for each worker.
        if let [(vshard, data)] = &mut writes[..] {
            return vec![self.propose(*vshard, mem::take(data)).await];
        }
        let count = writes.len();
        let (answer, knocks) = match self.inner.begin_many(writes) {
            Ok(begun) => begun,
            Err(error) => return vec![Err(error); count],
        };
        give_way(knocks).await;
        answer.await.unwrap_or_else(|_| vec![Err(ProposeError::Uncertain); count])
    }

    /// As [`Engine::propose`], to a group named directly and without a vshard.
    ///
    /// # Errors
    /// As [`Engine::propose`].
    pub async fn propose_to_group(
        &self,
        group: GroupId,
        data: Bytes,
    ) -> Result<Applied, ProposeError> {
        let inner = &*self.inner;
        inner.check_open()?;
        inner.check_size(&EntryHeader::default(), &data)?;
        inner.check_room(group)?;
        let (reply, answer) = inner.one(&data)?;
        inner.ask(group, Request::ProposeToGroup(group, data, reply)).await?;
        answer.await.unwrap_or(Err(ProposeError::Uncertain))
    }

    /// Waits until the state of the vshard's group may be read here: it then holds every write that
    /// was acknowledged anywhere before this call (a linearizable read, dissertation 6.4).
    ///
    /// **Effects**: no log entry; one round of messages to the other replicas, shared by all reads
    /// of the group that are asked for meanwhile.
    ///
    /// # Errors
    /// See [`ReadError`]; a read that was refused may be asked again anywhere.
    pub async fn read(&self, vshard: VShardId) -> Result<ReadPermit, ReadError> {
        let inner = &*self.inner;
        if !inner.alarm.is_running() {
            return Err(ReadError::Stopped);
        }
        let group = inner.group_of(vshard).ok_or(ReadError::UnknownVShard { vshard })?;
        if inner.planted.read_without_round() && self.leader(group).is_self {
            return Ok(ReadPermit { group, index: LogIndex::ZERO });
        }
        let budget = &inner.reads;
        let permit = budget.acquire(1).ok_or(ReadError::Overloaded { budget: budget.name() })?;
        let (caller, answer) = oneshot::channel();
        match inner.ask(group, Request::Read(vshard, Reply::Read(caller, permit))).await {
            Ok(()) => answer.await.unwrap_or(Err(ReadError::Stopped)),
            Err(ProposeError::Overloaded { budget }) => Err(ReadError::Overloaded { budget }),
            Err(_) => Err(ReadError::Stopped),
        }
    }

    /// Hands the leadership of `group`, which this node leads, to node `to`, and waits until that
    /// node leads (dissertation 3.10); done at once if it does already.
    ///
    /// **Effects**: until `to` has everything and is elected, which takes a few round trips, and at
    /// most for one election timeout, proposals to the group are refused with
    /// [`ProposeError::TransferInProgress`]; those that were taken before are answered.
    ///
    /// # Errors
    /// See [`TransferError`]; the group has a leader as before, or soon another.
    pub async fn transfer_leader(&self, group: GroupId, to: NodeId) -> Result<(), TransferError> {
        let inner = &*self.inner;
        if !inner.alarm.is_running() {
            return Err(TransferError::Stopped);
        }
        let (caller, answer) = oneshot::channel();
        match inner.ask(group, Request::TransferLeader(group, to, Reply::Transfer(caller))).await {
            Ok(()) => answer.await.unwrap_or(Err(TransferError::Stopped)),
            Err(ProposeError::Overloaded { budget }) => Err(TransferError::Overloaded { budget }),
            Err(_) => Err(TransferError::Stopped),
        }
    }

    /// Who leads `group`, as this node knows it. Costs one load, and asks no thread: what it says
    /// may be one turn old. [`LeaderView::is_fresh`] says whether the leader was heard from within
    /// one election timeout; a client should be sent only to a leader that was.
    #[must_use]
    pub fn leader(&self, group: GroupId) -> LeaderView {
        self.inner.leaders.view(group)
    }

    /// Tells when leaders change.
    #[must_use]
    pub fn watch_leaders(&self) -> LeaderWatch {
        LeaderWatch::new(self.inner.leaders.clone())
    }

    /// All groups that are mounted here, sorted by id; none once the engine has ended. Costs in
    /// proportion to their number.
    pub async fn group_statuses(&self) -> Vec<GroupStatus> {
        let _turn = self.inner.status_turn.lock().await;
        let mut answers = Vec::new();
        for worker in &self.inner.workers {
            let (caller, answer) = oneshot::channel();
            // A worker that has ended drops the caller, which answers.
            let _ = worker.facts.send(Fact::Statuses(caller));
            answers.push(answer);
        }
        let mut statuses = Vec::new();
        for answer in answers {
            statuses.append(&mut answer.await.unwrap_or_default());
        }
        statuses.sort_unstable_by_key(|status| status.group);
        statuses
    }

    /// Ends when the engine has failed, and says why: then the process should exit with an error.
    /// Never ends otherwise, not even when the engine is shut down.
    pub async fn failed(&self) -> Failure {
        let mut watch = self.inner.alarm.watch();
        loop {
            if let Some(failure) = &*watch.borrow_and_update() {
                return failure.clone();
            }
            // The other end lives in the alarm, which this engine keeps alive.
            let _ = watch.changed().await;
        }
    }

    /// This node.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.inner.node
    }

    /// The routing table.
    #[must_use]
    pub fn routing(&self) -> &RoutingTable {
        &self.inner.routing
    }

    /// The limits it keeps.
    #[must_use]
    pub fn limits(&self) -> &EngineLimits {
        &self.inner.limits
    }
}

/// Where the answer to a call will come, and what wakes its workers when it is dropped.
type Begun = (oneshot::Receiver<Vec<Outcome>>, Vec<Knock<Request>>);

impl Inner {
    /// Whether commands are taken at all.
    fn check_open(&self) -> Result<(), ProposeError> {
        if !self.alarm.is_running() {
            return Err(ProposeError::Stopped);
        }
        if self.gauge.is_full() {
            return Err(ProposeError::Overloaded { budget: "log" });
        }
        Ok(())
    }

    /// Refused here already, so that it costs no budget.
    fn check_size(&self, header: &EntryHeader, data: &Bytes) -> Result<(), ProposeError> {
        let bytes = header.entry_len(data.len());
        let bytes_max = self.limits.raw().group.entry_bytes_max;
        if bytes > bytes_max {
            return Err(ProposeError::TooLarge { bytes, bytes_max });
        }
        Ok(())
    }

    /// Whether the disk has room for the group's commands, if it is led here. Who does not lead says
    /// so instead: a redirect helps.
    fn check_room(&self, group: GroupId) -> Result<(), ProposeError> {
        match self.disk.room.shortage() {
            Some(Shortage { free_bytes, needed_bytes, .. }) if self.leaders.view(group).is_self => {
                Err(ProposeError::DiskFull { free_bytes, needed_bytes })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn group_of(&self, vshard: VShardId) -> Option<GroupId> {
        self.routing.group_of(vshard)
    }

    /// One command's way back.
    fn one(&self, data: &Bytes) -> Result<(Reply, oneshot::Receiver<Outcome>), ProposeError> {
        let budget = &self.proposals;
        let permit = budget
            .acquire(data.len() + ENTRY_CHARGE)
            .ok_or(ProposeError::Overloaded { budget: budget.name() })?;
        let (caller, answer) = oneshot::channel();
        Ok((Reply::One(caller, permit), answer))
    }

    /// Queues a request for the group's worker, and sees to it that he is woken.
    async fn ask(&self, group: GroupId, request: Request) -> Result<(), ProposeError> {
        let worker = &self.workers[thread_of(group, self.workers.len())];
        let knock = worker.requests.send_quietly(request).map_err(|error| match error {
            Unsent::Full(_) => ProposeError::Overloaded { budget: "inbox" },
            Unsent::Ended(_) => ProposeError::Stopped,
        })?;
        give_way(knock).await;
        Ok(())
    }

    /// Queues many proposals at once, those of each worker together.
    fn begin_many(&self, writes: Vec<(VShardId, Bytes)>) -> Result<Begun, ProposeError> {
        self.check_open()?;
        let wanted = writes.iter().map(|(_, data)| data.len() + ENTRY_CHARGE).sum();
        let permit = self.proposals.acquire_up_to(wanted);
        let mut room = permit.amount();
        let (call, answer) = Call::new(writes.len(), permit);
        let share = writes.len() / self.workers.len() + 1;
        let mut parts: Vec<Vec<Proposal<Reply>>> =
            self.workers.iter().map(|_| Vec::with_capacity(share)).collect();
        let mut refused = Vec::new();
        for (slot, (vshard, data)) in (0..).zip(writes) {
            match self.check_one(vshard, &data, &mut room) {
                Ok(group) => {
                    let reply = Reply::Slot(call.clone(), slot);
                    let worker = thread_of(group, parts.len());
                    parts[worker].push(Proposal { vshard, data, reply });
                }
                Err(error) => refused.push((slot, error)),
            }
        }
        call.refuse(refused);
        let mut knocks = Vec::new();
        for (worker, part) in self.workers.iter().zip(parts) {
            if part.is_empty() {
                continue;
            }
            let (request, error) = match worker.requests.send_quietly(Request::ProposeMany(part)) {
                Ok(knock) => {
                    knocks.extend(knock);
                    continue;
                }
                Err(Unsent::Full(request)) => {
                    (request, ProposeError::Overloaded { budget: "inbox" })
                }
                Err(Unsent::Ended(request)) => (request, ProposeError::Stopped),
            };
            request.into_replies().into_iter().for_each(|reply| reply.refuse(error));
        }
        Ok((answer, knocks))
    }

    /// Whether one of many may be queued; takes its part of `room`.
    fn check_one(
        &self,
        vshard: VShardId,
        data: &Bytes,
        room: &mut usize,
    ) -> Result<GroupId, ProposeError> {
        let group = self.group_of(vshard).ok_or(ProposeError::UnknownVShard { vshard })?;
        let routed = Some((vshard, self.routing.epoch()));
        self.check_size(&EntryHeader { routed, session: None }, data)?;
        self.check_room(group)?;
        let left = room.checked_sub(data.len() + ENTRY_CHARGE);
        *room = left.ok_or(ProposeError::Overloaded { budget: self.proposals.name() })?;
        Ok(group)
    }
}

/// Wakes the workers after whoever is ready to run on this thread has had his turn: many who ask at
/// once, as after a wait for the network, cost one wake-up together. Whoever goes away meanwhile has
/// knocked; whoever is not polled again leaves the worker to his next tick.
async fn give_way(knocks: impl IntoIterator<Item = Knock<Request>>) {
    let mut knocks = knocks.into_iter().peekable();
    // Where there is none, somebody else will knock.
    if knocks.peek().is_some() {
        tokio::task::yield_now().await;
    }
    knocks.for_each(drop);
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("node", &self.inner.node)
            .field("state", &self.inner.alarm.state())
            .finish_non_exhaustive()
    }
}
