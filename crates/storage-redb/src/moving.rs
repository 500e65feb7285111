//! Moving live entries out of records that are mostly dead, so that those may go.
//!
//! Records are written once and deleted whole; one live entry keeps all of a record in the file. So
//! the few that are left of an old record are copied to the end of the log, within a byte budget
//! per commit, once enough is lost that way. What a log releases in order dies by itself first.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use codec::{GroupItem, Item, RecordReader, Sequence, item_len};
use types::{GroupId, LogIndex};

use crate::ledger::Ledger;
use crate::options::RawStoreOptions;
use crate::records::Slot;
use crate::shared::{Located, Shared};

/// One commit looks into this many records at most, however little is left of each.
const RECORDS_PER_COMMIT_MAX: usize = 4;

/// Chooses what to move, and remembers what cannot be.
#[derive(Debug, Default)]
pub(crate) struct Mover {
    /// Records that could not be read: they stay, and so does every live entry in them.
    damaged: BTreeSet<u64>,
}

impl Mover {
    /// Copies of live entries, to go before everything else in the next commit; none if so little
    /// is lost that it is not worth it.
    pub(crate) fn choose(
        &mut self,
        shared: &Shared,
        options: &RawStoreOptions,
    ) -> Result<Vec<GroupItem>, redb::Error> {
        let ledger = shared.ledger.read();
        let records = &ledger.records;
        if records.sparse_bytes() <= options.sparse_bytes_max.max(records.live_bytes() / 2) {
            return Ok(Vec::new());
        }
        let whole = records.sparse().filter(|(sequence, _)| !self.damaged.contains(sequence));
        let victims: Vec<(u64, Slot)> = whole.take(RECORDS_PER_COMMIT_MAX).collect();
        let sequences: Vec<u64> = victims.iter().map(|(sequence, _)| *sequence).collect();
        let values = match shared.records(&sequences) {
            Ok(values) => values,
            // Reading one of them names the damage to whoever wants its entries.
            Err(redb::Error::Corrupted(_)) => {
                self.damaged.extend(sequences);
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut moved = Vec::new();
        let mut budget = options.moved_bytes_per_commit_max;
        for ((sequence, slot), value) in victims.into_iter().zip(values) {
            let value = value.unwrap_or_default();
            if move_record(&ledger, (sequence, slot), &value, &mut budget, &mut moved).is_none() {
                self.damaged.insert(sequence);
            }
            if budget == 0 {
                break;
            }
        }
        Ok(moved)
    }
}

/// Copies what is live in a record, as far as the budget goes; at least one run if there is any
/// budget. None if the record is damaged.
fn move_record(
    ledger: &Ledger,
    (sequence, slot): (u64, Slot),
    value: &Bytes,
    budget: &mut usize,
    moved: &mut Vec<GroupItem>,
) -> Option<()> {
    for (group, (first, last)) in ranges(sequence, value)? {
        let Some(seat) = ledger.seat(group) else { continue };
        let state = ledger.group(seat);
        let Some(generation) = state.outline.generation else { continue };
        let first = first.max(state.outline.shape.base().index.next());
        let last = last.min(state.end());
        if first > last {
            continue;
        }
        for found in state.runs.find(first, last, state.end()) {
            let Some(place) = found.place.filter(|place| place.slot == slot) else { continue };
            let located = Located {
                group,
                generation,
                sequence,
                offset: place.offset,
                first: found.first,
                last: found.last,
            };
            for run in located.entries(value).ok()? {
                if *budget == 0 {
                    return Some(());
                }
                let item = GroupItem { group, generation, item: Item::Moved(run) };
                *budget = budget.saturating_sub(item_len(&item));
                moved.push(item);
            }
        }
    }
    Some(())
}

/// Which entries of which groups a record holds, live or not: the ends of their ranges.
fn ranges(sequence: u64, value: &Bytes) -> Option<BTreeMap<GroupId, (LogIndex, LogIndex)>> {
    let mut ranges = BTreeMap::new();
    for item in RecordReader::open(Sequence(sequence), value.clone()).ok()? {
        let (_, GroupItem { group, item, .. }) = item.ok()?;
        if let Item::Append(run) | Item::Moved(run) = item {
            let range = ranges.entry(group).or_insert((run.first, run.last()));
            *range = (range.0.min(run.first), range.1.max(run.last()));
        }
    }
    Some(ranges)
}
