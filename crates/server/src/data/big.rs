//! Whole numbers of any length, with the few operations that reading and writing floating-point
//! numbers exactly takes.

/// The most decimal digits that a limb holds at once.
const LIMB_DIGITS: usize = 19;
/// Ten to that power.
const LIMB_TENS: u64 = 10_u64.pow(19);

/// A whole number, not negative: limbs of 64 bits, the lowest first.
///
/// Invariant: the highest limb is not 0; zero has no limbs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Big(Vec<u64>);

impl Big {
    /// The number that these digits say; each is the character of one.
    pub(super) fn of_digits(digits: &[u8]) -> Self {
        let mut big = Self(Vec::new());
        for chunk in digits.chunks(LIMB_DIGITS) {
            let value = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
            let tens = (1..=chunk.len()).fold(1_u64, |tens, _| tens * 10);
            big.multiply_add(tens, chunk.iter().fold(0, value));
        }
        big
    }

    /// That number with so many zero bits behind it.
    pub(super) fn shifted(value: u64, bits: usize) -> Self {
        let mut big = Self(Vec::new());
        big.multiply_add(1, value);
        big.shift_left(bits);
        big
    }

    /// How many bits it has, the highest being 1.
    pub(super) fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| self.0.len() * 64 - count(top.leading_zeros()))
    }

    /// Multiplies by `factor`, then adds `term`.
    pub(super) fn multiply_add(&mut self, factor: u64, term: u64) {
        let mut carry = u128::from(term);
        for limb in &mut self.0 {
            carry += u128::from(*limb) * u128::from(factor);
            *limb = low(carry);
            carry >>= 64;
        }
        if carry > 0 {
            self.0.push(low(carry));
        }
        self.trim();
    }

    /// Multiplies by ten, so many times.
    pub(super) fn multiply_by_tens(&mut self, times: usize) {
        for _ in 0..times / LIMB_DIGITS {
            self.multiply_add(LIMB_TENS, 0);
        }
        for _ in 0..times % LIMB_DIGITS {
            self.multiply_add(10, 0);
        }
    }

    /// Divides by `divisor`, rounding down, and tells the remainder.
    pub(super) fn divide(&mut self, divisor: u64) -> u64 {
        let mut rest = 0;
        for limb in self.0.iter_mut().rev() {
            let value = u128::from(rest) << 64 | u128::from(*limb);
            *limb = low(value / u128::from(divisor));
            rest = low(value % u128::from(divisor));
        }
        self.trim();
        rest
    }

    /// Multiplies by two, so many times.
    pub(super) fn shift_left(&mut self, bits: usize) {
        if self.0.is_empty() {
            return;
        }
        self.multiply_add(1 << (bits % 64), 0);
        self.0.splice(..0, std::iter::repeat_n(0, bits / 64));
    }

    /// Its highest 128 bits, how many are below them, and whether any of those is 1.
    pub(super) fn top(&self) -> (u128, usize, bool) {
        let dropped = self.bits().saturating_sub(128);
        let (limbs, bits) = (dropped / 64, dropped % 64);
        let limb = |at: usize| u128::from(self.0.get(limbs + at).copied().unwrap_or(0));
        let mut top = limb(0) >> bits | limb(1) << (64 - bits);
        if bits > 0 {
            top |= limb(2) << (128 - bits);
        }
        let below = self.0.iter().take(limbs).any(|limb| *limb != 0);
        (top, dropped, below || limb(0) & ((1 << bits) - 1) != 0)
    }

    /// In decimal.
    pub(super) fn into_decimal(mut self) -> String {
        let mut chunks = Vec::new();
        while !self.0.is_empty() {
            chunks.push(self.divide(LIMB_TENS));
        }
        let mut text = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:019}"));
        }
        text
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

/// The low half.
fn low(value: u128) -> u64 {
    u64::try_from(value & u128::from(u64::MAX)).expect("all higher bits were cleared")
}

fn count(bits: u32) -> usize {
    usize::try_from(bits).expect("a limb has 64 bits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(value: u128) -> Big {
        Big::of_digits(value.to_string().as_bytes())
    }

    proptest! {
        #[test]
        fn digits_are_read_and_written(digits in "[1-9][0-9]{0,120}") {
            prop_assert_eq!(Big::of_digits(digits.as_bytes()).into_decimal(), digits);
        }

        #[test]
        fn arithmetic_is_that_of_128_bits(value: u128, factor in 1_u64.., term: u64) {
            prop_assert_eq!(of(value).into_decimal(), value.to_string());
            let half = value >> 64;
            let mut product = of(half);
            product.multiply_add(factor, term);
            prop_assume!(half.checked_mul(factor.into()).and_then(|it| it.checked_add(term.into())).is_some());
            prop_assert_eq!(product, of(half * u128::from(factor) + u128::from(term)));
            let mut quotient = of(value);
            let rest = quotient.divide(factor);
            prop_assert_eq!(quotient, of(value / u128::from(factor)));
            prop_assert_eq!(u128::from(rest), value % u128::from(factor));
        }

        #[test]
        fn the_top_is_what_was_shifted_up(value: u128, shift in 0_usize..400, low in 0_u64..2) {
            let mut big = of(value);
            big.shift_left(shift);
            prop_assert_eq!(big.bits(), if value == 0 { 0 } else { count(128 - value.leading_zeros()) + shift });
            big.multiply_add(1, low);
            let (top, dropped, below) = big.top();
            let mut back = of(top);
            back.shift_left(dropped);
            prop_assert_eq!(below, back != big);
            prop_assert!(dropped == 0 || top >> 127 == 1);
        }
    }

    #[test]
    fn zero_is_zero() {
        assert_eq!(of(0).into_decimal(), "0");
        assert_eq!(of(0).top(), (0, 0, false));
        assert_eq!(Big::shifted(3, 65).into_decimal(), (3_u128 << 65).to_string());
    }
}
