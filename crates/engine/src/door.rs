//! Where the link comes in: frames are decoded on the link's task, sorted by worker, and queued.
//!
//! Nothing here blocks. What finds no room is dropped and counted: its sender repeats what it does
//! not see answered.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use codec::{Envelope, FrameLimits, Notice, StoresNotice, decode_frame, decode_notice, is_notice};
use multiraft::brings_commands;
use raft_core::MessageBody;
use transport::{Events, Hello};
use types::{BootId, NodeId, StoreId};

use crate::assignment::thread_of;
use crate::budget::{Budget, Permit};
use crate::disk_watch::DiskWatch;
use crate::failure::{Alarm, EngineState};
use crate::leaders::Leaders;
use crate::log_gauge::LogGauge;
use crate::messages::{Inbound, LogJob};
use crate::peer_rooms::PeerRooms;
use crate::peers::{Incarnation, Peers};
use crate::queue::Sender;

/// What the link's calls reach.
pub(crate) struct LinkDoor {
    /// By worker.
    pub(crate) workers: Vec<Sender<Inbound>>,
    pub(crate) log: Sender<LogJob>,
    pub(crate) frame_limits: FrameLimits,
    pub(crate) budget: Arc<Budget>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) gauge: Arc<LogGauge>,
    pub(crate) disk: Arc<DiskWatch>,
    pub(crate) peer_rooms: Arc<PeerRooms>,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) counts: Arc<DoorCounts>,
    pub(crate) leaders: Arc<Leaders>,
}

/// What happened at the door, counted since the start.
#[derive(Debug, Default)]
pub(crate) struct DoorCounts {
    /// Frames that no version of this program sends.
    pub(crate) unreadable: AtomicU64,
    /// Frames for which there was no room.
    pub(crate) overrun: AtomicU64,
    /// Appends for which the log writer was too far behind, or the disk had no room.
    pub(crate) appends_refused: AtomicU64,
}

/// Which way a frame went.
#[derive(Clone, Copy)]
enum Way {
    From(NodeId),
    DroppedTo(NodeId),
}

impl LinkDoor {
    fn take(&self, way: Way, body: &Bytes) {
        if matches!(self.alarm.state(), EngineState::Failed | EngineState::Stopped) {
            return;
        }
        let Some(permit) = self.budget.acquire(body.len()) else {
            self.counts.overrun.fetch_add(1, Ordering::Relaxed);
            return;
        };
        match decode_frame(body, &self.frame_limits) {
            Ok(mut messages) => {
                if matches!(way, Way::From(_)) {
                    self.refuse_appends(&mut messages);
                }
                self.hand_out(way, messages, &Arc::new(permit));
            }
            Err(error) => {
                let (Way::From(node) | Way::DroppedTo(node)) = way;
                self.unreadable(node, &error);
            }
        }
    }

    /// A peer tells how it is.
    fn take_notice(&self, from: NodeId, body: &Bytes) {
        match decode_notice(body) {
            Ok(Notice::Room(notice)) => self.peer_rooms.heard(from, notice),
            Ok(Notice::Stores(notice)) => self.hand_out_stores(from, notice, body.len()),
            Err(error) => self.unreadable(from, &error),
        }
    }

    /// Gives each worker what a peer says of stores; one of them answers if it asks.
    fn hand_out_stores(&self, from: NodeId, notice: StoresNotice, bytes: usize) {
        for (number, worker) in self.workers.iter().enumerate() {
            let Some(permit) = self.budget.acquire(bytes) else {
                self.counts.overrun.fetch_add(1, Ordering::Relaxed);
                return;
            };
            let notice = StoresNotice { asks: notice.asks && number == 0, ..notice.clone() };
            // A worker that has ended does not want to know.
            let _ = worker.send(Inbound::Stores { from, notice, permit });
        }
    }

    fn unreadable(&self, node: NodeId, error: &dyn fmt::Display) {
        let count = self.counts.unreadable.fetch_add(1, Ordering::Relaxed) + 1;
        // A peer that keeps on does not fill the log with it.
        if count.is_power_of_two() {
            tracing::warn!(%node, %error, count, "a frame cannot be read");
        }
    }

