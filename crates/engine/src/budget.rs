//! How much may be under way at once, counted at the door.
//!
//! Invariant: what is used is the sum of the permits that exist, and never above the maximum.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A bound on something that callers have under way: bytes of proposals, a number of reads.
#[derive(Debug)]
pub(crate) struct Budget {
    name: &'static str,
    max: usize,
    used: AtomicUsize,
    /// Told whenever nothing is under way any more; whoever shuts down waits for it.
    idle: Notify,
}

/// A part of a budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Arc<Budget>,
    amount: usize,
}

impl Budget {
    pub(crate) fn new(name: &'static str, max: usize) -> Arc<Self> {
        Arc::new(Self { name, max, used: AtomicUsize::new(0), idle: Notify::new() })
    }

    /// What callers who are refused are told.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// Takes all of `amount`, or nothing.
    pub(crate) fn acquire(self: &Arc<Self>, amount: usize) -> Option<Permit> {
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            used.checked_add(amount).filter(|sum| *sum <= self.max)
        });
        taken.is_ok().then(|| Permit { budget: self.clone(), amount })
    }

    /// Takes `amount`, or what is left if that is less; may take nothing.
    pub(crate) fn acquire_up_to(self: &Arc<Self>, amount: usize) -> Permit {
        let fits = |used: usize| amount.min(self.max.saturating_sub(used));
        let before = self
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| Some(used + fits(used)))
            .unwrap_or(self.max);
        Permit { budget: self.clone(), amount: fits(before) }
    }

    /// Ends once nothing is under way.
    pub(crate) async fn idle(&self) {
        loop {
            // Registered before the question, so that what ends in between is not missed.
            let told = self.idle.notified();
            if self.used() == 0 {
                return;
            }
            told.await;
        }
    }

    fn release(&self, amount: usize) {
        if amount > 0 && self.used.fetch_sub(amount, Ordering::AcqRel) == amount {
            self.idle.notify_waiters();
        }
    }
}

impl Permit {
    /// How much was taken.
    pub(crate) const fn amount(&self) -> usize {
        self.amount
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.release(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn nothing_above_the_maximum_is_taken() {
        let budget = Budget::new("b", 10);
        let six = budget.acquire(6).unwrap();
        assert!(budget.acquire(5).is_none());
        let rest = budget.acquire_up_to(5);
        assert_eq!((rest.amount(), budget.used()), (4, 10));
        assert_eq!(budget.acquire_up_to(1).amount(), 0);
        drop(six);
        assert_eq!(budget.used(), 4);
        assert!(budget.acquire(usize::MAX).is_none());
    }

    #[test]
    fn idle_ends_with_the_last_permit() {
        let budget = Budget::new("b", 10);
        let permits = (budget.acquire(1), budget.acquire(2));
        let mut idle = pin!(budget.idle());
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(idle.as_mut().poll(&mut context), Poll::Pending);
        drop(permits.0);
        assert_eq!(idle.as_mut().poll(&mut context), Poll::Pending);
        drop(permits.1);
        assert_eq!(idle.as_mut().poll(&mut context), Poll::Ready(()));
    }
}
