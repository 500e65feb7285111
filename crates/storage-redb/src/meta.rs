//! What a store knows about itself: whose it is, which opening this is, and whom it has met.
//!
//! ```text
//! table meta:  "format" u32 | "cluster" utf-8 | "node" u64 | "store" u128 | "boot" u64
//!              | "promise_max_ms" u64 | "lap" u64, all little-endian; the last is not there
//!              without a journal
//! table peers: node u64 -> (store u128, boot u64)
//! ```
//! The row "format" is there in every format to come, and is read first.

use std::collections::BTreeMap;

use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use types::{BootId, ClusterId, NodeId, StoreId};

use crate::database::Database;
use crate::need::{TableWork, commit_bytes_max};
use crate::options::Identity;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const PEERS: TableDefinition<'_, u64, (u128, u64)> = TableDefinition::new("peers");

/// The format that this program writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;

/// How many rows table meta has.
const FIELDS: usize = 7;
/// What a row of table peers takes.
const PEER_BYTES: usize = 24;

/// What a store knows about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Meta {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) store: StoreId,
    pub(crate) boot: BootId,
    pub(crate) promise_max_ms: u64,
    pub(crate) peers: BTreeMap<NodeId, (StoreId, BootId)>,
}

/// The work of [`write_lap`].
pub(crate) fn lap_work() -> TableWork {
    let mut work = TableWork::new(FIELDS, 0);
    work.insert(size_of::<u64>());
    work
}

/// Notes the journal's lap, which every commit of redb does.
pub(crate) fn write_lap(transaction: &WriteTransaction, lap: u64) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert("lap", lap.to_le_bytes().as_slice())?;
    Ok(())
}

/// The lap that was noted last; 0 if none was.
pub(crate) fn read_lap(database: &Database) -> Result<u64, MetaError> {
    let table = database.redb.begin_read()?.open_table(META)?;
    if table.get("lap")?.is_none() {
        return Ok(0);
    }
    Ok(u64::from_le_bytes(field(&table, "lap")?))
}

/// Why there is no such knowledge.
#[derive(Debug)]
pub(crate) enum MetaError {
    /// A newer program wrote it.
    Newer { found: u32 },
    /// Something is missing or malformed.
    Damaged(String),
    /// redb failed.
    Redb(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for MetaError {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

impl Meta {
    /// A new store's.
    pub(crate) fn new(identity: &Identity, store: StoreId) -> Self {
        Self {
            cluster: identity.cluster.clone(),
            node: identity.node,
            store,
            boot: BootId(0),
            promise_max_ms: 0,
            peers: BTreeMap::new(),
        }
    }

    /// What writing it may take of the disk.
    pub(crate) fn bytes_max(&self, cache_bytes: usize) -> u64 {
        let mut peers = TableWork::new(self.peers.len(), 0);
        for _ in &self.peers {
            peers.insert(PEER_BYTES);
        }
        let mut fields = TableWork::new(FIELDS, 0);
        for _ in 0..FIELDS {
            fields.insert(self.cluster.as_str().len());
        }
        commit_bytes_max(&[peers, fields], cache_bytes)
    }

    /// Reads it back.
    pub(crate) fn read(database: &Database) -> Result<Self, MetaError> {
        let transaction = database.redb.begin_read()?;
        let table = match transaction.open_table(META) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => {
                return Err(MetaError::Damaged("there is no table \"meta\"".into()));
            }
            Err(error) => return Err(error.into()),
        };
        let found = u32::from_le_bytes(field(&table, "format")?);
        if found > FORMAT {
            return Err(MetaError::Newer { found });
        }
        if found != FORMAT {
            return Err(MetaError::Damaged(format!("format {found}, expected {FORMAT}")));
        }
        let cluster = String::from_utf8(bytes(&table, "cluster")?).ok();
        let cluster = cluster.and_then(|name| ClusterId::new(name).ok());
        let cluster =
            cluster.ok_or_else(|| MetaError::Damaged("the cluster id is malformed".into()))?;
        let mut peers = BTreeMap::new();
        for row in transaction.open_table(PEERS)?.iter()? {
            let (node, known) = row?;
            let (store, boot) = known.value();
            peers.insert(NodeId(node.value()), (StoreId(store), BootId(boot)));
        }
        Ok(Self {
            cluster,
            node: NodeId(u64::from_le_bytes(field(&table, "node")?)),
            store: StoreId(u128::from_le_bytes(field(&table, "store")?)),
            boot: BootId(u64::from_le_bytes(field(&table, "boot")?)),
            promise_max_ms: u64::from_le_bytes(field(&table, "promise_max_ms")?),
            peers,
        })
    }

    /// Writes all of it.
    pub(crate) fn write(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let mut table = transaction.open_table(META)?;
        table.insert("format", FORMAT.to_le_bytes().as_slice())?;
        table.insert("cluster", self.cluster.as_str().as_bytes())?;
        table.insert("node", self.node.0.to_le_bytes().as_slice())?;
        table.insert("store", self.store.0.to_le_bytes().as_slice())?;
        table.insert("boot", self.boot.0.to_le_bytes().as_slice())?;
        table.insert("promise_max_ms", self.promise_max_ms.to_le_bytes().as_slice())?;
        drop(table);
        let mut table = transaction.open_table(PEERS)?;
        for (node, (store, boot)) in &self.peers {
            table.insert(node.0, (store.0, boot.0))?;
        }
        Ok(())
    }
}

fn bytes(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Vec<u8>, MetaError> {
    let row = table.get(name)?;
    let row = row.ok_or_else(|| MetaError::Damaged(format!("there is no row {name:?}")))?;
    Ok(row.value().to_vec())
}

fn field<const N: usize>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<[u8; N], MetaError> {
    let value = bytes(table, name)?;
    let found = value.len();
    value
        .try_into()
        .map_err(|_| MetaError::Damaged(format!("row {name:?} has {found} bytes, expected {N}")))
}
