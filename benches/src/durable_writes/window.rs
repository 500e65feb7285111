//! When what counts begins and ends, and how long writes took.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::clock::{context_switches, process_cpu_time};

/// Tells everybody who proposes how far the run is.
#[derive(Debug, Default)]
pub(crate) struct Window {
    phase: AtomicU8,
}

const WARMING_UP: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;

/// How long a window was open, and what the process used meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    /// User and system, of all threads.
    pub(crate) cpu: Duration,
    /// Of all threads, where the system tells.
    pub(crate) switches: Option<u64>,
}

impl Window {
    /// Whether a write that is acknowledged at this moment counts.
    pub(crate) fn is_open(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == OPEN
    }

    /// Whether nobody is to propose anything any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == CLOSED
    }

    /// Lets the load warm up, opens, waits, and closes; calls `edge` at both edges, so that what
    /// others count can be read there.
    pub(crate) fn pass<T>(&self, times: Times, mut edge: impl FnMut() -> T) -> (Took, T, T) {
        debug_assert_eq!(self.phase.load(Ordering::Relaxed), WARMING_UP);
        std::thread::sleep(times.warm_up);
        let switches = context_switches();
        let (start, cpu, before) = (Instant::now(), process_cpu_time(), edge());
        self.phase.store(OPEN, Ordering::Relaxed);
        std::thread::sleep(times.open);
        self.phase.store(CLOSED, Ordering::Relaxed);
        let (wall, cpu) = (start.elapsed(), process_cpu_time() - cpu);
        let after = edge();
        // Fewer than before if a thread has ended, which takes its own along: then nobody knows.
        let switches = context_switches().zip(switches);
        let switches = switches.and_then(|(after, before)| after.checked_sub(before));
        (Took { wall, cpu, switches }, before, after)
    }
}

/// How long a run takes, but for its begin and end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Times {
    /// Under load, before anything counts: memory is touched, files have grown, batches have found
    /// their size.
    pub(crate) warm_up: Duration,
    pub(crate) open: Duration,
}

/// How long writes took from proposal to result.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Latencies {
    /// Nanoseconds, and how many writes took as long.
    taken: Vec<(u64, u64)>,
}

impl Latencies {
    /// `writes` were proposed together, and acknowledged together after `took`.
    pub(crate) fn push(&mut self, took: Duration, writes: u64) {
        self.taken.push((u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), writes));
    }

    pub(crate) fn append(&mut self, other: &mut Self) {
        self.taken.append(&mut other.taken);
    }

    pub(crate) fn writes(&self) -> u64 {
        self.taken.iter().map(|(_, writes)| writes).sum()
    }

    /// The latencies that so many per thousand of the writes did not exceed, in microseconds, for
    /// each of `per_mille`, which rise; none if there were no writes.
    pub(crate) fn quantiles<const N: usize>(&mut self, per_mille: [u64; N]) -> Option<[f64; N]> {
        self.taken.sort_unstable();
        let total = self.writes();
        let (last, _) = *self.taken.last()?;
        Some(per_mille.map(|per_mille| {
            let mut below = 0;
            let found = self.taken.iter().find(|(_, writes)| {
                below += writes;
                below * 1000 >= total * per_mille
            });
            let nanos = found.map_or(last, |(nanos, _)| *nanos);
            Duration::from_nanos(nanos).as_secs_f64() * 1e6
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_count_writes_and_not_calls() {
        let mut latencies = Latencies::default();
        latencies.push(Duration::from_micros(900), 1);
        latencies.push(Duration::from_micros(10), 98);
        latencies.push(Duration::from_micros(500), 1);
        assert_eq!(latencies.quantiles([500, 990, 1000]), Some([10.0, 500.0, 900.0]));
        assert_eq!(latencies.writes(), 100);
        assert_eq!(Latencies::default().quantiles([500]), None);
    }

    #[test]
    fn a_window_is_open_only_between_its_edges() {
        let window = Window::default();
        assert!(!window.is_open() && !window.is_closed());
        let times = Times { warm_up: Duration::ZERO, open: Duration::from_millis(1) };
        let mut edges = Vec::new();
        let (took, ..) = window.pass(times, || edges.push(window.is_open()));
        assert_eq!(edges, [false, false]);
        assert!(window.is_closed() && !window.is_open() && took.wall >= times.open);
    }
}
