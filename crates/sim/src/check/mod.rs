//! What must hold over all of history, one property per file. Each check is called where it can be
//! decided, after the event that could have broken it, and says what is wrong.

pub(crate) mod applies;
pub(crate) mod bonds;
pub(crate) mod bounds;
pub(crate) mod commits;
pub(crate) mod cursors;
pub(crate) mod durables;
pub(crate) mod elections;
pub(crate) mod histories;
pub(crate) mod isolation;
pub(crate) mod logs;
pub(crate) mod promises;
pub(crate) mod reads;
pub(crate) mod writes;

use types::GroupId;

use crate::plan::Plan;

/// What the checks remember.
#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) elections: elections::Elections,
    pub(crate) logs: logs::Logs,
    pub(crate) commits: commits::Commits,
    pub(crate) cursors: cursors::Cursors,
    pub(crate) bonds: bonds::Bonds,
    pub(crate) writes: writes::Writes,
    pub(crate) reads: reads::Reads,
    pub(crate) histories: histories::Histories,
}

impl Checks {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            elections: elections::Elections::default(),
            logs: logs::Logs::new(plan),
            commits: commits::Commits::new(plan),
            cursors: cursors::Cursors::new(plan),
            bonds: bonds::Bonds::new(plan),
            writes: writes::Writes::default(),
            reads: reads::Reads::new(plan),
            histories: histories::Histories::default(),
        }
    }
}

/// A place for every group.
fn of_groups<T: Clone>(plan: &Plan, empty: T) -> Vec<T> {
    vec![empty; usize::try_from(plan.groups).expect("at most 64 groups") + 1]
}

fn group_place(group: GroupId) -> usize {
    usize::try_from(group.0).expect("at most 64 groups")
}

/// A table with a place for every replica: a node's of a group.
#[derive(Debug)]
struct Replicas<T> {
    groups: usize,
    all: Vec<T>,
}

impl<T: Clone> Replicas<T> {
    fn new(plan: &Plan, empty: T) -> Self {
        let nodes = usize::try_from(plan.nodes).expect("at most 7 nodes");
        let groups = usize::try_from(plan.groups).expect("at most 64 groups") + 1;
        Self { groups, all: vec![empty; (nodes + 1) * groups] }
    }

    fn of(&self, node: u64, group: GroupId) -> &T {
        &self.all[self.place(node, group)]
    }

    fn of_mut(&mut self, node: u64, group: GroupId) -> &mut T {
        let place = self.place(node, group);
        &mut self.all[place]
    }

    fn place(&self, node: u64, group: GroupId) -> usize {
        usize::try_from(node).expect("at most 7 nodes") * self.groups + group_place(group)
    }
}
