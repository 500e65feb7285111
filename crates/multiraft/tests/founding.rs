//! Stories of founding: members write their first entries apart from each other, and alike.

#![allow(clippy::unwrap_used)] // A test that unwraps fails where it should, helpers included.
#![allow(clippy::wildcard_enum_match_arm)] // What a test does not name is what it does not want.

mod harness;

use std::collections::BTreeMap;

use codec::{FrameLimits, Item, StoresNotice, decode_frame};
use multiraft::{
    AddGroupError, GroupSpec, Input, LoopLimits, MultiRaft, NodeLoop, NodeSettings, Turn, Waits,
};
use raft_core::{Configuration, RunBody};
use types::{Generation, GroupId, NodeId, ReplicaId, StoreId, Tick};

use harness::table;

const GROUP: GroupId = GroupId(7);
/// The shortest election timeout of the settings used here: after so long all is said again.
const REPEAT_TICKS: u64 = 10;

/// A list of stores on its way.
type Letter = (u64, u64, StoresNotice);

/// Nodes 1 to 3, and 4 where it listens; what they tell of stores waits until it is delivered or lost.
struct Town {
    spec: GroupSpec,
    nodes: BTreeMap<u64, NodeLoop<()>>,
    stores: BTreeMap<u64, u128>,
    letters: Vec<Letter>,
    /// The first entries that nodes have written for the group.
    entries: BTreeMap<u64, Configuration>,
}

impl Town {
    fn new(learners: &[u64]) -> Self {
        let learners: Vec<NodeId> = learners.iter().copied().map(NodeId).collect();
        let spec = GroupSpec::founded_by(GROUP, harness::nodes(3));
        let mut town = Self {
            spec: GroupSpec { learners: learners.clone(), ..spec },
            nodes: BTreeMap::new(),
            stores: BTreeMap::new(),
            letters: Vec::new(),
            entries: BTreeMap::new(),
        };
        for node in harness::nodes(3).into_iter().chain(learners) {
            town.start(node.0, u128::from(node.0));
        }
        town
    }

    /// A node starts with an empty disk.
    fn start(&mut self, node: u64, store: u128) {
        let settings = NodeSettings::default();
        let multi = MultiRaft::new(NodeId(node), StoreId(store), table(3, 4), settings);
        self.nodes.insert(node, NodeLoop::new(multi, LoopLimits::default()));
        self.stores.insert(node, store);
        let spec = self.spec.clone();
        self.turn(node, [Input::AddGroup(spec)]);
    }

    fn turn(&mut self, node: u64, inputs: impl IntoIterator<Item = Input<()>>) -> Turn<()> {
        let mut turn = self.nodes.get_mut(&node).unwrap().turn(inputs);
        assert!(turn.added.iter().all(|(_, added)| added.is_ok()), "{:?}", turn.added);
        let items = turn.write.iter().flat_map(|(_, batch)| &batch.items);
        for item in items.filter(|item| item.group == GROUP) {
            if let Item::Append(run) = &item.item
                && let RunBody::Configuration(first) = &run.body
            {
                self.entries.insert(node, (**first).clone());
            }
        }
        self.letters.extend(turn.stores.drain(..).map(|(to, notice)| (node, to.0, notice)));
        turn
    }

    /// The two tell each other who they are, and remember it.
    fn meet(&mut self, one: u64, other: u64) {
        for (node, peer) in [(one, other), (other, one)] {
            let store = StoreId(self.stores[&peer]);
            self.turn(node, [Input::PeerStore { node: NodeId(peer), store }]);
        }
    }

    fn meet_all(&mut self) {
        for pair in [(1, 2), (1, 3), (2, 3)] {
            self.meet(pair.0, pair.1);
        }
    }

    /// Delivers what is told, and what is told because of that, but for what `is_lost`.
    fn deliver(&mut self, is_lost: impl Fn(&Letter) -> bool) {
        for _ in 0..100 {
            let letters = std::mem::take(&mut self.letters);
            if letters.is_empty() {
                return;
            }
            for letter in letters.into_iter().filter(|letter| !is_lost(letter)) {
                let (from, to, notice) = letter;
                self.turn(to, [Input::PeerStores { from: NodeId(from), notice }]);
            }
        }
        panic!("they never stop telling each other: {:?}", self.letters);
    }

    /// Lets time pass for a node; what it tells meanwhile stays on its way.
    fn pass(&mut self, node: u64, ticks: std::ops::RangeInclusive<u64>) {
        for now in ticks {
            self.turn(node, [Input::Tick(Tick(now))]);
        }
    }

    fn has_founded(&self, node: u64) -> bool {
        self.nodes[&node].multi().group_count() == 1
    }

    fn founders(&self) -> Vec<u64> {
        self.nodes.keys().copied().filter(|node| self.has_founded(*node)).collect()
    }

