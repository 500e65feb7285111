//! When which group acknowledged a write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::writer::count;
use crate::figure::Wrong;

/// What writers tell, and who waits for them.
#[derive(Debug)]
pub(crate) struct Ticker {
    /// By group: the acknowledgements since they were last forgotten, and by which node.
    groups: Mutex<Vec<Vec<(Instant, usize)>>>,
    told: Condvar,
    is_over: AtomicBool,
}

/// When writes were acknowledged, sorted.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    pub(crate) by_group: Vec<Vec<Instant>>,
    pub(crate) all: Vec<Instant>,
}

impl Ticker {
    pub(crate) fn new(groups: u32) -> Self {
        let groups = Mutex::new(vec![Vec::new(); count(groups)]);
        Self { groups, told: Condvar::new(), is_over: AtomicBool::new(false) }
    }

    /// A node acknowledged a write.
    pub(crate) fn acknowledge(&self, group: usize, node: usize) {
        self.groups.lock()[group].push((Instant::now(), node));
        self.told.notify_all();
    }

    /// Waits until every group has acknowledged a write after `since`.
    pub(crate) fn wait_for_all(&self, since: Instant, patience: Duration) -> Result<(), Wrong> {
        let deadline = since + patience;
        let mut groups = self.groups.lock();
        loop {
            let is_behind =
                |group: &Vec<(Instant, usize)>| group.last().is_none_or(|(at, _)| *at <= since);
            if !groups.iter().any(is_behind) {
                return Ok(());
            }
            if self.told.wait_until(&mut groups, deadline).timed_out() {
                let behind = groups.iter().filter(|group| is_behind(group)).count();
                return Err(Wrong(format!("{behind} groups took no write for {patience:?}")));
            }
        }
    }

    /// Who acknowledged the last write of each group.
    pub(crate) fn leaders(&self) -> Vec<Option<usize>> {
        self.groups.lock().iter().map(|group| group.last().map(|(_, node)| *node)).collect()
    }

    /// Everything since the last call of [`Ticker::forget`].
    pub(crate) fn acknowledged(&self) -> Acknowledged {
        let sorted = |mut moments: Vec<Instant>| {
            moments.sort_unstable();
            moments
        };
        let by_group: Vec<Vec<Instant>> = {
            let groups = self.groups.lock();
            let of = |group: &Vec<(Instant, usize)>| group.iter().map(|(at, _)| *at).collect();
            groups.iter().map(of).collect()
        };
        let by_group: Vec<Vec<Instant>> = by_group.into_iter().map(sorted).collect();
        let all = sorted(by_group.concat());
        Acknowledged { by_group, all }
    }

    /// Forgets all but the last acknowledgement of each group.
    pub(crate) fn forget(&self) {
        for group in self.groups.lock().iter_mut() {
            group.drain(..group.len().saturating_sub(1));
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Ends it for all writers when it is dropped.
    pub(crate) fn ends(&self) -> impl Drop + '_ {
        struct End<'a>(&'a Ticker);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.is_over.store(true, Ordering::Relaxed);
            }
        }
        End(self)
    }
}
