//! Opening a store: a folder's or a backend's, a new one or an old one.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codec::Restored;
use redb::backends::FileBackend;
use redb::{DatabaseError, StorageBackend, StorageError};
use types::{BootId, StoreId};

use crate::database::Database;
use crate::error::OpenError;
use crate::folder::{Folder, create_file, drop_first_pages};
use crate::journal::Journal;
use crate::meta::{FORMAT, Meta, MetaError, read_lap, write_lap};
use crate::need::{TableWork, commit_bytes_max, used_bytes_max};
use crate::options::{CommitPhases, Identity, RawStoreOptions, StoreOptions};
use crate::replay::{ReplayError, replay};
use crate::room::{Disk, FolderRoom, Room};
use crate::shared::{CHECKPOINTS, RECORDS, Shared};
use crate::space::{Effect, Shortage, Space};
use crate::store::Store;

impl Store {
    /// Opens the store in a folder, or makes one if the folder holds none or is not there.
    ///
    /// Shape: returns the store, whose [`BootId`] is one higher than that of the opening before,
    /// and every group in it, sorted.
    ///
    /// Effects: takes the folder's lock until store and readers are dropped. Everything in the file
    /// is synced, and read from the disk and not from the system's memory (on Linux), before any of
    /// it is believed.
    ///
    /// # Errors
    /// Each [`OpenError`] is for the operator; none of them changed anything but, at most, an
    /// unfinished creation.
    pub fn open(
        dir: &Path,
        identity: &Identity,
        options: StoreOptions,
    ) -> Result<(Self, Vec<Restored>), OpenError> {
        let folder = Folder::open(dir)?;
        let is_new = !folder.has_log()?;
        let opener = Opener { path: folder.log_path(), identity, options, is_new };
        if is_new {
            let mut space = opener.space(Some(Arc::new(FolderRoom::new(folder.path(), None))))?;
            opener.find_room_to_create(&mut space)?;
            folder.create_log(|path| {
                let backend = file_backend(path, create_file(path)?)?;
                let (database, journal) = Database::open(backend, options.raw(), space.room())
                    .map_err(|error| database_error(path, error))?;
                create(&database, &journal, path, identity)
            })?;
        }
        let log = folder.open_log()?;
        let clone = || log.try_clone().map_err(|source| opener.unreadable("open", source));
        let (own, journal) = (clone()?, clone()?);
        let room = FolderRoom::new(folder.path(), Some(own));
        let backend = file_backend(&opener.path, log)?;
        let space = opener.space(Some(Arc::new(room)))?;
        let path = opener.path.clone();
        let opened = opener.open(backend, space, Some(folder))?;
        let dropped = drop_first_pages(&journal, opened.0.journal_bytes());
        dropped.map_err(|source| OpenError::Unreadable {
            path,
            doing: "drop the cached pages of",
            source,
        })?;
        Ok(opened)
    }

    /// Opens the store on a backend, or makes one if the backend is empty.
    ///
    /// A new store is made in place: whoever lends the backend sees to it that one whose creation
    /// was cut short is not used again, as [`Store::open`] does by a temporary name.
    ///
    /// # Errors
    /// As [`Store::open`]; paths say "backend".
    pub fn open_backend(
        backend: impl Disk,
        identity: &Identity,
        options: StoreOptions,
    ) -> Result<(Self, Vec<Restored>), OpenError> {
        let path = PathBuf::from("backend");
        backend.settle().map_err(|source| OpenError::Unreadable {
            path: path.clone(),
            doing: "sync",
            source,
        })?;
        let len = backend.len().map_err(|error| database_error(&path, error.into()))?;
        let opener = Opener { path, identity, options, is_new: len == 0 };
        let space = opener.space(backend.room())?;
        opener.open(backend, space, None)
    }
}

/// What was tried when the disk could not say how much room it has.
const ASKING: &str = "find room for";

