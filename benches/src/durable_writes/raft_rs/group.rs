//! One replica of the rival's, with its state machine and, if it leads, its proposers.

use std::collections::VecDeque;
use std::time::Instant;

use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};

use crate::durable_writes::tally::{Machine, Told};
use crate::durable_writes::window::{Latencies, Window};
use crate::figure::Wrong;
use crate::workload::payload;

/// How many entries are applied between two compactions of what is in memory.
const COMPACT_EVERY: u64 = 128;

pub(crate) struct Group {
    pub(crate) raw: RawNode<MemStorage>,
    pub(crate) machine: Machine,
    pub(crate) told: Told,
    proposers: Proposers,
    compact_at: u64,
}

/// Those who keep writes in flight to a group; none where this node does not lead it.
struct Proposers {
    number: u64,
    in_flight: usize,
    /// Proposed so far; gives each payload its number.
    proposed: u64,
    waiting: VecDeque<Waiting>,
    waiting_writes: usize,
}

/// What was proposed together: entries from `first` on with payloads from `from` on.
struct Waiting {
    first: u64,
    count: u64,
    from: u64,
    start: Instant,
}

impl Group {
    /// A founder of group `number` on node `id`, which keeps `in_flight` writes in flight there.
    pub(crate) fn found(number: u64, id: u64, in_flight: usize) -> raft::Result<Self> {
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let config = Config {
            id,
            election_tick: 20,
            heartbeat_tick: 2,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            check_quorum: true,
            pre_vote: true,
            skip_bcast_commit: true,
            batch_append: true,
            ..Config::default()
        };
        let store = MemStorage::new_with_conf_state((vec![1, 2, 3], Vec::new()));
        let proposers = Proposers {
            number,
            in_flight,
            proposed: 0,
            waiting: VecDeque::new(),
            waiting_writes: 0,
        };
        Ok(Self {
            raw: RawNode::new(&config, store, &logger)?,
            machine: Machine::default(),
            told: Told::default(),
            proposers,
            compact_at: COMPACT_EVERY,
        })
    }

    pub(crate) fn leads(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether a proposer has his result and wants to propose again.
    pub(crate) fn wants_to_propose(&self) -> bool {
        self.proposers.waiting_writes < self.proposers.in_flight
    }

    /// Proposes for everybody who wants to, in one message: raft-rs takes that for less than as
    /// many calls of `propose`, and each is an entry of its own all the same. Returns how many.
    pub(crate) fn propose(&mut self) -> Result<u64, Wrong> {
        let proposers = &mut self.proposers;
        let count = proposers.in_flight - proposers.waiting_writes;
        let (from, first) = (proposers.proposed, self.raw.raft.raft_log.last_index() + 1);
        let entry = |number| Entry {
            data: payload(proposers.number, number).to_vec().into(),
            ..Entry::default()
        };
        let entries: Vec<Entry> = (from..).take(count).map(entry).collect();
        let mut message = Message { from: self.raw.raft.id, ..Message::default() };
        message.set_msg_type(MessageType::MsgPropose);
        message.set_entries(entries.into());
        self.raw.step(message).map_err(|error| Wrong(format!("a proposal: {error}")))?;
        let count = count as u64;
        if self.raw.raft.raft_log.last_index() + 1 != first + count {
            return Err(Wrong("a proposal was appended in part".into()));
        }
        proposers.waiting.push_back(Waiting { first, count, from, start: Instant::now() });
        proposers.proposed += count;
        proposers.waiting_writes = proposers.in_flight;
        Ok(count)
    }

    /// Applies what is committed.
    pub(crate) fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            // A leader's first entry of its term is empty.
            if entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty() {
                self.machine.apply(entry.index, &entry.data);
            }
        }
    }

    /// Tells the proposers whose entries are applied by now.
    pub(crate) fn answer(&mut self, applied: u64, window: &Window, latencies: &mut Latencies) {
        let proposers = &mut self.proposers;
        while let Some(waiting) = proposers.waiting.front_mut() {
            let count = (applied + 1).saturating_sub(waiting.first).min(waiting.count);
            if count == 0 {
                break;
            }
            for number in 0..count {
                let payload = payload(proposers.number, waiting.from + number);
                self.told.applied(waiting.first + number, &payload);
            }
            if window.is_open() {
                latencies.push(waiting.start.elapsed(), count);
            }
            waiting.first += count;
            waiting.from += count;
            waiting.count -= count;
            proposers.waiting_writes -= usize::try_from(count).unwrap_or(usize::MAX);
            if waiting.count == 0 {
                proposers.waiting.pop_front();
            }
        }
    }

    /// Drops what is applied from memory, now and then: its storage slows down as it grows.
    pub(crate) fn compact(&mut self) {
        let applied = self.raw.raft.raft_log.applied;
        if applied >= self.compact_at {
            self.compact_at = applied + COMPACT_EVERY;
            let compacted = self.raw.store().wl().compact(applied);
            compacted.expect("applied entries may be compacted");
        }
    }
}
