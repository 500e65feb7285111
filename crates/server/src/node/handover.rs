//! Hands the groups that a node leads to other nodes before it ends: nobody waits for an election,
//! and no write is left without an answer.
//!
//! Clients are served meanwhile. Whoever writes to a group that is being handed over waits until it
//! is led elsewhere, and is then sent there.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use engine::EngineStatus;
use types::{GroupId, NodeId};

use crate::front::Service;
use crate::front::join::join_all;

/// How long all groups together get; then the node ends, and the others elect.
const WITHIN: Duration = Duration::from_secs(5);
/// How many groups are handed over at a time: enough to hide a round trip, too few to hold up the
/// messages of those that are still served.
const AT_ONCE: usize = 64;
/// How long to wait before those that could not be handed over are tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// Hands over every group that the node leads, as far as somebody can take it within [`WITHIN`].
/// Answers how many are still led here.
pub(crate) async fn hand_over(service: &Service) -> usize {
    let led = service.led().count();
    if service.topology.members.len() == 1 {
        // Nobody else is there to take anything, nor to miss it.
        return led;
    }
    // What is left shows below whether there was time enough.
    let _ = tokio::time::timeout(WITHIN, until_nothing_is_led(service)).await;
    let left = service.led().count();
    if left > 0 {
        tracing::warn!(groups = left, of = led, "still led here: the others will have to elect");
    } else if led > 0 {
        tracing::info!(groups = led, "handed over");
    }
    left
}

/// Ends, too, if nobody is there who could lead.
async fn until_nothing_is_led(service: &Service) {
    loop {
        let led: Vec<GroupId> = service.led().collect();
        let mut loads = loads(service, &service.replication.status());
        if led.is_empty() || loads.is_empty() {
            return;
        }
        for some in led.chunks(AT_ONCE) {
            let handed = some.iter().map(|group| hand_over_one(service, *group, order(&mut loads)));
            join_all(handed.map(Box::pin).collect()).await;
        }
        // Whoever was too far behind may have caught up by then.
        tokio::time::sleep(PAUSE).await;
    }
}

/// How many groups each node leads that is connected. Those without room on their disks are left
/// out, unless all are.
fn loads(service: &Service, engine: &EngineStatus) -> BTreeMap<NodeId, usize> {
    let is_up = |node: &NodeId| engine.links.peers.get(node).is_some_and(|peer| peer.is_up);
    let others = service.topology.members.keys().filter(|node| is_up(node));
    let all: BTreeMap<NodeId, usize> = others.map(|node| (*node, 0)).collect();
    let mut loads = all.clone();
    loads.retain(|node, _| !engine.peers_low.contains(node));
    let mut loads = if loads.is_empty() { all } else { loads };
    for group in service.topology.table.groups() {
        let leader = service.replication.leader(group).node;
        if let Some(load) = leader.and_then(|leader| loads.get_mut(&leader)) {
            *load += 1;
        }
    }
    loads
}

/// Whom to offer a group, the least loaded node first, which is counted as its leader from now on.
fn order(loads: &mut BTreeMap<NodeId, usize>) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = loads.keys().copied().collect();
    nodes.sort_by_key(|node| (loads[node], Reverse(*node)));
    if let Some(load) = nodes.first().and_then(|first| loads.get_mut(first)) {
        *load += 1;
    }
    nodes
}

/// Offers a group to one node after the other, until one leads it.
async fn hand_over_one(service: &Service, group: GroupId, nodes: Vec<NodeId>) {
    for node in nodes {
        match service.replication.transfer(group, node).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%group, %node, %error, "not handed over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::ClientLimits;
    use crate::front::fake::{GROUPS, ME, OTHER, service};

    #[tokio::test(start_paused = true)]
    async fn every_group_is_led_elsewhere_afterwards() {
        let (service, fake) = service(ClientLimits::default());
        assert_eq!(hand_over(&service).await, 0);
        for group in service.topology.table.groups() {
            assert_eq!(service.replication.leader(group).node, Some(OTHER), "{group}");
        }
        fake.set_leader(GroupId(1), Some(OTHER), true);
        assert_eq!(hand_over(&service).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_waited_for_if_nobody_could_lead() {
        let (service, fake) = service(ClientLimits::default());
        fake.set_peer(OTHER, false);
        let began = tokio::time::Instant::now();
        assert_eq!(hand_over(&service).await, GROUPS as usize);
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(service.replication.leader(GroupId(1)).node, Some(ME));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_no_group_is_asked_again_and_then_given_up() {
        let (service, fake) = service(ClientLimits::default());
        fake.refuse_transfers(3);
        assert_eq!(hand_over(&service).await, 0);
        fake.set_all(Some(ME), true);
        fake.refuse_transfers(usize::MAX);
        let began = tokio::time::Instant::now();
        assert_eq!(hand_over(&service).await, GROUPS as usize);
        assert!((WITHIN..WITHIN + PAUSE).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[test]
    fn groups_go_to_whoever_leads_least() {
        let (few, many) = (NodeId(2), NodeId(3));
        let mut loads = BTreeMap::from([(few, 1), (many, 3)]);
        let firsts: Vec<NodeId> = (0..4).map(|_| order(&mut loads)[0]).collect();
        assert_eq!(firsts, [few, few, many, few]);
    }
}
