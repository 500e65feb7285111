//! What every command takes, for COMMAND DOCS: a program that helps people type reads it there.

use super::spec::Command;
use super::syntax::{Argument, parse};

/// Every command and subcommand that takes arguments, sorted by name.
#[rustfmt::skip]
static ARGUMENTS: &[(&str, &str)] = &[
    ("append", "key value"),
    ("bitcount", "key index=[start end index_unit=[BYTE|BIT]]"),
    ("bitop", "operation=(AND|OR|XOR|NOT) destkey key..."),
    ("bitpos", "key bit index=[start end_index=[end index_unit=[BYTE|BIT]]]"),
    ("client|list", "selection=[TYPE type|ID client-id...]"),
    ("client|no-evict", "enabled=(ON|OFF)"),
    ("client|no-touch", "enabled=(ON|OFF)"),
    ("client|setinfo", "attribute=(LIB-NAME libname|LIB-VER libver)"),
    ("client|setname", "connection-name"),
    ("cluster|countkeysinslot", "slot"),
    ("cluster|getkeysinslot", "slot count"),
    ("cluster|keyslot", "key:string"),
    ("command|docs", "[command-name...]"),
    ("command|getkeys", "command arg..."),
    ("command|info", "[command-name...]"),
    ("command|list", "[FILTERBY filterby=(MODULE module-name|ACLCAT category|PATTERN pattern)]"),
    ("config|get", "parameter..."),
    ("copy", "source destination [DB destination-db] [REPLACE]"),
    ("decr", "key"),
    ("decrby", "key decrement"),
    ("del", "key..."),
    ("echo", "message"),
    ("exists", "key..."),
    ("expire", "key seconds condition=[NX|XX|GT|LT]"),
    ("expireat", "key unix-time-seconds condition=[NX|XX|GT|LT]"),
    ("expiretime", "key"),
    ("get", "key"),
    ("getbit", "key offset"),
    ("getdel", "key"),
    ("getex", "key expiration=[EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]"),
    ("getrange", "key start end"),
    ("getset", "key value"),
    ("hdel", "key field..."),
    ("hello", "arguments=[protover [SETNAME clientname]]"),
    ("hexists", "key field"),
    ("hget", "key field"),
    ("hgetall", "key"),
    ("hincrby", "key field increment"),
    ("hincrbyfloat", "key field increment:double"),
    ("hkeys", "key"),
    ("hlen", "key"),
    ("hmget", "key field..."),
    ("hmset", "key (field value)..."),
    ("hrandfield", "key options=[count [WITHVALUES]]"),
    ("hscan", "key cursor [MATCH pattern] [COUNT count]"),
    ("hset", "key (field value)..."),
    ("hsetnx", "key field value"),
    ("hstrlen", "key field"),
    ("hvals", "key"),
    ("incr", "key"),
    ("incrby", "key increment"),
    ("incrbyfloat", "key increment:double"),
    ("info", "[section...]"),
    ("keys", "pattern"),
    ("mget", "key..."),
    ("mset", "(key value)..."),
    ("msetnx", "(key value)..."),
    ("multiraft|explain", "group"),
    ("multiraft|log", "[filter]"),
    ("multiraft|status", "[LIMIT count] [OFFSET offset]"),
    ("multiraft|transfer", "group node"),
    ("object|encoding", "key"),
    ("object|freq", "key"),
    ("object|refcount", "key"),
    ("persist", "key"),
    ("pexpire", "key milliseconds condition=[NX|XX|GT|LT]"),
    ("pexpireat", "key unix-time-milliseconds condition=[NX|XX|GT|LT]"),
    ("pexpiretime", "key"),
    ("ping", "[message]"),
    ("psetex", "key milliseconds value"),
    ("pttl", "key"),
    ("rename", "key newkey"),
    ("renamenx", "key newkey"),
    ("scan", "cursor [MATCH pattern] [COUNT count] [TYPE type]"),
    ("select", "index"),
    ("set", "key value condition=[NX|XX] [GET] expiration=[EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]"),
    ("setbit", "key offset value:integer"),
    ("setex", "key seconds value"),
    ("setnx", "key value"),
    ("setrange", "key offset value"),
    ("strlen", "key"),
    ("substr", "key start end"),
    ("touch", "key..."),
    ("ttl", "key"),
    ("type", "key"),
    ("unlink", "key..."),
    ("wait", "numreplicas timeout"),
    ("watch", "key..."),
];

/// The arguments of a command behind its name.
pub(crate) fn arguments(command: &Command) -> Vec<Argument> {
    let found = ARGUMENTS.binary_search_by_key(&command.name, |(name, _)| *name);
    found.map(|at| parse(ARGUMENTS[at].1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::COMMANDS;
    use crate::command::spec::{Keys, Work};
    use crate::command::syntax::Kind;

    fn all() -> impl Iterator<Item = &'static Command> {
        COMMANDS.iter().flat_map(|command| command.subcommands.iter().chain([command]))
    }

    #[test]
    fn rows_are_sorted_and_belong_to_commands() {
        assert!(ARGUMENTS.is_sorted_by(|(a, _), (b, _)| a < b));
        for (name, _) in ARGUMENTS {
            assert!(all().any(|command| command.name == *name), "{name}");
        }
    }

    #[test]
    fn arguments_agree_with_what_commands_take() {
        let callable = all().filter(|command| !matches!(command.work, Work::Subcommand));
        for command in callable {
            let name = command.name;
            let arguments = arguments(command);
            let names = name.split('|').count();
            let least: usize = arguments.iter().map(|argument| argument.words().0).sum();
            assert_eq!((names + least) as u64, command.arity.unsigned_abs(), "{name}");
            let is_exact =
                arguments.iter().all(|argument| argument.words().1 == Some(argument.words().0));
            // COMMAND may be called without its subcommands; QUIT takes words and looks at none.
            let takes_more = !command.subcommands.is_empty() || name == "quit";
            assert_eq!(is_exact && !takes_more, command.arity > 0, "{name}");
            assert_eq!(keys(&arguments) > 0, command.keys != Keys::None, "{name}");
        }
    }

    /// How many arguments are keys, at whatever depth.
    fn keys(arguments: &[Argument]) -> usize {
        let own = |argument: &Argument| usize::from(argument.kind == Kind::Key);
        arguments.iter().map(|argument| own(argument) + keys(&argument.parts)).sum()
    }
}