    fn waits(&self, node: u64) -> Waits {
        self.nodes[&node].waits()
    }
}

#[test]
fn a_group_is_founded_when_all_members_know_each_other_by_the_same_stores() {
    let mut town = Town::new(&[]);
    town.meet(1, 2);
    town.deliver(|_| false);
    town.meet(1, 3);
    town.deliver(|_| false);
    assert_eq!(town.founders(), [], "nodes 2 and 3 have not met");
    town.meet(2, 3);
    assert_eq!(town.founders(), [], "they have told nobody yet");
    town.deliver(|_| false);
    assert_eq!(town.founders(), [1, 2, 3]);
    assert_eq!(town.entries.len(), 3);
    assert!(town.entries.values().all(|first| *first == town.entries[&1]));
}

#[test]
fn founders_that_met_a_member_before_and_after_it_lost_its_disk_found_nothing() {
    let mut town = Town::new(&[]);
    town.meet(1, 3);
    town.deliver(|_| false);
    // Node 1 knows the old store, and would have founded once it has met node 2; node 2 will know the
    // new one only.
    town.start(3, 33);
    town.meet(2, 3);
    town.meet(1, 2);
    town.deliver(|_| false);
    for now in 0..20 {
        let from = 1 + now * REPEAT_TICKS;
        (1..=3).for_each(|node| town.pass(node, from..=from + REPEAT_TICKS - 1));
        town.deliver(|_| false);
    }
    assert_eq!((town.founders(), town.entries.len()), (vec![], 0));
}

#[test]
fn a_member_lost_after_the_first_founding_keeps_nobody_waiting() {
    let mut town = Town::new(&[]);
    town.meet_all();
    // Whatever node 3 tells node 2 is lost, and then node 3 is.
    town.deliver(|(from, to, _)| (*from, *to) == (3, 2));
    assert!(town.has_founded(1) && !town.has_founded(2));
    let heard = first_frame_to(&mut town, 1, 2);
    town.turn(2, [heard]);
    assert!(town.has_founded(2));
    assert_eq!(town.entries[&1], town.entries[&2]);
    assert_eq!(town.waits(2), Waits::default());
    assert_eq!(town.nodes[&2].multi().counters().founded_on_hearing, 1);
    assert_eq!(town.nodes[&2].multi().counters().refused(), 0, "and the message is taken");
}

#[test]
fn hearing_of_one_group_founds_all_whose_members_are_among_its_own() {
    let mut town = Town::new(&[]);
    town.meet_all();
    town.deliver(|(from, to, _)| (*from, *to) == (3, 2));
    let heard = first_frame_to(&mut town, 1, 2);
    let others = [(8, vec![1, 2, 3]), (9, vec![2, 3]), (10, vec![1, 2, 3, 4])];
    for (group, nodes) in others {
        let nodes: Vec<_> = nodes.into_iter().map(NodeId).collect();
        town.turn(2, [Input::AddGroup(GroupSpec::founded_by(GroupId(group), nodes))]);
    }
    town.turn(2, [Input::PeerStore { node: NodeId(4), store: StoreId(4) }]);
    assert_eq!(town.waits(2).foundings, 4);
    let turn = town.turn(2, [heard]);
    let founded: Vec<_> = turn.added.iter().map(|(group, _)| group.0).collect();
    assert_eq!(founded, [7, 8, 9], "node 4 has agreed to nothing");
    assert_eq!(town.nodes[&2].multi().counters().founded_on_hearing, 3);
}

/// Lets time pass at a node until it sends messages to another.
fn first_frame_to(town: &mut Town, from: u64, to: u64) -> Input<()> {
    for now in 1..100 {
        let turn = town.turn(from, [Input::Tick(Tick(now))]);
        if let Some(frame) = turn.frames.iter().find(|frame| frame.to == NodeId(to)) {
            let messages = decode_frame(&frame.bytes, &FrameLimits::default()).unwrap();
            return Input::Messages { from: NodeId(from), messages };
        }
    }
    panic!("node {from} sends nothing to node {to}");
}

#[test]
fn messages_that_no_founder_can_have_sent_found_nothing() {
    let mut town = Town::new(&[]);
    town.meet_all();
    town.deliver(|(from, to, _)| (*from, *to) == (3, 2));
    let Input::Messages { messages, .. } = first_frame_to(&mut town, 1, 2) else { panic!() };
    let genuine = messages[0].clone();
    let mut forged = vec![(NodeId(3), genuine.clone()); 4];
    forged[1] = (NodeId(1), genuine.clone());
    forged[1].1.generation = Generation(2);
    forged[2] = (NodeId(1), genuine.clone());
    forged[2].1.message.to = ReplicaId(3);
    forged[3] = (NodeId(1), genuine.clone());
    forged[3].1.message.from = ReplicaId(9);
    for (from, envelope) in forged {
        town.turn(2, [Input::Messages { from, messages: vec![envelope] }]);
        assert!(!town.has_founded(2));
    }
    // Nor does a genuine one, as long as a member's store is not known.
    let mut stranger = Town::new(&[]);
    stranger.meet(1, 2);
    stranger.turn(2, [Input::Messages { from: NodeId(1), messages: vec![genuine] }]);
    assert!(!stranger.has_founded(2));
}

