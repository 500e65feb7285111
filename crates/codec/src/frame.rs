//! Frames: what one node says to another at a time, for all groups that they share.
//!
//! ```text
//! version u8 | heartbeats u32 | responses u32 | messages u32 |
//! heartbeats, 36 bytes each | responses, 28 bytes each | messages
//! ```
//! The three counts say how many entries each section has. Heartbeats and answers to them are what
//! idle groups say, once per group and interval, so they are fixed in size and have no kind byte;
//! those with a read round stand among the messages. Order within a section is kept, order between
//! sections is not.
//!
//! A frame has no checksum: the transport has one around it.

use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, Bytes};
use types::{LogIndex, Term};

use crate::envelope::Envelope;
use crate::message::{self, HEARTBEAT_BYTES, HEARTBEAT_RESPONSE_BYTES, MESSAGE_BYTES_MIN, Section};
use crate::reader::{Reader, Truncated};
use crate::run::RunError;

/// The version byte of the frames that this crate writes, and the only one it reads.
pub const FRAME_VERSION: u8 = 2;

/// Bytes before a frame's first section.
pub const FRAME_HEADER_BYTES: usize = 1 + 3 * 4;

/// What a frame may hold. Nodes need not agree on it, but one that sends more than its peer takes
/// is not heard; so raise the receivers' limits first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameLimits {
    /// Bytes of a frame; default 4 MiB. Below `entries_bytes_max` the largest append never
    /// arrives; far above it one frame holds up everything behind it.
    pub frame_bytes_max: usize,
    /// Messages of a frame, all sections together; default 131,072, which is more than 4 MiB of
    /// heartbeats. A decoded message takes about four times the bytes of a heartbeat.
    pub messages_max: usize,
    /// Runs of one append; default 16,384. A leader makes one run per turn, and one for the start
    /// of each term; each counts for more than 64 bytes of the 1 MiB that a leader puts into one
    /// append by default. Below that, a replica that lags by many short runs is never repaired.
    pub runs_max: usize,
    /// Bytes of all entries of one append, run headers not counted; default 2 MiB. At least what
    /// the leader's settings let it put into one append, its largest single entry included.
    pub entries_bytes_max: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 4 << 20,
            messages_max: 128 << 10,
            runs_max: 16 << 10,
            entries_bytes_max: 2 << 20,
        }
    }
}

/// Why bytes are no frame. The peer is at fault, or speaks another version: drop the frame, count
/// it, and close the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameError {
    /// The byte at which the malformed part starts: a message's first, or 0 for the frame itself.
    pub offset: usize,
    /// What is wrong there.
    pub fault: FrameFault,
}

/// What is wrong with a frame or a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameFault {
    /// The bytes end too early.
    Truncated(Truncated),
    /// More bytes than [`FrameLimits::frame_bytes_max`].
    TooLarge {
        /// How many there are.
        found: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A version that this program does not know.
    Version {
        /// The version found; [`FRAME_VERSION`] was expected.
        found: u8,
    },
    /// More messages than [`FrameLimits::messages_max`].
    TooManyMessages {
        /// How many there are said to be.
        found: u64,
        /// The limit.
        messages_max: usize,
    },
    /// The frame ends before its bytes do.
    Trailing {
        /// How many bytes too many there are.
        bytes: usize,
    },
    /// A kind of message that nobody defined.
    MessageKind {
        /// The kind found; 1 to 10 were expected.
        found: u8,
    },
    /// A yes or no that is neither no (0) nor yes (1).
    Flag {
        /// What it is.
        found: u8,
    },
    /// An append of more runs than [`FrameLimits::runs_max`].
    TooManyRuns {
        /// How many there are said to be.
        found: usize,
        /// The limit.
        runs_max: usize,
    },
    /// A run of an append is malformed, or takes the append past
    /// [`FrameLimits::entries_bytes_max`].
    Run(RunError),
    /// A run does not follow what is before it.
    Gap {
        /// The index after the entry before it.
        expected: LogIndex,
        /// Its first index.
        found: LogIndex,
    },
    /// A run's term is lower than that of the entry before it.
    TermFalls {
        /// The term of the entry before it.
        before: Term,
        /// Its term.
        found: Term,
    },
}