/// An opening under way.
struct Opener<'a> {
    path: PathBuf,
    identity: &'a Identity,
    options: StoreOptions,
    is_new: bool,
}

impl Opener<'_> {
    fn open(
        self,
        backend: impl StorageBackend,
        mut space: Space,
        folder: Option<Folder>,
    ) -> Result<(Store, Vec<Restored>), OpenError> {
        let is_empty =
            backend.len().map_err(|error| database_error(&self.path, error.into()))? == 0;
        if is_empty && folder.is_some() {
            return Err(self.damaged("the file is empty".into()));
        }
        let options = self.options.raw();
        let (database, mut journal) = Database::open(backend, options, space.room())
            .map_err(|error| database_error(&self.path, error))?;
        if is_empty {
            self.find_room_to_create(&mut space)?;
            create(&database, &journal, &self.path, self.identity)?;
        }
        let mut meta = Meta::read(&database).map_err(|error| self.meta_error(error))?;
        self.check(&meta)?;
        let lap = read_lap(&database).map_err(|error| self.meta_error(error))?;
        let replayed = replay(&database, &mut journal, lap).map_err(|error| match error {
            ReplayError::Damaged(what) => self.damaged(what),
            ReplayError::Redb(error) => self.failed("read", error),
        })?;
        meta.boot = BootId(meta.boot.0 + 1);
        let mut rows = TableWork::new(replayed.ledger.records.len(), 0);
        replayed.pending.iter().for_each(|(_, record)| rows.insert(record.len()));
        let needed = database.held_bytes()
            + meta.bytes_max(options.page_cache_bytes)
            + commit_bytes_max(&[rows], options.page_cache_bytes);
        let used = used_bytes_max(&replayed.ledger.records, &replayed.pages) + journal.bytes();
        self.find_room(&mut space, "open", needed, used)?;
        database.release();
        let pending = replayed.pending.iter().map(|(sequence, record)| (*sequence, &record[..]));
        write_meta(&database, &meta, journal.next_lap(), pending)
            .map_err(|error| self.failed("write", error))?;
        journal.restart();
        limit(&mut journal, options);
        let restored = replayed.ledger.restored();
        let shared = Shared::new(database, replayed.ledger, options.record_cache_bytes, folder);
        let store = Store::new(
            (Arc::new(shared), journal),
            *options,
            (meta, self.is_new),
            replayed.pages,
            replayed.next_sequence,
            space,
        );
        Ok((store, restored))
    }

    fn check(&self, meta: &Meta) -> Result<(), OpenError> {
        let path = self.path.clone();
        if meta.cluster != self.identity.cluster {
            let (found, expected) = (meta.cluster.clone(), self.identity.cluster.clone());
            return Err(OpenError::OtherCluster { path, found, expected });
        }
        if meta.node != self.identity.node {
            let (found, expected) = (meta.node, self.identity.node);
            return Err(OpenError::OtherNode { path, found, expected });
        }
        Ok(())
    }

    fn space(&self, room: Option<Arc<dyn Room>>) -> Result<Space, OpenError> {
        Space::new(room, self.options.raw().disk_reserve_bytes)
            .map_err(|source| self.unreadable(ASKING, source))
    }

    /// Makes sure that there is room for an empty store.
    fn find_room_to_create(&self, space: &mut Space) -> Result<(), OpenError> {
        let meta = Meta::new(self.identity, StoreId(0));
        // redb's own beginnings, and ours.
        let tables = 2 * meta.bytes_max(self.options.raw().page_cache_bytes);
        self.find_room(space, "make", self.options.raw().journal_bytes + tables, 0)
    }

    fn find_room(
        &self,
        space: &mut Space,
        doing: &'static str,
        needed: u64,
        used: u64,
    ) -> Result<(), OpenError> {
        space.find(needed, Effect::MakesRoom, used).map_err(|shortage| match shortage {
            Shortage::Full { needed, free } => {
                OpenError::DiskFull { path: self.path.clone(), doing, needed, free }
            }
            Shortage::Failed(source) => self.unreadable(ASKING, source),
        })
    }

    fn unreadable(&self, doing: &'static str, source: io::Error) -> OpenError {
        OpenError::Unreadable { path: self.path.clone(), doing, source }
    }

    fn meta_error(&self, error: MetaError) -> OpenError {
        match error {
            MetaError::Newer { found } => {
                OpenError::NewerFormat { path: self.path.clone(), found, newest: FORMAT }
            }
            MetaError::Damaged(what) => self.damaged(what),
            MetaError::Redb(redb::Error::Corrupted(what)) => self.damaged(what),
            MetaError::Redb(error) => self.failed("read", error),
        }
    }

    fn damaged(&self, what: String) -> OpenError {
        OpenError::Damaged { path: self.path.clone(), what }
    }

    fn failed(&self, doing: &'static str, source: redb::Error) -> OpenError {
        OpenError::Disk { path: self.path.clone(), doing, source: Box::new(source) }
    }
}

