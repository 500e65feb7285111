//! Replies to SET and GET, told apart without being copied.

use crate::resp::number::parse_integer;

/// What a reply says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said<'a> {
    /// It was done; a read found a value.
    Done,
    /// A read found nothing.
    Nothing,
    /// It was not done, for what is said.
    Failed(&'a [u8]),
}

/// Bytes that are no reply to what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unreadable;

/// The first reply of `input`, and how many bytes it takes; none if it has not arrived whole.
///
/// # Errors
/// It is no reply to SET or GET; the stream is beyond repair.
pub(crate) fn first(input: &[u8]) -> Result<Option<(Said<'_>, usize)>, Unreadable> {
    let Some((kind, rest)) = input.split_first() else {
        return Ok(None);
    };
    let Some(line_len) = rest.iter().position(|byte| *byte == b'\n') else {
        // What does not begin as a reply will not become one.
        return if b"+-$_".contains(kind) { Ok(None) } else { Err(Unreadable) };
    };
    let line = rest[..line_len].strip_suffix(b"\r").ok_or(Unreadable)?;
    let end = line_len + 2;
    match kind {
        b'+' => Ok(Some((Said::Done, end))),
        b'_' => Ok(Some((Said::Nothing, end))),
        b'-' => Ok(Some((Said::Failed(line), end))),
        b'$' => match parse_integer(line) {
            Some(-1) => Ok(Some((Said::Nothing, end))),
            Some(len) => {
                let len = usize::try_from(len).map_err(|_| Unreadable)?;
                let end = end.checked_add(len).and_then(|end| end.checked_add(2));
                let end = end.ok_or(Unreadable)?;
                match input.get(end - 2..end) {
                    Some(b"\r\n") => Ok(Some((Said::Done, end))),
                    Some(_) => Err(Unreadable),
                    None => Ok(None),
                }
            }
            None => Err(Unreadable),
        },
        _ => Err(Unreadable),
    }
}

/// The kind of an error: its first word, if that is in capitals as codes are.
pub(crate) fn kind(text: &[u8]) -> String {
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_code = !word.is_empty()
        && word.len() <= CODE_BYTES_MAX
        && word.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_');
    if is_code { String::from_utf8_lossy(word).into_owned() } else { "ERR".to_owned() }
}

const CODE_BYTES_MAX: usize = 24;

/// The slot and address of `MOVED slot host:port`.
pub(crate) fn moved(text: &[u8]) -> Option<(u16, &str)> {
    let text = std::str::from_utf8(text).ok()?;
    let (slot, address) = text.strip_prefix("MOVED ")?.split_once(' ')?;
    Some((slot.parse().ok()?, address))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_reply_is_told_apart_and_waited_for_until_it_is_whole() {
        for (reply, said) in [
            ("+OK\r\n", Said::Done),
            ("$3\r\na\nb\r\n", Said::Done),
            ("$0\r\n\r\n", Said::Done),
            ("$-1\r\n", Said::Nothing),
            ("_\r\n", Said::Nothing),
            ("-MOVED 7 h:1\r\n", Said::Failed(b"MOVED 7 h:1")),
        ] {
            let input = format!("{reply}+OK\r\n");
            assert_eq!(first(input.as_bytes()), Ok(Some((said, reply.len()))), "{reply:?}");
            for end in 0..reply.len() {
                assert_eq!(first(&reply.as_bytes()[..end]), Ok(None), "{reply:?} cut at {end}");
            }
        }
    }

    #[test]
    fn what_is_no_such_reply_is_unreadable() {
        for input in ["HTTP/1.1 400\r\n", "H", "$x\r\n", "$-2\r\n", "$1\r\nabcd", "+OK\n", ":1\r\n"]
        {
            assert_eq!(first(input.as_bytes()), Err(Unreadable), "{input:?}");
        }
        assert_eq!(first(b"$9223372036854775807\r\n"), Ok(None));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(input in vec(any::<u8>(), 0..40)) {
            if let Ok(Some((_, end))) = first(&input) {
                prop_assert!(end <= input.len());
            }
        }
    }

    #[test]
    fn errors_are_counted_by_their_code() {
        assert_eq!(kind(b"UNCERTAIN the write may"), "UNCERTAIN");
        assert_eq!(kind(b"wrong number"), "ERR");
        assert_eq!(kind(b""), "ERR");
        assert_eq!(moved(b"MOVED 3999 [::1]:6381"), Some((3999, "[::1]:6381")));
        assert_eq!(moved(b"ASK 3999 h:1"), None);
        assert_eq!(moved(b"MOVED x h:1"), None);
    }
}
