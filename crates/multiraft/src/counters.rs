//! How many messages came in and what became of them, and how often time called a group.

use crate::StepError;

/// Counts since the node was made; they only rise.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Messages that a group took.
    pub taken: u64,
    /// Frames that could not be read.
    pub unreadable_frames: u64,
    /// Messages for groups that are not hosted here: normal while nodes start.
    pub unknown_group: u64,
    /// Messages for another life of a group or another replica: late ones, of what was before.
    pub other_identity: u64,
    /// Messages from replicas that are not in the configuration, or not where they should be.
    pub unknown_sender: u64,
    /// Messages that no correct peer sends. Any at all is a defect of that peer.
    pub impossible: u64,
    /// Messages for groups that have halted.
    pub halted: u64,
    /// Groups that were founded because a message showed that all their members had agreed.
    pub founded_on_hearing: u64,
    /// How often a group was looked at because its time had come; idle groups cost this, no more.
    pub calls: u64,
}

impl Counters {
    pub(crate) const fn count(&mut self, result: &Result<(), StepError>) {
        let counter = match result {
            Ok(()) => &mut self.taken,
            Err(StepError::UnknownGroup { .. }) => &mut self.unknown_group,
            Err(StepError::OtherGeneration { .. } | StepError::OtherReplica { .. }) => {
                &mut self.other_identity
            }
            Err(
                StepError::UnknownSender { .. }
                | StepError::OtherNode { .. }
                | StepError::OtherStore { .. },
            ) => &mut self.unknown_sender,
            Err(StepError::OtherKind { .. } | StepError::Impossible(_)) => &mut self.impossible,
            Err(StepError::Halted) => &mut self.halted,
        };
        *counter += 1;
    }

    /// Messages that were refused, for whatever reason.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.unknown_group
            + self.other_identity
            + self.unknown_sender
            + self.impossible
            + self.halted
    }
}
