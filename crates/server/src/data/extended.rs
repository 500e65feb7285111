//! Floating-point numbers of 80 bits: those in which Redis on x86-64 counts `INCRBYFLOAT` and
//! `HINCRBYFLOAT`, done in software so that every machine comes to the same bits.
//!
//! A number is read, added and written exactly as the C library of Debian does it with a `long
//! double`: 64 bits of mantissa, rounded to the nearest and of two equally near to the even one;
//! written as `%.17Lf` without the zeros at its end. There is no difference between 0 and -0, since
//! neither text nor sums show one.

use super::big::Big;

/// Redis reads no number of as many characters.
const TEXT_BYTES_MAX: usize = 5 * 1024;
/// The exponent of the lowest bit of numbers next to 0, and of 0.
const EXPONENT_MIN: i32 = -16_445;
/// The exponent of the lowest bit of the largest numbers.
const EXPONENT_MAX: i32 = 16_383 - 63;
/// Numbers have at most so many digits before the point, and at most so many zeros behind it.
const DECIMAL_EXPONENT_MAX: i64 = 4_960;
/// Beyond this, exponents are all the same: too large. Larger than what any text can outweigh.
const EXPONENT_READ_MAX: i64 = 1_000_000;
/// How many digits stand behind the point, and ten to that power.
const FRACTION_DIGITS: usize = 17;
const FRACTION_TENS: u128 = 10_u128.pow(17);
/// The largest power of five in 64 bits, and which one it is.
const FIVES: u64 = 5_u64.pow(27);
const FIVES_POWER: usize = 27;
/// How many bits are kept below the mantissas of a sum.
const GUARD_BITS: u32 = 62;

/// A number, or infinity.
///
/// Invariant: zero is not negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extended {
    is_negative: bool,
    size: Size,
}

/// How far from zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Size {
    Finite(Finite),
    Infinite,
}

/// `mantissa` times two to the power of `exponent`; ordered by size.
///
/// Invariant: the highest bit of the mantissa is 1 unless the exponent is [`EXPONENT_MIN`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Finite {
    exponent: i32,
    mantissa: u64,
}

impl Size {
    const ZERO: Self = Self::Finite(Finite { exponent: EXPONENT_MIN, mantissa: 0 });
}

impl Extended {
    /// Nothing.
    pub const ZERO: Self = Self { is_negative: false, size: Size::ZERO };

    /// Reads a whole text as `strtold` does: decimal or with `0x` hexadecimal, with or without
    /// point and exponent; `inf` and `infinity` too. Nothing for anything else, blanks included,
    /// for what is too large, and for what is not zero but nearer to it than any other number.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let (is_negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Some(Self { is_negative, size: Size::Infinite });
        }
        let (size, is_zero) = match text {
            [b'0', b'x' | b'X', rest @ ..] => read_hexadecimal(rest)?,
            rest => read_decimal(rest)?,
        };
        let is_in_range = size != Size::Infinite && is_zero == (size == Size::ZERO);
        is_in_range.then_some(Self { is_negative: is_negative && !is_zero, size })
    }

    /// Whether it is a number rather than infinity.
    pub const fn is_finite(self) -> bool {
        matches!(self.size, Size::Finite(_))
    }

    /// The nearest number to the sum; nothing if one of the two or that is infinite.
    pub fn plus(self, other: Self) -> Option<Self> {
        let (one, two) = (self.finite()?, other.finite()?);
        // By size: since a mantissa is as long as it can be, the larger exponent is the larger
        // number.
        let ((large, small), is_negative) = if one >= two {
            ((one, two), self.is_negative)
        } else {
            ((two, one), other.is_negative)
        };
        // So many bits below the mantissa are more than rounding looks at; what is below them
        // counts only as being there.
        let distance = large.exponent.abs_diff(small.exponent);
        let small_bits = u128::from(small.mantissa) << GUARD_BITS;
        let aligned = small_bits.checked_shr(distance).unwrap_or(0);
        let below = aligned.checked_shl(distance).unwrap_or(0) != small_bits;
        let large_bits = u128::from(large.mantissa) << GUARD_BITS;
        let bits = if self.is_negative == other.is_negative {
            large_bits + aligned
        } else {
            large_bits - aligned - u128::from(below)
        };
        let size = rounded(bits, i64::from(large.exponent) - i64::from(GUARD_BITS), below);
        let sum = Self { is_negative: is_negative && bits != 0, size };
        sum.is_finite().then_some(sum)
    }

    /// As `%.17Lf` writes it, without zeros at the end of the fraction, without a point if nothing
    /// is left of that, and without a sign if nothing is left of the number.
    pub fn to_text(self) -> String {
        let sign = if self.is_negative { "-" } else { "" };
        let Some(Finite { exponent, mantissa }) = self.finite() else {
            return format!("{sign}inf");
        };
        if let Ok(bits) = usize::try_from(exponent) {
            return format!("{sign}{}", Big::shifted(mantissa, bits).into_decimal());
        }
        // Below 2^121, so that nothing is lost.
        let scaled = u128::from(mantissa) * FRACTION_TENS;
        let scaled = shifted_right(scaled, exponent.unsigned_abs().into(), false);
        if scaled == 0 {
            return "0".to_owned();
        }
        let fraction = format!("{:0FRACTION_DIGITS$}", scaled % FRACTION_TENS);
        let text = format!("{sign}{}.{fraction}", scaled / FRACTION_TENS);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    const fn finite(self) -> Option<Finite> {
        match self.size {
            Size::Finite(finite) => Some(finite),
            Size::Infinite => None,
        }
    }
}

