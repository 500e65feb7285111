//! One client of the nodes in this process.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use ::engine::{ProposeError, ReadError};
use bytes::Bytes;
use types::VShardId;

use super::machine::command;
use super::nodes::Node;
use crate::cli::bench::keys::{Keys, Operation};
use crate::cli::bench::load::{Link, Told};
use crate::cli::bench::tally::Done;
use crate::front::join::join_all;

/// One client.
pub(crate) struct Client {
    nodes: Arc<[Node]>,
    keys: Arc<Keys>,
    value: Bytes,
}

impl Client {
    /// Writes values of so many bytes.
    pub(crate) fn new(nodes: Arc<[Node]>, keys: Arc<Keys>, payload_bytes: usize) -> Self {
        Self { nodes, keys, value: vec![b'x'; payload_bytes].into() }
    }

    fn vshard(&self, key: u32) -> VShardId {
        VShardId(self.keys.slot(key).into())
    }
}

impl Link for Client {
    /// The place of the node that leads the slot's group, as the first one knows it.
    fn place(&self, slot: u16) -> usize {
        let find = || {
            let engine = &self.nodes.first()?.engine;
            let group = engine.routing().group_of(VShardId(slot.into()))?;
            let leader = engine.leader(group).leader?;
            self.nodes.iter().position(|node| node.engine.node_id() == leader)
        };
        find().unwrap_or(0)
    }

    async fn perform(&mut self, operations: &[Operation], told: &Told) {
        let Some(first) = operations.first() else { return };
        let node = &self.nodes[self.place(self.keys.slot(first.key))];
        let began = Instant::now();
        let (reads, writes): (Vec<&Operation>, Vec<&Operation>) =
            operations.iter().partition(|operation| operation.is_read);
        let writes: Vec<(VShardId, Bytes)> = writes
            .into_iter()
            .map(|operation| (self.vshard(operation.key), command(operation.key, &self.value)))
            .collect();
        let read = |operation: &Operation| {
            let (node, key, vshard) = (node.clone(), operation.key, self.vshard(operation.key));
            let read = async move {
                let permit = node.engine.read(vshard).await?;
                Ok(node.machines.has(permit.group, key))
            };
            Box::pin(read) as Pin<Box<dyn Future<Output = Result<bool, ReadError>> + Send>>
        };
        let reads = join_all(reads.into_iter().map(read).collect());
        let writes = async {
            if writes.is_empty() { Vec::new() } else { node.engine.propose_many(writes).await }
        };
        let (read, written) = tokio::join!(reads, writes);
        settle(read, written, began, told);
    }
}

/// Tells what became of reads, which say whether there was a value, and of writes.
fn settle<W>(
    read: Vec<Result<bool, ReadError>>,
    written: Vec<Result<W, ProposeError>>,
    began: Instant,
    told: &Told,
) {
    let mut done = Done::default();
    for read in read {
        match read {
            Ok(is_there) => {
                done.reads += 1;
                done.missing += u64::from(!is_there);
            }
            Err(error) => told.failed(read_kind(&error), 1),
        }
    }
    for written in written {
        match written {
            Ok(_) => done.writes += 1,
            Err(error) => told.failed(write_kind(&error), 1),
        }
    }
    told.done(done, began.elapsed());
}

const fn write_kind(error: &ProposeError) -> &'static str {
    match error {
        ProposeError::NotLeader { .. } => "NotLeader",
        ProposeError::NoLeader => "NoLeader",
        ProposeError::TransferInProgress { .. } => "TransferInProgress",
        ProposeError::Overloaded { .. } => "Overloaded",
        ProposeError::DiskFull { .. } => "DiskFull",
        ProposeError::MajorityFull => "MajorityFull",
        ProposeError::TooLarge { .. } => "TooLarge",
        ProposeError::UnknownVShard { .. } | ProposeError::UnknownGroup { .. } => "Unknown",
        ProposeError::Uncertain => "Uncertain",
        ProposeError::Stopped => "Stopped",
    }
}

const fn read_kind(error: &ReadError) -> &'static str {
    match error {
        ReadError::NotLeader { .. } => "NotLeader",
        ReadError::NoLeader => "NoLeader",
        ReadError::Overloaded { .. } => "Overloaded",
        ReadError::UnknownVShard { .. } | ReadError::UnknownGroup { .. } => "Unknown",
        ReadError::Stopped => "Stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::window::Window;

    #[test]
    fn errors_are_counted_by_kind_beside_what_was_done() {
        let window = Arc::new(Window::default());
        window.open();
        let told = Told::new(window);
        told.asked(7);
        let read = vec![Ok(true), Ok(false), Err(ReadError::NoLeader)];
        let written = vec![
            Ok(()),
            Err(ProposeError::NoLeader),
            Err(ProposeError::Uncertain),
            Err(ProposeError::NoLeader),
        ];
        settle(read, written, Instant::now(), &told);
        let tally = told.end();
        let errors = [("NoLeader".to_owned(), 3), ("Uncertain".to_owned(), 1)];
        assert_eq!(tally.errors, errors.into());
        assert_eq!((tally.reads.count(), tally.missing, tally.writes.count()), (2, 1, 1));
    }
}
