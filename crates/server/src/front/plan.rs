//! Which commands of a pipeline have to wait for which.
//!
//! A pipeline's commands are done in waves: all of a wave at once, one wave after the other. What
//! a client may count on, and no more:
//! - A read sees every earlier write of its slot, and no later one.
//! - Writes of one slot happen in the order in which they were sent.
//! - A survey (DBSIZE, SCAN) sees every earlier write, and no later one.
//!
//! Commands of different slots are independent: they were sent without waiting for each other's
//! replies, so either order is as good. Within a wave a slot has only reads or only writes; writes
//! of one slot may share a wave, since the log keeps their order.

use super::few::Few;

/// What a command does, as far as order is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Read(u16),
    Write(u16),
    Survey,
}

/// Hands out waves, counted from 0.
#[derive(Debug, Default)]
pub(crate) struct Planner {
    /// Of each slot, the wave of its last command, and whether that was a write.
    slots: Few<u16, (usize, bool)>,
    /// The last wave that has a write.
    last_write: Option<usize>,
    /// The first wave that a write may be in: behind the last survey.
    writes_from: usize,
}

impl Planner {
    /// The wave of the next command.
    pub(crate) fn wave(&mut self, access: Access) -> usize {
        match access {
            Access::Read(slot) => {
                let wave = match self.slots.get(slot) {
                    None => 0,
                    Some((wave, false)) => wave,
                    Some((wave, true)) => wave + 1,
                };
                self.slots.insert(slot, (wave, false));
                wave
            }
            Access::Write(slot) => {
                let wave = match self.slots.get(slot) {
                    None => 0,
                    Some((wave, true)) => wave,
                    Some((wave, false)) => wave + 1,
                };
                let wave = wave.max(self.writes_from);
                self.slots.insert(slot, (wave, true));
                self.last_write = self.last_write.max(Some(wave));
                wave
            }
            Access::Survey => {
                let wave = self.last_write.map_or(0, |wave| wave + 1);
                self.writes_from = self.writes_from.max(wave + 1);
                wave
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::Access::{Read, Survey, Write};
    use super::*;

    fn waves(commands: &[Access]) -> Vec<usize> {
        let mut planner = Planner::default();
        commands.iter().map(|access| planner.wave(*access)).collect()
    }

    #[test]
    fn independent_commands_share_a_wave() {
        assert_eq!(waves(&[Read(1), Write(2), Read(3), Write(4), Write(2)]), [0, 0, 0, 0, 0]);
    }

    #[test]
    fn reads_and_writes_of_one_slot_take_turns() {
        let commands = [Write(1), Write(1), Read(1), Read(1), Write(1), Read(1), Read(2)];
        assert_eq!(waves(&commands), [0, 0, 1, 1, 2, 3, 0]);
    }

    #[test]
    fn a_survey_stands_between_writes() {
        assert_eq!(
            waves(&[Survey, Write(1), Survey, Survey, Write(2), Read(3)]),
            [0, 1, 2, 2, 3, 0]
        );
    }

    fn access() -> impl Strategy<Value = Access> {
        prop_oneof![
            4 => (0..3_u16).prop_map(Read),
            4 => (0..3_u16).prop_map(Write),
            1 => Just(Survey),
        ]
    }

    proptest! {
        #[test]
        fn what_depends_on_each_other_keeps_its_order(commands in vec(access(), 0..40)) {
            let waves = waves(&commands);
            for later in 0..commands.len() {
                for earlier in 0..later {
                    let (before, after) = (waves[earlier], waves[later]);
                    let (strictly, at_least) = match (commands[earlier], commands[later]) {
                        (Read(a), Write(b)) | (Write(a), Read(b)) => (a == b, false),
                        (Write(a), Write(b)) => (false, a == b),
                        (Survey, Write(_)) | (Write(_), Survey) => (true, false),
                        (Read(_), Read(_) | Survey) | (Survey, Read(_) | Survey) => (false, false),
                    };
                    prop_assert!(!strictly || before < after);
                    prop_assert!(!at_least || before <= after);
                }
            }
        }
    }
}
