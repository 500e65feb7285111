//! Reads replies back, of either version.

use bytes::Bytes;
use thiserror::Error;

use super::number::parse_integer;
use super::reply::Reply;

/// How deep answers may lie within answers: far more than any command's.
const DEPTH_MAX: usize = 32;

/// Why bytes are no reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DecodeError {
    /// The first byte is no kind of reply.
    #[error("no reply begins with byte {found:#04x}")]
    Kind {
        /// The byte.
        found: u8,
    },
    /// A number or length is none.
    #[error("a reply holds a malformed number or length")]
    Number,
    /// A string does not end where it says.
    #[error("a string in a reply does not end where it says")]
    Unterminated,
    /// Answers within answers within answers.
    #[error("a reply is nested more than {DEPTH_MAX} deep")]
    TooDeep,
}

/// Reads the reply at the front of `input` and how many bytes it takes; nothing if it has not
/// arrived whole. Strings share the input's memory.
///
/// # Errors
/// Names what is wrong; the stream is beyond repair.
pub fn decode(input: &Bytes) -> Result<Option<(Reply, usize)>, DecodeError> {
    let mut reader = Reader { input, at: 0 };
    Ok(reader.reply(DEPTH_MAX)?.map(|reply| (reply, reader.at)))
}

/// Version 2 may say of any string or aggregate that there is none.
enum Nullable<T> {
    Null,
    Value(T),
}

impl<T> Nullable<T> {
    fn reply(self, make: impl FnOnce(T) -> Reply) -> Reply {
        match self {
            Self::Null => Reply::Null,
            Self::Value(value) => make(value),
        }
    }
}

struct Reader<'a> {
    input: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn reply(&mut self, depth: usize) -> Result<Option<Reply>, DecodeError> {
        if depth == 0 {
            return Err(DecodeError::TooDeep);
        }
        let Some(&kind) = self.input.get(self.at) else {
            return Ok(None);
        };
        if !b"+-:$*_,#=%~(!".contains(&kind) {
            return Err(DecodeError::Kind { found: kind });
        }
        let Some(line) = self.line() else {
            return Ok(None);
        };
        Ok(match kind {
            b'+' => Some(Reply::Status(text(&line).into())),
            b'-' => Some(Reply::Error(text(&line).into())),
            b':' => Some(Reply::Integer(parse_integer(&line).ok_or(DecodeError::Number)?)),
            b'_' => Some(Reply::Null),
            b'#' => Some(Reply::Boolean(&line[..] == b"t")),
            b',' => Some(Reply::Double(text(&line).parse().map_err(|_| DecodeError::Number)?)),
            b'(' => Some(Reply::Bulk(line)),
            b'$' => self.string(&line)?.map(|string| string.reply(Reply::Bulk)),
            b'!' => self.string(&line)?.map(|string| string.reply(|it| Reply::error(text(&it)))),
            b'=' => self.string(&line)?.map(|string| string.reply(verbatim)),
            b'*' => self.items(&line, 1, depth)?.map(|items| items.reply(Reply::Array)),
            b'~' => self.items(&line, 1, depth)?.map(|items| items.reply(Reply::Set)),
            _ => self.items(&line, 2, depth)?.map(|items| items.reply(pairs)),
        })
    }

    /// The text after the kind, without the line's end.
    fn line(&mut self) -> Option<Bytes> {
        let rest = self.input.get(self.at..)?;
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = self.input.slice(self.at + 1..(self.at + end).max(self.at + 1));
        self.at += end + 2;
        Some(line)
    }

    fn string(&mut self, line: &[u8]) -> Result<Option<Nullable<Bytes>>, DecodeError> {
        let len = match parse_integer(line).ok_or(DecodeError::Number)? {
            -1 => return Ok(Some(Nullable::Null)),
            len => usize::try_from(len).map_err(|_| DecodeError::Number)?,
        };
        let end = self.at.checked_add(len).ok_or(DecodeError::Number)?;
        let Some(line_end) = end.checked_add(2).and_then(|after| self.input.get(end..after)) else {
            return Ok(None);
        };
        if line_end != b"\r\n" {
            return Err(DecodeError::Unterminated);
        }
        let bytes = self.input.slice(self.at..end);
        self.at = end + 2;
        Ok(Some(Nullable::Value(bytes)))
    }

    /// The items of an aggregate, `per_count` for each that its line counts.
    fn items(
        &mut self,
        line: &[u8],
        per_count: usize,
        depth: usize,
    ) -> Result<Option<Nullable<Vec<Reply>>>, DecodeError> {
        let count = match parse_integer(line).ok_or(DecodeError::Number)? {
            -1 => return Ok(Some(Nullable::Null)),
            count => usize::try_from(count).map_err(|_| DecodeError::Number)?,
        };
        let count = count.checked_mul(per_count).ok_or(DecodeError::Number)?;
        // A count is only a promise: memory is taken as items arrive.
        let mut items = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            match self.reply(depth - 1)? {
                Some(item) => items.push(item),
                None => return Ok(None),
            }
        }
        Ok(Some(Nullable::Value(items)))
    }
}

/// Leaves out the three letters and colon that say what kind of text it is.
fn verbatim(bytes: Bytes) -> Reply {
    Reply::Verbatim(bytes.slice(4.min(bytes.len())..))
}

fn pairs(items: Vec<Reply>) -> Reply {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    Reply::Map(pairs)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::resp::Protocol;

    fn replies() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            "[A-Za-z ]{0,12}".prop_map(|text| Reply::Status(text.into())),
            "[A-Z]{1,8} [a-z ]{0,12}".prop_map(Reply::error),
            any::<i64>().prop_map(Reply::Integer),
            vec(any::<u8>(), 0..20).prop_map(|bytes| Reply::Bulk(bytes.into())),
            vec(any::<u8>(), 0..20).prop_map(|bytes| Reply::Verbatim(bytes.into())),
            (-1e9..1e9_f64).prop_map(Reply::Double),
            any::<bool>().prop_map(Reply::Boolean),
            Just(Reply::Null),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Reply::Array),
                vec(inner.clone(), 0..4).prop_map(Reply::Set),
                vec((inner.clone(), inner), 0..3).prop_map(Reply::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_version_3_writes_reads_back(reply in replies()) {
            let bytes = reply.to_bytes(Protocol::Resp3);
            prop_assert_eq!(decode(&bytes), Ok(Some((reply, bytes.len()))));
            for end in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes.slice(..end)), Ok(None), "cut at {}", end);
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..60)) {
            let bytes = Bytes::from(bytes);
            if let Ok(Some((_, consumed))) = decode(&bytes) {
                prop_assert!(consumed <= bytes.len());
            }
        }
    }

    #[test]
    fn hostile_lengths_take_no_memory() {
        let decode = |text: &'static str| decode(&Bytes::from(text));
        assert_eq!(decode("*9223372036854775807\r\n"), Ok(None));
        assert_eq!(decode("%9223372036854775807\r\n"), Ok(None));
        assert_eq!(decode("$9223372036854775807\r\n"), Ok(None));
        let deep: &'static str = "*1\r\n".repeat(100).leak();
        assert_eq!(decode(deep), Err(DecodeError::TooDeep));
        assert_eq!(decode(">1\r\n"), Err(DecodeError::Kind { found: b'>' }));
    }
}
