//! COMMAND: the table, told to clients. Cluster clients find the keys of a command by it.

use super::service::Ask;
use crate::command::arguments::arguments;
use crate::command::spec::{Command, Flags, Group, Keys, Work};
use crate::command::syntax::{Argument, Kind};
use crate::command::{COMMANDS, find_named, find_row};
use crate::data::{CommandError, glob};
use crate::resp::{Args, Reply};

/// `COMMAND`
pub(crate) fn command(_: &mut Ask<'_>, _: Args<'_>) -> Reply {
    Reply::Array(COMMANDS.iter().map(describe).collect())
}

/// `COMMAND COUNT`
pub(crate) fn count(_: &mut Ask<'_>, _: Args<'_>) -> Reply {
    Reply::count(COMMANDS.len())
}

/// `COMMAND INFO [name ...]`
pub(crate) fn command_info(_: &mut Ask<'_>, args: Args<'_>) -> Reply {
    if args.len() == 2 {
        return Reply::Array(COMMANDS.iter().map(describe).collect());
    }
    Reply::Array(args.from(2).map(|name| named(name).map_or(Reply::Null, describe)).collect())
}

/// `COMMAND DOCS [name ...]`
pub(crate) fn docs(_: &mut Ask<'_>, args: Args<'_>) -> Reply {
    let all = args.len() == 2;
    let chosen: Vec<&Command> =
        if all { COMMANDS.iter().collect() } else { args.from(2).filter_map(named).collect() };
    Reply::Map(chosen.into_iter().map(document).collect())
}

/// `COMMAND GETKEYS name [argument ...]`
pub(crate) fn getkeys(_: &mut Ask<'_>, args: Args<'_>) -> Reply {
    let args = args.skip(2);
    let Ok(command) = find_named(args) else {
        return Reply::error("ERR Invalid command specified");
    };
    if command.keys == Keys::None {
        return Reply::error("ERR The command has no key arguments");
    }
    if !command.takes(args.len()) {
        return Reply::error("ERR Invalid number of arguments specified for command");
    }
    Reply::Array(command.keys.of(args).map(Reply::text).collect())
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
pub(crate) fn list(_: &mut Ask<'_>, args: Args<'_>) -> Reply {
    let is = |at: usize, name: &str| {
        args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(name.as_bytes()))
    };
    let wanted: Box<dyn Fn(&&Command) -> bool> = match args.len() {
        2 => Box::new(|_| true),
        5 if is(2, "filterby") && is(3, "module") => Box::new(|_| false),
        5 if is(2, "filterby") && is(3, "pattern") => {
            let pattern = args.at(4).to_ascii_lowercase();
            Box::new(move |command| glob::matches(&pattern, command.name.as_bytes()))
        }
        5 if is(2, "filterby") && is(3, "aclcat") => {
            let category = String::from_utf8_lossy(args.at(4)).to_ascii_lowercase();
            Box::new(move |command| {
                categories(command).any(|name| name.strip_prefix('@') == Some(&category))
            })
        }
        _ => return CommandError::Syntax.into(),
    };
    Reply::Array(
        COMMANDS.iter().filter(|row| wanted(row)).map(|row| Reply::text(row.name)).collect(),
    )
}

/// `CLIENT HELP`, `CLUSTER HELP` and so on: the subcommands of whatever was asked.
pub(crate) fn help(_: &mut Ask<'_>, args: Args<'_>) -> Reply {
    let Some(command) = find_row(COMMANDS, args.at(0)) else {
        return Reply::Array(Vec::new());
    };
    let name = command.name.to_ascii_uppercase();
    let title = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let mut lines = vec![Reply::Status(title.into())];
    for subcommand in command.subcommands {
        lines.push(Reply::Status(own_name(subcommand).to_ascii_uppercase().into()));
        lines.push(Reply::Status(format!("    {}", subcommand.summary).into()));
    }
    Reply::Array(lines)
}

/// A command by its name, a subcommand by `command|subcommand`.
fn named(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|byte| *byte == b'|') {
        None => find_row(COMMANDS, name),
        Some(bar) => find_row(find_row(COMMANDS, &name[..bar])?.subcommands, name),
    }
}

fn own_name(command: &Command) -> &'static str {
    command.name.split_once('|').map_or(command.name, |(_, own)| own)
}

/// The ten fields that COMMAND gives for each.
fn describe(command: &Command) -> Reply {
    let (first, last, step) = command.keys.range();
    // Redis writes a set only while it is empty.
    let subcommands = match command.subcommands {
        [] => Reply::Set(Vec::new()),
        subcommands => Reply::Array(subcommands.iter().map(describe).collect()),
    };
    Reply::Array(vec![
        Reply::text(command.name),
        Reply::Integer(command.arity),
        words(command.flags.names()),
        Reply::Integer(first),
        Reply::Integer(last),
        Reply::Integer(step),
        words(categories(command)),
        Reply::Set(command.tips.iter().map(Reply::text).collect()),
        Reply::Set(key_specs(command)),
        subcommands,
    ])
}

fn words(words: impl Iterator<Item = &'static str>) -> Reply {
    Reply::Set(words.map(|word| Reply::Status(word.into())).collect())
}

