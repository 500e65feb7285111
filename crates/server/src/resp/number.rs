//! Integers exactly as Redis reads and writes them.

use bytes::{BufMut, BytesMut};

/// The longest integer in characters: `-9223372036854775808`.
const INTEGER_BYTES_MAX: usize = 20;

/// Reads a whole text as a signed integer: an optional minus, then digits without leading zeros,
/// nothing else. `-0`, `+1`, ` 1` and `01` are none, because Redis would not print them so.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    if text.len() > INTEGER_BYTES_MAX {
        return None;
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!negative).then_some(0),
        [b'0', ..] => return None,
        _ => {}
    }
    // Built downwards, since the most negative number has no positive twin.
    let mut value: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Appends an integer in decimal.
pub fn put_integer(out: &mut BytesMut, value: i64) {
    let mut digits = [0_u8; INTEGER_BYTES_MAX];
    let mut at = INTEGER_BYTES_MAX;
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b"0123456789"[usize::try_from(rest % 10).expect("a digit is below ten")];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_redis_prints_is_an_integer() {
        let max = b"9223372036854775807";
        let min = b"-9223372036854775808";
        assert_eq!(parse_integer(max), Some(i64::MAX));
        assert_eq!(parse_integer(min), Some(i64::MIN));
        assert_eq!(parse_integer(b"0"), Some(0));
        for text in [
            &b""[..],
            b"-",
            b"+1",
            b"-0",
            b"01",
            b"-01",
            b" 1",
            b"1 ",
            b"1.0",
            b"9223372036854775808",
            b"-9223372036854775809",
            b"123456789012345678901",
        ] {
            assert_eq!(parse_integer(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value: i64) {
            let mut out = BytesMut::new();
            put_integer(&mut out, value);
            let expected = value.to_string();
            prop_assert_eq!(&out[..], expected.as_bytes());
            prop_assert_eq!(parse_integer(&out), Some(value));
        }
    }
}
