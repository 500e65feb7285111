//! Replies for humans, as redis-cli prints them.

use crate::resp::Reply;

/// For a terminal: strings in quotes, items numbered, kinds named. Ends with a line end.
pub fn for_humans(reply: &Reply) -> String {
    let mut out = String::new();
    human(reply, 0, &mut out);
    out
}

/// For a pipe: the bytes themselves, one line for each item. Ends with a line end.
pub fn bare(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    put_bare(reply, &mut out);
    if out.last() != Some(&b'\n') {
        out.push(b'\n');
    }
    out
}

/// Writes one reply; `indent` is where the lines of its items begin.
fn human(reply: &Reply, indent: usize, out: &mut String) {
    match reply {
        Reply::Status(text) => line(out, text),
        Reply::Error(text) => line(out, &format!("(error) {text}")),
        Reply::Integer(value) => line(out, &format!("(integer) {value}")),
        Reply::Bulk(bytes) => line(out, &quoted(bytes)),
        Reply::Null | Reply::NullArray => line(out, "(nil)"),
        Reply::Double(value) => line(out, &format!("(double) {value}")),
        Reply::Boolean(value) => line(out, if *value { "(true)" } else { "(false)" }),
        Reply::Verbatim(bytes) | Reply::Encoded(bytes) => {
            line(out, String::from_utf8_lossy(bytes).trim_end());
        }
        Reply::Array(items) if items.is_empty() => line(out, "(empty array)"),
        Reply::Set(items) if items.is_empty() => line(out, "(empty set)"),
        Reply::Map(pairs) | Reply::Pairs(pairs) if pairs.is_empty() => line(out, "(empty hash)"),
        Reply::Array(items) | Reply::Set(items) => {
            let mark = if matches!(reply, Reply::Set(_)) { '~' } else { ')' };
            let width = items.len().to_string().len();
            for (at, item) in items.iter().enumerate() {
                begin_item(out, at, width, mark, indent);
                human(item, indent + width + 2, out);
            }
        }
        Reply::Map(pairs) | Reply::Pairs(pairs) => {
            let width = pairs.len().to_string().len();
            for (at, (key, value)) in pairs.iter().enumerate() {
                begin_item(out, at, width, '#', indent);
                let mut name = String::new();
                human(key, indent + width + 2, &mut name);
                out.push_str(name.trim_end());
                out.push_str(" => ");
                human(value, indent + width + 2, out);
            }
        }
    }
}

/// The number before an item. The first stands where its collection began, the others below it.
fn begin_item(out: &mut String, at: usize, width: usize, mark: char, indent: usize) {
    if at > 0 {
        out.push_str(&" ".repeat(indent));
    }
    out.push_str(&format!("{:>width$}{mark} ", at + 1));
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Bytes in double quotes, with escapes for what does not print.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend(['\\', char::from(*byte)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

fn put_bare(reply: &Reply, out: &mut Vec<u8>) {
    match reply {
        Reply::Status(text) | Reply::Error(text) => out.extend_from_slice(text.as_bytes()),
        Reply::Integer(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Reply::Bulk(bytes) | Reply::Verbatim(bytes) | Reply::Encoded(bytes) => {
            out.extend_from_slice(bytes);
        }
        Reply::Null | Reply::NullArray => {}
        Reply::Double(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Reply::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Reply::Array(items) | Reply::Set(items) => put_lines(items.iter(), out),
        Reply::Map(pairs) | Reply::Pairs(pairs) => {
            put_lines(pairs.iter().flat_map(|(key, value)| [key, value]), out);
        }
    }
}

fn put_lines<'a>(items: impl Iterator<Item = &'a Reply>, out: &mut Vec<u8>) {
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        put_bare(item, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: i64) -> Reply {
        Reply::Integer(value)
    }

    #[test]
    fn simple_replies_name_their_kind() {
        for (reply, expected) in [
            (Reply::OK, "OK\n"),
            (Reply::error("ERR no"), "(error) ERR no\n"),
            (number(3), "(integer) 3\n"),
            (Reply::Null, "(nil)\n"),
            (Reply::text("a\"b\\\n\x01"), "\"a\\\"b\\\\\\n\\x01\"\n"),
            (Reply::Array(Vec::new()), "(empty array)\n"),
            (Reply::Verbatim("a\r\nb\r\n".into()), "a\r\nb\n"),
        ] {
            assert_eq!(for_humans(&reply), expected);
        }
    }

    #[test]
    fn items_are_numbered_and_aligned() {
        let inner = Reply::Array(vec![number(1), Reply::text("x")]);
        let reply = Reply::Array(vec![inner, Reply::Null]);
        assert_eq!(for_humans(&reply), "1) 1) (integer) 1\n   2) \"x\"\n2) (nil)\n");
        let ten = Reply::Array((1..=10).map(number).collect());
        let printed = for_humans(&ten);
        assert!(printed.starts_with(" 1) (integer) 1\n"), "{printed}");
        assert!(printed.ends_with("10) (integer) 10\n"), "{printed}");
    }

    #[test]
    fn maps_show_what_belongs_together() {
        let reply = Reply::Map(vec![
            (Reply::text("a"), number(1)),
            (Reply::text("b"), Reply::Array(vec![number(2), number(3)])),
        ]);
        let expected = "1# \"a\" => (integer) 1\n2# \"b\" => 1) (integer) 2\n   2) (integer) 3\n";
        assert_eq!(for_humans(&reply), expected);
    }

    #[test]
    fn bare_replies_are_what_they_hold() {
        let reply = Reply::Array(vec![Reply::text("a"), number(2), Reply::Null, Reply::text("c")]);
        assert_eq!(bare(&reply), b"a\n2\n\nc\n");
        assert_eq!(bare(&Reply::text("a\n")), b"a\n");
        assert_eq!(bare(&Reply::Null), b"\n");
    }
}
