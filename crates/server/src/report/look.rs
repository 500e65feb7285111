//! From what the engine says of itself and its groups to findings, and to the document.
//!
//! Invariant: pure; everything that is asked of the engine was asked before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::{EngineState, EngineStatus, GroupStatus, Health};
use raft_core::Role;
use types::{GroupId, NodeId};

use super::finding::{self, Finding};
use super::sort_worst_first;
use super::{Counts, GroupReport, GroupRole, Level, NodeReport, OwnReport, Report, SCHEMA};
use crate::front::Topology;

/// What a node knows at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Who is who.
    pub topology: &'a Topology,
    /// The node.
    pub engine: &'a EngineStatus,
    /// Its groups, sorted by id; those that wait to be founded are missing.
    pub groups: &'a [GroupStatus],
    /// How long the node has been running, in seconds.
    pub uptime_seconds: u64,
}

impl Look<'_> {
    /// The document, with at most `limit` groups behind the first `offset`.
    pub fn report(&self, limit: usize, offset: usize) -> Report {
        let all = self.topology.table.groups();
        let mut groups: Vec<GroupReport> = all.map(|group| self.group(group)).collect();
        let counts = self.counts(&groups);
        let nodes = self.topology.members.keys().map(|node| self.node(*node, &groups)).collect();
        sort_worst_first(&mut groups);
        Report {
            schema: SCHEMA,
            cluster: self.topology.cluster.as_str().to_owned(),
            node: self.topology.me.0,
            nodes,
            counts,
            offset,
            groups: groups.into_iter().skip(offset).take(limit).collect(),
        }
    }

    /// What is wrong with a group, or goes on in it, worst first; empty if nothing is.
    pub fn findings(&self, group: GroupId) -> Vec<Finding> {
        let mut found = match self.status(group) {
            None => vec![self.founding(group)],
            Some(status) => match status.halted {
                Some(reason) => vec![Finding::Halted(reason)],
                None => self.of_mounted(status),
            },
        };
        if self.engine.health == Health::Failed {
            found.insert(0, Finding::Failed);
        }
        found.sort_by_key(|finding| std::cmp::Reverse(finding.level()));
        found
    }

    /// The group as its replica here is; none while it waits to be founded.
    pub fn status(&self, group: GroupId) -> Option<&GroupStatus> {
        let at = self.groups.binary_search_by_key(&group, |status| status.group).ok()?;
        self.groups.get(at)
    }

    fn founding(&self, group: GroupId) -> Finding {
        Finding::Founding { missing: self.unreachable(self.topology.table.replicas_of(group)) }
    }

    fn of_mounted(&self, status: &GroupStatus) -> Vec<Finding> {
        let unreachable = self.unreachable(&status.voters);
        let voters = status.voters.len();
        let mut found = Vec::new();
        match status.leader {
            _ if status.role == Role::Leader => self.of_leader(status, unreachable, &mut found),
            Some(_) if status.leader_is_fresh => {}
            // Whoever lacks a majority cannot be told of a leader either.
            Some(_) | None if voters - unreachable.len() <= voters / 2 => {
                found.push(Finding::NoMajority { unreachable, voters });
            }
            Some(leader) => found.push(Finding::Silent { leader }),
            None => found.push(Finding::Electing),
        }
        let mut waiting = |entries: u64, finding: fn(u64) -> Finding| {
            if entries > 0 {
                found.push(finding(entries));
            }
        };
        let on_disk = status.last.0.saturating_sub(status.persisted.0);
        waiting(on_disk, |entries| Finding::OwnDisk { entries });
        if status.role == Role::Leader {
            let uncommitted = status.persisted.0.saturating_sub(status.commit.0);
            waiting(uncommitted, |entries| Finding::Majority { entries });
        }
        let unapplied = status.commit.0.saturating_sub(status.applied.0);
        waiting(unapplied, |entries| Finding::Apply { entries });
        for (node, matched) in &status.matched {
            let entries = status.last.0.saturating_sub(matched.0);
            if entries > 0 {
                found.push(Finding::Behind { node: *node, entries });
            }
        }
        found
    }

    fn of_leader(&self, status: &GroupStatus, unreachable: Vec<NodeId>, found: &mut Vec<Finding>) {
        match self.engine.health {
            Health::Healthy | Health::Failed => {}
            Health::Stalled { waited } => {
                let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                found.push(Finding::DiskStalled { waited_ms });
            }
            Health::DiskFull { free_bytes, needed_bytes, is_waiting: _ } => {
                found.push(Finding::DiskFull { free_bytes, needed_bytes });
            }
        }
        let is_low = |node: &NodeId| self.engine.peers_low.contains(node);
        let low: Vec<NodeId> = status.voters.iter().copied().filter(is_low).collect();
        if low.len() > status.voters.len().saturating_sub(1) / 2 {
            found.push(Finding::MajorityFull { nodes: low });
        }
        if !unreachable.is_empty() {
            found.push(Finding::FewerCopies { unreachable });
        }
        if let Some(to) = status.transferee {
            found.push(Finding::Transfer { to });
        }
    }

    /// Those of `nodes` to which frames do not leave.
    fn unreachable(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let others = nodes.iter().filter(|node| **node != self.topology.me);
        let unique: BTreeSet<NodeId> = others.copied().filter(|node| !self.is_up(*node)).collect();
        unique.into_iter().collect()
    }

    fn is_up(&self, node: NodeId) -> bool {
        self.engine.links.peers.get(&node).is_some_and(|peer| peer.is_up)
    }

    fn group(&self, group: GroupId) -> GroupReport {
        let findings = self.findings(group);
        let worst = findings.first().filter(|finding| finding.level() > Level::Ok);
        let (level, problem) =
            worst.map_or((Level::Ok, None), |finding| (finding.level(), Some(finding.short())));
        let id = group.0;
        let Some(status) = self.status(group) else {
            return GroupReport {
                id,
                role: GroupRole::Founding,
                leader: None,
                term: 0,
                commit: 0,
                applied: 0,
                persisted: 0,
                last: 0,
                lag: BTreeMap::new(),
                transferee: None,
                level,
                problem,
            };
        };
        let lag = status.matched.iter();
        let lag = lag.map(|(node, matched)| (node.0, status.last.0.saturating_sub(matched.0)));
        GroupReport {
            id,
            role: role(status),
            leader: status.leader.map(|node| node.0),
            term: status.term.0,
            commit: status.commit.0,
            applied: status.applied.0,
            persisted: status.persisted.0,
            last: status.last.0,
            lag: lag.collect(),
            transferee: status.transferee.map(|node| node.0),
            level,
            problem,
        }
    }

    fn counts(&self, groups: &[GroupReport]) -> Counts {
        let count = |level| groups.iter().filter(|group| group.level == level).count();
        let mounted = self.groups.iter();
        Counts {
            total: groups.len(),
            led: groups.iter().filter(|group| group.role == GroupRole::Leader).count(),
            with_leader: mounted
                .filter(|status| status.leader.is_some() && status.leader_is_fresh)
                .count(),
            degraded: count(Level::Degraded),
            sick: count(Level::Sick),
        }
    }

    fn node(&self, node: NodeId, groups: &[GroupReport]) -> NodeReport {
        let is_self = node == self.topology.me;
        let member = self.topology.members.get(&node);
        let (up, level, problem) = if is_self { self.own_health() } else { self.other(node) };
        NodeReport {
            id: node.0,
            host: member.map(|member| member.host.clone()).unwrap_or_default(),
            port: member.map_or(0, |member| member.port),
            up,
            level,
            problem,
            leads: groups.iter().filter(|group| group.leader == Some(node.0)).count(),
            lag: groups.iter().filter_map(|group| group.lag.get(&node.0)).sum(),
            own: is_self.then(|| self.own(groups)),
        }
    }

    fn own(&self, groups: &[GroupReport]) -> OwnReport {
        let count = |role| groups.iter().filter(|group| group.role == role).count();
        let times = self.engine.log_commit_times;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        OwnReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.uptime_seconds,
            followers: count(GroupRole::Follower),
            candidates: count(GroupRole::Candidate),
            learners: count(GroupRole::Learner),
            founding: count(GroupRole::Founding),
            log_bytes: self.engine.log_bytes,
            log_bytes_max: self.engine.log_bytes_max,
            log_commits: self.engine.log_commits,
            log_entries: Some(self.engine.log_entries),
            commit_p50_us: times.map(|times| micros(times.p50)),
            commit_p99_us: times.map(|times| micros(times.p99)),
        }
    }

    fn own_health(&self) -> (bool, Level, Option<String>) {
        match self.engine.state {
            EngineState::Running => {}
            EngineState::Stopping => return (false, Level::Sick, Some("stopping".to_owned())),
            EngineState::Stopped => return (false, Level::Sick, Some("stopped".to_owned())),
            EngineState::Failed => return (false, Level::Sick, Some("failed".to_owned())),
        }
        let sick = |problem: String| (true, Level::Sick, Some(problem));
        match self.engine.health {
            Health::Healthy if self.engine.log_bytes >= self.engine.log_bytes_max => {
                let max = self.engine.log_bytes_max;
                sick(format!("the log has reached log_bytes_max = {max}: writes are refused"))
            }
            Health::Healthy => (true, Level::Ok, None),
            Health::Stalled { waited } => {
                sick(format!("disk does not answer for {} ms", waited.as_millis()))
            }
            Health::DiskFull { free_bytes, needed_bytes, is_waiting: _ } => {
                sick(Finding::DiskFull { free_bytes, needed_bytes }.short())
            }
            Health::Failed => (false, Level::Sick, Some("failed".to_owned())),
        }
    }

    fn other(&self, node: NodeId) -> (bool, Level, Option<String>) {
        if !self.is_up(node) {
            let refusal = self.engine.refusals.get(&node);
            let reason = refusal.map_or_else(
                || format!("not connected with node {}", self.topology.me),
                |reason| format!("refused: {reason}"),
            );
            return (false, Level::Sick, Some(reason));
        }
        if self.engine.peers_low.contains(&node) {
            return (true, Level::Sick, Some("disk full".to_owned()));
        }
        (true, Level::Ok, None)
    }
}

