//! `MultiRaft` without the engine: no thread, no clock, no socket; the caller persists, sends and
//! applies by hand. Three nodes live on this one thread, each with a log of its own on disk. One of
//! them dies, comes back from its log, and catches up.
//!
//! `cargo run --example bare`
//!
//! Read [`Node::turn`] first: it is all that a runtime of your own has to do.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use multiraft::{MultiRaft, NodeSettings, OutFrame};
use raft_core::{EntryRun, ReadId, RunBody};
use routing::RoutingTable;
use storage_redb::{FetchRequest, Identity, Store, StoreOptions};
use types::{ClusterId, GroupId, LogIndex, NodeId, Tick, VShardId};

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const GROUPS: u32 = 4;

/// One node: what decides, what remembers, and the states that the commands change.
struct Node {
    multi: MultiRaft,
    store: Store,
    /// A sum per group, with the last entry that it holds. In memory: it comes back from the log.
    sums: BTreeMap<GroupId, (u64, LogIndex)>,
    /// Reads that the group's leader has allowed, once the state holds this entry.
    allowed: Vec<(GroupId, LogIndex)>,
}

impl Node {
    /// A node as its folder knows it; an empty one makes a new node.
    fn open(folder: &Path, id: NodeId, now: Tick) -> Result<Self, Box<dyn Error>> {
        let identity = Identity { cluster: ClusterId::new("bare")?, node: id };
        let home = folder.join(id.to_string());
        let (store, restored) = Store::open(&home, &identity, StoreOptions::default())?;
        let mut settings = NodeSettings { seed: id.0, ..NodeSettings::default() };
        if !store.is_new() {
            // In its last life it may have promised a leader not to vote for another so soon.
            settings.no_vote_before = now.after(settings.timing.promise_ticks());
        }
        let table = RoutingTable::uniform(64, GROUPS, &NODES, NODES.len())?;
        let mut multi = MultiRaft::new(id, store.store_id(), table, settings);
        multi.tick(now);
        for group in restored {
            multi.restore_group(group, LogIndex::ZERO)?;
        }
        Ok(Self { multi, store, sums: BTreeMap::new(), allowed: Vec::new() })
    }

    /// Founds every group that the store does not know yet. The other nodes' stores are part of
    /// what a group is founded with: a node that loses its disk is not the one that it was.
    fn found(&mut self, stores: &[(NodeId, types::StoreId)]) -> Result<(), Box<dyn Error>> {
        for (node, store) in stores {
            self.multi.set_peer_store(*node, *store)?;
        }
        let groups: Vec<GroupId> = self.multi.routing().groups().collect();
        let others = NODES.into_iter().filter(|node| *node != self.multi.node_id());
        let others: Vec<NodeId> = others.collect();
        for group in groups {
            if self.multi.group_status(group).is_none() {
                self.multi.add_group(group, &others)?;
            }
        }
        Ok(())
    }

    /// The state of a group, and the last entry that it holds.
    fn sum(&self, group: GroupId) -> u64 {
        self.sums.get(&group).map_or(0, |(sum, _)| *sum)
    }

    fn applied(&self, group: GroupId) -> LogIndex {
        self.sums.get(&group).map_or(LogIndex::ZERO, |(_, last)| *last)
    }

    /// One turn of the one way of data. Returns the frames to send; none if nothing was to be done.
    fn turn(&mut self) -> Result<Option<Vec<OutFrame>>, Box<dyn Error>> {
        let ready = self.multi.ready();
        if ready.is_empty() {
            return Ok(None);
        }

        // Persist: one durable commit for all groups, and only then say so. If it fails, say
        // nothing: whatever depends on it stays inside.
        if let Some((ticket, batch)) = ready.write {
            self.store.commit(&[batch])?;
            self.multi.persisted(ticket)?;
        }

        // Send: at once, even before the commit if that is quicker. A vote or an acknowledgement
        // that this very write makes true is not among these frames: it comes with the next turn,
        // because it was held back until `persisted` was called.
        let frames = ready.frames;

        // Apply: what is here is committed, and durable on this node. Answer a proposer now, not
        // before; then say how far the state is.
        for (group, runs) in ready.committed {
            let state = self.sums.entry(group).or_default();
            runs.iter().for_each(|run| apply(run, state));
            self.multi.advance_applied(group, state.1)?;
        }

        // Entries that a slow follower needs and memory no longer has.
        for (group, fetch) in ready.fetches {
            let (first, last, bytes_max) = (fetch.first, fetch.last, fetch.bytes_max);
            let request = FetchRequest { group, first, last, bytes_max };
            let runs = self.store.reader().fetch(&[request]).remove(0)?;
            self.multi.entries_fetched(group, fetch.purpose, Ok(runs))?;
        }

        // Reads that a majority has confirmed. One without an index lost its leader: ask again.
        let allowed =
            ready.reads.into_iter().filter_map(|(group, read)| Some((group, read.index?)));
        self.allowed.extend(allowed);
        Ok(Some(frames))
    }
}

