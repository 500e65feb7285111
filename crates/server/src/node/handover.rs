//! Hands the groups that a node leads to other nodes before it ends: nobody waits for an election,
//! and no write is left without an answer.
//!
//! Clients are served meanwhile. Whoever writes to a group that is being handed over waits until it
//! is led elsewhere, and is then sent there.
//!
//! Whoever lets this node lead a group meanwhile is about to end too, or has a disk without room:
//! nothing more is offered to it, or nodes that end together would hand groups back and forth until
//! their time is over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    let mut givers = Givers::new(service);
    loop {
        givers.look(service);
        let led: Vec<GroupId> = service.led().collect();
        let mut loads = loads(service, &service.replication.status(), &givers.nodes);
        if led.is_empty() || loads.is_empty() {
            return;
        }
        for some in led.chunks(AT_ONCE) {
            let handed = some.iter().map(|group| hand_over_one(service, *group, order(&mut loads)));
            let takers = join_all(handed.map(Box::pin).collect()).await;
            givers.handed(some.iter().zip(takers));
        }
        // Whoever was too far behind may have caught up by then.
        tokio::time::sleep(PAUSE).await;
    }
}

/// Who has let this node lead a group since it began to hand over.
struct Givers {
    /// Who else led each group when it was last known.
    leaders: HashMap<GroupId, NodeId>,
    nodes: BTreeSet<NodeId>,
}

impl Givers {
    fn new(service: &Service) -> Self {
        let mut givers = Self { leaders: HashMap::new(), nodes: BTreeSet::new() };
        givers.look(service);
        givers
    }

    /// Groups were handed over to who took them. It may be over with that before the next look.
    fn handed<'a>(&mut self, groups: impl Iterator<Item = (&'a GroupId, Option<NodeId>)>) {
        self.leaders.extend(groups.filter_map(|(group, taker)| Some((*group, taker?))));
    }

    /// Looks who leads.
    fn look(&mut self, service: &Service) {
        for group in service.topology.table.groups() {
            let view = service.replication.leader(group);
            match view.node {
                Some(_) if view.is_self => self.nodes.extend(self.leaders.remove(&group)),
                Some(node) => drop(self.leaders.insert(group, node)),
                None => {}
            }
        }
    }
}

/// How many groups each node leads that is connected and has given none away. Those without room on
/// their disks are left out, unless all are.
fn loads(
    service: &Service,
    engine: &EngineStatus,
    givers: &BTreeSet<NodeId>,
) -> BTreeMap<NodeId, usize> {
    let is_up = |node: &NodeId| engine.links.peers.get(node).is_some_and(|peer| peer.is_up);
    let is_there = |node: &&NodeId| is_up(node) && !givers.contains(node);
    let others = service.topology.members.keys().filter(is_there);
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

/// Offers a group to one node after the other, until one leads it; tells which.
async fn hand_over_one(service: &Service, group: GroupId, nodes: Vec<NodeId>) -> Option<NodeId> {
    for node in nodes {
        match service.replication.transfer(group, node).await {
            Ok(()) => return Some(node),
            Err(error) => tracing::debug!(%group, %node, %error, "not handed over"),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::front::ClientLimits;
    use crate::front::fake::{Fake, GROUPS, ME, OTHER, service};

    const THIRD: NodeId = NodeId(3);

    /// A node that leads everything, and two others that could.
    fn three() -> (Arc<Service>, Arc<Fake>) {
        let (mut service, fake) = service(ClientLimits::default());
        let topology = &mut Arc::get_mut(&mut service).unwrap().topology;
        topology.members.insert(THIRD, topology.members[&OTHER].clone());
        fake.set_peer(THIRD, true);
        (service, fake)
    }

    /// Who leads each group.
    fn leaders(service: &Service) -> Vec<NodeId> {
        let leader = |group| service.replication.leader(group).node.unwrap();
        service.topology.table.groups().map(leader).collect()
    }

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

    #[tokio::test(start_paused = true)]
    async fn groups_go_to_nodes_with_room_on_their_disks_if_there_is_one() {
        let (service, fake) = three();
        fake.set_low(&[OTHER]);
        assert_eq!(hand_over(&service).await, 0);
        assert_eq!(leaders(&service), [THIRD; GROUPS as usize]);
        fake.set_all(Some(ME), true);
        fake.set_low(&[OTHER, THIRD]);
        assert_eq!(hand_over(&service).await, 0);
        let to = |node| leaders(&service).into_iter().filter(|it| *it == node).count();
        assert_eq!((to(OTHER), to(THIRD)), (2, 2));
    }

    /// Lets a node give this one whatever it gets.
    async fn give_back(fake: &Fake, service: &Service, giver: NodeId) {
        loop {
            for group in service.topology.table.groups() {
                if service.replication.leader(group).node == Some(giver) {
                    fake.set_leader(group, Some(ME), true);
                }
            }
            service.replication.leaders_changed().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_gives_groups_away_is_offered_none() {
        let (service, fake) = three();
        let left = tokio::select! {
            left = hand_over(&service) => left,
            () = give_back(&fake, &service, OTHER) => unreachable!("it has no end"),
        };
        assert_eq!(left, 0);
        assert_eq!(leaders(&service), [THIRD; GROUPS as usize]);
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_end_together_do_not_hand_groups_back_and_forth() {
        let (service, fake) = three();
        fake.set_leader(GroupId(1), Some(THIRD), true);
        let began = tokio::time::Instant::now();
        let left = tokio::select! {
            left = hand_over(&service) => left,
            () = give_back(&fake, &service, OTHER) => unreachable!("it has no end"),
            () = give_back(&fake, &service, THIRD) => unreachable!("it has no end"),
        };
        assert_eq!(left, GROUPS as usize);
        assert!(began.elapsed() <= 2 * PAUSE, "{:?}", began.elapsed());
    }

    #[test]
    fn groups_go_to_whoever_leads_least() {
        let (few, many) = (NodeId(2), NodeId(3));
        let mut loads = BTreeMap::from([(few, 1), (many, 3)]);
        let firsts: Vec<NodeId> = (0..4).map(|_| order(&mut loads)[0]).collect();
        assert_eq!(firsts, [few, few, many, few]);
    }
}
