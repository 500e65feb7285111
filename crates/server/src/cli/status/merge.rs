//! From what each node says to one view of the cluster.
//!
//! Invariants: what a node says of itself counts, and what others say of it only if it does not
//! answer; of a group its leader's word counts, and of several leaders that of the latest term.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::{GroupReport, GroupRole, Level, NodeReport, Report, SCHEMA, sort_worst_first};

/// What became of asking a node.
#[derive(Debug)]
pub struct Answer {
    /// Which.
    pub node: u64,
    /// What it said, or why it did not.
    pub report: Result<Report, String>,
}

/// The cluster, as its nodes together see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct View {
    /// The version of the document, [`SCHEMA`].
    pub schema: u32,
    /// The cluster.
    pub cluster: String,
    /// The worst level of any node or group.
    pub level: Level,
    /// All nodes, worst first.
    pub nodes: Vec<NodeReport>,
    /// How many groups there are.
    pub groups_total: usize,
    /// How many of them some node leads.
    pub groups_led: usize,
    /// Some of the groups, worst first.
    pub groups: Vec<GroupReport>,
}

/// Puts together what the node that was asked first and the others said, with at most `limit`
/// groups.
pub fn merge(first: Report, others: Vec<Answer>, limit: usize) -> View {
    let (cluster, groups_total) = (first.cluster.clone(), first.counts.total);
    let mut nodes: BTreeMap<u64, NodeReport> =
        first.nodes.iter().map(|node| (node.id, node.clone())).collect();
    let mut reports = vec![first];
    for Answer { node, report } in others {
        match report {
            Ok(report) => reports.push(report),
            Err(error) => {
                if let Some(node) = nodes.get_mut(&node) {
                    (node.up, node.level) = (false, Level::Sick);
                    node.problem = Some(format!("does not answer: {error}"));
                }
            }
        }
    }
    for report in &reports {
        let own = report.nodes.iter().find(|node| node.id == report.node);
        if let (Some(own), Some(node)) = (own, nodes.get_mut(&report.node)) {
            *node = NodeReport { lag: 0, ..own.clone() };
        }
    }
    // Each leader knows what the others lack in its own groups.
    for node in nodes.values_mut() {
        let of_node =
            |report: &Report| report.nodes.iter().find(|it| it.id == node.id).map(|it| it.lag);
        node.lag = reports.iter().filter_map(of_node).sum();
    }
    let led: usize = reports.iter().map(|report| report.counts.led).sum();
    let mut groups = merge_groups(&reports);
    groups.truncate(limit);
    let mut nodes: Vec<NodeReport> = nodes.into_values().collect();
    nodes.sort_by_key(|node| (std::cmp::Reverse(node.level), node.id));
    let groups_led = led.min(groups_total);
    let worst = nodes.iter().map(|node| node.level).chain(groups.iter().map(|group| group.level));
    let level = worst.max().unwrap_or_default();
    View { schema: SCHEMA, cluster, level, nodes, groups_total, groups_led, groups }
}

fn merge_groups(reports: &[Report]) -> Vec<GroupReport> {
    let mut merged: BTreeMap<u64, GroupReport> = BTreeMap::new();
    for group in reports.iter().flat_map(|report| &report.groups) {
        let weight =
            |group: &GroupReport| (group.role == GroupRole::Leader, group.term, group.level);
        match merged.get_mut(&group.id) {
            Some(known) if weight(known) >= weight(group) => {}
            Some(known) => *known = group.clone(),
            None => {
                merged.insert(group.id, group.clone());
            }
        }
    }
    let mut groups: Vec<GroupReport> = merged.into_values().collect();
    sort_worst_first(&mut groups);
    groups
}
