//! Reading entries back, from any thread, while the store writes.

use std::sync::Arc;

use raft_core::EntryRun;
use types::{GroupId, LogIndex};

use crate::error::ReadError;
use crate::ledger::Ledger;
use crate::shared::{Located, Shared, detach};

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
        // compacted away. Looking up once more tells which.
        for position in self.read(&mut outcomes, &mut answers) {
            answers[position] = Ok(Vec::new());
            outcomes[position] = locate(&self.shared.ledger.read(), &requests[position]);
        }
        for position in self.read(&mut outcomes, &mut answers) {
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
    /// requests of which a record was gone.
    fn read(
        &self,
        outcomes: &mut [Outcome],
        answers: &mut [Result<Vec<EntryRun>, ReadError>],
    ) -> Vec<usize> {
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
        let records = match self.shared.records(&sequences) {
            Ok(records) => records,
            Err(error) => {
                self.fail(error, &wanted, answers);
                return Vec::new();
            }
        };
        let mut gone = Vec::new();
        for (position, part) in wanted {
            let Ok(answer) = &mut answers[position] else { continue };
            let found = sequences.binary_search(&part.sequence).ok();
            let Some(record) = found.and_then(|found| records[found].as_ref()) else {
                if gone.last() != Some(&position) {
                    gone.push(position);
                }
                continue;
            };
            match part.entries(record) {
                Ok(mut runs) => {
                    detach(&mut runs, record);
                    answer.extend(runs);
                }
                Err(damage) => {
                    let Located { group, sequence, .. } = part;
                    let (index, what) = (damage.index, damage.what);
                    answers[position] = Err(ReadError::Damaged { group, index, sequence, what });
                }
            }
        }
        gone
    }

    /// Reports what redb could not read: damage if it says so, else the disk has failed.
    fn fail(
        &self,
        error: redb::Error,
        wanted: &[(usize, Located)],
        answers: &mut [Result<Vec<EntryRun>, ReadError>],
    ) {
        if let redb::Error::Corrupted(what) = &error {
            for (position, Located { group, sequence, first, .. }) in wanted {
                let (group, index, sequence) = (*group, *first, *sequence);
                let what = what.clone();
                answers[*position] = Err(ReadError::Damaged { group, index, sequence, what });
            }
            return;
        }
        self.shared.fail("read", error);
        let first = self.shared.failure().unwrap_or_default();
        for (position, _) in wanted {
            answers[*position] = Err(ReadError::Poisoned { first: first.to_owned() });
        }
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
