//! What leaves for the other nodes: one frame per node and turn, one beat per node and interval.
//!
//! A heartbeat without a read round waits for the next beat, so that those of all groups travel
//! together; its answer waits too, unless another frame goes there earlier or a group's leader has no
//! patience for that. Everything else goes with the turn that caused it. In plain mode everything
//! goes at once, each in a frame of its own.
//!
//! Invariants: `peers` is sorted by node; the order of messages of one kind to one node is kept.

use alloc::vec::Vec;

use codec::{Envelope, FrameLimits, encode_frame, messages_within};
use raft_core::MessageBody;
use types::NodeId;

use crate::OutFrame;

/// What no heartbeat takes more than on the wire, nor an answer to one.
const BEAT_BYTES_MAX: usize = 40;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Heartbeat,
    Answer,
    Other,
}

impl Kind {
    const fn of(envelope: &Envelope) -> Self {
        match envelope.message.body {
            MessageBody::Heartbeat { round: None, .. } => Self::Heartbeat,
            MessageBody::HeartbeatResponse { round: None } => Self::Answer,
            MessageBody::PreVote { .. }
            | MessageBody::PreVoteResponse { .. }
            | MessageBody::Vote { .. }
            | MessageBody::VoteResponse { .. }
            | MessageBody::Append { .. }
            | MessageBody::Accepted { .. }
            | MessageBody::Rejected { .. }
            | MessageBody::Heartbeat { round: Some(_), .. }
            | MessageBody::HeartbeatResponse { round: Some(_) }
            | MessageBody::TimeoutNow => Self::Other,
        }
    }
}

#[derive(Debug)]
struct Peer {
    node: NodeId,
    /// Heartbeats without a read round.
    heartbeats: Vec<Envelope>,
    /// Their answers.
    answers: Vec<Envelope>,
    /// Everything else.
    others: Vec<Envelope>,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    peers: Vec<Peer>,
    limits: FrameLimits,
    plain: bool,
    /// Whether answers to heartbeats wait for a beat.
    answers_wait: bool,
}

impl Outbox {
    pub(crate) const fn new(limits: FrameLimits, plain: bool) -> Self {
        Self { peers: Vec::new(), limits, plain, answers_wait: !plain }
    }

    /// From now on answers leave with the turn that gave them, those of all groups in one frame.
    pub(crate) const fn answer_at_once(&mut self) {
        self.answers_wait = false;
    }

    /// Takes a message to `node`; it leaves with one of the next flushes.
    pub(crate) fn put(&mut self, node: NodeId, envelope: Envelope) {
        let (plain, answers_wait) = (self.plain, self.answers_wait);
        let peer = self.peer(node);
        let queue = match Kind::of(&envelope) {
            Kind::Heartbeat if !plain => &mut peer.heartbeats,
            Kind::Answer if answers_wait => &mut peer.answers,
            Kind::Heartbeat | Kind::Answer | Kind::Other => &mut peer.others,
        };
        queue.push(envelope);
    }

    /// How many messages wait for a beat to one node, at most.
    pub(crate) fn waiting_max(&self) -> usize {
        let waiting = self.peers.iter().map(|peer| peer.heartbeats.len() + peer.answers.len());
        waiting.max().unwrap_or_default()
    }

    fn peer(&mut self, node: NodeId) -> &mut Peer {
        let position = match self.peers.binary_search_by_key(&node, |peer| peer.node) {
            Ok(position) => position,
            Err(position) => {
                let (heartbeats, answers, others) = (Vec::new(), Vec::new(), Vec::new());
                self.peers.insert(position, Peer { node, heartbeats, answers, others });
                position
            }
        };
        &mut self.peers[position]
    }

    /// Frames what leaves now, node by node; what waits for a beat leaves only if `is_beat_due`, or
    /// if it fills a frame.
    pub(crate) fn flush(&mut self, is_beat_due: bool, frames: &mut Vec<OutFrame>) {
        let (limits, plain) = (self.limits, self.plain);
        for peer in &mut self.peers {
            let waiting = peer.heartbeats.len() + peer.answers.len();
            let is_full = waiting.saturating_mul(BEAT_BYTES_MAX) >= limits.frame_bytes_max
                || waiting >= limits.messages_max;
            if is_beat_due || is_full {
                peer.heartbeats.append(&mut peer.answers);
                frame_all(peer.node, &mut peer.heartbeats, &limits, frames);
            }
            if plain {
                frame_each(peer.node, &mut peer.others, frames);
            } else if !peer.others.is_empty() {
                peer.others.append(&mut peer.answers);
                frame_all(peer.node, &mut peer.others, &limits, frames);
            }
        }
    }
}

/// Frames all messages, as many per frame as fit, in any case one; empties the queue.
fn frame_all(
    to: NodeId,
    queue: &mut Vec<Envelope>,
    limits: &FrameLimits,
    frames: &mut Vec<OutFrame>,
) {
    let mut rest = queue.as_slice();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(messages_within(rest, limits));
        frames.push(frame(to, now));
        rest = later;
    }
    queue.clear();
}