    /// Drops what would only wait for the disk: entries while it is behind, and commands while it is
    /// full.
    fn refuse_appends(&self, messages: &mut Vec<Envelope>) {
        let (is_behind, is_full) = (self.gauge.is_behind(), self.disk.room.is_closed());
        if !is_behind && !is_full {
            return;
        }
        let before = messages.len();
        messages.retain(|envelope| {
            let body = &envelope.message.body;
            !(brings_commands(body) || is_behind && brings_entries(body))
        });
        let refused = (before - messages.len()) as u64;
        self.counts.appends_refused.fetch_add(refused, Ordering::Relaxed);
    }

    /// Gives each worker the messages of its groups, in order.
    fn hand_out(&self, way: Way, messages: Vec<Envelope>, permit: &Arc<Permit>) {
        if let [only] = &*self.workers {
            return queue(only, way, messages, permit);
        }
        let mut parts: Vec<Vec<Envelope>> = Vec::new();
        parts.resize_with(self.workers.len(), Vec::new);
        for envelope in messages {
            parts[thread_of(envelope.group, self.workers.len())].push(envelope);
        }
        for (worker, messages) in self.workers.iter().zip(parts) {
            queue(worker, way, messages, permit);
        }
    }
}

fn brings_entries(body: &MessageBody) -> bool {
    matches!(body, MessageBody::Append { runs, .. } if !runs.is_empty())
}

fn queue(worker: &Sender<Inbound>, way: Way, messages: Vec<Envelope>, permit: &Arc<Permit>) {
    if messages.is_empty() {
        return;
    }
    let permit = Arc::clone(permit);
    let inbound = match way {
        Way::From(from) => Inbound::Received { from, messages, permit },
        Way::DroppedTo(to) => Inbound::Dropped { to, messages, permit },
    };
    // A worker that has ended does not want to know.
    let _ = worker.send(inbound);
}

impl Events for LinkDoor {
    fn admit(&self, hello: &Hello) -> Result<(), String> {
        self.peers.admit(hello.node, Incarnation { store: hello.store, boot: hello.boot })
    }

    fn frame(&self, from: NodeId, body: Bytes) {
        if is_notice(&body) {
            return self.take_notice(from, &body);
        }
        self.take(Way::From(from), &body);
    }

    fn up(&self, node: NodeId, store: StoreId, boot: BootId) {
        self.peers.forget_refusal(node);
        self.leaders.set_lost(node, false);
        let who = Incarnation { store, boot };
        if self.peers.meet(node, who) {
            // If the log writer has ended, so has everything that would count on it.
            let _ = self.log.send(LogJob::Remember(node, who));
        }
    }

    fn down(&self, node: NodeId) {
        self.leaders.set_lost(node, true);
    }

    fn dropped(&self, to: NodeId, body: Bytes) {
        // The next notice says as much as one that was lost.
        if !is_notice(&body) {
            self.take(Way::DroppedTo(to), &body);
        }
    }

