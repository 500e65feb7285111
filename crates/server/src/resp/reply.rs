//! What is answered, and how either version of the protocol writes it.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use super::number::put_integer;

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Protocol {
    /// What every connection begins with.
    #[default]
    Resp2,
    /// After `HELLO 3`: maps, sets, doubles, booleans, and one null.
    Resp3,
}

impl Protocol {
    /// The number that `HELLO` calls it by.
    pub const fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// One answer. Version 2 has no word for some of these and writes the nearest it has.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// A short text such as `OK`.
    Status(Cow<'static, str>),
    /// An error: its code in capitals, a space, and what a human should read.
    Error(Cow<'static, str>),
    /// A whole number.
    Integer(i64),
    /// Bytes.
    Bulk(Bytes),
    /// No value.
    Null,
    /// No value where there could have been several; version 2 writes that otherwise.
    NullArray,
    /// Answers in order.
    Array(Vec<Self>),
    /// Answers in no order; an array in version 2.
    Set(Vec<Self>),
    /// Pairs; an array of twice the length in version 2.
    Map(Vec<(Self, Self)>),
    /// Pairs in order: an array of arrays of two, in version 2 one array of twice the length.
    Pairs(Vec<(Self, Self)>),
    /// A fractional number; bytes in version 2.
    Double(f64),
    /// Yes or no; 1 or 0 in version 2.
    Boolean(bool),
    /// Bytes to be shown as they are; plain bytes in version 2.
    Verbatim(Bytes),
    /// Bytes already written, the same in both versions.
    Encoded(Bytes),
}

impl Reply {
    /// The answer to what was done and has no other result.
    pub const OK: Self = Self::Status(Cow::Borrowed("OK"));

    /// Bytes copied from a text.
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Bytes::copy_from_slice(text.as_ref()))
    }

    /// An error, its text made safe to be one line.
    pub fn error(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        if text.contains(['\r', '\n']) {
            return Self::Error(text.replace(['\r', '\n'], " ").into());
        }
        Self::Error(text)
    }

    /// A count as a whole number; one beyond the range is given as its end.
    pub fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// A count as a whole number; one beyond the range is given as its end.
    pub fn count64(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        let is_encoded_error = |bytes: &Bytes| bytes.first() == Some(&b'-');
        matches!(self, Self::Error(_))
            || matches!(self, Self::Encoded(bytes) if is_encoded_error(bytes))
    }

    /// The first word of an error; nothing if it is none.
    pub fn error_code(&self) -> Option<&[u8]> {
        let text = match self {
            Self::Error(text) => text.as_bytes(),
            Self::Encoded(bytes) => bytes.strip_prefix(b"-")?,
            Self::Status(_)
            | Self::Integer(_)
            | Self::Bulk(_)
            | Self::Null
            | Self::NullArray
            | Self::Array(_)
            | Self::Set(_)
            | Self::Map(_)
            | Self::Pairs(_)
            | Self::Double(_)
            | Self::Boolean(_)
            | Self::Verbatim(_) => return None,
        };
        text.split(u8::is_ascii_whitespace).next()
    }

    /// About how many bytes it takes on the wire, for budgets; never less than its payload.
    pub fn cost(&self) -> usize {
        const FRAMING: usize = 16;
        match self {
            Self::Status(text) | Self::Error(text) => text.len() + FRAMING,
            Self::Bulk(bytes) | Self::Verbatim(bytes) | Self::Encoded(bytes) => {
                bytes.len() + FRAMING
            }
            Self::Integer(_)
            | Self::Null
            | Self::NullArray
            | Self::Double(_)
            | Self::Boolean(_) => FRAMING * 2,
            Self::Array(items) | Self::Set(items) => {
                FRAMING + items.iter().map(Self::cost).sum::<usize>()
            }
            Self::Map(pairs) | Self::Pairs(pairs) => {
                FRAMING + pairs.iter().map(|(key, value)| key.cost() + value.cost()).sum::<usize>()
            }
        }
    }

