//! The arguments of a command, from one line of text.
//!
//! `key value [NX|XX] [EX seconds]`: a word in lower case is an argument, one in upper case stands
//! there as it is. `[..]` may be left out, `(..)` may not, `a|b` is one of them, and `...` behind a
//! word or a bracket means one or more of it. A word has a type by its name, or behind a colon;
//! `name=` before a bracket names what it holds.

use std::iter::Peekable;

/// One argument, or several that belong together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Argument {
    /// What it is called.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// The word that stands before it, or is it.
    pub(crate) token: Option<&'static str>,
    /// Whether it may be left out.
    pub(crate) is_optional: bool,
    /// Whether there may be several.
    pub(crate) is_multiple: bool,
    /// What it is one of, or consists of.
    pub(crate) parts: Vec<Self>,
}

/// What an argument is, in Redis's terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Key,
    Text,
    Integer,
    Double,
    UnixTime,
    Pattern,
    Token,
    OneOf,
    Block,
}

impl Kind {
    /// What COMMAND DOCS calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Text => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::UnixTime => "unix-time",
            Self::Pattern => "pattern",
            Self::Token => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }

    /// The type of an argument of that name.
    fn of(name: &str) -> Self {
        match name {
            "key" | "newkey" | "source" | "destination" | "destkey" => Self::Key,
            "bit" | "count" | "cursor" | "decrement" | "destination-db" | "end" | "group"
            | "increment" | "index" | "milliseconds" | "node" | "numreplicas" | "offset"
            | "protover" | "seconds" | "slot" | "start" | "timeout" => Self::Integer,
            "unix-time-seconds" | "unix-time-milliseconds" => Self::UnixTime,
            "pattern" => Self::Pattern,
            _ => Self::Text,
        }
    }
}

/// Reads a line; one that is not written as above is our mistake, and panics.
pub(crate) fn parse(line: &'static str) -> Vec<Argument> {
    let mut words = split(line).into_iter().peekable();
    let arguments = sequence(&mut words);
    assert_eq!(words.next(), None, "{line:?} goes on behind its end");
    arguments
}

/// Words and signs.
fn split(line: &'static str) -> Vec<&'static str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let is_sign = rest.starts_with(['[', ']', '(', ')', '|', '=']);
        let len = match rest.strip_prefix("...") {
            Some(_) => 3,
            None if is_sign => 1,
            None => rest.find([' ', '[', ']', '(', ')', '|', '=', '.']).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(len);
        words.push(word);
        rest = after.trim_start();
    }
    words
}

type Words = Peekable<std::vec::IntoIter<&'static str>>;

/// Arguments up to a closing bracket, a bar or the end.
fn sequence(words: &mut Words) -> Vec<Argument> {
    let mut arguments = Vec::new();
    while words.peek().is_some_and(|word| !matches!(*word, "]" | ")" | "|")) {
        arguments.push(argument(words));
    }
    arguments
}

fn argument(words: &mut Words) -> Argument {
    let first = words.next().unwrap_or_default();
    let mut argument = match first {
        "[" | "(" => bracket(first, None, words),
        name if words.next_if_eq(&"=").is_some() => {
            let opening = words.next().unwrap_or_default();
            bracket(opening, Some(name), words)
        }
        name => plain(name),
    };
    argument.is_multiple |= words.next_if_eq(&"...").is_some();
    argument
}

/// What stands in a bracket that has been opened.
fn bracket(opening: &str, name: Option<&str>, words: &mut Words) -> Argument {
    let mut choices = vec![together(sequence(words))];
    while words.next_if_eq(&"|").is_some() {
        choices.push(together(sequence(words)));
    }
    let (is_optional, closing) = if opening == "[" { (true, "]") } else { (false, ")") };
    assert_eq!(words.next(), Some(closing), "a bracket is not closed");
    let mut argument = if choices.len() == 1 {
        choices.remove(0)
    } else {
        Argument { kind: Kind::OneOf, parts: choices, ..plain("option") }
    };
    if let Some(name) = name {
        name.clone_into(&mut argument.name);
    }
    Argument { is_optional, ..argument }
}

/// Arguments that come together: a word in upper case belongs to what follows it.
fn together(mut arguments: Vec<Argument>) -> Argument {
    assert!(!arguments.is_empty(), "a bracket holds nothing");
    let token = match &arguments[..] {
        [first, _, ..] if first.kind == Kind::Token => arguments.remove(0).token,
        _ => None,
    };
    if arguments.len() == 1 {
        let argument = arguments.remove(0);
        return Argument { token: token.or(argument.token), ..argument };
    }
    let names: Vec<&str> = arguments.iter().map(|part| &part.name[..]).collect();
    let name = names.join("_");
    Argument { name, kind: Kind::Block, token, parts: arguments, ..plain("") }
}

