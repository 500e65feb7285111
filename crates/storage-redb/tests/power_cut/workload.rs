//! Random but legal changes of many groups, of every kind there is.

use std::sync::Arc;

use codec::{GroupItem, Item, WriteBatch};
use raft_core::{
    CommandsBuilder, Configuration, EntryHeader, EntryRun, HardState, Replica, RunBody,
};
use storage_redb::{CommitPhases, RawStoreOptions, StoreOptions};
use types::{Generation, GroupId, LogId, LogIndex, NodeId, ReplicaId, StoreId, Term};

use crate::model::{self, Model};

/// How many groups take part.
const GROUPS: u64 = 10;

/// A small generator (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// Limits so small that everything they limit happens all the time.
pub(crate) fn options(dice: &mut Dice) -> StoreOptions {
    let raw = RawStoreOptions {
        page_cache_bytes: 1 << 20,
        record_cache_bytes: [0, 20_000][usize::try_from(dice.below(2)).unwrap()],
        record_bytes_max: 4096 << dice.below(3),
        pinned_bytes_max: dice.below(3) * 2000,
        sparse_bytes_max: dice.below(3) * 2000,
        moved_bytes_per_commit_max: 1 + usize::try_from(dice.below(3)).unwrap() * 700,
        checkpoint_page_bytes_max: 1 + usize::try_from(dice.below(3)).unwrap() * 500,
        superseded_checkpoints_max: usize::try_from(dice.below(8)).unwrap(),
        disk_reserve_bytes: [0, 4 << 20][usize::try_from(dice.below(2)).unwrap()],
        journal_bytes: [0, 64 << 10, 128 << 10][usize::try_from(dice.below(3)).unwrap()],
        commit_phases: [CommitPhases::One, CommitPhases::One, CommitPhases::Two]
            [usize::try_from(dice.below(3)).unwrap()],
    };
    StoreOptions::new(raw).unwrap()
}

/// Draws a few batches and applies them to `model`, which says what is legal.
pub(crate) fn batches(dice: &mut Dice, model: &mut Model) -> Vec<WriteBatch> {
    let mut batches = Vec::new();
    for _ in 0..dice.below(3) + 1 {
        let mut batch = WriteBatch::default();
        let mut group = GroupId(1);
        for _ in 0..dice.below(5) {
            // Often the same again: later changes of a record that undo earlier ones.
            if !dice.once_in(3) {
                group = GroupId(1 + dice.below(GROUPS));
            }
            let change = change(dice, model, group);
            model.apply(&change);
            batch.items.push(change);
        }
        batches.push(batch);
    }
    batches
}

/// Draws a group and an entry of it up to which it may be released.
pub(crate) fn release(
    dice: &mut Dice,
    model: &Model,
) -> Option<(GroupId, LogId, Arc<Configuration>)> {
    let group = GroupId(1 + dice.below(GROUPS));
    let replica = model.groups.get(&group)?.replica.as_ref()?;
    let count = replica.last().index.0 - replica.base.index.0;
    let index = replica.base.index.plus(count.saturating_sub(dice.below(4)));
    let up_to = LogId::new(replica.term_at(index), index);
    (index > replica.base.index).then(|| (group, up_to, configuration_at(up_to)))
}

fn change(dice: &mut Dice, model: &Model, group: GroupId) -> GroupItem {
    let known = model.groups.get(&group);
    let Some(replica) = known.and_then(|group| group.replica.as_ref()) else {
        let last = known.map_or(0, |group| group.generation.0);
        let generation = Generation(last + 1 + u32::try_from(dice.below(3)).unwrap());
        let replica = ReplicaId(u32::try_from(dice.below(9)).unwrap());
        return GroupItem { group, generation, item: Item::Create { replica } };
    };
    let generation = known.map(|group| group.generation).unwrap();
    let last = replica.last();
    let count = last.index.0 - replica.base.index.0;
    let open = last.index.next().0 - replica.first_open().0;
    let near_end = LogIndex(last.index.next().0 - dice.below(open.min(4) + 1));
    let item = match dice.below(20) {
        0..10 => append(dice, replica, last.index.next()),
        10 | 11 => append(dice, replica, near_end),
        12 => Item::Truncate { from: near_end },
        13..16 => hard_state(dice, replica),
        16 | 17 => {
            let index = LogIndex(replica.base.index.0 + dice.below(count + 1));
            let base = LogId::new(replica.term_at(index), index);
            Item::Compact { base, configuration: configuration_at(base) }
        }
        // A snapshot is installed: the log starts anew beyond its end, or disagrees with it.
        18 => {
            let index = replica.first_open().plus(dice.below(open + 3));
            let base = LogId::new(Term(last.term.0 + dice.below(2)), index);
            Item::Compact { base, configuration: configuration_at(base) }
        }
        _ if dice.once_in(3) => Item::Remove,
        _ => append(dice, replica, last.index.next()),
    };
    GroupItem { group, generation, item }
}

fn append(dice: &mut Dice, replica: &model::Replica, first: LogIndex) -> Item {
    let term = Term(replica.term_at(first.prev()).0 + u64::from(dice.once_in(4)));
    let body = match dice.below(10) {
        0 => RunBody::TermStart,
        1 => RunBody::Configuration(configuration(dice)),
        _ => commands(dice),
    };
    Item::Append(EntryRun { first, term, body })
}

fn commands(dice: &mut Dice) -> RunBody {
    let mut builder = CommandsBuilder::default();
    let (count, bytes_max) = match dice.below(40) {
        0 => (1, 20_000),
        1..4 => (30, 400),
        _ => (1 + dice.below(5), 60),
    };
    for _ in 0..count {
        let len = usize::try_from(dice.below(bytes_max)).unwrap();
        let byte = u8::try_from(dice.below(256)).unwrap();
        builder.push(EntryHeader::default(), &vec![byte; len]);
    }
    RunBody::Commands(builder.take().unwrap())
}

fn hard_state(dice: &mut Dice, replica: &model::Replica) -> Item {
    let held = replica.hard_state;
    let vote = dice.once_in(2).then(|| ReplicaId(u32::try_from(dice.below(5)).unwrap()));
    let hard_state = if held.vote.is_none() && dice.once_in(3) {
        HardState { term: held.term, vote }
    } else {
        HardState { term: Term(held.term.0 + 1 + dice.below(2)), vote }
    };
    Item::HardState(hard_state)
}

/// The configuration in force at an entry: always the same one, as in a log that was agreed on.
fn configuration_at(id: LogId) -> Arc<Configuration> {
    configuration(&mut Dice::new(id.index.0 << 32 | id.term.0))
}

fn configuration(dice: &mut Dice) -> Arc<Configuration> {
    let replica = |id| Replica {
        id: ReplicaId(id),
        node: NodeId(u64::from(id)),
        store: StoreId(u128::from(id) * 7),
    };
    let first = u32::try_from(dice.below(5)).unwrap();
    let voters = (first..first + 3).map(replica).collect();
    Arc::new(Configuration::new(voters, vec![], vec![]).unwrap())
}
