//! Whether this node should lead at all: one switch for all groups, those included that are mounted
//! later.

use raft_core::Fitness;

use crate::MultiRaft;

impl MultiRaft {
    /// Says whether this node should lead, for instance because its disk does not answer; returns
    /// how many groups heard of it at once. Repetition changes nothing.
    ///
    /// **Effects**: an unfit node steps down from every group that it leads; who waits for them
    /// learns of it from the next ready. It campaigns for none until it is fit again. Costs in
    /// proportion to the groups led and those with input in this turn: every other group hears of
    /// it when it has something to do.
    pub fn set_fitness(&mut self, fitness: Fitness) -> usize {
        self.groups.set_fitness(fitness)
    }

    /// Whether this node should lead, as it was told last.
    #[must_use]
    pub const fn fitness(&self) -> Fitness {
        self.groups.fitness()
    }
}