impl From<Truncated> for FrameFault {
    fn from(truncated: Truncated) -> Self {
        Self::Truncated(truncated)
    }
}

impl From<RunError> for FrameFault {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame, byte {}: {}", self.offset, self.fault)
    }
}

impl core::error::Error for FrameError {}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(truncated) => truncated.fmt(f),
            Self::TooLarge { found, bytes_max } => {
                write!(f, "{found} bytes, expected at most {bytes_max}")
            }
            Self::Version { found } => {
                write!(f, "frame version {found}, expected {FRAME_VERSION}")
            }
            Self::TooManyMessages { found, messages_max } => {
                write!(f, "{found} messages, expected at most {messages_max}")
            }
            Self::Trailing { bytes } => write!(f, "{bytes} bytes behind the last message"),
            Self::MessageKind { found } => write!(f, "message kind {found}, expected 1 to 10"),
            Self::Flag { found } => write!(f, "an answer of {found}, expected 0 or 1"),
            Self::TooManyRuns { found, runs_max } => {
                write!(f, "an append of {found} runs, expected at most {runs_max}")
            }
            Self::Run(error) => error.fmt(f),
            Self::Gap { expected, found } => {
                write!(f, "a run starts at index {found}, expected {expected}")
            }
            Self::TermFalls { before, found } => {
                write!(f, "a run of term {found} follows an entry of term {before}")
            }
        }
    }
}

/// Lays out one frame of all `messages`, which may be none.
///
/// Cannot fail, and knows no limits: the caller sends at most [`messages_within`] at a time. The
/// memory is reserved once; commands are copied once, and nothing is done per entry.
///
/// # Panics
/// If there are more than u32::MAX messages, or runs in an append.
pub fn encode_frame(messages: &[Envelope]) -> Bytes {
    let (mut heartbeats, mut responses, mut others) = (0u32, 0u32, 0u32);
    assert!(u32::try_from(messages.len()).is_ok(), "{} messages in a frame", messages.len());
    let mut len = FRAME_HEADER_BYTES;
    for envelope in messages {
        let body = &envelope.message.body;
        len += message::message_len(body);
        match message::section(body) {
            Section::Heartbeats => heartbeats += 1,
            Section::HeartbeatResponses => responses += 1,
            Section::Messages => others += 1,
        }
    }
    let mut out = Vec::with_capacity(len);
    out.put_u8(FRAME_VERSION);
    let sections = [
        (Section::Heartbeats, heartbeats),
        (Section::HeartbeatResponses, responses),
        (Section::Messages, others),
    ];
    for (_, count) in sections {
        out.put_u32_le(count);
    }
    for (section, count) in sections {
        if count == 0 {
            continue;
        }
        for envelope in messages {
            if message::section(&envelope.message.body) == section {
                message::put_message(&mut out, envelope);
            }
        }
    }
    assert_eq!(out.len(), len, "the size function is exact");
    out.into()
}

/// How many messages from the front of `messages` fit into one frame within `limits`; at least one
/// if there are any, so that a sender always gets on. Costs nothing per entry.
pub fn messages_within(messages: &[Envelope], limits: &FrameLimits) -> usize {
    let mut len = FRAME_HEADER_BYTES;
    let fits = |envelope: &&Envelope| {
        len += message::message_len(&envelope.message.body);
        len <= limits.frame_bytes_max
    };
    let count = messages.iter().take(limits.messages_max).take_while(fits).count();
    count.max(1).min(messages.len())
}

