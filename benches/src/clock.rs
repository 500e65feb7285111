//! CPU time of this thread and of this process, and how often its threads changed places.

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

/// How often threads of this process that live now were put aside for others, of their own will or
/// not; none where the system does not tell.
pub(crate) fn context_switches() -> Option<u64> {
    let mut switches = 0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        // A thread that has ended meanwhile is not counted.
        let Ok(status) = std::fs::read_to_string(task.ok()?.path().join("status")) else {
            continue;
        };
        let counts = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
        switches += counts.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum::<u64>();
    }
    Some(switches)
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

    #[cfg(target_os = "linux")]
    #[test]
    fn whoever_waits_for_another_thread_changes_places_with_it() {
        let before = context_switches().unwrap();
        let (to, from) = std::sync::mpsc::sync_channel(0);
        let other =
            std::thread::spawn(move || (0..100).for_each(|number| to.send(number).unwrap()));
        assert_eq!(from.iter().sum::<i32>(), 4950);
        let after = context_switches().unwrap();
        other.join().unwrap();
        assert!(after > before, "{before} and {after}");
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
