//! The frames on their way to one peer: waiting, or written and not yet acknowledged.
//!
//! Invariants:
//! - While the outbox is closed (the peer is not connected) it is empty.
//! - Each frame pushed leaves exactly one way: acknowledged; handed back to be reported dropped;
//!   or forgotten, when more is unacknowledged than `unacknowledged_bytes_max`.
//! - Data and beats have budgets of their own; within each the oldest frame gives way first, since
//!   what is newest is worth most to a peer that fell behind.
//! - The lock is held for pointer work on at most one batch.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::frame::BATCH_FRAMES_MAX;
use crate::limits::{FRAME_CHARGE_BYTES, Limits};
use crate::link::Class;

/// See the module.
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Told when frames wait after none did.
    filled: Notify,
    unacknowledged_bytes_max: usize,
}

struct State {
    is_open: bool,
    beats: Lane,
    data: Lane,
    unacknowledged: Lane,
    /// Frames written on this connection, and how many of them the peer has, or were forgotten.
    written: u64,
    settled: u64,
}

/// Frames in order, with what they are charged.
struct Lane {
    frames: VecDeque<Bytes>,
    bytes: usize,
    bytes_max: usize,
}

/// An acknowledgement of more frames than were written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the peer acknowledged {found} frames, expected at most the {written} written")]
pub(crate) struct AckError {
    found: u64,
    written: u64,
}

/// A batch holds no more than this, unless one frame alone does.
const BATCH_BYTES_MAX: usize = 256 << 10;

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Self {
        let raw = limits.raw();
        let state = State {
            is_open: false,
            beats: Lane::new(raw.beat_bytes_max),
            data: Lane::new(raw.queue_bytes_max),
            unacknowledged: Lane::new(raw.unacknowledged_bytes_max),
            written: 0,
            settled: 0,
        };
        Self {
            state: Mutex::new(state),
            filled: Notify::new(),
            unacknowledged_bytes_max: raw.unacknowledged_bytes_max,
        }
    }

    /// Queues a frame; hands each frame that has to go for it, or itself, to `dropped` (called
    /// after the lock is released).
    pub(crate) fn push(&self, body: Bytes, class: Class, mut dropped: impl FnMut(Bytes)) {
        let mut state = self.state.lock();
        if !state.is_open {
            drop(state);
            return dropped(body);
        }
        let was_empty = state.beats.frames.is_empty() && state.data.frames.is_empty();
        let lane = match class {
            Class::Beat => &mut state.beats,
            Class::Data => &mut state.data,
        };
        lane.push(body);
        if lane.bytes <= lane.bytes_max {
            drop(state);
        } else {
            let mut old = Vec::new();
            while lane.bytes > lane.bytes_max {
                old.extend(lane.pop());
            }
            drop(state);
            old.into_iter().for_each(dropped);
        }
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Opens for a new connection.
    pub(crate) fn open(&self) {
        let mut state = self.state.lock();
        state.is_open = true;
        state.written = 0;
        state.settled = 0;
    }

    /// Closes at the end of a connection: what is not known to have arrived comes back, oldest
    /// first.
    pub(crate) fn close(&self) -> Vec<Bytes> {
        let mut state = self.state.lock();
        state.is_open = false;
        let State { unacknowledged, beats, data, .. } = &mut *state;
        [unacknowledged, beats, data].into_iter().flat_map(Lane::take).collect()
    }

    /// Moves the next frames into `batch`, beats first; they count as written from here on.
    ///
    /// **Shape**: at most [`BATCH_FRAMES_MAX`] frames; none when nothing waits.
    pub(crate) fn take_batch(&self, batch: &mut Vec<Bytes>) {
        let mut state = self.state.lock();
        let mut bytes = 0;
        while batch.len() < BATCH_FRAMES_MAX && bytes < BATCH_BYTES_MAX {
            let Some(body) = state.beats.pop().or_else(|| state.data.pop()) else { break };
            bytes += body.len();
            state.unacknowledged.push(body.clone());
            batch.push(body);
            state.written += 1;
        }
        while state.unacknowledged.bytes > self.unacknowledged_bytes_max {
            state.unacknowledged.pop();
            state.settled += 1;
        }
    }

    /// Ends when frames may wait.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Takes the peer's word that it has the first `frames` frames of this connection.
    ///
    /// # Errors
    /// It cannot have: the caller closes the connection.
    pub(crate) fn acknowledged(&self, frames: u64) -> Result<(), AckError> {
        let mut state = self.state.lock();
        if frames > state.written {
            return Err(AckError { found: frames, written: state.written });
        }
        while state.settled < frames {
            state.unacknowledged.pop();
            state.settled += 1;
        }
        Ok(())
    }

    /// Whether it is open, bytes waiting, and bytes written but not acknowledged.
    pub(crate) fn held(&self) -> (bool, usize, usize) {
        let state = self.state.lock();
        (state.is_open, state.beats.bytes + state.data.bytes, state.unacknowledged.bytes)
    }
}