/// Reads a frame: heartbeats first, then answers to them, then the other messages, each in the
/// order in which they were given to [`encode_frame`]. Commands share `bytes`.
///
/// What it returns is well-formed: commands parse, an append's runs follow `prev` and each other
/// with terms that never fall, no entry has index 0. Whether it makes sense is for the receiver.
///
/// # Errors
/// Names the first thing wrong; see [`FrameError`] for what to do.
pub fn decode_frame(bytes: &Bytes, limits: &FrameLimits) -> Result<Vec<Envelope>, FrameError> {
    let mut reader = Reader::new(bytes);
    let sections =
        read_header(&mut reader, limits).map_err(|fault| FrameError { offset: 0, fault })?;
    let total: usize = sections.iter().map(|(_, count)| count).sum();
    let mut envelopes = Vec::with_capacity(total);
    for (section, count) in sections {
        for _ in 0..count {
            let offset = reader.offset();
            let envelope = message::read_message(&mut reader, section, limits);
            envelopes.push(envelope.map_err(|fault| FrameError { offset, fault })?);
        }
    }
    if reader.remaining() > 0 {
        let fault = FrameFault::Trailing { bytes: reader.remaining() };
        return Err(FrameError { offset: reader.offset(), fault });
    }
    Ok(envelopes)
}

