//! What clients proposed and were told, and what state machines applied: whoever holds both against
//! each other finds every write that was lost, made up, doubled or put in another place.
//!
//! Each group numbers its writes. The first state machine that applies an index settles what stands
//! there; whoever applies it later, on any node and in any life, has to find the same behind the
//! same. That names most violations when they happen; [`Ledger::settle`] finds the rest at the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;
use types::{GroupId, LogIndex};

use crate::dice::mix;
use crate::report::Settled;
use crate::witness::State;

/// The last events that a violation tells.
const EVENTS_MAX: usize = 60;
/// A write is its number and its group, and up to so many bytes behind them.
const FILLING_BYTES_MAX: u64 = 240;

/// See the module.
pub(crate) struct Ledger {
    start: Instant,
    groups: BTreeMap<GroupId, Mutex<GroupLedger>>,
    /// How many writes were acknowledged, of all groups.
    acknowledged: watch::Sender<u64>,
    violation: Mutex<Option<String>>,
    events: Mutex<VecDeque<String>>,
}

#[derive(Default)]
struct GroupLedger {
    writes: Vec<Proposed>,
    /// What stands where, as the first state machine that came there saw it.
    places: BTreeMap<LogIndex, Place>,
    acknowledged: u64,
    acknowledged_last: LogIndex,
}

struct Proposed {
    told: Told,
    applied_at: Option<LogIndex>,
    /// To whom and when, for whoever looks into a violation.
    story: String,
}

struct Place {
    number: u64,
    chain: u64,
    first_seen_by: String,
}

/// What a client was told of its write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    /// It waits, or has lost the connection, or got the one error that leaves it open.
    Nothing,
    Acknowledged(LogIndex),
    /// An error after which the write must never appear.
    Refused,
}

/// A command as a state machine sees it.
pub(crate) struct Seen<'a> {
    pub(crate) index: LogIndex,
    pub(crate) payload: &'a [u8],
    /// The chain of hashes with this command in it.
    pub(crate) chain: u64,
}

impl Ledger {
    pub(crate) fn new(groups: impl Iterator<Item = GroupId>) -> Self {
        Self {
            start: Instant::now(),
            groups: groups.map(|group| (group, Mutex::default())).collect(),
            acknowledged: watch::Sender::new(0),
            violation: Mutex::default(),
            events: Mutex::default(),
        }
    }

    /// Notes what happened, for whoever looks into a violation.
    pub(crate) fn note(&self, event: &dyn fmt::Display) {
        let mut events = self.events.lock();
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(format!("{:>6} ms  {event}", self.start.elapsed().as_millis()));
    }

    /// The last events, one per line.
    pub(crate) fn events(&self) -> String {
        Vec::from(self.events.lock().clone()).join("\n")
    }

    /// What was broken first, if anything was.
    pub(crate) fn violation(&self) -> Option<String> {
        self.violation.lock().clone()
    }

    fn check(&self, group: GroupId, result: Result<(), String>) {
        if let Err(what) = result {
            self.note(&format!("group {group}: {what}"));
            self.violation.lock().get_or_insert(format!("group {group}: {what}"));
        }
    }

    /// How many writes were acknowledged, of all groups: to be waited for.
    pub(crate) fn acknowledgements(&self) -> watch::Receiver<u64> {
        self.acknowledged.subscribe()
    }

    pub(crate) fn acknowledged_of(&self, group: GroupId) -> u64 {
        self.groups[&group].lock().acknowledged
    }

    /// The last index of the group at which a write was acknowledged.
    pub(crate) fn acknowledged_last(&self, group: GroupId) -> LogIndex {
        self.groups[&group].lock().acknowledged_last
    }

    /// Makes `count` writes, which are about to be proposed to `whom`; returns their numbers.
    pub(crate) fn make(&self, group: GroupId, count: u64, whom: &dyn fmt::Display) -> Vec<u64> {
        let story = format!("proposed to {whom} at {} ms", self.start.elapsed().as_millis());
        let mut ledger = self.groups[&group].lock();
        let first = ledger.writes.len() as u64;
        for _ in 0..count {
            let story = story.clone();
            ledger.writes.push(Proposed { told: Told::Nothing, applied_at: None, story });
        }
        (first..first + count).collect()
    }

