//! Election safety: at most one leader per group and term (paper 5.2).

use std::collections::BTreeMap;

use types::{GroupId, NodeId, Term};

#[derive(Debug, Default)]
pub(crate) struct Elections {
    leaders: BTreeMap<(GroupId, Term), NodeId>,
}

impl Elections {
    pub(crate) fn lead(&mut self, group: GroupId, term: Term, node: NodeId) -> Result<(), String> {
        let first = *self.leaders.entry((group, term)).or_insert(node);
        if first == node {
            return Ok(());
        }
        Err(format!("group {group} has two leaders of term {term}: nodes {first} and {node}"))
    }

    pub(crate) fn terms(&self) -> u64 {
        self.leaders.len() as u64
    }
}
