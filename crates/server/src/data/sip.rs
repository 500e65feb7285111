//! SipHash-1-3 with a key of zeros: where keys stand within their slot.
//!
//! The order in which expired keys are cleared away follows from it, and with that what a group
//! remembers of them, so that it is part of what a log means: the standard library, which has the
//! same function, may change it. Anything simpler would let a client choose keys that share a place.

/// The hash of a key.
pub(super) fn hash(key: &[u8]) -> u64 {
    let mut state = [
        0x736f_6d65_7073_6575_u64,
        0x646f_7261_6e64_6f6d,
        0x6c79_6765_6e65_7261,
        0x7465_6462_7974_6573,
    ];
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        absorb(&mut state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let len = key.len() as u64;
    absorb(&mut state, u64::from_le_bytes(last) | len << 56);
    state[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut state);
    }
    state.into_iter().fold(0, |hash, part| hash ^ part)
}

fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    state[0] ^= word;
}

fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_changes() {
        for (key, expected) in [
            ("k", 0x3420_63e1_1d6c_3cad),
            ("{a}1", 0x1149_0e0b_ff88_7605),
            ("12345678", 0x3489_9824_3056_0a87),
            ("a longer key than sixteen bytes", 0x5feb_8ac2_15f4_277c),
        ] {
            assert_eq!(hash(key.as_bytes()), expected, "{key}");
        }
    }
}
