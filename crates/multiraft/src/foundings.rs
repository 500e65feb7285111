//! Groups that wait to be founded, until all their members have agreed on what they are.
//!
//! Each member founds a group for itself: it writes entry 1, the configuration, which names the store
//! of every member. Two members with different entries 1 would be in two groups of one name. So a
//! node founds a group only when every other member has told it a list of stores that agrees with its
//! own over all members.
//!
//! **Why that is enough.** A node tells only what it remembers durably, and a store, once remembered,
//! never changes: the first one met counts. So a node with one and the same store agrees to one list
//! of the group's stores, ever. Let two founders have different lists. All members agreed to the one,
//! and all to the other; whoever appears in both lists with the same store agreed to two. So every
//! member has another store in the one than in the other: all of them lost their disks in between,
//! and whoever has one list never met anybody of the other.
//!
//! **Hearing is as good.** A message of the group from a member shows that the member has founded it,
//! hence that all had agreed, this node too: it knows all stores, and founds at once, and with it
//! whatever waits for no other members than these. So a member that is lost after the first founding
//! does not keep the others waiting, and a node that comes late founds thousands of groups together.
//!
//! Invariants:
//! - only what members of waiting groups said of members of waiting groups is kept, and nothing once
//!   no group waits;
//! - a node for which no group waits says something only to whoever asks;
//! - an answer does not ask, so that two nodes never go on answering each other.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem;

use codec::{Envelope, StoresNotice};
use raft_core::Configuration;
use types::{GroupId, NodeId, StoreId, Tick};

use crate::{AddGroupError, GroupSpec, MultiRaft, NodeLoop};

/// What waits to be founded here, and what the nodes that it waits for have said.
#[derive(Debug, Default)]
pub(crate) struct Foundings {
    waiting: BTreeMap<GroupId, GroupSpec>,
    /// All members of what waits.
    members: BTreeSet<NodeId>,
    /// By node, the stores that it said last. Lists of one node only grow, so that an older one that
    /// comes late costs time and no more.
    told: BTreeMap<NodeId, BTreeMap<NodeId, StoreId>>,
    /// Whom there is news for.
    news_for: BTreeSet<NodeId>,
    /// Who asked and was not answered yet.
    asked_by: BTreeSet<NodeId>,
    /// When all is said again, in case it was lost.
    repeat_at: Tick,
}

impl Foundings {
    /// How many groups wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many stores are kept that other nodes have told.
    pub(crate) fn told(&self) -> usize {
        self.told.values().map(BTreeMap::len).sum()
    }

    /// Keeps a group until it can be founded.
    fn wait(&mut self, spec: GroupSpec) {
        self.members.extend(spec.members());
        self.news_for.extend(spec.members());
        self.waiting.insert(spec.group, spec);
    }

    /// What the members have to be told is news.
    fn note_news(&mut self) {
        self.news_for.extend(&self.members);
    }

    fn hear(&mut self, from: NodeId, stores: Vec<(NodeId, StoreId)>) {
        if self.members.contains(&from) {
            let of_members = stores.into_iter().filter(|(node, _)| self.members.contains(node));
            self.told.insert(from, of_members.collect());
        }
    }

    /// Whether every member but `own` has told just the stores that the configuration names.
    fn agree(&self, configuration: &Configuration, own: NodeId) -> bool {
        configuration.replicas().filter(|other| other.node != own).all(|other| {
            self.told.get(&other.node).is_some_and(|told| {
                configuration.replicas().all(|it| told.get(&it.node) == Some(&it.store))
            })
        })
    }

    /// These wait no longer, and what was told is let go as far as it was for them alone.
    fn take(&mut self, groups: &[GroupId]) -> Vec<GroupSpec> {
        let taken: Vec<_> = groups.iter().filter_map(|group| self.waiting.remove(group)).collect();
        if !taken.is_empty() {
            let members: BTreeSet<_> = self.waiting.values().flat_map(GroupSpec::members).collect();
            self.told.retain(|node, _| members.contains(node));
            for told in self.told.values_mut() {
                told.retain(|node, _| members.contains(node));
            }
            self.members = members;
        }
        taken
    }

    /// Whom to tell at the end of a turn, and whether each is asked for an answer.
    fn take_recipients(&mut self, now: Tick, repeat_ticks: u64) -> BTreeMap<NodeId, bool> {
        let asks = !self.waiting.is_empty();
        if asks && now >= self.repeat_at {
            self.note_news();
        }
        if !self.news_for.is_empty() {
            self.repeat_at = now.after(repeat_ticks);
        }
        let mut all: BTreeMap<_, _> =
            mem::take(&mut self.asked_by).into_iter().map(|node| (node, false)).collect();
        all.extend(mem::take(&mut self.news_for).into_iter().map(|node| (node, asks)));
        all
    }
}

