//! Linearizable reads without log entries: the read index (dissertation 6.4).
//!
//! A read waits until a round of heartbeats, sent after the read was asked, is answered by a quorum;
//! then everything committed when the round began may be read. Rounds have numbers of their own,
//! unique in the leader's term, so that an answer to an older round confirms nothing newer
//! (ER#12680, E#20418), and many reads share one round.
//!
//! Invariants: round numbers rise; an answer to a round confirms it and every earlier one.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use types::{LogIndex, ReplicaId};

use crate::{Configuration, ReadAnswer, ReadId, ReadRound, quorum};

/// How many rounds are under way at most; further reads share the next one.
const ROUNDS_OPEN_MAX: usize = 4;

#[derive(Debug)]
struct Round {
    number: ReadRound,
    index: LogIndex,
    reads: Vec<ReadId>,
    confirmed_by: Vec<ReplicaId>,
}

#[derive(Debug, Default)]
pub(crate) struct Reads {
    last_number: u64,
    waiting: Vec<ReadId>,
    open: VecDeque<Round>,
}

impl Reads {
    /// No reads, and round numbers that go on after `last_number`.
    pub(crate) fn after(last_number: u64) -> Self {
        Self { last_number, ..Self::default() }
    }

    pub(crate) const fn last_number(&self) -> u64 {
        self.last_number
    }

    pub(crate) fn ask(&mut self, id: ReadId) {
        self.waiting.push(id);
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.open.iter().map(|round| round.reads.len()).sum::<usize>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty()
    }

    /// The newest round that is not confirmed yet, for heartbeats to repeat.
    pub(crate) fn newest_open(&self) -> Option<ReadRound> {
        self.open.back().map(|round| round.number)
    }

    /// Starts a round for all waiting reads, if there are any and there is room for one.
    pub(crate) fn start(&mut self, committed: LogIndex) -> Option<ReadRound> {
        if self.waiting.is_empty() || self.open.len() >= ROUNDS_OPEN_MAX {
            return None;
        }
        self.last_number += 1;
        let number = ReadRound(self.last_number);
        let reads = core::mem::take(&mut self.waiting);
        self.open.push_back(Round { number, index: committed, reads, confirmed_by: Vec::new() });
        Some(number)
    }

    /// `from` confirmed `number`; pushes the reads that may be served now to `answers`.
    pub(crate) fn confirm(
        &mut self,
        from: ReplicaId,
        number: ReadRound,
        me: ReplicaId,
        configuration: &Configuration,
        answers: &mut Vec<ReadAnswer>,
    ) {
        for round in self.open.iter_mut().filter(|round| round.number <= number) {
            if !round.confirmed_by.contains(&from) {
                round.confirmed_by.push(from);
            }
        }
        while let Some(round) = self.open.front() {
            let agrees = |replica| replica == me || round.confirmed_by.contains(&replica);
            if !quorum::is_reached(configuration, agrees) {
                break;
            }
            let index = Some(round.index);
            answers.extend(round.reads.iter().map(|id| ReadAnswer { id: *id, index }));
            self.open.pop_front();
        }
    }

    /// Leadership is lost: no read can be served any more.
    pub(crate) fn fail(&mut self, answers: &mut Vec<ReadAnswer>) {
        let open = self.open.drain(..).flat_map(|round| round.reads);
        answers.extend(open.chain(self.waiting.drain(..)).map(|id| ReadAnswer { id, index: None }));
    }
}

#[cfg(test)]
mod tests {
    use types::{NodeId, StoreId};

    use super::*;
    use crate::Replica;

    fn three() -> Configuration {
        let voters = (1..=3).map(|n| Replica {
            id: ReplicaId(n),
            node: NodeId(u64::from(n)),
            store: StoreId(u128::from(n)),
        });
        Configuration::new(voters.collect(), Vec::new(), Vec::new()).unwrap()
    }

    #[test]
    fn reads_of_a_round_share_its_quorum() {
        let (configuration, mut reads, mut answers) = (three(), Reads::default(), Vec::new());
        reads.ask(ReadId(1));
        reads.ask(ReadId(2));
        let round = reads.start(LogIndex(7)).unwrap();
        reads.confirm(ReplicaId(2), round, ReplicaId(1), &configuration, &mut answers);
        let index = Some(LogIndex(7));
        assert_eq!(answers, [1, 2].map(|n| ReadAnswer { id: ReadId(n), index }));
    }

    #[test]
    fn an_answer_to_an_old_round_does_not_confirm_a_new_one() {
        let (configuration, mut reads, mut answers) = (three(), Reads::default(), Vec::new());
        reads.ask(ReadId(1));
        let old = reads.start(LogIndex(7)).unwrap();
        reads.ask(ReadId(1));
        let new = reads.start(LogIndex(7)).unwrap();
        assert!(new > old);
        reads.confirm(ReplicaId(2), old, ReplicaId(1), &configuration, &mut answers);
        assert_eq!(answers.len(), 1);
        reads.confirm(ReplicaId(3), new, ReplicaId(1), &configuration, &mut answers);
        assert_eq!(answers.len(), 2);
    }

    #[test]
    fn lost_leadership_fails_all() {
        let (mut reads, mut answers) = (Reads::default(), Vec::new());
        reads.ask(ReadId(1));
        reads.start(LogIndex(7));
        reads.ask(ReadId(2));
        reads.fail(&mut answers);
        assert_eq!(answers, [1, 2].map(|n| ReadAnswer { id: ReadId(n), index: None }));
        assert!(reads.is_empty());
    }

    #[test]
    fn rounds_are_bounded() {
        let mut reads = Reads::default();
        for n in 0..10 {
            reads.ask(ReadId(n));
            reads.start(LogIndex(1));
        }
        assert_eq!(reads.open.len(), ROUNDS_OPEN_MAX);
        assert_eq!(reads.waiting.len(), 10 - ROUNDS_OPEN_MAX);
    }
}
