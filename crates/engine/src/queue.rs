//! Queues between the engine's threads, and the bell that a thread sleeps on.
//!
//! Whoever finds nothing to do sleeps at once, and is woken by one system call of whoever has
//! something for him; nobody spins or yields meanwhile, because on a busy machine the time is better
//! spent by the thread that is waited for. What has come is taken all at once.
//!
//! Invariants: items of one queue are received in the order in which they were sent, each once;
//! after an item was sent, and its knock dropped if it was sent quietly, its receiver does not sleep
//! before it has looked, unless it has said that it does not wait for the queue; what a receiver that
//! is gone leaves behind is dropped, and what is sent to it comes back.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// What one thread sleeps on, whatever the number of its queues.
#[derive(Default, Debug)]
pub(crate) struct Bell {
    is_rung: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    /// Wakes whoever sleeps, or keeps him from falling asleep once.
    fn ring(&self) {
        if !mem::replace(&mut *self.is_rung.lock(), true) {
            self.rung.notify_one();
        }
    }

    /// Sleeps until it rings, also if it has rung since the last time, or `deadline` has come.
    pub(crate) fn wait(&self, deadline: Option<Instant>) {
        let mut is_rung = self.is_rung.lock();
        while !*is_rung {
            match deadline {
                None => self.rung.wait(&mut is_rung),
                Some(deadline) if self.rung.wait_until(&mut is_rung, deadline).timed_out() => break,
                Some(_) => {}
            }
        }
        *is_rung = false;
    }
}

/// What sender and receiver share.
struct Queue<T> {
    lane: Mutex<Lane<T>>,
    /// Whether the lane holds something; changed under its lock only, read without.
    is_filled: AtomicBool,
    items_max: usize,
    bell: Arc<Bell>,
}

struct Lane<T> {
    items: VecDeque<T>,
    is_open: bool,
    /// As the receiver said last.
    is_awaited: bool,
}

/// The end of a queue that fills it. Clones fill the same.
pub(crate) struct Sender<T> {
    queue: Arc<Queue<T>>,
}

/// The end of a queue that empties it.
pub(crate) struct Receiver<T> {
    queue: Arc<Queue<T>>,
    /// What was taken and not yet given out; its memory and the lane's change places.
    taken: VecDeque<T>,
    /// What it said last of whether it waits for the queue.
    is_awaited: bool,
}

/// Wakes the receiver when it is dropped, unless he has taken everything by then.
#[must_use]
pub(crate) struct Knock<T> {
    queue: Arc<Queue<T>>,
}

/// Why an item was not sent; it comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsent<T> {
    /// As many wait as may.
    Full(T),
    /// The receiver is gone.
    Ended(T),
}

/// A queue without a bound, and a bell of its own.
pub(crate) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    queue_on(Arc::default(), usize::MAX)
}

/// A queue that rings `bell` when it gets something, and in which at most `items_max` items wait to
/// be taken.
pub(crate) fn queue_on<T>(bell: Arc<Bell>, items_max: usize) -> (Sender<T>, Receiver<T>) {
    let lane = Lane { items: VecDeque::new(), is_open: true, is_awaited: true };
    let is_filled = AtomicBool::new(false);
    let queue = Arc::new(Queue { lane: Mutex::new(lane), is_filled, items_max, bell });
    let receiver = Receiver { queue: Arc::clone(&queue), taken: VecDeque::new(), is_awaited: true };
    (Sender { queue }, receiver)
}

impl<T> Sender<T> {
    /// Queues an item, and wakes the receiver if he sleeps and waits for the queue. Never blocks.
    ///
    /// # Errors
    /// See [`Unsent`]; a queue without a bound is never full.
    pub(crate) fn send(&self, item: T) -> Result<(), Unsent<T>> {
        self.send_quietly(item).map(drop)
    }

