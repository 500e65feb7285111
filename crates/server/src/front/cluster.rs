//! CLUSTER: which node serves which slots.
//!
//! A group without a leader that was heard from lately is listed under the node that answers: a
//! client that then asks here is parked until there is one, while a client sent to a dead node
//! would fail. No replicas are listed, since every read goes to a leader.

use std::fmt::Write;

use bytes::Bytes;
use parking_lot::Mutex;
use types::NodeId;

use super::service::{Ask, Place, Service};
use super::topology::Topology;
use crate::resp::{Args, Protocol, Reply};

/// Slots that follow each other, both ends included, and whose clients should ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    first: u32,
    last: u32,
    owner: NodeId,
}

/// Who should be asked for which slots at the moment: sorted, without gaps, neighbours merged.
pub(crate) fn ranges(service: &Service) -> Vec<Range> {
    let topology = &service.topology;
    let mut ranges: Vec<Range> = Vec::new();
    for group in topology.table.groups() {
        let owner = match service.place(group) {
            Place::Elsewhere(node) => node,
            Place::Here | Place::Nowhere => topology.me,
        };
        let vshards = topology.table.vshards_of(group);
        match ranges.last_mut() {
            Some(range) if range.owner == owner => range.last = vshards.end - 1,
            _ => ranges.push(Range { first: vshards.start, last: vshards.end - 1, owner }),
        }
    }
    ranges
}

/// The answer to CLUSTER SLOTS, as long as leaders stay as they are: with many groups it is long,
/// and after an election every client asks for it.
#[derive(Debug, Default)]
pub(crate) struct SlotsCache {
    resp2: Mutex<Option<(Vec<Range>, Bytes)>>,
    resp3: Mutex<Option<(Vec<Range>, Bytes)>>,
}

/// `CLUSTER SLOTS`
pub(crate) fn slots(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    let ranges = ranges(ask.service);
    let protocol = ask.session.protocol;
    let mut cached = match protocol {
        Protocol::Resp2 => ask.service.slots_cache.resp2.lock(),
        Protocol::Resp3 => ask.service.slots_cache.resp3.lock(),
    };
    if let Some((as_of, bytes)) = &*cached
        && *as_of == ranges
    {
        return Reply::Encoded(bytes.clone());
    }
    let bytes = slots_reply(&ask.service.topology, &ranges).to_bytes(protocol);
    *cached = Some((ranges, bytes.clone()));
    Reply::Encoded(bytes)
}

fn slots_reply(topology: &Topology, ranges: &[Range]) -> Reply {
    let range = |range: &Range| {
        let mut parts = vec![slot(range.first), slot(range.last)];
        parts.extend(topology.members.get(&range.owner).map(|member| {
            Reply::Array(vec![
                Reply::text(&member.host),
                Reply::Integer(member.port.into()),
                Reply::text(topology.name(range.owner)),
                Reply::Map(Vec::new()),
            ])
        }));
        Reply::Array(parts)
    };
    Reply::Array(ranges.iter().map(range).collect())
}

/// `CLUSTER SHARDS`: one shard per node, since every node's groups have the same leader.
pub(crate) fn shards(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    let topology = &ask.service.topology;
    let ranges = ranges(ask.service);
    let field = |name: &str, value| (Reply::text(name), value);
    let shards = topology.members.iter().map(|(node, member)| {
        let own = ranges.iter().filter(|range| range.owner == *node);
        let slots = own.flat_map(|range| [slot(range.first), slot(range.last)]).collect();
        let node = Reply::Map(vec![
            field("id", Reply::text(topology.name(*node))),
            field("port", Reply::Integer(member.port.into())),
            field("ip", Reply::text(&member.host)),
            field("endpoint", Reply::text(&member.host)),
            field("role", Reply::text("master")),
            field("replication-offset", Reply::Integer(0)),
            field("health", Reply::text("online")),
        ]);
        Reply::Map(vec![
            field("slots", Reply::Array(slots)),
            field("nodes", Reply::Array(vec![node])),
        ])
    });
    Reply::Array(shards.collect())
}

/// `CLUSTER NODES`
pub(crate) fn nodes(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    let ranges = ranges(ask.service);
    Reply::Verbatim(Bytes::from(nodes_text(&ask.service.topology, &ranges)))
}

fn nodes_text(topology: &Topology, ranges: &[Range]) -> String {
    let mut text = String::new();
    for (node, member) in &topology.members {
        let flags = if *node == topology.me { "myself,master" } else { "master" };
        let (host, port, peer) = (&member.host, member.port, member.peer_port);
        let name = topology.name(*node);
        write!(text, "{name} {host}:{port}@{peer} {flags} - 0 0 {node} connected").expect(ENDLESS);
        for Range { first, last, .. } in ranges.iter().filter(|range| range.owner == *node) {
            if first == last {
                write!(text, " {first}").expect(ENDLESS);
            } else {
                write!(text, " {first}-{last}").expect(ENDLESS);
            }
        }
        text.push('\n');
    }
    text
}

const ENDLESS: &str = "a string takes everything";

/// `CLUSTER INFO`
pub(crate) fn cluster_info(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    let service = ask.service;
    let topology = &service.topology;
    let nowhere = topology.table.groups().filter(|group| service.place(*group) == Place::Nowhere);
    let slots_down: usize = nowhere.map(|group| topology.table.vshards_of(group).len()).sum();
    let state = if service.is_healthy() { "ok" } else { "fail" };
    let mut owners: Vec<NodeId> = ranges(service).iter().map(|range| range.owner).collect();
    owners.sort_unstable();
    owners.dedup();
    let all = routing::HASH_SLOTS;
    let text = format!(
        "cluster_state:{state}\r\n\
         cluster_slots_assigned:{all}\r\n\
         cluster_slots_ok:{}\r\n\
         cluster_slots_pfail:{slots_down}\r\n\
         cluster_slots_fail:0\r\n\
         cluster_known_nodes:{}\r\n\
         cluster_size:{}\r\n\
         cluster_current_epoch:{epoch}\r\n\
         cluster_my_epoch:{me}\r\n\
         cluster_stats_messages_sent:0\r\n\
         cluster_stats_messages_received:0\r\n\
         total_cluster_links_buffer_limit_exceeded:0\r\n",
        all as usize - slots_down,
        topology.members.len(),
        owners.len(),
        epoch = topology.table.epoch(),
        me = topology.me,
    );
    Reply::Verbatim(Bytes::from(text))
}

/// `CLUSTER KEYSLOT key`
pub(crate) fn keyslot(_: &mut Ask<'_>, args: Args<'_>) -> Reply {
    Reply::Integer(routing::hash_slot(args.at(2)).into())
}

/// `CLUSTER MYID`
pub(crate) fn myid(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    let topology = &ask.service.topology;
    Reply::text(topology.name(topology.me))
}

/// `CLUSTER LINKS`
pub(crate) fn links(_: &mut Ask<'_>, _: Args<'_>) -> Reply {
    Reply::Array(Vec::new())
}

fn slot(number: u32) -> Reply {
    Reply::Integer(number.into())
}
