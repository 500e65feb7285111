//! Nodes, a network between them, and the properties that hold whatever happens to them.

use std::collections::BTreeMap;

use multiraft::NodeSettings;
use raft_core::{Fitness, Role};
use routing::RoutingTable;
use types::{GroupId, LogIndex, NodeId, Term, Tick, VShardId};

use super::disk::Stored;
use super::network::Network;
use super::node::{Delivered, Node, nodes};
use super::random::Random;

pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) network: Network,
    pub(crate) now: u64,
    settings: NodeSettings,
    leaders: BTreeMap<(GroupId, Term), NodeId>,
    applied: BTreeMap<(GroupId, LogIndex), Delivered>,
    checked: BTreeMap<(NodeId, GroupId), usize>,
    commits: BTreeMap<(NodeId, GroupId), LogIndex>,
}

impl Cluster {
    /// As many nodes as given, with `groups` data groups on all of them, which are not yet added.
    pub(crate) fn new(count: u64, groups: u32, settings: NodeSettings) -> Self {
        let routing = table(count, groups);
        let make = |id| Node::new(id, routing.clone(), settings);
        Self {
            nodes: (1..=count).map(|id| (NodeId(id), make(id))).collect(),
            network: Network::new(settings.seed + 1),
            now: 0,
            settings,
            leaders: BTreeMap::new(),
            applied: BTreeMap::new(),
            checked: BTreeMap::new(),
            commits: BTreeMap::new(),
        }
    }

