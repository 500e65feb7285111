//! CPU time of this thread and of this process.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How much CPU time the calling thread has used, user and system, since it started. On a virtual
/// machine it still counts what the host took away without saying so, and what neighbours evicted
/// from shared caches.
pub(crate) fn thread_cpu_time() -> Duration {
    cpu_time(ClockId::ThreadCPUTime)
}

/// The same of all threads of this process, those that have ended included.
pub(crate) fn process_cpu_time() -> Duration {
    cpu_time(ClockId::ProcessCPUTime)
}

fn cpu_time(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).expect("nobody has used negative time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_cpu_time() {
        let (thread, process) = (thread_cpu_time(), process_cpu_time());
        let mut sum = 0_u64;
        while thread_cpu_time() == thread {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(thread_cpu_time() > thread && process_cpu_time() > process);
    }

    #[test]
    fn a_process_has_used_what_its_threads_have() {
        let before = process_cpu_time();
        let other = std::thread::spawn(|| {
            let start = thread_cpu_time();
            while thread_cpu_time() - start < Duration::from_millis(2) {}
        });
        other.join().unwrap();
        assert!(process_cpu_time() - before >= Duration::from_millis(2));
    }
}