/// Adds the commands of a run to the state.
fn apply(run: &EntryRun, (sum, last): &mut (u64, LogIndex)) {
    match &run.body {
        RunBody::Commands(commands) => {
            *sum += commands.into_iter().map(|command| u64::from(command.payload[0])).sum::<u64>();
        }
        // A new leader's first entry and the group's members are no commands, but have a place.
        RunBody::TermStart | RunBody::Configuration(_) => {}
    }
    *last = run.last();
}

/// The nodes that run, and the time.
struct Cluster {
    nodes: BTreeMap<NodeId, Node>,
    now: Tick,
}

impl Cluster {
    /// One tick passes, and everything that follows from it happens. Frames to a node that does
    /// not run are lost, as a network loses them.
    fn tick(&mut self) -> Result<(), Box<dyn Error>> {
        self.now = self.now.after(1);
        self.nodes.values_mut().for_each(|node| node.multi.tick(self.now));
        loop {
            let mut sent = Vec::new();
            let mut is_quiet = true;
            for (from, node) in &mut self.nodes {
                if let Some(frames) = node.turn()? {
                    is_quiet = false;
                    sent.extend(frames.into_iter().map(|frame| (*from, frame)));
                }
            }
            for (from, frame) in sent {
                if let Some(node) = self.nodes.get_mut(&frame.to) {
                    node.multi.handle_frame(from, &frame.bytes)?;
                }
            }
            if is_quiet {
                return Ok(());
            }
        }
    }

    /// Ticks until `done`, for as long as a few elections take.
    fn run_until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), Box<dyn Error>> {
        for _ in 0..1_000 {
            if done(self) {
                return Ok(());
            }
            self.tick()?;
        }
        Err(format!("still not done at tick {}", self.now).into())
    }

    /// The node that leads the group, once one does.
    fn leader(&mut self, group: GroupId) -> Result<&mut Node, Box<dyn Error>> {
        let leads = |node: &Node| node.multi.group_role_is_leader(group);
        self.run_until(|cluster| cluster.nodes.values().any(leads))?;
        let leader = self.nodes.values_mut().find(|node| leads(node));
        leader.ok_or_else(|| format!("nobody leads group {group}").into())
    }

    /// Adds to the sum of a vshard's group, and waits until whoever took the command has applied it.
    fn add(&mut self, vshard: VShardId, amount: u8) -> Result<(), Box<dyn Error>> {
        let group = self.group_of(vshard)?;
        let leader = self.leader(group)?;
        let (_, index) = leader.multi.propose(vshard, &[amount])?;
        let id = leader.multi.node_id();
        self.run_until(|cluster| cluster.nodes[&id].applied(group) >= index)
    }

    /// Reads that sum: asks whether the leader still leads, and waits for what it has committed.
    fn read(&mut self, vshard: VShardId) -> Result<u64, Box<dyn Error>> {
        let group = self.group_of(vshard)?;
        let leader = self.leader(group)?;
        let id = leader.multi.node_id();
        leader.multi.read_index(group, ReadId(1))?;
        self.run_until(|cluster| {
            let leader = &cluster.nodes[&id];
            leader.allowed.iter().any(|(of, index)| *of == group && leader.applied(group) >= *index)
        })?;
        self.nodes.values_mut().for_each(|node| node.allowed.clear());
        Ok(self.nodes[&id].sums[&group].0)
    }

    fn group_of(&self, vshard: VShardId) -> Result<GroupId, Box<dyn Error>> {
        let (_, node) = self.nodes.first_key_value().ok_or("no node runs")?;
        Ok(node.multi.routing().group_of(vshard).ok_or("no such vshard")?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Cluster { nodes: BTreeMap::new(), now: Tick(1) };
    for id in NODES {
        cluster.nodes.insert(id, Node::open(folder.path(), id, cluster.now)?);
    }
    let stores = |node: (&NodeId, &Node)| (*node.0, node.1.store.store_id());
    let stores: Vec<_> = cluster.nodes.iter().map(stores).collect();
    cluster.nodes.values_mut().try_for_each(|node| node.found(&stores))?;

    let vshard = VShardId(5);
    cluster.add(vshard, 1)?;
    cluster.add(vshard, 2)?;
    println!("three nodes: the sum is {}", cluster.read(vshard)?);

    let gone = cluster.leader(cluster.group_of(vshard)?)?.multi.node_id();
    drop(cluster.nodes.remove(&gone)); // The process dies; its folder stays.
    cluster.add(vshard, 4)?;
    println!("without node {gone}, which led: the sum is {}", cluster.read(vshard)?);

    let mut back = Node::open(folder.path(), gone, cluster.now)?;
    back.found(&stores)?;
    cluster.nodes.insert(gone, back);
    let group = cluster.group_of(vshard)?;
    cluster.run_until(|cluster| cluster.nodes[&gone].sum(group) == 7)?;
    println!("node {gone} is back: its own sum is {}", cluster.nodes[&gone].sum(group));
    Ok(())
}