    /// Founds every group of the table on every node.
    pub(crate) fn found_all(mut self) -> Self {
        self.nodes.values_mut().for_each(Node::found_missing);
        self
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&NodeId(id)).unwrap()
    }

    /// One tick passes on every node, and everything that follows from it happens.
    pub(crate) fn tick(&mut self) {
        self.now += 1;
        for node in self.nodes.values_mut() {
            node.multi.tick(Tick(self.now));
        }
        self.settle();
    }

    /// Turns and delivers until nothing moves within this tick.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000 {
            let mut is_quiet = true;
            for node in self.nodes.values_mut() {
                let ready = node.turn();
                is_quiet &= ready.is_empty();
                for frame in ready.frames {
                    self.network.send(self.now, node.id, frame.to, frame.bytes, frame.is_beat);
                }
            }
            for (from, to, bytes) in self.network.arrived(self.now) {
                is_quiet = false;
                self.nodes.get_mut(&to).unwrap().multi.handle_frame(from, &bytes).unwrap();
            }
            self.check();
            if is_quiet {
                return;
            }
        }
        panic!("the cluster never settles at tick {}", self.now);
    }

    /// Ticks until `done`, at most `ticks_max` times.
    #[track_caller]
    pub(crate) fn run_until(&mut self, ticks_max: u64, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..ticks_max {
            if done(self) {
                return;
            }
            self.tick();
        }
        let statuses: Vec<_> = self
            .nodes
            .values()
            .map(|node| (node.id, node.multi.now(), node.multi.group_statuses()))
            .collect();
        let seed = self.settings.seed;
        assert!(done(self), "seed {seed}: not within {ticks_max} ticks, but {statuses:#?}");
    }

    #[track_caller]
    pub(crate) fn elect_all(&mut self) {
        self.run_until(200, |cluster| {
            let groups: Vec<GroupId> = cluster.nodes[&NodeId(1)].multi.routing().groups().collect();
            groups.into_iter().all(|group| {
                let leader = cluster.leader(group);
                let followers = cluster.nodes.values();
                let seen = |node: &Node| node.multi.group_leader(group) == Ok(leader);
                leader.is_some() && followers.into_iter().all(seen)
            })
        });
    }

    /// The node that leads a group in the highest term, if any does.
    pub(crate) fn leader(&self, group: GroupId) -> Option<NodeId> {
        let leading = self.nodes.values().filter(|node| node.multi.group_role_is_leader(group));
        leading.max_by_key(|node| node.term(group.0)).map(|node| node.id)
    }

    pub(crate) fn restart(&mut self, id: NodeId) {
        let promise = self.settings.timing.promise_ticks();
        let no_vote_before = Tick(self.now + promise);
        let settings = NodeSettings { no_vote_before, ..self.settings };
        let node = self.nodes.get_mut(&id).unwrap();
        node.restart(settings);
        node.found_missing();
        // What is delivered again is checked from the start, and a commit index may start anew.
        self.checked.retain(|(node, _), _| *node != id);
        self.commits.retain(|(node, _), _| *node != id);
    }

    /// Lives through `ticks` of trouble (lost, repeated, late and reordered frames, isolated and
    /// crashing nodes, slow disks) under load, calling `look` after each; then everything heals and
    /// all nodes come to the same end. Returns the commands of each group.
    pub(crate) fn survive(
        &mut self,
        ticks: u64,
        mut look: impl FnMut(&mut Self),
    ) -> Vec<Vec<Vec<u8>>> {
        let mut random = Random::new(self.settings.seed ^ 0x7201);
        (self.network.loss_percent, self.network.repeat_percent) = (10, 10);
        self.network.delay_ticks_max = 3;
        for tick in 0..ticks {
            let victim = NodeId(1 + random.below(self.nodes.len() as u64));
            match random.below(40) {
                0 => self.restart(victim),
                1 => self.network.isolate(&[victim]),
                2 | 3 => self.network.isolate(&[]),
                4..=6 => self.node(victim.0).holds_writes = true,
                15 => drop(self.node(victim.0).multi.set_fitness(Fitness::Unfit)),
                18 | 19 => self.transfer_somewhere(victim, &mut random),
                16 | 17 => drop(self.node(victim.0).multi.set_fitness(Fitness::Fit)),
                7..=14 => {
                    let node = self.node(victim.0);
                    node.holds_writes = false;
                    node.release_writes();
                }
                _ => self.propose_somewhere(tick, &mut random),
            }
            self.tick();
            look(self);
        }
        self.heal();
        self.elect_all();
        let groups: Vec<GroupId> = self.node(1).multi.routing().groups().collect();
        self.run_until(200, |cluster| {
            groups.iter().all(|group| {
                let lasts = cluster.nodes.values().map(|node| {
                    let status = node.multi.group_status(*group).unwrap();
                    (status.last == status.applied).then_some(status.last)
                });
                let lasts: Vec<Option<LogIndex>> = lasts.collect();
                lasts.iter().all(|last| last.is_some() && *last == lasts[0])
            })
        });
        groups.iter().map(|group| self.commands_on_disk(*group)).collect()
    }

    fn propose_somewhere(&mut self, tick: u64, random: &mut Random) {
        let vshard = VShardId(u32::try_from(random.below(64)).unwrap());
        let group = self.node(1).multi.routing().group_of(vshard).unwrap();
        let Some(leader) = self.leader(group) else { return };
        let payload = tick.to_le_bytes();
        // Refused where the leader lost office or is full; whatever is accepted is checked.
        let _ = self.node(leader.0).multi.propose(vshard, &payload);
    }

    fn transfer_somewhere(&mut self, to: NodeId, random: &mut Random) {
        let groups = self.node(1).multi.routing().group_count() as u64;
        let group = GroupId(1 + random.below(groups));
        let Some(leader) = self.leader(group) else { return };
        // Refused where it cannot succeed; whatever is begun is checked.
        let _ = self.node(leader.0).multi.transfer_leader(group, to);
    }

    pub(crate) fn heal(&mut self) {
        self.network.isolate(&[]);
        (self.network.loss_percent, self.network.repeat_percent) = (0, 0);
        self.network.delay_ticks_max = 0;
        for node in self.nodes.values_mut() {
            node.holds_writes = false;
            node.release_writes();
            node.multi.set_fitness(Fitness::Fit);
        }
    }

    /// The commands of a group on every disk, which must be the same.
    fn commands_on_disk(&self, group: GroupId) -> Vec<Vec<u8>> {
        let of = |node: &Node| {
            let stored = node.disk.group(group).unwrap();
            let commands = stored.entries.iter().filter_map(|(_, _, entry)| match entry {
                Stored::Command(payload) => Some(payload.clone()),
                Stored::TermStart | Stored::Configuration(_) => None,
            });
            commands.collect::<Vec<_>>()
        };
        let all: Vec<Vec<Vec<u8>>> = self.nodes.values().map(of).collect();
        assert!(all.iter().all(|commands| *commands == all[0]), "logs of {group} differ");
        all.into_iter().next().unwrap()
    }

    /// The properties that hold at every moment (paper figure 3, and the contract's).
    fn check(&mut self) {
        for node in self.nodes.values() {
            for status in node.multi.group_statuses() {
                let group = status.group;
                assert!(status.commit <= status.last && status.applied <= status.commit);
                if status.role == Role::Leader {
                    assert_eq!(node.multi.fitness(), Fitness::Fit, "an unfit node leads {group}");
                    let leader = self.leaders.entry((group, status.term)).or_insert(node.id);
                    assert_eq!(*leader, node.id, "two leaders of {group} in term {}", status.term);
                }
                let commit = self.commits.entry((node.id, group)).or_default();
                assert!(*commit <= status.commit, "the commit index of {group} falls");
                *commit = status.commit;
            }
            for (group, delivered) in &node.delivered {
                let checked = self.checked.entry((node.id, *group)).or_default();
                for entry in &delivered[*checked..] {
                    let key = (*group, entry.index);
                    let first = self.applied.entry(key).or_insert_with(|| entry.clone());
                    assert_eq!(first, entry, "node {} applied something else in {group}", node.id);
                }
                *checked = delivered.len();
            }
        }
        self.check_match_indexes();
    }

    /// What a leader knows to match is durable there and equal to its own log.
    fn check_match_indexes(&self) {
        for leader in self.nodes.values() {
            for status in leader.multi.group_statuses() {
                if status.role != Role::Leader {
                    continue;
                }
                // A leader that was deposed without knowing may be told of entries replaced since.
                if self.leaders.keys().any(|(g, term)| *g == status.group && *term > status.term) {
                    continue;
                }
                for peer in self.nodes.values() {
                    let matched = leader.multi.match_index_for(status.group, peer.id);
                    let matched = matched.expect("all nodes are members");
                    let told = status.matched.iter().find(|(node, _)| *node == peer.id);
                    let told = told.map_or(status.persisted, |(_, told)| *told);
                    assert_eq!(told, matched, "statuses and questions differ");
                    if matched == LogIndex(0) {
                        continue;
                    }
                    let stored = peer.disk.group(status.group).expect("it acknowledged entries");
                    let mine = leader.disk.group(status.group).expect("it leads");
                    let common = matched.min(mine.last());
                    assert!(stored.last() >= matched, "acknowledged what is not durable");
                    assert_eq!(stored.term_at(common), mine.term_at(common), "logs do not match");
                }
            }
        }
    }
}

/// Groups 1 to `groups` on `count` nodes, 64 vshards or one per group.
pub(crate) fn table(count: u64, groups: u32) -> RoutingTable {
    let replication_factor = usize::try_from(count).unwrap();
    RoutingTable::uniform(groups.max(64), groups, &nodes(count), replication_factor).unwrap()
}
