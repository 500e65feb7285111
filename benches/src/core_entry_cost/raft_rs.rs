//! The rival: raft-rs (crate `raft`) at its best.
//!
//! `skip_bcast_commit` halves its messages and `batch_append` makes one append of a round's
//! entries; `max_size_per_msg` must be raised from its default of one entry for that. `MemStorage`
//! is compacted often, which keeps it small and in cache: without, it slows down as it grows.

use raft::eraftpb::{Entry, EntryType, Message};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};

use crate::figure::Wrong;

use super::Case;
use super::cluster::{NODES, Replica, ReplicaState};
use crate::workload::{Applied, Payload};

/// What it is called in the lines.
pub(crate) const NAME: &str = "raft-rs 0.7 skip_bcast_commit batch_append";

const HEARTBEAT_TICKS: usize = 2;

/// How many entries are applied between two compactions. From 16 to 4,096 it makes no difference
/// that can be told from noise.
const COMPACT_EVERY: u64 = 128;

/// What is held fixed on its side.
pub(crate) fn settings() -> String {
    format!(
        "MemStorage, compacted every {COMPACT_EVERY} entries; max_size_per_msg 1 MiB, \
         max_inflight_msgs 256, pre_vote and check_quorum on, all else default"
    )
}

/// The replicas of all groups, founded.
pub(crate) fn founders(case: Case) -> Result<Vec<[Theirs; NODES]>, Wrong> {
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let found = |id: u64| -> raft::Result<Theirs> {
        let config = Config {
            id,
            election_tick: 10 * HEARTBEAT_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            check_quorum: true,
            pre_vote: true,
            skip_bcast_commit: true,
            batch_append: true,
            ..Config::default()
        };
        let store = MemStorage::new_with_conf_state((vec![1, 2, 3], Vec::new()));
        Ok(Theirs {
            node: RawNode::new(&config, store, &logger)?,
            machine: Applied::default(),
            compact_at: COMPACT_EVERY,
        })
    };
    let group = || -> raft::Result<[Theirs; NODES]> { Ok([found(1)?, found(2)?, found(3)?]) };
    let all: raft::Result<Vec<_>> = (0..case.groups).map(|_| group()).collect();
    all.map_err(|error| Wrong(error.to_string()))
}

/// One of its replicas with its state machine.
pub(crate) struct Theirs {
    node: RawNode<MemStorage>,
    machine: Applied,
    /// The index that must be applied before the log is compacted next.
    compact_at: u64,
}

impl Theirs {
    fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            // A leader's first entry of its term is empty.
            if entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty() {
                self.machine.take(&entry.data);
            }
        }
    }

    fn compact(&mut self) {
        let applied = self.node.raft.raft_log.applied;
        if applied >= self.compact_at {
            self.compact_at = applied + COMPACT_EVERY;
            let compacted = self.node.store().wl().compact(applied);
            compacted.expect("applied entries may be compacted");
        }
    }
}

fn position(message: &Message) -> usize {
    usize::try_from(message.to - 1).expect("a replica's number is small")
}

impl Replica for Theirs {
    type Message = Message;
    type Scratch = ();

    fn campaign(&mut self) {
        self.node.campaign().expect("a voter may campaign");
    }

    fn propose(&mut self, payload: &Payload) {
        let proposed = self.node.propose(Vec::new(), payload.to_vec());
        proposed.expect("a leader without a backlog takes proposals");
    }

    fn step(&mut self, message: Message) {
        self.node.step(message).expect("replicas send each other what they accept");
    }

    fn work(&mut self, (): &mut (), mut send: impl FnMut(usize, Message)) {
        if !self.node.has_ready() {
            return;
        }
        let mut ready = self.node.ready();
        for message in ready.take_messages() {
            send(position(&message), message);
        }
        {
            let mut store = self.node.store().wl();
            store.append(ready.entries()).expect("entries follow each other");
            if let Some(hard_state) = ready.hs() {
                store.set_hardstate(hard_state.clone());
            }
        }
        for message in ready.take_persisted_messages() {
            send(position(&message), message);
        }
        self.apply(&ready.take_committed_entries());
        let mut light = self.node.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.node.store().wl().mut_hard_state().commit = commit;
        }
        for message in light.take_messages() {
            send(position(&message), message);
        }
        let committed = light.take_committed_entries();
        if !committed.is_empty() {
            self.apply(&committed);
            self.node.advance_apply();
        }
        self.compact();
    }

    fn beat(&mut self) {
        for _ in 0..HEARTBEAT_TICKS {
            self.node.tick();
        }
    }

    fn state(&self) -> ReplicaState {
        let log = &self.node.raft.raft_log;
        ReplicaState {
            is_leader: self.node.raft.state == StateRole::Leader,
            last: log.last_index(),
            committed: log.committed,
            applied: log.applied,
            machine: self.machine,
        }
    }
}
