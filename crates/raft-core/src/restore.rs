//! What a store gives back for one replica when it is opened.

use alloc::sync::Arc;
use alloc::vec::Vec;

use types::{LogId, LogIndex, ReplicaId};

use crate::{Configuration, HardState};

/// The durable state of one replica: the store's word, and the only one, on what it is.
///
/// Shapes: `terms` holds the first entry of each stretch of equal terms after `base`, rising in both
/// term and index, empty if the log is; `configurations` holds the configuration entries after
/// `base`, rising by index. Both lie within `base.index + 1 ..= last`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestoredReplica {
    /// Who this replica is within its group.
    pub replica: ReplicaId,
    /// Its term and vote.
    pub hard_state: HardState,
    /// The last entry that compaction removed; [`LogId::ZERO`] if the log starts at 1.
    pub base: LogId,
    /// The configuration in force at `base`; empty if the log starts at 1.
    pub base_configuration: Arc<Configuration>,
    /// Where each term begins.
    pub terms: Vec<LogId>,
    /// The last durable entry; `base.index` if there is none after it.
    pub last: LogIndex,
    /// The configurations in the log.
    pub configurations: Vec<(LogIndex, Arc<Configuration>)>,
}