    fn refused(&self, peer: Option<NodeId>, reason: &str) {
        if let Some(node) = peer {
            self.peers.note_refusal(node, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use codec::{RoomNotice, encode_frame, encode_notice};
    use raft_core::{CommandsBuilder, EntryHeader, EntryRun, Message, RunBody};
    use storage_redb::DiskSpace;
    use types::{Generation, GroupId, LogId, LogIndex, ReplicaId, Term};

    use super::*;
    use crate::EngineLimits;
    use crate::clock::Clock;
    use crate::queue::{Receiver, queue};

    const PEER: NodeId = NodeId(2);

    struct Hall {
        door: LinkDoor,
        workers: Vec<Receiver<Inbound>>,
        log: Receiver<LogJob>,
    }

    fn space(is_full: bool) -> DiskSpace {
        let (free_bytes, reserve_bytes, needed_bytes) = (1, 1, 1);
        DiskSpace { free_bytes, reserve_bytes, is_low: is_full, needed_bytes, is_full }
    }

    fn hall(workers: usize, frame_bytes_max: usize) -> Hall {
        let clock = Clock::start(Duration::from_millis(50));
        let limits = EngineLimits::default();
        let (senders, receivers) = (0..workers).map(|_| queue()).unzip();
        let (log, log_end) = queue();
        let door = LinkDoor {
            workers: senders,
            log,
            frame_limits: limits.frame(),
            budget: Budget::new("b", frame_bytes_max),
            peers: Arc::new(Peers::new(NodeId(1), &[].into())),
            gauge: Arc::new(LogGauge::new(0, &limits)),
            disk: Arc::new(DiskWatch::new(clock, 1000, space(false))),
            peer_rooms: Arc::new(PeerRooms::new(clock, &[PEER])),
            alarm: Arc::new(Alarm::new()),
            counts: Arc::default(),
            leaders: Leaders::new(NodeId(1), vec![NodeId(1), PEER], 1),
        };
        Hall { door, workers: receivers, log: log_end }
    }

    fn envelope(group: u64, body: MessageBody) -> Envelope {
        let (from, to) = (ReplicaId(2), ReplicaId(1));
        let message = Message { from, to, term: Term(1), body };
        Envelope { group: GroupId(group), generation: Generation(1), message }
    }

    fn heartbeat(group: u64) -> Envelope {
        envelope(group, MessageBody::Heartbeat { commit: LogIndex(0), round: None })
    }

    fn append(group: u64) -> Envelope {
        let run = EntryRun { first: LogIndex(1), term: Term(1), body: RunBody::TermStart };
        let (prev, commit) = (LogId::ZERO, LogIndex(0));
        envelope(group, MessageBody::Append { prev, commit, runs: vec![run] })
    }

    fn groups_of(inbound: &Inbound) -> Vec<u64> {
        let (Inbound::Received { messages, .. } | Inbound::Dropped { messages, .. }) = inbound
        else {
            panic!("{inbound:?} is of no group");
        };
        messages.iter().map(|envelope| envelope.group.0).collect()
    }

    #[test]
    fn each_worker_gets_the_messages_of_its_groups() {
        let mut hall = hall(3, 1 << 20);
        let messages: Vec<Envelope> = (1..=20).map(heartbeat).collect();
        hall.door.frame(PEER, encode_frame(&messages));
        hall.door.dropped(PEER, encode_frame(&messages));
        let mut seen = Vec::new();
        for (number, worker) in hall.workers.iter_mut().enumerate() {
            let (received, dropped) = (worker.recv(), worker.recv());
            assert!(matches!(received, Inbound::Received { from: PEER, .. }));
            assert!(matches!(dropped, Inbound::Dropped { to: PEER, .. }));
            let groups = groups_of(&received);
            assert!(groups.iter().all(|group| thread_of(GroupId(*group), 3) == number));
            assert_eq!(groups_of(&dropped), groups);
            seen.extend(groups);
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=20).collect::<Vec<_>>());
        assert_eq!(hall.door.budget.used(), 0, "what is taken is given back");
    }

    #[test]
    fn what_cannot_be_read_or_held_is_dropped_and_counted() {
        let mut hall = hall(1, 60);
        hall.door.frame(PEER, Bytes::from_static(b"no frame"));
        hall.door.frame(PEER, encode_frame(&[heartbeat(1), heartbeat(2)]));
        hall.door.frame(PEER, encode_frame(&[heartbeat(3)]));
        hall.door.frame(PEER, encode_frame(&[heartbeat(4)]));
        let counts = &hall.door.counts;
        assert_eq!(counts.unreadable.load(Ordering::Relaxed), 1);
        assert_eq!(counts.overrun.load(Ordering::Relaxed), 2);
        assert_eq!(groups_of(&hall.workers[0].recv()), [3]);
        hall.door.frame(PEER, encode_frame(&[heartbeat(5)]));
        assert_eq!(groups_of(&hall.workers[0].recv()), [5]);
    }

    #[test]
    fn entries_are_refused_while_the_disk_is_behind() {
        let mut hall = hall(1, 1 << 20);
        hall.door.gauge.queue(usize::MAX / 2);
        let frame = encode_frame(&[append(1), heartbeat(2), append(3)]);
        hall.door.frame(PEER, frame.clone());
        assert_eq!(groups_of(&hall.workers[0].recv()), [2]);
        assert_eq!(hall.door.counts.appends_refused.load(Ordering::Relaxed), 2);
        // What this node itself could not send concerns no disk.
        hall.door.dropped(PEER, frame);
        assert_eq!(groups_of(&hall.workers[0].recv()).len(), 3);
    }

    #[test]
    fn entries_are_refused_while_the_disk_is_full() {
        let mut hall = hall(1, 1 << 20);
        let mut commands = CommandsBuilder::default();
        commands.push(EntryHeader::default(), b"x");
        let mut filled = append(3);
        let MessageBody::Append { runs, .. } = &mut filled.message.body else { panic!() };
        runs[0].body = RunBody::Commands(commands.take().unwrap());
        // What a leader begins its term with is let in: reads wait for it.
        let frame = encode_frame(&[append(1), heartbeat(2), filled]);
        hall.door.disk.room.found(space(true), None);
        hall.door.frame(PEER, frame.clone());
        assert_eq!(groups_of(&hall.workers[0].recv()), [2, 1]);
        hall.door.disk.room.found(space(false), None);
        hall.door.frame(PEER, frame);
        assert_eq!(groups_of(&hall.workers[0].recv()), [2, 1, 3]);
    }

    #[test]
    fn a_notice_tells_of_its_sender_and_reaches_no_worker() {
        let hall = hall(1, 1 << 20);
        let notice = encode_notice(&Notice::Room(RoomNotice { low_ms: 60_000 }));
        hall.door.dropped(PEER, notice.clone());
        assert_eq!(hall.door.peer_rooms.low(), []);
        hall.door.frame(PEER, notice);
        assert_eq!(hall.door.peer_rooms.low(), [PEER]);
        hall.door.frame(PEER, Bytes::from_static(b"\xff"));
        assert_eq!(hall.door.counts.unreadable.load(Ordering::Relaxed), 1);
        assert!(!hall.workers[0].has_more());
    }

    #[test]
    fn every_worker_hears_of_stores_and_one_of_them_answers() {
        let mut hall = hall(3, 1 << 20);
        let stores = vec![(NodeId(1), StoreId(7)), (PEER, StoreId(8))];
        let told = StoresNotice { asks: true, stores };
        let notice = encode_notice(&Notice::Stores(told.clone()));
        hall.door.dropped(PEER, notice.clone());
        assert!(!hall.workers[0].has_more(), "it is said again");
        hall.door.frame(PEER, notice.clone());
        for (number, worker) in hall.workers.iter_mut().enumerate() {
            let Inbound::Stores { from, notice, permit: _ } = worker.recv() else { panic!() };
            let expected = StoresNotice { asks: number == 0, ..told.clone() };
            assert_eq!((from, notice), (PEER, expected));
        }
        assert_eq!(hall.door.budget.used(), 0, "what is taken is given back");
        let _full = hall.door.budget.acquire(1 << 20).unwrap();
        hall.door.frame(PEER, notice);
        assert_eq!(hall.door.counts.overrun.load(Ordering::Relaxed), 1);
        assert!(!hall.workers[0].has_more());
    }

    #[test]
    fn a_peer_is_remembered_once_it_has_accepted_this_node() {
        let mut hall = hall(1, 1 << 20);
        let (store, boot) = (StoreId(5), BootId(1));
        let hello = Hello {
            cluster: types::ClusterId::new("c").unwrap(),
            node: PEER,
            store,
            boot,
            digest: 0,
        };
        hall.door.admit(&hello).unwrap();
        assert!(!hall.log.has_more());
        hall.door.refused(Some(PEER), "not yet");
        assert_eq!(hall.door.peers.refusals().len(), 1);
        hall.door.up(PEER, store, boot);
        let job = hall.log.try_recv().unwrap();
        let expected = Incarnation { store, boot };
        assert!(matches!(job, LogJob::Remember(PEER, who) if who == expected), "{job:?}");
        assert!(hall.door.peers.refusals().is_empty());
        hall.door.up(PEER, store, boot);
        assert!(!hall.log.has_more(), "once is enough");
        assert!(hall.door.admit(&Hello { store: StoreId(6), ..hello }).is_err());
    }

    #[test]
    fn an_engine_that_failed_hears_nothing() {
        let hall = hall(1, 1 << 20);
        hall.door.alarm.raise(crate::Failure::Store { reason: "gone".into() });
        hall.door.frame(PEER, encode_frame(&[heartbeat(1)]));
        assert!(!hall.workers[0].has_more());
    }
}
