//! What must hold over all of history, whoever crashed meanwhile.

use std::collections::BTreeMap;

use raft_core::{EntryRun, Message, MessageBody, RaftNode};
use types::{LogIndex, Term};

use super::disk::Disk;

#[derive(Default)]
pub(crate) struct Oracle {
    leaders: BTreeMap<Term, u32>,
    /// Every entry that was ever delivered as committed, one run per entry, from index 1.
    pub(crate) committed: Vec<EntryRun>,
    pub(crate) deliveries: u64,
}

impl Oracle {
    /// At most one leader per term; it has every committed entry.
    pub(crate) fn check_leader(&mut self, n: u32, term: Term, raft: &RaftNode) {
        let first = *self.leaders.entry(term).or_insert(n);
        assert_eq!(first, n, "two leaders of term {term}");
        let end = LogIndex(self.committed.len() as u64);
        assert!(
            raft.last_index() >= end,
            "leader {n} of term {term} ends at {}, {end} is committed",
            raft.last_index()
        );
    }

    /// The same index always holds the same entry, and indexes have no gaps.
    pub(crate) fn check_committed(&mut self, runs: &[EntryRun]) {
        for run in runs {
            for n in run.first.0..=run.last().0 {
                let entry = run.slice(LogIndex(n), LogIndex(n)).unwrap();
                let place = usize::try_from(n - 1).unwrap();
                self.deliveries += 1;
                match self.committed.get(place) {
                    Some(known) => assert_eq!(*known, entry, "two entries committed at {n}"),
                    None => {
                        assert_eq!(place, self.committed.len(), "a gap before {n}");
                        self.committed.push(entry);
                    }
                }
            }
        }
    }

    /// Nothing leaves before what it promises is on the sender's disk.
    pub(crate) fn check_message(&self, message: &Message, disk: &Disk) {
        let is_pre = matches!(
            message.body,
            MessageBody::PreVote { .. } | MessageBody::PreVoteResponse { .. }
        );
        assert!(
            is_pre || message.term <= disk.hard_state.term,
            "{message:?} speaks for a term beyond {:?}",
            disk.hard_state
        );
        match &message.body {
            MessageBody::Accepted { matched } => assert!(
                *matched <= disk.last(),
                "{message:?} vouches for more than the disk's {}",
                disk.last()
            ),
            MessageBody::Vote { .. } => {
                assert_eq!(disk.hard_state.vote, Some(message.from), "{message:?}");
            }
            MessageBody::VoteResponse { granted: true } => {
                let durable = (disk.hard_state.term, disk.hard_state.vote);
                assert_eq!(durable, (message.term, Some(message.to)), "{message:?}");
            }
            _ => {}
        }
    }
}