impl Lane {
    fn new(bytes_max: usize) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, bytes_max }
    }

    fn push(&mut self, body: Bytes) {
        self.bytes += body.len() + FRAME_CHARGE_BYTES;
        self.frames.push_back(body);
    }

    fn pop(&mut self) -> Option<Bytes> {
        let body = self.frames.pop_front()?;
        self.bytes -= body.len() + FRAME_CHARGE_BYTES;
        Some(body)
    }

    /// Empties the lane and gives its memory back too: a burst should not be paid for ever.
    fn take(&mut self) -> VecDeque<Bytes> {
        self.bytes = 0;
        std::mem::take(&mut self.frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RawLimits;

    #[test]
    fn closed_outbox_gives_the_frame_back_at_once() {
        let outbox = outbox(RawLimits::default());
        assert_eq!(push(&outbox, "a", Class::Data), ["a"]);
        outbox.open();
        assert_eq!(push(&outbox, "b", Class::Data), [""; 0]);
        assert_eq!(texts(outbox.close()), ["b"]);
        assert_eq!(push(&outbox, "c", Class::Beat), ["c"]);
        assert_eq!(outbox.held(), (false, 0, 0));
    }

    #[test]
    fn oldest_data_gives_way_and_no_beat_does() {
        // Room for frames of 960 + 64 and three of 1 + 64 bytes.
        let outbox = outbox(small());
        outbox.open();
        let big = "x".repeat(960);
        push(&outbox, "1", Class::Data);
        push(&outbox, "2", Class::Data);
        push(&outbox, "beat", Class::Beat);
        assert_eq!(push(&outbox, &big, Class::Data), ["1"]);
        assert_eq!(push(&outbox, "3", Class::Data), ["2"]);
        assert_eq!(push(&outbox, "4", Class::Data), [big.as_str()]);
        assert_eq!(texts(outbox.close()), ["beat", "3", "4"]);
    }

    #[test]
    fn oldest_beat_gives_way_to_beats_only() {
        let outbox = outbox(small());
        outbox.open();
        let big = "x".repeat(960);
        push(&outbox, "data", Class::Data);
        push(&outbox, "old", Class::Beat);
        push(&outbox, "older", Class::Beat);
        assert_eq!(push(&outbox, &big, Class::Beat), ["old", "older"]);
        assert_eq!(texts(outbox.close()), [big.as_str(), "data"]);
    }

    #[test]
    fn beats_overtake_data() {
        let outbox = outbox(RawLimits::default());
        outbox.open();
        push(&outbox, "1", Class::Data);
        push(&outbox, "2", Class::Data);
        push(&outbox, "beat", Class::Beat);
        assert_eq!(take(&outbox), ["beat", "1", "2"]);
    }

    #[test]
    fn unacknowledged_frames_come_back_when_the_connection_breaks() {
        let outbox = outbox(RawLimits::default());
        outbox.open();
        for text in ["1", "2", "3"] {
            push(&outbox, text, Class::Data);
        }
        take(&outbox);
        push(&outbox, "4", Class::Data);
        outbox.acknowledged(1).unwrap();
        outbox.acknowledged(1).unwrap();
        assert_eq!(outbox.held(), (true, 65, 130));
        assert_eq!(
            outbox.acknowledged(4).unwrap_err().to_string(),
            "the peer acknowledged 4 frames, expected at most the 3 written"
        );
        assert_eq!(texts(outbox.close()), ["2", "3", "4"]);
        outbox.open();
        assert_eq!(outbox.acknowledged(1), Err(AckError { found: 1, written: 0 }));
    }

    #[test]
    fn oldest_unacknowledged_frames_are_forgotten_beyond_their_limit() {
        let outbox = outbox(RawLimits { unacknowledged_bytes_max: 130, ..RawLimits::default() });
        outbox.open();
        for text in ["1", "2", "3"] {
            push(&outbox, text, Class::Data);
        }
        take(&outbox);
        outbox.acknowledged(1).unwrap();
        assert_eq!(
            outbox.held(),
            (true, 0, 130),
            "1 was forgotten, so its acknowledgement is void"
        );
        outbox.acknowledged(2).unwrap();
        assert_eq!(texts(outbox.close()), ["3"]);
    }

    #[test]
    fn batch_ends_by_count_and_by_bytes() {
        let outbox = outbox(RawLimits::default());
        outbox.open();
        for _ in 0..70 {
            push(&outbox, "x", Class::Data);
        }
        assert_eq!((take(&outbox).len(), take(&outbox).len(), take(&outbox).len()), (64, 6, 0));
        let big = "x".repeat(200 << 10);
        for _ in 0..3 {
            push(&outbox, &big, Class::Data);
        }
        assert_eq!((take(&outbox).len(), take(&outbox).len()), (2, 1));
    }

    fn outbox(raw: RawLimits) -> Outbox {
        Outbox::new(&Limits::new(raw).unwrap())
    }

    fn small() -> RawLimits {
        RawLimits {
            frame_bytes_max: 1024,
            queue_bytes_max: 1024 + 64 + 65,
            beat_bytes_max: 1024 + 64,
            ..RawLimits::default()
        }
    }

    fn push(outbox: &Outbox, text: &str, class: Class) -> Vec<String> {
        let mut dropped = Vec::new();
        outbox.push(Bytes::copy_from_slice(text.as_bytes()), class, |body| dropped.push(body));
        texts(dropped)
    }

    fn take(outbox: &Outbox) -> Vec<String> {
        let mut batch = Vec::new();
        outbox.take_batch(&mut batch);
        texts(batch)
    }

    fn texts(bodies: Vec<Bytes>) -> Vec<String> {
        bodies.into_iter().map(|body| String::from_utf8(body.to_vec()).unwrap()).collect()
    }
}
