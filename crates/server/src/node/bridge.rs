//! The keys as the engine's state machine, and the engine as our replication.

use std::sync::Arc;

use bytes::Bytes;
use engine::{
    ApplyEntries, Engine, EngineStatus, Group, GroupSpec, GroupStatus, Health, OpenError,
    ProposeError, StateMachine, TransferError,
};
use types::{GroupId, LogIndex, NodeId, VShardId};

use crate::data::{Applier, Keyspaces};
use crate::front::replication::{DiskHealth, Promise};
use crate::front::{LeaderView, ReadError, Replication, WriteError};

/// The keys of all groups, as the engine sees them. They live in memory and come back from the
/// log.
pub(crate) struct Machine {
    keyspaces: Arc<Keyspaces>,
}

impl Machine {
    pub(crate) const fn new(keyspaces: Arc<Keyspaces>) -> Self {
        Self { keyspaces }
    }
}

impl StateMachine for Machine {
    type Group = Applier;

    fn open(&self, spec: &GroupSpec) -> Result<(Applier, LogIndex), OpenError> {
        let applier = self.keyspaces.applier(spec.group);
        let applier = applier.ok_or_else(|| OpenError::new("the table does not have the group"))?;
        Ok((applier, LogIndex::ZERO))
    }
}

impl Group for Applier {
    fn apply(&mut self, entries: &ApplyEntries) -> Vec<Bytes> {
        self.apply_payloads(entries.iter().map(|entry| (entry.index, entry.payload)))
    }

    fn durable_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }
}

/// The engine as our replication.
pub(crate) struct EngineReplication {
    engine: Engine,
}

impl EngineReplication {
    pub(crate) const fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

impl Replication for EngineReplication {
    fn leader(&self, group: GroupId) -> LeaderView {
        let view = self.engine.leader(group);
        LeaderView { node: view.leader, is_self: view.is_self, is_fresh: view.is_fresh }
    }

    fn disk(&self) -> DiskHealth {
        match self.engine.health() {
            Health::Healthy => DiskHealth::Ok,
            Health::Stalled { .. } => DiskHealth::Stalled,
            Health::DiskFull { free_bytes, needed_bytes, is_waiting } => {
                DiskHealth::Full { free_bytes, needed_bytes, is_waiting }
            }
            Health::Failed => DiskHealth::Failed,
        }
    }

    fn status(&self) -> EngineStatus {
        self.engine.status()
    }

    fn group_statuses(&self) -> Promise<Vec<GroupStatus>> {
        let engine = self.engine.clone();
        Box::pin(async move { engine.group_statuses().await })
    }

    fn transfer(&self, group: GroupId, to: NodeId) -> Promise<Result<(), TransferError>> {
        let engine = self.engine.clone();
        Box::pin(async move { engine.transfer_leader(group, to).await })
    }

    fn leaders_changed(&self) -> Promise<()> {
        let mut watch = self.engine.watch_leaders();
        Box::pin(async move { watch.changed().await })
    }

    fn propose_many(
        &self,
        writes: Vec<(VShardId, Bytes)>,
    ) -> Promise<Vec<Result<Bytes, WriteError>>> {
        let engine = self.engine.clone();
        Box::pin(async move {
            let outcomes = engine.propose_many(writes).await;
            let outcome = |outcome: Result<engine::Applied, _>| match outcome {
                Ok(applied) => Ok(applied.result),
                Err(error) => Err(write_error(error)),
            };
            outcomes.into_iter().map(outcome).collect()
        })
    }

    fn read(&self, vshard: VShardId) -> Promise<Result<(), ReadError>> {
        let engine = self.engine.clone();
        Box::pin(async move {
            match engine.read(vshard).await {
                Ok(_) => Ok(()),
                Err(error) => Err(read_error(error)),
            }
        })
    }
}

/// What the engine says of a write. A group that is not hosted yet has yet to be founded, and a
/// client waits for its leader as for any other.
const fn write_error(error: ProposeError) -> WriteError {
    match error {
        ProposeError::NotLeader { .. }
        | ProposeError::NoLeader
        | ProposeError::TransferInProgress { .. }
        | ProposeError::UnknownVShard { .. }
        | ProposeError::UnknownGroup { .. } => WriteError::NotLeader,
        ProposeError::Overloaded { budget } => WriteError::Overloaded { budget },
        ProposeError::DiskFull { free_bytes, needed_bytes } => {
            WriteError::DiskFull { free_bytes, needed_bytes }
        }
        ProposeError::MajorityFull => WriteError::MajorityFull,
        ProposeError::TooLarge { bytes, bytes_max } => WriteError::TooLarge { bytes, bytes_max },
        ProposeError::Uncertain => WriteError::Uncertain,
        ProposeError::Stopped => WriteError::Stopped,
    }
}

/// What the engine says of a read.
const fn read_error(error: engine::ReadError) -> ReadError {
    match error {
        engine::ReadError::NotLeader { .. }
        | engine::ReadError::NoLeader
        | engine::ReadError::UnknownVShard { .. }
        | engine::ReadError::UnknownGroup { .. } => ReadError::NotLeader,
        engine::ReadError::Overloaded { budget } => ReadError::Overloaded { budget },
        engine::ReadError::Stopped => ReadError::Stopped,
    }
}
