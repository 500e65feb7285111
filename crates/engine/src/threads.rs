//! The engine's threads: started by name, and ended within a bound.

use std::any::Any;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::failure::{Alarm, Failure};

/// One running thread.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) name: String,
    handle: JoinHandle<()>,
}

impl Running {
    /// Starts a thread. If it panics, the engine fails with its name and what it panicked with.
    pub(crate) fn spawn(
        name: String,
        alarm: Arc<Alarm>,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let thread = name.clone();
        let handle = thread::Builder::new().name(name.clone()).spawn(move || {
            // What the body owned is gone with it, and whoever waited is told by the drop.
            if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(body)) {
                alarm.raise(Failure::Thread { thread, reason: panic_text(&*panic) });
            }
        })?;
        Ok(Self { name, handle })
    }

    /// Waits for its end.
    pub(crate) fn join(self) {
        // A panic was caught inside, and told.
        let _ = self.handle.join();
    }
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "it panicked".to_owned(), |text| format!("it panicked: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_fails_the_engine_by_name() {
        let alarm = Arc::new(Alarm::new());
        let body = || panic!("no {}", "way");
        Running::spawn("t-1".into(), alarm.clone(), body).unwrap().join();
        let expected =
            Failure::Thread { thread: "t-1".into(), reason: "it panicked: no way".into() };
        assert_eq!(alarm.failure(), Some(expected));
    }
}