    /// The same, but the receiver may sleep on until the knock is dropped: whoever else has something
    /// for him by then saves him a wake-up. There is one for the first item of those that wait.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) fn send_quietly(&self, item: T) -> Result<Option<Knock<T>>, Unsent<T>> {
        let is_to_wake = {
            let mut lane = self.queue.lane.lock();
            if !lane.is_open {
                return Err(Unsent::Ended(item));
            }
            if lane.items.len() >= self.queue.items_max {
                return Err(Unsent::Full(item));
            }
            lane.items.push_back(item);
            !self.queue.is_filled.swap(true, Ordering::Release) && lane.is_awaited
        };
        // Otherwise there is a knock, or was one, and he has not looked since; or he did not wait for
        // the queue when it was filled, and looks before he sleeps if he has waited for it since.
        Ok(is_to_wake.then(|| Knock { queue: Arc::clone(&self.queue) }))
    }
}

impl<T> Drop for Knock<T> {
    fn drop(&mut self) {
        // He may have looked meanwhile, for another reason.
        if self.queue.is_filled.load(Ordering::Acquire) {
            self.queue.bell.ring();
        }
    }
}

impl<T> Receiver<T> {
    /// The oldest item, if there is any.
    pub(crate) fn try_recv(&mut self) -> Option<T> {
        if self.taken.is_empty() {
            self.take();
        }
        self.taken.pop_front()
    }

    /// Waits for the oldest item; for a queue with a bell of its own.
    pub(crate) fn recv(&mut self) -> T {
        loop {
            if let Some(item) = self.try_recv() {
                return item;
            }
            self.queue.bell.wait(None);
        }
    }

    /// Waits for the oldest item, but not beyond `deadline`; for a queue with a bell of its own.
    pub(crate) fn recv_until(&mut self, deadline: Instant) -> Option<T> {
        loop {
            if let Some(item) = self.try_recv() {
                return Some(item);
            }
            if Instant::now() >= deadline {
                return None;
            }
            self.queue.bell.wait(Some(deadline));
        }
    }

    /// The next of those that came before the last one was received: at some point there is none,
    /// however fast others send.
    pub(crate) fn recv_taken(&mut self) -> Option<T> {
        self.taken.pop_front()
    }

    /// Says whether the receiver waits for what comes into the queue; it does at first. As long as it
    /// does not, nothing that comes wakes it. Whoever begins to wait looks at the queue before he
    /// sleeps: under its lock an item comes either before this, and is seen, or after it, and wakes.
    pub(crate) fn set_awaited(&mut self, is_awaited: bool) {
        if self.is_awaited != is_awaited {
            self.is_awaited = is_awaited;
            self.queue.lane.lock().is_awaited = is_awaited;
        }
    }

    /// Whether the receiver waits for the queue, as it said last.
    pub(crate) const fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// Whether there is anything.
    pub(crate) fn has_more(&self) -> bool {
        !self.taken.is_empty() || self.queue.is_filled.load(Ordering::Acquire)
    }

