//! Reading entries back, from any thread, while the store writes.

use std::sync::Arc;

use bytes::Bytes;
use raft_core::EntryRun;
use types::{GroupId, LogIndex};

use crate::error::ReadError;
use crate::ledger::Ledger;
use crate::shared::{Damage, Located, Shared, detach};

/// Reads durable entries. Clones are cheap and work side by side; a reader keeps the file open, and
/// the folder locked, for as long as it lives.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// Which entries are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchRequest {
    /// The group.
    pub group: GroupId,
    /// The first index wanted.
    pub first: LogIndex,
    /// The last index wanted, inclusive; what lies beyond the log is left out.
    pub last: LogIndex,
    /// How many bytes of entries are wanted at most, by [`EntryRun::cost`]; one entry comes back in
    /// any case.
    pub bytes_max: usize,
}

/// What is still to be read for one request, or what came of it.
type Outcome = Result<Vec<Located>, ReadError>;

impl Reader {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// How many bytes of the file the log takes: records with live entries, and records that wait
    /// to be deleted. Does not wait for the disk.
    pub fn log_bytes(&self) -> u64 {
        self.shared.ledger.read().records.file_bytes()
    }

    /// Reads what each request wants; each record that several want is read once.
    ///
    /// Shape: one answer for each request, in their order. Runs are in log order, without a gap,
    /// and start with `first`; there is at least one.
    ///
    /// Errors: [`ReadError::Compacted`] tells where the log starts now; [`ReadError::Damaged`]
    /// concerns this group alone, which must stop; [`ReadError::Poisoned`] means that the disk has
    /// failed and the node must stop.
    pub fn fetch(&self, requests: &[FetchRequest]) -> Vec<Result<Vec<EntryRun>, ReadError>> {
        if let Some(first) = self.shared.failure() {
            let failed = |_| Err(ReadError::Poisoned { first: first.to_owned() });
            return requests.iter().map(failed).collect();
        }
        let mut outcomes = {
            let ledger = self.shared.ledger.read();
            requests.iter().map(|request| locate(&ledger, request)).collect::<Vec<_>>()
        };
        let mut answers: Vec<Result<Vec<EntryRun>, ReadError>> = Vec::new();
        answers.resize_with(requests.len(), || Ok(Vec::new()));
        // Between looking up and reading, a record may be deleted: its entries were moved or
        // compacted away. Looking up once more tells which. It does not lead there again, since
        // only records to which nothing leads are deleted.
        for (position, gone) in self.read(&mut outcomes, &mut answers) {
            answers[position] = Ok(Vec::new());
            outcomes[position] = locate(&self.shared.ledger.read(), &requests[position])
                .and_then(|located| not_in(gone, located));
        }
        for (position, _) in self.read(&mut outcomes, &mut answers) {
            let group = requests[position].group;
            let first = first_index(&self.shared.ledger.read(), group);
            answers[position] = Err(ReadError::Compacted { group, first });
        }
        for (answer, request) in answers.iter_mut().zip(requests) {
            if let Ok(runs) = answer {
                limit(runs, request.bytes_max);
            }
        }
        answers
    }

