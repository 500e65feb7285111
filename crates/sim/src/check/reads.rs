//! Linearizable operations, as far as can be told at once: whoever asks sees everything that anybody
//! was told before he asked, and a write comes after everything that was told before it.

use types::{GroupId, LogIndex};

use super::{group_place, of_groups};
use crate::breach::{Held, breach};
use crate::client::Attempt;
use crate::machine::Value;
use crate::plan::Plan;

#[derive(Debug)]
pub(crate) struct Reads {
    /// Per group: the newest entry that anybody was told of, of each key and of all.
    told: Vec<(Vec<LogIndex>, LogIndex)>,
}

impl Reads {
    pub(crate) fn new(plan: &Plan) -> Self {
        let keys = usize::try_from(plan.keys).expect("a few keys");
        Self { told: of_groups(plan, (vec![LogIndex::ZERO; keys], LogIndex::ZERO)) }
    }

    /// The newest write of a key, and the newest entry of its group, that anybody was told of.
    pub(crate) fn floors(&self, group: GroupId, key: u16) -> (LogIndex, LogIndex) {
        let (keys, all) = &self.told[group_place(group)];
        (keys.get(usize::from(key)).copied().unwrap_or_default(), *all)
    }

    fn tell(&mut self, attempt: &Attempt, of_key: LogIndex, of_group: LogIndex) {
        let (keys, all) = &mut self.told[group_place(attempt.group)];
        if let Some(told) = keys.get_mut(usize::from(attempt.key)) {
            *told = of_key.max(*told);
        }
        *all = of_group.max(*all);
    }

    /// A write is acknowledged at `index`.
    pub(crate) fn written(&mut self, attempt: &Attempt, index: LogIndex) -> Held {
        if index <= attempt.group_floor {
            let what = format!("{attempt:?} stands at {index}");
            return breach("a write comes after what was told before it", what);
        }
        self.tell(attempt, index, index);
        Ok(())
    }

    /// A read is served as of `index`, by a machine that has applied `applied`, with `value`.
    pub(crate) fn read(
        &mut self,
        attempt: &Attempt,
        index: LogIndex,
        applied: LogIndex,
        value: Value,
    ) -> Held {
        if applied < index {
            let what = format!("{attempt:?} at {index} with {applied} applied");
            return breach("a read waits for the machine", what);
        }
        if index < attempt.group_floor || value.index < attempt.floor {
            let what = format!("{attempt:?} is served {value:?} as of {index}");
            return breach("a read sees what was told before it", what);
        }
        self.tell(attempt, value.index, index);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::histories::Histories;
    use crate::client::Kind;

    const GROUP: GroupId = GroupId(1);

    /// Somebody asks now.
    fn attempt(reads: &Reads, kind: Kind) -> Attempt {
        let (floor, group_floor) = reads.floors(GROUP, 0);
        Attempt {
            wish: 0,
            group: GROUP,
            key: 0,
            kind,
            node: 1,
            boot: None,
            tries: 0,
            is_redirect: false,
            is_cancelled: false,
            floor,
            group_floor,
            record: Histories::default().invoke(1, GROUP, 0, kind),
        }
    }

    fn value(index: u64) -> Value {
        Value { operation: 7, index: LogIndex(index) }
    }

    /// Somebody was told of a write at 5.
    fn told_of_five() -> Reads {
        let mut reads = Reads::new(&Plan::draw(1, 1));
        let write = attempt(&reads, Kind::Write);
        reads.written(&write, LogIndex(5)).unwrap();
        reads
    }

    #[test]
    fn a_read_that_misses_what_was_told_before_it_is_a_breach() {
        let mut reads = told_of_five();
        let read = attempt(&reads, Kind::Read);
        let mut served = |index, applied, at| {
            reads.read(&read, LogIndex(index), LogIndex(applied), value(at)).is_ok()
        };
        assert!(!served(4, 9, 5), "served as of before the write");
        assert!(!served(5, 9, 3), "another value than the write's");
        assert!(!served(6, 5, 5), "the machine is not there yet");
        assert!(served(5, 5, 5) && served(6, 7, 5));
    }

    #[test]
    fn a_read_that_was_asked_before_may_miss_it() {
        let mut reads = Reads::new(&Plan::draw(1, 1));
        let (write, read) = (attempt(&reads, Kind::Write), attempt(&reads, Kind::Read));
        reads.written(&write, LogIndex(5)).unwrap();
        assert!(reads.read(&read, LogIndex(4), LogIndex(4), value(3)).is_ok());
    }

    #[test]
    fn what_one_reader_saw_no_later_one_misses() {
        let mut reads = told_of_five();
        let read = attempt(&reads, Kind::Read);
        reads.read(&read, LogIndex(8), LogIndex(8), value(8)).unwrap();
        let later = attempt(&reads, Kind::Read);
        assert!(reads.read(&later, LogIndex(8), LogIndex(8), value(5)).is_err());
    }

    #[test]
    fn a_write_that_stands_before_what_was_told_is_a_breach() {
        let mut reads = told_of_five();
        let write = attempt(&reads, Kind::Write);
        assert!(reads.written(&write, LogIndex(5)).is_err());
        assert!(reads.written(&write, LogIndex(6)).is_ok());
    }
}
