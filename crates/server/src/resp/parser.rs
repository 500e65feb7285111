//! Takes requests out of a stream, however it is cut.
//!
//! A request is an array of bulk strings, or a line typed by hand. The parser remembers how far it
//! got, so that a request that arrives byte by byte is still read only once, and keeps arguments
//! as places in the received bytes, so that a large value is not copied.

use std::mem;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::inline;
use super::number::parse_integer;
use super::request::{Request, Span, Spans};

/// What a client may ask for at most. Whoever exceeds one is told which, and disconnected: the
/// rest of his bytes could no longer be told from commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestLimits {
    /// Arguments of one request, its name included.
    pub args_max: usize,
    /// Bytes of one argument.
    pub arg_bytes_max: usize,
    /// Bytes of one line: an inline request, or the line that gives a length.
    pub line_bytes_max: usize,
    /// Bytes of one whole request as sent.
    pub request_bytes_max: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            args_max: 65_536,
            arg_bytes_max: 512 * 1024,
            line_bytes_max: 64 * 1024,
            request_bytes_max: 1024 * 1024,
        }
    }
}

/// Why a stream holds no request; worded as Redis words it. The connection is beyond repair.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ProtocolError {
    /// A line typed by hand is too long.
    #[error("Protocol error: too big inline request")]
    InlineTooBig,
    /// A quote is left open, or a word goes on after its closing quote.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The line with the number of arguments does not end.
    #[error("Protocol error: too big mbulk count string")]
    CountTooBig,
    /// The number of arguments is no number, or more than allowed.
    #[error("Protocol error: invalid multibulk length")]
    InvalidCount,
    /// The line with an argument's length does not end.
    #[error("Protocol error: too big bulk count string")]
    LengthTooBig,
    /// An argument that is no bulk string.
    #[error("Protocol error: expected '$', got '{}'", char::from(*found).escape_default())]
    ExpectedBulk {
        /// The first byte found.
        found: u8,
    },
    /// An argument's length is no number, or more than allowed.
    #[error("Protocol error: invalid bulk length")]
    InvalidLength,
    /// An argument is not followed by the end of a line.
    #[error("Protocol error: expected CRLF after a bulk string")]
    ExpectedLineEnd,
    /// All arguments together are more than allowed.
    #[error("Protocol error: too big request, the limit is {bytes_max} bytes")]
    RequestTooBig {
        /// The limit.
        bytes_max: usize,
    },
}

/// Reads requests one after the other.
///
/// Invariant: between two calls the input still begins with the request that was not complete, and
/// the caller only appended to it; everything here counts from its first byte.
#[derive(Debug)]
pub struct Parser {
    limits: RequestLimits,
    /// How much of the input is known to hold no line end that is being looked for.
    scanned: usize,
    array: Option<Array>,
}

/// An array of which not all arguments have arrived.
#[derive(Debug)]
struct Array {
    missing: usize,
    spans: Spans,
    /// Where the next line or argument begins.
    at: usize,
    /// The length of the argument that begins at `at`, if its line has been read.
    length: Option<usize>,
}

impl Parser {
    /// A parser at the start of a stream.
    pub const fn new(limits: RequestLimits) -> Self {
        Self { limits, scanned: 0, array: None }
    }

