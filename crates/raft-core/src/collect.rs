//! Gathers what a replica wants done.

use alloc::vec::Vec;

use crate::log::Deliverable;
use crate::raft::RoleState;
use crate::{EntryRun, Fetch, FetchFor, RaftNode, Ready, Write};

impl RaftNode {
    /// Everything to be done since the last call; none if there is nothing. Each write, message and
    /// committed entry is handed out once.
    pub fn ready(&mut self) -> Option<Ready> {
        let mut ready = Ready::default();
        self.ready_into(&mut ready).then_some(ready)
    }

    /// The same, into a [`Ready`] that the caller keeps and whose memory serves again, for whoever
    /// asks often: whatever it held is gone. Returns whether there is anything to be done.
    pub fn ready_into(&mut self, ready: &mut Ready) -> bool {
        ready.clear();
        if matches!(self.role, RoleState::Halted) {
            return false;
        }
        // What was said since the last time comes first; then the role speaks into the caller's
        // memory, so that a message is laid down where it stays.
        ready.messages.append(&mut self.common.outbox);
        core::mem::swap(&mut self.common.outbox, &mut ready.messages);
        match &mut self.role {
            RoleState::Follower(follower) => follower.collect(&mut self.common),
            RoleState::Leader(leader) => leader.collect(&mut self.common),
            RoleState::Candidate(_) | RoleState::Halted => {}
        }
        core::mem::swap(&mut self.common.outbox, &mut ready.messages);
        ready.committed = self.take_committed();
        ready.write = self.take_write();
        ready.role = self.role_change();
        ready.reads.append(&mut self.common.answers);
        ready.fetches.append(&mut self.common.fetches);
        self.common.log.check();
        !ready.is_empty()
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
