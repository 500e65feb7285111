//! Bounds: what a node holds stays within the limits that it was given, and is nothing once all is
//! quiet.

use multiraft::{Holdings, LoopLimits, NodeHoldings, NodeLoop, NodeSettings, Waits};
use raft_core::Limits;
use types::GroupId;

use crate::breach::{Held, breach};

/// The largest entry that clients of a run propose, with all that is counted beside its data.
const ENTRY_BYTES_MAX: usize = 512;
/// What no heartbeat takes more than on the wire, nor an answer to one.
const BEAT_BYTES_MAX: usize = 40;
/// How many messages may wait for one write: some kinds of answers to each of six replicas.
const HELD_PER_WRITE_MAX: usize = 64;
/// How many appointments a group may have with time, void ones included: two for each of the days
/// that the longest timeout reaches.
const APPOINTMENTS_MAX: usize = 100;
/// How many messages of a group may wait for a beat to one node once all is quiet: a heartbeat, and
/// answers to a leader whose clock is faster.
const BEATS_PER_GROUP_MAX: usize = 4;

/// After a turn of a node.
pub(crate) fn check(node: u64, running: &NodeLoop<u64>, settings: &NodeSettings) -> Held {
    let (uncommitted, in_flight) = (running.multi().uncommitted_bytes(), running.in_flight_bytes());
    // Each group goes over its own limit, and the last proposal over the node's, by one entry.
    let per_group = settings.limits.uncommitted_bytes_max.saturating_add(ENTRY_BYTES_MAX);
    let groups_max = per_group.saturating_mul(running.multi().group_count());
    let uncommitted_max = groups_max.min(settings.uncommitted_bytes_max + ENTRY_BYTES_MAX);
    let in_flight_max = LoopLimits::default().in_flight_bytes_max + ENTRY_BYTES_MAX;
    let held = running.multi().holdings();
    let beats = held.beat_messages;
    let is_frame = beats.saturating_mul(BEAT_BYTES_MAX) >= settings.frame.frame_bytes_max
        || beats >= settings.frame.messages_max;
    let appointments_max = APPOINTMENTS_MAX * running.multi().group_count();
    if uncommitted <= uncommitted_max
        && in_flight <= in_flight_max
        && !is_frame
        && held.appointments <= appointments_max
    {
        return Ok(());
    }
    let what =
        format!("node {node}: {uncommitted} bytes uncommitted, {in_flight} in flight, {held:?}");
    breach("budgets hold", what)
}

/// After a turn that concerned a replica.
pub(crate) fn check_replica(node: u64, group: GroupId, held: &Holdings, limits: &Limits) -> Held {
    let append_max = limits.append_bytes_max.max(ENTRY_BYTES_MAX);
    let is_bounded = held.cached_bytes <= limits.log_cache_bytes_max
        && held.applying_bytes <= limits.apply_bytes_max.saturating_add(ENTRY_BYTES_MAX)
        && held.window_bytes <= limits.inflight_bytes_max.saturating_add(append_max)
        && held.window_appends <= limits.inflight_appends_max
        && held.messages <= HELD_PER_WRITE_MAX * held.writes;
    if is_bounded {
        return Ok(());
    }
    breach("what a replica holds is bounded", format!("node {node}, group {group}: {held:?}"))
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
    let (reads, waits) = (running.waiting_reads(), running.waits());
    let NodeHoldings { beat_messages, writes, appointments: _ } = running.multi().holdings();
    let beats_max = BEATS_PER_GROUP_MAX * running.multi().group_count();
    if (uncommitted, in_flight, reads, waiting_writes, writes) == (0, 0, 0, 0, 0)
        && waits == Waits::default()
        && beat_messages <= beats_max
    {
        return Ok(());
    }
    let what = format!(
        "node {node}: {uncommitted} bytes uncommitted, {in_flight} in flight, {reads} reads and \
         {waiting_writes} writes under way, {writes} of them not reported, {waits:?}, \
         {beat_messages} messages wait for a beat"
    );
    breach("budgets are free once all is quiet", what)
}

/// The same of a replica, whose group has all its members where it leads one that `is_whole`: who is
/// away is still to be sent what it lacks.
pub(crate) fn check_replica_idle(
    node: u64,
    group: GroupId,
    held: &Holdings,
    is_whole: bool,
) -> Held {
    let for_others = Holdings {
        cached_bytes: held.cached_bytes,
        window_bytes: held.window_bytes,
        window_appends: held.window_appends,
        fetches: held.fetches,
        ..Holdings::default()
    };
    let allowed = if is_whole { Holdings::default() } else { for_others };
    if *held == allowed {
        return Ok(());
    }
    let what = format!("node {node}, group {group}: {held:?}");
    breach("a replica at rest holds nothing", what)
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
        // A single voter elects itself, and then there is nothing more to be done.
        while !inputs.is_empty() {
            let turn = running.turn(inputs);
            inputs = turn.write.into_iter().map(|(ticket, _)| Input::Persisted(ticket)).collect();
            inputs.extend(turn.apply.into_iter().map(|batch| {
                let index = batch.runs.last().unwrap().last();
                Input::Applied { group: batch.group, index }
            }));
        }
        assert!(running.multi().group_role_is_leader(GROUP));
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
        let held = |node: &NodeLoop<u64>| node.multi().replica_holdings(GROUP).unwrap();
        assert!(check_replica_idle(1, GROUP, &held(&idle), true).is_ok());
        assert!(check_replica_idle(1, GROUP, &held(&busy), true).is_err());
    }

    #[test]
    fn a_replica_keeps_at_rest_only_what_somebody_who_is_away_still_wants() {
        let is_ok =
            |held: Holdings, is_whole| check_replica_idle(1, GROUP, &held, is_whole).is_ok();
        let kept = Holdings {
            cached_bytes: 1,
            window_bytes: 1,
            window_appends: 1,
            fetches: 1,
            ..Holdings::default()
        };
        assert!(is_ok(kept, false) && !is_ok(kept, true));
        assert!(!is_ok(Holdings { reads: 1, ..kept }, false));
        assert!(!is_ok(Holdings { messages: 1, ..kept }, false));
        assert!(!is_ok(Holdings { applying_bytes: 1, ..kept }, false));
    }

    #[test]
    fn a_replica_that_holds_more_than_it_may_is_a_breach() {
        let limits = Limits::default();
        let is_ok = |held| check_replica(1, GROUP, &held, &limits).is_ok();
        let none = Holdings::default();
        let cached = |cached_bytes| Holdings { cached_bytes, ..none };
        assert!(
            is_ok(cached(limits.log_cache_bytes_max))
                && !is_ok(cached(limits.log_cache_bytes_max + 1))
        );
        let window_appends = limits.inflight_appends_max + 1;
        assert!(!is_ok(Holdings { window_appends, ..none }));
        let window_bytes = limits.inflight_bytes_max + limits.append_bytes_max + 1;
        assert!(!is_ok(Holdings { window_bytes, ..none }));
        let applying_bytes = limits.apply_bytes_max + ENTRY_BYTES_MAX + 1;
        assert!(!is_ok(Holdings { applying_bytes, ..none }));
        assert!(is_ok(Holdings { messages: 64, writes: 1, ..none }), "each waits for the write");
        assert!(!is_ok(Holdings { messages: 1, ..none }), "nothing keeps it");
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