impl<R> NodeLoop<R> {
    /// Founds the group, or keeps it until its members have agreed.
    pub(crate) fn found(&mut self, spec: GroupSpec) {
        let group = spec.group;
        if self.foundings.waiting.contains_key(&group) {
            self.turn.added.push((group, Err(AddGroupError::AlreadyMounted { group })));
        } else if self.is_ripe(&spec) {
            let result = self.multi.add_group_with(&spec);
            self.turn.added.push((group, result));
        } else {
            self.foundings.wait(spec);
        }
    }

    /// A node was met: it is news for the members of what waits, and may be what was missing.
    pub(crate) fn met(&mut self) {
        self.foundings.note_news();
        self.found_ripe();
    }

    /// A node says which stores it knows.
    pub(crate) fn hear_stores(&mut self, from: NodeId, notice: StoresNotice) {
        if notice.asks {
            self.foundings.asked_by.insert(from);
        }
        self.foundings.hear(from, notice.stores);
        self.found_ripe();
    }

    /// Founds the group of a message that only a member which has founded it can have sent, and all
    /// that wait for members of it alone.
    pub(crate) fn found_on_hearing(&mut self, from: NodeId, envelope: &Envelope) {
        let Some(spec) = self.foundings.waiting.get(&envelope.group) else { return };
        let Ok((configuration, me)) = self.multi.founding(spec) else { return };
        let message = &envelope.message;
        let sender = configuration.replica(message.from).map(|replica| replica.node);
        if spec.generation != envelope.generation || message.to != me || sender != Some(from) {
            return;
        }
        let members: BTreeSet<_> = spec.members().collect();
        let is_agreed = |spec: &&GroupSpec| spec.members().all(|it| members.contains(&it));
        let agreed = self.foundings.waiting.values().filter(is_agreed).map(|spec| spec.group);
        let agreed: Vec<_> = agreed.collect();
        self.multi.counters.founded_on_hearing += agreed.len() as u64;
        self.add_waiting(&agreed);
    }

    /// Says who is to be told which stores are known here.
    pub(crate) fn tell_stores(&mut self) {
        let repeat_ticks = self.multi.settings.timing.election_ticks_min();
        let to = self.foundings.take_recipients(self.multi.now(), repeat_ticks);
        // Who was not met does not listen.
        let is_met =
            |node: &NodeId| *node != self.multi.node && self.multi.store_of(*node).is_some();
        for (node, asks) in to.into_iter().filter(|(node, _)| is_met(node)) {
            let stores = self.multi.known_stores();
            self.turn.stores.push((node, StoresNotice { asks, stores }));
        }
    }

    fn found_ripe(&mut self) {
        let waiting = self.foundings.waiting.values();
        let ripe = waiting.filter(|spec| self.is_ripe(spec)).map(|spec| spec.group);
        let ripe: Vec<_> = ripe.collect();
        self.add_waiting(&ripe);
    }

    fn add_waiting(&mut self, groups: &[GroupId]) {
        for spec in self.foundings.take(groups) {
            let result = self.multi.add_group_with(&spec);
            self.turn.added.push((spec.group, result));
        }
    }

    /// Whether the members have agreed; or whether the group can never be, which is then told.
    fn is_ripe(&self, spec: &GroupSpec) -> bool {
        match self.multi.founding(spec) {
            Ok((configuration, _)) => self.foundings.agree(&configuration, self.multi.node),
            Err(AddGroupError::StoreUnknown { .. }) => false,
            Err(
                AddGroupError::AlreadyMounted { .. }
                | AddGroupError::NotAMember { .. }
                | AddGroupError::Configuration(_)
                | AddGroupError::Foreign { .. }
                | AddGroupError::Restored(_),
            ) => true,
        }
    }
}

impl MultiRaft {
    /// The nodes that are known here and their stores, this one among them, rising by node.
    fn known_stores(&self) -> Vec<(NodeId, StoreId)> {
        let peers = self.peer_stores.iter().map(|(node, store)| (*node, *store));
        let mut stores: Vec<_> = peers.chain([(self.node, self.store)]).collect();
        stores.sort_unstable();
        // A cluster has no more nodes.
        stores.truncate(codec::STORES_MAX);
        stores
    }
}
