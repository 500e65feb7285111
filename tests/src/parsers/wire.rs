//! What other nodes send.

use bytes::Bytes;
use codec::{
    Envelope, FrameLimits, Notice, RoomNotice, StoresNotice, decode_frame, decode_notice,
    encode_frame, encode_notice,
};
use raft_core::{CommandsBuilder, EntryHeader, EntryRun, Message, MessageBody, ReadRound, RunBody};
use transport::fuzzing;
use types::{Generation, GroupId, LogId, LogIndex, NodeId, ReplicaId, StoreId, Term};

use super::{Target, is_read};

pub(super) const FRAME: Target =
    Target { name: "frame", run: frame, seeds: frame_seeds, memory_max: Some(frame_memory) };
pub(super) const NOTICE: Target =
    Target { name: "notice", run: notice, seeds: notice_seeds, memory_max: Some(notice_memory) };
pub(super) const HELLO: Target =
    Target { name: "hello", run: hello, seeds: fuzzing::hellos, memory_max: Some(hello_memory) };
pub(super) const STREAM: Target =
    Target { name: "stream", run: stream, seeds: stream_seeds, memory_max: Some(stream_memory) };

/// Small, so that they are met.
const LIMITS: FrameLimits = FrameLimits {
    frame_bytes_max: 32 << 10,
    messages_max: 500,
    runs_max: 50,
    entries_bytes_max: 16 << 10,
};

/// The bytes that a stream's target takes for a frame at most.
const STREAM_FRAME_BYTES_MAX: usize = 4 << 10;
/// The read buffer of a stream's target.
const STREAM_BUFFER_BYTES: usize = 512;

fn frame_memory(bytes: usize) -> usize {
    // A message takes about four times the bytes of a heartbeat; input and re-encoding come on top.
    10 * bytes.min(LIMITS.frame_bytes_max) + 1024
}

fn frame(bytes: &[u8]) -> bool {
    let read = decode_frame(&Bytes::copy_from_slice(bytes), &LIMITS);
    is_read(read.map(|messages| {
        assert_eq!(encode_frame(&messages), bytes, "what is read is what is written");
    }))
}

fn frame_seeds() -> Vec<Vec<u8>> {
    let mut builder = CommandsBuilder::default();
    builder.push(EntryHeader::default(), b"payload");
    let commands = RunBody::Commands(builder.take().expect("one was pushed"));
    let (term, prev) = (Term(3), LogId::new(Term(2), LogIndex(9)));
    let runs = vec![
        EntryRun { first: LogIndex(10), term, body: RunBody::TermStart },
        EntryRun { first: LogIndex(11), term, body: commands },
    ];
    let bodies = vec![
        MessageBody::Heartbeat { commit: LogIndex(7), round: None },
        MessageBody::Heartbeat { commit: LogIndex(7), round: Some(ReadRound(4)) },
        MessageBody::HeartbeatResponse { round: None },
        MessageBody::HeartbeatResponse { round: Some(ReadRound(4)) },
        MessageBody::PreVote { next_term: Term(4), last: prev },
        MessageBody::PreVoteResponse { next_term: Term(4), granted: true },
        MessageBody::Vote { last: prev, is_ordered: true },
        MessageBody::TimeoutNow,
        MessageBody::VoteResponse { granted: false },
        MessageBody::Append { prev, commit: LogIndex(9), runs },
        MessageBody::Accepted { matched: LogIndex(11) },
        MessageBody::Rejected { prev: LogIndex(9), hint: prev },
    ];
    let say = |body| Envelope {
        group: GroupId(5),
        generation: Generation(1),
        message: Message { from: ReplicaId(1), to: ReplicaId(2), term, body },
    };
    let all: Vec<Envelope> = bodies.into_iter().map(say).collect();
    vec![encode_frame(&[]).to_vec(), encode_frame(&all[8..9]).to_vec(), encode_frame(&all).to_vec()]
}

fn notice_memory(bytes: usize) -> usize {
    // What is read takes a third more than its bytes; input and re-encoding come on top.
    4 * bytes + 1024
}

fn notice(bytes: &[u8]) -> bool {
    let read = decode_notice(&Bytes::copy_from_slice(bytes));
    is_read(read.map(|notice| {
        assert_eq!(encode_notice(&notice), bytes, "what is read is what is written");
    }))
}

fn notice_seeds() -> Vec<Vec<u8>> {
    let stores = |count: u64| {
        let stores = (1..=count).map(|node| (NodeId(node), StoreId(u128::from(node) << 70)));
        Notice::Stores(StoresNotice { asks: count > 1, stores: stores.collect() })
    };
    let all = [Notice::Room(RoomNotice { low_ms: 4_000 }), stores(0), stores(1), stores(7)];
    all.iter().map(|notice| encode_notice(notice).to_vec()).collect()
}

fn hello_memory(bytes: usize) -> usize {
    4 * bytes + 4096
}

fn hello(bytes: &[u8]) -> bool {
    let is_accepted = fuzzing::read_hello(bytes);
    let mut sealed = bytes.to_vec();
    fuzzing::seal_hello(&mut sealed);
    fuzzing::read_hello(&sealed) || is_accepted
}

fn stream_memory(bytes: usize) -> usize {
    4 * bytes + 2 * (STREAM_FRAME_BYTES_MAX + STREAM_BUFFER_BYTES)
}

/// The first byte says into pieces of which size the rest is cut.
fn stream(bytes: &[u8]) -> bool {
    let Some((piece, bytes)) = bytes.split_first() else { return false };
    let cut = |bytes: &[u8], piece: usize| {
        fuzzing::frames(bytes, piece, STREAM_FRAME_BYTES_MAX, STREAM_BUFFER_BYTES)
    };
    let piece = usize::from(*piece).max(1);
    let read = cut(bytes, piece);
    assert_eq!(read, cut(bytes, usize::MAX), "a stream reads alike however it is cut");
    let mut sealed = bytes.to_vec();
    fuzzing::seal_frames(&mut sealed);
    assert_eq!(cut(&sealed, piece), cut(&sealed, usize::MAX));
    !read.0.is_empty()
}

fn stream_seeds() -> Vec<Vec<u8>> {
    let bodies = [&b""[..], b"beat", &[7; 600]];
    vec![[&[3], &fuzzing::stream(&bodies)[..]].concat()]
}
