//! Three nodes on one thread, and the loop that drives either implementation.
//!
//! Nodes take turns in steps: in a step every node takes the messages that were sent to it in the
//! step before, all of them, then does the work of the groups that they touched. So a round has
//! three steps (appends out, answers back, commit), as it has on three machines.

use crate::figure::Wrong;

use crate::workload::{Applied, Payload, payload};

/// Nodes, and replicas of every group.
pub(crate) const NODES: usize = 3;

/// One replica of one group, of either implementation.
pub(crate) trait Replica {
    type Message;
    /// What a node keeps between two calls of `work`, for all its groups.
    type Scratch: Default;

    /// Asks for leadership.
    fn campaign(&mut self);

    /// Proposes one entry; this replica leads.
    fn propose(&mut self, payload: &Payload);

    /// Takes a message.
    fn step(&mut self, message: Self::Message);

    /// Does all that is to be done: reports writes persisted at once, applies what is committed and
    /// reports that, hands messages to `send` with the position of the node they go to.
    fn work(&mut self, scratch: &mut Self::Scratch, send: impl FnMut(usize, Self::Message));

    /// Lets one heartbeat interval pass.
    fn beat(&mut self);

    /// How far it is.
    fn state(&self) -> ReplicaState;
}

/// How far a replica is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReplicaState {
    pub(crate) is_leader: bool,
    pub(crate) last: u64,
    pub(crate) committed: u64,
    /// The last index reported applied.
    pub(crate) applied: u64,
    /// What its state machine has seen.
    pub(crate) machine: Applied,
}

/// A message on its way.
struct Envelope<M> {
    group: usize,
    message: M,
}

struct Node<R: Replica> {
    /// One per group, by the group's number.
    replicas: Vec<R>,
    /// The groups that have work, each once.
    touched: Vec<usize>,
    is_touched: Vec<bool>,
    scratch: R::Scratch,
}

impl<R: Replica> Node<R> {
    fn touch(&mut self, group: usize) -> &mut R {
        if !self.is_touched[group] {
            self.is_touched[group] = true;
            self.touched.push(group);
        }
        &mut self.replicas[group]
    }

    fn work(&mut self, sent: &mut [Vec<Envelope<R::Message>>; NODES]) {
        for group in self.touched.drain(..) {
            self.is_touched[group] = false;
            self.replicas[group]
                .work(&mut self.scratch, |to, message| sent[to].push(Envelope { group, message }));
        }
    }
}

/// All replicas, and the messages between them.
pub(crate) struct Cluster<R: Replica> {
    nodes: [Node<R>; NODES],
    /// By receiver: what is taken in this step, and what in the next.
    inboxes: [Vec<Envelope<R::Message>>; NODES],
    sent: [Vec<Envelope<R::Message>>; NODES],
    groups: usize,
    batch: u64,
    /// How many entries were proposed to each group.
    proposed: u64,
}

impl<R: Replica> Cluster<R> {
    /// A cluster of groups that have no leaders yet.
    pub(crate) fn new(founders: Vec<[R; NODES]>, batch: u32) -> Self {
        let groups = founders.len();
        let mut replicas = [(); NODES].map(|()| Vec::with_capacity(groups));
        for group in founders {
            for (node, replica) in group.into_iter().enumerate() {
                replicas[node].push(replica);
            }
        }
        let nodes = replicas.map(|replicas| Node {
            replicas,
            touched: Vec::with_capacity(groups),
            is_touched: vec![false; groups],
            scratch: R::Scratch::default(),
        });
        let none = || [(); NODES].map(|()| Vec::new());
        Self { nodes, inboxes: none(), sent: none(), groups, batch: batch.into(), proposed: 0 }
    }

    /// Makes the groups' leaders, spread evenly over the nodes.
    pub(crate) fn elect(&mut self) -> Result<(), Wrong> {
        for group in 0..self.groups {
            // What a founder has to write comes first: its configuration.
            for node in &mut self.nodes {
                node.touch(group);
            }
        }
        self.settle();
        for group in 0..self.groups {
            self.nodes[group % NODES].touch(group).campaign();
        }
        self.settle();
        for group in 0..self.groups {
            if !self.nodes[group % NODES].replicas[group].state().is_leader {
                return Err(Wrong(format!("group {group} has not the leader meant")));
            }
        }
        self.beat();
        Ok(())
    }

    /// What is measured: `rounds` times a batch for every group, delivered everywhere.
    pub(crate) fn run(&mut self, rounds: u32) {
        for _ in 0..rounds {
            self.propose();
            self.settle();
        }
        self.beat();
    }

    fn propose(&mut self) {
        for (position, node) in self.nodes.iter_mut().enumerate() {
            for group in (position..self.groups).step_by(NODES) {
                let leader = node.touch(group);
                for number in self.proposed..self.proposed + self.batch {
                    leader.propose(&payload(group as u64, number));
                }
            }
        }
        self.proposed += self.batch;
    }

    /// Tells the followers how far the leaders have committed.
    fn beat(&mut self) {
        for node in &mut self.nodes {
            for group in 0..self.groups {
                node.touch(group).beat();
            }
        }
        self.settle();
    }

    /// Steps until no message is left.
    fn settle(&mut self) {
        loop {
            for (node, inbox) in self.nodes.iter_mut().zip(&mut self.inboxes) {
                for Envelope { group, message } in inbox.drain(..) {
                    node.touch(group).step(message);
                }
                node.work(&mut self.sent);
            }
            std::mem::swap(&mut self.inboxes, &mut self.sent);
            if self.inboxes.iter().all(Vec::is_empty) {
                break;
            }
        }
    }

    /// Whether every replica has delivered exactly what was proposed, and all logs agree.
    pub(crate) fn verify(&self) -> Result<(), Wrong> {
        for group in 0..self.groups {
            let machine = Applied::expected(group as u64, self.proposed);
            let leader = self.nodes[group % NODES].replicas[group].state();
            for (position, node) in self.nodes.iter().enumerate() {
                let state = node.replicas[group].state();
                let is_leader = position == group % NODES;
                let last = leader.last;
                let expected =
                    ReplicaState { is_leader, last, committed: last, applied: last, machine };
                if state != expected {
                    return Err(Wrong(format!(
                        "group {group} on node {position} is {state:?}, expected {expected:?}"
                    )));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core_entry_cost::{Case, ours};

    #[test]
    fn what_is_not_delivered_everywhere_voids_the_figure() {
        let case = Case::new(4, 2, 1);
        let mut cluster = Cluster::new(ours::founders(case).unwrap(), case.batch);
        cluster.elect().unwrap();
        cluster.run(3);
        assert_eq!(cluster.verify(), Ok(()));
        cluster.propose();
        cluster.settle();
        let Wrong(wrong) = cluster.verify().unwrap_err();
        assert!(wrong.starts_with("group 0 on node 1"), "followers do not know yet: {wrong}");
        cluster.beat();
        assert_eq!(cluster.verify(), Ok(()));
    }
}
