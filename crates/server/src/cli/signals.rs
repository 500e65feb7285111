//! Ctrl-C and SIGTERM, and a signal that must not end the process without a word.

use std::io;

/// Whoever wants to know when the process is asked to end.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    /// A file would pass the limit on file sizes. As long as the signal is taken in, the write that
    /// brought it fails like any other, and the node says so; else it would end the process.
    #[cfg(unix)]
    _file_too_large: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes over the signals: from now on they no longer end the process by themselves.
    pub(crate) fn new() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use rustix::process::Signal;
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                _file_too_large: signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Ends when the process is asked to end.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