    /// Reads what the outcomes ask for into the answers, and takes it off them; returns the
    /// requests of which a record was gone, and which one that was.
    fn read(
        &self,
        outcomes: &mut [Outcome],
        answers: &mut [Result<Vec<EntryRun>, ReadError>],
    ) -> Vec<(usize, u64)> {
        let mut wanted: Vec<(usize, Located)> = Vec::new();
        for (position, outcome) in outcomes.iter_mut().enumerate() {
            match std::mem::replace(outcome, Ok(Vec::new())) {
                Ok(located) => wanted.extend(located.into_iter().map(|part| (position, part))),
                Err(error) => answers[position] = Err(error),
            }
        }
        let mut sequences: Vec<u64> = wanted.iter().map(|(_, part)| part.sequence).collect();
        sequences.sort_unstable();
        sequences.dedup();
        let records = match self.read_records(&sequences) {
            Ok(records) => records,
            Err(error) => {
                self.shared.fail("read", error);
                let first = self.shared.failure().unwrap_or_default();
                for (position, _) in &wanted {
                    answers[*position] = Err(ReadError::Poisoned { first: first.to_owned() });
                }
                return Vec::new();
            }
        };
        let mut gone: Vec<(usize, u64)> = Vec::new();
        for (position, part) in wanted {
            let Ok(answer) = &mut answers[position] else { continue };
            let found = sequences.binary_search(&part.sequence);
            let found = &records[found.expect("every record that is wanted was read")];
            let read = match found {
                Ok(None) => {
                    if gone.last().is_none_or(|(last, _)| *last != position) {
                        gone.push((position, part.sequence));
                    }
                    continue;
                }
                Ok(Some(record)) => part.entries(record).map(|mut runs| {
                    detach(&mut runs, record);
                    runs
                }),
                Err(what) => Err(Damage { index: part.first, what: what.clone() }),
            };
            match read {
                Ok(runs) => answer.extend(runs),
                Err(Damage { index, what }) => {
                    let Located { group, sequence, .. } = part;
                    answers[position] = Err(ReadError::Damaged { group, index, sequence, what });
                }
            }
        }
        gone
    }

    /// The records of those sequence numbers, in their order: none for one that is gone, or what
    /// redb finds damaged about one.
    fn read_records(
        &self,
        sequences: &[u64],
    ) -> Result<Vec<Result<Option<Bytes>, String>>, redb::Error> {
        match self.shared.records(sequences) {
            Ok(records) => return Ok(records.into_iter().map(Ok).collect()),
            Err(redb::Error::Corrupted(_)) => {}
            Err(error) => return Err(error),
        }
        // One by one: who wants none of the damaged ones is not concerned.
        let one = |sequence: &u64| match self.shared.records(&[*sequence]) {
            Ok(mut records) => Ok(Ok(records.pop().flatten())),
            Err(redb::Error::Corrupted(what)) => Ok(Err(what)),
            Err(error) => Err(error),
        };
        sequences.iter().map(one).collect()
    }
}

/// Looks up where the wanted entries lie, up to about as many bytes as are wanted.
fn locate(ledger: &Ledger, request: &FetchRequest) -> Outcome {
    let FetchRequest { group, first, last, bytes_max } = *request;
    let seat = ledger.seat(group).ok_or(ReadError::UnknownGroup { group })?;
    let state = ledger.group(seat);
    let (Some(generation), Some(_)) = (state.outline.generation, state.outline.replica) else {
        return Err(ReadError::UnknownGroup { group });
    };
    let base = state.outline.shape.base().index;
    if first <= base {
        return Err(ReadError::Compacted { group, first: base.next() });
    }
    if first > state.end() || first > last {
        return Err(ReadError::Beyond { group, wanted: first, last: state.end() });
    }
    let mut located = Vec::new();
    let mut bytes = 0;
    for found in state.runs.find(first, last.min(state.end()), state.end()) {
        let place = found.place.expect("holes are filled or refused when a store is opened");
        let sequence = ledger.records.sequence(place.slot);
        let (first, last) = (found.first, found.last);
        located.push(Located { group, generation, sequence, offset: place.offset, first, last });
        bytes += place.charge.bytes();
        // Charges contain what an item's header takes and a cost does not, and the other way round:
        // a little more than is wanted is read, and left out in the end.
        if bytes / 2 > bytes_max as u64 {
            break;
        }
    }
    Ok(located)
}

/// A record that is not there although entries are still in it is damage: to the pages that lead to
/// it, say.
fn not_in(gone: u64, located: Vec<Located>) -> Outcome {
    let Some(part) = located.iter().find(|part| part.sequence == gone) else { return Ok(located) };
    let Located { group, sequence, first: index, .. } = *part;
    Err(ReadError::Damaged { group, index, sequence, what: "it is not there".into() })
}

