//! The slot of a key, as the Redis Cluster specification defines it: CRC16 modulo 16,384, taken of
//! the key's hash tag if it has one.
//!
//! Client libraries compute the same to know which node to ask, so the function never changes.

/// How many slots there are. A table with this many vshards serves Redis Cluster clients: a slot's
/// vshard is its number.
pub const HASH_SLOTS: u32 = 16_384;

/// Tells the slot of `key`, below [`HASH_SLOTS`].
///
/// If the key has a `{` and a later `}`, and the first such pair has something between, only that
/// is hashed, so that a user can put keys into one slot: `{user1000}.following` and
/// `{user1000}.followers` are together.
///
/// Source: Redis Cluster specification, "Key distribution model" and "Hash tags".
#[must_use]
pub fn hash_slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) & SLOT_MASK
}

/// 16,384 is a power of two, so that the remainder is a mask.
const SLOT_MASK: u16 = 0x3fff;
const _: () = assert!(SLOT_MASK as u32 + 1 == HASH_SLOTS);

/// What is between the first `{` and the first `}` after it; none if there is nothing.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let rest = &key[open + 1..];
    let close = rest.iter().position(|byte| *byte == b'}')?;
    if close == 0 { None } else { Some(&rest[..close]) }
}

/// CRC-16/XMODEM: polynomial 0x1021, initial value 0, nothing reflected, nothing inverted.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let [high, _] = crc.to_be_bytes();
        (crc << 8) ^ TABLE[usize::from(high ^ byte)]
    })
}

/// The remainder of every value of the crc's high byte.
const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut high: u16 = 0;
    while high < 256 {
        let mut crc = high << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[high as usize] = crc;
        high += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn crc16_agrees_with_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b""), 0);
    }

    #[test]
    fn slots_agree_with_redis() {
        // As a Redis 7.0.15 server answers to CLUSTER KEYSLOT.
        let answers: [(&[u8], u16); 10] = [
            (b"", 0),
            (b"123456789", 12739),
            (b"foo", 12182),
            (b"bar", 5061),
            (b"hello", 866),
            (b"user1000", 3443),
            (b"{user1000}.following", 3443),
            (b"foo{}{bar}", 8363),
            (b"foo{{bar}}zap", 4015),
            (b"foo{bar}{zap}", 5061),
        ];
        for (key, slot) in answers {
            assert_eq!(hash_slot(key), slot, "{key:?}");
        }
    }

    #[test]
    fn keys_with_one_hash_tag_share_a_slot() {
        assert_eq!(hash_slot(b"{user1000}.following"), hash_slot(b"{user1000}.followers"));
        assert_eq!(hash_slot(b"{user1000}.following"), hash_slot(b"user1000"));
    }

    #[test]
    fn only_the_first_pair_of_braces_counts_and_only_if_it_holds_something() {
        // The examples of the specification, and what they say is hashed.
        let examples: [(&[u8], &[u8]); 3] = [
            (b"foo{{bar}}zap", b"{bar"),
            (b"foo{bar}{zap}", b"bar"),
            (b"foo{}{bar}", b"foo{}{bar}"),
        ];
        for (key, hashed) in examples {
            assert_eq!(hash_slot(key), crc16(hashed) & SLOT_MASK, "{key:?}");
        }
        assert_ne!(hash_slot(b"foo{}{bar}"), hash_slot(b"bar"));
        assert_eq!(hash_tag(b"foo}bar{"), None);
        assert_eq!(hash_tag(b"foo{bar"), None);
        assert_eq!(hash_tag(b"}{x}"), Some(&b"x"[..]));
    }

    /// The definition, bit by bit: what the table has to agree with.
    fn crc16_by_bits(bytes: &[u8]) -> u16 {
        let mut crc: u16 = 0;
        for byte in bytes {
            crc ^= u16::from(*byte) << 8;
            for _ in 0..8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            }
        }
        crc
    }

    proptest! {
        #[test]
        fn table_and_definition_agree(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(crc16(&bytes), crc16_by_bits(&bytes));
            prop_assert!(u32::from(hash_slot(&bytes)) < HASH_SLOTS);
        }

        #[test]
        fn what_surrounds_a_hash_tag_does_not_matter(
            before in "[a-z]{0,9}", tag in "[a-z]{1,9}", after in "[a-z{}]{0,9}"
        ) {
            let mut key = before.into_bytes();
            key.push(b'{');
            key.extend_from_slice(tag.as_bytes());
            key.push(b'}');
            key.extend_from_slice(after.as_bytes());
            prop_assert_eq!(hash_slot(&key), hash_slot(tag.as_bytes()));
        }
    }
}
