//! Promises to leaders: whoever heard a leader helps nobody else to be elected before the shortest
//! election timeout has passed on its clock, and neither asks for help itself (dissertation 4.2.3,
//! 6.4.1). Whoever was started again may have heard one just before.
//!
//! Seen from pre-votes, which come before every election but one that a leader orders.

use codec::Envelope;
use raft_core::MessageBody;
use types::GroupId;

use super::Replicas;
use crate::breach::{Held, breach};
use crate::plan::Plan;

/// Until when each replica is bound, in ticks of its node's clock.
#[derive(Debug)]
pub(crate) struct Bonds {
    until: Replicas<u64>,
}

impl Bonds {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { until: Replicas::new(plan, 0) }
    }

    /// A replica is mounted, and may have made promises that bind until then.
    pub(crate) fn start(&mut self, node: u64, group: GroupId, until: u64) {
        *self.until.of_mut(node, group) = until;
    }

    /// A replica heard the leader of its term: it is bound until then.
    pub(crate) fn hear(&mut self, node: u64, group: GroupId, until: u64) {
        let bound = self.until.of_mut(node, group);
        *bound = until.max(*bound);
    }

    /// A message leaves `node`, whose clock shows `now`.
    pub(crate) fn check(&self, node: u64, envelope: &Envelope, now: u64) -> Held {
        let helps = match envelope.message.body {
            MessageBody::PreVote { .. } | MessageBody::PreVoteResponse { granted: true, .. } => {
                true
            }
            MessageBody::PreVoteResponse { granted: false, .. }
            | MessageBody::Vote { .. }
            | MessageBody::VoteResponse { .. }
            | MessageBody::Append { .. }
            | MessageBody::Accepted { .. }
            | MessageBody::Rejected { .. }
            | MessageBody::Heartbeat { .. }
            | MessageBody::HeartbeatResponse { .. }
            | MessageBody::TimeoutNow => false,
        };
        let until = *self.until.of(node, envelope.group);
        if !helps || now >= until {
            return Ok(());
        }
        let (group, message) = (envelope.group, &envelope.message);
        let what = format!("node {node}, group {group}: {message:?} at {now}, bound until {until}");
        breach("promises to leaders bind", what)
    }
}

#[cfg(test)]
mod tests {
    use raft_core::Message;
    use types::{Generation, LogId, ReplicaId, Term};

    use super::*;

    fn check(bonds: &Bonds, body: MessageBody, now: u64) -> bool {
        let (from, to, term) = (ReplicaId(1), ReplicaId(2), Term(3));
        let message = Message { from, to, term, body };
        let envelope = Envelope { group: GroupId(1), generation: Generation(1), message };
        bonds.check(1, &envelope, now).is_ok()
    }

    #[test]
    fn whoever_heard_a_leader_grants_and_asks_nothing_for_a_while() {
        let mut bonds = Bonds::new(&Plan::draw(1, 1));
        let answer = |granted| MessageBody::PreVoteResponse { next_term: Term(4), granted };
        let question = || MessageBody::PreVote { next_term: Term(4), last: LogId::ZERO };
        assert!(check(&bonds, answer(true), 1) && check(&bonds, question(), 1));
        bonds.hear(1, GroupId(1), 11);
        bonds.hear(1, GroupId(1), 9);
        assert!(!check(&bonds, answer(true), 10) && !check(&bonds, question(), 10));
        assert!(check(&bonds, answer(false), 10));
        assert!(check(&bonds, answer(true), 11) && check(&bonds, question(), 11));
    }

    #[test]
    fn a_start_binds_as_long_as_what_was_promised_before_may() {
        let mut bonds = Bonds::new(&Plan::draw(1, 1));
        bonds.hear(1, GroupId(1), 500);
        bonds.start(1, GroupId(1), 10);
        let answer = || MessageBody::PreVoteResponse { next_term: Term(4), granted: true };
        assert!(!check(&bonds, answer(), 9));
        assert!(check(&bonds, answer(), 10), "the clock begins anew");
    }
}