/// Frames every message by itself; empties the queue.
fn frame_each(to: NodeId, queue: &mut Vec<Envelope>, frames: &mut Vec<OutFrame>) {
    frames.extend(queue.chunks(1).map(|one| frame(to, one)));
    queue.clear();
}

fn frame(to: NodeId, messages: &[Envelope]) -> OutFrame {
    let is_beat = messages.iter().all(|envelope| Kind::of(envelope) != Kind::Other);
    OutFrame { to, bytes: encode_frame(messages), is_beat }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use codec::decode_frame;
    use raft_core::{Message, ReadRound};
    use types::{Generation, GroupId, LogIndex, ReplicaId, Term};

    use super::*;

    fn envelope(group: u64, body: MessageBody) -> Envelope {
        let (from, to, term) = (ReplicaId(1), ReplicaId(2), Term(3));
        let message = Message { from, to, term, body };
        Envelope { group: GroupId(group), generation: Generation(1), message }
    }

    fn heartbeat(group: u64) -> Envelope {
        envelope(group, MessageBody::Heartbeat { commit: LogIndex(5), round: None })
    }

    fn answer(group: u64) -> Envelope {
        envelope(group, MessageBody::HeartbeatResponse { round: None })
    }

    fn round(group: u64) -> Envelope {
        let round = Some(ReadRound(1));
        envelope(group, MessageBody::Heartbeat { commit: LogIndex(5), round })
    }

    fn messages(bytes: &Bytes) -> Vec<Envelope> {
        decode_frame(bytes, &FrameLimits::default()).unwrap()
    }

    fn flushed(outbox: &mut Outbox, is_beat_due: bool) -> Vec<(u64, bool, Vec<Envelope>)> {
        let mut frames = Vec::new();
        outbox.flush(is_beat_due, &mut frames);
        frames.iter().map(|f| (f.to.0, f.is_beat, messages(&f.bytes))).collect()
    }

    #[test]
    fn heartbeats_of_all_groups_share_one_beat() {
        let mut outbox = Outbox::new(FrameLimits::default(), false);
        outbox.put(NodeId(2), heartbeat(7));
        outbox.put(NodeId(2), answer(3));
        outbox.put(NodeId(2), heartbeat(8));
        outbox.put(NodeId(1), heartbeat(7));
        assert_eq!(flushed(&mut outbox, false), []);
        let one = (1, true, [heartbeat(7)].into());
        let two = (2, true, [heartbeat(7), heartbeat(8), answer(3)].into());
        assert_eq!(flushed(&mut outbox, true), [one, two]);
        assert_eq!(flushed(&mut outbox, true), []);
    }

    #[test]
    fn answers_ride_in_an_earlier_frame_and_heartbeats_do_not() {
        let mut outbox = Outbox::new(FrameLimits::default(), false);
        outbox.put(NodeId(2), heartbeat(7));
        outbox.put(NodeId(2), answer(3));
        outbox.put(NodeId(2), round(4));
        assert_eq!(flushed(&mut outbox, false), [(2, false, [answer(3), round(4)].into())]);
        assert_eq!(flushed(&mut outbox, true), [(2, true, [heartbeat(7)].into())]);
    }

    #[test]
    fn answers_of_all_groups_leave_in_one_frame_at_once_where_they_cannot_wait() {
        let mut outbox = Outbox::new(FrameLimits::default(), false);
        outbox.answer_at_once();
        outbox.put(NodeId(2), heartbeat(7));
        outbox.put(NodeId(2), answer(3));
        outbox.put(NodeId(2), answer(4));
        assert_eq!(flushed(&mut outbox, false), [(2, true, [answer(3), answer(4)].into())]);
        assert_eq!(flushed(&mut outbox, true), [(2, true, [heartbeat(7)].into())]);
    }

    #[test]
    fn plain_mode_sends_each_message_by_itself_at_once() {
        let mut outbox = Outbox::new(FrameLimits::default(), true);
        outbox.put(NodeId(2), heartbeat(7));
        outbox.put(NodeId(2), round(4));
        let expected = [(2, true, [heartbeat(7)].into()), (2, false, [round(4)].into())];
        assert_eq!(flushed(&mut outbox, false), expected);
    }

    #[test]
    fn frames_split_at_their_limit_and_keep_order() {
        let limits = FrameLimits { frame_bytes_max: 300, ..FrameLimits::default() };
        let mut outbox = Outbox::new(limits, false);
        let all: Vec<Envelope> = (0..20).map(round).collect();
        all.iter().for_each(|envelope| outbox.put(NodeId(2), envelope.clone()));
        let mut frames = Vec::new();
        outbox.flush(false, &mut frames);
        assert!(frames.len() > 2 && frames.iter().all(|f| f.bytes.len() <= 300));
        let sent: Vec<Envelope> = frames.iter().flat_map(|f| messages(&f.bytes)).collect();
        assert_eq!(sent, all);
    }

    #[test]
    fn beats_that_fill_a_frame_do_not_wait() {
        let limits = FrameLimits { messages_max: 3, ..FrameLimits::default() };
        let mut outbox = Outbox::new(limits, false);
        (0..3).for_each(|group| outbox.put(NodeId(2), answer(group)));
        assert_eq!(flushed(&mut outbox, false).len(), 1);
    }
}
