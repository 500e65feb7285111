//! What can be asked of a node; nothing here changes anything.

use alloc::vec::Vec;

use raft_core::{Configuration, HaltReason, Role};
use routing::RoutingTable;
use types::{Generation, GroupId, LogIndex, NodeId, ReplicaId, StoreId, Term, Tick, VShardId};

use crate::groups::{Hosted, Slot};
use crate::{LookupError, MultiRaft, UnknownGroup};

/// One group as this node sees it at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupId,
    /// Which life of the group.
    pub generation: Generation,
    /// The replica that this node holds.
    pub replica: ReplicaId,
    /// What that replica is: leader, follower, candidate (asking for pre-votes included) or learner.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<NodeId>,
    /// Whether the leader was heard from within one election timeout.
    pub leader_is_fresh: bool,
    /// The last entry of the log, durable or not.
    pub last: LogIndex,
    /// The last entry that is durable here; at most `last`.
    pub persisted: LogIndex,
    /// The commit index; at most `last`.
    pub commit: LogIndex,
    /// The last applied entry; at most `commit`.
    pub applied: LogIndex,
    /// The last entry that compaction removed; at most `applied`, 0 if none.
    pub snapshot: LogIndex,
    /// The nodes that vote, sorted; of both halves while the configuration is joint.
    pub voters: Vec<NodeId>,
    /// The nodes that only receive the log, sorted.
    pub learners: Vec<NodeId>,
    /// Up to where the durable logs of the other nodes are known to match, sorted by node; empty unless
    /// this node leads.
    pub matched: Vec<(NodeId, LogIndex)>,
    /// How many vshards the routing table maps to the group.
    pub vshards: u32,
    /// To which node leadership is being handed; none unless this node leads.
    pub transferee: Option<NodeId>,
    /// Why the replica here takes part in nothing any more; none while it does.
    pub halted: Option<HaltReason>,
}

/// How far one replica got. Every one of these but `last` and `persisted` only rises while the
/// replica is mounted; those two fall when a newer leader replaces what was never committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursors {
    /// What the replica is.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<ReplicaId>,
    /// The last applied entry; at most `committed` and `persisted`.
    pub applied: LogIndex,
    /// The commit index; at most `last`.
    pub committed: LogIndex,
    /// The last durable entry; at most `last`.
    pub persisted: LogIndex,
    /// The last entry of the log, durable or not.
    pub last: LogIndex,
}

impl MultiRaft {
    /// Who this node is.
    #[must_use]
    pub const fn node_id(&self) -> NodeId {
        self.node
    }

    /// Which store this node's groups live in.
    #[must_use]
    pub const fn store_id(&self) -> StoreId {
        self.store
    }

    /// The time that this node was told last.
    #[must_use]
    pub const fn now(&self) -> Tick {
        self.groups.now()
    }

    /// How many groups are mounted here.
    #[must_use]
    pub const fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The routing table.
    #[must_use]
    pub const fn routing(&self) -> &RoutingTable {
        &self.routing
    }

    /// The routing table, to be updated: what is there is what the next proposal goes by.
    pub const fn routing_mut(&mut self) -> &mut RoutingTable {
        &mut self.routing
    }

    /// What all groups led here accepted and did not commit yet, in bytes.
    #[must_use]
    pub const fn uncommitted_bytes(&self) -> usize {
        self.groups.uncommitted_bytes()
    }

    /// All groups mounted here, sorted by id. Costs in proportion to their number; allocates.
    #[must_use]
    pub fn group_statuses(&self) -> Vec<GroupStatus> {
        let mut all: Vec<GroupStatus> =
            self.groups.iter().map(|hosted| self.status_of(hosted)).collect();
        all.sort_unstable_by_key(|status| status.group);
        all
    }

    /// One group mounted here; none if it is not.
    #[must_use]
    pub fn group_status(&self, group: GroupId) -> Option<GroupStatus> {
        self.hosted(group).ok().map(|hosted| self.status_of(hosted))
    }

