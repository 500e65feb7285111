//! Messages into a replica: whatever others say, and in whatever order, it takes it or refuses it.

use std::sync::Arc;

use raft_core::{
    CommandsBuilder, Configuration, EntryHeader, EntryRun, FetchError, FetchFor, Message,
    MessageBody, RaftNode, ReadId, ReadRound, Replica, RunBody, Settings, Ticket,
};
use types::{LogId, LogIndex, NodeId, ReplicaId, StoreId, Term, Tick};

use super::Target;
use super::draw::Draw;

pub(super) const STEP: Target =
    Target { name: "step", run: step, seeds: step_seeds, memory_max: None };

/// Reads the bytes as a story of one of three voters: what others say to it, what time it is, what
/// its disk and its state machine report.
fn step(bytes: &[u8]) -> bool {
    let mut draw = Draw(bytes);
    let mut world = World::new();
    while !draw.is_used_up() {
        world.event(&mut draw);
        world.collect();
    }
    world.taken > 0
}

/// A few conversations: an election lost, one won, entries taken, entries replaced.
fn step_seeds() -> Vec<Vec<u8>> {
    let tick = |ticks: u8| vec![8, ticks];
    let persist = vec![9];
    // Replica 2 to replica 1 in term 1.
    let says = |kind: u8, rest: &[u8]| [&[0, 2, 1, 1, kind], rest].concat();
    let granted = [says(1, &[1, 1]), says(3, &[1])].concat();
    let append = says(4, &[0, 1, 1, 2, 1, 0, 1, 0, 3, 1]);
    vec![
        says(2, &[0, 1]),
        [tick(25), granted.clone(), persist.clone(), granted, persist.clone(), vec![11, 3]]
            .concat(),
        [append.clone(), persist.clone(), append, persist].concat(),
    ]
}

struct World {
    node: RaftNode,
    now: u64,
    issued: Option<Ticket>,
    delivered: LogIndex,
    fetches: Vec<FetchFor>,
    /// How many messages it did not refuse.
    taken: u64,
}

impl World {
    fn new() -> Self {
        let replica = |id: u32| Replica {
            id: ReplicaId(id),
            node: NodeId(u64::from(id)),
            store: StoreId(u128::from(id)),
        };
        let voters = (1..=3).map(replica).collect();
        let configuration = Configuration::new(voters, vec![], vec![replica(4)]);
        let configuration = Arc::new(configuration.expect("three voters and a learner are legal"));
        let settings = Settings::default();
        let node = RaftNode::found(ReplicaId(1), configuration, settings, 7, Tick(0));
        Self {
            node,
            now: 0,
            issued: None,
            delivered: LogIndex::ZERO,
            fetches: Vec::new(),
            taken: 0,
        }
    }

    fn event(&mut self, draw: &mut Draw<'_>) {
        match draw.one_of(16) {
            0..8 => {
                let message = message(draw);
                match self.node.step(message) {
                    Ok(()) => self.taken += 1,
                    Err(refused) => assert!(!refused.to_string().is_empty()),
                }
            }
            8 => {
                self.now += u64::from(draw.one_of(32));
                self.node.tick(Tick(self.now));
            }
            9 => self.issued.into_iter().for_each(|ticket| self.node.persisted(ticket)),
            10 => {
                // Older ones, and some that were never issued.
                self.node.persisted(Ticket(draw.number()));
            }
            11 => {
                let payload = vec![0; usize::from(draw.byte())];
                let _ = self.node.propose(EntryHeader::default(), &payload);
            }
            12 => {
                let _ = self.node.read_index(ReadId(draw.number()));
            }
            13 => {
                let index = draw.index();
                self.node.applied(if draw.yes() { self.delivered } else { index });
            }
            14 => self.answer_a_fetch(draw),
            _ => match draw.one_of(3) {
                0 => self.node.campaign(),
                1 => drop(self.node.transfer_leader(ReplicaId(u32::from(draw.one_of(6))))),
                _ => self.node.report_unreachable(ReplicaId(u32::from(draw.one_of(6)))),
            },
        }
    }

    fn answer_a_fetch(&mut self, draw: &mut Draw<'_>) {
        let purpose = self.fetches.pop().unwrap_or(match draw.one_of(5) {
            0 => FetchFor::Apply,
            replica => FetchFor::Replica(ReplicaId(u32::from(replica))),
        });
        let result = match draw.one_of(8) {
            0 => Err(FetchError::Compacted { first: draw.index() }),
            1 => Err(FetchError::Damaged),
            _ => Ok(runs(draw, LogId::ZERO)),
        };
        self.node.entries_fetched(purpose, result);
    }

    fn collect(&mut self) {
        let Some(ready) = self.node.ready() else { return };
        if let Some(write) = ready.write {
            assert!(self.issued.is_none_or(|before| before < write.ticket), "tickets rise");
            self.issued = Some(write.ticket);
        }
        for run in &ready.committed {
            assert_eq!(run.first, self.delivered.next(), "deliveries follow each other");
            self.delivered = run.last();
        }
        self.fetches.extend(ready.fetches.iter().map(|fetch| fetch.purpose));
    }
}

fn message(draw: &mut Draw<'_>) -> Message {
    let from = ReplicaId(u32::from(draw.one_of(6)));
    // Mostly the one that is meant.
    let to = ReplicaId(if draw.byte() < 250 { 1 } else { 2 });
    Message { from, to, term: draw.term(), body: body(draw) }
}

fn body(draw: &mut Draw<'_>) -> MessageBody {
    match draw.one_of(10) {
        0 => MessageBody::PreVote { next_term: draw.term(), last: draw.log_id() },
        1 => MessageBody::PreVoteResponse { next_term: draw.term(), granted: draw.yes() },
        2 => MessageBody::Vote { last: draw.log_id(), is_ordered: draw.yes() },
        3 => MessageBody::VoteResponse { granted: draw.yes() },
        4 => {
            let (prev, commit) = (draw.log_id(), draw.index());
            MessageBody::Append { prev, commit, runs: runs(draw, prev) }
        }
        5 => MessageBody::Accepted { matched: draw.index() },
        6 => MessageBody::Rejected { prev: draw.index(), hint: draw.log_id() },
        7 => MessageBody::Heartbeat { commit: draw.index(), round: round(draw) },
        8 => MessageBody::TimeoutNow,
        _ => MessageBody::HeartbeatResponse { round: round(draw) },
    }
}

fn round(draw: &mut Draw<'_>) -> Option<ReadRound> {
    draw.yes().then(|| ReadRound(draw.number()))
}

/// Mostly runs that follow `prev`, as those of a decoded frame do.
fn runs(draw: &mut Draw<'_>, prev: LogId) -> Vec<EntryRun> {
    let (mut next, mut term) = (prev.index.0.saturating_add(1), prev.term.0);
    let mut runs = Vec::new();
    for _ in 0..draw.one_of(4) {
        term = term.saturating_add(u64::from(draw.one_of(3)));
        let body = match draw.one_of(6) {
            0 => RunBody::TermStart,
            count => commands(count),
        };
        let first = if draw.byte() < 250 { next } else { draw.number().max(1) };
        // No frame holds a run that passes the last index.
        let first = LogIndex(first.min(u64::MAX - 100));
        let run = EntryRun { first, term: Term(term), body };
        next = run.last().0.saturating_add(1);
        runs.push(run);
    }
    runs
}

fn commands(count: u8) -> RunBody {
    let mut builder = CommandsBuilder::default();
    (0..count).for_each(|number| builder.push(EntryHeader::default(), &[number]));
    RunBody::Commands(builder.take().expect("there is at least one"))
}
