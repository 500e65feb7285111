//! Which refusals the log tells of already: each stands there once, not at every attempt.
//!
//! Who is refused tries again every few seconds until somebody changes something, which may take
//! days. Invariant: at most [`TOLD_MAX`] are remembered, whatever strangers come up with.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use types::NodeId;

/// As many as a cluster's misconfigurations may have; beyond it all are forgotten, and told again.
const TOLD_MAX: usize = 256;

/// See the module.
#[derive(Default)]
pub(crate) struct ToldRefusals {
    told: Mutex<BTreeSet<(Option<NodeId>, String)>>,
}

impl ToldRefusals {
    /// Whether it is news that connections with `node` are refused for this reason; it is told then.
    pub(crate) fn is_news(&self, node: Option<NodeId>, reason: &str) -> bool {
        let mut told = self.told.lock();
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert((node, reason.to_owned()))
    }

    /// A connection with `node` came up: whatever it is refused for after that is news again.
    pub(crate) fn forget(&self, node: NodeId) {
        self.told.lock().retain(|(of, _)| *of != Some(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: Option<NodeId> = Some(NodeId(2));

    #[test]
    fn a_refusal_is_news_once_until_the_node_is_connected() {
        let told = ToldRefusals::default();
        let news = |node| told.is_news(node, "no");
        assert_eq!(
            [TWO, TWO, None, None, Some(NodeId(3))].map(news),
            [true, false, true, false, true]
        );
        assert!(told.is_news(TWO, "something else"));
        told.forget(NodeId(2));
        assert_eq!([TWO, None, Some(NodeId(3))].map(news), [true, false, false]);
    }

    #[test]
    fn strangers_with_ever_new_reasons_cost_no_memory() {
        let told = ToldRefusals::default();
        (0..10_000).for_each(|number| assert!(told.is_news(None, &format!("reason {number}"))));
        assert!(told.told.lock().len() <= TOLD_MAX);
    }
}
