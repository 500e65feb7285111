//! What a client asks.

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

/// One argument's place in its frame, half-open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The places of a request's arguments. Those of the most frequent commands need no memory beside.
pub(crate) type Spans = SmallVec<[Span; 4]>;

/// One command with its arguments, as places in the bytes that were received.
///
/// Invariants, made by the parser: there is at least one argument (the command's name), and every
/// span lies within the frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    frame: Bytes,
    spans: Spans,
}

impl Request {
    pub(crate) fn new(frame: Bytes, spans: Spans) -> Self {
        debug_assert!(!spans.is_empty());
        debug_assert!(spans.iter().all(|span| span.start <= span.end && span.end <= frame.len()));
        Self { frame, spans }
    }

    /// The name and all arguments.
    pub fn args(&self) -> Args<'_> {
        Args { frame: &self.frame, spans: &self.spans }
    }

    /// The same in memory of its own, for whoever keeps it: what it was received with, as much as is
    /// read at a time, would be kept too.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { frame: Bytes::copy_from_slice(&self.frame), spans: self.spans.clone() }
    }

    /// How many bytes the request holds in memory, for budgets.
    pub fn cost(&self) -> usize {
        self.frame.len() + self.spans.len() * size_of::<Span>()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.args().fmt(f)
    }
}

/// Arguments borrowed from a request or from a log entry; the first is the command's name.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    frame: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    pub(crate) const fn new(frame: &'a [u8], spans: &'a [Span]) -> Self {
        Self { frame, spans }
    }

    /// How many there are, the name included.
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none; never so for what a parser made.
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `position`, or nothing if there are not that many.
    pub fn get(&self, position: usize) -> Option<&'a [u8]> {
        self.spans.get(position).map(|span| &self.frame[span.start..span.end])
    }

    /// The argument at `position`.
    ///
    /// # Panics
    /// If there are not that many: the command table's arity has been checked before.
    pub fn at(&self, position: usize) -> &'a [u8] {
        self.get(position).expect("the arity of the command was checked")
    }

    /// The arguments without the first `count`, as a request of their own; may be empty.
    #[must_use]
    pub fn skip(&self, count: usize) -> Self {
        Self { frame: self.frame, spans: self.spans.get(count..).unwrap_or_default() }
    }

    /// All arguments from `first` on, in order; none if there are not that many.
    pub fn from(&self, first: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let frame = self.frame;
        let spans = self.spans.get(first..).unwrap_or_default();
        spans.iter().map(move |span| &frame[span.start..span.end])
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.from(0).map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

#[cfg(test)]
impl Request {
    /// A request of these arguments.
    pub(crate) fn of<A: AsRef<[u8]>>(args: &[A]) -> Self {
        let mut frame = Vec::new();
        let mut spans = Spans::new();
        for arg in args {
            let start = frame.len();
            frame.extend_from_slice(arg.as_ref());
            spans.push(Span { start, end: frame.len() });
        }
        Self::new(frame.into(), spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detached_request_says_the_same_and_shares_no_memory() {
        let request = Request::of(&["SET", "k", "v"]);
        let detached = request.detached();
        assert_eq!(format!("{:?}", detached), format!("{:?}", request));
        assert_ne!(detached.args().at(0).as_ptr(), request.args().at(0).as_ptr());
        assert_eq!(request.clone().args().at(0).as_ptr(), request.args().at(0).as_ptr());
    }
}