/// `digits[.digits][e[+-]digits]`: the size nearest to it, and whether it is zero.
fn read_decimal(text: &[u8]) -> Option<(Size, bool)> {
    let (number, exponent) = split_exponent(text, b'e')?;
    let (digits, behind_point) = split_point(number, |digit| digit.is_ascii_digit())?;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = &digits[zeros..];
    let exponent = exponent - i64::try_from(behind_point).ok()?;
    let magnitude = exponent + i64::try_from(digits.len()).ok()?;
    if digits.is_empty() {
        return Some((Size::ZERO, true));
    }
    if magnitude > DECIMAL_EXPONENT_MAX {
        return Some((Size::Infinite, false));
    }
    if magnitude < -DECIMAL_EXPONENT_MAX {
        return Some((Size::ZERO, false));
    }
    let mut value = Big::of_digits(digits);
    let tens = usize::try_from(exponent.unsigned_abs()).ok()?;
    if exponent >= 0 {
        value.multiply_by_tens(tens);
        let (top, dropped, below) = value.top();
        return Some((rounded(top, i64::try_from(dropped).ok()?, below), false));
    }
    // 10^tens is 5^tens shifted by as many bits. What is divided is made longer than the quotient
    // has to be; log2(5) is less than 7/3.
    let shift = (tens * 7 / 3 + 130).saturating_sub(value.bits());
    value.shift_left(shift);
    let mut below = false;
    for _ in 0..tens / FIVES_POWER {
        below |= value.divide(FIVES) != 0;
    }
    for _ in 0..tens % FIVES_POWER {
        below |= value.divide(5) != 0;
    }
    let (top, dropped, dropped_below) = value.top();
    let exponent = i64::try_from(dropped).ok()? - i64::try_from(shift + tens).ok()?;
    Some((rounded(top, exponent, below || dropped_below), false))
}

/// `digits[.digits][p[+-]digits]` in base 16, the exponent a power of two.
fn read_hexadecimal(text: &[u8]) -> Option<(Size, bool)> {
    let (number, exponent) = split_exponent(text, b'p')?;
    let (digits, behind_point) = split_point(number, |digit| digit.is_ascii_hexdigit())?;
    let mut exponent = exponent - 4 * i64::try_from(behind_point).ok()?;
    let (mut bits, mut below) = (0_u128, false);
    for digit in digits {
        let value = char::from(digit).to_digit(16)?;
        if bits >> 124 == 0 {
            bits = bits << 4 | u128::from(value);
        } else {
            exponent += 4;
            below |= value != 0;
        }
    }
    Some((rounded(bits, exponent, below), bits == 0))
}

/// What stands before an exponent, and the exponent, which is 0 if there is none.
fn split_exponent(text: &[u8], mark: u8) -> Option<(&[u8], i64)> {
    let Some(at) = text.iter().position(|byte| byte.eq_ignore_ascii_case(&mark)) else {
        return Some((text, 0));
    };
    let (is_negative, digits) = match &text[at + 1..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: i64, digit: &u8| (sum * 10 + i64::from(digit - b'0')).min(EXPONENT_READ_MAX);
    let exponent = digits.iter().fold(0, add);
    Some((&text[..at], if is_negative { -exponent } else { exponent }))
}

/// All digits, at least one, and how many of them stand behind the point.
fn split_point(text: &[u8], is_digit: impl Fn(&u8) -> bool) -> Option<(Vec<u8>, usize)> {
    let point = text.iter().position(|byte| *byte == b'.');
    let (before, behind) = match point {
        None => (text, &[][..]),
        Some(at) => (&text[..at], &text[at + 1..]),
    };
    let digits = [before, behind].concat();
    (!digits.is_empty() && digits.iter().all(is_digit)).then_some((digits, behind.len()))
}

/// The size nearest to `bits` times two to the power of `exponent`, and a little more if something
/// is `below`. If so, `bits` has at least 66.
fn rounded(bits: u128, exponent: i64, below: bool) -> Size {
    if bits == 0 {
        return Size::ZERO;
    }
    let length = 128 - i64::from(bits.leading_zeros());
    let shift = (length - 64).max(i64::from(EXPONENT_MIN) - exponent);
    let (bits, exponent) = match u64::try_from(shift) {
        Ok(shift) => (shifted_right(bits, shift, below), exponent.saturating_add_unsigned(shift)),
        Err(_) => (bits << shift.unsigned_abs(), exponent + shift),
    };
    // Rounding up may have made one bit more: a 1 with zeros behind it.
    let is_longer = bits >> 64 != 0;
    let (bits, exponent) = if is_longer { (bits >> 1, exponent + 1) } else { (bits, exponent) };
    match (u64::try_from(bits), i32::try_from(exponent)) {
        (Ok(mantissa), Ok(exponent)) if exponent <= EXPONENT_MAX => {
            Size::Finite(Finite { exponent, mantissa })
        }
        _ => Size::Infinite,
    }
}

/// `bits`, and a little more if something is `below`, without the lowest so many bits: the nearest
/// number, and of two equally near the even one.
fn shifted_right(bits: u128, shift: u64, below: bool) -> u128 {
    let Some(last) = shift.checked_sub(1) else {
        return bits;
    };
    let shifted = |by: u64| u32::try_from(by).ok().and_then(|by| bits.checked_shr(by)).unwrap_or(0);
    let kept = shifted(shift);
    let is_half = shifted(last) & 1 == 1;
    let is_more = below || (is_half && bits.trailing_zeros() < u32::try_from(last).unwrap_or(0));
    kept + u128::from(is_half && (is_more || kept & 1 == 1))
}

#[cfg(test)]
#[path = "extended_tests.rs"]
mod tests;