    /// A client was told that its write stands at `index`, and got `result` for it.
    pub(crate) fn acknowledged(&self, group: GroupId, number: u64, index: LogIndex, result: &[u8]) {
        let outcome = self.groups[&group].lock().acknowledged(number, index, result);
        self.check(group, outcome);
        self.acknowledged.send_modify(|count| *count += 1);
    }

    /// A client was told that its write was not taken.
    pub(crate) fn refused(&self, group: GroupId, number: u64) {
        let outcome = self.groups[&group].lock().refused(number);
        self.check(group, outcome);
    }

    /// A state machine applies the entries of `range`, of which `commands` are commands.
    pub(crate) fn applied(
        &self,
        by: &dyn fmt::Display,
        group: GroupId,
        range: RangeInclusive<LogIndex>,
        commands: &[Seen<'_>],
    ) {
        let outcome = self.groups[&group].lock().applied(by, group, range, commands);
        self.check(group, outcome);
    }

    /// A read that began when `acknowledged` was the last index acknowledged found `applied`.
    pub(crate) fn read(
        &self,
        by: &dyn fmt::Display,
        group: GroupId,
        acknowledged: LogIndex,
        applied: LogIndex,
    ) {
        let outcome = if applied < acknowledged {
            Err(format!(
                "a read at {by} saw the state after {applied}; {acknowledged} had been \
                 acknowledged before it began"
            ))
        } else {
            Ok(())
        };
        self.check(group, outcome);
    }

    /// Compares the group's states on all nodes, once nothing moves any more, with each other and
    /// with what clients were told.
    ///
    /// # Errors
    /// What was broken.
    pub(crate) fn settle(&self, group: GroupId, states: &[State]) -> Result<Settled, String> {
        let settled = self.groups[&group].lock().settle(states);
        settled.map_err(|what| format!("group {group}: {what}"))
    }
}

impl GroupLedger {
    fn acknowledged(&mut self, number: u64, index: LogIndex, result: &[u8]) -> Result<(), String> {
        self.acknowledged += 1;
        self.acknowledged_last = self.acknowledged_last.max(index);
        let name = self.name(number);
        let write = &mut self.writes[place(number)];
        let before = std::mem::replace(&mut write.told, Told::Acknowledged(index));
        if before != Told::Nothing {
            return Err(format!("{name} was answered twice, before as {before:?}"));
        }
        match self.places.get(&index) {
            Some(place) if place.number == number && place.chain.to_le_bytes() == *result => Ok(()),
            Some(place) if place.number == number => {
                Err(format!("{name} was acknowledged at {index} with the result of another state"))
            }
            Some(place) => {
                let other = self.name(place.number);
                Err(format!("{name} was acknowledged at {index}, where {other} was applied"))
            }
            None => Err(format!("{name} was acknowledged at {index}, where nothing was applied")),
        }
    }

    fn refused(&mut self, number: u64) -> Result<(), String> {
        let write = &mut self.writes[place(number)];
        write.told = Told::Refused;
        match write.applied_at {
            Some(index) => Err(format!("{} was refused, applied at {index}", self.name(number))),
            None => Ok(()),
        }
    }

