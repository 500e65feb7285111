//! Requests typed by hand: words between spaces, quoted where they hold spaces themselves.

use super::request::{Span, Spans};

/// The words of a line and where they are, unescaped and laid out one behind the other.
pub(crate) struct Words {
    pub(crate) text: Vec<u8>,
    pub(crate) spans: Spans,
}

/// Splits a line (without its end) into words. Double quotes know `\n \r \t \b \a \xHH` and a
/// backslash before anything else; single quotes know `\'` alone; a closing quote ends its word.
/// Nothing comes back if a quote is left open or followed by more of a word.
pub(crate) fn split(line: &[u8]) -> Option<Words> {
    let mut words = Words { text: Vec::with_capacity(line.len()), spans: Spans::new() };
    let mut rest = line;
    loop {
        while let [space, tail @ ..] = rest
            && is_space(*space)
        {
            rest = tail;
        }
        if rest.is_empty() {
            return Some(words);
        }
        let start = words.text.len();
        rest = take_word(rest, &mut words.text)?;
        words.spans.push(Span { start, end: words.text.len() });
    }
}

/// Takes one word off the front of a line that does not begin with a space.
fn take_word<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return Some(rest),
            [space, ..] if is_space(*space) => return Some(rest),
            [b'"', tail @ ..] => return end_of_word(take_double(tail, out)?),
            [b'\'', tail @ ..] => return end_of_word(take_single(tail, out)?),
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
}

/// After a closing quote only a space or the end may follow.
fn end_of_word(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(|byte| is_space(*byte)).then_some(rest)
}

fn take_double<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                out.push(hex(*high) << 4 | hex(*low));
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] => {
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest = tail;
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
}

fn take_single<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'\'', tail @ ..] => return Some(tail),
            [b'\\', b'\'', tail @ ..] => {
                out.push(b'\'');
                rest = tail;
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
}

/// The value of a hexadecimal digit.
const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<Vec<u8>>> {
        let words = split(line.as_bytes())?;
        Some(words.spans.iter().map(|span| words.text[span.start..span.end].to_vec()).collect())
    }

    #[test]
    fn words_are_split_at_spaces() {
        assert_eq!(words("  set  k\tv ").unwrap(), [&b"set"[..], b"k", b"v"]);
        assert!(words("   ").unwrap().is_empty());
    }

    #[test]
    fn quotes_keep_spaces_and_escapes() {
        let line = r#"set "a b\n\x41\"" 'it\'s' """#;
        assert_eq!(words(line).unwrap(), [&b"set"[..], b"a b\nA\"", b"it's", b""]);
    }

    #[test]
    fn open_or_continued_quotes_are_refused() {
        for line in ["set \"k", "set 'k", "set \"k\"v", "set 'k'v", "\"\\"] {
            assert!(words(line).is_none(), "{line}");
        }
    }
}
