//! What both ends of a connection do: cut what they read into frames, notice a silent other end,
//! and say how it ended.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::counters::PeerCounts;
use crate::frame::{FrameDecoder, FrameError};
use crate::limits::KEEPALIVE;
use crate::outbox::AckError;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("this node stops")]
    Stopping,
    #[error("a newer connection or incarnation of the peer replaced it")]
    Superseded,
    #[error("the peer closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("nothing came from the peer for {0:?}")]
    Silent(Duration),
    #[error("the peer sent {0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Ack(#[from] AckError),
    #[error("the peer sent an acknowledgement of {bytes} bytes, expected 8")]
    AckLength { bytes: usize },
}

/// Reads frames off one end of a connection.
pub(crate) struct FrameReader<R> {
    reader: R,
    decoder: FrameDecoder,
    ticks: Interval,
    silent: Duration,
    idle_timeout: Duration,
}

/// What a [`FrameReader`] found.
pub(crate) enum Read {
    /// A frame's body, not empty.
    Frame(Bytes),
    /// Time passed: it is time for the other direction's sign of life.
    Tick,
}

impl End {
    /// Counts what only a broken network or peer can cause.
    pub(crate) fn count(&self, counts: &PeerCounts) {
        match self {
            Self::Frame(FrameError::Damaged { .. } | FrameError::DamagedLength { .. }) => {
                counts.crc_errors.add(1);
            }
            Self::Frame(FrameError::TooLong { .. }) | Self::Ack(_) | Self::AckLength { .. } => {
                counts.protocol_errors.add(1);
            }
            Self::Stopping
            | Self::Superseded
            | Self::Closed
            | Self::Broken(_)
            | Self::Silent(_) => {}
        }
    }
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(reader: R, decoder: FrameDecoder, idle_timeout: Duration) -> Self {
        Self { reader, decoder, ticks: keepalive_ticks(), silent: Duration::ZERO, idle_timeout }
    }

    /// The next frame, or that [`KEEPALIVE`] passed without one. Not to be cancelled in between.
    ///
    /// Silence is counted in ticks, and bytes are looked for before a tick is: a process that was
    /// paused finds what came meanwhile, and does not take its own pause for the peer's.
    pub(crate) async fn next(&mut self) -> Result<Read, End> {
        loop {
            match self.decoder.next()? {
                Some(body) if body.is_empty() => continue,
                Some(body) => return Ok(Read::Frame(body)),
                None => {}
            }
            let room = self.decoder.room()?;
            tokio::select! {
                biased;
                read = self.reader.read_buf(room) => {
                    if read? == 0 {
                        return Err(End::Closed);
                    }
                    self.silent = Duration::ZERO;
                }
                _ = self.ticks.tick() => {
                    self.silent += KEEPALIVE;
                    if self.silent > self.idle_timeout {
                        return Err(End::Silent(self.idle_timeout));
                    }
                    return Ok(Read::Tick);
                }
            }
        }
    }
}

/// Ticks every [`KEEPALIVE`], the first time after one; missed ones are not made up for.
pub(crate) fn keepalive_ticks() -> Interval {
    let mut ticks = interval(KEEPALIVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::frame::frame_header;

    #[tokio::test(start_paused = true)]
    async fn silence_ends_the_connection_and_keep_alives_do_not() {
        let (mut ours, theirs) = duplex(64);
        let idle_timeout = 4 * KEEPALIVE;
        let mut reader = FrameReader::new(theirs, FrameDecoder::new(100, 100), idle_timeout);
        for _ in 0..5 {
            for _ in 0..4 {
                assert!(matches!(reader.next().await, Ok(Read::Tick)));
            }
            ours.write_all(&frame_header(b"")).await.unwrap();
        }
        for _ in 0..4 {
            assert!(matches!(reader.next().await, Ok(Read::Tick)));
        }
        let end = reader.next().await.err().unwrap();
        assert_eq!(end.to_string(), "nothing came from the peer for 1s");
    }

    #[tokio::test(start_paused = true)]
    async fn pause_of_this_process_is_not_taken_for_silence() {
        let (mut ours, theirs) = duplex(64);
        let mut reader = FrameReader::new(theirs, FrameDecoder::new(100, 100), 4 * KEEPALIVE);
        ours.write_all(&frame_header(b"")).await.unwrap();
        tokio::time::advance(100 * KEEPALIVE).await;
        assert!(matches!(reader.next().await, Ok(Read::Tick)), "one tick, after the bytes");
        assert!(reader.silent <= KEEPALIVE);
    }

    #[tokio::test]
    async fn damage_and_end_are_told_apart() {
        let (mut ours, theirs) = duplex(64);
        let mut reader =
            FrameReader::new(theirs, FrameDecoder::new(100, 100), Duration::from_secs(5));
        ours.write_all(&frame_header(b"ab")).await.unwrap();
        ours.write_all(b"ax").await.unwrap();
        let end = reader.next().await.err().unwrap();
        let counts = PeerCounts::default();
        end.count(&counts);
        assert_eq!((counts.crc_errors.value(), counts.protocol_errors.value()), (1, 0));
        drop(ours);
        assert!(matches!(reader.next().await, Err(End::Closed)));
    }
}
