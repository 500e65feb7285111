//! A node's disk that loses at a power cut what was not synced.
//!
//! `layer.c`, preloaded into the node, keeps in a journal what every change since the last sync has
//! made unreadable; here the changes are taken back, in part or all of them. The system's own writing
//! is out of the game: which sectors of 512 bytes had reached the disk is drawn, so that writes are
//! torn and reordered as no real cut could be waited for to do it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::crowd::random::Random;
use crate::processes::cluster::Cluster;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;
/// Bytes of a record of a journal before the bytes that it keeps: four numbers of eight.
const HEAD_BYTES: usize = 32;
/// The sign in the journals' folder that the disk lies.
const LIES: &str = "lies";

/// See the module.
pub(crate) struct Disk {
    data: PathBuf,
    journals: PathBuf,
}

/// What a power cut took.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Lost {
    /// Changes that were not synced.
    pub(crate) changes: usize,
    /// Sectors that are other than they were before the cut.
    pub(crate) sectors: usize,
}

/// One change of a file that was not synced when the process was killed.
struct Change {
    offset: u64,
    len: u64,
    /// How long the file was before.
    file_len: u64,
    /// The bytes that were there; beyond them there was no file.
    kept: Vec<u8>,
}

/// Makes the library that is preloaded, with the compiler that rustc links with.
pub(crate) fn compile_layer(folder: &Path) -> PathBuf {
    let library = folder.join("layer.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power/layer.c");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-pthread", "-o"]);
    let made =
        compiler.arg(&library).arg(&source).status().expect("a C compiler, as rustc needs it");
    assert!(made.success(), "{source:?} does not compile: {made}");
    library
}

impl Disk {
    /// Puts the layer between a node that was never started and its disk.
    pub(crate) fn below(cluster: &mut Cluster, node: usize, library: &Path) -> Self {
        let journals = cluster.folder().join(format!("journals-{}", node + 1));
        fs::create_dir(&journals).unwrap();
        fs::create_dir(cluster.data(node)).unwrap();
        // The layer knows files by what the system calls them.
        let data = cluster.data(node).canonicalize().unwrap();
        cluster.set_environment(node, "LD_PRELOAD", library);
        cluster.set_environment(node, "POWER_DATA", &data);
        cluster.set_environment(node, "POWER_JOURNALS", &journals);
        Self { data, journals }
    }

    /// From here on, syncs are answered without being made.
    pub(crate) fn begin_to_lie(&self) {
        File::create(self.journals.join(LIES)).unwrap();
    }

    /// What is synced from here on is synced.
    pub(crate) fn end_lying(&self) {
        fs::remove_file(self.journals.join(LIES)).unwrap();
    }

    /// Takes back what was not synced when the node was killed: everything, or what is drawn. Of ten
    /// changes of a sector, so many are taken back, each only with those after it.
    pub(crate) fn lose_unsynced(&self, random: &mut Random, tenths: u64) -> Lost {
        let mut lost = Lost::default();
        for file in fs::read_dir(&self.data).unwrap() {
            let file = file.unwrap();
            let journal = self.journals.join(file.metadata().unwrap().ino().to_string());
            let changes = match fs::read(&journal) {
                Ok(bytes) => changes(&bytes),
                // It was never written to.
                Err(_) => continue,
            };
            let before = fs::read(file.path()).unwrap();
            let after = take_back(before.clone(), &changes, random, tenths);
            lost.changes += changes.len();
            lost.sectors += differing_sectors(&before, &after);
            fs::write(file.path(), after).unwrap();
            File::create(&journal).unwrap();
        }
        lost
    }
}

/// The changes in a journal, oldest first. A record that ends early is one of a change that was not
/// begun.
fn changes(mut journal: &[u8]) -> Vec<Change> {
    let mut changes = Vec::new();
    while let Some((head, rest)) = journal.split_at_checked(HEAD_BYTES) {
        let number = |at: usize| u64::from_ne_bytes(head[8 * at..][..8].try_into().unwrap());
        let Some((kept, rest)) = rest.split_at_checked(usize::try_from(number(3)).unwrap()) else {
            break;
        };
        let (offset, len, file_len, kept) = (number(0), number(1), number(2), kept.to_vec());
        changes.push(Change { offset, len, file_len, kept });
        journal = rest;
    }
    changes
}

/// A file without some of its changes: of each sector, and of the length, the newest so many.
fn take_back(mut file: Vec<u8>, changes: &[Change], random: &mut Random, tenths: u64) -> Vec<u8> {
    let mut written = BTreeSet::new();
    let mut len = file.len() as u64;
    let mut has_len = false;
    let reached = |random: &mut Random| random.below(10) >= tenths;
    for change in changes.iter().rev() {
        let end = change.offset + change.len;
        if file.len() < usize::try_from(end).unwrap() {
            file.resize(usize::try_from(end).unwrap(), 0);
        }
        for sector in change.offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            if written.contains(&sector) {
                continue;
            }
            if reached(random) {
                written.insert(sector);
                continue;
            }
            let first = change.offset.max(sector * SECTOR_BYTES);
            for at in first..end.min((sector + 1) * SECTOR_BYTES) {
                let kept = change.kept.get(usize::try_from(at - change.offset).unwrap());
                file[usize::try_from(at).unwrap()] = kept.copied().unwrap_or(0);
            }
        }
        has_len = has_len || change.file_len != len && reached(random);
        if !has_len {
            len = change.file_len;
        }
    }
    file.resize(usize::try_from(len).unwrap(), 0);
    file
}

fn differing_sectors(one: &[u8], other: &[u8]) -> usize {
    let size = usize::try_from(SECTOR_BYTES).unwrap();
    let (longer, shorter) = if one.len() < other.len() { (other, one) } else { (one, other) };
    let mut sectors = shorter.chunks(size);
    longer.chunks(size).filter(|sector| sectors.next() != Some(*sector)).count()
}
