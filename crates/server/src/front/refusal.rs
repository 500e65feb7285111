//! What clients are told whose writes were not acknowledged.

use super::replication::WriteError;
use super::survey::overloaded;
use crate::resp::Reply;

/// There was none to be heard of for as long as a command waits.
pub(crate) fn no_leader() -> Reply {
    Reply::error("CLUSTERDOWN The slot's group has no leader")
}

/// What a client is told whose write was not acknowledged.
pub(crate) fn write_refusal(error: WriteError) -> Reply {
    match error {
        WriteError::NotLeader => no_leader(),
        WriteError::Overloaded { budget } => overloaded(budget),
        // Redis's word for a disk that takes no writes, and not one after which clients send again.
        WriteError::DiskFull { free_bytes, needed_bytes } => Reply::error(format!(
            "MISCONF the disk is full, nothing was done: {free_bytes} bytes are free, \
             {needed_bytes} are needed"
        )),
        WriteError::MajorityFull => {
            Reply::error("MISCONF the disks of a majority of the group are full, nothing was done")
        }
        WriteError::TooLarge { bytes, bytes_max } => Reply::error(format!(
            "ERR the command takes {bytes} bytes in the log, the limit is {bytes_max}"
        )),
        WriteError::Uncertain => {
            Reply::error("UNCERTAIN the write may or may not have been applied")
        }
        WriteError::Stopped => Reply::error("CLUSTERDOWN The node is stopping"),
    }
}
