//! Gathers what a replica wants done.

use alloc::vec::Vec;

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
        if matches!(self.role, RoleState::Halted(_)) {
            return false;
        }
        // What was said since the last time comes first; then the role speaks into the caller's
        // memory, so that a message is laid down where it stays.
        ready.messages.append(&mut self.common.outbox);
        core::mem::swap(&mut self.common.outbox, &mut ready.messages);
        match &mut self.role {
            RoleState::Follower(follower) => follower.collect(&mut self.common),
            RoleState::Leader(leader) => leader.collect(&mut self.common),
            RoleState::Candidate(_) | RoleState::Halted(_) => {}
        }
        core::mem::swap(&mut self.common.outbox, &mut ready.messages);
        self.take_committed(&mut ready.committed);
        ready.write = self.take_write(ready.write.take());
        ready.role = self.role_change();
        ready.reads.append(&mut self.common.answers);
        ready.fetches.append(&mut self.common.fetches);
        self.common.log.check();
        !ready.is_empty()
    }

    fn take_committed(&mut self, committed: &mut Vec<EntryRun>) {
        let common = &mut self.common;
        let apply_bytes_max = common.settings.limits.apply_bytes_max;
        if self.fetched.is_empty() {
            if let Some((first, last)) = common.log.deliverable(apply_bytes_max, committed)
                && !self.is_fetching_committed
            {
                self.is_fetching_committed = true;
                let purpose = FetchFor::Apply;
                let bytes_max = common.log.apply_room(apply_bytes_max);
                common.fetches.push(Fetch { purpose, first, last, bytes_max });
            }
        } else {
            committed.append(&mut self.fetched);
        }
        if !committed.is_empty() {
            common.log.deliver(committed);
        }
    }

    /// What is to be written, its runs in the memory of the write before.
    fn take_write(&mut self, before: Option<Write>) -> Option<Write> {
        let common = &mut self.common;
        let hard_state =
            Some(common.hard_state).filter(|hard_state| common.writes.is_news(*hard_state));
        if hard_state.is_none() && !common.log.has_unwritten() {
            return None;
        }
        let mut runs = before.map(|write| write.runs).unwrap_or_default();
        runs.clear();
        common.log.take_unwritten(&mut runs);
        let span = runs.first().zip(runs.last()).map(|(first, last)| (first.first, last.last()));
        let ticket = common.writes.issue(hard_state, span);
        Some(Write { ticket, hard_state, runs })
    }
}
