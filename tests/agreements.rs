//! What crates that do not know each other have to agree on.

use raft_core::{Configuration, ConfigurationError, Replica};
use routing::{Placement, REPLICAS_MAX, RoutingError, RoutingTable};
use types::{Epoch, GroupId, NodeId, ReplicaId, StoreId};

fn configuration(replicas: usize) -> Result<Configuration, ConfigurationError> {
    let replica = |number| Replica {
        id: ReplicaId(number),
        node: NodeId(u64::from(number)),
        store: StoreId(u128::from(number)),
    };
    let voters = (1..).take(replicas).map(replica).collect();
    Configuration::new(voters, Vec::new(), Vec::new())
}

fn table(replicas: usize) -> Result<RoutingTable, RoutingError> {
    let replicas = (1..).take(replicas).map(NodeId).collect();
    RoutingTable::new(Epoch(1), vec![Placement { vshards: 0..1, replicas }])
}

#[test]
fn every_group_of_a_table_can_be_a_raft_group() {
    assert_eq!(table(REPLICAS_MAX).unwrap().replicas_of(GroupId(1)).len(), REPLICAS_MAX);
    assert!(configuration(REPLICAS_MAX).is_ok());
}

#[test]
fn what_is_too_large_for_raft_is_too_large_for_a_table() {
    assert!(configuration(REPLICAS_MAX + 1).is_err());
    assert!(table(REPLICAS_MAX + 1).is_err());
}
