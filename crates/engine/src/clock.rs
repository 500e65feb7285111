//! The node's time: ticks counted from the start of the engine, by a clock that never falls.

use std::time::{Duration, Instant};

use types::Tick;

/// Turns the machine's monotonic clock into ticks. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    tick: Duration,
}

impl Clock {
    /// Begins at tick 0, now.
    pub(crate) fn start(tick: Duration) -> Self {
        Self { start: Instant::now(), tick }
    }

    /// The last tick that has begun.
    pub(crate) fn now(&self) -> Tick {
        let elapsed = self.start.elapsed().as_nanos();
        let ticks = elapsed / self.tick.as_nanos().max(1);
        Tick(u64::try_from(ticks).unwrap_or(u64::MAX))
    }

    /// Milliseconds since it began.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// When `tick` begins; none if no clock ever gets there.
    pub(crate) fn moment(&self, tick: Tick) -> Option<Instant> {
        let nanos = self.tick.as_nanos().checked_mul(u128::from(tick.0))?;
        self.start.checked_add(Duration::from_nanos(u64::try_from(nanos).ok()?))
    }
}

/// How many ticks surely cover `ms` milliseconds, whatever part of a tick has passed already.
pub(crate) const fn ticks_to_cover(ms: u64, tick_ms: u64) -> u64 {
    if ms == 0 { 0 } else { ms.div_ceil(tick_ms).saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_begins_when_it_is_said_to() {
        let clock = Clock::start(Duration::from_millis(50));
        let first = clock.moment(Tick(0)).unwrap();
        let later = clock.moment(Tick(3)).unwrap();
        assert_eq!(later - first, Duration::from_millis(150));
        assert!(clock.moment(Tick(u64::MAX)).is_none());
        assert!(clock.now() < Tick(1_000_000));
    }

    #[test]
    fn time_waited_in_ticks_is_never_too_short() {
        // 1,000 ms of 50 ms ticks: the first tick may be nearly over, so 20 would be 19 and a bit.
        assert_eq!(ticks_to_cover(1000, 50), 21);
        assert_eq!(ticks_to_cover(1001, 50), 22);
        assert_eq!(ticks_to_cover(0, 50), 0);
    }
}
