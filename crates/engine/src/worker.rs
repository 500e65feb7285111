//! Workers: the threads on which groups live. Each is the sole owner of one [`NodeLoop`], for its
//! share of the groups, and runs it turn by turn.
//!
//! Invariants: a worker never waits for anything but its own queues and the next tick; it hands on
//! everything that a turn brings before it begins the next.

use std::sync::Arc;
use std::thread;

use codec::{Notice, encode_notice};
use multiraft::{
    Answer, ApplyBatch, DiskRoom, GroupSpec, HaltReason, Input, NodeLoop, RoleChange, Turn,
};
use transport::{Class, Link};
use types::{GroupId, NodeId, Tick};

use crate::assignment::thread_of;
use crate::call::{ReadPermit, Reply};
use crate::clock::Clock;
use crate::disk_watch::DiskWatch;
use crate::failure::{Alarm, Failure};
use crate::inbox::{Inbox, Queues};
use crate::leaders::Leaders;
use crate::log_gauge::{LogGauge, batch_bytes};
use crate::messages::{ApplyJob, LogJob, ReadJob};
use crate::peer_rooms::PeerRooms;
use crate::queue::Sender;
use crate::{ProposeError, RoutingTable, TransferError, TransferRefusal};

/// What a worker owns, and whom it hands things to.
pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) own: NodeId,
    pub(crate) node: NodeLoop<Reply>,
    pub(crate) routing: RoutingTable,
    pub(crate) clock: Clock,
    pub(crate) link: Arc<dyn Link>,
    pub(crate) log: Sender<LogJob>,
    pub(crate) appliers: Vec<Sender<ApplyJob>>,
    pub(crate) reader: Sender<ReadJob>,
    pub(crate) gauge: Arc<LogGauge>,
    pub(crate) disk: Arc<DiskWatch>,
    pub(crate) peer_rooms: Arc<PeerRooms>,
    pub(crate) leaders: Arc<Leaders>,
    pub(crate) alarm: Arc<Alarm>,
}

/// After so many turns that write nothing nobody writes any more, whatever the last commit carried:
/// reads alone gain nothing from waiting for each other.
const READS_ALONE_TURNS: u32 = 16;

impl Worker {
    /// Founds `foundings` as soon as their members have agreed, and serves until it is told to stop
    /// or the engine fails.
    pub(crate) fn run(mut self, queues: Queues, foundings: Vec<GroupSpec>) {
        let mut inbox = Inbox::new(queues);
        let first = self.node.turn(foundings.into_iter().map(Input::AddGroup));
        self.carry_out(first);
        let mut tick = Tick(0);
        let mut turns_without_write = 0_u32;
        while !self.alarm.is_failed() && !inbox.must_stop() {
            inbox.wait(self.node.awaits_applied(), self.clock.moment(tick.after(1)));
            if turns_without_write < READS_ALONE_TURNS && self.gauge.is_crowded() {
                // Connections that have more for this turn bring it.
                thread::yield_now();
            }
            let now = self.clock.now();
            if now > tick {
                tick = now;
                inbox.set_tick(now);
            }
            let fitness = self.disk.fitness();
            if fitness != self.node.multi().fitness() {
                inbox.set_fitness(fitness);
            }
            let room = self.disk_room();
            if room != *self.node.multi().disk_room() {
                inbox.set_disk_room(room);
            }
            let turn = self.node.turn(&mut inbox);
            turns_without_write =
                if turn.write.is_some() { 0 } else { turns_without_write.saturating_add(1) };
            self.carry_out(turn);
            for caller in inbox.take_status_calls() {
                // Whoever asked may have gone away.
                let _ = caller.send(self.node.multi().group_statuses());
            }
        }
        self.end(&mut inbox);
    }

    /// Where there is room, as this node and its peers know it. Costs a few loads while all have some.
    fn disk_room(&self) -> DiskRoom {
        let shortage = self.disk.room.shortage();
        DiskRoom {
            is_low: shortage.is_some(),
            is_waiting: shortage.is_some_and(|shortage| shortage.is_waiting),
            low_peers: self.peer_rooms.low(),
        }
    }

    /// Hands on what a turn brought; the disk first, because it takes longest.
    fn carry_out(&mut self, turn: Turn<Reply>) {
        // Whoever has ended does not want to know: the engine stops or has failed.
        if let Some((ticket, batch)) = turn.write {
            let bytes = batch_bytes(&batch);
            self.gauge.queue(bytes);
            let _ = self.log.send(LogJob::Write { worker: self.number, ticket, batch, bytes });
        }
        for frame in turn.frames {
            let class = if frame.is_beat { Class::Beat } else { Class::Data };
            self.link.send(frame.to, frame.bytes, class);
        }
        for (to, notice) in turn.stores {
            self.link.send(to, encode_notice(&Notice::Stores(notice)), Class::Data);
        }
        self.hand_to_appliers(turn.apply, turn.roles);
        if !turn.fetches.is_empty() {
            let fetches = turn.fetches;
            let _ = self.reader.send(ReadJob::Fetch { worker: self.number, fetches });
        }
        if !turn.leaders.is_empty() {
            turn.leaders.iter().for_each(|(group, view)| self.leaders.set(*group, view));
            self.leaders.announce();
        }
        for (reply, answer) in turn.answers {
            self.answer(reply, answer);
        }
        for (group, result) in turn.added {
            match result {
                Ok(()) => tracing::debug!(%group, "founded"),
                Err(error) => {
                    let reason = error.to_string();
                    self.alarm.raise(Failure::Founding { group, reason });
                }
            }
        }
        for conflict in turn.conflicts {
            tracing::error!(%conflict, "a peer is not the node that it was");
        }
        for (group, reason) in turn.halted {
            self.halted(group, reason);
        }
    }

