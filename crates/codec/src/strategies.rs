//! What the tests of this crate share: golden bytes, legal values to draw, and ways to damage what
//! was laid out.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use proptest::prelude::*;
use raft_core::{
    CommandsBuilder, Configuration, EntryHeader, EntryRun, Message, MessageBody, ReadRound,
    Replica, RunBody,
};
use types::{
    Epoch, Generation, GroupId, LogId, LogIndex, NodeId, ReplicaId, StoreId, Term, VShardId,
};

use crate::Envelope;

/// Bytes from hexadecimal digits; blanks and line ends between them are for the reader.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        digits.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    assert!(digits.len().is_multiple_of(2), "half a byte");
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// The golden bytes that `docs/format.md` shows under a name, so that page and code agree.
pub(crate) fn documented(name: &str) -> Vec<u8> {
    let page = include_str!("../../../docs/format.md");
    let mark = format!("<!-- golden: {name} -->");
    let block = page.split_once(&mark).expect("the page has the mark").1;
    let lines = block.lines().skip_while(|line| !line.starts_with("```")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("```"));
    lines.flat_map(|line| hex(line.split('|').next().unwrap())).collect()
}

/// Something that happens to bytes on their way.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Overwritten { at: prop::sample::Index, with: u8 },
    CutShort { at: prop::sample::Index },
    Extended { with: Vec<u8> },
    Exchanged { one: prop::sample::Index, other: prop::sample::Index, len: usize },
}

impl Damage {
    pub(crate) fn applied_to(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Overwritten { at, with } => {
                let at = at.index(bytes.len());
                bytes[at] = *with;
            }
            Self::CutShort { at } => bytes.truncate(at.index(bytes.len())),
            Self::Extended { with } => bytes.extend(with),
            Self::Exchanged { one, other, len } => {
                let (one, other) = (one.index(bytes.len()), other.index(bytes.len()));
                for step in 0..*len {
                    if one + step < bytes.len() && other + step < bytes.len() {
                        bytes.swap(one + step, other + step);
                    }
                }
            }
        }
        bytes
    }
}

pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, with)| Damage::Overwritten { at, with }),
        index().prop_map(|at| Damage::CutShort { at }),
        prop::collection::vec(any::<u8>(), 1..20).prop_map(|with| Damage::Extended { with }),
        (index(), index(), 1..16usize).prop_map(|(one, other, len)| Damage::Exchanged {
            one,
            other,
            len
        }),
    ]
}

/// Any legal configuration, the empty one included: distinct ids and nodes in random parts.
pub(crate) fn configuration() -> impl Strategy<Value = Configuration> {
    let replica = (any::<u32>(), any::<u64>(), any::<u128>(), 0..4u8);
    prop::collection::vec(replica, 0..12).prop_map(|drawn| {
        let (mut ids, mut nodes) = (BTreeSet::new(), BTreeSet::new());
        let (mut incoming, mut outgoing, mut learners) = (Vec::new(), Vec::new(), Vec::new());
        for (id, node, store, part) in drawn {
            if !ids.insert(id) || !nodes.insert(node) {
                continue;
            }
            let replica = Replica { id: ReplicaId(id), node: NodeId(node), store: StoreId(store) };
            match part {
                _ if incoming.is_empty() => incoming.push(replica),
                0 => incoming.push(replica),
                1 => outgoing.push(replica),
                2 => learners.push(replica),
                _ => {
                    incoming.push(replica);
                    outgoing.push(replica);
                }
            }
        }
        Configuration::new(incoming, outgoing, learners).unwrap()
    })
}

fn header() -> impl Strategy<Value = EntryHeader> {
    let routed = prop::option::of((any::<u32>(), any::<u64>()));
    let session = prop::option::of((any::<u64>(), any::<u64>()));
    (routed, session).prop_map(|(routed, session)| EntryHeader {
        routed: routed.map(|(vshard, epoch)| (VShardId(vshard), Epoch(epoch))),
        session,
    })
}

pub(crate) fn run_body() -> impl Strategy<Value = RunBody> {
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    let commands = prop::collection::vec((header(), payload), 1..10).prop_map(|drawn| {
        let mut builder = CommandsBuilder::default();
        for (header, payload) in drawn {
            builder.push(header, &payload);
        }
        RunBody::Commands(builder.take().unwrap())
    });
    prop_oneof![
        4 => commands,
        1 => Just(RunBody::TermStart),
        1 => configuration().prop_map(|c| RunBody::Configuration(c.into())),
    ]
}

/// A run anywhere in a log.
pub(crate) fn run() -> impl Strategy<Value = EntryRun> {
    (1..=u64::MAX / 2, any::<u64>(), run_body()).prop_map(|(first, term, body)| EntryRun {
        first: LogIndex(first),
        term: Term(term),
        body,
    })
}

prop_compose! {
    /// Runs that follow each other anywhere in a log, and the entry before them.
    pub(crate) fn contiguous_runs()(
        prev in (0..=u64::MAX / 2, 0..=u64::MAX / 2),
        drawn in prop::collection::vec((0..3u64, run_body()), 0..6),
    ) -> (LogId, Vec<EntryRun>) {
        let prev = LogId::new(Term(prev.1), LogIndex(prev.0));
        let mut last = prev;
        let follow = |(term_step, body)| {
            let term = Term(last.term.0 + term_step);
            let run = EntryRun { first: last.index.next(), term, body };
            last = run.last_id();
            run
        };
        let runs = drawn.into_iter().map(follow).collect();
        (prev, runs)
    }
}

prop_compose! {
    /// Any message that a replica may send.
    pub(crate) fn envelope()(
        group in any::<u64>(), generation in any::<u32>(), from in any::<u32>(),
        to in any::<u32>(), term in any::<u64>(), which in 0..12u8, number in any::<u64>(),
        other in any::<u64>(), granted in any::<bool>(), (prev, runs) in contiguous_runs(),
    ) -> Envelope {
        let (index, round) = (LogIndex(number), ReadRound(other));
        let last = LogId::new(Term(other), index);
        let body = match which {
            0 => MessageBody::PreVote { next_term: Term(number), last },
            1 => MessageBody::PreVoteResponse { next_term: Term(number), granted },
            2 => MessageBody::Vote { last, is_ordered: granted },
            3 => MessageBody::VoteResponse { granted },
            4 => MessageBody::Append { prev, commit: index, runs },
            5 => MessageBody::Accepted { matched: index },
            6 => MessageBody::Rejected { prev: index, hint: last },
            7 => MessageBody::Heartbeat { commit: index, round: None },
            8 => MessageBody::Heartbeat { commit: index, round: Some(round) },
            9 => MessageBody::HeartbeatResponse { round: None },
            10 => MessageBody::HeartbeatResponse { round: Some(round) },
            _ => MessageBody::TimeoutNow,
        };
        let message =
            Message { from: ReplicaId(from), to: ReplicaId(to), term: Term(term), body };
        Envelope { group: GroupId(group), generation: Generation(generation), message }
    }
}
