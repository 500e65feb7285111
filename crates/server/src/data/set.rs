//! SET and its relatives, parsed.

use super::CommandError;
use super::time::{Time, Unit, positive_millis};
use crate::resp::Args;

/// On what the write depends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// NX: the key must not exist.
    IfAbsent,
    /// XX: the key must exist.
    IfPresent,
}

/// What becomes of the key's time to live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// It has none afterwards.
    Clear,
    /// KEEPTTL: it stays as it is.
    Keep,
    /// EXAT, PXAT: the moment in milliseconds since 1970; positive.
    At(i64),
    /// EX, PX: that many milliseconds from the group's time; positive.
    After(i64),
}

/// What the client wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetReply {
    /// `OK`, or null if the condition did not hold.
    Done,
    /// GET: the value before, or null.
    Old,
    /// 1, or 0 if the condition did not hold.
    Flag,
}

/// A value for one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Set<'a> {
    /// How the client called it, for errors that show only when it is applied.
    pub command: &'static str,
    /// The key.
    pub key: &'a [u8],
    /// Its value to be.
    pub value: &'a [u8],
    /// On what it depends.
    pub condition: Option<Condition>,
    /// What becomes of the time to live.
    pub expiry: Expiry,
    /// What the client wants to know.
    pub reply: SetReply,
}

impl<'a> Set<'a> {
    /// `SET key value [NX|XX] [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL]`
    ///
    /// # Errors
    /// [`CommandError::Syntax`] for unknown or contradicting options, and whatever is wrong with
    /// the time.
    pub fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut set = Self::plain("set", args.at(1), args.at(2));
        let mut time: Option<Time<'_>> = None;
        let mut rest = args.from(3);
        while let Some(option) = rest.next() {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            let at_most_one = |wanted| set.condition.is_none_or(|condition| condition == wanted);
            if is("NX") && at_most_one(Condition::IfAbsent) {
                set.condition = Some(Condition::IfAbsent);
            } else if is("XX") && at_most_one(Condition::IfPresent) {
                set.condition = Some(Condition::IfPresent);
            } else if is("GET") {
                set.reply = SetReply::Old;
            } else if is("KEEPTTL") && time.is_none() {
                set.expiry = Expiry::Keep;
            } else {
                let given = Time::parse(option, &mut rest)?;
                if set.expiry == Expiry::Keep {
                    return Err(CommandError::Syntax);
                }
                time = Some(time.map_or(Ok(given), |before| before.again(given))?);
            }
        }
        if let Some(time) = time {
            let millis = time.millis(set.command)?;
            set.expiry = if time.is_absolute { Expiry::At(millis) } else { Expiry::After(millis) };
        }
        Ok(set)
    }

    /// `SETNX key value`
    ///
    /// # Errors
    /// None.
    pub fn parse_setnx(args: Args<'a>) -> Result<Self, CommandError> {
        let condition = Some(Condition::IfAbsent);
        let reply = SetReply::Flag;
        Ok(Self { condition, reply, ..Self::plain("setnx", args.at(1), args.at(2)) })
    }

    /// `SETEX key seconds value`
    ///
    /// # Errors
    /// What is wrong with the time.
    pub fn parse_setex(args: Args<'a>) -> Result<Self, CommandError> {
        Self::with_time("setex", args, Unit::Seconds)
    }

    /// `PSETEX key milliseconds value`
    ///
    /// # Errors
    /// What is wrong with the time.
    pub fn parse_psetex(args: Args<'a>) -> Result<Self, CommandError> {
        Self::with_time("psetex", args, Unit::Millis)
    }

    /// `GETSET key value`
    ///
    /// # Errors
    /// None.
    pub fn parse_getset(args: Args<'a>) -> Result<Self, CommandError> {
        Ok(Self { reply: SetReply::Old, ..Self::plain("getset", args.at(1), args.at(2)) })
    }

    fn with_time(command: &'static str, args: Args<'a>, unit: Unit) -> Result<Self, CommandError> {
        let expiry = Expiry::After(positive_millis(args.at(2), unit, command)?);
        Ok(Self { expiry, ..Self::plain(command, args.at(1), args.at(3)) })
    }

    pub(crate) const fn plain(command: &'static str, key: &'a [u8], value: &'a [u8]) -> Self {
        let (condition, expiry, reply) = (None, Expiry::Clear, SetReply::Done);
        Self { command, key, value, condition, expiry, reply }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Request;

    fn parse(text: &str) -> Result<(Option<Condition>, Expiry, SetReply), CommandError> {
        let words: Vec<&str> = text.split(' ').collect();
        let request = Request::of(&words);
        let set = Set::parse(request.args())?;
        Ok((set.condition, set.expiry, set.reply))
    }

    #[test]
    fn options_may_stand_in_any_order_and_case() {
        let plain = (None, Expiry::Clear, SetReply::Done);
        assert_eq!(parse("SET k v"), Ok(plain));
        let all = (Some(Condition::IfAbsent), Expiry::After(10_000), SetReply::Old);
        assert_eq!(parse("SET k v nx EX 10 get"), Ok(all));
        assert_eq!(parse("SET k v GET ex 10 NX NX"), Ok(all));
        assert_eq!(parse("SET k v PX 7").map(|set| set.1), Ok(Expiry::After(7)));
        assert_eq!(parse("SET k v EXAT 7").map(|set| set.1), Ok(Expiry::At(7000)));
        assert_eq!(parse("SET k v PXAT 7").map(|set| set.1), Ok(Expiry::At(7)));
        assert_eq!(parse("SET k v XX KEEPTTL").map(|set| set.1), Ok(Expiry::Keep));
        assert_eq!(parse("SET k v EX 1 EX 2").map(|set| set.1), Ok(Expiry::After(2000)));
    }

    #[test]
    fn contradictions_are_syntax_errors() {
        for text in [
            "SET k v NX XX",
            "SET k v XX NX",
            "SET k v EX 1 PX 1",
            "SET k v EX 1 KEEPTTL",
            "SET k v KEEPTTL EX 1",
            "SET k v EX",
            "SET k v PERSIST",
            "SET k v 10",
        ] {
            assert_eq!(parse(text), Err(CommandError::Syntax), "{text}");
        }
    }

    #[test]
    fn times_must_lie_ahead_and_fit() {
        let invalid = Err(CommandError::InvalidExpire { command: "set" });
        for text in ["SET k v EX 0", "SET k v PX -1", "SET k v EX 9223372036854775807"] {
            assert_eq!(parse(text), invalid, "{text}");
        }
        assert_eq!(parse("SET k v EX x"), Err(CommandError::NotInteger));
        // Contradictions are found before the time is looked at.
        assert_eq!(parse("SET k v EX x BAD"), Err(CommandError::Syntax));
    }
}
