//! Times as clients give them: units, spans and moments.

use super::CommandError;
use super::keyspace::UnixMillis;
use crate::resp::number::parse_integer;

/// The units in which times to live are given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// EX, EXAT, EXPIRE.
    Seconds,
    /// PX, PXAT, PEXPIRE.
    Millis,
}

/// A time option and what stands behind it, not looked at yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time<'a> {
    unit: Unit,
    /// Whether it is a moment rather than a span.
    pub(super) is_absolute: bool,
    amount: &'a [u8],
}

impl<'a> Time<'a> {
    /// `EX`, `PX`, `EXAT` or `PXAT` with the argument behind it.
    ///
    /// # Errors
    /// [`CommandError::Syntax`] for another option, or nothing behind it.
    pub(super) fn parse(
        option: &[u8],
        rest: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, CommandError> {
        const OPTIONS: [(&str, Unit, bool); 4] = [
            ("EX", Unit::Seconds, false),
            ("PX", Unit::Millis, false),
            ("EXAT", Unit::Seconds, true),
            ("PXAT", Unit::Millis, true),
        ];
        let is_called =
            |(name, ..): &&(&str, Unit, bool)| option.eq_ignore_ascii_case(name.as_bytes());
        let (_, unit, is_absolute) = *OPTIONS.iter().find(is_called).ok_or(CommandError::Syntax)?;
        let amount = rest.next().ok_or(CommandError::Syntax)?;
        Ok(Self { unit, is_absolute, amount })
    }

    /// The later of two, which must be given by the same option.
    ///
    /// # Errors
    /// [`CommandError::Syntax`].
    pub(super) fn again(self, later: Self) -> Result<Self, CommandError> {
        let is_same = (self.unit, self.is_absolute) == (later.unit, later.is_absolute);
        if is_same { Ok(later) } else { Err(CommandError::Syntax) }
    }

    /// The span or moment in milliseconds, which must be positive.
    ///
    /// # Errors
    /// [`CommandError::NotInteger`] or [`CommandError::InvalidExpire`].
    pub(super) fn millis(self, command: &'static str) -> Result<i64, CommandError> {
        positive_millis(self.amount, self.unit, command)
    }

    /// The moment that is meant at `now`, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`CommandError::NotInteger`] or [`CommandError::InvalidExpire`].
    pub(super) fn moment(
        self,
        command: &'static str,
        now: UnixMillis,
    ) -> Result<i64, CommandError> {
        let millis = self.millis(command)?;
        if self.is_absolute {
            return Ok(millis);
        }
        now.signed().checked_add(millis).ok_or(CommandError::InvalidExpire { command })
    }
}

/// A time that must lie ahead, in milliseconds.
pub(super) fn positive_millis(
    text: &[u8],
    unit: Unit,
    command: &'static str,
) -> Result<i64, CommandError> {
    let amount = parse_integer(text).ok_or(CommandError::NotInteger)?;
    unit.to_millis(amount)
        .filter(|millis| *millis > 0)
        .ok_or(CommandError::InvalidExpire { command })
}

impl Unit {
    /// That many units in milliseconds; nothing if it does not fit.
    pub const fn to_millis(self, amount: i64) -> Option<i64> {
        match self {
            Self::Seconds => amount.checked_mul(1000),
            Self::Millis => Some(amount),
        }
    }

    /// Milliseconds in this unit, seconds rounded to the nearest.
    pub fn from_millis(self, millis: i64) -> i64 {
        match self {
            Self::Seconds => millis / 1000 + i64::from(millis % 1000 >= 500),
            Self::Millis => millis,
        }
    }
}
