//! A run from its first operation to its last.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::BenchError;
use super::keys::Keys;
use super::load::{self, Link};
use super::options::Load;
use super::progress::{INTERVAL, Progress, float};
use super::tally::Tally;
use super::window::Window;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Measured<E> {
    /// How long it counted.
    pub(crate) time: Duration,
    pub(crate) tally: Tally,
    /// What `edge` said when it began to count.
    pub(crate) before: E,
    /// And when it ended.
    pub(crate) after: E,
}

/// Writes all keys if some are to be read, lets the load warm up, counts, and waits for the clients
/// to end. `edge` is asked at both edges, under load.
///
/// # Errors
/// Not all keys could be written before, or the system gives no threads.
pub(crate) fn measure<L: Link, E>(
    links: Vec<L>,
    keys: &Arc<Keys>,
    load: &Load,
    edge: impl Fn() -> E,
) -> Result<Measured<E>, BenchError> {
    let (window, mut progress) = (Arc::new(Window::default()), Progress::new());
    let threads = load::spawn(links, keys, load, &window)?;
    if load.read_share > 0.0 && !fill(&window, load, &mut progress) {
        window.close();
        progress.end();
        return Err(BenchError::Fill(join(threads).errors));
    }
    window.warm_up();
    progress.wait("warm-up", Duration::from_secs(load.warm_up_seconds), &window);
    let before = edge();
    window.open();
    let began = Instant::now();
    progress.wait("measuring", Duration::from_secs(load.seconds), &window);
    window.close();
    let time = began.elapsed();
    let after = edge();
    let tally = join(threads);
    progress.end();
    Ok(Measured { time, tally, before, after })
}

/// Waits until all keys are written; no if some cannot be.
fn fill(window: &Window, load: &Load, progress: &mut Progress) -> bool {
    loop {
        let (done, failed) = window.counts();
        if failed > 0 || window.ready() == load.clients {
            return failed == 0;
        }
        progress.draw("writing", (float(done) / f64::from(load.keys)).min(1.0), window);
        std::thread::sleep(INTERVAL);
    }
}

fn join(threads: Vec<JoinHandle<Tally>>) -> Tally {
    let mut all = Tally::default();
    for thread in threads {
        match thread.join() {
            Ok(tally) => all.add(&tally),
            // What it was told is lost with it, and nobody is to take the rest for all.
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::future::{self, Future};

    use super::*;
    use crate::cli::bench::keys::Operation;
    use crate::cli::bench::load::Told;

    /// A server that takes nothing.
    struct Refuses;

    impl Link for Refuses {
        fn place(&self, _slot: u16) -> usize {
            0
        }

        fn perform(
            &mut self,
            operations: &[Operation],
            told: &Told,
        ) -> impl Future<Output = ()> + Send {
            told.failed("MISCONF", operations.len());
            future::ready(())
        }
    }

    #[test]
    fn nothing_is_measured_if_the_keys_cannot_be_written_before() {
        let load = Load {
            clients: 1,
            pipeline: 1,
            payload_bytes: 1,
            read_share: 0.5,
            keys: 4,
            distribution: "uniform".parse().unwrap(),
            threads: 1,
            warm_up_seconds: 0,
            seconds: 1,
        };
        let keys = Arc::new(Keys::new(load.keys));
        let ended = measure(vec![Refuses], &keys, &load, || ());
        let Err(BenchError::Fill(errors)) = ended else { panic!("{ended:?}") };
        assert!(errors["MISCONF"] >= 4, "{errors:?}");
    }
}
