//! Bounds: what a node holds stays within the limits that it was given, and is nothing once all is
//! quiet.

use multiraft::{LoopLimits, NodeLoop, NodeSettings};

use crate::breach::{Held, breach};

/// The largest entry that clients of a run propose, with all that is counted beside its data.
const ENTRY_BYTES_MAX: usize = 512;

/// After a turn of a node.
pub(crate) fn check(node: u64, running: &NodeLoop<u64>, settings: &NodeSettings) -> Held {
    let (uncommitted, in_flight) = (running.multi().uncommitted_bytes(), running.in_flight_bytes());
    // Each group goes over its own limit, and the last proposal over the node's, by one entry.
    let per_group = settings.limits.uncommitted_bytes_max.saturating_add(ENTRY_BYTES_MAX);
    let groups_max = per_group.saturating_mul(running.multi().group_count());
    let uncommitted_max = groups_max.min(settings.uncommitted_bytes_max + ENTRY_BYTES_MAX);
    let in_flight_max = LoopLimits::default().in_flight_bytes_max + ENTRY_BYTES_MAX;
    if uncommitted <= uncommitted_max && in_flight <= in_flight_max {
        return Ok(());
    }
    let what = format!("node {node}: {uncommitted} bytes uncommitted, {in_flight} in flight");
    breach("budgets hold", what)
}

/// A frame that leaves: within its limit unless it is a single message.
pub(crate) fn check_frame(
    node: u64,
    bytes: usize,
    messages: usize,
    settings: &NodeSettings,
) -> Held {
    let limits = settings.frame;
    if messages <= limits.messages_max && (bytes <= limits.frame_bytes_max || messages <= 1) {
        return Ok(());
    }
    let what = format!("node {node}: {messages} messages in {bytes} bytes");
    breach("frames stay within their limit", what)
}

/// When nothing is asked or under way any more.
pub(crate) fn check_idle(node: u64, running: &NodeLoop<u64>, waiting_writes: usize) -> Held {
    let (uncommitted, in_flight) = (running.multi().uncommitted_bytes(), running.in_flight_bytes());
    let reads = running.waiting_reads();
    if (uncommitted, in_flight, reads, waiting_writes) == (0, 0, 0, 0) {
        return Ok(());
    }
    let what = format!(
        "node {node}: {uncommitted} bytes uncommitted, {in_flight} in flight, {reads} reads and \
         {waiting_writes} writes under way"
    );
    breach("budgets are free once all is quiet", what)
}

#[cfg(test)]
mod tests {
    use multiraft::{GroupSpec, Input, MultiRaft};
    use routing::RoutingTable;
    use types::{GroupId, NodeId, StoreId, Tick};

    use super::*;

    const GROUP: GroupId = GroupId(1);

    /// The only node of a group, which leads it and has taken proposals of so many bytes.
    fn leader(settings: NodeSettings, proposals: usize, bytes: usize) -> NodeLoop<u64> {
        let routing = RoutingTable::uniform(1, 1, &[NodeId(1)], 1).unwrap();
        let multi = MultiRaft::new(NodeId(1), StoreId(1), routing, settings);
        let mut running = NodeLoop::new(multi, LoopLimits::default());
        let found = Input::AddGroup(GroupSpec::founded_by(GROUP, vec![NodeId(1)]));
        let mut inputs = vec![found, Input::Tick(Tick(40))];
        while !running.multi().group_role_is_leader(GROUP) {
            let turn = running.turn(inputs);
            inputs = turn.write.into_iter().map(|(ticket, _)| Input::Persisted(ticket)).collect();
            inputs.push(Input::Tick(Tick(80)));
        }
        let data = vec![0; bytes];
        let propose = |reply: usize| {
            let (data, reply) = (data.clone().into(), reply as u64);
            Input::ProposeToGroup { group: GROUP, data, reply }
        };
        let _ = running.turn((0..proposals).map(propose));
        running
    }

    #[test]
    fn a_node_that_holds_more_than_it_may_is_a_breach() {
        let settings = NodeSettings::default();
        let running = leader(settings, 10, 300);
        assert!(running.multi().uncommitted_bytes() > 3_000);
        assert!(check(1, &running, &settings).is_ok());
        let small = NodeSettings { uncommitted_bytes_max: 1_000, ..settings };
        assert!(check(1, &running, &small).is_err(), "over the node's limit");
        let mut small = settings;
        small.limits.uncommitted_bytes_max = 1_000;
        assert!(check(1, &running, &small).is_err(), "over the group's limit");
        let kept = leader(small, 10, 300);
        assert!(check(1, &kept, &small).is_ok(), "the node refuses the rest");
    }

    #[test]
    fn a_node_that_keeps_something_when_all_is_quiet_is_a_breach() {
        let idle = leader(NodeSettings::default(), 0, 0);
        assert!(check_idle(1, &idle, 0).is_ok());
        assert!(check_idle(1, &idle, 1).is_err(), "a write under way");
        let busy = leader(NodeSettings::default(), 1, 10);
        assert!(check_idle(1, &busy, 0).is_err());
    }

    #[test]
    fn only_a_single_message_may_be_larger_than_a_frame() {
        let mut settings = NodeSettings::default();
        (settings.frame.frame_bytes_max, settings.frame.messages_max) = (100, 4);
        let check = |bytes, messages| check_frame(1, bytes, messages, &settings).is_ok();
        assert!(check(100, 4) && check(200, 1));
        assert!(!check(101, 2) && !check(100, 5));
    }
}
