//! Bounds: what a node holds stays within the limits that it was given, and is nothing once all is
//! quiet.

use multiraft::{LoopLimits, NodeLoop, NodeSettings};

use crate::breach::{Held, breach};

/// The largest entry that clients of a run propose, with all that is counted beside its data.
const ENTRY_BYTES_MAX: usize = 512;

/// After a turn of a node.
pub(crate) fn check(node: u64, running: &NodeLoop<u64>, settings: &NodeSettings) -> Held {
    let (uncommitted, in_flight) = (running.multi().uncommitted_bytes(), running.in_flight_bytes());
    let uncommitted_max = settings.uncommitted_bytes_max + ENTRY_BYTES_MAX;
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
    if (uncommitted, in_flight, waiting_writes) == (0, 0, 0) {
        return Ok(());
    }
    let what = format!(
        "node {node}: {uncommitted} bytes uncommitted, {in_flight} in flight, {waiting_writes} \
         writes under way"
    );
    breach("budgets are free once all is quiet", what)
}
