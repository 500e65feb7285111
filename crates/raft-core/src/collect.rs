//! Gathers what a replica wants done.

use alloc::vec::Vec;

use crate::log::Deliverable;
use crate::raft::RoleState;
use crate::{EntryRun, Fetch, FetchFor, RaftNode, Ready, Write};

impl RaftNode {
    /// Everything to be done since the last call; none if there is nothing. Each write, message and
    /// committed entry is handed out once.
    pub fn ready(&mut self) -> Option<Ready> {
        match &mut self.role {
            RoleState::Follower(follower) => follower.collect(&mut self.common),
            RoleState::Leader(leader) => leader.collect(&mut self.common),
            RoleState::Candidate(_) => {}
            RoleState::Halted => return None,
        }
        let committed = self.take_committed();
        let write = self.take_write();
        let role = self.role_change();
        let common = &mut self.common;
        let ready = Ready {
            write,
            messages: core::mem::take(&mut common.outbox),
            committed,
            reads: core::mem::take(&mut common.answers),
            fetches: core::mem::take(&mut common.fetches),
            role,
        };
        common.log.check();
        let is_empty = ready.write.is_none()
            && ready.messages.is_empty()
            && ready.committed.is_empty()
            && ready.reads.is_empty()
            && ready.fetches.is_empty()
            && ready.role.is_none();
        (!is_empty).then_some(ready)
    }

    fn take_committed(&mut self) -> Vec<EntryRun> {
        let common = &mut self.common;
        let apply_bytes_max = common.settings.limits.apply_bytes_max;
        let runs = if self.fetched.is_empty() {
            match common.log.deliverable(apply_bytes_max) {
                Deliverable::Nothing => return Vec::new(),
                Deliverable::Runs(runs) => runs,
                Deliverable::OnDisk(first, last) => {
                    if !self.is_fetching_committed {
                        self.is_fetching_committed = true;
                        let (purpose, bytes_max) = (FetchFor::Apply, apply_bytes_max);
                        common.fetches.push(Fetch { purpose, first, last, bytes_max });
                    }
                    return Vec::new();
                }
            }
        } else {
            core::mem::take(&mut self.fetched)
        };
        common.log.deliver(&runs);
        runs
    }

    fn take_write(&mut self) -> Option<Write> {
        let common = &mut self.common;
        let hard_state =
            Some(common.hard_state).filter(|hard_state| common.writes.is_news(*hard_state));
        let runs = common.log.take_unwritten();
        if hard_state.is_none() && runs.is_empty() {
            return None;
        }
        let span = runs.first().zip(runs.last()).map(|(first, last)| (first.first, last.last()));
        let ticket = common.writes.issue(hard_state, span);
        Some(Write { ticket, hard_state, runs })
    }
}