    /// Takes the next complete request off the front of `input`; nothing if more bytes are needed.
    /// Empty lines and empty arrays ask for nothing and are skipped, as Redis does.
    ///
    /// # Errors
    /// Names what is wrong; the caller says so and closes the connection.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Request>, ProtocolError> {
        loop {
            if self.array.is_none() {
                match input.first() {
                    None => return Ok(None),
                    Some(b'*') => {
                        if !self.begin_array(input)? {
                            return Ok(None);
                        }
                    }
                    Some(_) => match self.inline(input)? {
                        Line::Incomplete => return Ok(None),
                        Line::Empty => {}
                        Line::Request(request) => return Ok(Some(request)),
                    },
                }
            }
            if self.array.is_some() {
                return self.array(input);
            }
        }
    }

    /// Reads the line `*count`; answers whether it was there.
    fn begin_array(&mut self, input: &mut BytesMut) -> Result<bool, ProtocolError> {
        let Some(line) = self.line(input, 0, ProtocolError::CountTooBig)? else {
            return Ok(false);
        };
        let count = parse_integer(&input[1..line.end]).ok_or(ProtocolError::InvalidCount)?;
        let after = line.end + 2;
        let Ok(missing) = usize::try_from(count) else {
            let _ = input.split_to(after);
            return Ok(true);
        };
        if missing > self.limits.args_max {
            return Err(ProtocolError::InvalidCount);
        }
        if missing == 0 {
            let _ = input.split_to(after);
            return Ok(true);
        }
        // A count is only a promise: memory is taken as arguments arrive.
        let spans = Spans::with_capacity(missing.min(16));
        self.array = Some(Array { missing, spans, at: after, length: None });
        Ok(true)
    }

    /// Goes on with an array as far as the input reaches.
    fn array(&mut self, input: &mut BytesMut) -> Result<Option<Request>, ProtocolError> {
        let bytes_max = self.limits.request_bytes_max;
        let mut array = self.array.take().expect("only called within an array");
        while array.missing > 0 {
            let length = match array.length {
                Some(length) => length,
                None => {
                    match input.get(array.at) {
                        Some(b'$') | None => {}
                        Some(&found) => return Err(ProtocolError::ExpectedBulk { found }),
                    }
                    let Some(line) = self.line(input, array.at, ProtocolError::LengthTooBig)?
                    else {
                        self.array = Some(array);
                        return Ok(None);
                    };
                    let length = parse_integer(&input[line.start + 1..line.end])
                        .and_then(|length| usize::try_from(length).ok())
                        .filter(|length| *length <= self.limits.arg_bytes_max)
                        .ok_or(ProtocolError::InvalidLength)?;
                    array.at = line.end + 2;
                    array.length = Some(length);
                    length
                }
            };
            let end = array.at + length;
            if end + 2 > bytes_max {
                return Err(ProtocolError::RequestTooBig { bytes_max });
            }
            let Some(line_end) = input.get(end..end + 2) else {
                self.array = Some(array);
                return Ok(None);
            };
            if line_end != b"\r\n" {
                return Err(ProtocolError::ExpectedLineEnd);
            }
            array.spans.push(Span { start: array.at, end });
            array.at = end + 2;
            array.length = None;
            array.missing -= 1;
        }
        self.scanned = 0;
        // What came alone takes its memory along, which nobody has to share.
        let is_alone = input.capacity() == array.at;
        let frame = if is_alone { mem::take(input) } else { input.split_to(array.at) };
        let frame = frame.freeze();
        Ok(Some(Request::new(frame, array.spans)))
    }

    /// Reads a request typed by hand.
    fn inline(&mut self, input: &mut BytesMut) -> Result<Line, ProtocolError> {
        let limit = self.limits.line_bytes_max;
        let Some(newline) = find(&input[self.scanned..], b'\n').map(|at| at + self.scanned) else {
            self.scanned = input.len();
            let too_big = input.len() > limit;
            return if too_big { Err(ProtocolError::InlineTooBig) } else { Ok(Line::Incomplete) };
        };
        self.scanned = 0;
        if newline > limit {
            return Err(ProtocolError::InlineTooBig);
        }
        let line = input.split_to(newline + 1);
        let line = line[..newline].strip_suffix(b"\r").unwrap_or(&line[..newline]);
        let words = inline::split(line).ok_or(ProtocolError::UnbalancedQuotes)?;
        if words.spans.is_empty() {
            return Ok(Line::Empty);
        }
        Ok(Line::Request(Request::new(Bytes::from(words.text), words.spans)))
    }

    /// Finds the line that begins at `start`: the place of its text, without `\r\n`.
    fn line(
        &mut self,
        input: &[u8],
        start: usize,
        too_big: ProtocolError,
    ) -> Result<Option<Span>, ProtocolError> {
        let from = self.scanned.max(start);
        let found = find(input.get(from..).unwrap_or_default(), b'\r').map(|at| at + from);
        // A carriage return at the very end may still get its newline.
        let Some(end) = found.filter(|end| end + 1 < input.len()) else {
            self.scanned = found.unwrap_or(input.len());
            let too_long = input.len().saturating_sub(start) > self.limits.line_bytes_max + 1;
            return if too_long { Err(too_big) } else { Ok(None) };
        };
        self.scanned = 0;
        if input[end + 1] != b'\n' || end - start > self.limits.line_bytes_max {
            return Err(too_big);
        }
        Ok(Some(Span { start, end }))
    }
}

/// What a line typed by hand turned out to be.
enum Line {
    Incomplete,
    Empty,
    Request(Request),
}

fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn parse(input: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        parse_pieces(&[input], RequestLimits::default())
    }

    /// Feeds the pieces one by one and takes all requests after each.
    fn parse_pieces(
        pieces: &[&[u8]],
        limits: RequestLimits,
    ) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        let mut parser = Parser::new(limits);
        let mut input = BytesMut::new();
        let mut requests = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Some(request) = parser.next(&mut input)? {
                requests.push(request.args().from(0).map(<[u8]>::to_vec).collect());
            }
        }
        Ok(requests)
    }

    fn encode(requests: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let mut out = Vec::new();
        for request in requests {
            out.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
            for arg in request {
                out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                out.extend_from_slice(arg);
                out.extend_from_slice(b"\r\n");
            }
        }
        out
    }

    #[test]
    fn arrays_and_lines_may_follow_each_other() {
        let requests =
            parse(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nping\r\n*1\r\n$4\r\nPING\r\n").unwrap();
        let expected: Vec<Vec<Vec<u8>>> = vec![
            vec![b"GET".to_vec(), b"k".to_vec()],
            vec![b"ping".to_vec()],
            vec![b"PING".to_vec()],
        ];
        assert_eq!(requests, expected);
    }

    #[test]
    fn empty_lines_and_arrays_ask_for_nothing() {
        let requests = parse(b"\r\n*0\r\n*-1\r\n\n  \nPING\n").unwrap();
        assert_eq!(requests, [[b"PING".to_vec()]]);
    }

    #[test]
    fn a_large_argument_is_not_copied() {
        let value = vec![b'x'; 100_000];
        let mut input = BytesMut::from(&encode(&[vec![b"SET".to_vec(), value]])[..]);
        let before = input.as_ptr() as usize..input.as_ptr() as usize + input.len();
        let request = Parser::new(RequestLimits::default()).next(&mut input).unwrap().unwrap();
        assert!(before.contains(&(request.args().at(1).as_ptr() as usize)));
    }

    #[test]
    fn errors_are_worded_as_redis_words_them() {
        let limits = RequestLimits {
            args_max: 3,
            arg_bytes_max: 8,
            line_bytes_max: 24,
            request_bytes_max: 40,
        };
        let cases: &[(&[u8], &str)] = &[
            (b"*4\r\n", "invalid multibulk length"),
            (b"*x\r\n", "invalid multibulk length"),
            (b"*9223372036854775808\r\n", "invalid multibulk length"),
            (b"*1\r\n+OK\r\n", "expected '$', got '+'"),
            (b"*1\r\n$9\r\n", "invalid bulk length"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$1\r\nab\r\n", "expected CRLF after a bulk string"),
            (b"*1111111111111111111111111111111", "too big mbulk count string"),
            (b"*1\r\n$1111111111111111111111111111111", "too big bulk count string"),
            (b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "too big inline request"),
            (b"set \"a\n", "unbalanced quotes in request"),
            (
                b"*3\r\n$8\r\n12345678\r\n$8\r\n12345678\r\n$8\r\n",
                "too big request, the limit is 40 bytes",
            ),
        ];
        for (input, expected) in cases {
            let error = parse_pieces(&[input], limits).unwrap_err().to_string();
            assert_eq!(error, format!("Protocol error: {expected}"));
        }
    }

    fn requests() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
        vec(vec(vec(any::<u8>(), 0..40), 1..6), 0..6)
    }

    proptest! {
        #[test]
        fn requests_survive_any_cut(requests in requests(), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
            let bytes = encode(&requests);
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for place in places.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[start..place]);
                start = place;
            }
            prop_assert_eq!(parse_pieces(&pieces, RequestLimits::default()).unwrap(), requests);
        }

        #[test]
        fn random_bytes_never_panic_and_cuts_do_not_matter(bytes in vec(any::<u8>(), 0..200)) {
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            let whole = parse(&bytes);
            let pieces = parse_pieces(&single, RequestLimits::default());
            prop_assert_eq!(whole.is_ok(), pieces.is_ok());
            if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
                prop_assert_eq!(whole, pieces);
            }
        }

        #[test]
        fn damaged_requests_never_panic(
            requests in requests(),
            damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = encode(&requests);
            for (place, byte) in damage {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            let limits = RequestLimits { request_bytes_max: 4096, ..RequestLimits::default() };
            let parsed = parse_pieces(&[&bytes], limits).unwrap_or_default();
            // Whatever came out was in the input: nothing is invented.
            let args: usize = parsed.iter().flatten().map(Vec::len).sum();
            prop_assert!(args <= bytes.len());
        }
    }
}
