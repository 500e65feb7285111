//! What a run may use: so much time of the processor, and so much memory. The system ends the process
//! of a run that uses more, which is a finding like any other: it does not end.
//!
//! Both bounds are many times what any run takes, so that no verdict depends on the machine. Time
//! is the processor's: how busy the machine is does not count.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use sim::Plan;

use super::worker::cpu_ns;

/// The slowest runs of 20,000 events take half a second, and fit into 60 MiB.
const CPU_S_BASE: u64 = 20;
const EVENTS_PER_CPU_S: u64 = 1_000;
const BYTES_BASE: u64 = 2 << 30;
const BYTES_PER_EVENT: u64 = 4 << 10;

/// Bounds that hold while it lives.
#[derive(Debug)]
pub(crate) struct Bound {
    before: [(Resource, Rlimit); 3],
}

impl Bound {
    /// The one of a run that begins now.
    pub(crate) fn of(plan: &Plan) -> Self {
        let cpu_s = CPU_S_BASE + plan.events_max / EVENTS_PER_CPU_S;
        let bytes = BYTES_BASE.saturating_add(plan.events_max.saturating_mul(BYTES_PER_EVENT));
        Self::new(cpu_s, bytes)
    }

    fn new(cpu_s: u64, bytes: u64) -> Self {
        let cpu_s = cpu_ns() / 1_000_000_000 + 1 + cpu_s;
        // Nobody looks at the memory of a process that was ended for its time.
        let wanted = [(Resource::Cpu, cpu_s), (Resource::As, bytes), (Resource::Core, 0)];
        let before = wanted.map(|(resource, most)| {
            let before = getrlimit(resource);
            let most = [Some(most), before.current, before.maximum].into_iter().flatten().min();
            set(resource, Rlimit { current: most, ..before });
            (resource, before)
        });
        Self { before }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.before.iter().for_each(|(resource, before)| set(*resource, *before));
    }
}

/// A system that refuses leaves a run without that bound, which changes no verdict of one that ends.
fn set(resource: Resource, limit: Rlimit) {
    let _ = setrlimit(resource, limit);
}

/// What a process has shown by ending amid a run.
pub(crate) fn shown_by(status: ExitStatus) -> &'static str {
    if status.signal() == Some(Signal::XCPU.as_raw()) {
        "a seed does not end"
    } else {
        "a process died"
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Set for the process that is to exceed a bound, to which one.
    const EXCEEDS: &str = "SIM_TEST_EXCEEDS";

    /// How a process ends that runs a test of this file again, and exceeds a bound there.
    fn end_of(test: &str, what: &str) -> ExitStatus {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("command::bound::tests::{test}")]).env(EXCEEDS, what);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
    }

    #[test]
    fn a_run_without_end_is_ended_and_told_from_other_deaths() {
        if std::env::var_os(EXCEEDS).is_some_and(|what| what == "time") {
            let _bound = Bound::new(0, BYTES_BASE);
            while cpu_ns() < 10_000_000_000 {}
            return;
        }
        let test = "a_run_without_end_is_ended_and_told_from_other_deaths";
        assert_eq!(shown_by(end_of(test, "time")), "a seed does not end");
    }

    #[test]
    fn a_run_that_takes_all_memory_is_ended() {
        let test = "a_run_that_takes_all_memory_is_ended";
        if std::env::var_os(EXCEEDS).is_some_and(|what| what == "memory") {
            let _bound = Bound::new(20, BYTES_BASE);
            let mut taken = Vec::new();
            for _ in 0..64 {
                taken.push(Vec::<u8>::with_capacity(1 << 30));
            }
            return;
        }
        let status = end_of(test, "memory");
        assert!(status.signal().is_some(), "{status}");
        assert_eq!(shown_by(status), "a process died");
    }

    #[test]
    fn bounds_end_with_the_run() {
        if std::env::var_os(EXCEEDS).is_some_and(|what| what == "nothing") {
            let before = getrlimit(Resource::Cpu);
            let bound = Bound::new(500, BYTES_BASE);
            assert!(getrlimit(Resource::Cpu).current.is_some_and(|most| most >= 500));
            drop(bound);
            assert_eq!(getrlimit(Resource::Cpu), before);
            return;
        }
        assert!(end_of("bounds_end_with_the_run", "nothing").success());
    }
}