/// Reads version and counts, and compares them with the limits and with the bytes behind them, so
/// that what is allocated for messages is a small multiple of what was received.
fn read_header(
    reader: &mut Reader<'_>,
    limits: &FrameLimits,
) -> Result<[(Section, usize); 3], FrameFault> {
    let found = reader.remaining();
    if found > limits.frame_bytes_max {
        return Err(FrameFault::TooLarge { found, bytes_max: limits.frame_bytes_max });
    }
    let version = reader.u8()?;
    if version != FRAME_VERSION {
        return Err(FrameFault::Version { found: version });
    }
    let counts = [reader.u32()?, reader.u32()?, reader.u32()?];
    let found = counts.iter().copied().map(u64::from).sum();
    let messages_max = limits.messages_max;
    let [heartbeats, responses, messages] = counts.map(usize::try_from);
    let (Ok(heartbeats), Ok(responses), Ok(messages)) = (heartbeats, responses, messages) else {
        return Err(FrameFault::TooManyMessages { found, messages_max });
    };
    if usize::try_from(found).map_or(true, |found| found > messages_max) {
        return Err(FrameFault::TooManyMessages { found, messages_max });
    }
    let wanted = (heartbeats.saturating_mul(HEARTBEAT_BYTES))
        .saturating_add(responses.saturating_mul(HEARTBEAT_RESPONSE_BYTES))
        .saturating_add(messages.saturating_mul(MESSAGE_BYTES_MIN));
    if wanted > reader.remaining() {
        let (offset, found) = (reader.offset(), reader.remaining());
        return Err(Truncated { offset, wanted, found }.into());
    }
    Ok([
        (Section::Heartbeats, heartbeats),
        (Section::HeartbeatResponses, responses),
        (Section::Messages, messages),
    ])
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use proptest::prelude::*;
    use raft_core::{Commands, Configuration, EntryRun, Message, MessageBody, ReadRound, RunBody};
    use types::{Generation, GroupId, LogId, ReplicaId};

    use super::*;
    use crate::strategies::{self, hex};

    const LIMITS: FrameLimits = FrameLimits {
        frame_bytes_max: 100_000,
        messages_max: 1000,
        runs_max: 100,
        entries_bytes_max: 50_000,
    };

    /// From replica 2 to replica 3 of group 7 in its fifth life, in term 6.
    fn say(body: MessageBody) -> Envelope {
        let message = Message { from: ReplicaId(2), to: ReplicaId(3), term: Term(6), body };
        Envelope { group: GroupId(7), generation: Generation(5), message }
    }

    fn id(index: u64, term: u64) -> LogId {
        LogId::new(Term(term), LogIndex(index))
    }

    fn commands(first: u64, term: u64) -> EntryRun {
        let bytes = Bytes::from(hex("04000000 01 00 6869  04000000 01 00 686f"));
        let body = RunBody::Commands(Commands::parse(2, bytes).unwrap());
        EntryRun { first: LogIndex(first), term: Term(term), body }
    }

    fn append(prev: LogId, runs: Vec<EntryRun>) -> Envelope {
        say(MessageBody::Append { prev, commit: LogIndex(4), runs })
    }

    /// In the order in which they come back: one of each kind, and two of the sections' own.
    fn golden_messages() -> Vec<Envelope> {
        let one = |first, term, body| EntryRun { first: LogIndex(first), term: Term(term), body };
        let configuration = RunBody::Configuration(Configuration::empty().into());
        let round = Some(ReadRound(9));
        let runs = vec![commands(11, 4), one(13, 5, RunBody::TermStart), one(14, 5, configuration)];
        [
            MessageBody::Heartbeat { commit: LogIndex(10), round: None },
            MessageBody::Heartbeat { commit: LogIndex(11), round: None },
            MessageBody::HeartbeatResponse { round: None },
            MessageBody::PreVote { next_term: Term(7), last: id(10, 4) },
            MessageBody::PreVoteResponse { next_term: Term(7), granted: true },
            MessageBody::Vote { last: id(10, 4), is_ordered: true },
            MessageBody::VoteResponse { granted: false },
            MessageBody::Append { prev: id(10, 4), commit: LogIndex(8), runs },
            MessageBody::Accepted { matched: LogIndex(14) },
            MessageBody::Rejected { prev: LogIndex(10), hint: id(9, 3) },
            MessageBody::Heartbeat { commit: LogIndex(10), round },
            MessageBody::HeartbeatResponse { round },
            MessageBody::TimeoutNow,
        ]
        .map(say)
        .to_vec()
    }

    const GOLDEN: &str = "0202000000010000000a000000\
        070000000000000005000000020000000300000006000000000000000a00000000000000\
        070000000000000005000000020000000300000006000000000000000b00000000000000\
        07000000000000000500000002000000030000000600000000000000\
        070000000000000005000000020000000300000006000000000000000107000000000000000a0000\
        00000000000400000000000000\
        0700000000000000050000000200000003000000060000000000000002070000000000000001\
        07000000000000000500000002000000030000000600000000000000030a00000000000000040000\
        000000000001\
        070000000000000005000000020000000300000006000000000000000400\
        07000000000000000500000002000000030000000600000000000000050a00000000000000040000\
        0000000000080000000000000003000000\
        010b0000000000000004000000000000000200000010000000040000000100686904000000010068\
        6f\
        020d0000000000000005000000000000000100000000000000\
        030e0000000000000005000000000000000100000019000000010000000000000000000000000000\
        00000000000000000000\
        07000000000000000500000002000000030000000600000000000000060e00000000000000\
        07000000000000000500000002000000030000000600000000000000070a00000000000000090000\
        00000000000300000000000000\
        07000000000000000500000002000000030000000600000000000000080a00000000000000090000\
        0000000000\
        07000000000000000500000002000000030000000600000000000000090900000000000000\
        070000000000000005000000020000000300000006000000000000000a";

    #[test]
    fn frame_has_its_golden_bytes() {
        let golden = Bytes::from(hex(GOLDEN));
        assert_eq!(encode_frame(&golden_messages()), golden);
        assert_eq!(decode_frame(&golden, &LIMITS), Ok(golden_messages()));
        assert_eq!(strategies::documented("frame"), golden);
    }

    #[test]
    fn a_frame_of_no_messages_is_legal() {
        let frame = encode_frame(&[]);
        assert_eq!(frame, hex("02 00000000 00000000 00000000"));
        assert_eq!(decode_frame(&frame, &LIMITS), Ok(vec![]));
    }

    #[test]
    fn commands_are_shared_with_the_frame() {
        let frame = encode_frame(&[append(id(4, 1), vec![commands(5, 2)])]);
        let decoded = decode_frame(&frame, &LIMITS).unwrap();
        let MessageBody::Append { runs, .. } = &decoded[0].message.body else { panic!() };
        let RunBody::Commands(commands) = &runs[0].body else { panic!() };
        assert!(frame.as_ptr_range().contains(&commands.bytes().as_ptr()));
    }

    fn fault(digits: &str) -> FrameFault {
        decode_frame(&Bytes::from(hex(digits)), &LIMITS).unwrap_err().fault
    }

    #[test]
    fn malformed_frames_are_refused_by_name() {
        assert_eq!(fault("01"), FrameFault::Version { found: 1 });
        let truncated = Truncated { offset: 9, wanted: 4, found: 3 };
        assert_eq!(fault("02 00000000 00000000 000000"), FrameFault::Truncated(truncated));
        let trailing = fault("02 00000000 00000000 00000000 ff");
        assert_eq!(trailing, FrameFault::Trailing { bytes: 1 });
        let address = "0700000000000000 05000000 02000000 03000000 0600000000000000";
        let one =
            |body: &str| fault(&("02 00000000 00000000 01000000".to_string() + address + body));
        assert_eq!(one("0b"), FrameFault::MessageKind { found: 11 });
        let vote = "03 0a00000000000000 0400000000000000";
        assert_eq!(one(&(vote.to_string() + "02")), FrameFault::Flag { found: 2 });
        // A vote of frame version 1, which knew no ordered elections, and an order that says more.
        let wanted = |offset| Truncated { offset, wanted: 1, found: 0 };
        assert_eq!(one(vote), FrameFault::Truncated(wanted(58)));
        assert_eq!(one("0a 00"), FrameFault::Trailing { bytes: 1 });
        assert_eq!(one("04 02"), FrameFault::Flag { found: 2 });
        let vote = say(MessageBody::VoteResponse { granted: true });
        let mut frame = encode_frame(&[vote.clone(), vote]).to_vec();
        *frame.last_mut().unwrap() = 7;
        let error = decode_frame(&frame.into(), &LIMITS).unwrap_err();
        assert_eq!(error.to_string(), "frame, byte 43: an answer of 7, expected 0 or 1");
    }

    #[test]
    fn counts_are_compared_with_the_bytes_there_before_anything_is_allocated() {
        let limits = FrameLimits {
            frame_bytes_max: usize::MAX,
            messages_max: usize::MAX,
            runs_max: usize::MAX,
            entries_bytes_max: usize::MAX,
        };
        let refused = |digits: &str, offset, bytes_each| {
            let error = decode_frame(&Bytes::from(hex(digits)), &limits).unwrap_err();
            let wanted = u32::MAX as usize * bytes_each;
            let truncated = Truncated { offset, wanted, found: 0 };
            assert_eq!(error.fault, FrameFault::Truncated(truncated));
        };
        refused("02 ffffffff 00000000 00000000", 13, 36);
        refused("02 00000000 ffffffff 00000000", 13, 28);
        refused("02 00000000 00000000 ffffffff", 13, 29);
        let runs = "02 00000000 00000000 01000000\
            0700000000000000 05000000 02000000 03000000 0600000000000000 05\
            0000000000000000 0000000000000000 0000000000000000 ffffffff";
        refused(runs, 70, 25);
    }

    #[test]
    fn limits_are_inclusive_and_refuse_one_more() {
        let messages = [
            append(id(4, 1), vec![commands(5, 1), commands(7, 2)]),
            say(MessageBody::Heartbeat { commit: LogIndex(4), round: None }),
        ];
        let frame = encode_frame(&messages);
        let exact = FrameLimits {
            frame_bytes_max: frame.len(),
            messages_max: 2,
            runs_max: 2,
            entries_bytes_max: 32,
        };
        assert!(decode_frame(&frame, &exact).is_ok());
        let refused = |limits| decode_frame(&frame, &limits).unwrap_err().fault;
        let bytes_max = frame.len() - 1;
        assert_eq!(
            refused(FrameLimits { frame_bytes_max: bytes_max, ..exact }),
            FrameFault::TooLarge { found: frame.len(), bytes_max }
        );
        assert_eq!(
            refused(FrameLimits { messages_max: 1, ..exact }),
            FrameFault::TooManyMessages { found: 2, messages_max: 1 }
        );
        assert_eq!(
            refused(FrameLimits { runs_max: 1, ..exact }),
            FrameFault::TooManyRuns { found: 2, runs_max: 1 }
        );
        assert_eq!(
            refused(FrameLimits { entries_bytes_max: 31, ..exact }),
            FrameFault::Run(RunError::TooLarge { found: 16, bytes_max: 15 })
        );
    }

    #[test]
    fn runs_that_do_not_follow_are_refused() {
        let refused = |prev, runs| {
            let frame = encode_frame(&[append(prev, runs)]);
            decode_frame(&frame, &LIMITS).unwrap_err().fault
        };
        let gap = |expected, found| FrameFault::Gap {
            expected: LogIndex(expected),
            found: LogIndex(found),
        };
        assert_eq!(refused(id(4, 1), vec![commands(6, 1)]), gap(5, 6));
        assert_eq!(refused(id(4, 1), vec![commands(5, 1), commands(6, 1)]), gap(7, 6));
        let falls = FrameFault::TermFalls { before: Term(2), found: Term(1) };
        assert_eq!(refused(id(4, 2), vec![commands(5, 1)]), falls);
        assert_eq!(refused(id(4, 1), vec![commands(5, 2), commands(7, 1)]), falls);
        let zero = refused(id(u64::MAX, 1), vec![commands(0, 1)]);
        assert_eq!(zero, FrameFault::Run(RunError::IndexZero));
    }

    #[test]
    fn a_prefix_within_limits_is_never_empty() {
        let messages = golden_messages();
        assert_eq!(messages_within(&[], &LIMITS), 0);
        assert_eq!(messages_within(&messages, &LIMITS), messages.len());
        assert_eq!(messages_within(&messages, &FrameLimits { messages_max: 5, ..LIMITS }), 5);
        assert_eq!(messages_within(&messages, &FrameLimits { frame_bytes_max: 1, ..LIMITS }), 1);
        for count in 1..=messages.len() {
            let frame_bytes_max = encode_frame(&messages[..count]).len();
            let limits = FrameLimits { frame_bytes_max, ..LIMITS };
            assert_eq!(messages_within(&messages, &limits), count);
        }
    }

    /// What decoded messages hold beside the bytes that they share with the frame.
    fn allocated(envelopes: &Vec<Envelope>) -> usize {
        let of_message = |envelope: &Envelope| {
            let MessageBody::Append { runs, .. } = &envelope.message.body else { return 0 };
            runs.capacity() * size_of::<EntryRun>()
        };
        envelopes.capacity() * size_of::<Envelope>()
            + envelopes.iter().map(of_message).sum::<usize>()
    }

    fn check_any_bytes(bytes: Vec<u8>) -> Result<(), TestCaseError> {
        let frame = Bytes::from(bytes);
        if let Ok(envelopes) = decode_frame(&frame, &LIMITS) {
            prop_assert!(allocated(&envelopes) <= 5 * frame.len());
            // Whatever passed for a message is one: it is laid out and read to the same again.
            let again = decode_frame(&encode_frame(&envelopes), &LIMITS);
            prop_assert_eq!(again, Ok(envelopes));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn frames_round_trip_in_the_order_of_their_sections(
            messages in prop::collection::vec(strategies::envelope(), 0..12)
        ) {
            let frame = encode_frame(&messages);
            let mut expected = messages;
            expected.sort_by_key(|envelope| match message::section(&envelope.message.body) {
                Section::Heartbeats => 0,
                Section::HeartbeatResponses => 1,
                Section::Messages => 2,
            });
            prop_assert_eq!(decode_frame(&frame, &LIMITS), Ok(expected));
        }

        #[test]
        fn damaged_frames_are_refused_or_read_without_panic(
            messages in prop::collection::vec(strategies::envelope(), 0..6),
            damages in prop::collection::vec(strategies::damage(), 1..4),
        ) {
            let mut bytes = encode_frame(&messages).to_vec();
            for damage in damages {
                if !bytes.is_empty() {
                    bytes = damage.applied_to(bytes);
                }
            }
            check_any_bytes(bytes)?;
        }

        #[test]
        fn random_bytes_are_refused_or_read_without_panic(
            counts in [0..3u8, 0..3u8, 0..3u8], kind in 0..12u8,
            bytes in prop::collection::vec(any::<u8>(), 0..300), raw in any::<bool>(),
        ) {
            let [heartbeats, responses, messages] = counts.map(|count| [count, 0, 0, 0]);
            let mut frame = if raw {
                vec![]
            } else {
                [&[FRAME_VERSION][..], &heartbeats, &responses, &messages].concat()
            };
            frame.extend(bytes);
            // The kind of the first message, if there is one where no heartbeats precede it.
            if let Some(first) = frame.get_mut(13 + 28) {
                *first = kind;
            }
            check_any_bytes(frame)?;
        }
    }
}
