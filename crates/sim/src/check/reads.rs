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
