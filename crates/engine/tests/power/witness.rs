//! The state machine of a storm: it remembers every command that it applied, in order, and shows
//! each to the ledger.
//!
//! Groups with an odd id are volatile: a node that comes back applies the whole log again. Those
//! with an even id are saved now and then, unless the storm has them all volatile; what survives a
//! cut is the last state that was saved while the power was on, with the index that belongs to it,
//! and the log follows from there.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine::{ApplyEntries, Group, GroupSpec, OpenError, StateMachine};
use parking_lot::Mutex;
use types::{GroupId, LogIndex};

use crate::dice::{Dice, mix};
use crate::ledger::{Ledger, Seen, chain};
use crate::life::Life;

/// A group is saved after one of so many batches.
const SAVED_ONE_IN: u64 = 4;

/// One group's state.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct State {
    /// The commands: where, and which write of the group.
    pub(crate) journal: Vec<(LogIndex, u64)>,
    /// The last entry applied, command or not.
    pub(crate) applied: LogIndex,
    /// The hash of all commands, their places and their order.
    pub(crate) chain: u64,
}

impl State {
    fn apply(&mut self, index: LogIndex, payload: &[u8]) {
        let number = payload.first_chunk().map_or(u64::MAX, |number| u64::from_le_bytes(*number));
        self.journal.push((index, number));
        self.chain = chain(self.chain, index, payload);
    }
}

/// The states that a node has saved; they outlive its lives. Clones share them.
#[derive(Clone)]
pub(crate) struct Saved {
    states: Arc<Mutex<BTreeMap<GroupId, State>>>,
    /// Whether anything is saved at all.
    saves: bool,
}

impl Saved {
    pub(crate) fn new(saves: bool) -> Self {
        Self { states: Arc::default(), saves }
    }

    /// How many groups there are whose state comes back.
    pub(crate) fn len(&self) -> usize {
        self.states.lock().len()
    }

    fn of(&self, group: GroupId) -> State {
        self.states.lock().get(&group).cloned().unwrap_or_default()
    }

    /// Brings the saved state up to `state`, which begins with it.
    fn save(&self, group: GroupId, state: &State) {
        let mut states = self.states.lock();
        let saved = states.entry(group).or_default();
        let known = saved.journal.len();
        saved.journal.extend_from_slice(&state.journal[known..]);
        (saved.applied, saved.chain) = (state.applied, state.chain);
    }
}

/// The state machines of one node in one of its lives.
#[derive(Clone)]
pub(crate) struct Witness {
    life: Arc<Life>,
    ledger: Arc<Ledger>,
    saved: Saved,
    states: Arc<Mutex<BTreeMap<GroupId, Arc<Mutex<State>>>>>,
}

/// One group's part of a [`Witness`].
pub(crate) struct WitnessGroup {
    group: GroupId,
    witness: Witness,
    state: Arc<Mutex<State>>,
    /// Up to where it is saved.
    durable: LogIndex,
    dice: Dice,
}

impl Witness {
    pub(crate) fn new(life: &Arc<Life>, ledger: &Arc<Ledger>, saved: &Saved) -> Self {
        let (life, ledger, saved) = (life.clone(), ledger.clone(), saved.clone());
        Self { life, ledger, saved, states: Arc::default() }
    }

    /// The last entry that the group has applied.
    pub(crate) fn applied(&self, group: GroupId) -> LogIndex {
        self.states.lock().get(&group).map_or(LogIndex::ZERO, |state| state.lock().applied)
    }

    /// A copy of the group's state.
    pub(crate) fn state(&self, group: GroupId) -> State {
        self.states.lock().get(&group).map(|state| state.lock().clone()).unwrap_or_default()
    }
}

impl StateMachine for Witness {
    type Group = WitnessGroup;

    fn open(&self, spec: &GroupSpec) -> Result<(WitnessGroup, LogIndex), OpenError> {
        let group = spec.group;
        let state = self.saved.of(group);
        let durable = state.applied;
        let state = Arc::new(Mutex::new(state));
        self.states.lock().insert(group, state.clone());
        let dice = Dice::new(mix(self.life.number) ^ group.0);
        Ok((WitnessGroup { group, witness: self.clone(), state, durable, dice }, durable))
    }
}

impl Group for WitnessGroup {
    /// The result of a command is the hash of everything up to it.
    fn apply(&mut self, entries: &ApplyEntries) -> Vec<Bytes> {
        let mut state = self.state.lock();
        assert_eq!(entries.first(), state.applied.next(), "entries come once each and in order");
        let mut seen = Vec::new();
        for entry in entries.iter() {
            state.apply(entry.index, entry.payload);
            seen.push(Seen { index: entry.index, payload: entry.payload, chain: state.chain });
        }
        state.applied = entries.last();
        let (group, range) = (self.group, entries.first()..=entries.last());
        self.witness.ledger.applied(&self.witness.life, group, range, &seen);
        let saved = &self.witness.saved;
        if saved.saves
            && group.0 % 2 == 0
            && self.dice.one_in(SAVED_ONE_IN)
            && self.witness.life.while_on(|| saved.save(group, &state)).is_some()
        {
            self.durable = state.applied;
        }
        let result = |seen: &Seen<'_>| Bytes::copy_from_slice(&seen.chain.to_le_bytes());
        seen.iter().map(result).collect()
    }

    fn durable_applied(&self) -> LogIndex {
        self.durable
    }
}
