//! The configurations of the log: the newest one counts, from append on, and truncation brings
//! back the one before (dissertation 4.1).
//!
//! Invariants: rising strictly by index; the first one is the base's and is never removed.

use alloc::sync::Arc;
use alloc::vec::Vec;

use types::LogIndex;

use crate::Configuration;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Configurations {
    base: (LogIndex, Arc<Configuration>),
    after: Vec<(LogIndex, Arc<Configuration>)>,
}

impl Configurations {
    pub(crate) const fn new(
        base: (LogIndex, Arc<Configuration>),
        after: Vec<(LogIndex, Arc<Configuration>)>,
    ) -> Self {
        Self { base, after }
    }

    pub(crate) fn current(&self) -> &Arc<Configuration> {
        &self.after.last().unwrap_or(&self.base).1
    }

    pub(crate) fn append(&mut self, index: LogIndex, configuration: Arc<Configuration>) {
        debug_assert!(index > self.after.last().unwrap_or(&self.base).0);
        self.after.push((index, configuration));
    }

    pub(crate) fn truncate(&mut self, from: LogIndex) {
        self.after.retain(|(index, _)| *index < from);
    }
}

#[cfg(test)]
mod tests {
    use types::{NodeId, ReplicaId, StoreId};

    use super::*;
    use crate::Replica;

    #[test]
    fn truncation_brings_back_the_one_before() {
        let one = Replica { id: ReplicaId(1), node: NodeId(1), store: StoreId(1) };
        let real = Configuration::new([one].into(), Vec::new(), Vec::new()).unwrap();
        let empty = Arc::new(Configuration::empty());
        let mut all = Configurations::new((LogIndex(0), empty), Vec::new());
        all.append(LogIndex(1), Arc::new(real.clone()));
        assert_eq!(**all.current(), real);
        all.truncate(LogIndex(2));
        assert_eq!(**all.current(), real);
        all.truncate(LogIndex(1));
        assert!(all.current().is_empty());
    }
}