fn role(status: &GroupStatus) -> GroupRole {
    if status.halted.is_some() {
        return GroupRole::Halted;
    }
    match status.role {
        Role::Leader => GroupRole::Leader,
        Role::Follower => GroupRole::Follower,
        Role::Candidate | Role::PreCandidate => GroupRole::Candidate,
        Role::Learner => GroupRole::Learner,
    }
}

/// What a group waits for, in sentences, one each.
pub fn explain(look: &Look<'_>, group: GroupId) -> Vec<String> {
    let me = look.topology.me;
    let mut lines = Vec::new();
    if let Some(status) = look.status(group) {
        let others: Vec<NodeId> = status.voters.clone();
        let who = match status.leader {
            Some(leader) if leader == me => format!("Node {me}, this one, leads"),
            Some(leader) => format!("Node {leader} leads, as far as node {me} knows,"),
            None => format!("Node {me} knows of no leader of"),
        };
        lines.push(format!(
            "{who} group {group} in term {}; {} vote.",
            status.term,
            finding::nodes(&others)
        ));
    } else {
        lines.push(format!("Group {group} is not founded yet."));
    }
    let findings = look.findings(group);
    if findings.iter().all(|finding| finding.level() == Level::Ok) {
        lines.push("It is healthy.".to_owned());
    }
    lines.extend(findings.iter().map(Finding::sentence));
    if let Some(GroupStatus { leader: Some(leader), .. }) = look.status(group)
        && *leader != me
        && let Some(member) = look.topology.members.get(leader)
    {
        lines.push(format!(
            "Its leader knows more: MULTIRAFT EXPLAIN {group} to {}:{}.",
            member.host, member.port
        ));
    }
    lines
}
