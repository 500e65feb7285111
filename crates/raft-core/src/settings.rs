//! How long a replica waits, and how much it holds.

use core::fmt;

/// A replica's waits as an operator may write them, not yet checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawTiming {
    /// The shortest time without a leader after which a follower asks for votes. Ticks, default 10.
    /// Too small: elections while the leader lives. At the smallest legal one, a single lost heartbeat
    /// deposes it; below three heartbeat intervals and two ticks, answers to heartbeats cost
    /// frames of their own. Too large: long gaps when it dies.
    pub election_ticks_min: u64,
    /// The longest such time, inclusive. Ticks, default 20. Too close to the minimum: split votes.
    pub election_ticks_max: u64,
    /// How often a leader says that it lives. Ticks, default 2.
    pub heartbeat_ticks: u64,
}

impl Default for RawTiming {
    fn default() -> Self {
        Self { election_ticks_min: 10, election_ticks_max: 20, heartbeat_ticks: 2 }
    }
}

/// Why waits do not fit together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimingError {
    /// A heartbeat interval of no ticks.
    HeartbeatZero,
    /// The shortest election timeout is longer than the longest.
    ElectionReversed {
        /// The minimum given.
        min: u64,
        /// The maximum given.
        max: u64,
    },
    /// The election timeout leaves no room for a lost heartbeat.
    ElectionTooShort {
        /// The minimum given.
        election_ticks_min: u64,
        /// The smallest legal one: twice the heartbeat interval.
        allowed_min: u64,
    },
}

impl fmt::Display for TimingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeartbeatZero => write!(f, "the heartbeat interval is 0 ticks, at least 1"),
            Self::ElectionReversed { min, max } => write!(
                f,
                "the election timeout runs from {min} to {max} ticks, the minimum above the maximum"
            ),
            Self::ElectionTooShort { election_ticks_min, allowed_min } => write!(
                f,
                "the election timeout is {election_ticks_min} ticks, at least {allowed_min}: twice \
                 the heartbeat interval"
            ),
        }
    }
}

impl core::error::Error for TimingError {}

/// A replica's waits, checked to fit together.
///
/// Nodes of a cluster should agree on them: a promise to a leader lasts the *receiver's* shortest
/// election timeout, and a leader steps down after its own.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Timing {
    raw: RawTiming,
}

impl Timing {
    /// Accepts waits with `1 <= heartbeat`, `2 * heartbeat <= election min <= election max`.
    ///
    /// # Errors
    /// Names the rule that is broken; the caller shows it to whoever wrote the numbers.
    pub const fn new(raw: RawTiming) -> Result<Self, TimingError> {
        if raw.heartbeat_ticks == 0 {
            return Err(TimingError::HeartbeatZero);
        }
        if raw.election_ticks_min > raw.election_ticks_max {
            return Err(TimingError::ElectionReversed {
                min: raw.election_ticks_min,
                max: raw.election_ticks_max,
            });
        }
        let allowed_min = raw.heartbeat_ticks.saturating_mul(2);
        if raw.election_ticks_min < allowed_min {
            let election_ticks_min = raw.election_ticks_min;
            return Err(TimingError::ElectionTooShort { election_ticks_min, allowed_min });
        }
        Ok(Self { raw })
    }

    /// The shortest election timeout, in ticks.
    pub const fn election_ticks_min(&self) -> u64 {
        self.raw.election_ticks_min
    }

    /// The longest election timeout, in ticks, inclusive.
    pub const fn election_ticks_max(&self) -> u64 {
        self.raw.election_ticks_max
    }

    /// The heartbeat interval, in ticks.
    pub const fn heartbeat_ticks(&self) -> u64 {
        self.raw.heartbeat_ticks
    }

    /// How long a promise to a leader binds, in ticks: the shortest election timeout.
    pub const fn promise_ticks(&self) -> u64 {
        self.raw.election_ticks_min
    }

    /// How long a leader leads without hearing from a quorum, in ticks.
    pub const fn check_quorum_ticks(&self) -> u64 {
        self.raw.election_ticks_min
    }

    /// Whether an answer to a heartbeat may wait for the next beat of whoever gives it.
    ///
    /// Between two answers that wait there are up to two heartbeat intervals, of the leader and of
    /// whoever answers; half an interval more where their clocks are a fifth too fast and too slow;
    /// and up to two ticks of counting and of the way. A leader of less patience would hear them too
    /// late for ever, and never stay where its quorum is everybody there is.
    pub const fn answers_may_wait(&self) -> bool {
        let heartbeat_ticks = self.raw.heartbeat_ticks;
        self.check_quorum_ticks() >= heartbeat_ticks.saturating_mul(3).saturating_add(2)
    }

    /// How long an append may go unanswered before it is sent again, in ticks: half an election
    /// timeout, so that a lost one is repaired well before anybody doubts the leader.
    pub const fn retransmit_ticks(&self) -> u64 {
        let half = self.raw.election_ticks_min / 2;
        if half == 0 { 1 } else { half }
    }
}

/// How much a replica holds and sends. All sizes in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The largest entry, header included. Default 1 MiB. Must be below `append_bytes_max`.
    pub entry_bytes_max: usize,
    /// How much one append carries; a larger single entry still goes, alone. Default 1 MiB.
    pub append_bytes_max: usize,
    /// How many appends may be unanswered per replica. Default 256.
    pub inflight_appends_max: usize,
    /// How many bytes may be unanswered per replica. Default 8 MiB.
    pub inflight_bytes_max: usize,
    /// How much of the log stays in memory once durable. Default 1 MiB. Too small: lagging replicas
    /// cost disk reads.
    pub log_cache_bytes_max: usize,
    /// How much may be delivered and not yet applied. Default 4 MiB.
    pub apply_bytes_max: usize,
    /// How much a leader accepts that is not yet committed. Default 32 MiB.
    pub uncommitted_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            entry_bytes_max: MIB,
            append_bytes_max: MIB,
            inflight_appends_max: 256,
            inflight_bytes_max: 8 * MIB,
            log_cache_bytes_max: MIB,
            apply_bytes_max: 4 * MIB,
            uncommitted_bytes_max: 32 * MIB,
        }
    }
}

/// Everything a replica is told about how to behave.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Settings {
    /// How long it waits.
    pub timing: Timing,
    /// How much it holds.
    pub limits: Limits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_that_do_not_fit_are_refused_by_name() {
        let timing = |min, max, heartbeat_ticks| {
            Timing::new(RawTiming {
                election_ticks_min: min,
                election_ticks_max: max,
                heartbeat_ticks,
            })
        };
        assert!(timing(4, 4, 2).is_ok());
        assert_eq!(timing(4, 8, 0), Err(TimingError::HeartbeatZero));
        assert_eq!(timing(9, 8, 2), Err(TimingError::ElectionReversed { min: 9, max: 8 }));
        let short = TimingError::ElectionTooShort { election_ticks_min: 3, allowed_min: 4 };
        assert_eq!(timing(3, 8, 2), Err(short));
    }

    #[test]
    fn answers_wait_only_for_leaders_with_patience_for_three_intervals_and_two_ticks() {
        let may_wait = |election_ticks_min, heartbeat_ticks| {
            let election_ticks_max = 2 * election_ticks_min;
            let raw = RawTiming { election_ticks_min, election_ticks_max, heartbeat_ticks };
            Timing::new(raw).unwrap().answers_may_wait()
        };
        assert!(may_wait(8, 2) && !may_wait(7, 2) && !may_wait(4, 2));
        assert!(may_wait(5, 1) && !may_wait(4, 1));
        assert!(Timing::default().answers_may_wait());
    }
}