    /// How far the replica of a group mounted here got; none if it is not. Unlike
    /// [`Self::group_status`] it allocates nothing, so that it can be asked after every turn.
    #[must_use]
    pub fn cursors_of(&self, group: GroupId) -> Option<Cursors> {
        let node = &self.hosted(group).ok()?.node;
        Some(Cursors {
            role: node.role(),
            term: node.term(),
            vote: node.voted_for(),
            applied: node.applied_index(),
            committed: node.commit_index(),
            persisted: node.persisted_index(),
            last: node.last_index(),
        })
    }

    fn status_of(&self, hosted: &Hosted) -> GroupStatus {
        let status = hosted.node.status();
        let configuration = &*status.configuration;
        let nodes = |wanted: fn(&Configuration, ReplicaId) -> bool| {
            let wanted = configuration.replicas().filter(|r| wanted(configuration, r.id));
            let mut nodes: Vec<NodeId> = wanted.map(|replica| replica.node).collect();
            nodes.sort_unstable();
            nodes
        };
        let matched = status.peers.iter();
        let mut matched: Vec<(NodeId, LogIndex)> = matched
            .filter_map(|peer| Some((hosted.node_of(peer.replica)?, peer.matched)))
            .collect();
        matched.sort_unstable_by_key(|(node, _)| *node);
        let vshards = self.routing.vshards_of(hosted.group);
        GroupStatus {
            group: hosted.group,
            generation: hosted.generation,
            replica: status.replica,
            role: match status.role {
                Role::PreCandidate => Role::Candidate,
                role @ (Role::Follower | Role::Candidate | Role::Leader | Role::Learner) => role,
            },
            term: status.term,
            leader: hosted.leader_node(),
            leader_is_fresh: hosted.node.leader_is_fresh(self.now()),
            last: status.last.index,
            persisted: status.persisted,
            commit: status.committed,
            applied: status.applied,
            snapshot: status.base.index,
            voters: nodes(Configuration::is_voter),
            learners: nodes(Configuration::is_learner),
            matched,
            vshards: vshards.end - vshards.start,
            transferee: hosted.transferee(),
            halted: status.halted,
        }
    }

    /// The node that leads the group of a vshard, by what Raft knows; none while nobody is known to.
    ///
    /// # Errors
    /// There is no such vshard, or its group is not hosted here.
    pub fn leader_for_vshard(&self, vshard: VShardId) -> Result<Option<NodeId>, LookupError> {
        let (_, slot) = self.slot_of_vshard(vshard)?;
        Ok(self.groups.get(slot).leader_node())
    }

    /// The node that leads the group; none while nobody is known to.
    ///
    /// # Errors
    /// The group is not hosted here.
    pub fn group_leader(&self, group: GroupId) -> Result<Option<NodeId>, UnknownGroup> {
        Ok(self.hosted(group)?.leader_node())
    }

    /// Whether this node leads the group. True on at most one node per group and term.
    #[must_use]
    pub fn group_role_is_leader(&self, group: GroupId) -> bool {
        self.hosted(group).is_ok_and(Hosted::leads)
    }

    /// The group's commit index as this node knows it, which never falls; none if it is not hosted.
    #[must_use]
    pub fn commit_index_for(&self, group: GroupId) -> Option<LogIndex> {
        self.hosted(group).ok().map(|hosted| hosted.node.commit_index())
    }

    /// Up to where the durable log of the group's replica on `node` is known to match this leader's;
    /// none if the group is not hosted or not led here, or has no replica there.
    #[must_use]
    pub fn match_index_for(&self, group: GroupId, node: NodeId) -> Option<LogIndex> {
        let hosted = self.hosted(group).ok()?;
        let replica = hosted.node.configuration().replica_on(node)?;
        hosted.node.match_index(replica.id)
    }

    /// The last applied entry.
    pub(crate) fn applied_in(&self, slot: Slot) -> LogIndex {
        self.groups.get(slot).node.applied_index()
    }

    fn hosted(&self, group: GroupId) -> Result<&Hosted, UnknownGroup> {
        Ok(self.groups.get(self.slot(group)?))
    }
}