    fn applied(
        &mut self,
        by: &dyn fmt::Display,
        group: GroupId,
        range: RangeInclusive<LogIndex>,
        commands: &[Seen<'_>],
    ) -> Result<(), String> {
        let indexes: BTreeSet<LogIndex> = commands.iter().map(|command| command.index).collect();
        let passed = self.places.range(range).find(|(index, _)| !indexes.contains(index));
        if let Some((index, place)) = passed {
            let (name, seen) = (self.name(place.number), &place.first_seen_by);
            return Err(format!("{by} found no command at {index}, where {seen} applied {name}"));
        }
        commands.iter().try_for_each(|command| self.applied_one(by, group, command))
    }

    fn applied_one(
        &mut self,
        by: &dyn fmt::Display,
        group: GroupId,
        seen: &Seen<'_>,
    ) -> Result<(), String> {
        let Seen { index, chain, .. } = *seen;
        let number = number_of(seen.payload).filter(|number| {
            *number < self.writes.len() as u64 && seen.payload == payload(group, *number)
        });
        let Some(number) = number else {
            return Err(format!("{by} applied at {index} what nobody made: {:?}", seen.payload));
        };
        let name = self.name(number);
        if let Some(place) = self.places.get(&index) {
            let before = &place.first_seen_by;
            if place.number != number {
                let other = self.name(place.number);
                return Err(format!("{by} applied {name} at {index}, where {before} had {other}"));
            }
            if place.chain != chain {
                return Err(format!(
                    "{by} applied {name} at {index} to another state than {before}"
                ));
            }
            return Ok(());
        }
        let write = &mut self.writes[place(number)];
        if let Some(before) = write.applied_at.replace(index) {
            return Err(format!("{by} applied {name} at {index} and at {before}"));
        }
        if write.told == Told::Refused {
            return Err(format!("{by} applied {name} at {index}, which was refused"));
        }
        self.places.insert(index, Place { number, chain, first_seen_by: by.to_string() });
        Ok(())
    }

    fn settle(&self, states: &[State]) -> Result<Settled, String> {
        let (first, others) = states.split_first().ok_or("no state at all")?;
        for other in others {
            if other.journal != first.journal || other.chain != first.chain {
                let differs = |(a, b)| a != b;
                let at = first.journal.iter().zip(&other.journal).position(differs);
                let (ours, theirs) = (first.journal.len(), other.journal.len());
                return Err(format!("states differ: {ours} and {theirs} commands, {at:?} first"));
            }
        }
        let places: BTreeMap<LogIndex, u64> = first.journal.iter().copied().collect();
        let held: BTreeMap<u64, LogIndex> =
            places.iter().map(|(i, number)| (*number, *i)).collect();
        if held.len() != first.journal.len() {
            return Err("a write is there twice".to_owned());
        }
        let mut settled = Settled::default();
        for (number, write) in (0..).zip(&self.writes) {
            let found = held.get(&number);
            match (write.told, found) {
                (Told::Acknowledged(index), Some(found)) if *found == index => {
                    settled.acknowledged += 1;
                }
                (Told::Acknowledged(index), _) => {
                    let name = self.name(number);
                    return Err(format!("{name} was acknowledged at {index}, is at {found:?}"));
                }
                (Told::Refused, Some(found)) => {
                    return Err(format!("{} was refused, is at {found}", self.name(number)));
                }
                (Told::Refused, None) => settled.refused += 1,
                (Told::Nothing, Some(_)) => settled.kept_in_flight += 1,
                (Told::Nothing, None) => settled.lost_in_flight += 1,
            }
        }
        match held.keys().find(|number| **number >= self.writes.len() as u64) {
            Some(stranger) => Err(format!("nobody made write {stranger}")),
            None => Ok(settled),
        }
    }

    fn name(&self, number: u64) -> String {
        match self.writes.get(place(number)) {
            Some(Proposed { told, story, .. }) => format!("write {number} ({story}, {told:?})"),
            None => format!("write {number}, never made,"),
        }
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What the write is as a command.
pub(crate) fn payload(group: GroupId, number: u64) -> Vec<u8> {
    let mut dice = crate::dice::Dice::new(mix(number) ^ group.0);
    let mut bytes = [number.to_le_bytes(), group.0.to_le_bytes()].concat();
    for _ in 0..dice.below(FILLING_BYTES_MAX + 1) {
        bytes.push(dice.next().to_le_bytes()[0]);
    }
    bytes
}

fn number_of(payload: &[u8]) -> Option<u64> {
    payload.first_chunk().map(|number| u64::from_le_bytes(*number))
}

/// The next link of a chain of hashes, in which every command, its place and its order count.
pub(crate) fn chain(before: u64, index: LogIndex, payload: &[u8]) -> u64 {
    let start = mix(before ^ mix(index.0));
    payload.iter().fold(start, |hash, byte| mix(hash ^ u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(3);
    /// Who applies, in the tests below.
    const A: &str = "A";
    const B: &str = "B";

    /// A ledger with `count` writes made.
    fn ledger(count: u64) -> Ledger {
        let ledger = Ledger::new([GROUP].into_iter());
        ledger.make(GROUP, count, &A);
        ledger
    }

    /// Applies writes at indexes, as one batch, to `state`.
    fn apply(ledger: &Ledger, by: &str, state: &mut State, writes: &[(u64, u64)]) {
        let first = state.applied.next();
        let mut last = first;
        let payloads: Vec<_> = writes
            .iter()
            .map(|(index, number)| (*index, *number, payload(GROUP, *number)))
            .collect();
        let mut seen = Vec::new();
        for (index, number, payload) in &payloads {
            last = LogIndex(*index);
            state.chain = chain(state.chain, last, payload);
            state.journal.push((last, *number));
            seen.push(Seen { index: last, payload, chain: state.chain });
        }
        state.applied = last;
        ledger.applied(&by, GROUP, first..=last, &seen);
    }

    #[track_caller]
    fn assert_broken(ledger: &Ledger, part: &str) {
        let found = ledger.violation().unwrap_or_default();
        assert!(found.starts_with("group 3: ") && found.contains(part), "{found}");
        assert!(ledger.events().contains(part));
    }

    #[test]
    fn what_goes_well_is_counted() {
        let ledger = ledger(5);
        let (mut a, mut b) = (State::default(), State::default());
        apply(&ledger, A, &mut a, &[(2, 0), (3, 2)]);
        ledger.acknowledged(GROUP, 0, LogIndex(2), &ledger_chain(&ledger, 2));
        apply(&ledger, B, &mut b, &[(2, 0), (3, 2)]);
        ledger.refused(GROUP, 1);
        apply(&ledger, B, &mut b, &[(7, 4)]);
        apply(&ledger, A, &mut a, &[(7, 4)]);
        ledger.acknowledged(GROUP, 4, LogIndex(7), &ledger_chain(&ledger, 7));
        ledger.read(&A, GROUP, LogIndex(7), LogIndex(7));
        assert_eq!(ledger.violation(), None);
        assert_eq!(ledger.acknowledged_last(GROUP), LogIndex(7));
        assert_eq!((*ledger.acknowledgements().borrow(), ledger.acknowledged_of(GROUP)), (2, 2));
        let settled = ledger.settle(GROUP, &[a, b]).unwrap();
        let expected =
            Settled { acknowledged: 2, refused: 1, kept_in_flight: 1, lost_in_flight: 1 };
        assert_eq!(settled, expected);
    }

    fn ledger_chain(ledger: &Ledger, index: u64) -> [u8; 8] {
        ledger.groups[&GROUP].lock().places[&LogIndex(index)].chain.to_le_bytes()
    }

    #[test]
    fn another_write_in_the_place_of_one_is_found() {
        let ledger = ledger(2);
        apply(&ledger, A, &mut State::default(), &[(2, 0)]);
        apply(&ledger, B, &mut State::default(), &[(2, 1)]);
        assert_broken(&ledger, "B applied write 1 (proposed to A at");
    }

    #[test]
    fn a_place_left_out_is_found() {
        let ledger = ledger(2);
        apply(&ledger, A, &mut State::default(), &[(2, 0), (3, 1)]);
        apply(&ledger, B, &mut State::default(), &[(3, 1)]);
        assert_broken(&ledger, "B found no command at 2, where A applied write 0");
    }

    #[test]
    fn the_same_write_after_another_past_is_found() {
        let ledger = ledger(2);
        apply(&ledger, A, &mut State::default(), &[(2, 0)]);
        let mut other = State { chain: 5, ..State::default() };
        apply(&ledger, B, &mut other, &[(2, 0)]);
        assert_broken(&ledger, "to another state than A");
    }

    #[test]
    fn a_write_applied_twice_is_found() {
        let ledger = ledger(1);
        apply(&ledger, A, &mut State::default(), &[(2, 0), (3, 0)]);
        assert_broken(&ledger, "at 3 and at 2");
    }

    #[test]
    fn what_nobody_made_is_found() {
        let ledger = ledger(1);
        apply(&ledger, A, &mut State::default(), &[(2, 1)]);
        assert_broken(&ledger, "what nobody made");
        let torn = self::ledger(1);
        let payload = &payload(GROUP, 0)[..12];
        torn.applied(
            &A,
            GROUP,
            LogIndex(2)..=LogIndex(2),
            &[Seen { index: LogIndex(2), payload, chain: 0 }],
        );
        assert_broken(&torn, "what nobody made");
    }

    #[test]
    fn a_refused_write_that_appears_is_found_whatever_comes_first() {
        let early = ledger(1);
        early.refused(GROUP, 0);
        apply(&early, A, &mut State::default(), &[(2, 0)]);
        assert_broken(&early, "which was refused");
        let late = ledger(1);
        apply(&late, A, &mut State::default(), &[(2, 0)]);
        late.refused(GROUP, 0);
        assert_broken(&late, "was refused, applied at 2");
    }

    #[test]
    fn an_acknowledgement_of_what_stands_elsewhere_is_found() {
        let nowhere = ledger(1);
        nowhere.acknowledged(GROUP, 0, LogIndex(2), &[]);
        assert_broken(&nowhere, "where nothing was applied");
        let other = ledger(2);
        apply(&other, A, &mut State::default(), &[(2, 0)]);
        other.acknowledged(GROUP, 1, LogIndex(2), &[]);
        assert_broken(&other, "where write 0");
        let result = ledger(1);
        apply(&result, A, &mut State::default(), &[(2, 0)]);
        result.acknowledged(GROUP, 0, LogIndex(2), b"wrong");
        assert_broken(&result, "with the result of another state");
    }

    #[test]
    fn a_read_of_an_older_state_is_found() {
        let ledger = ledger(0);
        ledger.read(&A, GROUP, LogIndex(9), LogIndex(8));
        assert_broken(&ledger, "a read at A saw the state after 8; 9 had been acknowledged");
    }

    #[test]
    fn a_lost_tail_and_states_that_differ_are_found_at_the_end() {
        let ledger = ledger(2);
        let mut a = State::default();
        apply(&ledger, A, &mut a, &[(2, 0)]);
        let shorter = a.clone();
        apply(&ledger, A, &mut a, &[(3, 1)]);
        ledger.acknowledged(GROUP, 1, LogIndex(3), &ledger_chain(&ledger, 3));
        let differ = ledger.settle(GROUP, &[a.clone(), shorter.clone()]).unwrap_err();
        assert!(differ.contains("states differ: 2 and 1 commands"), "{differ}");
        let hash = State { chain: 1, ..a.clone() };
        assert!(ledger.settle(GROUP, &[a.clone(), hash]).is_err());
        let lost = ledger.settle(GROUP, &[shorter.clone(), shorter]).unwrap_err();
        assert!(lost.contains("was acknowledged at 3, is at None"), "{lost}");
        let mut twice = a.clone();
        twice.journal.push((LogIndex(4), 0));
        assert!(ledger.settle(GROUP, &[twice]).unwrap_err().contains("twice"));
        let mut stranger = a.clone();
        stranger.journal.push((LogIndex(4), 7));
        assert!(ledger.settle(GROUP, &[stranger]).unwrap_err().contains("nobody made write 7"));
        ledger.groups[&GROUP].lock().writes[0].told = Told::Refused;
        assert!(ledger.settle(GROUP, &[a]).unwrap_err().contains("was refused, is at 2"));
    }
}
