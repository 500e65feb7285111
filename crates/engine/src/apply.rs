//! Apply workers: the threads on which state machines run.
//!
//! Invariants: a group is always on the same apply worker, so that it never applies twice at once
//! and in no other order than the log's; a proposer is answered after the call that applied his
//! command has returned.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use multiraft::ApplyBatch;
use types::{GroupId, LogIndex};

use crate::call::{Applied, Reply};
use crate::failure::{Alarm, Failure};
use crate::messages::{AppliedFact, ApplyJob};
use crate::queue::{Receiver, Sender};
use crate::state_machine::{ApplyEntries, Group};
use crate::threads::panic_text;

/// The state machines of one apply worker.
pub(crate) struct ApplyWorker<G> {
    pub(crate) groups: HashMap<GroupId, G>,
    pub(crate) jobs: Receiver<ApplyJob>,
    /// By worker.
    pub(crate) applied: Vec<Sender<AppliedFact>>,
    pub(crate) alarm: Arc<Alarm>,
}

impl<G: Group> ApplyWorker<G> {
    /// Applies until it is told to stop or a state machine fails.
    pub(crate) fn run(mut self) {
        while let ApplyJob::Work { worker, batches, roles } = self.jobs.recv() {
            let mut applied = Vec::with_capacity(batches.len());
            for batch in batches {
                let group = batch.group;
                match self.apply(batch) {
                    Ok(last) => applied.push((group, last)),
                    Err(reason) => return self.fail(group, reason),
                }
            }
            if !applied.is_empty() {
                // A worker that has ended does not want to know.
                let _ = self.applied[worker].send(AppliedFact(applied));
            }
            for (group, role) in roles {
                let Some(state) = self.groups.get_mut(&group) else { continue };
                if let Err(reason) = guarded(|| state.role_changed(role)) {
                    return self.fail(group, reason);
                }
            }
        }
    }

    /// Applies one group's entries and answers who waits for them; returns the last one.
    ///
    /// # Errors
    /// What is wrong with the state machine.
    fn apply(&mut self, batch: ApplyBatch<Reply>) -> Result<LogIndex, String> {
        let ApplyBatch { group, runs, waiting } = batch;
        let entries = ApplyEntries::new(group, runs);
        let state = self.groups.get_mut(&group).ok_or("it was never opened")?;
        let results = guarded(|| state.apply(&entries))?;
        let expected = entries.command_count();
        if results.len() != expected {
            let found = results.len();
            return Err(format!("{found} results for {entries}, expected {expected}"));
        }
        let durable = state.durable_applied();
        if durable > entries.last() {
            return Err(format!("it claims to hold {durable} durably after {entries}"));
        }
        answer(&entries, results, waiting);
        Ok(entries.last())
    }

    /// The group's state is not to be trusted any more, and other replicas go on without this node.
    fn fail(&self, group: GroupId, reason: String) {
        self.alarm.raise(Failure::StateMachine { group, reason });
    }
}

/// Runs foreign code; a panic in it becomes a reason.
fn guarded<T>(foreign: impl FnOnce() -> T) -> Result<T, String> {
    // What the panic left half done is not used again: its group's worker ends.
    panic::catch_unwind(AssertUnwindSafe(foreign)).map_err(|panic| panic_text(&*panic))
}

/// Gives each waiting proposer the result of the command at his index.
fn answer(entries: &ApplyEntries, results: Vec<Bytes>, waiting: Vec<(LogIndex, Reply)>) {
    let mut waiting = waiting.into_iter().peekable();
    if waiting.peek().is_none() {
        return;
    }
    let group = entries.group();
    let places = entries.command_runs().flat_map(|(first, count)| (first.0..).take(count));
    for (index, result) in places.map(LogIndex).zip(results) {
        if let Some((_, reply)) = waiting.next_if(|(wanted, _)| *wanted == index) {
            reply.applied(Applied { group, index, result });
        }
    }
    debug_assert!(waiting.next().is_none(), "somebody waits for what is not in {entries}");
}
