//! How often which durations occurred, in memory of a fixed size.
//!
//! Buckets are of the same relative width: 32 for each power of two of nanoseconds. So a quantile is
//! off by at most a thirty-second of itself, at a microsecond as at a second, and two histograms can
//! be added.
//!
//! Invariants: `total` is the sum of all counts; what a quantile says is never less than what
//! occurred, and never more than `max`.

use std::fmt;
use std::time::Duration;

/// Durations and how often they occurred: 9 KiB, whatever is recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    /// By bucket, shorter ones first.
    counts: Box<[u64]>,
    total: u64,
    /// The longest, in nanoseconds.
    max: u64,
}

impl Histogram {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into(), total: 0, max: 0 }
    }

    /// `count` things took as long as `took`. What took longer than 18 minutes counts as 18 minutes,
    /// except for [`Histogram::max`].
    pub fn record(&mut self, took: Duration, count: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += count;
        self.total += count;
        if count > 0 {
            self.max = self.max.max(nanos);
        }
    }

    /// Adds what another has seen.
    pub fn add(&mut self, other: &Self) {
        for (own, others) in self.counts.iter_mut().zip(&other.counts) {
            *own += others;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        (self.total, self.max) = (0, 0);
    }

    /// How many durations it has seen.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// The longest of them, exactly; none of none.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.total > 0).then(|| Duration::from_nanos(self.max))
    }

    /// What `per_mille` of a thousand did not exceed, at most a thirty-second too long; none of none.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> Option<Duration> {
        let wanted = (u128::from(self.total) * u128::from(per_mille)).div_ceil(1000).max(1);
        let mut seen = 0_u128;
        let at = self.counts.iter().position(|count| {
            seen += u128::from(*count);
            seen >= wanted
        })?;
        // The last bucket has what is beyond it too.
        let nanos = if at + 1 == BUCKETS { self.max } else { longest_of(at).min(self.max) };
        Some(Duration::from_nanos(nanos))
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Histogram");
        f.field("count", &self.total).field("p99", &self.quantile(990)).field("max", &self.max());
        f.finish_non_exhaustive()
    }
}

/// How many buckets a power of two has, as a power of two.
const FINE_BITS: u32 = 5;
const FINE: usize = 1 << FINE_BITS;
/// The first power of two of nanoseconds that has no bucket: a bit more than 18 minutes.
const BITS: u32 = 40;
/// All buckets. The first 64 have one nanosecond each.
const BUCKETS: usize = (BITS - FINE_BITS + 1) as usize * FINE;

fn bucket(nanos: u64) -> usize {
    let nanos = nanos.min((1 << BITS) - 1);
    let shift = nanos.checked_ilog2().unwrap_or(0).saturating_sub(FINE_BITS);
    let fine = usize::try_from(nanos >> shift).expect("it is below twice the number of buckets");
    shift as usize * FINE + fine
}

/// The longest duration of a bucket, in nanoseconds.
const fn longest_of(bucket: usize) -> u64 {
    let shift = (bucket / FINE).saturating_sub(1);
    (((bucket - shift * FINE) as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn of(nanos: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        nanos.iter().for_each(|nanos| histogram.record(Duration::from_nanos(*nanos), 1));
        histogram
    }

    proptest! {
        #[test]
        fn a_quantile_is_at_most_a_thirty_second_too_long(
            mut nanos in vec(0_u64..1 << BITS, 1..200),
            shift in 0_u32..BITS,
            per_mille in 0_u64..=1000,
        ) {
            nanos.iter_mut().for_each(|nanos| *nanos >>= shift);
            let found = of(&nanos).quantile(per_mille).unwrap();
            nanos.sort_unstable();
            let wanted = (nanos.len() as u64 * per_mille).div_ceil(1000).max(1);
            let exact = nanos[usize::try_from(wanted).unwrap() - 1];
            let found = u64::try_from(found.as_nanos()).unwrap();
            prop_assert!(found >= exact, "{found} for {exact}");
            prop_assert!(found - exact <= exact / 32, "{found} for {exact}");
        }

        #[test]
        fn two_that_are_added_are_as_one(
            some in vec(any::<u64>(), 0..50),
            more in vec(any::<u64>(), 0..50),
        ) {
            let mut added = of(&some);
            added.add(&of(&more));
            prop_assert_eq!(added, of(&[some, more].concat()));
        }
    }

    #[test]
    fn buckets_follow_each_other_without_gap() {
        for bucket_at in 1..BUCKETS {
            let last = longest_of(bucket_at - 1);
            assert_eq!((bucket(last), bucket(last + 1)), (bucket_at - 1, bucket_at));
        }
        assert_eq!(longest_of(BUCKETS - 1), (1 << BITS) - 1);
    }

    #[test]
    fn quantiles_count_things_and_not_calls() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::from_nanos(50), 998);
        histogram.record(Duration::from_secs(1), 1);
        histogram.record(Duration::from_secs(3600), 1);
        let quantile = |per_mille| histogram.quantile(per_mille).unwrap();
        assert_eq!(quantile(998), Duration::from_nanos(50));
        assert!((1.0..1.04).contains(&quantile(999).as_secs_f64()), "{:?}", quantile(999));
        assert_eq!((quantile(1000), histogram.count()), (Duration::from_secs(3600), 1000));
        histogram.clear();
        assert_eq!((histogram.quantile(500), histogram.max()), (None, None));
        assert_eq!(histogram, Histogram::new());
    }
}
