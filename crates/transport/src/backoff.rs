//! How long to wait before the next attempt to connect.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Doubles with each failure up to a bound; a random half of each pause is taken off, so that the
/// nodes of a cluster do not dial one that comes back all at once.
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    random: u64,
}

impl Backoff {
    /// **Shape**: `min` is at most `max`.
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        // The standard library's hash keys are the randomness that is at hand; nothing secret.
        let random = RandomState::new().build_hasher().finish() | 1;
        Self { min, max, next: min, random }
    }

    /// The pause after one more failure.
    pub(crate) fn failed(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.max);
        self.jittered(pause)
    }

    /// The pause after a refusal: somebody has to change something first.
    pub(crate) fn refused(&mut self) -> Duration {
        self.next = self.max;
        self.jittered(self.max)
    }

    /// A connection came up: the next pause is the shortest again.
    pub(crate) fn succeeded(&mut self) {
        self.next = self.min;
    }

    /// Xorshift64, never zero.
    fn jittered(&mut self, pause: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let per_mille = u32::try_from(self.random % 501).expect("less than 501");
        pause - pause * per_mille / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_double_up_to_the_bound_and_begin_again_after_success() {
        let mut backoff = Backoff::new(50 * MS, 400 * MS);
        for expected in [50, 100, 200, 400, 400] {
            let pause = backoff.failed();
            assert!(pause >= expected * MS / 2 && pause <= expected * MS, "{pause:?}");
        }
        backoff.succeeded();
        assert!(backoff.failed() <= 50 * MS);
        assert!(backoff.refused() >= 200 * MS);
    }

    #[test]
    fn two_nodes_do_not_wait_alike() {
        let (mut a, mut b) = (Backoff::new(400 * MS, 400 * MS), Backoff::new(400 * MS, 400 * MS));
        let different = (0..20).filter(|_| a.failed() != b.failed()).count();
        assert!(different > 10, "{different} of 20");
    }
}