    /// Appends the answer as `protocol` writes it.
    pub fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
        let is_resp3 = protocol == Protocol::Resp3;
        match self {
            Self::Status(text) => put_line(out, b'+', text.as_bytes()),
            Self::Error(text) => put_line(out, b'-', text.as_bytes()),
            Self::Integer(value) => put_number(out, b':', *value),
            Self::Bulk(bytes) => put_bulk(out, b'$', &[bytes]),
            Self::Null | Self::NullArray if is_resp3 => out.put_slice(b"_\r\n"),
            Self::NullArray => out.put_slice(b"*-1\r\n"),
            Self::Null => out.put_slice(b"$-1\r\n"),
            Self::Array(items) => put_items(out, b'*', items, protocol),
            Self::Set(items) => {
                put_items(out, if is_resp3 { b'~' } else { b'*' }, items, protocol);
            }
            Self::Map(pairs) => {
                let (kind, len) = if is_resp3 { (b'%', 1) } else { (b'*', 2) };
                put_len(out, kind, pairs.len() * len);
                for (key, value) in pairs {
                    key.encode(protocol, out);
                    value.encode(protocol, out);
                }
            }
            Self::Pairs(pairs) => {
                put_len(out, b'*', if is_resp3 { pairs.len() } else { pairs.len() * 2 });
                for (key, value) in pairs {
                    if is_resp3 {
                        put_len(out, b'*', 2);
                    }
                    key.encode(protocol, out);
                    value.encode(protocol, out);
                }
            }
            Self::Double(value) if is_resp3 => put_line(out, b',', double(*value).as_bytes()),
            Self::Double(value) => put_bulk(out, b'$', &[double(*value).as_bytes()]),
            Self::Boolean(value) if is_resp3 => {
                out.put_slice(if *value { b"#t\r\n" } else { b"#f\r\n" });
            }
            Self::Boolean(value) => put_number(out, b':', i64::from(*value)),
            Self::Verbatim(bytes) if is_resp3 => put_bulk(out, b'=', &[b"txt:", bytes]),
            Self::Verbatim(bytes) => put_bulk(out, b'$', &[bytes]),
            Self::Encoded(bytes) => out.put_slice(bytes),
        }
    }

    /// The answer in bytes of its own.
    pub fn to_bytes(&self, protocol: Protocol) -> Bytes {
        let mut out = BytesMut::with_capacity(self.cost());
        self.encode(protocol, &mut out);
        out.freeze()
    }
}

/// A fractional number as Redis prints it: `inf`, `-inf`, `nan`, or the shortest that reads back.
fn double(value: f64) -> String {
    if value.is_nan() { "nan".to_owned() } else { format!("{value}") }
}

fn put_line(out: &mut BytesMut, kind: u8, text: &[u8]) {
    out.reserve(text.len() + 3);
    out.put_u8(kind);
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

fn put_number(out: &mut BytesMut, kind: u8, value: i64) {
    out.put_u8(kind);
    put_integer(out, value);
    out.put_slice(b"\r\n");
}

fn put_len(out: &mut BytesMut, kind: u8, len: usize) {
    put_number(out, kind, i64::try_from(len).expect("nothing in memory is longer than i64 says"));
}

/// Writes the parts as one string.
fn put_bulk(out: &mut BytesMut, kind: u8, parts: &[&[u8]]) {
    let len = parts.iter().map(|part| part.len()).sum();
    out.reserve(len + 32);
    put_len(out, kind, len);
    for part in parts {
        out.put_slice(part);
    }
    out.put_slice(b"\r\n");
}

fn put_items(out: &mut BytesMut, kind: u8, items: &[Reply], protocol: Protocol) {
    put_len(out, kind, items.len());
    for item in items {
        item.encode(protocol, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(reply: &Reply) -> (String, String) {
        let write = |protocol| String::from_utf8(reply.to_bytes(protocol).to_vec()).unwrap();
        (write(Protocol::Resp2), write(Protocol::Resp3))
    }

    #[test]
    fn both_versions_write_these_alike() {
        for (reply, expected) in [
            (Reply::OK, "+OK\r\n"),
            (Reply::error("ERR no"), "-ERR no\r\n"),
            (Reply::Integer(-7), ":-7\r\n"),
            (Reply::text("a\r\nb"), "$4\r\na\r\nb\r\n"),
            (Reply::Array(vec![Reply::Integer(1), Reply::text("")]), "*2\r\n:1\r\n$0\r\n\r\n"),
        ] {
            assert_eq!(both(&reply), (expected.to_owned(), expected.to_owned()));
        }
    }

    #[test]
    fn version_2_writes_the_nearest_it_has() {
        let pair = vec![(Reply::text("k"), Reply::Null)];
        for (reply, resp2, resp3) in [
            (Reply::Null, "$-1\r\n", "_\r\n"),
            (Reply::Map(pair), "*2\r\n$1\r\nk\r\n$-1\r\n", "%1\r\n$1\r\nk\r\n_\r\n"),
            (
                Reply::Pairs(vec![(Reply::Integer(1), Reply::Integer(2))]),
                "*2\r\n:1\r\n:2\r\n",
                "*1\r\n*2\r\n:1\r\n:2\r\n",
            ),
            (Reply::NullArray, "*-1\r\n", "_\r\n"),
            (Reply::Set(vec![Reply::OK]), "*1\r\n+OK\r\n", "~1\r\n+OK\r\n"),
            (Reply::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (Reply::Double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n"),
            (Reply::Boolean(true), ":1\r\n", "#t\r\n"),
            (Reply::Verbatim(Bytes::from("a")), "$1\r\na\r\n", "=5\r\ntxt:a\r\n"),
        ] {
            assert_eq!(both(&reply), (resp2.to_owned(), resp3.to_owned()));
        }
    }

    #[test]
    fn an_error_is_always_one_line() {
        assert_eq!(both(&Reply::error("ERR 'a\r\nb'")).0, "-ERR 'a  b'\r\n");
    }
}
