//! What is proposed, and what is made of it when it is delivered.

/// How long every payload is.
pub(crate) const PAYLOAD_BYTES: usize = 16;

/// One entry's bytes.
pub(crate) type Payload = [u8; PAYLOAD_BYTES];

/// The `number`th payload of `group`; no two are the same.
pub(crate) fn payload(group: u64, number: u64) -> Payload {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (u128::from(number) << 64 | u128::from(mixed ^ group)).to_le_bytes()
}

/// A replica's state machine: reads every payload, and remembers how many there were and in which
/// order. As little work as that takes, since both sides pay for it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Applied {
    pub(crate) count: u64,
    pub(crate) digest: u64,
}

impl Applied {
    /// Applies one entry; one of another length is not what was proposed, and does not count.
    #[inline]
    pub(crate) fn take(&mut self, payload: &[u8]) {
        let Some((low, high)) = payload.split_first_chunk::<8>() else { return };
        let Ok(high) = <[u8; 8]>::try_from(high) else { return };
        let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(high));
        self.digest = (self.digest.rotate_left(1) ^ low).wrapping_add(high);
        self.count += 1;
    }

    /// What a replica of `group` has when it has applied the first `count` payloads in order.
    pub(crate) fn expected(group: u64, count: u64) -> Self {
        let mut applied = Self::default();
        for number in 0..count {
            applied.take(&payload(group, number));
        }
        applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_number_of_payloads_are_seen() {
        let mut swapped = Applied::default();
        for number in [0, 2, 1] {
            swapped.take(&payload(7, number));
        }
        let expected = Applied::expected(7, 3);
        assert_eq!(swapped.count, expected.count);
        assert_ne!(swapped.digest, expected.digest);
        assert_ne!(Applied::expected(8, 3).digest, expected.digest);
        swapped.take(b"");
        swapped.take(&[0; PAYLOAD_BYTES + 1]);
        assert_eq!(swapped.count, 3);
    }
}
