//! Where messages from other nodes come in: dispatched by (group, generation, to replica) only, and
//! heard only from replicas of the configuration that live where the message came from.

use bytes::Bytes;
use codec::{Envelope, FrameError, decode_frame};
use raft_core::{Message, MessageBody, Replica};
use types::NodeId;

use crate::groups::Slot;
use crate::{Counters, MultiRaft, StepError};

impl MultiRaft {
    /// Takes a message of any kind that node `from` sent; the answer comes in a later ready, once
    /// what it promises is durable.
    ///
    /// # Errors
    /// The message is refused and counted, and no group is touched.
    pub fn step(&mut self, from: NodeId, envelope: Envelope) -> Result<(), StepError> {
        let result = self.dispatch(from, envelope);
        self.counters.count(&result);
        result
    }

    /// As [`Self::step`], for a leader's entries and its heartbeats. Source: paper figure 2.
    ///
    /// # Errors
    /// As [`Self::step`]; [`StepError::OtherKind`] for any other message.
    pub fn handle_append_entries(
        &mut self,
        from: NodeId,
        envelope: Envelope,
    ) -> Result<(), StepError> {
        self.enter(from, envelope, "entries or a heartbeat", |body| {
            matches!(body, MessageBody::Append { .. } | MessageBody::Heartbeat { .. })
        })
    }

    /// As [`Self::step`], for the answers to entries and heartbeats.
    ///
    /// # Errors
    /// As [`Self::step`]; [`StepError::OtherKind`] for any other message.
    pub fn handle_append_entries_response(
        &mut self,
        from: NodeId,
        envelope: Envelope,
    ) -> Result<(), StepError> {
        self.enter(from, envelope, "an answer to entries or a heartbeat", |body| {
            matches!(
                body,
                MessageBody::Accepted { .. }
                    | MessageBody::Rejected { .. }
                    | MessageBody::HeartbeatResponse { .. }
            )
        })
    }

    /// As [`Self::step`], for requests for votes and pre-votes.
    ///
    /// # Errors
    /// As [`Self::step`]; [`StepError::OtherKind`] for any other message.
    pub fn handle_request_vote(
        &mut self,
        from: NodeId,
        envelope: Envelope,
    ) -> Result<(), StepError> {
        self.enter(from, envelope, "a request for a vote or a pre-vote", |body| {
            matches!(body, MessageBody::Vote { .. } | MessageBody::PreVote { .. })
        })
    }

    /// As [`Self::step`], for votes and pre-votes.
    ///
    /// # Errors
    /// As [`Self::step`]; [`StepError::OtherKind`] for any other message.
    pub fn handle_request_vote_response(
        &mut self,
        from: NodeId,
        envelope: Envelope,
    ) -> Result<(), StepError> {
        self.enter(from, envelope, "a vote or a pre-vote", |body| {
            matches!(body, MessageBody::VoteResponse { .. } | MessageBody::PreVoteResponse { .. })
        })
    }

    /// As [`Self::step`], for a leader's order to take over. Source: dissertation 3.10.
    ///
    /// # Errors
    /// As [`Self::step`]; [`StepError::OtherKind`] for any other message.
    pub fn handle_timeout_now(
        &mut self,
        from: NodeId,
        envelope: Envelope,
    ) -> Result<(), StepError> {
        self.enter(from, envelope, "an order to campaign", |body| {
            matches!(body, MessageBody::TimeoutNow)
        })
    }

    fn enter(
        &mut self,
        from: NodeId,
        envelope: Envelope,
        expected: &'static str,
        is_expected: impl Fn(&MessageBody) -> bool,
    ) -> Result<(), StepError> {
        if is_expected(&envelope.message.body) {
            return self.step(from, envelope);
        }
        let result = Err(StepError::OtherKind { expected });
        self.counters.count(&result);
        result
    }

    /// Takes all messages of a frame that node `from` sent. One that is refused is counted and does
    /// not stop the others.
    ///
    /// # Errors
    /// The frame cannot be read; none of its messages was taken.
    pub fn handle_frame(&mut self, from: NodeId, bytes: &Bytes) -> Result<(), FrameError> {
        let messages = match decode_frame(bytes, &self.settings.frame) {
            Ok(messages) => messages,
            Err(error) => {
                self.counters.unreadable_frames += 1;
                return Err(error);
            }
        };
        for envelope in messages {
            // Refusals are counted where they happen, and concern nobody else.
            let _ = self.step(from, envelope);
        }
        Ok(())
    }

    /// Messages to node `to` were dropped on the way out: entries among them are sent again, after
    /// the time in which an answer would have come.
    pub fn report_unreachable(&mut self, to: NodeId, messages: &[Envelope]) {
        for envelope in messages {
            let message = &envelope.message;
            // Whatever else is lost is repeated by the replica itself when it is due.
            if !matches!(message.body, MessageBody::Append { .. }) {
                continue;
            }
            let Some(slot) = self.groups.find(envelope.group) else { continue };
            let hosted = self.groups.get(slot);
            let is_ours = hosted.generation == envelope.generation
                && hosted.node.replica_id() == message.from
                && hosted.node_of(message.to) == Some(to);
            if is_ours {
                self.groups.touch(slot).node.report_unreachable(message.to);
            }
        }
    }

    /// What became of the messages that came in.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    fn dispatch(&mut self, from: NodeId, envelope: Envelope) -> Result<(), StepError> {
        let Envelope { group, generation, message } = envelope;
        let slot = self.groups.find(group).ok_or(StepError::UnknownGroup { group })?;
        let hosted = self.groups.get(slot);
        if hosted.generation != generation {
            let expected = hosted.generation;
            return Err(StepError::OtherGeneration { expected, found: generation });
        }
        let mine = hosted.node.replica_id();
        if mine != message.to {
            return Err(StepError::OtherReplica { expected: mine, found: message.to });
        }
        self.check_sender(from, slot, &message)?;
        let node = &mut self.groups.touch(slot).node;
        node.step(message).map_err(|error| StepError::from_core(error, mine))
    }

    /// Refuses whoever is not in the configuration, or does not live in the store that speaks. A
    /// replica that has yet to learn the configuration listens to everybody.
    fn check_sender(&self, from: NodeId, slot: Slot, message: &Message) -> Result<(), StepError> {
        let configuration = self.groups.get(slot).node.configuration();
        if configuration.is_empty() {
            return Ok(());
        }
        let replica = message.from;
        let Some(Replica { node, store, .. }) = configuration.replica(replica).copied() else {
            return Err(StepError::UnknownSender { replica });
        };
        if node != from {
            return Err(StepError::OtherNode { replica, expected: node, found: from });
        }
        match self.store_of(from) {
            Some(found) if found != store => {
                Err(StepError::OtherStore { replica, expected: store, found })
            }
            _ => Ok(()),
        }
    }
}