    /// Takes all that has come, after all that was taken before has been given out.
    fn take(&mut self) {
        if !self.queue.is_filled.load(Ordering::Acquire) {
            return;
        }
        let mut lane = self.queue.lane.lock();
        mem::swap(&mut lane.items, &mut self.taken);
        self.queue.is_filled.store(false, Ordering::Relaxed);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = {
            let mut lane = self.queue.lane.lock();
            lane.is_open = false;
            mem::take(&mut lane.items)
        };
        // After the lock: whoever is told by the drop may send.
        drop(left);
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue) }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Knock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knock").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("taken", &self.taken.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn items_come_in_their_order_and_once() {
        let (sender, mut receiver) = queue();
        (0..3).for_each(|item| sender.send(item).unwrap());
        assert_eq!(receiver.recv(), 0);
        sender.send(3).unwrap();
        assert!(receiver.has_more());
        assert_eq!(receiver.recv_taken(), Some(1));
        assert_eq!(receiver.recv_taken(), Some(2));
        assert_eq!(receiver.recv_taken(), None, "what came later is not among them");
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Some(3), None));
        assert!(!receiver.has_more());
    }

    #[test]
    fn a_full_queue_gives_the_item_back_until_some_are_taken() {
        let (sender, mut receiver) = queue_on(Arc::default(), 2);
        (0..2).for_each(|item| sender.send(item).unwrap());
        assert_eq!(sender.send(2), Err(Unsent::Full(2)));
        assert_eq!(receiver.try_recv(), Some(0));
        sender.send(3).unwrap();
    }

    #[test]
    fn a_receiver_that_is_gone_drops_what_waits_and_takes_nothing() {
        let (sender, receiver) = queue();
        let item = Arc::new(());
        sender.send(Arc::clone(&item)).unwrap();
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1);
        assert_eq!(sender.send(item), Err(Unsent::Ended(Arc::new(()))));
    }

    #[test]
    fn whoever_sleeps_is_woken_by_any_of_his_queues() {
        let bell = Arc::<Bell>::default();
        let (numbers, mut number) = queue_on(Arc::clone(&bell), usize::MAX);
        let (texts, mut text) = queue_on(Arc::clone(&bell), usize::MAX);
        let sleeper = thread::spawn(move || {
            let (mut sum, mut count) = (0, 0);
            while sum < 1000 || count < 1000 {
                bell.wait(None);
                sum += std::iter::from_fn(|| number.try_recv()).sum::<i32>();
                count += std::iter::from_fn(|| text.try_recv()).filter(|text| *text == "x").count();
            }
            (sum, count)
        });
        thread::scope(|scope| {
            scope.spawn(|| (0..1000).for_each(|_| numbers.send(1).unwrap()));
            scope.spawn(|| (0..1000).for_each(|_| texts.send("x").unwrap()));
        });
        assert_eq!(sleeper.join().unwrap(), (1000, 1000));
    }

    #[test]
    fn a_quiet_item_wakes_nobody_before_its_knock() {
        let bell = Arc::<Bell>::default();
        let is_rung = || *bell.is_rung.lock();
        let (sender, mut receiver) = queue_on(Arc::clone(&bell), 2);
        let knock = sender.send_quietly(1).unwrap();
        assert!(sender.send_quietly(2).unwrap().is_none(), "one knock is for all");
        assert_eq!(sender.send_quietly(3).err(), Some(Unsent::Full(3)));
        assert!(!is_rung() && receiver.has_more());
        drop(knock);
        assert!(is_rung());
        bell.wait(None);
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Some(1), Some(2)));
        let knock = sender.send_quietly(4).unwrap();
        assert_eq!(receiver.try_recv(), Some(4));
        drop(knock);
        assert!(!is_rung(), "he has looked already");
    }

    #[test]
    fn what_nobody_waits_for_wakes_nobody_and_is_there_for_whoever_begins_to_wait() {
        let bell = Arc::<Bell>::default();
        let is_rung = || *bell.is_rung.lock();
        let (sender, mut receiver) = queue_on(Arc::clone(&bell), usize::MAX);
        receiver.set_awaited(false);
        sender.send(1).unwrap();
        assert!(sender.send_quietly(2).unwrap().is_none());
        assert!(!is_rung());
        receiver.set_awaited(true);
        sender.send(3).unwrap();
        assert!(receiver.has_more(), "that is seen before he sleeps, and need not ring");
        assert!(!is_rung());
        let taken: Vec<i32> = std::iter::from_fn(|| receiver.try_recv()).collect();
        assert_eq!(taken, [1, 2, 3]);
        sender.send(4).unwrap();
        assert!(is_rung());
    }

    #[test]
    fn whoever_waits_for_an_item_gets_it_or_his_deadline() {
        let (sender, mut receiver) = queue();
        sender.send(7).unwrap();
        assert_eq!(receiver.recv_until(Instant::now()), Some(7));
        let soon = Instant::now() + Duration::from_millis(1);
        assert_eq!(receiver.recv_until(soon), None);
        assert!(Instant::now() >= soon);
        let sender = thread::spawn(move || sender.send(8).unwrap());
        assert_eq!(receiver.recv_until(Instant::now() + Duration::from_secs(30)), Some(8));
        sender.join().unwrap();
    }

    #[test]
    fn a_bell_that_rang_before_is_heard_and_a_deadline_ends_the_wait() {
        let bell = Bell::default();
        bell.ring();
        bell.wait(None);
        let soon = Instant::now() + Duration::from_millis(1);
        bell.wait(Some(soon));
        assert!(Instant::now() >= soon, "it had rung once");
    }
}
