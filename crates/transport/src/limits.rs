//! What a link may take: bytes, connections and time.

use std::time::Duration;

/// Bytes of a frame before its body: length and two checksums.
pub(crate) const FRAME_HEADER_BYTES: usize = 12;

/// What a queued frame is charged beside its body, so that many tiny frames are bounded too: its
/// place in the queue (40 bytes) and the allocation that its body keeps alive.
pub(crate) const FRAME_CHARGE_BYTES: usize = 64;

/// How often each end of a connection says that it lives. Part of the protocol: every node must
/// keep it, whatever its own `idle_timeout`, hence no setting.
pub(crate) const KEEPALIVE: Duration = Duration::from_millis(250);

/// The settings as written; [`Limits::new`] checks them together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawLimits {
    /// Longest body of a frame, in bytes; 4 MiB; 1 KiB to 1 GiB. Too small: frames of the engine do
    /// not fit and are dropped. Too large: each connection may make this node allocate as much.
    /// All nodes must agree: a longer frame closes the connection.
    pub frame_bytes_max: usize,
    /// Data frames waiting for one peer, in bytes with 64 per frame added; 64 MiB; at least one
    /// frame. Too small: frames are dropped in bursts. Too large: a stalled peer costs memory, and
    /// what it gets afterwards is old.
    pub queue_bytes_max: usize,
    /// Beats waiting for one peer, counted likewise; 4 MiB and some for headers; at least one
    /// frame. Larger only keeps older beats.
    pub beat_bytes_max: usize,
    /// Frames written but not yet acknowledged by the peer that are kept to be reported if the
    /// connection breaks, counted likewise; 16 MiB; any. Beyond it the oldest are forgotten: if
    /// they were lost, only `down` tells. It should exceed what the kernel buffers.
    pub unacknowledged_bytes_max: usize,
    /// Incoming connections that have not passed the hello; 64; at least 1. One more closes the
    /// oldest of them, so that silent strangers cannot keep peers out.
    pub handshakes_max: usize,
    /// Longest time for name lookup and connect; 3 s.
    pub connect_timeout: Duration,
    /// Longest time from connect to the end of the hello, on either side; 5 s.
    pub handshake_timeout: Duration,
    /// A connection on which nothing came for so long is closed; 5 s; at least 1 s, for each end
    /// speaks four times a second. Too small: a paused process loses its connections. Too large: a
    /// peer whose machine died is noticed late.
    pub idle_timeout: Duration,
    /// Pause before the first attempt to reconnect, of which a random half is taken off; 50 ms; at
    /// least 1 ms. Doubles with each failure.
    pub backoff_min: Duration,
    /// Longest such pause, and the pause after a refusal; 2 s; at least `backoff_min`. Too large: a
    /// peer that is back waits for us (unless it dials us: that cuts the pause short).
    pub backoff_max: Duration,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 4 << 20,
            queue_bytes_max: 64 << 20,
            beat_bytes_max: (4 << 20) + (64 << 10),
            unacknowledged_bytes_max: 16 << 20,
            handshakes_max: 64,
            connect_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
        }
    }
}

/// Checked settings of a link; see [`RawLimits`] for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits(RawLimits);

/// Which setting is out of range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LimitsError {
    /// A number is below its least or above its greatest legal value.
    #[error("{name} is {found}, expected {least} to {most}")]
    Range {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: usize,
        /// The least legal value.
        least: usize,
        /// The greatest legal value.
        most: usize,
    },
    /// A time is below its least legal value.
    #[error("{name} is {found:?}, expected at least {least:?}")]
    TooShort {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: Duration,
        /// The least legal value.
        least: Duration,
    },
}

impl Limits {
    /// Checks the settings, each and together.
    ///
    /// # Errors
    /// Names the first setting out of range; the caller shows it to whoever wrote it.
    pub fn new(raw: RawLimits) -> Result<Self, LimitsError> {
        let range = |name, found: usize, least: usize, most: usize| {
            if (least..=most).contains(&found) {
                Ok(())
            } else {
                Err(LimitsError::Range { name, found, least, most })
            }
        };
        let at_least = |name, found: Duration, least: Duration| {
            if found >= least { Ok(()) } else { Err(LimitsError::TooShort { name, found, least }) }
        };
        range("frame_bytes_max", raw.frame_bytes_max, 1 << 10, 1 << 30)?;
        let one_frame = raw.frame_bytes_max + FRAME_CHARGE_BYTES;
        range("queue_bytes_max", raw.queue_bytes_max, one_frame, usize::MAX / 8)?;
        range("beat_bytes_max", raw.beat_bytes_max, one_frame, usize::MAX / 8)?;
        range("unacknowledged_bytes_max", raw.unacknowledged_bytes_max, 0, usize::MAX / 8)?;
        range("handshakes_max", raw.handshakes_max, 1, usize::MAX)?;
        at_least("connect_timeout", raw.connect_timeout, Duration::from_millis(1))?;
        at_least("handshake_timeout", raw.handshake_timeout, Duration::from_millis(1))?;
        at_least("idle_timeout", raw.idle_timeout, 4 * KEEPALIVE)?;
        at_least("backoff_min", raw.backoff_min, Duration::from_millis(1))?;
        at_least("backoff_max", raw.backoff_max, raw.backoff_min)?;
        Ok(Self(raw))
    }

    /// The settings as written.
    pub fn raw(&self) -> RawLimits {
        self.0
    }

    /// The most that one peer's frames can hold in memory: queued and unacknowledged.
    pub(crate) fn held_bytes_max(&self) -> usize {
        self.0.queue_bytes_max + self.0.beat_bytes_max + self.0.unacknowledged_bytes_max
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(RawLimits::default()).expect("the defaults are within their ranges")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_name_the_setting_that_is_out_of_range() {
        let raw = RawLimits { queue_bytes_max: 4 << 20, ..RawLimits::default() };
        assert_eq!(
            Limits::new(raw).unwrap_err().to_string(),
            format!(
                "queue_bytes_max is 4194304, expected {} to {}",
                (4 << 20) + 64,
                usize::MAX / 8
            )
        );
        let raw = RawLimits { idle_timeout: Duration::from_millis(300), ..RawLimits::default() };
        assert_eq!(
            Limits::new(raw).unwrap_err().to_string(),
            "idle_timeout is 300ms, expected at least 1s"
        );
        let raw = RawLimits { backoff_max: Duration::from_millis(1), ..RawLimits::default() };
        assert_eq!(
            Limits::new(raw).unwrap_err().to_string(),
            "backoff_max is 1ms, expected at least 50ms"
        );
        let raw = RawLimits { handshakes_max: 0, ..RawLimits::default() };
        assert!(Limits::new(raw).is_err());
        let raw = RawLimits { frame_bytes_max: (1 << 30) + 1, ..RawLimits::default() };
        assert!(Limits::new(raw).is_err());
    }
}