/// The groups of commands that Redis would permit or forbid together.
fn categories(command: &Command) -> impl Iterator<Item = &'static str> {
    let has = |flag| command.flags.has(flag);
    let is_callable = !matches!(command.work, Work::Subcommand);
    let touches_keys = matches!(command.group, Group::Generic | Group::Server)
        && (has(Flags::WRITE) || has(Flags::READONLY));
    [
        (touches_keys, "@keyspace"),
        (has(Flags::READONLY), "@read"),
        (has(Flags::WRITE), "@write"),
        (command.group == Group::Hash, "@hash"),
        (command.group == Group::String, "@string"),
        (command.group == Group::Bitmap, "@bitmap"),
        (has(Flags::ADMIN), "@admin"),
        (has(Flags::FAST), "@fast"),
        (!has(Flags::FAST), "@slow"),
        (has(Flags::ADMIN) || command.name == "info", "@dangerous"),
        (is_connection(command) && is_callable, "@connection"),
        (command.group == Group::Transactions, "@transaction"),
    ]
    .into_iter()
    .filter_map(|(applies, name)| applies.then_some(name))
}

fn is_connection(command: &Command) -> bool {
    const OTHERS: [&str; 4] = ["asking", "readonly", "readwrite", "wait"];
    let is_own = command.name == "command" || command.name.starts_with("command|");
    is_own || command.group == Group::Connection || OTHERS.contains(&command.name)
}

/// Where the keys are, in the words of Redis 7: as often as something else is done with them.
fn key_specs(command: &Command) -> Vec<Reply> {
    let (first, last, step) = command.keys.range();
    // A last key is counted from the first one here, not from the command's name.
    let last_from = |first| if last < 0 { last } else { last - first };
    let uses = command.key_use;
    if command.keys == Keys::None {
        return Vec::new();
    }
    if command.rest_use.is_empty() {
        return vec![key_spec(uses, first, last_from(first), step)];
    }
    let second = first + step;
    let rest = key_spec(command.rest_use, second, last_from(second), step);
    vec![key_spec(uses, first, 0, step), rest]
}

fn key_spec(uses: &'static [&'static str], first: i64, last: i64, step: i64) -> Reply {
    let number = |name: &str, value| (Reply::text(name), Reply::Integer(value));
    let spec = |kind: &str, fields| {
        Reply::Map(vec![
            (Reply::text("type"), Reply::text(kind)),
            (Reply::text("spec"), Reply::Map(fields)),
        ])
    };
    let range = vec![number("lastkey", last), number("keystep", step), number("limit", 0)];
    Reply::Map(vec![
        (Reply::text("flags"), words(uses.iter().copied())),
        (Reply::text("begin_search"), spec("index", vec![number("index", first)])),
        (Reply::text("find_keys"), spec("range", range)),
    ])
}

fn document(command: &Command) -> (Reply, Reply) {
    let mut fields = vec![
        (Reply::text("summary"), Reply::text(command.summary)),
        (Reply::text("since"), Reply::text(command.since)),
        (Reply::text("group"), Reply::text(command.group.name())),
        (Reply::text("complexity"), Reply::text(command.complexity)),
    ];
    let arguments = arguments(command);
    if !arguments.is_empty() {
        let mut keys = Keyed { has_rest: !command.rest_use.is_empty(), seen: 0 };
        let arguments = arguments.iter().map(|argument| tell(argument, &mut keys)).collect();
        fields.push((Reply::text("arguments"), Reply::Array(arguments)));
    }
    if !command.subcommands.is_empty() {
        let subcommands = command.subcommands.iter().map(document).collect();
        fields.push((Reply::text("subcommands"), Reply::Map(subcommands)));
    }
    (Reply::text(command.name), Reply::Map(fields))
}

/// Which of a command's key specifications an argument belongs to.
struct Keyed {
    /// Whether there is one for the first key and another for the rest.
    has_rest: bool,
    /// How many keys came before.
    seen: usize,
}

impl Keyed {
    fn next(&mut self) -> Reply {
        let index = usize::from(self.has_rest && self.seen > 0);
        self.seen += 1;
        Reply::count(index)
    }
}

/// One argument as COMMAND DOCS has it.
fn tell(argument: &Argument, keys: &mut Keyed) -> Reply {
    let Argument { name, kind, token, is_optional, is_multiple, parts } = argument;
    let text = |name: &str, value: &str| (Reply::text(name), Reply::text(value));
    let mut fields = vec![text("name", name), text("type", kind.name())];
    if *kind == Kind::Key {
        fields.push((Reply::text("key_spec_index"), keys.next()));
    }
    fields.extend(token.map(|token| text("token", token)));
    let flags = [(is_optional, "optional"), (is_multiple, "multiple")];
    let flags: Vec<&'static str> =
        flags.into_iter().filter(|(is, _)| **is).map(|(_, it)| it).collect();
    if !flags.is_empty() {
        fields.push((Reply::text("flags"), words(flags.into_iter())));
    }
    if !parts.is_empty() {
        let parts = parts.iter().map(|part| tell(part, keys)).collect();
        fields.push((Reply::text("arguments"), Reply::Array(parts)));
    }
    Reply::Map(fields)
}
