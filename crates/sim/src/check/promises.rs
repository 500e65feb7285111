//! The durability rule: no message leaves before what it promises is on its sender's disk, that very
//! entry and not another one at its place, and none calls committed what is not.

use codec::Envelope;
use raft_core::MessageBody;
use types::LogIndex;

use crate::breach::{Held, breach};
use crate::check::commits::Commits;
use crate::disk::{GroupOnDisk, Image};
use crate::stamps::Stamps;

/// A message that leaves `node`, whose log of the group is `log`, what is not durable included.
pub(crate) fn check(
    node: u64,
    envelope: &Envelope,
    disk: &Image,
    log: &Stamps,
    commits: &Commits,
) -> Held {
    let message = &envelope.message;
    let on_disk = disk.group(envelope.group);
    let hard_state = on_disk.map(|group| group.hard_state).unwrap_or_default();
    let last = on_disk.map(GroupOnDisk::last).unwrap_or_default();
    let votes_for = |replica| {
        hard_state.term > message.term
            || (hard_state.term == message.term && hard_state.vote == Some(replica))
    };
    let holds = |index| {
        let stamp = on_disk.and_then(|group| group.stamps.at(index));
        index == LogIndex::ZERO || stamp.is_some() && stamp == log.at(index)
    };
    let speaks_for_its_term = message.term <= hard_state.term;
    let is_kept = match message.body {
        // Changes nobody's term, and promises nothing.
        MessageBody::PreVote { .. } | MessageBody::PreVoteResponse { .. } => true,
        MessageBody::Accepted { matched } => speaks_for_its_term && holds(matched),
        MessageBody::Vote { .. } => speaks_for_its_term && votes_for(message.from),
        MessageBody::VoteResponse { granted: true } => speaks_for_its_term && votes_for(message.to),
        MessageBody::VoteResponse { granted: false }
        | MessageBody::Append { .. }
        | MessageBody::Rejected { .. }
        | MessageBody::Heartbeat { .. }
        | MessageBody::HeartbeatResponse { .. }
        | MessageBody::TimeoutNow => speaks_for_its_term,
    };
    if !is_kept {
        let what = format!(
            "node {node}, group {}: {message:?} leaves with {hard_state:?} and {last} on disk",
            envelope.group
        );
        return breach("no message leaves before what it promises is durable", what);
    }
    let known = commits.last(envelope.group);
    match commit_of(&message.body) {
        Some(commit) if commit > known => {
            let what = format!("node {node}, group {}: {commit} after {known}", envelope.group);
            breach("no message calls committed what is not", what)
        }
        Some(_) | None => Ok(()),
    }
}

const fn commit_of(body: &MessageBody) -> Option<LogIndex> {
    match body {
        MessageBody::Append { commit, .. } | MessageBody::Heartbeat { commit, .. } => Some(*commit),
        MessageBody::PreVote { .. }
        | MessageBody::PreVoteResponse { .. }
        | MessageBody::Vote { .. }
        | MessageBody::VoteResponse { .. }
        | MessageBody::Accepted { .. }
        | MessageBody::Rejected { .. }
        | MessageBody::HeartbeatResponse { .. }
        | MessageBody::TimeoutNow => None,
    }
}

#[cfg(test)]
mod tests {
    use codec::{GroupItem, Item, WriteBatch};
    use raft_core::{EntryRun, HardState, Message, ReadRound, RunBody};
    use types::{Generation, GroupId, LogId, ReplicaId, Term};

    use super::*;
    use crate::plan::Plan;

    const GROUP: GroupId = GroupId(1);

    fn entry(first: u64, term: u64) -> EntryRun {
        EntryRun { first: LogIndex(first), term: Term(term), body: RunBody::TermStart }
    }

    /// A disk with term 5, a vote for replica 2, and two entries.
    fn disk() -> Image {
        let hard_state = HardState { term: Term(5), vote: Some(ReplicaId(2)) };
        let items = [
            Item::Create { replica: ReplicaId(1) },
            Item::HardState(hard_state),
            Item::Append(entry(1, 4)),
            Item::Append(entry(2, 4)),
        ];
        let generation = Generation(1);
        let items = items.map(|item| GroupItem { group: GROUP, generation, item });
        let mut disk = Image::default();
        disk.write(&WriteBatch { items: items.to_vec() });
        disk
    }

    /// Whether replica 1 may say that, having these terms in its log and one entry committed.
    fn may_say(term: u64, body: MessageBody, log: &[u64]) -> bool {
        let mut stamps = Stamps::default();
        (1..).zip(log).for_each(|(first, term)| stamps.extend(&entry(first, *term)));
        let mut commits = Commits::new(&Plan::draw(1, 1));
        commits.commit((1, GROUP, Term(4)), LogIndex(1), &stamps, None, |_| None).unwrap();
        let (from, to, term) = (ReplicaId(1), ReplicaId(2), Term(term));
        let message = Message { from, to, term, body };
        let envelope = Envelope { group: GROUP, generation: Generation(1), message };
        check(1, &envelope, &disk(), &stamps, &commits).is_ok()
    }

    #[test]
    fn an_acknowledgement_needs_that_very_entry_on_disk() {
        let accepted = |matched| MessageBody::Accepted { matched: LogIndex(matched) };
        assert!(may_say(5, accepted(2), &[4, 4]) && may_say(5, accepted(0), &[4]));
        assert!(!may_say(5, accepted(3), &[4, 4, 4]), "3 is not there yet");
        assert!(!may_say(5, accepted(2), &[4, 5]), "another entry stands there");
        assert!(!may_say(6, accepted(2), &[4, 4]), "nor is the term");
    }

    #[test]
    fn a_vote_needs_itself_on_disk() {
        let vote = MessageBody::VoteResponse { granted: true };
        assert!(may_say(5, vote.clone(), &[4, 4]));
        assert!(may_say(4, vote.clone(), &[4, 4]), "a later term is on disk");
        assert!(!may_say(6, vote, &[4, 4]));
        let last = LogId::new(Term(4), LogIndex(2));
        let mine = || MessageBody::Vote { last, is_ordered: false };
        assert!(!may_say(5, mine(), &[4, 4]), "the vote went to replica 2");
    }

    #[test]
    fn whatever_speaks_for_a_term_needs_it_on_disk_but_pre_votes_do_not() {
        let refused = || MessageBody::VoteResponse { granted: false };
        assert!(may_say(5, refused(), &[4]) && !may_say(6, refused(), &[4]));
        let asks = MessageBody::PreVote { next_term: Term(7), last: LogId::ZERO };
        assert!(may_say(6, asks, &[4]));
    }

    #[test]
    fn nobody_calls_committed_what_is_not() {
        let beat = |commit| {
            let round = Some(ReadRound(1));
            MessageBody::Heartbeat { commit: LogIndex(commit), round }
        };
        assert!(may_say(5, beat(1), &[4, 4]) && !may_say(5, beat(2), &[4, 4]));
    }
}
