//! Patterns as Redis matches them: `*`, `?`, `[a-z]`, `[^a]`, and a backslash before any of them.

/// Whether the whole text matches the pattern. Takes at most pattern times text steps: on a
/// mismatch only the last star is tried again, one byte further on.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut at) = (pattern, 0);
    let mut star: Option<(&[u8], usize)> = None;
    loop {
        if let [b'*', tail @ ..] = rest {
            star = Some((tail, at));
            rest = tail;
            continue;
        }
        let step = match (rest, text.get(at)) {
            ([], None) => return true,
            ([], Some(_)) | (_, None) => None,
            (pattern, Some(byte)) => match_one(pattern, *byte),
        };
        match (step, star) {
            (Some(tail), _) => {
                rest = tail;
                at += 1;
            }
            (None, Some((tail, from))) if from < text.len() => {
                star = Some((tail, from + 1));
                rest = tail;
                at = from + 1;
            }
            (None, _) => return false,
        }
    }
}

/// Matches one byte against the front of a pattern that does not begin with a star; answers what
/// of the pattern remains.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', tail @ ..] => Some(tail),
        [b'[', tail @ ..] => match_class(tail, byte),
        [b'\\', escaped, tail @ ..] => (*escaped == byte).then_some(tail),
        [literal, tail @ ..] => (*literal == byte).then_some(tail),
        [] => None,
    }
}

/// Matches one byte against a class, of which the opening bracket is gone. A class that is never
/// closed ends with the pattern, as in Redis.
fn match_class(class: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match class {
        [b'^', tail @ ..] => (true, tail),
        tail => (false, tail),
    };
    let mut found = false;
    loop {
        match rest {
            [] => break,
            [b']', tail @ ..] => {
                rest = tail;
                break;
            }
            [b'\\', escaped, tail @ ..] => {
                found |= *escaped == byte;
                rest = tail;
            }
            [first, b'-', last, tail @ ..] => {
                found |= (*first.min(last)..=*first.max(last)).contains(&byte);
                rest = tail;
            }
            [literal, tail @ ..] => {
                found |= *literal == byte;
                rest = tail;
            }
        }
    }
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let cases = [
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("a*b*c", "axbxbxc", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("a\\*c", "a*c", true),
            ("a\\*c", "abc", false),
            ("[\\]]", "]", true),
            ("[ab", "b", true),
            ("", "", true),
            ("", "a", false),
            ("a\\", "a\\", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let text = vec![b'a'; 10_000];
        let mut pattern = b"a*".repeat(1_000);
        pattern.push(b'b');
        assert!(!matches(&pattern, &text));
    }

    proptest! {
        #[test]
        fn any_pattern_ends(pattern: Vec<u8>, text: Vec<u8>) {
            let _ = matches(&pattern, &text);
        }

        #[test]
        fn a_text_matches_itself_escaped(text: Vec<u8>) {
            let pattern: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
            prop_assert!(matches(&pattern, &text));
        }
    }
}