/// Makes an empty database a store.
fn create(
    database: &Database,
    journal: &Journal,
    path: &Path,
    identity: &Identity,
) -> Result<(), OpenError> {
    database.release();
    let store = random_store_id()?;
    let failed = |source| OpenError::Disk {
        path: path.to_owned(),
        doing: "create",
        source: Box::new(source),
    };
    write_meta(database, &Meta::new(identity, store), journal.next_lap(), []).map_err(failed)
}

/// Writes what the store knows about itself, and records that were in the journal alone, with the
/// journal's next lap; makes the other tables if they are not there.
pub(crate) fn write_meta<'a>(
    database: &Database,
    meta: &Meta,
    lap: Option<u64>,
    pending: impl IntoIterator<Item = (u64, &'a [u8])>,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    meta.write(&transaction)?;
    if let Some(lap) = lap {
        write_lap(&transaction, lap)?;
    }
    let mut table = transaction.open_table(RECORDS)?;
    for (sequence, record) in pending {
        table.insert(sequence, record)?;
    }
    drop(table);
    transaction.open_table(CHECKPOINTS)?;
    Ok(transaction.commit()?)
}

/// How much of its journal a store uses. What making rows of it may take of the disk has to be a
/// small part of the reserve, and one whose newest commit is to prove itself has no use for it.
fn limit(journal: &mut Journal, options: &RawStoreOptions) {
    match options.commit_phases {
        CommitPhases::One if options.disk_reserve_bytes == 0 => {}
        CommitPhases::One => journal.limit(options.disk_reserve_bytes / 64),
        CommitPhases::Two => journal.limit(0),
    }
}

fn file_backend(path: &Path, file: File) -> Result<FileBackend, OpenError> {
    FileBackend::new(file).map_err(|error| database_error(path, error))
}

/// Sorts redb's reasons by what the operator can do about them.
fn database_error(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    let what = match &error {
        DatabaseError::DatabaseAlreadyOpen => return OpenError::AlreadyOpen { path },
        DatabaseError::Storage(StorageError::Corrupted(what)) => Some(what.clone()),
        DatabaseError::Storage(StorageError::Io(error)) if is_damage(error) => {
            Some(error.to_string())
        }
        DatabaseError::UpgradeRequired(found) => {
            Some(format!("redb's file format is {found}, expected 3"))
        }
        DatabaseError::RepairAborted
        | DatabaseError::TransactionInProgress
        | DatabaseError::Storage(_)
        | _ => None,
    };
    match what {
        Some(what) => OpenError::Damaged { path, what },
        None => OpenError::Disk { path, doing: "open", source: Box::new(error.into()) },
    }
}

/// Whether the content of the file is to blame, and not the system.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Draws a store's identity from the system's randomness.
fn random_store_id() -> Result<StoreId, OpenError> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(path)
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|source| OpenError::Unreadable { path: path.to_owned(), doing: "read", source })?;
    Ok(StoreId(u128::from_le_bytes(bytes)))
}
