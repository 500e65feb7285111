//! A line on the terminal that says how far the run is.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::window::Window;

/// How often the line is drawn.
pub(crate) const INTERVAL: Duration = Duration::from_millis(250);
/// How wide the bar is, in characters.
const WIDTH: usize = 24;

/// The line; says nothing if nobody looks.
#[derive(Debug)]
pub(crate) struct Progress {
    is_shown: bool,
    last: (Instant, u64),
}

impl Progress {
    /// On stderr, if that is a terminal.
    pub(crate) fn new() -> Self {
        Self { is_shown: io::stderr().is_terminal(), last: (Instant::now(), 0) }
    }

    /// Waits for so long, drawing meanwhile.
    pub(crate) fn wait(&mut self, what: &str, time: Duration, window: &Window) {
        let began = Instant::now();
        loop {
            let passed = began.elapsed().min(time);
            let part = passed.as_secs_f64() / time.as_secs_f64().max(f64::MIN_POSITIVE);
            self.draw(what, part, window);
            if passed >= time {
                return;
            }
            std::thread::sleep(INTERVAL.min(time.saturating_sub(passed)));
        }
    }

    /// Draws the line with a part of the bar, 0 to 1.
    pub(crate) fn draw(&mut self, what: &str, part: f64, window: &Window) {
        if !self.is_shown {
            return;
        }
        let (done, failed) = window.counts();
        let (at, before) = self.last;
        let now = Instant::now();
        let per_second = float(done - before) / (now - at).as_secs_f64().max(1e-3);
        self.last = (now, done);
        let text = line(what, part, per_second, failed);
        // A terminal that has gone does not stop a measurement.
        let _ = write!(io::stderr(), "\r{text}\x1b[K").and_then(|()| io::stderr().flush());
    }

    /// Removes the line.
    pub(crate) fn end(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(what: &str, part: f64, per_second: f64, failed: u64) -> String {
    let full = (0..WIDTH).filter(|at| float(*at as u64 + 1) <= part * float(WIDTH as u64)).count();
    let (full, empty) = ("#".repeat(full), ".".repeat(WIDTH - full));
    let failed = if failed > 0 { format!(", {failed} errors") } else { String::new() };
    format!("{what:<10} [{full}{empty}] {per_second:.0} operations/s{failed}")
}

/// A count for arithmetic with fractions.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_from_nothing_to_all() {
        assert_eq!(
            line("warm-up", 0.0, 0.0, 0),
            format!("warm-up    [{}] 0 operations/s", ".".repeat(24))
        );
        let half = format!(
            "measuring  [{}{}] 1234 operations/s, 2 errors",
            "#".repeat(12),
            ".".repeat(12)
        );
        assert_eq!(line("measuring", 0.5, 1234.4, 2), half);
        assert!(line("measuring", 1.0, 0.0, 0).contains(&"#".repeat(24)));
    }
}