fn first_index(ledger: &Ledger, group: GroupId) -> LogIndex {
    let seat = ledger.seat(group);
    seat.map_or(LogIndex::ZERO, |seat| ledger.group(seat).outline.shape.base().index).next()
}

/// Cuts runs to as many entries as cost at most `bytes_max`, but at least one.
fn limit(runs: &mut Vec<EntryRun>, bytes_max: usize) {
    let mut left = bytes_max;
    for position in 0..runs.len() {
        let run = &runs[position];
        let cost = run.cost();
        if cost <= left {
            left -= cost;
            continue;
        }
        let part = part_within(run, left, position == 0);
        runs.truncate(position);
        runs.extend(part);
        return;
    }
}

/// The front of a run that costs at most `bytes_max`; at least one entry if it must be.
fn part_within(run: &EntryRun, bytes_max: usize, must: bool) -> Option<EntryRun> {
    let raft_core::RunBody::Commands(commands) = &run.body else {
        return must.then(|| run.clone());
    };
    let charge = run.cost() - commands.bytes().len();
    let count = commands.count_within(bytes_max.saturating_sub(charge));
    let part = run.slice(run.first, run.first.plus(u64::from(count) - 1))?;
    (must || part.cost() <= bytes_max).then_some(part)
}

#[cfg(test)]
mod tests {
    use codec::{GroupItem, Item, WriteBatch};
    use raft_core::{CommandsBuilder, EntryHeader, RunBody};
    use types::{ClusterId, Generation, NodeId, ReplicaId, Term};

    use super::*;
    use crate::options::{Identity, RawStoreOptions, StoreOptions};
    use crate::shared::RECORDS;
    use crate::sim_disk::SimDisk;
    use crate::store::Store;

    fn item(group: u64, item: Item) -> GroupItem {
        GroupItem { group: GroupId(group), generation: Generation(1), item }
    }

    /// One entry of each group in a record of its own.
    fn two_groups() -> Store {
        let identity = Identity { cluster: ClusterId::new("test").unwrap(), node: NodeId(1) };
        let raw = RawStoreOptions {
            record_cache_bytes: 0,
            journal_bytes: 0,
            ..RawStoreOptions::default()
        };
        let options = StoreOptions::new(raw).unwrap();
        let (mut store, _) = Store::open_backend(SimDisk::new(), &identity, options).unwrap();
        for group in [1, 2] {
            let mut builder = CommandsBuilder::default();
            builder.push(EntryHeader::default(), b"entry");
            let body = RunBody::Commands(builder.take().unwrap());
            let run = EntryRun { first: LogIndex(1), term: Term(1), body };
            let create = item(group, Item::Create { replica: ReplicaId(1) });
            let items = vec![create, item(group, Item::Append(run))];
            store.commit(&[WriteBatch { items }]).unwrap();
        }
        store
    }

    #[test]
    fn a_record_that_is_missing_is_damage_and_not_compaction() {
        let store = two_groups();
        let reader = store.reader();
        let transaction = reader.shared.database.begin_write().unwrap();
        transaction.open_table(RECORDS).unwrap().remove(1).unwrap();
        transaction.commit().unwrap();
        let request = |group| FetchRequest {
            group: GroupId(group),
            first: LogIndex(1),
            last: LogIndex(1),
            bytes_max: 100,
        };
        let answers = reader.fetch(&[request(1), request(2)]);
        let Err(ReadError::Damaged { group, index, sequence, what }) = &answers[0] else {
            panic!("{answers:?}");
        };
        assert_eq!((*group, *index, *sequence), (GroupId(1), LogIndex(1), 1));
        assert_eq!(what, "it is not there");
        assert!(answers[1].is_ok(), "{answers:?}");
    }
}
