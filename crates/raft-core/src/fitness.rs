//! Whether a replica should lead, as whoever owns it knows: a node whose disk does not answer takes
//! part as far as it can, and leaves leading to others.
//!
//! Fitness decides who leads and nothing else. Whatever a replica promises still waits for its disk,
//! so that votes and acknowledgements are as safe on an unfit replica as on any other.

use crate::RaftNode;
use crate::raft::RoleState;

/// Whether a replica should lead. Not durable: told again after a restart.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Fitness {
    /// It may: campaigns when its time has come.
    #[default]
    Fit,
    /// It must not: neither leads nor campaigns. It votes and acknowledges as its disk permits.
    Unfit,
}

impl RaftNode {
    /// Says whether this replica should lead; repetition changes nothing.
    ///
    /// **Effects**: an unfit leader steps down at once, in its term and without a write, and its
    /// reads end unanswered; an unfit candidate gives up. Whether entries that were proposed here
    /// are committed is for the next leader to decide.
    pub fn set_fitness(&mut self, fitness: Fitness) {
        if self.common.fitness == fitness {
            return;
        }
        self.common.fitness = fitness;
        match (fitness, &self.role) {
            (Fitness::Unfit, RoleState::Leader(_) | RoleState::Candidate(_)) => {
                self.become_follower(None);
            }
            (Fitness::Unfit, RoleState::Follower(_) | RoleState::Halted(_)) | (Fitness::Fit, _) => {
            }
        }
        self.check();
    }

    /// Whether it should lead, as it was told last.
    pub const fn fitness(&self) -> Fitness {
        self.common.fitness
    }
}
