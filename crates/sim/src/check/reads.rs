//! Linearizable reads: whoever reads sees everything that was acknowledged before he asked.

use types::{GroupId, LogIndex};

pub(crate) fn check(
    group: GroupId,
    floor: LogIndex,
    index: LogIndex,
    applied: LogIndex,
) -> Result<(), String> {
    if index < floor {
        return Err(format!("a read of group {group} sees {index}, but {floor} was acknowledged"));
    }
    if applied < index {
        return Err(format!("a read of group {group} at {index} is served with {applied} applied"));
    }
    Ok(())
}
