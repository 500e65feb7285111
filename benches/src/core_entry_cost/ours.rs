//! Our side: [`raft_core::RaftNode`].

use std::sync::Arc;

use raft_core::{
    Configuration, EntryHeader, EntryRun, Message, RaftNode, Ready, Replica as Member, Role,
    RunBody, Settings,
};
use types::{NodeId, ReplicaId, StoreId, Tick};

use crate::figure::Wrong;

use super::Case;
use super::cluster::{NODES, Replica, ReplicaState};
use crate::workload::{Applied, Payload};

/// What is held fixed on our side.
pub(crate) const SETTINGS: &str = "all default; what every replica has applied leaves memory";

/// The replicas of all groups, founded.
pub(crate) fn founders(case: Case) -> Result<Vec<[Ours; NODES]>, Wrong> {
    let members = [1, 2, 3].map(|n: u32| Member {
        id: ReplicaId(n),
        node: NodeId(n.into()),
        store: StoreId(n.into()),
    });
    let configuration = Configuration::new(members.into(), Vec::new(), Vec::new())
        .map_err(|error| Wrong(error.to_string()))?;
    let configuration = Arc::new(configuration);
    let settings = Settings::default();
    let found = |group: u32, replica: ReplicaId| Ours {
        node: RaftNode::found(
            replica,
            configuration.clone(),
            settings,
            u64::from(group) << 32 | u64::from(replica.0),
            Tick(0),
        ),
        now: Tick(0),
        heartbeat_ticks: settings.timing.heartbeat_ticks(),
        machine: Applied::default(),
    };
    Ok((0..case.groups).map(|group| members.map(|member| found(group, member.id))).collect())
}

/// One of our replicas with its state machine.
pub(crate) struct Ours {
    node: RaftNode,
    now: Tick,
    heartbeat_ticks: u64,
    machine: Applied,
}

impl Ours {
    fn apply(&mut self, runs: &[EntryRun]) {
        for run in runs {
            match &run.body {
                RunBody::Commands(commands) => {
                    commands.iter().for_each(|command| self.machine.take(command.payload));
                }
                RunBody::TermStart | RunBody::Configuration(_) => {}
            }
        }
        if let Some(run) = runs.last() {
            self.node.applied(run.last());
        }
    }
}

impl Replica for Ours {
    type Message = Message;
    type Scratch = Ready;

    fn campaign(&mut self) {
        self.node.campaign();
    }

    fn propose(&mut self, payload: &Payload) {
        let proposed = self.node.propose(EntryHeader::default(), payload);
        proposed.expect("a leader without a backlog takes proposals");
    }

    fn step(&mut self, message: Message) {
        self.node.step(message).expect("replicas send each other what they accept");
    }

    fn work(&mut self, ready: &mut Ready, mut send: impl FnMut(usize, Message)) {
        while self.node.ready_into(ready) {
            assert!(ready.fetches.is_empty(), "everything still needed is in memory");
            for message in ready.messages.drain(..) {
                send(message.to.0 as usize - 1, message);
            }
            self.apply(&ready.committed);
            // Only a completed write can bring anything more.
            let Some(write) = &ready.write else { break };
            self.node.persisted(write.ticket);
        }
    }

    fn beat(&mut self) {
        self.now = self.now.after(self.heartbeat_ticks);
        self.node.tick(self.now);
    }

    fn state(&self) -> ReplicaState {
        ReplicaState {
            is_leader: self.node.role() == Role::Leader,
            last: self.node.last_index().0,
            committed: self.node.commit_index().0,
            applied: self.node.applied_index().0,
            machine: self.machine,
        }
    }
}
