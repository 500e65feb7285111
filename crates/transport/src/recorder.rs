//! An [`Events`] that remembers what it was told, for tests.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;
use types::{BootId, NodeId, StoreId};

use crate::events::Events;
use crate::hello::Hello;

/// See the module.
pub(crate) struct Recorder {
    told: watch::Sender<Vec<Told>>,
    refuses: Mutex<Option<String>>,
    is_shut: Mutex<bool>,
    opened: Condvar,
}

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Admit(NodeId, BootId),
    Frame(NodeId, Bytes),
    Up(NodeId, StoreId, BootId),
    Down(NodeId),
    Dropped(NodeId, Bytes),
    Refused(Option<NodeId>, String),
}

/// Nothing that a test waits for takes so long, even on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            told: watch::Sender::new(Vec::new()),
            refuses: Mutex::new(None),
            is_shut: Mutex::new(false),
            opened: Condvar::new(),
        }
    }

    /// From now on `admit` answers with this.
    pub(crate) fn refuse_all(&self, reason: &str) {
        *self.refuses.lock() = Some(reason.to_owned());
    }

    /// From now on, or no longer, `frame` blocks: as no real one may, to be a slow receiver.
    pub(crate) fn shut(&self, is_shut: bool) {
        *self.is_shut.lock() = is_shut;
        self.opened.notify_all();
    }

    /// Waits until what was told satisfies `is_enough`; fails after a long while.
    pub(crate) async fn until(&self, what: &str, is_enough: impl Fn(&[Told]) -> bool) {
        let mut told = self.told.subscribe();
        let waited = tokio::time::timeout(WAIT_MAX, told.wait_for(|told| is_enough(told))).await;
        if waited.is_err() {
            panic!("waited in vain until {what}; {}", self.summary());
        }
    }

    /// Waits until the peer is up (again): one more time than it went down.
    pub(crate) async fn until_up(&self, node: NodeId) {
        let what = format!("node {node} is up");
        self.until(&what, |told| ups(told, node).len() > downs(told, node)).await;
    }

    /// All that was told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.borrow().clone()
    }

    /// The last calls, bodies cut short.
    fn summary(&self) -> String {
        let told = self.told.borrow();
        let last: Vec<String> = told
            .iter()
            .rev()
            .take(20)
            .map(|call| format!("{call:?}").chars().take(120).collect())
            .collect();
        format!("{} calls, the last first: {last:#?}", told.len())
    }

    fn add(&self, call: Told) {
        self.told.send_modify(|told| told.push(call));
    }
}

impl Events for Recorder {
    fn admit(&self, hello: &Hello) -> Result<(), String> {
        self.add(Told::Admit(hello.node, hello.boot));
        self.refuses.lock().clone().map_or(Ok(()), Err)
    }

    fn frame(&self, from: NodeId, body: Bytes) {
        let mut is_shut = self.is_shut.lock();
        if *is_shut {
            self.opened.wait_while_for(&mut is_shut, |is_shut| *is_shut, WAIT_MAX);
        }
        drop(is_shut);
        self.add(Told::Frame(from, body));
    }

    fn up(&self, node: NodeId, store: StoreId, boot: BootId) {
        self.add(Told::Up(node, store, boot));
    }

    fn down(&self, node: NodeId) {
        self.add(Told::Down(node));
    }

    fn dropped(&self, to: NodeId, body: Bytes) {
        self.add(Told::Dropped(to, body));
    }

    fn refused(&self, peer: Option<NodeId>, reason: &str) {
        self.add(Told::Refused(peer, reason.to_owned()));
    }
}

/// Bodies delivered from a node, in order.
pub(crate) fn frames(told: &[Told], from: NodeId) -> Vec<Bytes> {
    told.iter()
        .filter_map(|call| match call {
            Told::Frame(node, body) if *node == from => Some(body.clone()),
            Told::Frame(..)
            | Told::Admit(..)
            | Told::Up(..)
            | Told::Down(_)
            | Told::Dropped(..)
            | Told::Refused(..) => None,
        })
        .collect()
}

/// Bodies for a node reported dropped, in order.
pub(crate) fn dropped(told: &[Told], to: NodeId) -> Vec<Bytes> {
    told.iter()
        .filter_map(|call| match call {
            Told::Dropped(node, body) if *node == to => Some(body.clone()),
            Told::Dropped(..)
            | Told::Frame(..)
            | Told::Admit(..)
            | Told::Up(..)
            | Told::Down(_)
            | Told::Refused(..) => None,
        })
        .collect()
}

/// The boots with which a node came up, in order.
pub(crate) fn ups(told: &[Told], node: NodeId) -> Vec<BootId> {
    told.iter()
        .filter_map(|call| match call {
            Told::Up(up, _, boot) if *up == node => Some(*boot),
            Told::Up(..)
            | Told::Frame(..)
            | Told::Admit(..)
            | Told::Down(_)
            | Told::Dropped(..)
            | Told::Refused(..) => None,
        })
        .collect()
}

/// How often a node went down.
pub(crate) fn downs(told: &[Told], node: NodeId) -> usize {
    told.iter().filter(|call| **call == Told::Down(node)).count()
}

/// Whether a refusal that concerns `peer` was told with a reason that contains `part`.
pub(crate) fn is_refused(told: &[Told], peer: Option<NodeId>, part: &str) -> bool {
    told.iter()
        .any(|call| matches!(call, Told::Refused(p, why) if *p == peer && why.contains(part)))
}
