//! The rival: a bare file that is only ever appended to, one write and one sync per commit.
//!
//! It gets the very items that ours gets, in the same encoding with the same checksums, behind a
//! length by which they are found again; nothing is ever deleted from it. It is what a log costs
//! that does nothing but being durable.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, Write};

use bytes::{Bytes, BytesMut};
use codec::{
    GroupItem, Item, RECORD_HEADER_BYTES, RecordReader, RecordWriter, Sequence, WriteBatch,
};
use types::{GroupId, LogId, LogIndex};

use crate::disk::{Scratch, wrong};
use crate::figure::Wrong;

use super::workload::{Workload, check_run};
use super::{Log, Written};

pub(crate) const NAME: &str = "append-only file";
/// What is held fixed for it.
pub(crate) const SETTINGS: &str = "the same items, encoded and checksummed inside the timed loop; one \
     write and one fdatasync per commit; grows, nothing is released";

/// Bytes of the length before each record.
const LENGTH_BYTES: usize = 4;

/// The file, and how far it has come.
pub(crate) struct AppendFile {
    file: File,
    commits: u64,
    bytes: u64,
    buffer: BytesMut,
}

impl AppendFile {
    pub(crate) fn new(scratch: &Scratch) -> Result<Self, Wrong> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = options.open(scratch.path("append")).map_err(wrong("create the file"))?;
        Ok(Self { file, commits: 0, bytes: 0, buffer: BytesMut::new() })
    }
}

impl Log for AppendFile {
    fn commit(&mut self, batch: &WriteBatch, _released: Option<LogId>) -> Result<(), Wrong> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.resize(LENGTH_BYTES, 0);
        // The record starts behind the length, in the same memory, so that one write takes both.
        let record = buffer.split_off(LENGTH_BYTES);
        let mut writer = RecordWriter::new(Sequence(self.commits), record);
        for item in &batch.items {
            writer.push(item);
        }
        let record = writer.finish();
        let len = u32::try_from(record.len()).map_err(|error| Wrong(error.to_string()))?;
        buffer.copy_from_slice(&len.to_le_bytes());
        buffer.unsplit(record);
        self.file.write_all(&buffer).map_err(wrong("append"))?;
        self.file.sync_data().map_err(wrong("sync"))?;
        self.commits += 1;
        self.bytes += buffer.len() as u64;
        self.buffer = buffer;
        Ok(())
    }

    fn written(&self) -> Written {
        let frames = self.commits * (LENGTH_BYTES + RECORD_HEADER_BYTES) as u64;
        Written { commits: self.commits, item_bytes: self.bytes - frames }
    }

    fn file_bytes(&self) -> Result<u64, Wrong> {
        Ok(self.bytes)
    }

    /// Reads the file from its beginning: every record has the next entry of every group.
    fn verify(mut self, workload: &Workload) -> Result<(), Wrong> {
        self.file.rewind().map_err(wrong("rewind the file"))?;
        let mut file = BufReader::with_capacity(1 << 20, self.file);
        let groups: Vec<GroupId> = workload.groups().collect();
        for commit in 0..self.commits {
            let mut len = [0; LENGTH_BYTES];
            file.read_exact(&mut len).map_err(wrong("read the file"))?;
            let mut record = vec![0; u32::from_le_bytes(len) as usize];
            file.read_exact(&mut record).map_err(wrong("read the file"))?;
            if !holds(record.into(), commit, &groups) {
                return Err(Wrong(format!("the file's commit {commit} is not what was appended")));
            }
        }
        if self.commits != workload.last().0 || file.read(&mut [0]).ok() != Some(0) {
            return Err(Wrong("the file does not hold as many commits as were made".into()));
        }
        Ok(())
    }
}

/// Whether a record holds the entry that belongs to that commit of every group, and nothing else.
fn holds(record: Bytes, commit: u64, groups: &[GroupId]) -> bool {
    let Ok(items) = RecordReader::open(Sequence(commit), record) else { return false };
    let index = LogIndex(commit + 1);
    let found = items.map(|item| match item {
        Ok((_, GroupItem { group, item: Item::Append(run), .. })) => {
            check_run(group, index, &run).filter(|next| *next == index.next()).map(|_| group)
        }
        Ok(_) | Err(_) => None,
    });
    found.eq(groups.iter().copied().map(Some))
}