#[test]
fn a_founder_that_only_listens_answers_whoever_asks() {
    let mut town = Town::new(&[4]);
    town.meet_all();
    (1..=3).for_each(|node| town.meet(node, 4));
    // All that the learner tells is lost: it founds the group, and would say nothing of itself.
    town.deliver(|(from, ..)| *from == 4);
    assert_eq!(town.founders(), [4]);
    for node in 1..=3 {
        town.pass(node, 1..=REPEAT_TICKS);
    }
    town.deliver(|_| false);
    assert_eq!(town.founders(), [1, 2, 3, 4]);
    assert!(town.entries.values().all(|first| *first == town.entries[&4]));
}

#[test]
fn what_was_lost_is_told_again_while_a_group_waits_and_never_after() {
    let mut town = Town::new(&[]);
    town.meet_all();
    town.letters.clear();
    town.pass(1, 1..=3 * REPEAT_TICKS);
    let told: Vec<(u64, bool)> = town.letters.iter().map(|it| (it.1, it.2.asks)).collect();
    assert_eq!(told, [(2, true), (3, true)].repeat(3));
    town.deliver(|_| false);
    assert_eq!(town.founders(), [1], "nodes 2 and 3 have answered it, and asked nobody again");
    town.pass(2, 1..=REPEAT_TICKS);
    town.deliver(|_| false);
    assert_eq!(town.founders(), [1, 2, 3]);
    town.pass(1, 3 * REPEAT_TICKS + 1..=9 * REPEAT_TICKS);
    assert_eq!(town.letters, []);
    assert_eq!(town.waits(1), Waits::default(), "and nothing is kept");
}

#[test]
fn what_is_told_is_kept_for_members_of_waiting_groups_alone() {
    let mut town = Town::new(&[]);
    town.meet(1, 2);
    let tell = |from: u64, nodes: std::ops::Range<u64>| {
        let stores = nodes.map(|node| (NodeId(node), StoreId(5))).collect();
        Input::PeerStores { from: NodeId(from), notice: StoresNotice { asks: false, stores } }
    };
    for _ in 0..3 {
        town.turn(1, [tell(2, 0..1_000), tell(9, 0..1_000)]);
        assert_eq!(town.waits(1).stores_told, 3, "of nodes 1 to 3, by node 2");
    }
    // Another group, of node 2 alone beside this one, waits too and brings a member more.
    let members = [1, 2, 6].map(NodeId);
    let other = GroupSpec::founded_by(GroupId(8), members);
    town.turn(1, [Input::AddGroup(other), tell(2, 0..1_000)]);
    assert_eq!((town.waits(1).foundings, town.waits(1).stores_told), (2, 4));
    // Once that is founded, so much is left as concerns the one that waits still.
    let agree = |from: u64| {
        let stores = [1, 2, 6].map(|node| (NodeId(node), StoreId(u128::from(node)))).to_vec();
        Input::PeerStores { from: NodeId(from), notice: StoresNotice { asks: false, stores } }
    };
    let met = Input::PeerStore { node: NodeId(6), store: StoreId(6) };
    town.turn(1, [met, agree(2), agree(6)]);
    assert!(town.has_founded(1));
    assert_eq!((town.waits(1).foundings, town.waits(1).stores_told), (1, 2));
}

#[test]
fn a_group_that_waits_already_or_can_never_be_is_refused_at_once() {
    let mut town = Town::new(&[]);
    let node = town.nodes.get_mut(&1).unwrap();
    let again = GroupSpec::founded_by(GROUP, [NodeId(1)]);
    let foreign = GroupSpec::founded_by(GroupId(8), [NodeId(2), NodeId(3)]);
    let turn = node.turn([again, foreign].map(Input::AddGroup));
    let waits = (GROUP, Err(AddGroupError::AlreadyMounted { group: GROUP }));
    let is_elsewhere = (GroupId(8), Err(AddGroupError::NotAMember { node: NodeId(1) }));
    assert_eq!(turn.added, [waits, is_elsewhere]);
    assert_eq!(node.waits().foundings, 1);
}

#[test]
fn a_node_that_turns_up_with_another_store_is_told_of() {
    let mut town = Town::new(&[]);
    town.meet_all();
    let turn = town.turn(1, [Input::PeerStore { node: NodeId(3), store: StoreId(5) }]);
    assert_eq!((turn.conflicts.len(), turn.conflicts[0].node), (1, NodeId(3)));
    assert_eq!(turn.stores, [], "and nobody else is");
}
