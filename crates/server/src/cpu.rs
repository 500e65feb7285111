//! How much CPU time this process has used.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads, those that have ended included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CpuTime {
    /// In the program.
    pub(crate) user: Duration,
    /// In the system on its behalf.
    pub(crate) system: Duration,
}

impl CpuTime {
    /// Both.
    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }

    /// What this process has used since it started. The sum is exact; how it is split is as coarse
    /// as the system tells, and all is the user's where it does not.
    pub(crate) fn of_this_process() -> Self {
        let total = clock_gettime(ClockId::ProcessCPUTime);
        let total = Duration::try_from(total).expect("nobody has used negative time");
        let (user, system) = ticks().unwrap_or((1, 0));
        Self::split(total, user, system)
    }

    /// Divides `total` as `user` stands to `system`.
    fn split(total: Duration, user: u64, system: u64) -> Self {
        let (nanos, ticks) = (total.as_nanos(), u128::from(user) + u128::from(system));
        let part = (nanos * u128::from(system)).checked_div(ticks).unwrap_or(0);
        let system = u64::try_from(part).map_or(total, Duration::from_nanos).min(total);
        Self { user: total - system, system }
    }
}

/// Ticks of the system's clock that were user's and system's, where `/proc` tells.
fn ticks() -> Option<(u64, u64)> {
    parse_ticks(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The name of the program, in parentheses, may hold anything; the numbers stand behind it.
fn parse_ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_split_as_the_ticks_stand_to_each_other() {
        let split = CpuTime::split(Duration::from_secs(10), 3, 1);
        let (user, system) = (Duration::from_millis(7_500), Duration::from_millis(2_500));
        assert_eq!(split, CpuTime { user, system });
        let none = CpuTime::split(Duration::from_secs(1), 0, 0);
        assert_eq!((none.user, none.total()), (Duration::from_secs(1), Duration::from_secs(1)));
    }

    #[test]
    fn ticks_stand_behind_the_name_whatever_it_is() {
        let stat = "7 (a ) 1 b) S 1 7 7 0 -1 4194304 95 0 0 0 42 17 0 0 20 0 1 0 5 0 0";
        assert_eq!(parse_ticks(stat), Some((42, 17)));
        assert_eq!(parse_ticks("7"), None);
    }

    #[test]
    fn work_costs_cpu_time() {
        let before = CpuTime::of_this_process().total();
        while CpuTime::of_this_process().total() <= before {
            std::hint::black_box([0_u8; 1024]);
        }
    }
}