    fn hand_to_appliers(&self, batches: Vec<ApplyBatch<Reply>>, roles: Vec<(GroupId, RoleChange)>) {
        if batches.is_empty() && roles.is_empty() {
            return;
        }
        let worker = self.number;
        if let [only] = &*self.appliers {
            let _ = only.send(ApplyJob::Work { worker, batches, roles });
            return;
        }
        let count = self.appliers.len();
        let mut parts: Vec<(Vec<_>, Vec<_>)> = Vec::new();
        parts.resize_with(count, Default::default);
        for batch in batches {
            parts[thread_of(batch.group, count)].0.push(batch);
        }
        for (group, role) in roles {
            parts[thread_of(group, count)].1.push((group, role));
        }
        for (applier, (batches, roles)) in self.appliers.iter().zip(parts) {
            if !batches.is_empty() || !roles.is_empty() {
                let _ = applier.send(ApplyJob::Work { worker, batches, roles });
            }
        }
    }

    /// A replica halted. One whose log is damaged halts alone; one whose log was rolled back shows
    /// that the whole store was, and with it what every other group promised.
    fn halted(&self, group: GroupId, reason: HaltReason) {
        match reason {
            HaltReason::LogDamaged => {
                tracing::error!(%group, %reason, "the replica takes part in nothing any more");
            }
            HaltReason::LogRolledBack { .. } => {
                self.alarm.raise(Failure::RolledBack { group, reason: reason.to_string() });
            }
        }
    }

    fn answer(&self, reply: Reply, answer: Answer) {
        let error = match answer {
            Answer::ReadAt { group, index } => {
                return reply.readable(ReadPermit { group, index });
            }
            Answer::NotLeader { leader } => ProposeError::NotLeader { hint: Some(leader) },
            Answer::NoLeader => ProposeError::NoLeader,
            Answer::Overloaded { budget } => ProposeError::Overloaded { budget },
            Answer::TransferInProgress { to } => ProposeError::TransferInProgress { to },
            Answer::Transferred => return reply.transferred(Ok(())),
            Answer::TransferRefused(reason) => {
                let reason = self.said_of(reason);
                return reply.transferred(Err(TransferError::Refused(reason)));
            }
            Answer::TransferFailed { leader } => {
                return reply.transferred(Err(TransferError::Failed { leader }));
            }
            Answer::MajorityFull => ProposeError::MajorityFull,
            Answer::TooLarge { bytes, bytes_max } => ProposeError::TooLarge { bytes, bytes_max },
            Answer::UnknownVShard { vshard } => ProposeError::UnknownVShard { vshard },
            Answer::UnknownGroup { group } if self.is_expected(group) => ProposeError::NoLeader,
            Answer::UnknownGroup { group } => ProposeError::UnknownGroup { group },
            Answer::Uncertain => ProposeError::Uncertain,
        };
        reply.refuse(error);
    }

    /// Whether a group that is not here will be, once its members have agreed.
    fn is_expected(&self, group: GroupId) -> bool {
        self.routing.replicas_of(group).contains(&self.own)
    }

    /// A group that will be here has no leader as yet.
    fn said_of(&self, reason: TransferRefusal) -> TransferRefusal {
        match reason {
            TransferRefusal::UnknownGroup { group } if self.is_expected(group) => {
                TransferRefusal::NotLeader { leader: None }
            }
            TransferRefusal::UnknownGroup { .. }
            | TransferRefusal::NotLeader { .. }
            | TransferRefusal::NotAMember { .. }
            | TransferRefusal::NotVoter { .. }
            | TransferRefusal::Silent { .. }
            | TransferRefusal::TooFarBehind { .. }
            | TransferRefusal::InProgress { .. } => reason,
        }
    }

    /// Tells everybody who still waits: what was appended is uncertain, the rest was never begun.
    fn end(self, inbox: &mut Inbox) {
        for (reply, answer) in self.node.stop() {
            let is_uncertain = answer == Answer::Uncertain;
            reply.refuse(if is_uncertain {
                ProposeError::Uncertain
            } else {
                ProposeError::Stopped
            });
        }
        inbox.take_callers().into_iter().for_each(|reply| reply.refuse(ProposeError::Stopped));
    }
}