fn plain(word: &'static str) -> Argument {
    let (name, kind) = match word.split_once(':') {
        Some((name, "double")) => (name, Kind::Double),
        Some((name, "integer")) => (name, Kind::Integer),
        Some((name, _)) => (name, Kind::Text),
        None if word.starts_with(|first: char| first.is_ascii_uppercase()) => (word, Kind::Token),
        None => (word, Kind::of(word)),
    };
    let token = (kind == Kind::Token).then_some(word);
    let name = name.to_ascii_lowercase();
    Argument { name, kind, token, is_optional: false, is_multiple: false, parts: Vec::new() }
}

impl Argument {
    /// How many words it takes at least, and at most if there is a most.
    #[cfg(test)]
    pub(crate) fn words(&self) -> (usize, Option<usize>) {
        let parts = || self.parts.iter().map(Self::words);
        let all = |counts: Vec<Option<usize>>| counts.into_iter().collect::<Option<Vec<usize>>>();
        let most: Vec<Option<usize>> = parts().map(|(_, most)| most).collect();
        let (least, most) = match self.kind {
            Kind::Token => (0, Some(0)),
            Kind::OneOf => {
                let least = parts().map(|(least, _)| least).min().unwrap_or(0);
                (least, all(most).map(|most| most.into_iter().max().unwrap_or(0)))
            }
            Kind::Block => {
                let least = parts().map(|(least, _)| least).sum();
                (least, all(most).map(|most| most.into_iter().sum()))
            }
            Kind::Key
            | Kind::Text
            | Kind::Integer
            | Kind::Double
            | Kind::UnixTime
            | Kind::Pattern => (1, Some(1)),
        };
        let token = usize::from(self.token.is_some());
        let least = if self.is_optional { 0 } else { least + token };
        (least, most.filter(|_| !self.is_multiple).map(|most| most + token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An argument in one line, so that it can be compared.
    fn told(argument: &Argument) -> String {
        let Argument { name, kind, token, is_optional, is_multiple, parts } = argument;
        let token = token.map_or_else(String::new, |token| format!(" {token}"));
        let flags = [(is_optional, " optional"), (is_multiple, " multiple")];
        let flags: String =
            flags.into_iter().filter(|(is, _)| **is).map(|(_, flag)| flag).collect();
        let parts: Vec<String> = parts.iter().map(told).collect();
        let parts =
            if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        format!("{name}:{}{token}{flags}{parts}", kind.name())
    }

    #[track_caller]
    fn assert_read(line: &'static str, expected: &[&str]) {
        let read: Vec<String> = parse(line).iter().map(told).collect();
        assert_eq!(read, expected, "{line}");
    }

    #[test]
    fn lines_are_read() {
        assert_read("", &[]);
        assert_read("key value", &["key:key", "value:string"]);
        assert_read("key...", &["key:key multiple"]);
        let pair = "key_value:block multiple (key:key, value:string)";
        assert_read("(key value)...", &[pair]);
        let condition = "condition:oneof optional (nx:pure-token NX, xx:pure-token XX)";
        assert_read("condition=[NX|XX]", &[condition]);
        let expiration = "option:oneof (seconds:integer EX, keepttl:pure-token KEEPTTL)";
        assert_read("(EX seconds|KEEPTTL)", &[expiration]);
        assert_read("[COUNT count]", &["count:integer COUNT optional"]);
        let nested = "start_unit:block optional (start:integer, unit:oneof optional (byte:pure-token \
                      BYTE, bit:pure-token BIT))";
        assert_read("[start unit=[BYTE|BIT]]", &[nested]);
        let by = "by:oneof BY optional (m:string M, pattern:pattern)";
        assert_read("[BY by=(M m|pattern)]", &[by]);
        assert_read("[ID client-id...]", &["client-id:string ID optional multiple"]);
        assert_read("increment:double", &["increment:double"]);
    }

    #[test]
    fn words_are_counted() {
        let count = |line| {
            let all = parse(line);
            let least: usize = all.iter().map(|argument| argument.words().0).sum();
            let most: Option<Vec<usize>> = all.iter().map(|argument| argument.words().1).collect();
            (least, most.map(|most| most.into_iter().sum::<usize>()))
        };
        assert_eq!(count("key value"), (2, Some(2)));
        assert_eq!(count("key..."), (1, None));
        assert_eq!(count("key [EX seconds|KEEPTTL]"), (1, Some(3)));
        assert_eq!(count("(ON|OFF)"), (1, Some(1)));
        assert_eq!(count("(key value)... [BY by=(M m|P)]"), (2, None));
    }
}
