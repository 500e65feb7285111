//! From a request to its row, with the checks that are the same for all.

use routing::hash_slot;

use super::spec::{Command, Work};
use super::table::COMMANDS;
use crate::data::CommandError;
use crate::data::error::quote;
use crate::resp::Args;

/// How much of a client's own text an error repeats, in bytes.
const QUOTED_BYTES_MAX: usize = 128;

/// The row for a request: of the subcommand, where there is one. Name and number of arguments are
/// right afterwards.
///
/// # Errors
/// What is wrong, in Redis's words.
pub fn find(args: Args<'_>) -> Result<&'static Command, CommandError> {
    let command = find_named(args)?;
    if !command.takes(args.len()) || matches!(command.work, Work::Subcommand) {
        return Err(CommandError::Arity { command: command.name.to_owned() });
    }
    Ok(command)
}

/// The row for a request, whatever the number of its arguments.
///
/// # Errors
/// There is no such command or subcommand.
pub fn find_named(args: Args<'_>) -> Result<&'static Command, CommandError> {
    let name = args.at(0);
    let command = find_row(COMMANDS, name).ok_or_else(|| unknown(args))?;
    match args.get(1) {
        Some(sub) if !command.subcommands.is_empty() => find_subcommand(command, sub),
        _ => Ok(command),
    }
}

/// The row of that name in a table sorted by names; letter case does not matter.
pub fn find_row(rows: &'static [Command], name: &[u8]) -> Option<&'static Command> {
    let lower = |byte: &u8| byte.to_ascii_lowercase();
    let compare = |row: &Command| row.name.bytes().cmp(name.iter().map(lower));
    rows.binary_search_by(compare).ok().and_then(|at| rows.get(at))
}

fn find_subcommand(
    command: &'static Command,
    name: &[u8],
) -> Result<&'static Command, CommandError> {
    let is_called = |row: &&Command| {
        let own = row.name.split_once('|').map_or(row.name, |(_, own)| own);
        own.as_bytes().eq_ignore_ascii_case(name)
    };
    command.subcommands.iter().find(is_called).ok_or_else(|| CommandError::UnknownSubcommand {
        name: quote(name, QUOTED_BYTES_MAX),
        command: command.name.to_ascii_uppercase(),
    })
}

/// The slot of a command's keys; none if it has no keys.
///
/// # Errors
/// [`CommandError::CrossSlot`] if they lie in several.
pub fn slot_of(command: &Command, args: Args<'_>) -> Result<Option<u16>, CommandError> {
    let mut slots = command.keys.of(args).map(hash_slot);
    let Some(first) = slots.next() else {
        return Ok(None);
    };
    if slots.any(|slot| slot != first) {
        return Err(CommandError::CrossSlot);
    }
    Ok(Some(first))
}

fn unknown(args: Args<'_>) -> CommandError {
    let mut quoted = String::new();
    for arg in args.from(1) {
        if quoted.len() >= QUOTED_BYTES_MAX {
            break;
        }
        let left = QUOTED_BYTES_MAX - quoted.len();
        quoted.push_str(&format!("'{}' ", quote(arg, left)));
    }
    CommandError::UnknownCommand { name: quote(args.at(0), QUOTED_BYTES_MAX), args: quoted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Request;

    fn found(line: &str) -> Result<&'static str, String> {
        let words: Vec<&str> = line.split(' ').collect();
        find(Request::of(&words).args()).map(|row| row.name).map_err(|error| error.to_string())
    }

    fn slot(line: &str) -> Result<Option<u16>, CommandError> {
        let words: Vec<&str> = line.split(' ').collect();
        let request = Request::of(&words);
        slot_of(find(request.args()).unwrap(), request.args())
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(found("gEt k"), Ok("get"));
        assert_eq!(found("Client SETNAME me"), Ok("client|setname"));
        assert_eq!(found("command"), Ok("command"));
        assert_eq!(found("asking"), Ok("asking"));
        assert_eq!(found("wait 1 0"), Ok("wait"));
    }

    #[test]
    fn what_is_wrong_is_said_as_redis_says_it() {
        let cases = [
            ("get", "ERR wrong number of arguments for 'get' command"),
            ("GET a b", "ERR wrong number of arguments for 'get' command"),
            ("client", "ERR wrong number of arguments for 'client' command"),
            ("client setname", "ERR wrong number of arguments for 'client|setname' command"),
            ("client foo", "ERR unknown subcommand 'foo'. Try CLIENT HELP."),
            ("foo a b", "ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
            ("foo", "ERR unknown command 'foo', with args beginning with: "),
        ];
        for (line, expected) in cases {
            assert_eq!(found(line), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_long_unknown_command_is_quoted_in_part() {
        let long = "x".repeat(500);
        let error = found(&format!("{long} {long} {long}")).unwrap_err();
        assert!(error.len() < 330, "{error}");
    }

    #[test]
    fn all_keys_of_a_command_lie_in_one_slot() {
        assert_eq!(slot("GET {a}1"), Ok(Some(hash_slot(b"a"))));
        assert_eq!(slot("MGET {a}1 {a}2"), Ok(Some(hash_slot(b"a"))));
        assert_eq!(slot("MGET a b"), Err(CommandError::CrossSlot));
        assert_eq!(slot("MSET a b {a} c"), Ok(Some(hash_slot(b"a"))));
        assert_eq!(slot("MSET a 1 b 2"), Err(CommandError::CrossSlot));
        assert_eq!(slot("PING x"), Ok(None));
    }
}
