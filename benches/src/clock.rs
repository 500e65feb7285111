//! CPU time of this thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How much CPU time the calling thread has used, user and system, since it started. On a virtual
/// machine it still counts what the host took away without saying so, and what neighbours evicted
/// from shared caches.
pub(crate) fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a thread has not used negative time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_cpu_time() {
        let start = thread_cpu_time();
        let mut sum = 0_u64;
        while thread_cpu_time() == start {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(thread_cpu_time() > start);
    }
}
